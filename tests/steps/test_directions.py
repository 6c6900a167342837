"""Directions come from the config's seed alone, and the log says what they do to the model."""

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from landscape_lib.core.direction import cosine
from landscape_lib.steps.directions import make_directions
from landscape_lib.utils.storage import (
    axes_attributes,
    content_hash,
    directions_attributes,
    load_directions,
)
from landscape_lib.viz.axis_names import models_on, step_of


def made(run, **directions):
    make_directions(run(directions=directions), "directions.h5")
    return load_directions("directions.h5")


def test_the_log_says_how_long_every_parameter_is_and_how_far_it_moves_trap_11(run, caplog):
    caplog.set_level(logging.INFO)
    directions = made(run, ignore="scaled")
    rows = {message.split()[0]: message.split() for message in caplog.messages}
    assert directions[0].names == ("0.weight", "0.bias", "1.weight", "1.bias")
    for number, name in enumerate(directions[0].names):
        lengths = [f"{float(d[number].double().norm()):.4g}" for d in directions]
        assert set(lengths) <= set(rows[name])
    assert rows["0.weight"].count("2.449") == 3  # |w| and both |d|: the square root of 6
    assert rows["1.weight"].count("0") == 3  # a weight of zeros stands still, and it can be seen
    assert (
        "All zero, so that noise of its norm is zero and it stands still: 1.weight." in caplog.text
    )
    assert Path("directions.txt").read_text().splitlines() == caplog.messages[:5]


def test_the_cosine_of_the_directions_is_said_in_the_log_and_in_the_file_trap_12(run, caplog):
    caplog.set_level(logging.INFO)
    wanted = cosine(*made(run))
    assert abs(wanted) > 0.01
    assert directions_attributes("directions.h5")["cosine"] == pytest.approx(wanted)
    assert f"cosine between the directions: {wanted:.4g}" in caplog.text


@pytest.mark.parametrize("asked", [{"orthogonal": True}, {"x": {"orthogonal": True}}], ids=str)
def test_directions_that_are_to_be_orthogonal_have_cosine_zero_trap_12(run, asked):
    x, y = made(run)
    assert abs(cosine(x, y)) > 0.01
    changed = made(run, **asked)
    assert abs(cosine(*changed)) < 1e-7
    kept = "x" in asked  # of the two, the other one stays as it was drawn
    pairs = zip(changed[kept], (x, y)[kept], strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_each_seed_of_the_config_has_directions_of_its_own_trap_13(run):
    found = [content_hash(made(run, seed=seed)) for seed in (*range(10), 0)]
    assert len(set(found)) == 10
    assert found[0] == found[-1]


def test_a_file_that_is_there_already_is_not_taken_for_these_directions_trap_14(run):
    made(run, seed=1)
    again = made(run, seed=2)
    assert [direction.attributes["seed"] for direction in again] == [2, 2]


def test_a_model_is_no_longer_marked_where_its_orthogonal_direction_is_read_alone(run):
    state = {
        name: tensor + 1
        for name, tensor in nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)).state_dict().items()
    }
    torch.save(state, "b.pt")
    target = {"kind": "target", "model": "b.pt"}
    made(run, y={**target, "orthogonal": True})
    told = directions_attributes("directions.h5")
    ((name, (along, up)),) = models_on(axes_attributes("directions.h5"))
    assert (name, up) == ("b.pt", 1)
    assert along != 0
    load = {"kind": "file", "path": "directions.h5"}
    make_directions(run(directions={"x": {"kind": "random"}, "y": load}), "again.h5")
    again = directions_attributes("again.h5")
    assert again["content"] == told["content"]
    axes = axes_attributes("again.h5")
    assert models_on(axes) == []
    assert step_of(axes[1]) == "toward b.pt, orthogonalized"


def test_a_target_may_be_a_wrapped_checkpoint(run, tmp_path):
    two = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)).state_dict()
    torch.save({"state_dict": {f"module.{n}": t for n, t in two.items()}}, tmp_path / "two.pt")
    settings = {"kind": "target", "model": "two.pt"}
    make_directions(run(directions={"x": settings, "y": {"seed": 1}}), "directions.h5")
    weights = [torch.full(t.shape, number + 1.0) for number, t in enumerate(two.values())]
    weights[2].zero_()  # as the problem of these tests has it
    x = load_directions("directions.h5")[0]
    for weight, step, target in zip(weights, x, two.values(), strict=True):
        assert torch.equal((weight.double() + step.double()).float(), target)
