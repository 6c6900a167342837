"""Under which keys a metric's numbers are found, and what these are called."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from landscape_lib.core.meters import Meter, TorchMetricMeter
from landscape_lib.core.metrics import WeightDecay
from landscape_lib.core.perclass import PerClassMeter
from landscape_lib.core.surface import Label


def results_of(key: str, meter: Meter, classes: Sequence[str] | None) -> dict[str, Any]:
    """Return a meter's result; of several numbers one key each.

    Args:
        key: Of the metric.
        meter: With everything added.
        classes: What the data set calls its classes; numbers from 0 where there are no names, or
            another number of them.
    """
    found = meter.result()
    if isinstance(meter, PerClassMeter):
        return {f"{key}_{n}": found[..., i] for i, n in _numbered(meter.classes, classes)}
    if isinstance(meter, TorchMetricMeter) and isinstance(found, Mapping):
        return {f"{key}_{name}": value for name, value in found.items()}
    if isinstance(meter, TorchMetricMeter) and isinstance(found, Tensor) and found.ndim == 1:
        if len(found) > 1:
            return {f"{key}_{n}": found[i] for i, n in _numbered(len(found), classes)}
    return {key: found}


def errors_of(values: Mapping[str, Any], error: Any) -> dict[str, Any]:
    """Return an error for each key of a meter's result, given one for all or one for each."""
    if isinstance(error, Tensor) and len(values) > 1:
        return {key: error[..., number] for number, key in enumerate(values)}
    return dict.fromkeys(values, error)


def _numbered(count: int, classes: Sequence[str] | None) -> Sequence[tuple[int, str]]:
    named = classes is not None and len(classes) == count
    return list(enumerate(classes if named and classes else map(str, range(count))))


def labels_for(
    metrics: Any, keys: Sequence[str], notes: Mapping[str, str] | None = None
) -> dict[str, Label]:
    """Return the label of every key; metrics say themselves what is better, and in which unit.

    Args:
        metrics: As ``Problem.metrics``.
        keys: Of everything that is evaluated.
        notes: By key, what a reader must know of how it is averaged.
    """
    named = metrics if isinstance(metrics, Mapping) else {}
    return {key: replace(_label(key, named), note=(notes or {}).get(key, "")) for key in keys}


def _label(key: str, named: Mapping[str, Any]) -> Label:
    split, _, rest = key.partition("_loss_")
    owners = [name for name in named if rest == name or rest.startswith(f"{name}_")]
    own = Label.of(key)
    if not owners:
        return own
    name = max(owners, key=len)
    metric = named[name]
    if isinstance(metric, WeightDecay):
        return Label("weight decay" if name == "weight_decay" else name)
    goal, higher = Label.of(f"{split}_loss_{name}").goal, getattr(metric, "higher_is_better", None)
    if higher is not None:
        goal = "max" if higher else "min"
    return replace(own, units=str(getattr(metric, "units", own.units)), goal=goal)
