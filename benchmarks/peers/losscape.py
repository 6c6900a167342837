"""How losscape evaluates a plane: its own setting of weights and its loop over a loader.

Its function for a surface draws pictures as well; here are the calls it makes for the values.
"""

from typing import Any

import numpy as np
from losscape.compute_loss import compute_loss  # type: ignore[import-not-found]
from losscape.create_directions import create_random_directions  # type: ignore[import-not-found]
from losscape.create_landscape import _reset_weights, _set_weights  # type: ignore[import-not-found]
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def walk(net: nn.Module, inputs: Tensor, targets: Tensor, side: int) -> Any:
    """Return the losses at side x side points of a random plane."""
    directions = create_random_directions(net)
    weights = [parameter.data.clone() for parameter in net.parameters()]
    loader = DataLoader(TensorDataset(inputs, targets), 128)
    steps = np.linspace(-1, 1, side)
    losses = []
    for x in steps:
        for y in steps:
            _set_weights(net, weights, directions, np.array([x, y]))
            losses.append(compute_loss(net, loader, None, nn.CrossEntropyLoss(), len(loader)))
    _reset_weights(net, weights)
    return losses
