"""A weighted mean over batches: sums in float64, divided once.

A meter judges a batch in two parts: ``known`` is what its targets alone decide, the same at every
point of a landscape, and ``judge`` is what the network's outputs decide.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from landscape_lib.core.sampling import bootstrap_error, standard_error


class Judged(NamedTuple):
    """What the outputs of a batch decide, for one meter.

    Attributes:
        total: The batch's sum, float64.
        weight: What it is to be divided by.
        each: What each sample adds, shape (samples,), in a unit of the meter's own; None where
            that is not asked for, or nobody can tell.
        weights: What each sample's part is to be divided by, shape (samples,) or one for all.
    """

    total: Tensor
    weight: Tensor | float
    each: Tensor | None = None
    weights: Tensor | float = 1.0


@dataclass(frozen=True)
class Known:
    """What a batch's targets alone decide, for one meter.

    Attributes:
        targets: As the meter compares them with outputs.
        weight: What the batch's sum is to be divided by; None where the outputs decide.
        kept: Which targets count; None: all.
        count: Number of samples.
        weights: The parts of ``weight`` that are each sample's, shape (samples,); None: all alike.
        places: How many targets there are, where each counts once or not at all; else None.
    """

    targets: Any
    weight: Tensor | float | None = None
    kept: Tensor | None = None
    count: int = 1
    weights: Tensor | None = None
    places: int | None = None

    def over(self, values: Tensor) -> Tensor | float:
        """Return what a sum of these values is to be divided by."""
        return values.numel() if self.weight is None else self.weight

    def of_each(self, values: Tensor) -> Tensor | float:
        """Return what each sample's part of a sum of these values is to be divided by."""
        if self.weights is not None:
            return self.weights
        return float(self.over(values)) / self.count

    def weighing(self, weight: float) -> "Known":
        """Return the same with its weight as a number that was read from the device."""
        if weight == self.places:
            return replace(self, weight=weight, kept=None, weights=None)
        return replace(self, weight=weight)


class MeanMeter(ABC):
    """A weighted mean over all batches that are added, in float64 on the device.

    Attributes:
        finish: What is made of the mean; None: nothing.
        note: What a reader must know of how it is averaged; empty where it is exact.
        held: What the metric holds of the model itself, so that its values depend on the weights.
        samples: How many samples the data have, where what each of them adds is kept until the
            point is done, for sampling errors: up to 8 bytes a sample; 0: nothing is kept.
    """

    note = ""
    held: Sequence[Any] = ()

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
        self.samples = 0
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
        self._each: list[Tensor | None] = []
        self._weights: list[Tensor | float] = []

    def add(self, outputs: Any, known: Known) -> None:
        """Add one batch."""
        self.sum_up(self.judge(outputs, known))

    def sum_up(self, judged: Judged) -> None:
        """Add a batch's sum, or its sums at several points, and its weight."""
        self._total = self._total + judged.total
        self._weight = self._weight + judged.weight
        if self.samples:
            self._each.append(judged.each)
            self._weights.append(judged.weights)

    def result(self) -> Tensor:
        """Return the mean, or the sum where that is asked for; no synchronisation."""
        return self._mean() if self.finish is None else self.finish(self._mean())

    def standard_error(self) -> Tensor:
        """Return the sampling error of the result; NaN where samples cannot be told apart.

        Of what is made of a mean, f(m), it is |f'(m)| times that of the mean (the delta method).
        """
        error = self._of_samples(standard_error)
        if self.finish is None:
            return error
        with torch.enable_grad():
            mean = self._mean().detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.finish(mean).sum(), mean)
        return slope.abs() * error

    def bootstrap_error(self, drawn: Tensor) -> Tensor:
        """Return the result's spread over bootstrap samples; NaN as for the standard error."""
        return self._of_samples(partial(bootstrap_error, drawn=drawn, finish=self.finish))

    def _mean(self) -> Tensor:
        return self._total / self._weight if self._divide else self._total

    def _of_samples(self, error: Callable[..., Tensor]) -> Tensor:
        each = [part for part in self._each if part is not None]
        if not each or sum(part.shape[-1] for part in each) != self.samples:
            return self._total * torch.nan
        weights = _joined(self._weights, each) if self._divide else 1.0
        return error(torch.cat(each, -1).double(), weights, divide=self._divide)

    def _each_of(self, values: Tensor, known: Known) -> Tensor | None:
        """Return what each sample adds, where that is asked for and can be told."""
        if not self.samples or not values.ndim or len(values) != known.count:
            return None
        if values.ndim == 1:  # a view would keep what it is of: all outputs
            return values.clone() if values._is_view() else values
        return values.reshape(known.count, -1).sum(1, dtype=torch.float64)


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


def _joined(weights: Sequence[Tensor | float], like: Sequence[Tensor]) -> Tensor | float:
    """Return the weights of all batches as one row; one number where all are alike."""
    if all(isinstance(part, float) and part == weights[0] for part in weights):
        return weights[0]
    rows = [
        part.expand(each.shape[-1])
        if isinstance(part, Tensor)
        else each.new_full((each.shape[-1],), part)
        for part, each in zip(weights, like, strict=True)
    ]
    return torch.cat(rows)
