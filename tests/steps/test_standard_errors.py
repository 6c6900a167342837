"""Whole runs with standard errors, as scripts and library make them, against formulas."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from landscape_lib import LossLandscape, config
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.pictures import draw
from landscape_lib.utils.journal import Journal, decode, encode
from landscape_lib.utils.storage import load_directions, load_surface
from tests.steps.walk import to_surface

# One weight w; the loss of the sample x is (w - x)^2, so that everything is known in closed form.
PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem

SAMPLES = torch.linspace(-1, 2, 30, dtype=torch.float64)[:, None] ** 3


class Height(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.5]], dtype=torch.float64))

    def forward(self, inputs):
        return self.weight - inputs


def square(outputs, targets):
    return outputs.square()


def build():
    return Problem(Height(), (SAMPLES, torch.zeros(30)), {"square": square})
"""
KEY = "train_loss_square"
SAMPLES = np.linspace(-1, 2, 30) ** 3


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Returns a function that takes the run "own" to its surface, in two shards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "own_height.py").write_text(PROBLEM)

    def taken(count=7, **evaluation):
        told = {
            "problem": "own_height.py:build",
            "grid": {"x": [-1, 2, count]},
            "directions": {"normalize": "weight"},
            "evaluation": {"precision": "float64", "plan": "plain", **evaluation},
        }
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"runs": {"own": told}}))
        return to_surface()

    yield taken
    for name in ("own_height", "_problem_own_height"):
        sys.modules.pop(name, None)


def wanted(surface):
    """s / sqrt(n) of (w - x)^2 at every weight w of the curve."""
    ((step,),) = load_directions("results/own/directions.h5")[0].tensors
    weights = 0.5 + surface.grid.axes[0].steps() * float(step)
    return ((weights[:, None] - SAMPLES) ** 2).std(axis=1, ddof=1) / math.sqrt(30)


def test_every_value_comes_with_its_standard_error_by_pipeline_and_library(run):
    surface = run()
    assert surface.keys == (KEY,)
    np.testing.assert_allclose(surface.standard_error(KEY), wanted(surface), rtol=1e-12)
    import own_height

    problem = own_height.build()
    landscape = LossLandscape(problem.model, problem.data, problem.metrics, plan="plain")
    landscape.compute_1d(xrange=(-1, 2, 7), normalize="weight")
    for found in (landscape.surface, load_surface("loss_surface.h5")):
        assert found.standard_error(KEY).tobytes() == surface.standard_error(KEY).tobytes()


def test_they_are_no_metrics_and_the_curve_shows_them_as_its_band(run):
    surface = run()
    targets = Dependencies(config.load("c.yaml")).targets("own")
    assert [one for one in targets if "figures" in one] == [f"results/own/figures/{KEY}_1d.pdf"]
    plain = run(standard_error=False)
    assert plain.beside == {}
    assert plain[KEY].tobytes() == surface[KEY].tobytes()
    (bare,) = draw(config.load("c.yaml").run("own"), KEY, "png")
    size = bare.stat().st_size
    run()
    (banded,) = draw(config.load("c.yaml").run("own"), KEY, "png")
    assert banded.stat().st_size > size


def test_an_older_journal_keeps_its_points_and_only_new_ones_have_errors(run, caplog):
    run()
    (folder,) = (one for one in Path("results/own/journal").iterdir() if one.is_dir())
    for path in folder.glob("*.jsonl"):
        lines = [decode(line) for line in path.read_bytes().splitlines()]
        bare = [(at, {KEY: values[KEY]}, plan) for at, values, plan in lines]
        path.write_bytes(b"\n".join(encode(*line).rstrip() for line in bare) + b"\n")
    surface = run(count=13)
    found = surface.standard_error(KEY)
    assert np.isnan(found[::2]).all()
    np.testing.assert_allclose(found[1::2], wanted(surface)[1::2], rtol=1e-12)
    told = re.findall(r"has, (\d+) were evaluated without standard errors", caplog.text)
    assert sum(map(int, told)) == 7  # each shard tells of its own
    with Journal(folder) as journal:
        assert len(journal.read()) == 13


def test_switching_them_off_is_no_reason_for_other_points_or_another_plan(run):
    run()
    kept = {path for path in Path("results/own/journal").rglob("*")}
    run(standard_error=False)
    assert {path for path in Path("results/own/journal").rglob("*")} == kept


def test_the_spread_over_bootstrap_samples_is_asked_for_and_agrees(run):
    plain = run()
    surface = run(bootstrap=500)
    assert surface[KEY].tobytes() == plain[KEY].tobytes()
    found, stated = surface.bootstrap_error(KEY), surface.standard_error(KEY)
    np.testing.assert_allclose(found, stated, rtol=0.15)
    assert np.isnan(plain.bootstrap_error(KEY)).all()
    import own_height

    problem = own_height.build()
    options = {"plan": "plain", "bootstrap": 500}
    landscape = LossLandscape(problem.model, problem.data, problem.metrics, **options)
    landscape.compute_1d(xrange=(-1, 2, 7), normalize="weight", save=False)
    assert landscape.surface.bootstrap_error(KEY).tobytes() == found.tobytes()
