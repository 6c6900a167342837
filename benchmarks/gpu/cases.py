"""Whose landscapes are measured on a GPU: networks with random samples, and three metrics."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import problems
from benchmarks.gpu.scale import Scale
from benchmarks.networks import CLASSES, Transformer
from landscape_lib.problems.resnet import ResNet

TOKENS, LENGTH = 1000, 128


@dataclass(frozen=True)
class Case:
    """A network with its samples.

    Attributes:
        name: What it is called in the tables.
        net: The network, in eval mode, on the CPU.
        inputs: Of all samples.
        targets: Their classes.
    """

    name: str
    net: nn.Module
    inputs: Tensor
    targets: Tensor

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.targets)

    def first(self, count: int) -> "Case":
        """Return the network with its first samples alone."""
        return Case(self.name, self.net, self.inputs[:count], self.targets[:count])

    def bytes_on(self, precision: str) -> int:
        """Return what the samples take on a device: of bf16, the inputs in that as well."""
        again = self.inputs.numel() * 2 if precision == "bf16" else 0
        floats = again if self.inputs.is_floating_point() else 0
        return self.inputs.nbytes + self.targets.nbytes + floats

    def flop(self) -> int:
        """Return the floating-point operations of one sample's forward pass, as torch counts."""
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # of which torch counts nothing
        counter = FlopCounterMode(display=False)
        try:
            net, one = copy.deepcopy(self.net).to("meta"), self.inputs[:1].to("meta")
            with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), counter:
                net(one)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
        return counter.get_total_flops()

    def activations(self) -> int:
        """Return the numbers that convolutions and matrix products of one sample write."""
        net, found = copy.deepcopy(self.net).to("meta"), [0]

        def count(module: nn.Module, given: Any, outputs: Tensor) -> None:
            found[0] += outputs.numel()

        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count)
        with torch.no_grad():
            net(self.inputs[:1].to("meta"))
        return found[0]


def _built(scale: Scale, name: str, build: Callable[[], nn.Module], inputs: Tensor) -> Case:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build()
    targets = torch.randint(CLASSES, (len(inputs),), generator=scale.generator())
    if inputs.is_floating_point():
        net = problems.settled(net, TensorDataset(inputs[:256], targets[:256]))
    return Case(name, net.eval(), inputs, targets)


def resnet56(scale: Scale, images: int) -> Case:
    """Return the paper's network with random images of 32 x 32 x 3."""
    side = scale.of(32, 8)
    inputs = torch.randn(images, 3, side, side, generator=scale.generator())
    if scale.tiny:
        return _built(scale, "ResNet-8 of width 4", lambda: ResNet(8, width=4), inputs)
    return _built(scale, "ResNet-56", lambda: ResNet(56), inputs)


def pictures(scale: Scale, images: int) -> tuple[Case, problems.Images]:
    """Return the paper's network with images, and these as a user brings them: bytes."""
    brought = problems.pictures(images)
    whole = problems.Case("", nn.Identity(), brought)
    case = resnet56(scale, 2)
    return Case(case.name, case.net, *whole.tensors()), brought


def resnet50(scale: Scale, images: int) -> Case:
    """Return torchvision's network for ImageNet with random images."""
    from torchvision import models

    side = scale.of(224, 32)
    inputs = torch.randn(images, 3, side, side, generator=scale.generator())

    def build() -> nn.Module:
        if scale.tiny:
            return models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)
        return models.resnet50(num_classes=CLASSES)

    return _built(scale, "ResNet-10" if scale.tiny else "ResNet-50", build, inputs)


def transformer(scale: Scale, sequences: int) -> Case:
    """Return an encoder with random tokens, 128 a sequence: 12 layers of width 768."""
    length, width, layers = scale.of(LENGTH, 8), scale.of(768, 16), scale.of(12, 2)
    ids = torch.randint(TOKENS, (sequences, length), generator=scale.generator())

    def build() -> nn.Module:
        return Transformer(TOKENS, length, width, layers)

    return _built(scale, f"encoder of {layers} layers, width {width}", build, ids)


def small(scale: Scale, name: str) -> Case:
    """Return the MLP or the small CNN with scikit-learn's digits."""
    case = problems.CASES[name](scale.of(1797, 60))
    return Case(f"{name} on digits", case.net, *case.tensors())


def metrics() -> dict[str, Any]:
    """Return the three metrics of every row."""
    return problems.metrics()
