"""A filter is what makes one output; a glob means the layers that it names."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib.core.direction import (
    create_random_direction,
    create_target_direction,
    only_in_layers,
)
from landscape_lib.core.errors import InputError
from landscape_lib.core.filters import Filters, chosen, filters_of

NAMES = ["conv.weight", "conv.bias", "layer1.0.weight", "layer1.0.bias", "layer10.weight"]


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_a_transposed_convolutions_filter_is_all_that_makes_one_output_trap_11(groups):
    torch.manual_seed(groups)
    up = nn.ConvTranspose2d(6, 12, (2, 3), groups=groups, bias=False)
    (found,) = create_random_direction(up, seed=0)
    per_group = 12 // groups
    for output in range(12):
        group, column = divmod(output, per_group)
        inputs = slice(group * 6 // groups, (group + 1) * 6 // groups)
        norms = [float(t[inputs, column].norm()) for t in (found, up.weight.detach())]
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_the_filters_of_a_transposed_convolution_are_what_one_output_depends_on(groups):
    up = nn.ConvTranspose2d(6, 12, (2, 3), groups=groups, bias=False)
    images = torch.rand(1, 6, 3, 4) + 1
    before = up(images)
    filters = filters_of(up, "weight")
    for output in (0, 5, 11):
        with torch.no_grad():
            rows = filters.swapped(up.weight).clone()
            rows[output] += 1
            moved = nn.functional.conv_transpose2d(images, filters.swapped(rows), groups=groups)
        changed = [bool((moved - before)[0, n].abs().max() > 1e-3) for n in range(12)]
        assert changed == [n == output for n in range(12)]
    assert torch.equal(filters.swapped(filters.swapped(up.weight)), up.weight)


def test_filters_of_plain_layers_lie_along_dimension_0_and_no_bit_is_touched():
    conv = nn.Conv2d(2, 3, 3)
    assert filters_of(conv, "weight") == Filters()
    assert Filters().swapped(conv.weight) is conv.weight


@pytest.mark.parametrize("norm", ["filter", "layer", "weight", "dfilter", "dlayer"])
def test_an_embeddings_row_for_padding_stands_still_trap_11(norm):
    words = nn.Embedding(7, 4, padding_idx=2)
    nn.init.ones_(words.weight)
    (found,) = create_random_direction(words, norm=norm, seed=0)
    assert [bool(row.any()) for row in found] == [number != 2 for number in range(7)]
    if norm == "filter":
        rows = np.delete(np.linalg.norm(found.numpy(), axis=1), 2)
        np.testing.assert_allclose(rows, 2, rtol=1e-6)  # each token's row has its own norm


def test_one_seed_moves_parameters_alike_whether_statistics_move_or_not():
    net = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 2))
    weights = create_random_direction(net, seed=4, ignore="scaled")
    states = create_random_direction(net, seed=4, ignore="scaled", dir_type="states")
    found = dict(zip(states.names, states, strict=True))
    assert set(found) - set(weights.names) == {"1.running_mean", "1.running_var"}
    for name, tensor in zip(weights.names, weights, strict=True):
        assert torch.equal(tensor, found[name])


def test_parameters_may_stand_still_while_statistics_move():
    net = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3))
    net[1].running_var.copy_(torch.tensor([1.0, 2.0, 5.0]))
    d = create_random_direction(net, dir_type="states", ignore="biasbn_parameters", seed=0)
    lengths = {name: float(tensor.norm()) for name, tensor in zip(d.names, d, strict=True)}
    assert [name for name, length in lengths.items() if not length] == [
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",  # zero: it has no norm to match
    ]
    torch.testing.assert_close(d[-1].abs(), net[1].running_var)  # each up or down by its own size


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        (["layer1"], [2, 3]),
        (["layer1.*"], [2, 3]),
        (["layer1*"], [2, 3, 4]),
        (["*.bias", "conv"], [0, 1, 3]),
        (["layer1*", "!*.bias"], [2, 4]),
        (["!layer1"], [0, 1, 4]),
    ],
    ids=str,
)
def test_globs_mean_parameters_and_modules(globs, found):
    assert chosen(NAMES, globs) == [NAMES[number] for number in found]


@pytest.mark.parametrize(
    ("globs", "message"),
    [
        (["layer2.*"], "'layer2.*' matches no parameter; near are layer1"),
        (["conv", "!konv"], "'!konv' matches no parameter; near are conv"),
        (["zzzzzz"], "'zzzzzz' matches no parameter; the first of 5 is conv.weight"),
        (["conv", "!conv"], "conv, !conv leave no parameter to move"),
    ],
    ids=str,
)
def test_a_glob_that_means_nothing_is_refused_with_names_that_are_near(globs, message):
    with pytest.raises(InputError) as refused:
        chosen(NAMES, globs)
    assert message in str(refused.value)


def test_the_directions_of_all_layers_add_up_to_that_of_the_network():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    whole = create_random_direction(net, seed=3, ignore="scaled")
    parts = [only_in_layers(whole, [glob]) for glob in ("0", "2.weight", "2.bias")]
    for number, tensor in enumerate(whole):
        assert torch.equal(sum(part[number] for part in parts), tensor)
    assert [part.attributes["layers"] for part in parts] == ["0", "2.weight", "2.bias"]


def test_some_layers_of_another_model_are_reached_at_one():
    here, there = (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)) for _ in range(2))
    direction = only_in_layers(create_target_direction(here, there), ["0"])
    moved = [w.detach().double() + d for w, d in zip(here.parameters(), direction, strict=True)]
    wanted = [*there[0].parameters(), *here[1].parameters()]
    for one, other in zip(moved, wanted, strict=True):
        torch.testing.assert_close(one.float(), other.detach(), rtol=0, atol=0)


def test_layers_that_would_all_stand_still_are_refused():
    net = nn.Linear(3, 2)
    with pytest.raises(InputError, match="'ignore: biasbn' \\('scaled' moves them\\)"):
        only_in_layers(create_random_direction(net, seed=0), ["bias"])
