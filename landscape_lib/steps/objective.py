"""Which loss of a problem can be looked at more closely than by its values."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import nn

from landscape_lib.core.curvature import Objective, UnmeasurableError
from landscape_lib.core.keys import labels_for
from landscape_lib.core.samples import Samples
from landscape_lib.core.surface import Label
from landscape_lib.steps.bench import Bench
from landscape_lib.verdict.evidence import is_loss

log = logging.getLogger(__name__)

Found = dict[str, Any]


def train_losses(labels: Mapping[str, Label]) -> list[str]:
    """Return the keys of the training data's losses."""
    return [key for key in labels if key.startswith("train_") and is_loss(labels[key])]


def smooth_loss(bench: Bench, samples: Samples) -> str:
    """Return the key of the first loss of the training data that torch differentiates.

    Raises:
        UnmeasurableError: If there is none.
    """
    metrics = bench.problem.metrics
    named = [f"train_loss_{name}" for name in metrics] if isinstance(metrics, Mapping) else None
    losses = train_losses(labels_for(metrics, named or ["train_loss"]))
    loss_of(bench, losses[0] if losses else None)  # refuses a loop of the user's own
    for key in losses:
        if has_derivative(bench, key, samples):
            return key
    raise UnmeasurableError(f"torch does not differentiate {', '.join(losses)}")


def has_derivative(bench: Bench, key: str, samples: Samples) -> bool:
    """Tell whether torch differentiates a metric."""
    try:
        objective_of(bench, key, first_batch(samples, 1)).derivatives()
    except Exception:  # whatever a user's module may raise; what needs it says why
        return False
    return True


def objective_of(
    bench: Bench, key: str | None, samples: Samples, batch_size: int | None = None
) -> Objective:
    """Return a loss of a problem as a function of its weights."""
    return Objective(
        bench.problem.model,
        cast(nn.Module, bench.problem.metrics),  # or a mapping: a function has been refused
        loss_of(bench, key),
        samples,
        batch_size or bench.batch_size,
        of=bench.data["train"].count,
    )


def loss_of(bench: Bench, key: str | None) -> str:
    """Return a key of which more than values can be had.

    Raises:
        UnmeasurableError: If there is none.
    """
    if bench.own_loop:
        raise UnmeasurableError("the metrics are a function that runs its own loop over the data")
    if key is None:
        raise UnmeasurableError("no metric of the training data is a loss")
    return key


def refuse_reestimation(bench: Bench) -> None:
    """Raise where the landscape is not that of the weights alone, but of the norms' estimates, too.

    Raises:
        UnmeasurableError: If batch norms are estimated anew at every point.
    """
    if bench.reestimation is not None:
        raise UnmeasurableError(
            "batch norms are estimated anew at every point, which is not followed here"
        )


def first_batch(samples: Samples, size: int | None) -> Samples:
    """Return the samples of the first batch alone."""
    first = samples.cut(size)[0]
    count = min(size or samples.count, samples.count)
    return Samples((first,), count, samples.whole, samples.batch_size, samples.dataset)


def tried(name: str, measure: Callable[[], Found]) -> Found:
    """Measure, or say why that cannot be done: one line must not cost the others."""
    try:
        return measure()
    except Exception as error:  # a user's module may raise anything when differentiated
        reason = _first_line(error)
        log.info("%s is not measured: %s.", name, reason)
        return {"unknown": reason}


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0][:300]
    return (
        text if isinstance(error, UnmeasurableError) and text else f"{type(error).__name__}: {text}"
    )
