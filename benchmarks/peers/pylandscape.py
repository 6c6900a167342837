"""How pylandscape evaluates a plane: the loader's first batch, which holds all samples here."""

from typing import Any

from pylandscape import Surface  # type: ignore[import-not-found]
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def walk(net: nn.Module, inputs: Tensor, targets: Tensor, side: int) -> Any:
    """Return the losses at side x side points of a random plane."""
    loader = DataLoader(TensorDataset(inputs, targets), len(inputs))
    surface = Surface(net, nn.CrossEntropyLoss(), loader)
    return surface.random_surface((-1.0, 1.0), side)[2]
