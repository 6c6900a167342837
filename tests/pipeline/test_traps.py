"""Faults of earlier tools that show only in what a whole run leaves behind."""

import json
import re

import h5py
import numpy as np
import pytest

from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.utils.storage import load_surface


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


def test_every_key_is_drawn_the_plain_ones_too_trap_40(tmp_path, monkeypatch):
    from landscape_lib import config

    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def build(): pass\n")
    (tmp_path / "c.yaml").write_text(
        "runs: {own: {problem: 'own.py:build', grid: {x: [0, 1, 3], y: [0, 2, 4]}}}"
    )
    (tmp_path / "results/own").mkdir(parents=True)
    keys = ["train_loss", "train_acc", "train_loss_own", "test_loss"]
    (tmp_path / "results/own/probe.json").write_text(json.dumps({"keys": keys}))
    targets = Dependencies(config.load("c.yaml")).targets("own")
    assert {f"results/own/paraview/{key}.vtp" for key in keys} <= set(targets)
    assert sum("/figures/" in target for target in targets) == 4 * len(keys)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_two_axes_are_not_swapped_anywhere_trap_1_and_2(finished, axis):
    """5 x 4 points: a swap would not even fit; along each axis the slope is the direction's."""
    with h5py.File(finished.folder / "results/one/surface.h5") as file:
        values = file["train_loss_height"][()]
        steps = file[("xcoordinates", "ycoordinates")[axis]][()]
    with h5py.File(finished.folder / "results/one/directions.h5") as file:
        direction = file[("xdirection", "ydirection")[axis] + "/0"][()].ravel()
    assert values.shape == (5, 4)
    slope = np.diff(values, axis=axis) / np.diff(steps)[0]
    np.testing.assert_allclose(slope, 10 * direction[0] + direction[1], rtol=1e-4, atol=1e-5)
