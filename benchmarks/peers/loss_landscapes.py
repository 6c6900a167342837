"""How loss-landscapes evaluates a plane: all samples as one batch.

Normalized by layer: by filter it divides by zero where a bias of a batch norm is zero.
"""

from typing import Any

import loss_landscapes  # type: ignore[import-not-found]
from loss_landscapes.metrics import Loss  # type: ignore[import-not-found]
from torch import Tensor, nn


def walk(net: nn.Module, inputs: Tensor, targets: Tensor, side: int) -> Any:
    """Return the losses at side x side points of a random plane."""
    metric = Loss(nn.CrossEntropyLoss(), inputs, targets)
    return loss_landscapes.random_plane(net, metric, 1, side, "layer", deepcopy_model=True)
