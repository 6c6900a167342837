"""Journals and users' files in object storage; a dictionary stands in for S3."""

import os
import time
from pathlib import Path

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.utils.bucket import Bucket, BucketError, mirrored
from landscape_lib.utils.hashing import hash_file
from landscape_lib.utils.journal import Journal


class ClientError(Exception):
    """As botocore's, which is told from others by its module."""

    def __init__(self, code):
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


ClientError.__module__ = "botocore.exceptions"


class S3:
    """What of boto3's client is used, over a dictionary."""

    def __init__(self):
        self.objects, self.uploads, self.broken = {}, [], None

    def _work(self):
        if self.broken:
            raise ClientError(self.broken)

    def upload_file(self, path, bucket, key, ExtraArgs=None):
        self._work()
        self.uploads.append(key)
        self.objects[bucket, key] = Path(path).read_bytes(), (ExtraArgs or {}).get("Metadata", {})

    def download_file(self, bucket, key, path):
        self._work()
        Path(path).write_bytes(self.objects[bucket, key][0])

    def head_object(self, Bucket, Key):
        self._work()
        if (Bucket, Key) not in self.objects:
            raise ClientError("404")
        return {"Metadata": self.objects[Bucket, Key][1]}

    def get_paginator(self, name):
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket, Prefix, Delimiter=None):
        self._work()
        found = [key for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix)]
        rest = [key for key in found if not Delimiter or Delimiter not in key[len(Prefix) :]]
        half = len(rest) // 2  # in two pages
        for page in (rest[:half], rest[half:]):
            yield (
                {"Contents": [{"Key": k, "Size": len(self.objects[Bucket, k][0])} for k in page]}
                if page
                else {}
            )


@pytest.fixture
def s3():
    return S3()


@pytest.fixture
def bucket(s3, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Bucket("s3://mine/some/where/", s3)


def other_machine(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")


def test_points_of_another_machine_are_found_in_the_bucket(bucket, s3, tmp_path, monkeypatch):
    folder = Path("results/one/journal/f")
    for name in ("a", "b"):
        with Journal(folder) as journal, mirrored(journal.path, bucket):
            journal.append((1.0, 2.0), {name: 3.0}, "p")
            journal.append((2.0, ord(name)), {name: 4.0}, "p")
    assert {key for _, key in s3.objects} == {
        f"some/where/{path.as_posix()}" for path in folder.glob("*.jsonl")
    }
    other_machine(tmp_path, monkeypatch)
    bucket.fetch(folder)
    assert set(Journal(folder).read()) == {(1.0, 2.0), (2.0, 97.0), (2.0, 98.0)}


def test_a_journal_is_copied_while_it_grows_and_only_then(bucket, s3):
    with Journal(Path("j")) as journal, mirrored(journal.path, bucket, every_s=0.02):
        for number in range(3):
            journal.append((float(number),), {"a": 1.0}, "p")
            end = time.monotonic() + 30
            while len(s3.uploads) <= number:
                assert time.monotonic() < end
                time.sleep(0.01)
        time.sleep(0.2)
        assert len(s3.uploads) == 3
    assert len(s3.uploads) == 3


def test_an_exception_copies_what_is_finished(bucket, s3):
    def stopped():
        with mirrored(Path("j.jsonl"), bucket):
            Path("j.jsonl").write_text("finished\n")
            raise KeyError

    with pytest.raises(KeyError):
        stopped()
    assert s3.objects["mine", "some/where/j.jsonl"][0] == b"finished\n"


def test_storage_that_fails_costs_no_point(bucket, s3, caplog):
    s3.broken = "SlowDown"
    with Journal(Path("j")) as journal, mirrored(journal.path, bucket, every_s=0.01):
        journal.append((1.0,), {"a": 1.0}, "p")
        time.sleep(0.1)
    assert len(Journal(Path("j")).read()) == 1
    assert "it cannot be written (SlowDown)" in caplog.text
    assert "what is evaluated is kept here" in caplog.text


def test_a_file_that_has_grown_is_brought_again_and_folders_below_are_not(bucket, s3):
    s3.objects["mine", "some/where/j/a.jsonl"] = b"longer", {}
    s3.objects["mine", "some/where/j/below/b.jsonl"] = b"b", {}
    Path("j").mkdir()
    Path("j/a.jsonl").write_text("long")
    bucket.fetch(Path("j"))
    assert Path("j/a.jsonl").read_text() == "longer"
    assert os.listdir("j") == ["a.jsonl"]


def test_users_files_travel_once_and_again_when_their_content_is_another(
    bucket, s3, tmp_path, monkeypatch
):
    Path("a.py").write_text("1")
    Path("data").mkdir()
    Path("data/b.pt").write_text("2")

    def publish():
        bucket.publish({path: hash_file(path) for path in (Path("a.py"), Path("data/b.pt"))})

    publish()
    publish()
    assert s3.uploads == ["some/where/inputs/a.py", "some/where/inputs/data/b.pt"]
    Path("a.py").write_text("3")
    publish()
    assert s3.uploads[2:] == ["some/where/inputs/a.py"]
    other_machine(tmp_path, monkeypatch)
    Path("a.py").write_text("of an earlier job")
    bucket.bring_inputs()
    assert (Path("a.py").read_text(), Path("data/b.pt").read_text()) == ("3", "2")


def test_a_key_that_leads_out_of_the_folder_is_refused(bucket, s3):
    s3.objects["mine", "some/where/inputs/../../x"] = b"x", {}
    with pytest.raises(BucketError, match="leads out of the working folder"):
        bucket.bring_inputs()


def test_storage_that_lets_nobody_in_is_one_message(bucket, s3):
    s3.broken = "AccessDenied"
    Path("a").touch()
    with pytest.raises(BucketError, match=r"cannot be read \(AccessDenied\)\. Check the bucket"):
        bucket.publish({Path("a"): "hash"})
    with pytest.raises(BucketError, match="s3://mine/some/where/j/: it cannot be read"):
        bucket.fetch(Path("j"))


@pytest.mark.parametrize("url", ["gs://mine/x", "mine/x", "s3:///x"])
def test_other_places_are_refused(url, s3):
    with pytest.raises(InputError, match="wanted 's3://bucket/prefix'"):
        Bucket(url, s3)
