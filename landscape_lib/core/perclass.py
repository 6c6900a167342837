"""One number a class: what a metric gives on the samples of that class alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from landscape_lib.core.means import Judged, Known, MeanMeter


class PerClassMeter(MeanMeter):
    """For every class the weighted mean over the samples whose target it is.

    It is what the metric gives on these samples alone, hence NaN for a class that has none, and a
    NaN of one class is not in another's sum.

    Memory: one number for each of the outputs.

    Args:
        each: From outputs and targets to a number a target, in the shape of the targets.
        classes: How many scores there are.
        weight: What a target of each class counts, shape (classes,); None: one.
        ignore_index: Targets that don't count.
        device: Where outputs are.
        divide: Whether it is the mean, or the sum.
        finish: What is made of it.
    """

    def __init__(
        self,
        each: Callable[[Any, Any], Tensor],
        classes: int,
        weight: Tensor | None,
        ignore_index: int,
        device: torch.device,
        *,
        divide: bool = True,
        finish: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.each, self.classes, self.ignore_index = each, classes, ignore_index
        self._every = torch.arange(classes, device=device)
        self._counts = weight
        super().__init__(device, divide=divide, finish=finish)

    def known(self, outputs: Any, targets: Any) -> Known:
        """Return what the targets of each class are divided by."""
        members = self._members(targets)
        counts = members.sum(self._rest(targets), dtype=torch.float64)
        weight = counts if self._counts is None else counts * self._counts
        return Known(targets, weight, None, len(targets))

    def judge(self, outputs: Any, known: Known) -> Judged:
        """Return a batch's sums, and their weights, each of shape (classes,)."""
        values = self.each(outputs, known.targets)
        mine = torch.where(self._members(known.targets), values.unsqueeze(1), 0)
        return Judged(mine.sum(self._rest(known.targets), dtype=torch.float64), known.over(mine))

    def _members(self, targets: Tensor) -> Tensor:
        """Tell for every class, along dimension 1, whether a target is of it and counts."""
        every = self._every.view(-1, *[1] * (targets.ndim - 1))
        counted = (targets != self.ignore_index).unsqueeze(1)
        return (targets.unsqueeze(1) == every) & counted

    def _rest(self, targets: Tensor) -> tuple[int, ...]:
        return (0, *range(2, targets.ndim + 1))
