"""What a scheduler is asked for is what the probe measured, with room."""

import re

import pytest
import yaml

from landscape_lib import Axis, Experiment, Grid
from landscape_lib.config import VerdictSettings
from landscape_lib.steps import estimates
from tests.pipeline.conftest import REPO

PROFILES = REPO / "workflow" / "profiles"
GRID = Grid((Axis(-1, 1, 21), Axis(0, 2, 10)))


def run(**more):
    return Experiment("mine", "problem.py:build", GRID, **more)


def test_a_shard_is_given_three_times_its_points_and_ten_minutes_to_start():
    report = {"seconds_per_point": 40.0}
    assert estimates.shard_minutes(run(), report, of=1) == 10 + 3 * 210 * 40 / 60
    assert estimates.shard_minutes(run(), report, of=4) == 10 + 3 * 53 * 40 / 60  # the largest part
    assert estimates.shard_minutes(run(), {"seconds_per_point": 1e-4}, of=4) == 11


def test_the_range_and_the_centre_are_counted_in_points():
    report = {"seconds_per_point": 2.0}
    assert estimates.range_minutes(report) == 10 + 3 * 60 * 2 / 60
    assert estimates.centre_minutes(run(), report) == 10 + 26  # 3 x (200 + 52.5) x 2 s, rounded up
    dense = run(verdict=VerdictSettings(density=True))
    assert estimates.centre_minutes(dense, report) == 10 + 326


def test_memory_is_what_the_probe_took_and_more():
    assert estimates.memory_mb({"memory_mb": 1000.0}) == 1750


@pytest.mark.parametrize("report", [{}, {"seconds_per_point": float("nan"), "memory_mb": "much"}])
def test_what_no_probe_measured_is_not_asked_for(report):
    assert estimates.shard_minutes(run(), report, of=1) == 10
    assert estimates.memory_mb(report) == 8000


def test_the_profile_for_slurm_names_rules_that_there_are_and_leaves_nothing_of_the_default_out():
    rules = {
        name
        for path in (REPO / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^(?:rule|checkpoint) (\w+):", path.read_text(), re.MULTILINE)
    }
    profile = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text())
    assert set(profile["groups"]) <= rules
    assert set(profile["set-resources"]) == set(profile["groups"])
    assert set(profile["group-components"]) == set(profile["groups"].values())
    limited = {key for asked in profile["set-resources"].values() for key in asked}
    assert profile["resources"] == ["side_by_side=4"]  # or a group asks for a core a picture
    assert profile["set-resource-scopes"] == ["side_by_side=local"]
    assert limited == {"side_by_side", "mem_mb", "runtime"}
    for key, value in yaml.safe_load((PROFILES / "default" / "config.yaml").read_text()).items():
        if key != "resources":  # one GPU at a time is for one machine
            assert profile[key] == value
