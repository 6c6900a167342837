"""The pipeline's steps against numbers of the original program."""

import h5py
import numpy as np
import pytest
import torch
import yaml

from tests.pipeline.conftest import REPO
from tests.pipeline.test_messages import script

DATA = REPO / "tests" / "data" / "digits_cnn.h5"
PROBLEM = f"""\
import h5py
import torch
from torch import nn

from landscape_lib import Problem


def build(checkpoint):
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )
    net.load_state_dict(torch.load(checkpoint, weights_only=True))
    with h5py.File({str(DATA)!r}) as file:
        inputs, targets = (torch.tensor(file["data"][name][()]) for name in ("inputs", "targets"))
    return Problem(net, (inputs, targets))
"""
SURFACES = ["filter_biasbn", "filter_none", "layer_biasbn", "dfilter_biasbn"]


def axis_of(steps):
    return [float(steps[0]), float(steps[-1]), len(steps)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Both models' checkpoints, and the reference's directions in the original's layout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reference_problem.py").write_text(PROBLEM)
    with h5py.File(DATA) as file:
        for model in ("model_a", "model_b"):
            state = {name: torch.tensor(box[()]) for name, box in file[model]["state"].items()}
            torch.save(state, tmp_path / f"{model}.pt")
        for name in SURFACES:
            with h5py.File(tmp_path / f"{name}.h5", "w") as out:
                for axis in "xy":
                    file.copy(f"direction/{name}/{axis}", out, f"{axis}direction")
    return tmp_path


def evaluate(directions, **grid):
    """Go the whole way from a config to the surface, by the scripts."""
    run = {
        "problem": "reference_problem.py:build",
        "args": {"checkpoint": "model_a.pt"},
        "grid": {**grid, "shards": 2},
        "directions": directions,
    }
    with open("config.yaml", "w") as file:
        yaml.safe_dump({"runs": {"own": run}}, file)

    def call(name, *more):
        common = ["--config", "config.yaml", "--run", "own"]
        assert script(name)([*common, *more]) == 0

    call("make_directions", "--out", "results/own/directions.h5")
    call("probe", "--out", "results/own/probe.json")
    for k in "01":
        shard = f"results/own/shards/{k}-of-2.h5"
        call("evaluate_shard", "--shard", k, "--of", "2", "--out", shard)
    call("merge_shards", "--of", "2", "--out", "results/own/surface.h5")
    return h5py.File("results/own/surface.h5")


def agree(found, wanted):
    np.testing.assert_allclose(found["train_loss"][()], wanted["train_loss"][()], rtol=1e-5)
    np.testing.assert_array_equal(found["train_acc"][()], wanted["train_acc"][()])


@pytest.mark.parametrize("name", SURFACES)
def test_surfaces_are_those_of_the_original_program(folder, name):
    with h5py.File(DATA) as reference:
        x, y = (axis_of(reference["surface"][f"{a}coordinates"][()]) for a in "xy")
        directions = {"kind": "file", "path": f"{name}.h5"}
        with evaluate(directions, x=x, y=y) as found:
            assert found["train_loss"].shape == (7, 5)
            agree(found, reference["surface"][name])


@pytest.mark.parametrize(
    ("name", "directions"),
    [
        ("random", {"kind": "file", "path": "filter_biasbn.h5"}),
        ("target_weights", {"kind": "target", "model": "model_b.pt"}),
        ("target_states", {"kind": "target", "model": "model_b.pt", "dir_type": "states"}),
    ],
)
def test_curves_are_those_of_the_original_program(folder, name, directions):
    with h5py.File(DATA) as reference:
        x = axis_of(reference["curve"][name]["xcoordinates"][()])
        with evaluate(directions, x=x) as found:
            agree(found, reference["curve"][name])


def test_directions_of_the_pipeline_have_the_norms_of_the_filters(folder):
    directions = {"kind": "random", "seed": 3}
    with evaluate(directions, x=[-1, 1, 2], y=[0, 1, 3]):
        pass
    state = torch.load("model_a.pt", weights_only=True)
    with h5py.File("results/own/directions.h5") as file:
        for box in file["xdirection"].values():
            weight = state[box.attrs["name"]].numpy()
            if weight.ndim <= 1:
                assert not box[()].any()
                continue
            norms = [np.linalg.norm(a.reshape(len(a), -1), axis=1) for a in (box[()], weight)]
            np.testing.assert_allclose(*norms, rtol=1e-6)
