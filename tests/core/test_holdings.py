"""What modules hold is put back by identity, whoever changed it."""

import logging
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm, weight_norm

from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.holdings import Holdings
from landscape_lib.core.lending import borrowed

DATA = (torch.ones(4, 2), torch.zeros(4, 3))
GRID = Grid((Axis(-1, 1, 3),))


def normed(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return weight_norm(layer)


def pruned(layer):
    return prune.random_unstructured(layer, "weight", amount=0.5)


@pytest.mark.parametrize(
    "wrap", [normed, spectral_norm, pruned], ids=["weight", "spectral", "prune"]
)
def test_a_weight_that_forward_computes_is_not_left_at_the_last_point(wrap):
    torch.manual_seed(0)
    net = nn.Sequential(wrap(nn.Linear(2, 3)))
    with torch.no_grad():
        net(DATA[0])
    weight, values = net[0].weight, net[0].weight.detach().clone()
    with borrowed(net):
        evaluate = Evaluator(net, nn.MSELoss(), prepare(DATA))
        found = measure(net, evaluate, [create_random_direction(net, seed=0)], GRID, range(3))
    assert len(set(found.values["train_loss"])) == 3
    assert net[0].weight is weight
    assert torch.equal(weight.detach(), values)


class Lazy(nn.Module):
    """Registers a buffer, and keeps what it saw, in its first forward pass."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, inputs):
        if not hasattr(self, "mask"):
            self.register_buffer("mask", torch.ones(3), persistent=False)
        self.seen = inputs
        return self.linear(inputs) * self.mask


def test_what_a_forward_pass_leaves_in_the_model_is_taken_out():
    net = Lazy()
    held = [dict(vars(module)) for module in net.modules()]
    with borrowed(net):
        evaluate = Evaluator(net, nn.MSELoss(), prepare(DATA))
        measure(net, evaluate, [create_random_direction(net, seed=0)], GRID, range(3))
        assert dict(net.named_buffers())
    assert not dict(net.named_buffers())
    assert not net._non_persistent_buffers_set
    assert [dict(vars(module)) for module in net.modules()] == held


def test_the_order_of_modules_comes_back_with_them():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    held, wanted = Holdings(net), list(net)
    first = net[0]
    del net[0]
    net.append(first)
    assert held.put_back() == {"submodules"}
    assert all(a is b for a, b in zip(net, wanted, strict=True))
    assert held.put_back() == set()


def test_changed_hooks_and_submodules_are_told_of_once_and_attributes_are_not(caplog):
    def metric(net):
        net.scale = 2.0
        net[0].register_forward_hook(lambda module, given, outputs: None)
        return {"height": 1.0}

    net = nn.Sequential(nn.Linear(2, 3))
    with caplog.at_level(logging.WARNING, "landscape_lib"):
        measure(net, metric, [create_random_direction(net, seed=0)], GRID, range(3))
    (told,) = caplog.messages
    assert told.startswith("Model or metrics changed the model's hooks while a point")
    assert not net[0]._forward_hooks
