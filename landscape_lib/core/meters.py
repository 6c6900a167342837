"""How many batches become one number: sums in float64, divided once.

A meter judges a batch in two parts: ``known`` is what its targets alone decide, the same at every
point of a landscape, and ``judge`` is what the network's outputs decide.
"""

import copy
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from landscape_lib.core.blame import blamed_on_the_metric
from landscape_lib.core.errors import InputError
from landscape_lib.core.sampling import bootstrap_error, standard_error
from landscape_lib.core.surface import Label

log = logging.getLogger(__name__)

REGRESSIONS = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)
CLASSIFICATIONS = (nn.CrossEntropyLoss, nn.NLLLoss)
AGREEMENT = 1e-4  # relative; how near a module's own value its per-sample values must come


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
        samples: How many samples the data have, where what each of them adds is kept until the
            point is done, for sampling errors: up to 8 bytes a sample; 0: nothing is kept.
    """

    def __init__(self, device: torch.device, *, divide: bool = True) -> None:
        self._zero = torch.zeros((), dtype=torch.float64, device=device)
        self._divide = divide
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
        return self._total / self._weight if self._divide else self._total

    def standard_error(self) -> Tensor:
        """Return the sampling error of the result; NaN where samples cannot be told apart."""
        return self._of_samples(standard_error)

    def bootstrap_error(self, drawn: Tensor) -> Tensor:
        """Return the result's spread over bootstrap samples; NaN as for the standard error."""
        return self._of_samples(partial(bootstrap_error, drawn=drawn))

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


class LossMeter(MeanMeter):
    """The value that a loss module would give on the whole data set as one batch.

    ``reduction='mean'`` is sum(l_i) / sum(w_i) over everything that counts: class weights and
    ``ignore_index`` as torch defines them.  ``'sum'`` is the sum.  Modules without per-sample
    values are averaged over batches, weighted by the number of samples.
    """

    def __init__(self, loss: nn.Module, device: torch.device) -> None:
        self.loss = loss
        self.each = _per_sample(loss)
        self.reduction = getattr(loss, "reduction", None)
        super().__init__(device, divide=self.reduction != "sum")

    def settle(self, outputs: Any, targets: Any) -> None:
        """Decide on a first batch whether the module's per-sample values can be trusted.

        Raises:
            InputError: If the module returns anything but one number.
        """
        known = self.known(outputs, targets)
        own = self.loss(outputs, known.targets)
        if self.reduction != "none" and not _is_scalar(own):
            raise InputError(
                f"{type(self.loss).__name__} returned {_say(own)}; wanted one number a batch."
            )
        if self.each is not None and not self._agrees(own, outputs, known):
            self.each = None
        if self.each is None and self.reduction != "sum":
            log.info(
                "%s does not say the loss of a sample: it is averaged over batches, weighted by "
                "their samples.",
                type(self.loss).__name__,
            )

    def _agrees(self, own: Tensor, outputs: Any, known: Known) -> bool:
        """Say whether there are per-sample values, and whether they add up to the module's own."""
        try:
            losses = self.each(outputs, known.targets)  # type: ignore[misc]
        except Exception:  # a user's module that has never heard of reduction='none'
            return False
        if not isinstance(losses, Tensor) or not losses.ndim:
            return False
        if self.reduction == "none":
            return True
        self.reset()
        self.add(outputs, known)
        found, wanted = float(self.result()), float(own)
        close = math.isclose(found, wanted, rel_tol=AGREEMENT, abs_tol=1e-6)
        return close or not math.isfinite(wanted)

    def known(self, outputs: Any, targets: Any) -> Known:
        """Return what these targets decide, for outputs of the given shape and type."""
        fitted = self._fit(outputs, targets)
        count = _count(fitted, outputs)
        if self.each is None or self.reduction == "batchmean":
            return Known(fitted, count, None, count)
        weights = self._weights_of(fitted)
        if weights is None:
            return Known(fitted, None, None, count)
        parts = _by_sample(weights) if self.samples else None
        places = weights.numel() if weights.dtype == torch.bool else None
        return Known(fitted, weights.sum(dtype=torch.float64), None, count, parts, places)

    def judge(self, outputs: Any, known: Known) -> Judged:
        """Return a batch's sum and its weight."""
        if self.each is None:
            value = self.loss(outputs, known.targets).double()
            return Judged(value if self.reduction == "sum" else value * known.count, known.count)
        losses = self.each(outputs, known.targets)
        each = self._each_of(losses, known)
        weights = 1.0 if each is None else known.of_each(losses)
        return Judged(losses.sum(dtype=torch.float64), known.over(losses), each, weights)

    def _weights_of(self, targets: Any) -> Tensor | None:
        """Return the weight of every class number; None where every number counts as one."""
        classes = isinstance(targets, Tensor) and not targets.is_floating_point()
        if not isinstance(self.loss, CLASSIFICATIONS) or not classes:
            return None
        kept = targets != self.loss.ignore_index
        if self.loss.weight is None:
            return kept
        places = torch.where(kept, targets, 0)  # a boolean index would wait for the device
        return self.loss.weight[places] * kept

    def _fit(self, outputs: Any, targets: Any) -> Any:
        """Make class numbers one-hot for a regression loss.

        Raises:
            InputError: If the shapes would be broadcast against each other in silence.
        """
        both = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
        if not both or not isinstance(self.loss, REGRESSIONS) or outputs.shape == targets.shape:
            return targets
        if has_classes(outputs, targets):
            one_hot = functional.one_hot(targets.long(), outputs.shape[1])
            return one_hot.movedim(-1, 1).to(outputs.dtype)
        raise InputError(
            f"{type(self.loss).__name__} got outputs of shape {tuple(outputs.shape)} and targets "
            f"of shape {tuple(targets.shape)}, which would be spread over each other in silence. "
            "Give the targets the shape of the outputs."
        )


def _per_sample(loss: nn.Module) -> nn.Module | None:
    if getattr(loss, "reduction", None) not in {"mean", "sum", "none", "batchmean"}:
        return None
    each = copy.copy(loss)
    each.reduction = "none"  # type: ignore[assignment]
    return _NoReduction(each)


class _NoReduction(nn.Module):
    """Calls a module that was told not to reduce."""

    def __init__(self, each: nn.Module) -> None:
        super().__init__()
        self.each = each

    def forward(self, outputs: Any, targets: Any) -> Tensor:
        return self.each(outputs, targets)


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


class AccuracyMeter(MeanMeter):
    """Percent of the targets, 0 to 100, that are the class of the highest score.

    Positions of ``ignore_index`` don't count.  Scores that hold NaN predict nothing, hence are
    wrong.
    """

    def __init__(self, ignore_index: int, device: torch.device) -> None:
        self.ignore_index = ignore_index
        super().__init__(device)

    def known(self, outputs: Tensor, targets: Tensor) -> Known:
        """Return which of these targets count, and how many do."""
        kept = targets != self.ignore_index
        parts, count = _by_sample(kept) if self.samples else None, _count(targets, outputs)
        weight = kept.sum(dtype=torch.float64)
        return Known(targets, weight, kept, count, parts, kept.numel())

    def judge(self, outputs: Tensor, known: Known) -> Judged:
        """Return a batch's sum and its weight."""
        best, predicted = outputs.max(dim=1)
        right = (predicted == known.targets) & (best == best)  # noqa: PLR0124  (NaN is no score)
        if known.kept is not None:
            right = right & known.kept
        each = self._each_of(right, known)
        weights = 1.0 if each is None else known.of_each(right)
        return Judged(100.0 * right.sum(dtype=torch.float64), known.over(right), each, weights)

    def _of_samples(self, error: Callable[..., Tensor]) -> Tensor:
        return 100.0 * super()._of_samples(error)  # kept of each sample is how often it is right


class FunctionMeter(MeanMeter):
    """The mean of ``function(outputs, targets) -> per-sample tensor`` over all samples."""

    def __init__(self, name: str, function: Callable[..., Any], device: torch.device) -> None:
        self.name = name
        self.function = function
        super().__init__(device)

    def known(self, outputs: Any, targets: Any) -> Known:
        """Return the targets, and how many samples they are."""
        return Known(targets, count=_count(targets, outputs))

    def judge(self, outputs: Any, known: Known) -> Judged:
        """Return a batch's sum and its weight; a single number counts as the batch's mean.

        Raises:
            InputError: If the function returns anything but real numbers.
        """
        found = self.function(outputs, known.targets)
        if isinstance(found, int | float):
            found = torch.tensor(float(found))
        if not isinstance(found, Tensor) or found.is_complex():
            raise InputError(
                f"Metric {self.name!r} returned {_say(found)}; wanted a tensor with one number "
                "a sample."
            )
        if found.ndim == 0 or (found.numel() == 1 and known.count > 1):
            return Judged(found.double().sum() * known.count, known.count)
        each = self._each_of(found, known)
        weights = found.numel() / known.count
        return Judged(found.sum(dtype=torch.float64), found.numel(), each, weights)


class TorchMetricMeter:
    """Whatever has ``update`` and ``compute``, as the metrics of torchmetrics."""

    def __init__(self, metric: Any, device: torch.device) -> None:
        self.metric = copy.deepcopy(metric)
        if hasattr(self.metric, "to"):
            self.metric = self.metric.to(device)

    def reset(self) -> None:
        """Begin a new point."""
        self.metric.reset()

    def known(self, outputs: Any, targets: Any) -> Known:
        """Return the targets; the metric keeps its own accounts."""
        return Known(targets)

    def add(self, outputs: Any, known: Known) -> None:
        """Add one batch."""
        self.metric.update(outputs, known.targets)

    def result(self) -> Any:
        """Return what the metric computes over everything added."""
        return self.metric.compute()

    def standard_error(self) -> float:
        """Return NaN: a metric that keeps its own accounts tells no samples apart."""
        return math.nan

    def bootstrap_error(self, drawn: Tensor) -> float:
        """Return NaN, too."""
        return math.nan


Meter = LossMeter | AccuracyMeter | FunctionMeter | TorchMetricMeter


def meters_for(
    metrics: nn.Module | Mapping[str, Any], split: str, outputs: Any, targets: Any
) -> dict[str, Meter]:
    """Return a meter for every metric key of a split, settled on a first batch.

    Raises:
        InputError: If a loss module meets outputs that are no tensor, or a metric is of no kind
            that can be evaluated.
    """
    device = _device(outputs)
    if isinstance(metrics, Mapping):
        named = {f"{split}_loss_{name}": metric for name, metric in metrics.items()}
        return {key: _meter(key, metric, outputs, targets, device) for key, metric in named.items()}
    meters: dict[str, Meter] = {
        f"{split}_loss": _meter(f"{split}_loss", metrics, outputs, targets, device)
    }
    if has_classes(outputs, targets):
        if isinstance(metrics, REGRESSIONS):
            log.info("%s compares scores with one-hot classes.", type(metrics).__name__)
        ignored = getattr(metrics, "ignore_index", None)
        ignored = ignored if isinstance(ignored, int) else -100
        meters[f"{split}_acc"] = AccuracyMeter(ignored, device)
    return meters


def refuse_stray_labels(metrics: Any, outputs: Any, targets: Sequence[Any]) -> None:
    """Refuse class numbers that no score belongs to, before a GPU stops over them.

    Args:
        metrics: A loss module, or a dict of metrics; others judge for themselves.
        outputs: Of the first batch.
        targets: Of every batch.

    Raises:
        InputError: With the numbers that are there, and those that may be.
    """
    losses = metrics.values() if isinstance(metrics, Mapping) else [metrics]
    judging = [loss for loss in losses if isinstance(loss, CLASSIFICATIONS)]
    if not judging or not has_classes(outputs, targets[0]):
        return
    for ignored in {loss.ignore_index for loss in judging}:
        counted = [torch.where(part == ignored, 0, part) for part in targets]
        ends = torch.stack([torch.stack(part.aminmax()) for part in counted]).T
        low, high = min(ends[0].tolist()), max(ends[1].tolist())
        classes = outputs.shape[1]
        if low < 0 or high >= classes:
            raise InputError(
                f"Targets are class numbers from {low} to {high}, but the model returns {classes} "
                f"scores, for classes 0 to {classes - 1}. Count classes from 0 (targets - 1?), "
                "give the last layer as many outputs as there are classes, or name what is not to "
                "count: nn.CrossEntropyLoss(ignore_index=...)."
            )


def _meter(key: str, metric: Any, outputs: Any, targets: Any, device: torch.device) -> Meter:
    if hasattr(metric, "update") and hasattr(metric, "compute"):
        return TorchMetricMeter(metric, device)
    if isinstance(metric, nn.Module):
        if not isinstance(outputs, Tensor):
            raise InputError(
                f"The model returned {_say(outputs)}, which {type(metric).__name__} cannot judge; "
                "wanted a tensor. Return a tensor, or give metrics as functions(outputs, targets)."
            )
        dtype = outputs.dtype if outputs.is_floating_point() else None
        loss = LossMeter(copy.deepcopy(metric).to(device, dtype), device)
        with blamed_on_the_metric(key, outputs, targets):
            loss.settle(outputs, targets)
        return loss
    if callable(metric):
        return FunctionMeter(key, metric, device)
    raise InputError(
        f"Metric {key!r} is a {type(metric).__name__}; wanted a loss module, a function(outputs, "
        "targets), or a torchmetrics.Metric."
    )


def labels_for(metrics: Any, keys: Sequence[str]) -> dict[str, Label]:
    """Return the label of every key; torchmetrics say themselves whether higher is better."""
    named = metrics if isinstance(metrics, Mapping) else {}
    return {key: _label(key, named.get(key.split("_loss_", 1)[-1])) for key in keys}


def _label(key: str, metric: Any) -> Label:
    label = Label.of(key)
    higher = getattr(metric, "higher_is_better", None)
    return label if higher is None else replace(label, goal="max" if higher else "min")


def _device(outputs: Any) -> torch.device:
    return outputs.device if isinstance(outputs, Tensor) else torch.device("cpu")


def _count(targets: Any, outputs: Any) -> int:
    """Return the number of samples of a batch: the length of the first tensor in it."""
    leaves = tree_leaves((targets, outputs))
    return next((len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim), 1)


def _by_sample(values: Tensor) -> Tensor:
    """Return sums over everything but the first dimension, which is that of the samples."""
    return values.reshape(len(values), -1).sum(1, dtype=torch.float64)


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


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()


def _say(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    shown = f" ({value!r:.60})" if isinstance(value, str | int | float) else ""
    return f"a {type(value).__name__}{shown}"
