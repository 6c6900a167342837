"""The table says of each parameter by what rule it moves, how far, and what is special about it."""

import pytest
import torch
from torch import nn

from landscape_lib.core.description import describe, standing_still
from landscape_lib.core.direction import (
    create_random_direction,
    create_target_direction,
    only_in_layers,
)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 5, 2)
        self.words = nn.Embedding(7, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.words.weight
        self.gate = nn.Linear(4, 4)
        nn.init.zeros_(self.gate.weight)


def rows(model, directions):
    head, *lines = describe(model, directions)
    assert "rule" in head
    return {line.split()[0]: line for line in lines}


def test_the_table_names_rules_lengths_and_what_is_special_trap_11():
    torch.manual_seed(0)
    model = Mixed()
    found = rows(model, [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)])
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert " filter " in found["up.weight"]
    assert "a filter: all that makes one output (dim 1)" in found["up.weight"]
    assert " biasbn " in found["up.bias"]
    assert "0  " in found["up.bias"].split("biasbn")[1]
    assert "a filter: one token's row" in found["words.weight"]
    assert "also out.weight" in found["words.weight"]
    assert "one row of query, key or value" in found["attention.in_proj_weight"]
    assert "zero weight: stands still" in found["gate.weight"]
    assert "zero weight" not in found["up.weight"]
    norm = float(model.up.weight.detach().double().norm())
    lengths = [float(part) for part in found["up.weight"].split("filter")[1].split()[:3]]
    assert all(abs(length / norm - 1) < 1e-3 for length in lengths)  # |w|, and |d| on both axes


def test_each_axis_says_its_own_rule():
    here, there = nn.Linear(3, 2), nn.Linear(3, 2)
    directions = [
        create_target_direction(here, there),
        create_random_direction(here, norm="layer", ignore="scaled", seed=0),
    ]
    found = rows(here, directions)
    assert "target layer" in found["weight"]
    assert "target scaled" in found["bias"]


class Adapted(nn.Module):
    """A linear layer and a low-rank adapter, whose second factor starts from zero."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(4, 5)
        self.lora_A = nn.Linear(4, 2, bias=False)
        self.lora_B = nn.Linear(2, 5, bias=False)
        nn.init.zeros_(self.lora_B.weight)
        with torch.no_grad():
            self.base.weight[:2] = 0


def test_what_zeros_keep_from_moving_is_counted_and_named_trap_11():
    model = Adapted()
    matched = create_random_direction(model, seed=0)
    found = rows(model, [matched])
    assert "2 of 5 filters are zero: stand still" in found["base.weight"]
    assert "zero weight: stands still" in found["lora_B.weight"]
    assert standing_still(model, [matched]) == ["lora_B.weight"]  # biases are meant to
    unit = create_random_direction(model, seed=0, norm="dfilter")
    assert standing_still(model, [unit]) == []
    assert "stand" not in rows(model, [unit])["lora_B.weight"]


def test_layers_that_are_left_out_say_so_and_statistics_have_a_rule_of_their_own():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    whole = create_random_direction(net, "states", "biasbn_parameters", seed=0)
    found = rows(net, [whole, only_in_layers(whole, ["0"])])
    assert " filter not in layers " in found["2.weight"]
    assert " filter  " in found["0.weight"]
    assert " filter not in layers " in found["1.running_var"]
    assert " biasbn not in layers " in found["1.weight"]


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_torchscript_program_is_described():
    model = torch.jit.script(nn.Sequential(nn.Linear(3, 2)))
    found = rows(model, [create_random_direction(model, seed=0)])
    assert set(found) == {"0.weight", "0.bias"}


def test_a_weight_of_zeros_that_a_direction_of_another_moment_moves_does_not_stand_still():
    """A training's first checkpoint may be zero where the directions of its last one move it."""
    model = nn.Linear(2, 3, bias=False)
    nn.init.ones_(model.weight)
    direction = create_random_direction(model, seed=0)
    with torch.no_grad():
        model.weight[1:] = 0
    assert "zero" not in describe(model, [direction])[1]
    with torch.no_grad():
        model.weight.zero_()
    assert standing_still(model, [direction]) == []
    assert "zero" not in describe(model, [direction])[1]
