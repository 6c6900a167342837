"""The baseline: the loop that everyone writes first."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Point = tuple[float, float]
Metric = Callable[[nn.Module, Any, bool], dict[str, float]]


def walk(
    net: nn.Module,
    loader: Any,
    directions: Sequence[Iterable[Tensor]],
    points: Sequence[Point],
    metric: Metric,
    *,
    use_cuda: bool = False,
) -> list[dict[str, float]]:
    """Evaluate a network at points of a plane, as a textbook would.

    The weights are set by one Python loop a point, and the loader is iterated anew at each.

    Args:
        net: At its trained weights, where it is afterwards.
        loader: Batches of (inputs, targets).
        directions: Two, each a tensor a parameter.
        points: Steps along them.
        metric: Evaluates the network on the loader.
        use_cuda: Whether the network lies on a GPU; batches are sent there one by one.
    """
    net.eval()
    weights = [parameter.detach().clone() for parameter in net.parameters()]
    here = weights[0].device
    east, north = ([tensor.to(here) for tensor in direction] for direction in directions)
    found = []
    for x, y in points:
        for parameter, weight, dx, dy in zip(net.parameters(), weights, east, north, strict=True):
            parameter.data = weight + x * dx + y * dy
        found.append(metric(net, loader, use_cuda))
    for parameter, weight in zip(net.parameters(), weights, strict=True):
        parameter.data = weight
    return found


def random_direction(net: nn.Module) -> list[Tensor]:
    """Draw a direction as a textbook would: noise, each filter given the norm of the weights'."""
    found = []
    for parameter in net.parameters():
        noise = torch.randn_like(parameter).detach()
        if parameter.ndim <= 1:
            noise.zero_()
        else:
            for row, weight in zip(noise, parameter.detach(), strict=True):
                row.mul_(weight.norm() / (row.norm() + 1e-10))
        found.append(noise)
    return found
