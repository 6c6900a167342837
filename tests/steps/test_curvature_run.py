"""Whole runs with curvature, as the scripts make them, against formulas."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from landscape_lib import config
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.pictures import draw
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.storage import load_directions, load_surface
from scripts import (
    evaluate_shard,
    make_verdict,
    measure_centre,
    merge_shards,
    plot_spectrum,
    probe,
)
from scripts import make_directions as make_directions_script

# A network of two scalars, w1 w2, and its squared error to 1:  L = (w1 w2 - 1)^2 / 2.
PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


class Product(nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.first = nn.Parameter(torch.tensor(first))
        self.second = nn.Parameter(torch.tensor(second))

    def forward(self, inputs):
        return self.first * self.second * inputs


def half_square(outputs, targets):
    return (outputs - targets).square().sum(1) / 2


def build(first=0.0, second=0.0):
    data = torch.ones(3, 1), torch.ones(3, 1)
    return Problem(Product(first, second), data, {"half": half_square})


def own_loop(first=0.0, second=0.0):
    problem = build(first, second)
    return Problem(problem.model, problem.data, lambda net, loader, use_cuda: {"one": 1.0})
"""
KEY = "train_loss_half"


@pytest.fixture
def saddle(tmp_path, monkeypatch):
    """Returns a config of the run "own" around w1 = w2 = 0, or other weights, in float64."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own.py").write_text(PROBLEM)

    def configured(**parts):
        told = {
            "problem": "own.py:build",
            "grid": {"x": [-1, 1, 5], "y": [0, 1, 3], "shards": 2},
            "directions": {"kind": "hessian", "y": {"eigenvector": -1}},
            "evaluation": {"precision": "float64", "curvature": True},
            **parts,
        }
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"runs": {"own": told}}))
        return config.load("c.yaml")

    yield configured
    for name in ("own", "_problem_own"):
        sys.modules.pop(name, None)


def script(module, out, *more):
    return module.main(
        ["--config", "c.yaml", "--run", "own", *more, *(["--out", out] if out else [])]
    )


def computed(shards=2):
    """Run the scripts, from directions to the surface."""
    folder = "results/own"
    assert script(make_directions_script, f"{folder}/directions.h5") == 0
    assert script(probe, f"{folder}/probe.json") == 0
    for k in range(shards):
        out = f"{folder}/shards/{k}-of-{shards}.h5"
        assert script(evaluate_shard, out, "--shard", str(k), "--of", str(shards)) == 0
    assert script(merge_shards, f"{folder}/surface.h5", "--of", str(shards)) == 0
    return load_surface(f"{folder}/surface.h5")


def hessian_of(first, second):
    cross = 2 * first * second - 1
    return np.array([[second**2, cross], [cross, first**2]])


def test_a_saddle_is_walked_along_its_eigenvectors_and_its_curvature_is_that_of_the_formula(saddle):
    saddle(verdict={"density": True})
    surface = computed()
    x, y = load_directions("results/own/directions.h5")
    np.testing.assert_allclose([float(t) for t in x], np.sqrt([0.5, 0.5]) * [1, -1], atol=1e-6)
    np.testing.assert_allclose([float(t) for t in y], np.sqrt([0.5, 0.5]), atol=1e-6)
    assert [d.attributes["eigenvalue"] for d in (x, y)] == pytest.approx([1, -1], abs=1e-12)
    report = json.loads(Path("results/own/probe.json").read_text())
    assert report["keys"] == [KEY, "hessian_min", "hessian_max", "hessian_ratio"]
    a, b = (axis.steps() for axis in surface.grid.axes)
    second_difference = surface[KEY][[1, 2, 3], 0] @ [1, -2, 1] / 0.5**2
    assert second_difference == pytest.approx(1 + 0.5**2 / 4, abs=1e-6)  # L = (1 + a^2 / 2)^2 / 2
    for i, j in np.ndindex(surface.grid.shape):
        first, second = np.sqrt(0.5) * (a[i] + b[j]), np.sqrt(0.5) * (b[j] - a[i])
        assert surface[KEY][i, j] == pytest.approx((first * second - 1) ** 2 / 2, abs=1e-6)
        low, high = np.linalg.eigvalsh(hessian_of(first, second))
        assert surface["hessian_min"][i, j] == pytest.approx(low, abs=1e-5)
        assert surface["hessian_max"][i, j] == pytest.approx(high, abs=1e-5)
        assert surface["hessian_ratio"][i, j] == pytest.approx(abs(low / high), abs=1e-4)
    assert surface.labels["hessian_min"].goal == "max"
    told = json.loads(surface.attributes["axis_directions"])
    assert [axis["eigenvector"] for axis in told] == [1, -1]

    assert script(measure_centre, "results/own/centre.json") == 0
    centre = json.loads(Path("results/own/centre.json").read_text())
    assert centre["density"]["nodes"][0] == pytest.approx([-1, 1])
    assert centre["density"]["exact"]
    assert script(plot_spectrum, None, "--format", "svg") == 0
    assert script(make_verdict, "results/own/verdict.json", "--page", "verdict.html") == 0
    numbers = json.loads(Path("results/own/verdict.json").read_text())["numbers"]
    named = {number["name"]: number["value"] for number in numbers}
    assert named["largest negative curvature"] == pytest.approx(
        (-surface["hessian_min"] / surface["hessian_max"]).max()
    )


def test_what_the_directions_are_is_told_at_the_axes(saddle):
    run = saddle(evaluation={"precision": "float64"}, figures={"formats": ["svg"]}).run("own")
    computed()
    paths = {path.name: path for path in draw(run, KEY, "svg")}
    words = paths[f"{KEY}_2dcontour.svg"].read_text()
    assert "eigenvector 1, λ\xa0=\xa01" in words
    assert "eigenvector −1, λ\xa0=\xa0−1" in words or "eigenvector -1, λ\xa0=\xa0−1" in words


def test_at_a_minimum_one_eigenvalue_is_zero_and_one_the_sum_of_squares(saddle):
    saddle(args={"first": 2.0, "second": 0.5}, directions={"kind": "hessian"})
    surface = computed()
    centre = surface.grid.shape[0] // 2, 0
    assert surface["hessian_max"][centre] == pytest.approx(4.25)
    assert surface["hessian_min"][centre] == pytest.approx(0, abs=1e-12)
    x, y = load_directions("results/own/directions.h5")
    assert x.attributes["eigenvalue"] == pytest.approx(4.25)
    assert y.attributes["eigenvalue"] == pytest.approx(0, abs=1e-12)


def test_curvature_is_in_the_journal_and_a_point_is_never_evaluated_again(saddle, monkeypatch):
    saddle()
    wanted = computed()
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "several", lambda *_: pytest.fail("evaluated again"))
        out = ["results/own/again.h5", "--shard", "0", "--of", "1"]
        assert script(evaluate_shard, *out) == 0
    (folder,) = [p for p in Path("results/own/journal").iterdir() if p.is_dir()]
    with Journal(folder) as journal:
        assert len(journal.read()) == wanted.grid.size


def test_where_the_hessian_is_not_finite_its_ends_are_nan_and_the_loss_stays(saddle):
    saddle(grid={"x": [-1e200, 1e200, 3]}, directions={"kind": "hessian"})
    surface = computed(1)
    assert np.isnan(surface["hessian_ratio"]).tolist() == [True, False, True]
    assert np.isinf(surface[KEY]).tolist() == [True, False, True]


def test_a_loop_of_ones_own_has_no_hessian_and_the_message_says_so(saddle, capsys):
    saddle(problem="own.py:own_loop")
    assert script(make_directions_script, "results/own/directions.h5") == 2
    assert "Directions of kind 'hessian': the metrics are a function that runs its own loop" in (
        capsys.readouterr().err
    )
    assert script(probe, "results/own/probe.json") == 2
    assert "The curvature is asked for at every point, but the metrics are a function" in (
        capsys.readouterr().err
    )


def test_a_plane_takes_eigenvectors_that_are_there(saddle):
    run = saddle(directions={"kind": "hessian", "y": {"eigenvector": 3}}).run("own")
    with pytest.raises(InputError, match="of 2 eigenvectors there is none with number"):
        make_directions(run, "directions.h5")


def test_eigenvectors_depend_on_the_code_of_the_loss_and_random_directions_do_not(saddle, tmp_path):
    found = {}
    for kind in ("hessian", "random"):
        for comment in ("", "\n\nMORE = 1\n"):
            (tmp_path / "own.py").write_text(PROBLEM + comment)
            depends = Dependencies(saddle(directions={"kind": kind}))
            found[kind, comment] = depends.directions("own")
            assert depends.bends("own") == (kind == "hessian")
    assert len(set(found.values())) == 3


def test_the_spectrum_is_a_target_only_where_it_is_asked_for(saddle):
    for density in (False, True):
        targets = Dependencies(saddle(verdict={"density": density})).targets("own")
        assert ("results/own/figures/spectrum.pdf" in targets) == density


def test_curvature_off_is_what_a_run_without_the_key_is(saddle):
    plain = saddle(evaluation={"precision": "float64"}).run("own").settings("evaluation")
    off = saddle(evaluation={"precision": "float64", "curvature": False}).run("own")
    assert off.settings("evaluation") == plain
    assert "curvature" not in plain
