"""What was measured: pieces of a grid, and the whole that they make."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape_lib.core.errors import DisagreementError, InputError
from landscape_lib.core.failures import SHOWN
from landscape_lib.core.grid import Grid

# Words in the names of metrics of which more is better.
HIGH_IS_GOOD = frozenset(
    "acc accuracy auc auroc bleu dice f1 iou map miou precision psnr r2 recall reward score ssim "
    "top1 top3 top5".split()
)


@dataclass(frozen=True)
class Label:
    """What a metric is called, measured in, and which end of it is the good one.

    Attributes:
        long_name: Words for titles and axes.
        units: ``"%"`` for accuracies, empty where a number has no unit.
        goal: ``"min"`` or ``"max"``.
        note: What a reader must know of how it was averaged; empty where it is exact.
    """

    long_name: str
    units: str = ""
    goal: str = "min"
    note: str = ""

    def __post_init__(self) -> None:
        if self.goal not in {"min", "max"}:
            raise InputError(f"Unknown goal {self.goal!r}; choose 'min' or 'max'.")

    @classmethod
    def of(cls, key: str) -> "Label":
        """Read the label off a metric key.

        ``train_acc`` is a percentage, to be high.  A metric of the user's is to be high where a
        word of its name says so: see ``HIGH_IS_GOOD``.  The ends of the Hessian's spectrum have
        labels of their own: see ``CURVATURE``.
        """
        if key in CURVATURE:
            return CURVATURE[key]
        split, _, name = key.partition("_")
        kind, _, own_name = name.partition("_")
        if kind == "acc" and not own_name:
            return cls(f"{split} accuracy", "%", "max")
        words = set(re.split(r"[^a-z0-9]+", own_name.lower()))
        goal = "max" if words & HIGH_IS_GOOD and not words & {"loss", "error", "err"} else "min"
        return cls(f"{split} {own_name or kind or 'value'}".strip(), goal=goal)


# What is measured of the Hessian at every point, where that is asked for; no metric has such a key.
CURVATURE: Mapping[str, Label] = {
    "hessian_min": Label("smallest Hessian eigenvalue", goal="max"),
    "hessian_max": Label("largest Hessian eigenvalue"),
    "hessian_ratio": Label("Hessian |λmin / λmax|"),
}


STANDARD_ERROR = "standard_error/"  # no metric has such a key: no name of one holds a slash
BOOTSTRAP_ERROR = "bootstrap_error/"


NOWHERE = -1  # a point that no shard has brought yet


def is_beside(key: str) -> bool:
    """Tell whether a key is that of something known beside a metric, and no metric's own."""
    return "/" in key


def metrics_of(values: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics alone, without what is known beside them."""
    return {key: value for key, value in values.items() if not is_beside(key)}


@dataclass(frozen=True)
class Shard:
    """Values at some points of a grid.

    Attributes:
        grid: The whole grid, of which this is a part.
        indices: Sorted flat row-major indices, shape (n,), int64.
        values: For every metric key, shape (n,), float64, in the order of ``indices``.
        fingerprint: What decided the values; shards of another one are strangers.
        plans: The plans that evaluated these points, as canonical JSON.
        attributes: What is worth knowing beside the values (versions, counts).
        beside: What is known of the values, by ``standard_error/<key>`` and
            ``bootstrap_error/<key>``, each as they are.
        failed: The flat indices of the points that could not be evaluated, ascending, shape (m,);
            their values are NaN.
        failures: What the first of them said, as ``core.failures.told_of`` has it.
    """

    grid: Grid
    indices: np.ndarray
    values: Mapping[str, np.ndarray]
    fingerprint: str = ""
    plans: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    failed: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    failures: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        indices = np.asarray(self.indices, dtype=np.int64)
        object.__setattr__(self, "indices", indices)
        if indices.ndim != 1 or (np.diff(indices) <= 0).any():
            raise InputError("A shard's indices must be ascending, each once.")
        if indices.size and not (0 <= indices[0] and indices[-1] < self.grid.size):
            raise InputError(
                f"A shard holds the indices {indices[0]} to {indices[-1]}; "
                f"its grid has 0 to {self.grid.size - 1}."
            )
        failed = np.asarray(self.failed, dtype=np.int64)
        object.__setattr__(self, "failed", failed)
        if not np.isin(failed, indices).all() or (np.diff(failed) <= 0).any():
            raise InputError("A shard's failed points must be ascending, each one of its own.")
        object.__setattr__(self, "values", _checked_values(self.values, indices.shape))
        object.__setattr__(self, "beside", _as_arrays(self.beside, indices.shape))


@dataclass(frozen=True)
class Trajectory:
    """The way that training took, projected onto the plane of the two directions.

    Attributes:
        alpha: Steps along the first direction, shape (steps,), float64; the first is the start.
        beta: Steps along the second direction, shape (steps,), float64.
        name: What it is called beside others; empty where it is the only one.
        distance: How far each step lies from the plane, in weight space, shape (steps,); None
            where nobody measured it.
        length: How far each step lies from the model's own weights, shape (steps,), or None.
        labels: What each step is called, as the path of its checkpoint, or None.
    """

    alpha: np.ndarray
    beta: np.ndarray
    name: str = ""
    distance: np.ndarray | None = None
    length: np.ndarray | None = None
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "distance", "length"):
            found = getattr(self, name)
            if found is not None:
                object.__setattr__(self, name, np.asarray(found, dtype=np.float64))
        if not isinstance(self.name, str):
            raise InputError(f"A trajectory is called {self.name!r}; wanted a text.")
        if self.alpha.ndim != 1 or self.alpha.shape != self.beta.shape:
            raise InputError(
                f"A trajectory's alpha has shape {self.alpha.shape}, beta {self.beta.shape}; "
                "wanted one number a step in both."
            )
        for name in ("distance", "length", "labels"):
            found = getattr(self, name)
            if found is not None and len(found) != len(self.alpha):
                raise InputError(
                    f"A trajectory of {len(self.alpha)} steps has {len(found)} entries in "
                    f"{name!r}; wanted one a step."
                )

    @property
    def in_plane(self) -> float | None:
        """The share of the way that the plane shows:  1 - sum distance^2 / sum length^2.

        For the trajectory that the plane was made from (PCA) it is the sum of both explained
        variance ratios.  None where it was not measured, or nothing moved.
        """
        if self.distance is None or self.length is None or not self.length.any():
            return None
        return float(1 - np.square(self.distance).sum() / np.square(self.length).sum())


@dataclass(frozen=True)
class Surface:
    """Values at every point of a grid; a curve where the grid has one axis.

    Attributes:
        grid: Where the values belong: ``values[key][i, j]`` at x step i, y step j.
        values: For every metric key, shape ``grid.shape``, float64.  NaN and inf are kept.
        attributes: Provenance: fingerprint, config, seed, versions, date.
        labels: For every metric key its label; read off the key where it is left out.
        trajectories: The ways that trainings took in this plane, where they are known.
        beside: What is known of the values, by ``standard_error/<key>`` and
            ``bootstrap_error/<key>``, each of their shape.
        computed: Which points were evaluated, shape ``grid.shape``; None: all of them.  Values of
            others are interpolated, or NaN where they are missing.
        errors: For metrics that are interpolated, by how much at most interpolated values are off
            at 95 % of these points, in the metric's unit, shape ``grid.shape``; 0 where a value
            was evaluated.
        failed: Which points could not be evaluated, shape ``grid.shape``; None: none.  Values are
            NaN there; the attribute ``failures`` says why.
    """

    grid: Grid
    values: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Label] = field(default_factory=dict)
    trajectories: tuple[Trajectory, ...] = ()
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    computed: np.ndarray | None = None
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    failed: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _checked_values(self.values, self.grid.shape))
        object.__setattr__(self, "beside", _as_arrays(self.beside, self.grid.shape))
        object.__setattr__(self, "trajectories", tuple(self.trajectories))
        if self.trajectories and len(self.grid.axes) != 2:
            raise InputError("A trajectory lies in a plane; this grid has one axis.")
        names = [way.name for way in self.trajectories]
        if len(set(names)) < len(names):
            raise InputError(f"The trajectories are called {names}; give each a name of its own.")
        labels = {key: self.labels.get(key) or Label.of(key) for key in self.values}
        object.__setattr__(self, "labels", labels)
        for name in ("computed", "failed"):
            if getattr(self, name) is not None:
                mask = np.asarray(getattr(self, name), dtype=bool)
                object.__setattr__(self, name, mask)
                if mask.shape != self.grid.shape:
                    raise InputError(
                        f"{name!r} has shape {mask.shape}, the grid {self.grid.shape}."
                    )
        if self.errors:
            object.__setattr__(self, "errors", _checked_values(self.errors, self.grid.shape))
            strange = sorted(set(self.errors) - set(self.values))
            if strange:
                raise InputError(f"There are errors of {strange}, which are no metrics here.")

    @property
    def keys(self) -> tuple[str, ...]:
        """The metric keys, in the order in which they were measured."""
        return tuple(self.values)

    @property
    def evaluated(self) -> int:
        """How many points were evaluated; the others are interpolated, or missing."""
        return self.grid.size if self.computed is None else int(self.computed.sum())

    @property
    def failures(self) -> tuple[Mapping[str, Any], ...]:
        """What the first points said that could not be evaluated: ``at``, ``kind``, ``message``."""
        told = self.attributes.get("failures") or ()
        return tuple(json.loads(told) if isinstance(told, str) else told)

    def typical_error(self, key: str, *, relative: bool = False) -> float | None:
        """Return the median of what interpolated values may be off by; None where there are none.

        In the metric's unit, or relative to the values.
        """
        if self.computed is None or key not in self.errors or self.computed.all():
            return None
        off, values = self.errors[key][~self.computed], self.values[key][~self.computed]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.median(off / np.abs(values) if relative else off))

    def __getitem__(self, key: str) -> np.ndarray:
        """Return one metric's values.

        Raises:
            InputError: If there is no such metric; the message lists those there are.
        """
        if key not in self.values:
            raise InputError(f"There is no metric {key!r} here; choose one of {list(self.keys)}.")
        return self.values[key]

    def standard_error(self, key: str) -> np.ndarray:
        """Return the sampling error of one metric's values; NaN where it was not measured.

        That of each value by itself.  All points are judged on the same samples, so the errors of
        neighbours go together: a difference between points has another, usually a smaller one.

        Raises:
            InputError: If there is no such metric; the message lists those there are.
        """
        return self.beside.get(f"{STANDARD_ERROR}{key}", np.full_like(self[key], np.nan))

    def bootstrap_error(self, key: str) -> np.ndarray:
        """Return the spread of one metric's values over bootstrap samples; NaN where not measured.

        Raises:
            InputError: If there is no such metric; the message lists those there are.
        """
        return self.beside.get(f"{BOOTSTRAP_ERROR}{key}", np.full_like(self[key], np.nan))


def _checked_values(values: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    if not values:
        raise InputError("There are no values: at least one metric is needed.")
    return _as_arrays(values, shape)


def _as_arrays(values: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    found = {key: np.asarray(array, dtype=np.float64) for key, array in values.items()}
    for key, array in found.items():
        if array.shape != shape:
            raise InputError(f"Values of {key!r} have shape {array.shape}, wanted {shape}.")
    return found


def merge(shards: Iterable[Shard], wanted: Sequence[int] | None = None) -> Surface:
    """Put shards together into the surface that they are parts of, in any order.

    Memory: the surface and one shard at a time, when ``shards`` is a generator.

    Args:
        shards: The parts.
        wanted: The flat indices of the points that they hold; None: all of the grid's.  Where some
            are left out, values are NaN there, and ``computed`` tells.

    Returns:
        The surface, with the common fingerprint and the plans used among its attributes.

    Raises:
        DisagreementError: If a point is missing, comes twice with different values, is not wanted,
            or a shard belongs to another grid, fingerprint or set of metrics.
    """
    first: Shard | None = None
    plans: set[str] = set()
    beside: dict[str, np.ndarray] = {}
    sources: list[str] = []
    failures: list[Mapping[str, Any]] = []
    for shard in shards:
        if first is None:
            first = shard
            came = np.full(first.grid.size, NOWHERE)
            whole = {key: np.full(first.grid.size, np.nan) for key in first.values}
            failed = np.zeros(first.grid.size, dtype=bool)
        _refuse_stranger(shard, first)
        _refuse_other_values(shard, whole, np.where(failed, NOWHERE, came), sources)
        there = ~np.isin(shard.indices, shard.failed)
        places = shard.indices[there]
        for key, values in shard.values.items():
            whole[key][places] = values[there]
        for key, values in shard.beside.items():
            beside.setdefault(key, np.full(first.grid.size, np.nan))[places] = values[there]
        failed[shard.failed] |= came[shard.failed] == NOWHERE  # a value from elsewhere stands
        failed[places] = False
        came[places] = len(sources)
        came[shard.failed] = np.where(failed[shard.failed], len(sources), came[shard.failed])
        sources.append(_source(shard))
        plans.update(shard.plans)
        failures += [told for told in shard.failures if told not in failures]
    if first is None:
        raise DisagreementError("No shard was given; there is nothing to merge.")
    asked = np.ones(first.grid.size, dtype=bool)
    if wanted is not None:
        asked = np.isin(np.arange(first.grid.size), list(wanted))
    _refuse_other_points(came != NOWHERE, asked)
    told = {"failures": failures[:SHOWN], "failed_points": int(failed.sum())}
    return Surface(
        first.grid,
        {key: array.reshape(first.grid.shape) for key, array in whole.items()},
        {
            "fingerprint": first.fingerprint,
            "plans": tuple(sorted(plans)),
            **(told if failed.any() else {}),
        },
        beside={key: array.reshape(first.grid.shape) for key, array in sorted(beside.items())},
        computed=None if asked.all() else asked.reshape(first.grid.shape),
        failed=failed.reshape(first.grid.shape) if failed.any() else None,
    )


def _refuse_other_points(came: np.ndarray, asked: np.ndarray) -> None:
    missing, strange = np.flatnonzero(asked & ~came), np.flatnonzero(came & ~asked)
    if missing.size:
        raise DisagreementError(
            f"{missing.size} of {asked.sum()} points are missing: flat indices "
            f"{_some(missing)}. Evaluate the shards that hold them."
        )
    if strange.size:
        raise DisagreementError(
            f"{strange.size} points came that nobody asked for: flat indices {_some(strange)}."
        )


def _some(indices: np.ndarray) -> str:
    shown = ", ".join(str(index) for index in indices[:10])
    return shown + (", ..." if indices.size > 10 else "")


def _refuse_stranger(shard: Shard, first: Shard) -> None:
    for what, found, wanted in (
        ("grid", shard.grid, first.grid),
        ("fingerprint", shard.fingerprint, first.fingerprint),
        ("metrics", sorted(shard.values), sorted(first.values)),
    ):
        if found != wanted:
            raise DisagreementError(
                f"The shard at point {shard.indices[:1].tolist()} has the {what} {found}, "
                f"the first one {wanted}: they are parts of different surfaces."
            )


def _refuse_other_values(
    shard: Shard, whole: dict[str, np.ndarray], came: np.ndarray, sources: Sequence[str]
) -> None:
    again = (came[shard.indices] != NOWHERE) & ~np.isin(shard.indices, shard.failed)
    if not again.any():
        return
    points = shard.indices[again]
    for key, values in shard.values.items():
        before, now = whole[key][points], values[again]
        other = np.flatnonzero((now != before) & ~(np.isnan(now) & np.isnan(before)))
        if other.size:
            place = other[0]
            point = shard.grid.points(points[place : place + 1])[0].tolist()
            raise DisagreementError(
                f"{key!r} came twice with different values at the flat indices "
                f"{_some(points[other])}. At {point} it is {float(before[place])!r} in "
                f"{sources[came[points[place]]]}, and {float(now[place])!r} in {_source(shard)}. "
                "Two kinds of processors differ in the last bits; a metric may also depend on "
                "chance. Remove one of both, and evaluate what only it holds again."
            )


def _source(shard: Shard) -> str:
    """Say where a shard comes from, as far as it is known."""
    file = shard.attributes.get("file") or f"the shard at point {shard.indices[:1].tolist()}"
    host = shard.attributes.get("host")
    return f"{file} (host {host})" if host else str(file)
