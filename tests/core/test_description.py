"""The table says of each parameter by what rule it moves, how far, and what is special about it."""

import torch
from torch import nn

from landscape_lib.core.description import describe
from landscape_lib.core.direction import create_random_direction, create_target_direction


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
