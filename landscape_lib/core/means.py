"""A weighted mean over batches: sums in float64, divided once.

A meter judges a batch in two parts: ``known`` is what its targets alone decide, the same at every
point of a landscape, and ``judge`` is what the network's outputs decide.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

Judged = tuple[Tensor, Tensor | float]  # a batch's sum, and what it is to be divided by


@dataclass(frozen=True)
class Known:
    """What a batch's targets alone decide, for one meter.

    Attributes:
        targets: As the meter compares them with outputs.
        weight: What the batch's sum is to be divided by; None where the outputs decide.
        kept: Which targets count; None: all.
        count: Number of samples.
    """

    targets: Any
    weight: Tensor | float | None = None
    kept: Tensor | None = None
    count: int = 1

    def over(self, values: Tensor) -> Tensor | float:
        """Return what a sum of these values is to be divided by."""
        return values.numel() if self.weight is None else self.weight

    def weighing(self, weight: float) -> "Known":
        """Return the same with its weight as a number that was read from the device."""
        whole = self.kept is not None and weight == self.kept.numel()
        return replace(self, weight=weight, kept=None if whole else self.kept)


class MeanMeter(ABC):
    """A weighted mean over all batches that are added, in float64 on the device.

    Attributes:
        finish: What is made of the mean; None: nothing.
        note: What a reader must know of how it is averaged; empty where it is exact.
    """

    note = ""

    def __init__(
        self,
        device: torch.device,
        *,
        divide: bool = True,
        finish: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._zero = torch.zeros((), dtype=torch.float64, device=device)
        self._divide = divide
        self.finish = finish
        self.reset()

    @abstractmethod
    def known(self, outputs: Any, targets: Any) -> Known:
        """Return what these targets decide, for outputs of the given shape and type."""

    @abstractmethod
    def judge(self, outputs: Any, known: Known) -> Judged:
        """Return a batch's sum and its weight; ``torch.func.vmap`` may go through it."""

    def reset(self) -> None:
        """Begin a new point."""
        self._total = self._zero
        self._weight: Tensor | float = 0.0

    def add(self, outputs: Any, known: Known) -> None:
        """Add one batch."""
        self.sum_up(*self.judge(outputs, known))

    def sum_up(self, total: Tensor, weight: Tensor | float) -> None:
        """Add a batch's sum, or its sums at several points, and its weight."""
        self._total = self._total + total
        self._weight = self._weight + weight

    def result(self) -> Tensor:
        """Return the mean, or the sum where that is asked for; no synchronisation."""
        mean = self._total / self._weight if self._divide else self._total
        return mean if self.finish is None else self.finish(mean)


def has_classes(outputs: Any, targets: Any) -> bool:
    """Say whether outputs are class scores (n, classes, ...) and targets class numbers (n, ...)."""
    return (
        isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
        and outputs.is_floating_point()
        and not targets.is_floating_point()
        and targets.dtype != torch.bool
        and outputs.ndim >= 2
        and outputs.shape[1] >= 2
        and outputs.shape[:1] + outputs.shape[2:] == targets.shape
    )
