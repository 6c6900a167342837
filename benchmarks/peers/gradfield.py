"""How gradfield evaluates a plane: all samples as one batch."""

from typing import Any

from gradfield.sampler import sample_grid  # type: ignore[import-not-found]
from gradfield.torch_adapter import model_loss_fn  # type: ignore[import-not-found]
from torch import Tensor, nn


def walk(net: nn.Module, inputs: Tensor, targets: Tensor, side: int) -> Any:
    """Return the losses at side x side points of a random plane."""
    loss = model_loss_fn(net, nn.CrossEntropyLoss(), inputs, targets)
    return sample_grid(loss, (-1.0, 1.0), (-1.0, 1.0), side)["Z"]
