"""Trained networks whose whole landscapes the adaptive grid is measured against."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.networks import Transformer, mlp
from benchmarks.table import REPO
from landscape_lib import LossLandscape, Surface
from landscape_lib.problems import digits
from landscape_lib.problems.resnet import ResNet

Pair = tuple[Tensor, Tensor]

TEXTS = ("breast_cancer", "california_housing", "diabetes", "digits")
CHARACTERS, LENGTH = 128, 32  # ASCII; of a sample


@dataclass(frozen=True)
class Trained:
    """A trained network with the samples that its landscape is judged on.

    Attributes:
        net: The network.
        data: Inputs and targets.
        criterion: The loss.
        ends: Of both axes.
        options: Of ``compute_2d``.
    """

    net: nn.Module
    data: Pair
    criterion: nn.Module = field(default_factory=nn.CrossEntropyLoss)
    ends: tuple[float, float] = (-1.0, 1.0)
    options: dict[str, Any] = field(default_factory=dict)

    def surface(self, steps: int) -> Surface:
        """Return the whole surface, with so many steps along each axis."""
        landscape = LossLandscape(self.net, self.data, self.criterion)
        axis = (*self.ends, steps)
        landscape.compute_2d(axis, axis, save=False, **self.options)
        return cast(Surface, landscape.surface)


def _demo(*, skip: bool) -> Trained:
    settings: dict[str, Any] = {"skip": skip, "depth": 30, "width": 8}
    net = digits.ResidualNet(**settings)
    net.load_state_dict(digits.train(**settings, epochs=40, seed=0, batch_size=128))
    (inputs, targets), _ = digits.split()
    return Trained(net, (inputs[:200], targets[:200]))


def _fashion() -> Trained:
    from examples.data import SOURCES

    source = SOURCES["fashion"]
    images, labels = source.read(REPO / "data")
    inputs = source.normalised(images[:4000])
    net = _trained(lambda: ResNet(8, width=4, channels=1), (inputs, labels[:4000]), epochs=6)
    return Trained(net, (inputs[:300], labels[:300]))


def _digits_mlp(seed: int = 0) -> nn.Module:
    (inputs, targets), _ = digits.split()
    return _trained(lambda: mlp(32), (inputs, targets), epochs=40, seed=seed)


def _mlp() -> Trained:
    (inputs, targets), _ = digits.split()
    return Trained(_digits_mlp(), (inputs[:1000], targets[:1000]))


def _transformer() -> Trained:
    lines: list[tuple[list[int], int]] = []
    for label, name in enumerate(TEXTS):
        text = (files("sklearn.datasets.descr") / f"{name}.rst").read_text(encoding="utf-8")
        codes = [min(ord(letter), CHARACTERS - 1) for letter in " ".join(text.split())]
        ends = range(LENGTH, len(codes), LENGTH)
        lines += [(codes[end - LENGTH : end], label) for end in ends]
    ids = torch.tensor([codes for codes, _ in lines])
    labels = torch.tensor([label for _, label in lines])
    net = _trained(lambda: Transformer(CHARACTERS, LENGTH, 32, 1), (ids, labels), epochs=60)
    return Trained(net, (ids, labels))


def _two_models() -> Trained:
    case = _mlp()
    others = {"x_target": _digits_mlp(seed=1), "y_target": _digits_mlp(seed=2)}
    return Trained(case.net, case.data, ends=(-0.5, 1.5), options=others)


def _regression() -> Trained:
    from sklearn.datasets import load_diabetes

    found = load_diabetes(return_X_y=True)
    inputs, targets = (torch.tensor(part, dtype=torch.float32) for part in found)
    data = (inputs / inputs.std(), ((targets - targets.mean()) / targets.std())[:, None])

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
        )

    return Trained(_trained(build, data, 40, loss=functional.mse_loss), data, nn.MSELoss())


def _trained(
    build: Callable[[], nn.Module],
    data: Pair,
    epochs: int,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
) -> nn.Module:
    """Return a network after a few epochs of Adam."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build()
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        inputs, targets = data
        for _ in range(epochs):
            for batch in torch.randperm(len(inputs)).split(64):
                optimizer.zero_grad()
                loss(net(inputs[batch]), targets[batch]).backward()
                optimizer.step()
    return net.eval()


CASES: dict[str, tuple[str, Callable[[], Trained]]] = {
    "MLP": ("digits, 3 layers, 1,000 samples", _mlp),
    "regression": ("diabetes, 3 layers of tanh, 442 samples", _regression),
    "transformer": ("one layer, text of 4 sources, 280 samples", _transformer),
    "two models": ("the MLP's plane through two others of other seeds, -0.5 to 1.5", _two_models),
    "ResNet-8": ("Fashion-MNIST, 300 samples", _fashion),
    "with skips": ("the demo's 30 layers, digits, 200 samples", partial(_demo, skip=True)),
    "without skips": ("the same without skip connections", partial(_demo, skip=False)),
}
