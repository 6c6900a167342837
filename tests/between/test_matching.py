"""A permuted copy is found again; what is found lies no farther, and computes the same."""

import itertools

import pytest
import torch

from landscape_lib.between.groups import permutation_groups
from landscape_lib.between.matching import align, permuted
from landscape_lib.core.errors import InputError
from tests.between.networks import NETWORKS, network


def shuffled(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    groups = permutation_groups(model)
    orders = [torch.randperm(group.size, generator=generator) for group in groups]
    return permuted(model.state_dict(), groups, orders)


@torch.no_grad()
def distance(model, state):
    named = model.named_parameters()
    return sum(float((p - state[name]).square().sum()) for name, p in named) ** 0.5


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_permuted_copy_is_aligned_back_exactly(name, seed):
    model = network(name)
    state = shuffled(model, seed)
    assert distance(model, state) > 0
    found = align(model, state)
    assert all(torch.equal(found[key], tensor) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_an_aligned_network_computes_what_it_computed_and_lies_no_farther(name):
    model, other = network(name), network(name, seed=1)
    images = torch.randn(5, 2, 4, 4, dtype=torch.float64)
    before, apart = other(images), distance(model, other.state_dict())
    given = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    found = align(model, other)
    assert all(torch.equal(given[key], tensor) for key, tensor in other.state_dict().items())
    assert distance(model, found) < apart
    other.load_state_dict(found)
    torch.testing.assert_close(other(images), before, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(found[k], t) for k, t in align(model, given).items())  # no chance in it


def test_with_one_hidden_layer_no_other_order_lies_nearer():
    model, other = (torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)) for _ in "ab")
    groups = permutation_groups(model)
    state = other.state_dict()
    every = itertools.permutations(range(4))
    nearest = min(
        distance(model, permuted(state, groups, [torch.tensor(order)])) for order in every
    )
    assert distance(model, align(model, other)) == pytest.approx(nearest, rel=1e-6)


def test_another_network_cannot_be_aligned():
    with pytest.raises(InputError, match=r"has nothing for '1\.weight'; this model has shape"):
        align(network("mlp"), network("functions"))
