"""How a metric is made from its name, or imported from where it is."""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape_lib.core import catalogue
from landscape_lib.core.blame import said
from landscape_lib.core.errors import InputError
from landscape_lib.core.means import has_classes
from landscape_lib.core.metrics import (
    Accuracy,
    PerClass,
    Perplexity,
    Regularized,
    Unmade,
    WeightDecay,
)
from landscape_lib.core.spec import Asked, MetricSpec, SpecError, read_asked
from landscape_lib.problems.loading import UserCodeError, load_function, told

SUM_TO_ONE = 1e-3  # how near to 1 the scores of a sample add up that are probabilities
OWN_LOOP = 3  # arguments of f(net, dataloader, use_cuda)


def metrics_from(wanted: Any) -> Any:
    """Return the metrics of a ``Problem`` from what is said of them.

    Args:
        wanted: A name, an import path, a mapping of metric, args and per_class; a list of these, or
            a mapping of names to them, among which may be metrics as they are; or what was read
            from such.

    Returns:
        A loss module for one loss by itself, a function that runs its own loop as it is, otherwise
        a mapping of names to metrics.

    Raises:
        InputError: If a name means nothing, or nothing can be made of it.
    """
    try:
        asked = wanted if isinstance(wanted, Asked) else read_asked(wanted, objects=True)
    except SpecError as error:
        raise InputError(str(error)) from None
    made = {
        name: metric_from(name, entry) if isinstance(entry, MetricSpec) else entry
        for name, entry in asked.metrics.items()
    }
    loops = [name for name, metric in made.items() if _runs_its_own_loop(metric)]
    if loops and not asked.alone:
        raise InputError(
            f"metrics[{loops[0]!r}] takes three arguments: a function f(net, dataloader, use_cuda) "
            "stands alone, as metrics: PATH. Beside others a metric is a function(outputs, "
            "targets)."
        )
    first = next(iter(made.values()))
    is_loss = isinstance(first, nn.Module) and not hasattr(first, "compute")
    return first if asked.alone and (loops or is_loss) else made


def metric_from(name: str, spec: MetricSpec) -> Any:
    """Return one metric.

    Raises:
        InputError: If it cannot be made.
        UserCodeError: If the user's own code raised.
    """
    try:
        found = _found(name, spec)
    except SpecError as error:
        raise InputError(str(error)) from None
    if not spec.per_class or isinstance(found, Unmade):
        return found
    if isinstance(found, nn.Module | Accuracy | Perplexity) and not hasattr(found, "compute"):
        return PerClass(found)
    raise InputError(
        f"metrics[{name!r}]: {spec.metric} has no per_class; it is for accuracy, topK, "
        "cross_entropy, nll, perplexity and classes of torchmetrics that have an average."
    )


def _found(name: str, spec: MetricSpec) -> Any:
    if spec.is_imported:
        return _imported(name, spec)
    top = catalogue.TOP.fullmatch(spec.metric)
    if top:
        return Accuracy(int(top[1]), **spec.args)
    if spec.metric in _OURS:
        return _OURS[spec.metric](name, spec)
    loss = catalogue.loss_class(spec.metric)
    return _loss(name, spec, getattr(nn, loss)) if loss else _torch_metric(name, spec)


def _weight_decay(name: str, spec: MetricSpec) -> WeightDecay:
    return WeightDecay(float(spec.args["coefficient"]), _globs(name, spec))


def _objective(name: str, spec: MetricSpec) -> Regularized:
    loss = metric_from(name, spec.loss)
    if isinstance(loss, Unmade | Accuracy | Perplexity | PerClass | Regularized | WeightDecay):
        raise InputError(
            f"metrics[{name!r}]: the loss of an objective is {spec.loss.metric!r}; wanted a loss "
            "that is a mean over samples, as cross_entropy."
        )
    return Regularized(loss, WeightDecay(float(spec.args["weight_decay"]), _globs(name, spec)))


def _globs(name: str, spec: MetricSpec) -> tuple[str, ...]:
    found = spec.args.get("layers") or ()
    globs = (found,) if isinstance(found, str) else tuple(found)
    if not all(isinstance(glob, str) for glob in globs):
        raise InputError(
            f"metrics[{name!r}]: layers is {found!r}; wanted globs on names of parameters."
        )
    return globs


_OURS: Mapping[str, Callable[[str, MetricSpec], Any]] = {
    "accuracy": lambda name, spec: Accuracy(**spec.args),
    "perplexity": lambda name, spec: Perplexity(_loss(name, spec, nn.CrossEntropyLoss)),
    "weight_decay": _weight_decay,
    "objective": _objective,
    "f1": lambda name, spec: _torch_metric(
        name, MetricSpec("F1Score", {"average": "macro", **spec.args}, spec.per_class)
    ),
}


def _loss(name: str, spec: MetricSpec, kind: type[nn.Module]) -> Any:
    """Make a loss of torch; lists among its arguments are tensors, as class weights."""
    args = {
        key: torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
        for key, value in spec.args.items()
    }
    return _called(name, spec, kind, args)


def _called(name: str, spec: MetricSpec, kind: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """Call what makes a metric.

    Raises:
        InputError: If it does not take these arguments.
    """
    try:
        return kind(**args)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in spec.args.items())
        raise InputError(
            f"metrics[{name!r}]: {spec.metric}({given}) cannot be made: {error}. Its arguments are "
            f"{_signature(kind)}."
        ) from error


def _signature(kind: Callable[..., Any]) -> str:
    return ", ".join(map(str, inspect.signature(kind).parameters.values()))


def _imported(name: str, spec: MetricSpec) -> Any:
    """Import a metric; a class is called with the arguments, a function keeps them.

    Raises:
        InputError: If it is an object, and arguments are given.
        UserCodeError: If the user's class raised.
    """
    found = load_function(spec.metric)
    if isinstance(found, type):
        try:
            return found(**spec.args)
        except Exception as error:
            given = ", ".join(f"{key}={value!r}" for key, value in spec.args.items())
            raise UserCodeError(
                f"metrics[{name!r}]: {spec.metric}({given}) raised {told(error)}"
            ) from error
    if not spec.args:
        return found
    if not inspect.isroutine(found):
        raise InputError(
            f"metrics[{name!r}]: {spec.metric} is a {type(found).__name__} already, which takes no "
            "args; name its class, or leave args out."
        )
    return functools.partial(found, **spec.args)


def _runs_its_own_loop(metric: Any) -> bool:
    """Tell whether a function takes net, dataloader and use_cuda, and not outputs and targets."""
    if isinstance(metric, nn.Module | type) or not callable(metric):
        return False
    try:
        parameters = inspect.signature(metric).parameters.values()
    except (TypeError, ValueError):  # of a builtin
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    return len(needed) == OWN_LOOP


def _torch_metric(name: str, spec: MetricSpec) -> Unmade:
    """Find a class of torchmetrics; it is made when outputs say what it has not been told.

    Raises:
        InputError: If its own packages are missing, or it cannot be taken apart by class.
    """
    module = catalogue.torch_metrics()[spec.metric]
    kind = getattr(importlib.import_module(module), spec.metric, None)
    if kind is None:
        raise InputError(
            f"metrics[{name!r}]: {module}.{spec.metric} is not there: it needs packages that are "
            "not installed; torchmetrics' own documentation says which."
        )
    args = dict(spec.args)
    if spec.per_class:
        if "average" not in inspect.signature(kind).parameters:
            raise InputError(f"metrics[{name!r}]: {spec.metric} has no average, so no per_class.")
        args["average"] = "none"
    making = _TorchMetric(name, spec, kind, args)
    return Unmade(making.make, getattr(kind, "higher_is_better", None), spec.plain())


@dataclass(frozen=True)
class _TorchMetric:
    """A class of torchmetrics with the arguments that were given."""

    name: str
    spec: MetricSpec
    kind: Any
    args: Mapping[str, Any]

    def make(self, outputs: Any, targets: Any) -> Any:
        """Make the metric; what is missing and clear from outputs and targets is filled in.

        Raises:
            InputError: If something else is missing, or does not fit.
        """
        parameters = inspect.signature(self.kind).parameters
        clear = {k: v for k, v in _clear(outputs, targets).items() if k in parameters}
        named = {k: p for k, p in parameters.items() if p.kind != p.VAR_KEYWORD}
        needed = {key for key, parameter in named.items() if parameter.default is parameter.empty}
        if "task" not in parameters:  # then these are of a kind of task that the class has chosen
            clear = {k: v for k, v in clear.items() if k in needed or k == "num_classes"}
        args = {**clear, **self.args}
        missing = sorted(needed - args.keys())
        if missing:
            raise InputError(
                f"metrics[{self.name!r}]: {self.spec.metric} needs {', '.join(missing)}, which the "
                f"outputs, {said(outputs)}, and targets, {said(targets)}, do not tell: write args: "
                f"{{{', '.join(f'{key}: ...' for key in missing)}}}."
            )
        metric = _called(self.name, self.spec, self.kind, args)
        activation = _activation(metric, outputs)
        return metric if activation is None else _OfScores(metric, activation)


def _clear(outputs: Any, targets: Any) -> dict[str, Any]:
    """Return what shapes and types tell of a classification, in torchmetrics' words."""
    if has_classes(outputs, targets):
        return {"task": "multiclass", "num_classes": outputs.shape[1]}
    both = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    if not both or outputs.shape != targets.shape or not ((targets == 0) | (targets == 1)).all():
        return {}
    if outputs.ndim >= 2 and outputs.shape[1] > 1:
        return {"task": "multilabel", "num_labels": outputs.shape[1]}
    return {"task": "binary"}


def _activation(metric: Any, outputs: Any) -> Callable[[Tensor], Tensor] | None:
    """Return what makes probabilities of scores for a classification; None where none is needed.

    torchmetrics decides that anew for every batch: scores that happen to lie in 0 to 1 are taken as
    they are.  Decided once, a metric does not depend on how samples fall into batches.
    """
    kind = type(metric).__name__
    if not type(metric).__module__.startswith("torchmetrics.classification"):
        return None
    if not (isinstance(outputs, Tensor) and outputs.is_floating_point() and outputs.ndim):
        return None
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    if kind.startswith("Multiclass") and outputs.ndim >= 2:
        sums = outputs.sum(1)
        return None if inside and bool(((sums - 1).abs() < SUM_TO_ONE).all()) else _softmax
    if kind.startswith(("Binary", "Multilabel")):
        return _only_probabilities if inside else _sigmoid
    return None


def _softmax(outputs: Tensor) -> Tensor:
    return outputs.softmax(1, dtype=torch.float64)  # the order of scores stays, however far out


def _sigmoid(outputs: Tensor) -> Tensor:
    return outputs.double().sigmoid()


def _only_probabilities(outputs: Tensor) -> Tensor:
    """Return outputs that are probabilities.

    Raises:
        InputError: If they are none.
    """
    if bool(((outputs < 0) | (outputs > 1)).any()):
        raise InputError(
            "Outputs of the first batch lie in 0 to 1, as probabilities do, but others do not. Let "
            "the model return probabilities (a sigmoid behind it), or take larger batches."
        )
    return outputs


class _OfScores:
    """A metric of torchmetrics that gets probabilities, made of scores in the same way always."""

    def __init__(self, metric: Any, activation: Callable[[Tensor], Tensor]) -> None:
        self.metric, self._activation = metric, activation

    def to(self, device: torch.device) -> "_OfScores":
        """Move what is counted to a device."""
        self.metric.to(device)
        return self

    def reset(self) -> None:
        """Begin a new point."""
        self.metric.reset()

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add one batch."""
        self.metric.update(self._activation(outputs), targets)

    def compute(self) -> Any:
        """Return the value over everything added."""
        return self.metric.compute()
