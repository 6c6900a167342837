"""What a metric can be beside a loss module, a function, or one of torchmetrics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from landscape_lib.core.filters import chosen


@dataclass(frozen=True)
class Accuracy:
    """Percent of the targets, 0 to 100, that are among the highest scores.

    Attributes:
        top: How many of the highest scores; of equal ones the first class counts as higher.
        ignore_index: Targets that don't count.
    """

    top: int = 1
    ignore_index: int = -100
    units: ClassVar[str] = "%"
    higher_is_better: ClassVar[bool] = True


@dataclass(frozen=True)
class Perplexity:
    """exp(L), L the mean cross-entropy in nats over everything that counts."""

    loss: nn.CrossEntropyLoss
    higher_is_better: ClassVar[bool] = False


@dataclass(frozen=True)
class PerClass:
    """For every class what a metric gives on the samples of that class alone."""

    metric: nn.Module | Accuracy | Perplexity

    @property
    def units(self) -> str:
        """The unit of the metric."""
        return str(getattr(self.metric, "units", ""))

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better; less of a loss is."""
        return bool(getattr(self.metric, "higher_is_better", False))


@dataclass(frozen=True)
class WeightDecay:
    """The penalty that ``weight_decay`` of an optimizer adds to the loss:  c / 2 * sum(w^2).

    Over all of ``model.parameters()``, biases and norms as well, each once where it is tied; its
    gradient, c w, is what SGD adds to that of the loss.  Computed in float64 from the weights as
    they are at a point, whatever else evaluates the model there.

    Attributes:
        coefficient: c, the optimizer's ``weight_decay``.
        layers: Globs on names of the parameters that decay, as ``filters.chosen`` reads them; none:
            all.
    """

    coefficient: float
    layers: tuple[str, ...] = ()
    higher_is_better: ClassVar[bool] = False

    def of(self, model: nn.Module, instead: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the penalty at a model's weights, a float64 scalar.

        Args:
            model: Read only.
            instead: What stands for parameters, by name.

        Raises:
            InputError: If a glob matches no parameter.
        """
        weights = {**dict(model.named_parameters()), **(instead or {})}
        names = [name for name, _ in model.named_parameters()]
        decaying = chosen(names, self.layers) if self.layers else names
        squares = [_square(weights[name]) for name in decaying]
        total = torch.stack(squares).sum() if squares else torch.zeros((), dtype=torch.float64)
        return self.coefficient / 2 * total


def _square(weight: Tensor) -> Tensor:
    parts = torch.view_as_real(weight) if weight.is_complex() else weight
    return parts.double().square().sum()


@dataclass(frozen=True)
class Regularized:
    """What training minimised: a loss of the training data and a penalty on the weights."""

    loss: Any
    penalty: WeightDecay
    higher_is_better: ClassVar[bool] = False


@dataclass(frozen=True)
class Unmade:
    """A metric that can be made only when outputs and targets are known.

    Attributes:
        make: From a first batch's outputs and targets to the metric.
        higher_is_better: Which end of it is the good one; None where it doesn't say.
        spec: What it is made of, for fingerprints.
    """

    make: Callable[[Any, Any], Any]
    higher_is_better: bool | None = None
    spec: Any = None


def penalty_of(metric: Any) -> WeightDecay | None:
    """Return what a metric says of the weights; None of one that says nothing."""
    if isinstance(metric, Regularized):
        return metric.penalty
    return metric if isinstance(metric, WeightDecay) else None


def loss_in(metric: Any) -> Any:
    """Return the loss module inside a metric, or what it is else."""
    while isinstance(metric, PerClass | Perplexity | Regularized):
        metric = metric.metric if isinstance(metric, PerClass) else metric.loss
    return metric


def class_names(dataset: Any) -> Sequence[str] | None:
    """Return what a data set calls its classes, as parts of metric names; None where it doesn't.

    Looked for is ``.classes``, also of the data set inside a ``Subset``.  What a name of a metric
    cannot hold becomes ``-``; names that are then the same are no names.
    """
    for _ in range(10):  # a Subset of a Subset; no loop of data sets that hold each other
        found = getattr(dataset, "classes", None)
        if isinstance(found, list | tuple) and found:
            names = [_as_part(str(name)) for name in found]
            return names if len(set(names)) == len(names) else None
        dataset = getattr(dataset, "dataset", None)
    return None


def _as_part(name: str) -> str:
    kept = (letter if letter.isprintable() and letter != "/" else "-" for letter in name.strip())
    return "".join(kept).replace("..", "-") or "-"
