"""What a config or a call says of metrics: names, import paths, arguments."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from landscape_lib.core import catalogue

KEYS = ("metric", "args", "per_class")
SPEC = (
    "a name such as 'cross_entropy', an import path such as 'my_metrics.py:perplexity', a mapping "
    "{metric: NAME_OR_PATH, args: {...}, per_class: true}"
)
_PATH = re.compile(r".+:[^\W\d]\w*")
_NEEDED = {  # which argument a metric cannot do without, and an example
    "weight_decay": ("coefficient", "{metric: weight_decay, args: {coefficient: 5e-4}}"),
    "objective": (
        "weight_decay",
        "{metric: objective, args: {loss: cross_entropy, weight_decay: 5e-4}}",
    ),
}
_PATH_FORM = "'path/to/file.py:name', 'package.module:name'"


class SpecError(ValueError):
    """Say what is wrong with what is said of metrics.

    Attributes:
        path: Keys that lead to it, from ``metrics`` on.
        found: What was found there.
        allowed: What may be there.
        choices: Words of which the nearest is proposed.
    """

    def __init__(
        self, path: Sequence[Any], found: Any, allowed: str, choices: Sequence[str] = ()
    ) -> None:
        self.path, self.found, self.allowed, self.choices = path, found, allowed, choices
        near = difflib.get_close_matches(found, choices, n=3) if isinstance(found, str) else []
        told = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        place = "".join(f"[{part!r}]" for part in path)
        super().__init__(f"metrics{place} is {found!r:.80}; wanted {allowed}.{told}")


@dataclass(frozen=True)
class MetricSpec:
    """One metric as it is asked for.

    Attributes:
        metric: Its name, or where it is imported from.
        args: Keyword arguments: of the class that makes it, or of the function in every call.
        per_class: Whether it is one number a class.
    """

    metric: str
    args: Mapping[str, Any] = field(default_factory=dict)
    per_class: bool = False

    @property
    def name(self) -> str:
        """What its key is called where nothing else is said."""
        return self.metric.rpartition(":")[2]

    @property
    def is_imported(self) -> bool:
        """Whether it is code of the user's."""
        return ":" in self.metric

    @property
    def loss(self) -> "MetricSpec":
        """The loss inside an objective."""
        return read_spec(self.args.get("loss", "cross_entropy"), ("args", "loss"))

    def imported(self) -> Iterator[str]:
        """Go through the import paths that it names."""
        if self.is_imported:
            yield self.metric
        elif self.metric == "objective":
            yield from self.loss.imported()

    def plain(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {"metric": self.metric, "args": dict(self.args), "per_class": self.per_class}


@dataclass(frozen=True)
class Asked:
    """The metrics that are asked for.

    Attributes:
        metrics: By name: a spec, or, from a program, a metric itself.
        alone: Whether it is one spec by itself, of which a loss has the keys of a loss alone.
    """

    metrics: Mapping[str, Any]
    alone: bool = False

    def imported(self) -> list[str]:
        """Return the import paths of the user's code."""
        specs = (spec for spec in self.metrics.values() if isinstance(spec, MetricSpec))
        return [path for spec in specs for path in spec.imported()]

    def plain(self) -> dict[str, Any]:
        """Return the same as plain values; every metric must be a spec."""
        return {"alone": self.alone, **{name: s.plain() for name, s in self.metrics.items()}}


def recorded(plain: Mapping[str, Any]) -> Asked:
    """Return the metrics of which ``Asked.plain`` said this."""
    specs = {name: read_spec(told, (name,)) for name, told in plain.items() if name != "alone"}
    return Asked(specs, alone=bool(plain["alone"]))


def is_said(metrics: Any) -> bool:
    """Tell whether metrics are said in words, all or some of them."""
    if isinstance(metrics, Mapping):
        return any(isinstance(entry, str | Mapping) for entry in metrics.values()) or (
            isinstance(metrics.get("metric"), str)
        )
    return isinstance(metrics, str | list | tuple)


def read_asked(said: Any, *, objects: bool = False) -> Asked:
    """Read one spec, a list of specs, or a mapping of names to specs.

    Args:
        said: As YAML or a program gives it.
        objects: Values of a mapping may be metrics themselves.

    Raises:
        SpecError: If anything in it is wrong.
    """
    if isinstance(said, str) or _is_spec(said):
        spec = read_spec(said, ())
        return Asked({spec.name: spec}, alone=True)
    if isinstance(said, Mapping) and said:
        ready: Callable[[Any], bool] = lambda m: objects and not isinstance(m, str | Mapping)  # noqa: E731
        return Asked({n: m if ready(m) else read_spec(m, (n,)) for n, m in said.items()})
    if isinstance(said, list | tuple) and said:
        return Asked(_listed(said))
    raise SpecError((), said, f"{SPEC}, a list of them, a mapping of names to them")


def _is_spec(said: Any) -> bool:
    return isinstance(said, Mapping) and isinstance(said.get("metric"), str)


def _listed(said: Sequence[Any]) -> dict[str, MetricSpec]:
    found: dict[str, MetricSpec] = {}
    for number, entry in enumerate(said):
        spec = read_spec(entry, (number,))
        if spec.name in found:
            raise SpecError(
                (number,), entry, f"each name once; give them names, as {{one: {spec.name}}}"
            )
        found[spec.name] = spec
    return found


def read_spec(said: Any, path: Sequence[Any]) -> MetricSpec:
    """Read one spec.

    Args:
        said: A name, an import path, or a mapping.
        path: Where it stands.

    Raises:
        SpecError: If it is something else, or there is no metric of that name.
    """
    if isinstance(said, str):
        said = {"metric": said}
    elif not _is_spec(said):
        raise SpecError(path, said, SPEC)
    strange = [key for key in said if key not in KEYS]
    if strange:
        raise SpecError(path, strange[0], f"the keys {', '.join(map(repr, KEYS))}", KEYS)
    spec = MetricSpec(said["metric"], said.get("args") or {}, said.get("per_class", False))
    _check_name(spec.metric, path)
    if not isinstance(spec.args, Mapping):
        raise SpecError((*path, "args"), spec.args, "a mapping of keyword arguments")
    if not isinstance(spec.per_class, bool):
        raise SpecError((*path, "per_class"), spec.per_class, "true, false")
    _check_own_args(spec, path)
    return spec


def _check_name(metric: str, path: Sequence[Any]) -> None:
    if ":" in metric:
        if not _PATH.fullmatch(metric):
            raise SpecError(path, metric, _PATH_FORM)
    elif not catalogue.known(metric):
        allowed = (
            "a loss of torch such as 'cross_entropy', 'accuracy', 'top5', 'f1', 'perplexity', "
            f"'weight_decay', 'objective', a class of torchmetrics, an import path: {_PATH_FORM}"
        )
        raise SpecError(path, metric, allowed, catalogue.names())


def _check_own_args(spec: MetricSpec, path: Sequence[Any]) -> None:
    """Refuse arguments that a metric of ours has not, and one that lacks what it needs.

    Raises:
        SpecError: With the arguments that it has.
    """
    name = "accuracy" if catalogue.TOP.fullmatch(spec.metric) else spec.metric
    known = catalogue.OURS.get(name)
    strange = [] if not known else [key for key in spec.args if key not in known]
    if known and strange:
        told = f"arguments of {spec.metric!r}: {', '.join(map(repr, known))}"
        raise SpecError((*path, "args"), strange[0], told, known)
    if name not in _NEEDED:
        return
    key, example = _NEEDED[name]
    _check_coefficient(spec.args.get(key), (*path, "args", key), example)
    if spec.per_class:
        raise SpecError((*path, "per_class"), True, f"nothing: {name} is one number")
    if name == "objective":
        read_spec(spec.args.get("loss", "cross_entropy"), (*path, "args", "loss"))


def _check_coefficient(found: Any, path: Sequence[Any], example: str) -> None:
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if not number or not 0 <= found < float("inf"):
        raise SpecError(path, found, f"a number from 0, as the optimizer's: {example}")
