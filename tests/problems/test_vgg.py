"""VGG-9 is the paper's: its layers, its size, the names in checkpoints of its program."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from landscape_lib.core.errors import InputError
from landscape_lib.problems.vgg import VGG9


def test_nine_layers_have_weights_and_the_size_is_the_papers():
    net = VGG9()
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    outputs = [layer.weight.shape[0] for layer in layers]
    assert outputs == [64, 64, 128, 128, 256, 256, 256, 256, 10]
    assert sum(parameter.numel() for parameter in net.parameters()) == 2_789_706
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.rand(1, 3, 32, 32))
    assert counter.get_total_flops() == pytest.approx(0.3831e9, rel=1e-3)


def test_parameters_have_the_names_of_the_papers_program():
    names = [name for name, _ in VGG9(width=2).named_parameters()]
    convolutions = [0, 3, 7, 10, 14, 17, 20]  # pooling and ReLU in between have none
    found = [name.split(".")[1] for name in names if name.startswith("features")]
    assert found == [str(n) for at in convolutions for n in (at, at, at + 1, at + 1)]
    linear = ["fc.0.weight", "fc.0.bias", "fc.1.weight", "fc.1.bias"]
    assert names[-6:] == [*linear, "classifier.weight", "classifier.bias"]


@pytest.mark.parametrize("side", [2, 14, 15, 33])
def test_any_side_of_two_or_more_gets_its_scores(side):
    net = VGG9(width=2, channels=1, side=side, classes=7)
    scores = net(torch.rand(3, 1, side, side))
    assert scores.shape == (3, 7)
    scores.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("wrong", [{"side": 1}, {"width": 0}, {"classes": 0}], ids=str)
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        VGG9(**wrong)
