"""Faults of earlier tools that show only on the whole way, from the model to the last file."""

import json
import re

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib.core.direction import Direction
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import merge
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.utils.records import write_record
from landscape_lib.utils.storage import load_surface, save_surface
from landscape_lib.viz.paraview import export_vtp
from landscape_lib.viz.plot_1d import plot_curve
from landscape_lib.viz.plot_2d import KINDS, plot_surface
from landscape_lib.viz.style import PLAIN_LOOK
from tests.viz.test_paraview import Read

X, Y = Axis(-1, 2, 7), Axis(0, 4, 5)


def saved(path, *axes):
    """Measure a metric function of one's own, lowest where w = (1, 3), and save it."""
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    units = torch.eye(2)[:, None]
    directions = [Direction(("weight",), (unit,)) for unit in units[: len(axes)]]

    def metric(net, loader, use_cuda):
        w = net.weight.detach().flatten()
        return {"own": 10 * (w[0] - 1) ** 2 + (w[1] - 3) ** 2}

    evaluator = Evaluator(model, metric, prepare((torch.zeros(3, 2), torch.zeros(3, 1))))
    grid = Grid(axes)
    save_surface(path, merge([measure(model, evaluator, directions, grid, range(grid.size))]))
    return load_surface(path)


def test_the_optimum_is_at_the_same_steps_in_file_figures_and_vtp_trap_1(tmp_path):
    surface = saved(tmp_path / "surface.h5", X, Y)
    with h5py.File(tmp_path / "surface.h5") as file:
        i, j = np.unravel_index(np.argmin(file["train_loss_own"]), (7, 5))
        assert (file["xcoordinates"][i], file["ycoordinates"][j]) == (1, 3)
    for draw in KINDS.values():
        figure = draw(surface, "train_loss_own", PLAIN_LOOK)
        (star,) = (line for line in figure.axes[0].lines if line.get_gid() == "best")
        place = star.get_data_3d() if hasattr(star, "get_data_3d") else star.get_data()
        assert [float(part[0]) for part in place[:2]] == [1, 3]
    sheet = Read(export_vtp(surface, "train_loss_own", tmp_path / "own.vtp"))
    lowest = np.argmin(sheet.points[:, 2])
    assert sheet.points[lowest].tolist() == [1, 3, 0]
    assert [sheet.arrays[name][lowest] for name in ("alpha", "beta")] == [1, 3]


def test_a_curve_of_ones_own_metric_goes_the_way_of_a_surface_and_beside_it_trap_6(tmp_path):
    curve, surface = saved(tmp_path / "curve.h5", X), saved(tmp_path / "surface.h5", X, Y)
    assert curve.keys == surface.keys == ("train_loss_own",)
    np.testing.assert_array_equal(curve["train_loss_own"], surface["train_loss_own"][:, 0])
    figures = [
        *plot_curve(curve, "train_loss_own", tmp_path / "figures", format="png"),
        *plot_surface(surface, "train_loss_own", tmp_path / "figures", format="png"),
    ]
    assert len(set(figures)) == 5
    assert all(path.stat().st_size for path in figures)


def test_a_surface_says_seed_directions_config_and_versions_trap_29(finished):
    with h5py.File(finished.folder / "results/one/surface.h5") as surface:
        found = dict(surface.attrs)
        directions = h5py.File(finished.folder / "results/one/directions.h5").attrs["content"]
    assert found["axis_order"] == "xy"
    assert json.loads(found["seed"]) == [0, 0]
    assert found["directions"] == directions
    assert -1 <= found["cosine"] <= 1
    assert len(found["fingerprint"]) == 64
    assert "one.py:build" in found["config"]
    assert {"torch", "landscape-lib"} <= set(json.loads(found["versions"]))


def test_file_names_are_short_and_plain_trap_30(finished):
    for path in (finished.folder / "results").rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._%-]{1,80}", path.name), path.name


def test_values_are_arrays_not_open_files_trap_33(project):
    path = project.folder / "results/one/surface.h5"
    surface = load_surface(path)
    path.unlink()
    assert isinstance(surface["train_loss_height"], np.ndarray)
    assert np.isfinite(surface["train_loss_height"]).all()


def test_every_key_is_drawn_the_plain_ones_too_traps_32_and_40(tmp_path, monkeypatch):
    from landscape_lib import config

    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def build(): pass\n")
    (tmp_path / "c.yaml").write_text(
        "runs: {own: {problem: 'own.py:build', grid: {x: [0, 1, 3], y: [0, 2, 4]}}}"
    )
    (tmp_path / "results/own").mkdir(parents=True)
    keys = ["train_loss", "train_acc", "train_loss_own", "test_loss"]
    report = {"keys": keys, "plan": {}, "seconds_per_point": 1.0, "problem": {}}
    write_record(tmp_path / "results/own/probe.json", report)
    targets = Dependencies(config.load("c.yaml")).targets("own")
    assert {f"results/own/paraview/{key}.vtp" for key in keys} <= set(targets)
    assert sum("/figures/" in target for target in targets) == 4 * len(keys) + 1  # the gap


@pytest.mark.parametrize("axis", [0, 1])
def test_the_two_axes_are_not_swapped_anywhere_traps_1_and_2(finished, axis):
    """5 x 4 points: a swap would not even fit; along each axis the slope is the direction's."""
    with h5py.File(finished.folder / "results/one/surface.h5") as file:
        values = file["train_loss_height"][()]
        steps = file[("xcoordinates", "ycoordinates")[axis]][()]
    with h5py.File(finished.folder / "results/one/directions.h5") as file:
        direction = file[("xdirection", "ydirection")[axis] + "/0"][()].ravel()
    assert values.shape == (5, 4)
    slope = np.diff(values, axis=axis) / np.diff(steps)[0]
    np.testing.assert_allclose(slope, 10 * direction[0] + direction[1], rtol=1e-4, atol=1e-5)
