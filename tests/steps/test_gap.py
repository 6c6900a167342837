"""Training data and others in one pass over the grid, and the gap between them, in closed form."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from landscape_lib import LossLandscape, config
from landscape_lib.core.errors import InputError
from landscape_lib.core.gap import gap_of, gaps, with_gaps
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.utils.storage import load_directions
from landscape_lib.viz.gap import gap
from landscape_lib.viz.style import Look
from scripts import (
    export_flat,
    plot_gap,
)
from tests.steps.walk import to_surface

# Each sample x has the loss |w - x|^2.  The test data are the training data moved by (2, 0), so the
# gap is  |w - m - (2, 0)|^2 - |w - m|^2 = 4 - 4 (w_1 - m_1),  m the mean of the training data.
PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem

torch.manual_seed(0)
SAMPLES = torch.randn(20, 2, dtype=torch.float64)
MOVED = SAMPLES + torch.tensor([2.0, 0.0])


class Place(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.5, -1.0]], dtype=torch.float64))

    def forward(self, inputs):
        return self.weight - inputs


def far(outputs, targets):
    return outputs.square().sum(1)


def build():
    zeros = torch.zeros(20)
    splits = {"moved": (MOVED, zeros), "same": (SAMPLES, zeros)}
    return Problem(Place(), (SAMPLES, zeros), {"far": far}, splits)
"""
KEY = "moved_loss_far"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Returns a function that takes the run "own" to its surface, in two shards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "own_place.py").write_text(PROBLEM)

    def taken(**grid):
        told = {
            "problem": "own_place.py:build",
            "grid": grid,
            "evaluation": {"precision": "float64", "plan": "plain"},
        }
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"runs": {"own": told}}))
        return to_surface()

    yield taken
    for name in ("own_place", "_problem_own_place"):
        sys.modules.pop(name, None)


def landscape():
    import own_place

    problem = own_place.build()
    data = {"plan": "plain", "splits": problem.splits}
    return LossLandscape(problem.model, problem.data, problem.metrics, **data)


def test_the_gap_to_moved_data_is_the_formulas_and_to_the_same_data_exactly_zero(run):
    surface = run(x=[-1, 1, 5], y=[-1, 2, 4])
    import own_place

    directions = load_directions("results/own/directions.h5")
    east = [float(direction[0][0, 0]) for direction in directions]
    points = surface.grid.points(range(20)).reshape(5, 4, 2)
    first = 0.5 + points @ np.array(east)
    wanted = 4 - 4 * (first - own_place.SAMPLES[:, 0].mean().item())
    found = with_gaps(surface)
    np.testing.assert_allclose(found[f"{KEY}_gap"], wanted, rtol=1e-12)
    assert not found["same_loss_far_gap"].any()
    assert found.labels[f"{KEY}_gap"].long_name == "moved far \N{MINUS SIGN} train far"
    error = np.hypot(surface.standard_error(KEY), surface.standard_error("train_loss_far"))
    np.testing.assert_array_equal(found.standard_error(f"{KEY}_gap"), error)
    library = landscape()
    result = library.compute_2d((-1, 1, 5), (-1, 2, 4))
    for split in ("moved", "same"):
        found = result["splits"][split]["losses"]["far"]
        assert found.tobytes() == surface[f"{split}_loss_far"].tobytes()
    assert result["losses"]["far"].tobytes() == surface["train_loss_far"].tobytes()
    assert [path.name for path in library.plot_gap()] == [
        f"loss_surface.h5_{key}_gap.pdf" for key in (KEY, "same_loss_far")
    ]


def test_the_gap_is_a_picture_of_its_own_and_an_array_for_paraview(run, capsys):
    run(x=[-1, 1, 5], y=[-1, 2, 4])
    targets = Dependencies(config.load("c.yaml")).targets("own")
    drawn = [one for one in targets if one.endswith("_gap.pdf")]
    assert drawn == [f"results/own/figures/{key}_gap.pdf" for key in (KEY, "same_loss_far")]
    here = ["--config", "c.yaml", "--run", "own"]
    assert plot_gap.main([*here, f"--key={KEY}", "--format", "png"]) == 0
    assert Path(f"results/own/figures/{KEY}_gap.png").stat().st_size > 10_000
    assert export_flat.main(here) == 0
    assert f'Name="{KEY}_gap"' in Path("results/own/paraview/flat.vtp").read_text("latin-1")
    assert plot_gap.main([*here, "--key=train_loss_far", "--format", "png"]) == 2
    assert f"it takes a metric of other data that the training data have, too; here ['{KEY}'" in (
        capsys.readouterr().err
    )


def test_a_curve_of_a_gap_has_its_band_and_a_line_at_zero(run):
    surface = run(x=[-1, 1, 5])
    axes = gap(surface, KEY).axes[0]
    (line,) = [one for one in axes.lines if one.get_gid() == "curve"]
    wanted = surface[KEY] - surface["train_loss_far"]
    np.testing.assert_allclose(line.get_ydata(), wanted)
    assert [one for one in axes.collections if one.get_gid() == "band"]
    (zero,) = [one for one in axes.lines if one.get_gid() == "zero"]
    assert list(zero.get_ydata()) == [0, 0]
    doubt = 2 * float(gap_of(surface, KEY).standard_error(f"{KEY}_gap")[2])
    told = "\n".join(text.get_text() for text in axes.texts)
    assert f"{wanted[2]:.3g} \N{PLUS-MINUS SIGN} {doubt:.2g} at the centre" in told


def test_only_metrics_that_both_data_sets_have_make_a_gap():
    keys = ["train_loss", "train_acc", "test_loss", "held_out_loss", "test_acc", "hessian_min"]
    wanted = {"test_loss": "train_loss", "held_out_loss": "train_loss", "test_acc": "train_acc"}
    assert gaps(keys) == wanted
    assert gaps(["train_loss_a", "train_loss_b", "test_loss_b"]) == {"test_loss_b": "train_loss_b"}
    assert gaps(["train_loss_a", "test_loss_a", "test_loss_a_gap"]) == {}
    assert gaps(["train_loss"]) == {}


GRID = Grid((Axis(-1, 1, 5), Axis(0, 1, 3)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((5, 3)), "equal where both are finite"),
        (np.full((5, 3), np.nan), "nowhere both finite"),
        (np.where(np.arange(15).reshape(5, 3) == 4, np.inf, 1.0), "1 of 15 points are not finite"),
        (np.linspace(-1, 1, 15).reshape(5, 3), "from \N{MINUS SIGN}1 to 1"),
        (np.where(np.arange(15).reshape(5, 3) == 4, 1e9, 1.0), "from 1 to 1e9"),
        (np.where(np.arange(15).reshape(5, 3) == 4, 1e305, -1e305), "from \N{MINUS SIGN}1 to 1"),
    ],
)
def test_any_gap_is_drawn_and_colours_are_white_at_zero(values, words):
    surface = Surface(GRID, {"train_loss": np.zeros((5, 3)), "test_loss": values})
    figure = gap(surface, "test_loss")
    assert words in "\n".join(text.get_text() for text in figure.axes[0].texts)
    for drawn in figure.axes[0].collections:
        if drawn.get_cmap().name == "RdBu_r" and drawn.norm.vmin is not None:
            assert drawn.norm.vmin == -drawn.norm.vmax


def test_a_curve_shows_its_whole_band_and_zero():
    line = Grid((Axis(-1, 1, 5),))
    error = np.array([3.0, 1, 0.1, 1, np.nan])
    surface = Surface(
        line,
        {"train_acc": np.full(5, 50.0), "test_acc": np.array([51.0, 52, 53, 52, 51])},
        beside={"standard_error/train_acc": 0 * error, "standard_error/test_acc": error},
    )
    axes = gap(surface, "test_acc").axes[0]
    low, high = axes.get_ylim()
    assert low <= 1 - 2 * 3
    assert high >= 1 + 2 * 3
    assert axes.get_ylabel() == "test accuracy \N{MINUS SIGN}\ntrain accuracy (%)"


def test_a_gap_that_is_partly_interpolated_says_so_and_shows_its_points():
    computed = np.arange(15).reshape(5, 3) % 2 == 0
    values = np.linspace(0, 1, 15).reshape(5, 3)
    told = {"train_loss": np.zeros((5, 3)), "test_loss": values}
    axes = gap(Surface(GRID, told, computed=computed), "test_loss", Look(computed=True)).axes[0]
    words = "\n".join(text.get_text() for text in axes.texts)
    assert "8 of 15 points evaluated, others interpolated" in words
    (dots,) = (line for line in axes.lines if line.get_gid() == "computed")
    assert len(dots.get_xdata()) == 8
    whole = gap(Surface(GRID, told), "test_loss", Look(computed=True)).axes[0]
    assert not [line for line in whole.lines if line.get_gid() == "computed"]


def test_plateaus_of_an_accuracy_gap_at_a_level_are_no_dashes():
    """Lines fold onto a ridge of points that have a level's value; bands alone show such a gap."""
    accuracies = np.full((5, 3), 50.0)
    accuracies[:, 1] = 52 + 1e-13 * np.arange(5)
    told = {"train_acc": np.full((5, 3), 50.0), "test_acc": accuracies}
    (bands,) = gap(Surface(GRID, told), "test_acc").axes[0].collections
    assert bands.filled
    told = {"train_loss": np.full((5, 3), 50.0), "test_loss": accuracies}
    assert len(gap(Surface(GRID, told), "test_loss").axes[0].collections) == 2


def test_without_other_data_there_is_no_gap():
    with pytest.raises(InputError, match=r"here there is none\. Give the problem splits"):
        gap_of(Surface(GRID, {"train_loss": np.zeros((5, 3))}), "test_loss")
