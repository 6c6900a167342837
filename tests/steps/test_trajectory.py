"""A config that names checkpoints gets their plane, a range that holds them, and their way."""

import json
import logging

import numpy as np
import pytest
import torch
import yaml

from landscape_lib import config
from landscape_lib.config.checkpoints import files_of
from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Trajectory
from landscape_lib.problems.checkpoint import read_state
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.shown import enclosing, load_trajectories, shown_surface
from landscape_lib.steps.train import train_model
from landscape_lib.utils.storage import axes_attributes, load_directions, load_surface
from landscape_lib.viz.axis_names import axis_name
from scripts import (
    choose_range,
    evaluate_shard,
    export_trajectory,
    make_explorer,
    merge_shards,
    plot_surface,
    probe,
    project_trajectory,
)
from scripts import make_directions as script_directions
from tests.viz.test_paraview import Read

PLACES = [(2.0, 1.0), (1.5, -0.5), (0.5, 0.25)]


def checkpoints(folder, places=PLACES, name="epoch"):
    """Write w0 + a d1 + b d2, with d1, d2 neither unit nor orthogonal, into ``<name>_<k>.pt``."""
    from own import build

    start = build().model.state_dict()
    generator = torch.Generator().manual_seed(0)
    one, other = (
        {key: torch.randn(entry.shape, generator=generator) for key, entry in start.items()}
        for _ in range(2)
    )
    for number, (a, b) in enumerate(places):
        state = {key: w + a * one[key] + b * (one[key] + other[key]) for key, w in start.items()}
        torch.save({"model": state, "epoch": number}, folder / f"{name}_{number + 8}.pt")


@pytest.fixture
def here(run, tmp_path, monkeypatch):
    """Returns a run with checkpoints beside it."""
    run()
    monkeypatch.syspath_prepend(tmp_path)
    checkpoints(tmp_path)
    return run


def test_the_way_through_from_the_config_to_the_pictures(here, caplog):
    """PCA finds the plane that the checkpoints were made in; the path lies in it, and is seen."""
    caplog.set_level(logging.INFO)
    directions = {"kind": "pca", "checkpoints": "epoch_*.pt"}
    own = here(directions=directions, grid={"x": ["auto", "auto", 7], "y": ["auto", "auto", 5]})
    same = ["--config", "config.yaml", "--run", "own"]
    results = own.path

    def step(script, *more):
        assert script.main([*same, *map(str, more)]) == 0

    step(script_directions, "--out", results("directions.h5"))
    step(probe, "--out", results("probe.json"))
    step(project_trajectory, "--out", results("trajectory.json"))
    step(choose_range, "--out", results("range.json"))
    shard = results("shards", "0-of-1.h5")
    step(evaluate_shard, "--shard", 0, "--of", 1, "--out", shard)
    step(merge_shards, "--of", 1, "--out", results("surface.h5"))

    (told, other) = axes_attributes(results("directions.h5"))
    shares = [told["explained_variance_ratio"], other["explained_variance_ratio"]]
    assert sum(shares) == pytest.approx(1, abs=1e-9)
    surface = shown_surface(own)
    (way,) = surface.trajectories
    assert way.labels == ("epoch_8.pt", "epoch_9.pt", "epoch_10.pt")  # 10 after 9
    np.testing.assert_allclose(way.distance, 0, atol=1e-5)
    np.testing.assert_allclose(np.hypot(way.alpha, way.beta), way.length, rtol=1e-6)
    assert "own: trajectory: 3 checkpoints, 100.0 % of the way in the plane" in caplog.text
    for axis, along in zip(surface.grid.axes, (way.alpha, way.beta), strict=True):
        assert axis.low < min(along.min(), 0) <= max(along.max(), 0) < axis.high
        assert 0.0 in axis.steps()
    assert axis_name(surface.attributes, 0) == f"α: PC 1 ({100 * shares[0]:.1f} % of the variance)"
    assert load_surface(results("surface.h5")).trajectories == ()  # a matter of pictures alone

    step(plot_surface, "--key", "train_loss", "--format", "svg")
    picture = results("figures", "train_loss_2dcontour.svg").read_text()
    assert 'id="trajectory"' in picture
    step(export_trajectory, "--key", "train_loss")
    found = Read(results("paraview", "trajectory", "train_loss.vtp"))
    at_checkpoints = found.arrays["step"] == found.arrays["step"].round()
    np.testing.assert_allclose(found.arrays["alpha"][at_checkpoints], way.alpha)
    (results("verdict.json")).write_text('{"checks": [], "numbers": []}')
    step(make_explorer, "--out", results("explorer.html"))
    assert "PC 1 (" in results("explorer.html").read_text()


def test_several_trainings_lie_in_any_plane_by_name(here, tmp_path):
    checkpoints(tmp_path, [(0.0, 1.0), (0.0, 2.0)], "adam")
    own = here(trajectory={"Adam": "adam_?.pt", "SGD": ["epoch_8.pt", "epoch_9.pt"]})
    make_directions(own, own.path("directions.h5"))
    assert (
        project_trajectory.main(
            ["--config", "config.yaml", "--run", "own", "--out", str(own.path("trajectory.json"))]
        )
        == 0
    )
    ways = load_trajectories(own.path("trajectory.json"))
    assert [(way.name, len(way.alpha)) for way in ways] == [("Adam", 2), ("SGD", 2)]
    assert all(0 <= way.in_plane < 1 for way in ways)  # random directions see little of a way


def test_each_axis_has_the_next_component_of_its_checkpoints(here, tmp_path):
    both = here(directions={"kind": "pca", "checkpoints": "epoch_*.pt"})
    make_directions(both, "both.h5")
    first, second = load_directions("both.h5")
    one = here(directions={"x": {"seed": 1}, "y": {"kind": "pca", "checkpoints": "epoch_*.pt"}})
    make_directions(one, "one.h5")
    _, y = load_directions("one.h5")
    assert y.attributes["component"] == 1
    assert all(torch.equal(a, b) for a, b in zip(y, first, strict=True))
    assert second.attributes["component"] == 2


def test_a_checkpoint_is_read_from_its_file_as_it_is_needed(here, tmp_path):
    whole, mapped = (read_state("epoch_8.pt", mapped=mapped) for mapped in (False, True))
    assert all(torch.equal(whole[name], mapped[name]) for name in whole)
    torch.save(whole, "old.pt", _use_new_zipfile_serialization=False)
    assert all(torch.equal(w, whole[n]) for n, w in read_state("old.pt", mapped=True).items())


def test_names_of_checkpoints_come_without_what_training_programs_put_before_them(here, tmp_path):
    plain = here(directions={"kind": "pca", "checkpoints": "epoch_*.pt"})
    make_directions(plain, "plain.h5")
    for path in tmp_path.glob("epoch_*.pt"):
        state = {f"module.{name}": entry for name, entry in read_state(path).items()}
        torch.save({"state_dict": state, "epoch": 3}, path)
    make_directions(plain, "wrapped.h5")
    for one, other in zip(load_directions("plain.h5"), load_directions("wrapped.h5"), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# ---------------------------------------------------------------------------- what runs again


def test_a_checkpoints_content_counts_and_a_pictures_checkpoint_moves_no_shard(here, tmp_path):
    def depends(**parts):
        here(**parts)
        found = Dependencies(config.load("config.yaml"))
        return (
            found.directions("own"),
            found.shard("own", "shards/0-of-1.h5"),
            found.trajectory("own"),
        )

    pca = {"directions": {"kind": "pca", "checkpoints": "epoch_*.pt"}}
    shown = {"trajectory": {"checkpoints": "epoch_*.pt"}}
    walked, seen = depends(**pca), depends(**shown)
    checkpoints(tmp_path, [*PLACES[:2], (7.0, 7.0)])
    assert depends(**pca)[0] != walked[0]
    after = depends(**shown)
    assert after[:2] == seen[:2]
    assert after[2] != seen[2]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("gone_*.pt", r"config\.yaml: runs\.own: gone_\*\.pt: no file fits this pattern"),
        (["epoch_8.pt", "gone.pt"], r"config\.yaml: runs\.own: gone\.pt: there is no such file"),
        (["epoch_8.pt", "epoch_*.pt"], r"runs\.own: epoch_8\.pt: this checkpoint is named twice"),
    ],
)
def test_checkpoints_that_are_not_there_are_refused_before_anything_runs(here, named, message):
    here(trajectory={"checkpoints": named})
    with pytest.raises(InputError, match=message):
        Dependencies(config.load("config.yaml"))


def test_a_file_with_a_pattern_for_a_name_is_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].pt", "a1.pt"):
        (tmp_path / name).touch()
    assert files_of(["a[1].pt"]) == ("a[1].pt",)
    assert files_of(["a?.pt"]) == ("a1.pt",)


# ------------------------------------------------------------------------------------ training

TRAINING = """
import torch
from torch import nn
from landscape_lib import Problem

def train(epochs):
    net = nn.Linear(2, 3)
    for epoch in range(epochs):
        with torch.no_grad():
            net.weight.fill_(epoch + 1.0)
        yield net.state_dict()
    if epochs > 5:
        raise RuntimeError("diverged")

def build(checkpoint):
    net = nn.Linear(2, 3)
    net.load_state_dict(torch.load(checkpoint))
    return Problem(net, (torch.ones(4, 2), torch.arange(4) % 3))
"""


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Returns a config whose run trains itself, and uses what was left along the way."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trains.py").write_text(TRAINING)

    def configured(epochs):
        run = {
            "problem": "trains.py:build",
            "args": {"checkpoint": "results/t/model.pt"},
            "train": {"function": "trains.py:train", "args": {"epochs": epochs}},
            "grid": {"x": "auto"},
            "directions": {"kind": "pca", "checkpoints": "results/t/checkpoints/*.pt"},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"runs": {"t": run}}))
        return config.load("config.yaml")

    return configured


def test_a_training_that_yields_leaves_checkpoints_and_the_last_is_the_model(trained):
    runs = trained(4)
    depends = Dependencies(runs)  # nothing of it is there yet
    assert depends.files("t") == ["results/t/model.pt.sha256"]
    before = depends.directions("t")
    for epochs in (4, 2):  # a shorter training leaves none of the longer one's
        train_model(trained(epochs).run("t"), "results/t/model.pt")
        found = files_of(["results/t/checkpoints/*.pt"])
        assert [read_state(path)["weight"][0, 0].item() for path in found] == list(
            range(1, epochs + 1)
        )
    assert torch.equal(read_state("results/t/model.pt")["weight"], torch.full((3, 2), 2.0))
    assert Dependencies(trained(4)).directions("t") == before  # watched through model.pt.sha256


def test_what_a_training_raises_along_the_way_is_the_users_and_nothing_is_no_model(trained):
    with pytest.raises(InputError, match=r"trains\.py:train\(epochs=6\) raised RuntimeError: div"):
        train_model(trained(6).run("t"), "results/t/model.pt")
    with pytest.raises(InputError, match="yielded nothing; it must yield at least one state_dict"):
        train_model(trained(0).run("t"), "results/t/model.pt")


# ------------------------------------------------------------------------------------ the range


@pytest.mark.parametrize("count", [2, 3, 4, 7, 50, 51])
@pytest.mark.parametrize(
    ("low", "high"), [(-9.0, 0.0), (0.0, 0.03), (-8.7, 1.2), (3.0, 1234.5), (-1e-6, 2e-6)]
)
def test_ends_hold_the_path_with_room_and_the_origin_is_a_point(low, high, count):
    way = Trajectory([low, high, 0.0], [0.0, 0.0, 0.0])
    ((left, right), other) = enclosing([way], (count, None))
    assert other is None
    low, high = min(low, 0), max(high, 0)
    room = 0.15 * (high - low)
    assert left <= low - room * 0.999
    assert right >= high + room * 0.999
    steps = np.linspace(left, right, count)
    if count > 2:
        assert np.abs(steps).min() < 1e-9 * (right - left)
    if count >= 50:  # and not much more than that
        assert right - left < 1.35 * (high - low)


def test_a_path_along_one_axis_has_room_on_the_other():
    (_, (low, high)) = enclosing([Trajectory([0.0, 10.0], [0.0, 0.0])], (5, 5))
    assert low < 0 < high
    with pytest.raises(InputError, match="every checkpoint of the trajectory is the model itself"):
        enclosing([Trajectory([0.0], [0.0])], (5, 5))


def test_a_damaged_trajectory_says_what_to_do(tmp_path):
    (tmp_path / "trajectory.json").write_text(json.dumps({"trajectories": [{"alpha": [1]}]}))
    with pytest.raises(InputError, match="damaged"):
        load_trajectories(tmp_path / "trajectory.json")
