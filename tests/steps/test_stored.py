"""A working directory whose results lie in object storage; a folder stands in for the bucket."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from landscape_lib import config
from landscape_lib.core.errors import InputError
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.stored import StoredResults, unlink_results
from landscape_lib.utils.hashing import hash_file


class Provider:
    """What of Snakemake's storage provider is used: the bucket is a folder."""

    settings = SimpleNamespace(
        endpoint_url="http://here", region="eu", access_key="me", secret_key=None, token=None
    )

    def __init__(self):
        self.dates, self.asked = {}, 0

    def object(self, url):
        key = url.removeprefix("s3://")
        there, here = Path("there") / key, Path(".snakemake/storage/s3") / key

        def exists():
            self.asked += 1
            return there.exists()

        return SimpleNamespace(
            exists=exists,
            mtime=lambda: self.dates[there],
            local_path=lambda: here,
            retrieve_object=lambda: here.write_bytes(there.read_bytes()),
        )

    def put(self, path, text, date):
        there = Path("there/bucket/mine") / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
        self.dates[there] = date


@pytest.fixture
def provider(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Provider()


def stored(provider, state=lambda: 0):
    found = StoredResults(provider, "s3", "s3://bucket/mine/", state)
    found.link("results")
    return found


def test_results_are_a_link_to_the_copies_and_a_second_start_leaves_it(provider):
    stored(provider)
    stored(provider)
    assert os.readlink("results") == ".snakemake/storage/s3/bucket/mine/results"
    assert Path("results").is_dir()


def test_a_link_to_another_bucket_is_replaced_and_a_folder_of_results_never(provider):
    Path("results").symlink_to("elsewhere")
    stored(provider)
    assert Path("results").is_dir()
    Path("results").unlink()
    Path("results").mkdir()
    with pytest.raises(InputError, match="results is a folder here, and results are to lie in"):
        stored(provider)


def test_without_stored_results_our_link_goes_and_the_users_own_stays(provider):
    stored(provider)
    unlink_results("results", Path(".snakemake/storage"))
    assert not Path("results").is_symlink()
    Path("elsewhere").mkdir()
    Path("results").symlink_to("elsewhere")
    unlink_results("results", Path(".snakemake/storage"))
    assert Path("results").is_dir()


def test_a_result_is_brought_and_again_when_it_has_become_another_one(provider):
    state, path = [0], Path("results/one/probe.json")
    found = stored(provider, lambda: state[0])
    found.fetch(path)
    assert not path.exists()
    provider.put(path, "first", 1000.0)
    found.fetch(path)
    assert (path.read_text(), path.stat().st_mtime) == ("first", 1000.0)
    asked = provider.asked
    found.fetch(path)
    assert provider.asked == asked  # nothing can have changed: nobody is asked
    provider.put(path, "second", 1001.0)
    state[0] += 1
    found.fetch(path)
    assert path.read_text() == "second"
    path.unlink()  # Snakemake clears copies away
    found.fetch(path)
    assert path.read_text() == "second"


def test_a_copy_of_an_earlier_run_is_never_believed(provider):
    path = Path("results/one/probe.json")
    stored(provider)
    path.parent.mkdir()
    path.write_text("old, and dated in the future")
    provider.put(path, "new", 1000.0)
    stored(provider).fetch(path)
    assert path.read_text() == "new"


def test_jobs_are_told_what_snakemake_was_told_and_no_more(provider):
    assert stored(provider).environment() == {
        "AWS_ENDPOINT_URL_S3": "http://here",
        "AWS_DEFAULT_REGION": "eu",
        "AWS_ACCESS_KEY_ID": "me",
    }


@pytest.mark.parametrize(
    ("kind", "prefix"), [("gcs", "gs://bucket/x"), ("s3", None), ("s3", "bucket/x")]
)
def test_other_storage_is_refused(provider, kind, prefix):
    with pytest.raises(InputError, match="--default-storage-provider s3"):
        StoredResults(provider, kind, prefix, lambda: 0)


RUN = """\
runs:
  own:
    problem: code/mine.py:build
    args: {checkpoint: %s, data: data}
    grid: {x: [-1, 1, 3], y: null}
    %s
"""


def written(checkpoint, more="files: []"):
    for name, text in {
        "code/mine.py": "import helper\nimport torch\n",
        "code/helper.py": "",
        "code/not_imported.py": "",
        "data/deep/a.pt": "a",
        "w.pt": "w",
        "c.yaml": RUN % (checkpoint, more),
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return Dependencies(config.load("c.yaml"), fetch=lambda path: None)


def test_what_travels_is_what_the_config_names_and_what_its_code_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = written("w.pt").inputs_here()
    names = ["code/helper.py", "code/mine.py", "data/deep/a.pt", "w.pt"]
    assert found == {Path(name): hash_file(name) for name in names}


def test_what_lies_elsewhere_is_named_and_what_the_pipeline_makes_does_not_travel(
    tmp_path, monkeypatch, caplog
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "w.pt").write_text("elsewhere")
    assert Path("w.pt") not in written(tmp_path / "w.pt").inputs_here()
    assert f"{tmp_path / 'w.pt'} lies outside of this folder" in caplog.text
    made = written("results/own/model.pt", "train: {function: 'code/mine.py:train'}")
    Path("results/own").mkdir(parents=True)
    Path("results/own/model.pt").write_text("a copy")
    assert not any("results" in path.parts for path in made.inputs_here())


def test_checkpoints_that_only_a_folder_brings_from_job_to_job_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = "train: {function: 'code/mine.py:train'}"
    shown = f"{train}\n    trajectory: {{way: [results/own/checkpoints/*.pt]}}"
    with pytest.raises(InputError, match="do not reach other jobs through object storage"):
        written("results/own/model.pt", shown)
    Dependencies(config.load("c.yaml"))  # in a folder they do
