"""Cores go where the plan can use them, and their number is no reason to run anything again."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from landscape_lib import config
from landscape_lib.core.errors import InputError
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.utils.records import read_record, write_record
from tests.pipeline.conftest import new_project

EXECUTOR = Path(__file__).parent / "executor"


@pytest.fixture
def two_cores(tmp_path):
    """A project of one run whose probe was given two cores, and what Snakemake printed."""
    project = new_project(tmp_path / "two")
    project.configure(lambda config: config["runs"].pop("one"))
    return project, project.run("--cores", "2", "results/two/surface.h5")


def threads_of(output):
    """Read from what Snakemake printed how many threads each rule had; it is silent about one."""
    jobs = re.findall(
        r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", output, re.MULTILINE
    )
    return {
        rule: int(found[1]) if (found := re.search(r"threads: (\d+)", body)) else 1
        for rule, body in jobs
    }


def plan_of(project):
    return json.loads((project.folder / "results/two/probe.json").read_text())["plan"]


def test_the_probe_has_all_cores_a_shard_those_of_the_plan_and_the_plan_keeps_them(two_cores):
    project, output = two_cores
    found = threads_of(output)
    assert found["probe"] == found["evaluate_shard"] == 2
    assert found["make_directions"] == found["merge_shards"] == 1
    assert plan_of(project)["threads"] == 2
    assert "Nothing to be done" in project.run("results/two/surface.h5")  # with --cores 1
    (project.folder / "results/two/probe.json").unlink()
    project.configure(lambda config: config["runs"]["two"]["grid"].update(x=[-1, 1, 9]))
    found = threads_of(project.run("results/two/probe.json", "results/two/surface.h5"))
    assert found["probe"] == found["evaluate_shard"] == 1  # there is one
    assert plan_of(project)["threads"] == 2  # but a plan decides bits: it stays, and so do points
    assert project.points() == 9 * 4


def test_a_shard_asks_for_its_plans_threads_and_leaves_the_other_cores(project):
    output = project.run("--cores", "8", "-n", "--forcerun", "evaluate_shard")
    assert threads_of(output)["evaluate_shard"] == 1
    report = project.folder / "results/one/probe.json"
    found = read_record(report)
    write_record(report, found | {"plan": found["plan"] | {"threads": 3}})
    for cores, threads in (("2", 2), ("8", 3)):
        output = project.run("--cores", cores, "-n", "results/one/surface.h5")
        assert threads_of(output)["evaluate_shard"] == threads


def test_what_a_cluster_is_asked_for_follows_the_probe_and_is_no_reason_to_run_again(project):
    path = project.folder / "results/one/probe.json"
    report = read_record(path)
    assert report["memory_mb"] > 100  # torch alone takes more
    write_record(path, report | {"seconds_per_point": 60.0, "memory_mb": 1000.0})
    assert "Nothing to be done" in project.run("-n")
    output = project.run("-n", "results/one/surface.h5", "--forcerun", "evaluate_shard")
    (asked,) = set(
        re.findall(r"^rule evaluate_shard:\n(?:    .*\n)*    resources: (.*)", output, re.M)
    )
    assert {"gpu=1", "mem_mb=1750", "runtime=40"} <= set(asked.split(", "))  # of 10 points


@pytest.mark.parametrize(
    ("plan", "threads"),
    [
        ({}, 1),
        ({"device": "cpu", "threads": 6}, 6),
        ({"device": "cuda:1", "threads": 6}, 1),  # four GPUs need no 24 cores
    ],
    ids=str,
)
def test_what_a_shard_keeps_busy_is_read_from_the_probe(tmp_path, monkeypatch, plan, threads):
    monkeypatch.chdir(new_project(tmp_path).folder)
    depends = Dependencies(config.load("config.yaml"))
    assert depends.threads("one") == 1  # nothing was probed yet
    path = tmp_path / "results" / "one" / "probe.json"
    path.parent.mkdir(parents=True)
    report = {"keys": ["train_loss"], "plan": plan, "seconds_per_point": 1.0, "problem": {}}
    write_record(path, report)
    assert depends.threads("one") == threads
    write_record(path, report | {"plan": {"device": "cpu", "threads": "many"}})
    with pytest.raises(InputError, match=r"probe.json: it is damaged"):
        Dependencies(config.load("config.yaml")).threads("one")


def test_a_dry_run_knows_the_probes_cores_before_anything_ran(tmp_path):
    output = new_project(tmp_path).run("--cores", "8", "-n")
    assert threads_of(output)["probe"] == 8


def test_a_cluster_gets_the_threads_that_the_user_sets_and_one_without(tmp_path):
    """There ``--cores`` is what the whole cluster may lend: no job could ever have that many."""
    project = new_project(tmp_path)
    submitted = {}
    for run, more in (("one", ()), ("two", ("--set-threads", "probe=2"))):
        command = project.command("--executor", "nowhere", "--jobs", "2", *more)
        where = command.index("--cores")
        command = [*command[:where], *command[where + 2 :], "--", f"results/{run}/probe.json"]
        path = f"{project.environment['PYTHONPATH']}{os.pathsep}{EXECUTOR}"
        done = subprocess.run(
            [*command[:-2], "--seconds-between-status-checks", "1", *command[-2:]],
            cwd=project.folder,
            env={**project.environment, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        submitted[run] = re.findall(r"submitted probe with (\d+) threads", done.stdout)
        report = json.loads((tmp_path / "results" / run / "probe.json").read_text())
        assert [str(report["plan"]["threads"])] == submitted[run]
    assert submitted == {"one": ["1"], "two": ["2"]}
