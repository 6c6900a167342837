"""How landscaper evaluates a plane: the caller's function of model and data."""

from typing import Any

import torch
from landscaper import LossLandscape  # type: ignore[import-not-found]
from torch import Tensor, nn


def walk(net: nn.Module, inputs: Tensor, targets: Tensor, side: int) -> Any:
    """Return the losses at side x side points of a random plane."""
    criterion = nn.CrossEntropyLoss()
    directions = [[torch.randn_like(p) for p in net.parameters()] for _ in range(2)]

    def loss(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
        return criterion(model(data[0]), data[1]).item()

    data = (inputs, targets)
    return LossLandscape.compute(
        net, data, directions, loss, steps=side, distance=1.0, dim=2, device="cpu"
    ).loss
