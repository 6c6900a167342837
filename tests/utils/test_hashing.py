"""A hash is of the content, and remembered only while the file is surely the same."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.utils.hashing import HashCache, canonical, hash_file, hash_text


def test_a_files_hash_is_its_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert hash_file(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()
    assert HashCache(tmp_path / "cache").hash(tmp_path / "a") == hash_file(tmp_path / "a")
    assert hash_text("ä\ud800") != hash_text("ä")


def test_equal_values_have_one_spelling():
    assert (
        canonical({"b": 1, "a": [1.5, None]})
        == canonical({"a": [1.5, None], "b": 1})
        == '{"a":[1.5,null],"b":1}'
    )


def test_other_content_under_the_old_time_is_noticed(tmp_path):
    path, cache = tmp_path / "model.pt", HashCache(tmp_path / "cache")
    path.write_bytes(b"one")
    before, status = cache.hash(path), path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.hash(path) == hash_file(path) != before


def test_a_hash_is_remembered_from_start_to_start(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    path.write_bytes(b"one")
    cache = HashCache(tmp_path / "cache")
    wanted = cache.hash(path)
    cache.save()
    monkeypatch.setattr(
        "landscape_lib.utils.hashing.hash_file", lambda path: pytest.fail("read again")
    )
    assert HashCache(tmp_path / "cache").hash(path) == wanted


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"x": 3}', "\0"])
def test_a_damaged_cache_costs_time_and_nothing_else(content, tmp_path):
    (tmp_path / "cache").write_text(content)
    (tmp_path / "a").write_bytes(b"1")
    cache = HashCache(tmp_path / "cache")
    assert cache.hash(tmp_path / "a") == hash_file(tmp_path / "a")
    cache.save()
    assert HashCache(tmp_path / "cache").hash(tmp_path / "a") == hash_file(tmp_path / "a")


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    cache = HashCache(tmp_path / "a" / "cache")
    cache.hash(tmp_path / "a")
    cache.save()


def test_what_nfs_leaves_of_removed_files_is_no_part_of_a_folder(tmp_path):
    folder, cache = tmp_path / "data", HashCache(tmp_path / "cache")
    folder.mkdir()
    (folder / "a").write_text("a")
    wanted = cache.hash(folder)
    (folder / ".nfs00000000012abcde00000007").write_text("removed while it was open")
    assert cache.hash(folder) == wanted
    (folder / ".nfsrc").write_text("a name like any other")
    assert cache.hash(folder) != wanted


def test_a_file_that_another_host_replaces_is_hashed_at_the_second_try(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    wanted, opened, left = hash_file(tmp_path / "a"), Path.open, [1]

    def stale(self, *arguments):
        if left and left.pop():
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return opened(self, *arguments)

    monkeypatch.setattr(Path, "open", stale)
    assert hash_file(tmp_path / "a") == wanted
    assert not left


def test_a_folder_is_its_files_names_and_contents(tmp_path):
    cache = HashCache(tmp_path / "cache")
    found = set()
    for name, content in (("a", b"1"), ("a", b"2"), ("b", b"2")):
        folder = tmp_path / f"{name}{content.decode()}"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / name).write_bytes(content)
        found.add(cache.hash(folder))
    assert len(found) == 3


def test_a_file_that_is_not_there_is_named(tmp_path):
    for hasher in (hash_file, HashCache(tmp_path / "cache").hash):
        with pytest.raises(InputError, match="none: cannot be read: No such file or directory"):
            hasher(tmp_path / "none")
