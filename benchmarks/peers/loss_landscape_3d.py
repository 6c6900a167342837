"""How loss-landscape-3d evaluates a plane: state dicts, and a loader."""

from typing import Any

import numpy as np
import torch
from loss_landscape_3d.calculator import LossLandscapeCalculator  # type: ignore[import-not-found]
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def walk(net: nn.Module, inputs: Tensor, targets: Tensor, side: int) -> Any:
    """Return the losses at side x side points of a random plane."""
    centre = {name: entry.clone() for name, entry in net.state_dict().items()}
    directions = [
        {name: torch.randn_like(p) * p.norm() / p.numel() ** 0.5 for name, p in _moving(net)}
        for _ in range(2)
    ]
    loader = DataLoader(TensorDataset(inputs, targets), 128)
    steps = np.linspace(-1, 1, side)
    calculator = LossLandscapeCalculator(net, loader, nn.CrossEntropyLoss())
    return calculator.calculate(steps, steps, *directions, centre)


def _moving(net: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, parameter.detach()) for name, parameter in net.named_parameters()]
