"""A traced network follows its weights and buffers, and the model is none the wiser."""

import copy
import io

import pytest
import torch
from torch import fx, nn

from landscape_lib.core.folding import fold
from landscape_lib.core.lending import slots
from landscape_lib.core.together import Together
from landscape_lib.core.tracing import trace


class Net(nn.Module):
    """A norm that can be folded, and what a ``forward`` makes of weights and buffers beside it."""

    def __init__(self, forward):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.tensor([0.3]))
        self.register_buffer("k", torch.tensor([0.7]))
        self.register_buffer("steps", torch.tensor(2))
        self.register_buffer("cache", torch.tensor([0.2]), persistent=False)
        self.listed, self.shift = [self.scale], torch.tensor([0.1])
        self.own, self.seen, self.kept = forward, [], {"more": [[1], {2}]}
        self.features = None

    def forward(self, x):
        out = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.out(out) * self.own(self, out)


def keeps(net, out):
    """What a ``forward`` may do to Python's side of a model."""
    net.features = net.fresh = out
    net.seen.append(out)
    net.kept["more"][0].append(out)
    net.kept["more"][1].add(out)
    net.kept["new"] = out
    return 1.0


def filled(net, out):
    values = torch.zeros(3)
    values[1] = net._parameters["scale"]
    return values[:2]


def part_filled(net, out):
    values = torch.zeros(3)
    values[1:].copy_(net.listed[0])
    return values[:2]


FOLLOW = {
    "constant": lambda net, out: torch.tensor([0.5, 0.4]),
    "made constant": lambda net, out: torch.tensor([0.5, 0.4]).exp() * torch.ones(2),
    "attribute": lambda net, out: net.shift.exp(),
    "weight": lambda net, out: net.scale.exp(),
    "number of a weight": lambda net, out: net.scale.item(),
    "buffer": lambda net, out: net.k,
    "computed from a buffer": lambda net, out: net.k.exp(),
    "view of a buffer": lambda net, out: net.k.view(1, 1),
    "weight in a list": lambda net, out: net.listed[0],
    "counter": lambda net, out: float(net.steps) * torch.ones(int(net.steps)),
    "buffer that no direction moves": lambda net, out: float(net.cache),
    "of a leaf": lambda net, out: net.out.bias.exp() + net.norm.running_mean.mean().exp(),
    "shapes": lambda net, out: 1.0 / net._parameters["scale"].numel(),
    "keeps": keeps,
}
STAND = {
    "walk": lambda net, out: torch.stack([p.square().mean() for p in net.parameters()]).sum(),
    "computed from a weight in a list": lambda net, out: net.listed[0].exp(),
    "read of the registry": lambda net, out: net._parameters["scale"].item(),
    "branch": lambda net, out: 1.0 if net._parameters["scale"] > 0 else 2.0,
    "array": lambda net, out: float(net.listed[0].detach().numpy().sum()),
    "read of a buffer": lambda net, out: float(net.k),
    "copy of a state": lambda net, out: dict(net.named_buffers())["k"].clone(),
    "filled": filled,
    "part filled": part_filled,
    "torch.ops": lambda net, out: torch.ops.aten.exp(net._buffers["k"]),
}


def moved(net):
    """Move everything that a direction can move, in place."""
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.state_dict(keep_vars=True).values()]:
            if tensor.is_floating_point():
                tensor.mul_(1.3).add_(0.1)


@pytest.mark.parametrize("name", FOLLOW)
def test_a_folded_network_is_the_network_where_everything_has_moved(name):
    torch.manual_seed(0)
    net, images = Net(FOLLOW[name]).eval(), torch.randn(5, 3, 6, 6)
    folded = fold(net)
    for _ in range(2):
        folded.refresh()
        with torch.no_grad():
            torch.testing.assert_close(folded(images), net(images))
        moved(net)


def test_several_points_at_once_follow_buffers_too():
    torch.manual_seed(0)
    net, images = Net(FOLLOW["computed from a buffer"]).eval(), torch.randn(5, 3, 6, 6)
    folded = fold(net)
    together, wanted = Together(folded.graph, 2), []
    for place in range(2):
        folded.refresh()
        together.take(place)
        wanted.append(net(images).detach())
        moved(net)
    (found,) = together.judge((images,), {}, lambda outputs: {"out": [outputs]})["out"]
    torch.testing.assert_close(found, torch.stack(wanted))


@pytest.mark.parametrize("name", STAND)
def test_what_would_stand_still_is_not_folded(name):
    assert fold(Net(STAND[name])) is None


def test_nothing_is_traced_otherwise_where_nothing_would_stand_still():
    net = Net(FOLLOW["buffer"])
    wanted = fx.Tracer().trace(copy.deepcopy(net).eval())
    assert str(trace(net).graph) == str(wanted)


def told(thing):
    """What a model holds, by identity, down into its lists."""
    if isinstance(thing, dict):
        return [(key, id(value), told(value)) for key, value in thing.items()]
    if isinstance(thing, list | set):
        return [(id(value), told(value)) for value in thing]
    return None


@pytest.mark.parametrize("own", [*FOLLOW.values(), *STAND.values()], ids=[*FOLLOW, *STAND])
def test_tracing_leaves_the_model_as_it_was(own):
    net = Net(own)
    before = [(id(vars(module)), told(vars(module))) for module in net.modules()]
    places = [id(tensor) for tensor in slots(net)]
    states = copy.deepcopy(net.state_dict())
    fold(net)
    assert [(id(vars(module)), told(vars(module))) for module in net.modules()] == before
    assert [id(tensor) for tensor in slots(net)] == places
    assert list(net.state_dict()) == list(states)
    assert all(torch.equal(net.state_dict()[name], states[name]) for name in states)
    net.own = None  # a lambda
    torch.save(net, io.BytesIO())
