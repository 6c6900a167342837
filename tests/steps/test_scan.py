"""A range that is found by itself shows the basin, and never moves afterwards."""

import json
import math

import numpy as np
import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import evaluate_shard
from landscape_lib.steps.extent import with_range
from landscape_lib.steps.merge import merge_shards
from landscape_lib.steps.probe import probe
from landscape_lib.steps.scan import choose_range, rim
from landscape_lib.utils.records import write_record
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_surface

TRAINED = """\
import torch
from torch import nn

from landscape_lib import Problem


def build(factor=1.0):
    net = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        net.weight.copy_(factor * torch.eye(3))
    inputs = 5 * torch.eye(3).repeat(4, 1)
    return Problem(net, (inputs, torch.arange(12) % 3), metrics={METRICS})
"""


@pytest.fixture
def auto(run, tmp_path):
    """Returns a run, probed and with directions, whose loss is that of a trained model."""

    def made(grid, metrics="nn.CrossEntropyLoss()", **args):
        here = run(grid=grid, args=args)
        (tmp_path / "own.py").write_text(TRAINED.replace("{METRICS}", metrics))
        probe(here, here.path("probe.json"))
        make_directions(here, here.path("directions.h5"))
        return here

    return made


@pytest.mark.parametrize("width", [0.04, 0.3, 1.0, 1.7, 30.0])
def test_a_rim_is_found_to_five_percent(width):
    asked = []

    def loss(distance):
        asked.append(distance)
        return math.inf if distance > 2 * width else (distance / width) ** 2

    assert rim(loss, 1.0) == pytest.approx(width, rel=0.05)
    assert len(asked) <= 10


def test_a_rim_beyond_reach_is_nowhere_and_nan_is_one():
    assert math.isnan(rim(lambda distance: 0.0, 1.0))
    assert rim(lambda distance: math.nan, 1.0) < 1 / 16


def test_a_chosen_range_reaches_the_rim_and_is_used_by_every_shard(auto):
    here = auto({"x": "auto", "y": [-1, 1, 4]})
    choose_range(here, here.path("range.json"), Stops())
    found = json.loads(here.path("range.json").read_text())
    assert found["level"] == pytest.approx(math.log(3))
    assert list(found["range"]) == ["x"]
    low, high = found["range"]["x"]
    assert low == -high
    with_ends = with_range(here)
    assert with_ends.grid.axes == (Axis(low, high, 51), Axis(-1, 1, 4))
    shard = here.path("shards", "0-of-1.h5")
    evaluate_shard(here, 0, 1, shard, Stops())
    merge_shards(here, [shard], here.path("surface.h5"))
    surface = load_surface(here.path("surface.h5"))
    assert surface.grid == with_ends.grid
    finer = with_range(auto({"x": [low, high, 401]})).grid.axes[0].steps()
    line = auto({"x": [low, high, 401]})
    evaluate_shard(line, 0, 1, line.path("line.h5"), Stops())
    merge_shards(line, [line.path("line.h5")], line.path("line-surface.h5"))
    losses = load_surface(line.path("line-surface.h5"))["train_loss"]
    rims = [
        np.min(np.abs(finer[(losses >= math.log(3)) & (np.sign(finer) == sign)]), initial=np.inf)
        for sign in (-1, 1)
    ]
    assert high == pytest.approx(1.25 * max(r for r in rims if r < np.inf), rel=0.08)


def test_a_range_once_chosen_is_kept_beside_the_journal(auto):
    here = auto({"x": "auto"})
    choose_range(here, here.path("range.json"), Stops())
    first = here.path("range.json").read_text()
    (kept,) = here.path("journal").glob("range-*.json")
    write_record(kept, {"x": [-0.5, 0.5]})
    here.path("range.json").unlink()
    choose_range(here, here.path("range.json"), Stops())
    assert json.loads(here.path("range.json").read_text())["range"] == {"x": [-0.5, 0.5]}
    assert "-0.5" not in first


def test_where_there_is_no_basin_the_ends_are_to_be_said(auto):
    here = auto({"x": "auto"}, factor=-1.0)
    with pytest.raises(InputError, match=r"is not below 1\.1, that of outputs .* Say the ends"):
        choose_range(here, here.path("range.json"), Stops())


def test_a_function_with_its_own_loop_has_no_level(auto):
    here = auto({"x": "auto"}, metrics="lambda net, loader, use_cuda: {'one': 1.0}")
    with pytest.raises(InputError, match=r"runs its own loop over the data\. Say the ends"):
        choose_range(here, here.path("range.json"), Stops())


def test_a_range_that_is_missing_or_damaged_says_what_to_do(auto):
    here = auto({"x": "auto"})
    with pytest.raises(InputError, match="there is no such file; run choose_range first"):
        with_range(here)
    here.path("range.json").write_text('{"range": {}}')
    with pytest.raises(InputError, match="it is damaged"):
        with_range(here)
