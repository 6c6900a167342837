"""How metrics of every kind are taken over many batches, as if these were one."""

import copy
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from landscape_lib.core.blame import blamed_on_the_metric, said
from landscape_lib.core.copies import copy_beside, is_torchs_own
from landscape_lib.core.errors import InputError
from landscape_lib.core.means import Judged, Known, MeanMeter, has_classes
from landscape_lib.core.metrics import (
    Accuracy,
    PerClass,
    Perplexity,
    Regularized,
    Unmade,
    WeightDecay,
    loss_in,
    penalty_of,
)
from landscape_lib.core.perclass import PerClassMeter
from landscape_lib.core.samples import copied

log = logging.getLogger(__name__)

REGRESSIONS = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)
CLASSIFICATIONS = (nn.CrossEntropyLoss, nn.NLLLoss)
AVERAGED = "averaged over batches, weighted by their samples"
AGREEMENT = 1e-4  # relative; how near a module's own value its per-sample values must come


class LossMeter(MeanMeter):
    """The value that a loss module would give on the whole data set as one batch.

    ``reduction='mean'`` is sum(l_i) / sum(w_i) over everything that counts: class weights and
    ``ignore_index`` as torch defines them.  ``'sum'`` is the sum.  Modules without per-sample
    values are averaged over batches, weighted by the number of samples.
    """

    def __init__(
        self,
        loss: nn.Module,
        device: torch.device,
        finish: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.loss = loss
        self.each = _per_sample(loss)
        self.reduction = getattr(loss, "reduction", None)
        super().__init__(device, divide=self.reduction != "sum", finish=finish)

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
            self.distrust()
        elif self.each is None:
            self._say_averaged()

    @property
    def doubtful(self) -> bool:
        """Whether what a first batch said of it may be wrong of others.

        A module of the user's own may leave targets out that a first batch does not have.
        """
        return self.each is not None and self.reduction != "none" and not is_torchs_own(self.loss)

    def agrees(self, outputs: Any, targets: Any) -> Tensor:
        """Return whether a batch's per-sample values add up to the module's own, not yet read."""
        known = self.known(outputs, targets)
        own = self.loss(outputs, known.targets).double().sum()
        judged = self.judge(outputs, known)
        found = judged.total / judged.weight if self._divide else judged.total
        close = torch.isclose(found, own, rtol=AGREEMENT, atol=1e-6, equal_nan=True)
        return close | ~(found.isfinite() | own.isfinite())

    def distrust(self) -> None:
        """Take the module's own value of each batch from now on, not those of its samples."""
        self.each = None
        self._say_averaged()

    def _say_averaged(self) -> None:
        if self.reduction != "sum":
            self.note = AVERAGED
            log.info(
                "%s does not say the loss of a sample: it is %s.",
                type(self.loss).__name__,
                AVERAGED,
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
        if self.doubtful:
            return bool(self.agrees(outputs, known.targets))
        self.reset()
        self.add(outputs, known)
        found, wanted = float(self._total / (self._weight if self._divide else 1)), float(own)
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
        targets = targets.long()  # no byte is -100, but 156 would be taken for it
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


class AccuracyMeter(MeanMeter):
    """Percent of the targets, 0 to 100, that are among the classes of the highest scores.

    Positions of ``ignore_index`` don't count.  Scores that hold NaN predict nothing, hence are
    wrong.  ``top`` is how many of the highest scores; of equal ones the first counts as higher.
    """

    def __init__(self, ignore_index: int, device: torch.device, top: int = 1) -> None:
        self.ignore_index, self.top = ignore_index, top
        super().__init__(device)

    def known(self, outputs: Tensor, targets: Tensor) -> Known:
        """Return which of these targets count, and how many do."""
        kept = targets.long() != self.ignore_index
        parts, count = _by_sample(kept) if self.samples else None, _count(targets, outputs)
        weight = kept.sum(dtype=torch.float64)
        return Known(targets, weight, kept, count, parts, kept.numel())

    def judge(self, outputs: Tensor, known: Known) -> Judged:
        """Return a batch's sum and its weight."""
        right = self.right(outputs, known.targets)
        if known.kept is not None:
            right = right & known.kept
        each = self._each_of(right, known)
        weights = 1.0 if each is None else known.of_each(right)
        return Judged(100.0 * right.sum(dtype=torch.float64), known.over(right), each, weights)

    def _of_samples(self, error: Callable[..., Tensor]) -> Tensor:
        return 100.0 * super()._of_samples(error)  # kept of each sample is how often it is right

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Tell for every target whether it is among the highest scores."""
        best, predicted = outputs.max(dim=1)
        numbers = best == best  # noqa: PLR0124  (NaN is no score)
        if self.top == 1:
            return (predicted == targets) & numbers
        there = (targets >= 0) & (targets < outputs.shape[1])
        places = torch.where(there, targets, 0).unsqueeze(1)
        own = outputs.gather(1, places)
        every = torch.arange(outputs.shape[1], device=outputs.device)
        before = every.view(-1, *[1] * (targets.ndim - 1)) < places
        higher = (outputs > own) | ((outputs == own) & before)
        return (higher.sum(dim=1) < self.top) & there & numbers


class FunctionMeter(MeanMeter):
    """The mean of ``function(outputs, targets) -> per-sample tensor`` over all samples."""

    def __init__(self, name: str, function: Callable[..., Any], device: torch.device) -> None:
        self.name = name
        self.function = function
        self._single: bool | None = None  # whether it returns one number a batch; None: not seen
        super().__init__(device)

    def known(self, outputs: Any, targets: Any) -> Known:
        """Return the targets, and how many samples they are."""
        return Known(targets, count=_count(targets, outputs))

    def judge(self, outputs: Any, known: Known) -> Judged:
        """Return a batch's sum and its weight.

        A single number counts as the batch's mean, unless a batch before had one for each of some
        samples: then it is that of the only sample which the function keeps.

        Raises:
            InputError: If the function returns anything but real numbers.
        """
        found = self.function(outputs, known.targets)
        if isinstance(found, np.generic | np.ndarray) and not found.ndim:
            found = found.item()
        if isinstance(found, int | float):
            found = torch.tensor(float(found))
        if not isinstance(found, Tensor) or found.is_complex():
            raise InputError(
                f"Metric {self.name!r} returned {_say(found)}; wanted a tensor with one number "
                "a sample."
            )
        if self._is_mean(found, known.count):
            self.note = AVERAGED
            return Judged(found.double().sum() * known.count, known.count)
        each = self._each_of(found, known)
        weights = found.numel() / known.count
        return Judged(found.sum(dtype=torch.float64), found.numel(), each, weights)

    def _is_mean(self, found: Tensor, count: int) -> bool:
        """Tell whether what the function returned is the batch's mean.

        Raises:
            InputError: If it was one number for a batch, and is now several.
        """
        if found.numel() != 1:
            if self._single:
                raise InputError(
                    f"Metric {self.name!r} returned one number for a batch of several samples "
                    f"before, and {found.numel()} for one of {count} now: whether one is a batch's "
                    "mean or a sample's value cannot be told. Return a number for every sample of "
                    "a batch, or one for the batch, always."
                )
            self._single = False
        elif count > 1 and self._single is None:
            self._single = True
        one = found.numel() == 1 and (not found.ndim or count > 1)
        return one and self._single is not False


class TorchMetricMeter:
    """Whatever has ``update`` and ``compute``, as the metrics of torchmetrics."""

    def __init__(self, metric: Any) -> None:
        self.metric = metric

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


Meter = LossMeter | AccuracyMeter | PerClassMeter | FunctionMeter | TorchMetricMeter


def meters_for(
    model: nn.Module,
    metrics: nn.Module | Mapping[str, Any],
    split: str,
    outputs: Any,
    targets: Any,
) -> dict[str, Meter]:
    """Return a meter for every metric key of a split, settled on a first batch.

    What depends on the weights alone has none; what training minimised is of ``train`` alone.
    What metrics hold of the model is not copied: see ``core.copies``.

    Raises:
        InputError: If a loss module meets outputs that are no tensor, or a metric is of no kind
            that can be evaluated.
    """
    if isinstance(metrics, Mapping):
        named = {f"{split}_loss_{name}": metric for name, metric in metrics.items()}
        if split != "train":
            named = {key: metric for key, metric in named.items() if penalty_of(metric) is None}
        named = {k: metric for k, metric in named.items() if not isinstance(metric, WeightDecay)}
        return {key: _meter(key, metric, outputs, targets, model) for key, metric in named.items()}
    meters: dict[str, Meter] = {
        f"{split}_loss": _meter(f"{split}_loss", metrics, outputs, targets, model)
    }
    if has_classes(outputs, targets):
        if isinstance(metrics, REGRESSIONS):
            log.info("%s compares scores with one-hot classes.", type(metrics).__name__)
        ignored = getattr(metrics, "ignore_index", None)
        ignored = ignored if isinstance(ignored, int) else -100
        meters[f"{split}_acc"] = AccuracyMeter(ignored, _device(outputs))
    return meters


def writes_nothing(meter: Meter) -> bool:
    """Tell whether it is certain that a metric writes to nothing: it is ours, or torch's own."""
    if isinstance(meter, LossMeter):
        return is_torchs_own(meter.loss)
    return isinstance(meter, AccuracyMeter | PerClassMeter)


def hold_against(
    meters: Iterable[Meter],
    batches: Iterable[tuple[Any, Any, Any]],
    first: tuple[Any, Any],
    model: Callable[[Any, Any], Any],
) -> None:
    """Hold losses of the user's own against other batches than the first.

    Targets of the first batch's shape are judged with its outputs, which saves the model a pass;
    one number is read from the device in the end.

    Args:
        meters: Those of the first batch; losses that others disprove are distrusted.
        batches: The others: inputs, named inputs, targets.
        first: Outputs and targets of the first.
        model: From inputs and named inputs to outputs.
    """
    agreed: dict[LossMeter, list[Tensor]] = {
        meter: [] for meter in meters if isinstance(meter, LossMeter) and meter.doubtful
    }
    for inputs, named, targets in batches if agreed else ():
        mine = copied(targets)
        outputs = _outputs_for(mine, *first)
        if outputs is None:
            outputs = model(*copied((inputs, named)))
        for meter, found in agreed.items():
            found.append(meter.agrees(outputs, mine))
    for meter, found in agreed.items():
        if found and not bool(torch.stack(found).all()):
            meter.distrust()


def _outputs_for(targets: Any, outputs: Any, first: Any) -> Any | None:
    """Return outputs that may stand beside targets: those of a first batch, as many as needed.

    Args:
        targets: Of another batch.
        outputs: Of the first batch.
        first: The first batch's targets.

    Returns:
        None where shapes do not tell what they would have to be.
    """
    tensors = (targets, outputs, first)
    if not all(isinstance(t, Tensor) and t.layout == torch.strided and t.ndim for t in tensors):
        return None
    if len(outputs) != len(first) or targets.shape[1:] != first.shape[1:]:
        return None
    rows = torch.arange(len(targets), device=outputs.device) % len(outputs)
    return outputs[rows]


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
    judging = [
        loss for loss in map(loss_in, losses) if isinstance(loss, (*CLASSIFICATIONS, Accuracy))
    ]
    if not judging or not has_classes(outputs, targets[0]):
        return
    for ignored in {loss.ignore_index for loss in judging}:
        counted = [torch.where(part.long() == ignored, 0, part) for part in targets]
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


def _meter(key: str, metric: Any, outputs: Any, targets: Any, model: nn.Module) -> Meter:
    """Return the meter of one metric, whatever it is wrapped in.

    Raises:
        InputError: If it is of no kind that can be evaluated, or does not belong to such outputs.
    """
    if isinstance(metric, Unmade):
        metric = metric.make(outputs, targets)
    if isinstance(metric, Regularized):
        metric = metric.loss
    for kind, meter_of in _OURS.items():
        if isinstance(metric, kind):
            return meter_of(key, metric, outputs, targets, model)
    if hasattr(metric, "update") and hasattr(metric, "compute"):
        return TorchMetricMeter(copy_beside(metric, model, _device(outputs))[0])
    if isinstance(metric, nn.Module):
        return _loss(key, metric, outputs, targets, model)
    if callable(metric):
        return FunctionMeter(key, metric, _device(outputs))
    raise InputError(
        f"Metric {key!r} is a {type(metric).__name__}; wanted a loss module, a function(outputs, "
        "targets), or a torchmetrics.Metric."
    )


def _loss(
    key: str,
    metric: nn.Module,
    outputs: Any,
    targets: Any,
    model: nn.Module,
    finish: Callable[[Tensor], Tensor] | None = None,
) -> LossMeter:
    if not isinstance(outputs, Tensor):
        raise InputError(
            f"The model returned {_say(outputs)}, which {type(metric).__name__} cannot judge; "
            "wanted a tensor. Return a tensor, or give metrics as functions(outputs, targets)."
        )
    dtype = outputs.dtype if outputs.is_floating_point() else None
    own, held = copy_beside(metric, model, _device(outputs), dtype)
    loss = LossMeter(own, _device(outputs), finish)
    loss.held = held
    with blamed_on_the_metric(key, outputs, targets):
        loss.settle(outputs, targets)
    return loss


def _accuracy(
    key: str, metric: Accuracy, outputs: Any, targets: Any, model: nn.Module
) -> AccuracyMeter:
    if not has_classes(outputs, targets):
        raise InputError(
            f"Metric {key!r} is an accuracy, but the model returned {said(outputs)} and the "
            f"targets are {said(targets)}; wanted scores (n, classes, ...) and class numbers "
            "(n, ...). For other outputs there are BinaryAccuracy and MultilabelAccuracy."
        )
    if metric.top >= outputs.shape[1] > 1:
        raise InputError(
            f"Metric {key!r} counts the {metric.top} highest of {outputs.shape[1]} scores, which "
            "is always 100 %; take fewer."
        )
    return AccuracyMeter(metric.ignore_index, _device(outputs), metric.top)


def _perplexity(
    key: str, metric: Perplexity, outputs: Any, targets: Any, model: nn.Module
) -> LossMeter:
    return _loss(key, metric.loss, outputs, targets, model, torch.exp)


def _per_class(
    key: str, whole: PerClass, outputs: Any, targets: Any, model: nn.Module
) -> PerClassMeter:
    """Return what takes an accuracy or a loss of class numbers apart by class.

    Raises:
        InputError: If it is another metric, or not of class numbers.
    """
    metric = whole.metric
    if isinstance(metric, Accuracy):
        accuracy = _accuracy(key, metric, outputs, targets, model)
        each = lambda outputs, targets: 100.0 * accuracy.right(outputs, targets)  # noqa: E731
        place = _device(outputs)
        return PerClassMeter(each, outputs.shape[1], None, metric.ignore_index, place)
    loss: Any = loss_in(metric)
    if not isinstance(loss, CLASSIFICATIONS) or not has_classes(outputs, targets):
        raise InputError(
            f"Metric {key!r} cannot be taken apart by class: the model returned {said(outputs)}, "
            f"the targets are {said(targets)}, and it is a {type(loss).__name__}. per_class is for "
            "accuracy, topK, cross_entropy, nll, perplexity of class scores and class numbers, and "
            "for classes of torchmetrics that have an average."
        )
    meter = _loss(key, loss, outputs, targets, model)
    if meter.each is None:
        raise InputError(
            f"Metric {key!r} cannot be taken apart by class: {type(loss).__name__} does not say "
            "the loss of a sample. Leave per_class out."
        )
    return PerClassMeter(
        meter.each,
        outputs.shape[1],
        None if loss.weight is None else loss.weight.to(outputs.device, torch.float64),
        loss.ignore_index,
        outputs.device,
        divide=meter.reduction != "sum",
        finish=torch.exp if isinstance(metric, Perplexity) else None,
    )


_OURS: Mapping[type, Callable[..., Meter]] = {
    Accuracy: _accuracy,
    Perplexity: _perplexity,
    PerClass: _per_class,
}


def _device(outputs: Any) -> torch.device:
    return outputs.device if isinstance(outputs, Tensor) else torch.device("cpu")


def _count(targets: Any, outputs: Any) -> int:
    """Return the number of samples of a batch: the length of the first tensor in it."""
    leaves = tree_leaves((targets, outputs))
    return next((len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim), 1)


def _by_sample(values: Tensor) -> Tensor:
    """Return sums over everything but the first dimension, which is that of the samples."""
    return values.reshape(len(values), -1).sum(1, dtype=torch.float64)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()


def _say(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    shown = f" ({value!r:.60})" if isinstance(value, str | int | float) else ""
    return f"a {type(value).__name__}{shown}"
