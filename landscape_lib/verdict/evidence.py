"""What is judged, and what a judgement looks like."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from landscape_lib.core import geometry
from landscape_lib.core.surface import CURVATURE, Label, Surface

ROUNDING = {  # relative, of a mean over many samples
    "bfloat16": 1e-1,
    "float16": 1e-2,
    "tf32": 1e-2,  # as many digits
    "float32": 1e-5,
    "float64": 1e-10,
}
STATES = ("good", "note", "warning", "unknown")


@dataclass(frozen=True)
class Check:
    """One line of the verdict.

    Attributes:
        id: What it is about, in one word for programs.
        state: ``good``; ``note``: worth knowing; ``warning``: the picture misleads, or may;
            ``unknown``: not measured here.
        title: The question it answers.
        found: What was measured, with numbers.
        why: Why it matters.
        do: What to do; empty where nothing is to be done.
    """

    id: str
    state: str
    title: str
    found: str
    why: str
    do: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"Unknown state {self.state!r}; choose one of {list(STATES)}.")


@dataclass(frozen=True)
class Number:
    """One number that people quote.

    Attributes:
        name: What it is called.
        value: None where it was not measured.
        definition: The formula, and what was done for it here.
        source: Whose definition it is.
        units: What it is counted in.
        key: Of which metric it is; None where of none.
    """

    name: str
    value: float | None
    definition: str
    source: str
    units: str = ""
    key: str | None = None


@dataclass(frozen=True)
class Evidence:
    """A surface, and what was measured at its centre.

    Attributes:
        run: What to call it.
        surface: The values.
        centre: As ``steps.centre`` writes it; empty where nothing was measured.
        limits: Lowest and highest value that the pictures show; None where they choose.
    """

    run: str
    surface: Surface
    centre: Mapping[str, Any]
    limits: tuple[float | None, float | None] = (None, None)

    def part(self, name: str) -> Mapping[str, Any] | None:
        """Return a part of what was measured; None where it was not."""
        found = self.centre.get(name)
        return found if isinstance(found, Mapping) and "unknown" not in found else None

    def reason(self, name: str) -> str:
        """Return why a part was not measured."""
        return str(self.centre.get(name, {}).get("unknown", "nothing was measured at the centre"))

    @cached_property
    def loss_keys(self) -> tuple[str, ...]:
        """The metrics that are to be low; curvature is none."""
        labels = self.surface.labels
        keys = (key for key in self.surface.keys if key not in CURVATURE)
        return tuple(key for key in keys if is_loss(labels[key]))

    @cached_property
    def key(self) -> str:
        """The metric that is judged most closely: the first loss of the training data."""
        return str(self.centre.get("loss") or (*self.loss_keys, *self.surface.keys)[0])

    @cached_property
    def values(self) -> np.ndarray:
        """Its values."""
        return self.surface[self.key]

    @cached_property
    def finite(self) -> np.ndarray:
        """Those of its values that are finite, as one row."""
        return self.values[np.isfinite(self.values)]

    @cached_property
    def decades(self) -> float:
        """How many powers of ten the finite values span; 0 where one is not positive."""
        return geometry.decades(self.values)

    @cached_property
    def drawn(self) -> tuple[np.ndarray, bool]:
        """The values on the scale that shows them, and whether that is log10."""
        return geometry.as_drawn(self.values)

    @property
    def axes(self) -> str:
        """The names of the axes."""
        return "xy"[: len(self.surface.grid.axes)]

    @cached_property
    def steps(self) -> tuple[np.ndarray, ...]:
        """The coordinates along each axis."""
        return tuple(axis.steps() for axis in self.surface.grid.axes)

    @cached_property
    def origin(self) -> tuple[int, ...] | None:
        """Where on the grid the centre is; None where it is no point of it."""
        return geometry.origin(self.surface.grid)

    def here(self, key: str) -> float:
        """Return a metric's value at the centre: the grid's, or the model's own; else NaN."""
        if self.origin is not None:
            return float(self.surface[key][self.origin])
        return float(self.centre.get("values", {}).get(key, math.nan))

    def curve(self, axis: int, key: str | None = None) -> tuple[np.ndarray, np.ndarray] | None:
        """Return steps and values along an axis through the centre; None where it is not there.

        The values are those of the metric that is judged, or of the one named.
        """
        if self.origin is None:
            return None
        values = self.values if key is None else self.surface[key]
        return self.steps[axis], geometry.through(values, self.origin, axis)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """How each direction came about."""
        told = self.centre.get("directions", ())
        return tuple(_kind(one) for one in told) or ("",) * len(self.axes)

    @property
    def targets(self) -> list[int]:
        """The axes that lead to another model."""
        return [number for number, kind in enumerate(self.kinds) if kind == "target"]

    @property
    def free(self) -> list[int]:
        """The axes with more than one step that do not lead to another model, not even in part."""
        counts = self.surface.grid.shape
        return [n for n, count in enumerate(counts) if count > 1 and "target" not in self.kinds[n]]

    @cached_property
    def sampling_error(self) -> float:
        """The standard error of the loss at the centre; NaN where it was not measured."""
        own = self.error_here(self.key)
        return own if math.isfinite(own) else self._spread

    @property
    def _spread(self) -> float:
        return float((self.part("spread") or {}).get("standard_error", math.nan))

    def error_here(self, key: str) -> float:
        """Return a metric's standard error at the centre, from all samples; NaN where unknown."""
        if self.origin is None:
            return math.nan
        return float(self.surface.standard_error(key)[self.origin])

    @property
    def error_samples(self) -> int:
        """From how many samples the standard error of the loss at the centre is."""
        if math.isfinite(self.error_here(self.key)):
            return int(self.centre.get("samples", 0))
        return int((self.part("spread") or {}).get("samples", 0))

    @cached_property
    def rounding(self) -> float:
        """What rounding may change of a value, relative."""
        return ROUNDING.get(str(self.centre.get("precision")), ROUNDING["float32"])

    @property
    def differentiated(self) -> str:
        """The type in which derivatives were taken; no narrower than float32."""
        return str(self.centre.get("derivatives", self.centre.get("precision")))

    @cached_property
    def level(self) -> float | None:
        """The loss of outputs that are all zero; None where it is unknown or not above here."""
        level = float((self.part("indifferent") or {}).get("loss", math.nan))
        return level if level > self.here(self.key) else None


def _kind(direction: Mapping[str, Any]) -> str:
    """Return a direction's kind; one made orthogonal no longer leads to the other model."""
    kind = str(direction.get("kind", ""))
    return f"orthogonal {kind}" if direction.get("orthogonal") == "True" else kind


def is_loss(label: Label) -> bool:
    """Tell whether a metric is to be low and has no unit of its own."""
    return label.goal == "min" and label.units != "%"


def doubt(error: float) -> str:
    """Say an error that was estimated, where it was."""
    return "unknown" if math.isnan(error) else f"about {say(error)}"


def say(number: float) -> str:
    """Write a number with three digits."""
    return f"{number:.3g}"


def at(point: Sequence[float]) -> str:
    """Write a point; one number along a curve."""
    if len(point) == 1:
        return f"{point[0]:.4g}"
    return "(" + ", ".join(f"{step:.4g}" for step in point) + ")"


def percent(share: float) -> str:
    """Write a share; a small one that is not zero is not written as zero."""
    return "under 0.1 %" if 0 < share < 0.001 else f"{100 * share:.3g} %"
