"""A folded network returns what the network returns, at every weight it is moved to."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.folding import FoldedLayer, fold
from landscape_lib.core.perturbation import excursion
from landscape_lib.problems.digits import ResidualNet
from landscape_lib.problems.resnet import ResNet
from tests import reference


def stirred(model):
    """The model with statistics and norm weights that are nothing special, in eval mode."""
    generator = torch.Generator().manual_seed(0)
    for name, entry in model.state_dict().items():
        if name.endswith("running_var"):
            entry.uniform_(0.5, 2, generator=generator)
        elif entry.is_floating_point() and entry.ndim == 1:
            entry.normal_(0.5, 0.5, generator=generator)
    return model.eval()


class Tail(nn.Module):
    """What may follow a folded layer: ReLUs of all kinds, sums of all kinds."""

    def __init__(self, tail):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.tail = nn.ReLU(), tail

    def forward(self, x):
        return self.tail(self, self.norm(self.conv(x)), x)


TAILS = {
    "nothing": lambda net, out, x: out,
    "module": lambda net, out, x: net.relu(out),
    "function": lambda net, out, x: functional.relu(out),
    "in place": lambda net, out, x: functional.relu(out, inplace=True),
    "method": lambda net, out, x: out.relu_(),
    "sum": lambda net, out, x: functional.relu(out + x.mean(1, keepdim=True)),
    "sum of itself": lambda net, out, x: out + out,
    "sum with a number": lambda net, out, x: torch.relu(out + 1),
    "sum the other way": lambda net, out, x: x[:, :1] + out,
    "scaled sum": lambda net, out, x: torch.add(out, out, alpha=3),
    "kept": lambda net, out, x: functional.relu(out) + out,
    "kept in a list": lambda net, out, x: torch.cat([out, functional.relu(out)], 1),
    "iadd": lambda net, out, x: out.add_(1).relu(),
}


def one_linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.BatchNorm1d(5), nn.ReLU())


MODELS = {
    "resnet": lambda: ResNet(8),
    "no skips": lambda: ResNet(8, skip=False),
    "digits": lambda: nn.Sequential(nn.Conv2d(3, 1, 1), ResidualNet(skip=True, depth=6, width=4)),
    "linear": one_linear,
    "grouped": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)),
    "padded": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=2, padding_mode="reflect", stride=2, bias=False),
        nn.BatchNorm2d(4, affine=False),
    ),
    **{name: lambda tail=tail: Tail(tail) for name, tail in TAILS.items()},
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_folded_network_is_the_network_wherever_it_is_moved(name, layout):
    model = stirred(MODELS[name]()).double()
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    images = images.contiguous(memory_format=layout)
    before, kept = copy.deepcopy(model.state_dict()), images.clone()
    folded = fold(model)
    directions = [create_random_direction(model, "states", "scaled", seed=s) for s in (0, 1)]
    with torch.no_grad(), excursion(model, directions) as trip:
        for steps in ((0.0, 0.0), (0.5, -0.25), (0.0, 0.0)):
            trip.move(steps)
            folded.refresh()
            found, wanted = folded(images), model(images)
            torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
            assert torch.equal(images, kept)
    for entry, old in zip(model.state_dict().values(), before.values(), strict=True):
        assert torch.equal(entry, old)


def test_every_norm_of_a_resnet_is_folded_shortcuts_included():
    model = ResNet(14)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert len(fold(model).layers) == norms == 15


def shared_norm():
    norm = nn.BatchNorm2d(3)
    return nn.Sequential(nn.Conv2d(3, 3, 1), norm, nn.Conv2d(3, 3, 1), norm)


def shared_layer():
    conv = nn.Conv2d(3, 3, 1)
    return nn.Sequential(conv, nn.BatchNorm2d(3), conv, nn.BatchNorm2d(3))


def listened():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    model[0].register_forward_hook(lambda module, inputs, outputs: outputs + 1)
    return model


class Undecided(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, x):
        return self.net(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
        lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)),
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3)),
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 3, 1), nn.BatchNorm2d(3)),
        shared_norm,
        shared_layer,
        listened,
        Undecided,
        lambda: nn.Linear(3, 3),
    ],
)
def test_what_cannot_be_folded_exactly_is_left_alone(make):
    assert fold(make()) is None


def test_folding_leaves_the_mode_as_it_was():
    model = ResNet(8).train()
    model.linear.eval()
    modes = [module.training for module in model.modules()]
    fold(model)
    assert [module.training for module in model.modules()] == modes


def test_the_references_network_is_folded():
    assert len(fold(reference.digits_model()).layers) == 2


class Many(nn.Module):
    """Layers of every kind that is folded, one beside the other."""

    def __init__(self):
        super().__init__()
        self.pairs = nn.ModuleList()
        kinds = {
            nn.Conv1d: nn.BatchNorm1d,
            nn.Conv2d: nn.BatchNorm2d,
            nn.Conv3d: nn.BatchNorm3d,
        }
        for bias in (True, False):
            for affine in (True, False):
                for layer, norm in kinds.items():
                    self._add(layer(2, 3, 3, bias=bias), norm(3, affine=affine, eps=0.1))
                self._add(nn.Linear(4, 3, bias=bias), nn.BatchNorm1d(3, affine=affine, eps=0.3))

    def _add(self, layer, norm):
        self.pairs.append(nn.Sequential(layer, norm))

    def forward(self, x):
        return [pair(x) for pair in self.pairs]  # nobody calls it: shapes differ


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, "mixed"])
def test_layers_that_are_folded_together_have_the_bits_of_torchs_own_folding(kind):
    torch.manual_seed(0)
    net = stirred(Many())
    if kind == "mixed":
        for layer, _ in net.pairs:
            layer.bfloat16()
    else:
        net.to(kind)
    folded = fold(net)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))
    folded.refresh()
    layers = [m for m in folded.graph.modules() if isinstance(m, FoldedLayer)]
    assert len(layers) == 16
    for (layer, norm), found in zip(net.pairs, layers, strict=True):
        fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
        affine = (
            (torch.ones(3), torch.zeros(3)) if norm.weight is None else (norm.weight, norm.bias)
        )
        told = (norm.running_mean, norm.running_var, norm.eps, *affine)
        weight, bias = fuse(layer.weight, layer.bias, *told)
        assert torch.equal(found.weight, weight)
        assert torch.equal(found.bias, bias)
