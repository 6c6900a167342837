"""One switch in a config draws a run beside itself: from directions to the comparison's picture."""

import json
import sys

import numpy as np
import pytest
import yaml

from landscape_lib import LossLandscape
from landscape_lib.utils.storage import directions_attributes, load_directions
from tests.pipeline.test_messages import script
from tests.steps.walk import to_surface

PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6, eps=1e-12), nn.ReLU(), nn.Linear(6, 3)
    )


def data():
    torch.manual_seed(1)
    return torch.randn(24, 4), torch.arange(24) % 3


def build():
    return Problem(network().eval(), data())
"""
GRID = {"x": [-0.5, 1, 4], "y": [-1, 1, 3]}


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Returns a function that takes runs all the way, in two shards, and gives their surfaces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "own_norms.py").write_text(PROBLEM)

    def run(names, **settings):
        runs = {"mine": {"problem": "own_norms.py:build", "grid": GRID, **settings}}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"runs": runs}))
        return {name: to_surface(name) for name in names}

    yield run
    for name in ("own_norms", "_problem_own_norms"):
        sys.modules.pop(name, None)


def landscape(**options):
    import own_norms

    return LossLandscape(own_norms.network().eval(), own_norms.data(), plan="plain", **options)


def test_three_ways_with_batch_norms_are_drawn_by_one_switch_and_by_the_library(drawn, tmp_path):
    names = ["mine", "mine_reestimated", "mine_states"]
    surfaces = drawn(names, compare_batch_norm=True, evaluation={"plan": "plain"})
    script("compare_runs")(["--config", "c.yaml", "--key", "train_loss", "--format", "png"])
    assert (tmp_path / "results/comparison/train_loss.png").stat().st_size > 10_000
    told = [
        json.loads((tmp_path / f"results/{n}/probe.json").read_text())["problem"] for n in names
    ]
    assert told[0]["fingerprint"] == told[2]["fingerprint"] != told[1]["fingerprint"]
    assert told[1]["evaluation"] == {**told[0]["evaluation"], "reestimated_on": "all"}
    frozen, anew, states = (surface["train_loss"] for surface in surfaces.values())
    assert not np.allclose(frozen, anew, rtol=0.05)
    assert not np.allclose(frozen, states, rtol=0.05)
    axes = {"xrange": (-0.5, 1, 4), "yrange": (-1, 1, 3), "save": False}
    for wanted, options, call in (
        (frozen, {}, {}),
        (anew, {"batch_norm": "reestimated"}, {}),
        (states, {}, {"dir_type": "states", "ignore": "biasbn_parameters"}),
    ):
        found = landscape(**options).compute_2d(**axes, **call)["losses"]
        assert found.tobytes() == wanted.tobytes()
    stored = [load_directions(f"results/{name}/directions.h5") for name in names]
    assert all(np.array_equal(d[0], stored[0][0][0]) for d, _ in stored)  # the weights move alike


def test_the_verdict_knows_that_statistics_were_estimated_anew(drawn, tmp_path):
    drawn(["mine"], evaluation={"batch_norm": "reestimated", "batch_norm_samples": 12})
    here = ["--config", "c.yaml", "--run", "mine"]
    folder = tmp_path / "results/mine"
    assert script("measure_centre")([*here, "--out", str(folder / "centre.json")]) == 0
    pages = ["--out", str(folder / "verdict.json"), "--page", str(folder / "verdict.html")]
    assert script("make_verdict")([*here, *pages]) == 0
    told = (folder / "verdict.json").read_text()
    assert "their statistics are estimated anew at every point" in told
    assert "batch norms are estimated anew at every point, which is not followed here" in told


def test_layers_are_drawn_one_by_one_and_the_table_says_which_moves_trap_11(drawn, tmp_path):
    names = ["mine", "mine_0", "mine_3"]
    surfaces = drawn(names, per_layer=["0.*", "3"], evaluation={"plan": "plain"})
    script("compare_runs")(["--config", "c.yaml", "--key", "train_loss", "--format", "png"])
    assert (tmp_path / "results/comparison/train_loss.png").stat().st_size > 10_000
    whole, first, last = (load_directions(f"results/{name}/directions.h5") for name in names)
    for d, one, other in zip(whole, first, last, strict=True):
        assert all(np.array_equal(a + b, c) for a, b, c in zip(one, other, d, strict=True))
    assert first[0].attributes["layers"] == "0.*"
    assert "content" in directions_attributes("results/mine_0/directions.h5")
    table = (tmp_path / "results/mine_0/directions.txt").read_text().splitlines()
    rows = {line.split()[0]: line for line in table}
    assert "not in layers" in rows["3.weight"]
    assert " filter " in rows["0.weight"]
    axes = {"xrange": (-0.5, 1, 4), "yrange": (-1, 1, 3), "save": False}
    for name, glob in (("mine_0", "0.*"), ("mine_3", ["3"])):
        found = landscape().compute_2d(**axes, layers=glob)["losses"]
        assert found.tobytes() == surfaces[name]["train_loss"].tobytes()
    curve = landscape().compute_1d(xrange=(-0.5, 1, 4), layers="0", save=False)["losses"]
    np.testing.assert_allclose(curve, surfaces["mine_0"]["train_loss"][:, 1], rtol=1e-6)


def test_the_librarys_options_are_checked_before_anything_is_computed(drawn):
    drawn([])
    with pytest.raises(ValueError, match="batch_norm is 'live'; wanted 'frozen', 'reestimated'"):
        landscape(batch_norm="live")
    with pytest.raises(ValueError, match="batch_norm_samples is 1; wanted a whole number from 2"):
        landscape(batch_norm="reestimated", batch_norm_samples=1)
    with pytest.raises(ValueError, match="dir_type='states' moves the running statistics"):
        landscape(batch_norm="reestimated").compute_1d(dir_type="states", save=False)
    with pytest.raises(ValueError, match="'4' matches no parameter"):
        landscape().compute_1d(layers="4", save=False)
