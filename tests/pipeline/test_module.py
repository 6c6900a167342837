"""The pipeline as a module of another workflow, whose rules make what its landscapes are of."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from landscape_lib import InputError, config
from landscape_lib.config.module import FOLDER, handed_over
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.utils.runlock import drop_stale_lock
from tests.pipeline.conftest import REPO, new_project, rules_of

PAGE = (REPO / "docs" / "elsewhere.md").read_text()
WORKFLOW = re.search(r"```python\n(import landscape_lib.*?)```", PAGE, re.DOTALL)[1]
TRAIN = "import shutil, sys\nshutil.copy('recipe.pt', sys.argv[1])\n"
SURFACE = "landscapes/results/one/surface.h5"
RUN = {
    "problem": "one.py:build",
    "args": {"checkpoint": "models/net.pt"},
    "grid": {"x": [-1, 1, 5], "y": [0, 3, 4]},
}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Stand in a project that trains a network and asks for its landscape."""
    project = new_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("one.pt").rename("recipe.pt")
    Path("Snakefile").write_text(WORKFLOW)
    Path("train.py").write_text(TRAIN)
    settings = {"epochs": 3, "landscape": {"runs": {"one": RUN}}}
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    return project


def snakemake(project, *arguments, code=0):
    """Run the other workflow, as its user does; return what was printed."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(
        command, env=project.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_another_workflow_trains_and_this_one_evaluates(elsewhere, finished):
    """The page's workflow: with a prefix, and a model that a rule of the other workflow makes."""
    snakemake(elsewhere, SURFACE)
    with (
        h5py.File(SURFACE) as found,
        h5py.File(finished.folder / "results/one/surface.h5") as wanted,
    ):
        assert set(found) == set(wanted)
        for key in found:
            np.testing.assert_array_equal(found[key], wanted[key])
    assert Path("landscapes/logs/one/evaluate_shard/0-of-1.log").exists()
    assert not Path("results").exists()
    assert not Path("logs").exists()
    assert "Nothing to be done" in snakemake(elsewhere, SURFACE, "-n")
    due = rules_of(snakemake(elsewhere, SURFACE, "-n", "--forcerun", "train"))
    assert due["all"] == {"train"}
    assert {"landscape_probe", "landscape_make_directions"} <= due["one"]


def test_the_other_workflows_first_rule_stays_its_default(elsewhere):
    Path("Snakefile").write_text(WORKFLOW.replace("results/mine", "results/one"))
    due = rules_of(snakemake(elsewhere, "-n"))
    assert due["all"] >= {"train", "everything"}
    assert "landscape_all" not in due["all"]


def test_a_mistake_in_a_modules_config_is_named_before_anything_runs(elsewhere):
    settings = {"landscape": {"runs": {"one": {**RUN, "grid": {"x": [1, -1, 5]}}}}}
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    told = snakemake(elsewhere, "-n", code=2)
    assert "the module's config: runs.one.grid.x: found [1, -1, 5]" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "told", ["settings of a file", {"configfile": "c.yaml"}, "c.yaml"], ids=str
)
def test_a_module_is_given_settings_or_the_path_of_a_file(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    tree = {"runs": {"one": {**RUN, "grid": {"x": ["-1e-1", 1, 5]}}}}
    Path("c.yaml").write_text(yaml.safe_dump(tree))
    path, found = handed_over(tree if told == "settings of a file" else told, "up/results")
    assert found.runs == config.load("c.yaml", "up/results").runs
    assert config.load(path, "up/results").runs == found.runs  # what each job reads
    assert found.run("one").path("surface.h5") == Path("up/results/one/surface.h5")
    assert Path(path).parent == (FOLDER if told == "settings of a file" else Path())


def test_settings_that_change_leave_jobs_at_work_theirs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, _ = handed_over({"runs": {"one": RUN}}, "results")
    text = Path(before).read_text()
    after, _ = handed_over({"runs": {"one": {**RUN, "files": ("c.yaml",)}}}, "results")
    assert after != before
    assert Path(before).read_text() == text
    assert handed_over({"runs": {"one": RUN}}, "results")[0] == before


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "the module's config is {}; give the module what a config file"),
        (None, "the module's config is None"),
        ({"runs": {"one": RUN}, "sample": 1}, "the module's config: sample: found an unknown key"),
        ({"runs": {"one": {**RUN, "args": {"a": {1, object}}}}}, "YAML has no such value"),
        ({"configfile": "none.yaml"}, "none.yaml: there is no such file"),
    ],
    ids=["empty", "none", "unknown", "python", "missing"],
)
def test_what_a_module_cannot_be_given_is_refused(tmp_path, monkeypatch, told, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        handed_over(told, "results")
    assert message in str(caught.value)
    assert not FOLDER.exists()


def test_settings_that_hold_themselves_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = {"runs": {"one": dict(RUN)}}
    tree["runs"]["one"]["args"] = tree
    with pytest.raises(InputError, match="is nested too deeply"):
        handed_over(tree, "results")


def test_what_other_rules_make_is_an_input_and_not_hashed(elsewhere):
    """Files that are there and made by nobody are hashed as ever; missing ones are asked for."""
    tree = {
        "runs": {"one": {**RUN, "files": ["config.yaml", "./data.pt"]}},
        "directions": {"x": {"kind": "target", "model": "models/other.pt"}},
    }
    _, found = handed_over(tree, "up/results")
    depends = Dependencies(found, others={"models/net.pt"}.__contains__)
    assert depends.inputs("one") == ["data.pt", "models/net.pt", "models/other.pt"]
    Path("data.pt").touch()
    Path("models").mkdir()
    for name in ("net.pt", "other.pt"):
        Path("models", name).write_text("trained")
    assert depends.inputs("one") == ["models/net.pt"]
    before = depends.problem("one")
    Path("models/net.pt").write_text("trained again")
    assert depends.problem("one") == before
    Path("config.yaml").write_text("epochs: 4")
    assert depends.problem("one") != before
    assert Dependencies(found).inputs("one") == []


def test_checkpoints_of_another_workflow_need_not_be_there_yet(elsewhere):
    ways = {"kind": "pca", "checkpoints": ["epochs/0.pt", "epochs/1.pt"]}
    tree = {"runs": {"one": {**RUN, "directions": ways}}}
    _, found = handed_over(tree, "results")
    named = set(ways["checkpoints"])
    assert Dependencies(found, others=named.__contains__).inputs("one") == sorted(named)
    with pytest.raises(InputError, match=r"epochs/0\.pt"):
        Dependencies(found)


def test_a_modules_start_leaves_the_lock_of_a_run_without_it_alone(tmp_path):
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "0.input.lock").write_text("a.txt")
    with drop_stale_lock(tmp_path, ours=False):
        assert (locks / "0.input.lock").exists()
        with drop_stale_lock(tmp_path):  # the module's run is alive, and is seen
            assert (locks / "0.input.lock").exists()
    with drop_stale_lock(tmp_path):
        assert not [*locks.iterdir()]
