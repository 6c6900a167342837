"""Lines and planes through trained models: by the config's steps and by the library."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional

from landscape_lib import LossLandscape, barrier, config
from landscape_lib.core.direction import create_target_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.perturbation import excursion
from landscape_lib.problems.digits import split
from landscape_lib.steps.centre import measure_centre
from landscape_lib.steps.check import check
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import evaluate_shard
from landscape_lib.steps.merge import merge_shards
from landscape_lib.steps.probe import probe
from landscape_lib.steps.verdict import make_verdict
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_surface
from landscape_lib.viz.axis_names import axis_name, directions_of, models_on

PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem
from landscape_lib.problems.digits import split


def build(checkpoint):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(),
                        nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 10))
    net.load_state_dict(torch.load(checkpoint, weights_only=True))
    return Problem(net, tuple(part[:400] for part in split()[0]))
"""
DATA = tuple(part[:400] for part in split()[0])
PLAIN = {"plan": "plain"}


def untrained():
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU()),
        *(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 10)),
    )


def trained(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = untrained()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(60):
            optimizer.zero_grad()
            functional.cross_entropy(model(DATA[0]), DATA[1]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def models():
    return [trained(seed) for seed in range(3)]


@pytest.fixture
def computed(tmp_path, monkeypatch, models):
    """Returns the surface of a run from the first model with such grid and directions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own.py").write_text(PROBLEM)
    for name, model in zip("abc", models, strict=True):
        torch.save(model.state_dict(), f"{name}.pt")

    def computing(grid, directions):
        run = {"problem": "own.py:build", "args": {"checkpoint": "a.pt"}, "evaluation": PLAIN}
        runs = {"runs": {"own": {**run, "grid": grid, "directions": directions}}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(runs))
        here = config.load("config.yaml").run("own")
        probe(here, here.path("probe.json"))
        make_directions(here, here.path("directions.h5"))
        shards = [here.path("shards", f"{number}-of-2.h5") for number in range(2)]
        for number, path in enumerate(shards):
            evaluate_shard(here, number, 2, path, Stops())
        merge_shards(here, shards, here.path("surface.h5"))
        return load_surface(here.path("surface.h5"))

    yield computing
    for name in ("own", "_problem_own"):
        sys.modules.pop(name, None)


def loss(model):
    with torch.no_grad():
        return functional.cross_entropy(model(DATA[0]), DATA[1]).item()


def library(model):
    return LossLandscape(model, DATA, plan={"batch_size": 128})


def test_a_line_of_states_ends_at_both_models_own_losses(computed, models):
    towards = {"kind": "target", "model": "b.pt", "dir_type": "states"}
    surface = computed({"x": [0, 1, 5]}, towards)
    found = library(models[0]).compute_1d(
        "target", (0, 1, 5), dir_type="states", target_model=models[1], save=False
    )
    for values in (surface["train_loss"], found["losses"]):
        np.testing.assert_allclose(values[[0, -1]], [loss(m) for m in models[:2]], rtol=1e-5)
    np.testing.assert_array_equal(surface["train_loss"], found["losses"])
    assert axis_name(surface.attributes, 0) == "α: toward b.pt"
    assert models_on(directions_of(surface.attributes)) == [("b.pt", [1.0])]


def test_variances_stay_positive_between_two_models_trap_8(models):
    model, other = models[:2]
    with excursion(model, [create_target_direction(model, other, "states")]) as trip:
        for step in np.linspace(0, 1, 11):
            trip.move([step])
            assert float(model[2].running_var.min()) > 0
        assert trip.clamped == 0


def test_alignment_lowers_the_barrier_between_two_trained_networks(computed, models):
    heights = {}
    for align in ("none", "permutation"):
        towards = {"kind": "target", "model": "b.pt", "dir_type": "states", "align": align}
        surface = computed({"x": [0, 1, 7]}, towards)
        found = library(models[0]).compute_1d(
            *("target", (0, 1, 7), "states"), target_model=models[1], align=align, save=False
        )
        np.testing.assert_array_equal(surface["train_loss"], found["losses"])
        heights[align] = barrier(found["xcoordinates"], found["losses"]).over_line
        assert found["losses"][-1] == pytest.approx(loss(models[1]), rel=1e-5)
    assert 0 <= heights["permutation"] < heights["none"]
    assert axis_name(surface.attributes, 0) == "α: toward b.pt, permutation-aligned"


def test_between_a_network_and_its_permuted_copy_there_is_no_barrier_once_aligned(computed, models):
    order = torch.arange(32).flip(0)
    copy = {name: tensor.clone() for name, tensor in models[0].state_dict().items()}
    for name, tensor in copy.items():
        if name.startswith(("1.", "2.")) and tensor.ndim:
            copy[name] = tensor[order]
    copy["4.weight"] = copy["4.weight"][:, order]
    torch.save(copy, "b.pt")
    lines = {}
    for align in ("none", "permutation"):
        towards = {"kind": "target", "model": "b.pt", "dir_type": "states", "align": align}
        surface = computed({"x": [0, 1, 5]}, towards)
        lines[align] = barrier(surface.grid.axes[0].steps(), surface["train_loss"]).over_line
    assert lines["none"] > 0.1
    assert lines["permutation"] == 0
    assert np.ptp(surface["train_loss"]) == 0


def test_a_plane_holds_three_models_also_where_it_is_orthogonalized(computed, models):
    own = [loss(model) for model in models]
    x, y = ({"kind": "target", "model": f"{name}.pt", "dir_type": "states"} for name in "bc")
    surface = computed({"x": [0, 1, 2], "y": [0, 1, 3]}, {"x": x, "y": y})
    corners = [surface["train_loss"][place] for place in ((0, 0), (1, 0), (0, 2))]
    np.testing.assert_allclose(corners, own, rtol=1e-5)
    marked = models_on(directions_of(surface.attributes))
    assert marked == [("b.pt", [1, 0]), ("c.pt", [0, 1])]

    turned = library(models[0])
    wishes = {"x_target": models[1], "y_target": models[2], "dir_type": "states", "save": False}
    turned.compute_2d((0, 1, 2), (0, 1, 2), **wishes, orthogonal=True)
    _, (name, (along, up)) = models_on(directions_of(turned.surface.attributes))
    assert (name, up) == ("y_target", 1)
    assert abs(along) > 0.1
    with excursion(models[0], turned.directions) as trip:
        trip.move([along, up])
        assert loss(models[0]) == pytest.approx(own[2], rel=1e-4)


def test_every_metrics_barrier_stands_in_the_verdict(computed, models):
    surface = computed({"x": [-0.5, 1.5, 9]}, {"kind": "target", "model": "b.pt"})
    here = config.load("config.yaml").run("own")
    measure_centre(here, here.path("centre.json"), Stops())
    make_verdict(here, here.path("verdict.json"), here.path("verdict.html"))
    told = json.loads(here.path("verdict.json").read_text())["numbers"]
    found = {n["key"]: n for n in told if n["name"] == "barrier along x"}
    steps = surface.grid.axes[0].steps()
    for key, goal in (("train_loss", "min"), ("train_acc", "max")):
        assert found[key]["value"] == pytest.approx(barrier(steps, surface[key], goal).over_line)
    assert found["train_acc"]["value"] > 0
    assert found["train_acc"]["units"] == "%"
    assert "L minus the metric" in found["train_acc"]["definition"]


def test_a_wrong_way_to_align_and_one_without_a_target_are_refused(models):
    landscape = library(models[0])
    told = r"Unknown align 'weights'; choose one of \['none', 'permutation'\]"
    with pytest.raises(InputError, match=told):
        landscape.compute_1d("target", target_model=models[1], align="weights")
    for compute in (landscape.compute_1d, landscape.compute_2d):
        with pytest.raises(InputError, match="there is no other model: give a target"):
            compute(align="permutation")


def test_a_trained_path_is_lower_than_the_line_and_is_trained_once(computed, models, monkeypatch):
    towards = {"kind": "target", "model": "b.pt", "dir_type": "states"}
    grid = {"x": [0, 1, 9]}
    line = computed(grid, towards)["train_loss"]
    path = computed(grid, {**towards, "curve": "bezier", "bend_epochs": 20, "bend_rate": 0.01})
    assert path["train_loss"].max() < 0.5 * line.max()
    np.testing.assert_allclose(path["train_loss"][[0, -1]], line[[0, -1]], rtol=1e-6)
    assert axis_name(path.attributes, 0) == "α: toward b.pt along a trained Bezier curve"

    found = library(models[0]).compute_1d(
        *("target", (0, 1, 9), "states"),
        target_model=models[1],
        save=False,
        curve="bezier",
        bend_epochs=20,
        bend_rate=0.01,
    )
    np.testing.assert_array_equal(found["losses"], path["train_loss"])

    monkeypatch.setattr(torch.optim, "Adam", None)  # calling it would fail
    here = config.load("config.yaml").run("own")
    kept = here.path("directions.h5").read_bytes()
    here.path("directions.h5").unlink()
    make_directions(here, here.path("directions.h5"))
    assert here.path("directions.h5").read_bytes() == kept
    (told,) = check(Path("config.yaml"), "own", 0.0)  # what a run costs: nothing is trained
    assert "evaluating it" in told


def test_a_path_that_is_interrupted_leaves_nothing_half_done(computed, monkeypatch):
    towards = {"kind": "target", "model": "b.pt", "curve": "chain", "bend_epochs": 2}
    whole = computed({"x": [0, 1, 3]}, towards)["train_loss"]
    here = config.load("config.yaml").run("own")
    for path in (here.path("directions.h5"), *here.path("journal").glob("bend-*.h5")):
        path.unlink()
    pauses = []

    def pause():
        pauses.append(1)
        if len(pauses) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_directions(here, here.path("directions.h5"), pause)
    assert not here.path("directions.h5").exists()
    assert not list(here.path("journal").glob("bend-*.h5"))
    np.testing.assert_array_equal(computed({"x": [0, 1, 3]}, towards)["train_loss"], whole)


def test_a_path_wants_a_gpu_and_the_losses_code_and_a_line_does_not(computed):
    towards = {"kind": "target", "model": "b.pt", "bend_epochs": 0}
    for curve, wanted in (("none", False), ("chain", True)):
        computed({"x": [0, 1, 2]}, {**towards, "curve": curve})
        depends = Dependencies(config.load("config.yaml"))
        assert depends.bends("own") == wanted
        before = depends.directions("own")
        Path("own.py").write_text(PROBLEM + "MORE = 1\n")
        after = Dependencies(config.load("config.yaml")).directions("own")
        Path("own.py").write_text(PROBLEM)
        assert (after != before) == wanted


def test_a_path_is_no_axis_of_a_plane(computed):
    towards = {"kind": "target", "model": "b.pt", "curve": "chain"}
    with pytest.raises(InputError, match="allowed: 'none' where the grid has 'y'"):
        computed({"x": [0, 1, 2], "y": [0, 1, 3]}, {"x": towards})
