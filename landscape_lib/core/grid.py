"""Where on the landscape we look, and how the looking is divided."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from landscape_lib.core.errors import InputError

log = logging.getLogger(__name__)

MOST_STEPS = 10**6  # of an axis: nobody waits for more, and a stranger's file may claim them
MOST_POINTS = 10**9  # of a grid: 8 GB for one metric
COARSEST = 5  # steps that the coarsest lattice of an axis has, at least
KNOWN_AXES = 16  # whose steps are remembered: those of a million take a third of a second


def exact(number: float) -> Fraction:
    """Read a number as the decimal that its shortest spelling shows: 0.1 is one tenth."""
    return Fraction(repr(float(number)))


@dataclass(frozen=True)
class Axis:
    """Evenly spaced steps along one direction, both ends included.

    Units: one step of 1.0 is one whole direction vector.  An axis of one step stands still:
    its low equals its high.
    """

    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise InputError(f"An axis runs from {self.low} to {self.high}; both must be finite.")
        if self.count < 1:
            raise InputError(f"An axis has {self.count} steps; it needs at least 1.")
        if self.count > MOST_STEPS:
            raise InputError(f"An axis has {self.count:,} steps; at most {MOST_STEPS:,} are read.")
        if self.count > 1 and not self.low < self.high:
            raise InputError(
                f"An axis runs from {self.low} to {self.high}; low must be below high."
            )
        if self.count == 1 and self.low != self.high:
            raise InputError(
                f"An axis of 1 step runs from {self.low} to {self.high}; "
                "with one step, low must equal high."
            )

    @classmethod
    def through(cls, steps: Sequence[float] | np.ndarray) -> "Axis":
        """Return the axis whose steps these are, but for rounding.

        Raises:
            InputError: If there are none, or they are not evenly spaced.
        """
        found = np.asarray(steps, dtype=np.float64)
        if found.ndim != 1 or not found.size:
            raise InputError(f"Coordinates have shape {found.shape}; wanted a row of numbers.")
        axis = cls(float(found[0]), float(found[-1]), len(found))
        if not np.allclose(found, axis.steps(), rtol=1e-6, atol=1e-9):
            raise InputError("The coordinates are not evenly spaced.")
        return axis

    def steps(self) -> np.ndarray:
        """Return the coordinates of the steps, each rounded once from its exact value.

        step[i] = low + (high - low) * i / (count - 1), in rationals of the decimals given, so
        that axes on the same spacing share their points to the last bit.

        Returns:
            Shape (count,), float64, ascending.
        """
        return _steps(self.low, self.high, self.count).copy()

    def depths(self) -> np.ndarray:
        """Return the depth of each step: in which of ever finer lattices it comes up first.

        A lattice has both ends, the step nearest to 0 and, counted from there, every 2^l-th one
        that is farther than half of this from either end: it holds the trained model, and is about
        evenly spaced.  Depth 0 has the largest l that leaves it 5 steps or more, each depth after
        it halves the spacing, and the deepest has every step.

        Returns:
            Shape (count,), whole numbers; all 0 where there are too few steps to choose from.
        """
        steps = np.arange(self.count)
        aside = np.abs(steps - int(np.argmin(np.abs(self.steps()))))
        edge = np.minimum(steps, self.count - 1 - steps)
        lattices = [np.ones(self.count, dtype=bool)]
        while True:
            spacing = 2 ** len(lattices)
            coarser = (edge == 0) | (aside == 0) | ((aside % spacing == 0) & (edge > spacing // 2))
            if coarser.sum() < COARSEST:
                return len(lattices) - np.sum(lattices, axis=0)
            lattices.append(coarser)


@lru_cache(maxsize=KNOWN_AXES)
def _steps(low: float, high: float, count: int) -> np.ndarray:
    """Return the steps of an axis, over one denominator: whole numbers divide, rounded once."""
    first, whole = exact(low), exact(high) - exact(low)
    below = first.denominator * whole.denominator * max(count - 1, 1)
    start = first.numerator * (below // first.denominator)
    stride = whole.numerator * first.denominator
    return np.array([(start + stride * number) / below for number in range(count)])


@dataclass(frozen=True)
class Refinement:
    """How exact the points of an adaptive grid must be that are not evaluated.

    Attributes:
        tolerance: As a share of a metric's range: of its logarithm where it is positive and wide.
        metric: The key of the metric that decides; None: all of them.
    """

    tolerance: float = 0.01
    metric: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InputError(
                f"The tolerance is {self.tolerance}; wanted a share of the range between 0 and 1, "
                "such as 0.01."
            )

    def deciding(self, keys: Sequence[str]) -> Sequence[str]:
        """Return those of the keys that decide where the grid is refined.

        Raises:
            InputError: If the one that is named is not there.
        """
        if self.metric is not None and self.metric not in keys:
            raise InputError(
                f"There is no metric {self.metric!r} to decide where the grid is refined; choose "
                f"one of {list(keys)}, or none for all of them."
            )
        return keys if self.metric is None else [self.metric]


@dataclass(frozen=True)
class Grid:
    """One axis for a curve, two for a surface.

    ``values[i, j]`` belongs to ``axes[0].steps()[i], axes[1].steps()[j]``, in memory and on
    disk.  Only ``viz`` turns this round, because contour plots want rows to be y.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        if len(self.axes) not in (1, 2):
            raise InputError(f"A grid has {len(self.axes)} axes; it needs one or two.")
        if self.size > MOST_POINTS:
            raise InputError(f"A grid has {self.size:,} points; at most {MOST_POINTS:,} are read.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of steps along each axis."""
        return tuple(axis.count for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def points(self, indices: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Return the coordinates of points, all of them when ``indices`` is left out.

        Args:
            indices: Flat row-major indices, shape (n,).

        Returns:
            Shape (n, axes), float64.
        """
        flat = np.arange(self.size) if indices is None else np.asarray(indices, dtype=np.int64)
        places = np.unravel_index(flat, self.shape)
        return np.stack(
            [axis.steps()[place] for axis, place in zip(self.axes, places, strict=True)], axis=1
        )

    def warn_of_missed_centre(self) -> None:
        """Say so where an axis runs past zero without a step there, as an even count often does."""
        for name, axis in zip("xy", self.axes, strict=False):
            if axis.low < 0 < axis.high and 0 not in axis.steps():
                log.warning(
                    "No step of %s lies at 0: the trained model itself is no point of this grid. "
                    "Take %d steps, or other ends, to have it.",
                    name,
                    axis.count + 1,
                )

    def depths(self) -> np.ndarray:
        """Return the depth of each point, that of the deeper of its steps; shape ``shape``."""
        found = np.zeros(self.shape, dtype=np.int64)
        for number, axis in enumerate(self.axes):
            along = [1] * len(self.axes)
            along[number] = axis.count
            found = np.maximum(found, axis.depths().reshape(along))
        return found

    def order(self) -> np.ndarray:
        """Return all flat indices, coarse to fine: by depth, and row by row where that is equal."""
        return np.argsort(self.depths(), axis=None, kind="stable")

    def shard(self, number: int, of: int) -> np.ndarray:
        """Return the flat indices of one shard, coarse to fine, as they are to be evaluated.

        The first shards are the coarse picture of the whole; sizes differ by at most one.

        Args:
            number: Which shard, from 0.
            of: Number of shards.

        Raises:
            InputError: If there is no such shard, or there are more shards than points.
        """
        if not 1 <= of <= self.size:
            raise InputError(f"{of} shards of {self.size} points; choose 1 to {self.size} shards.")
        if not 0 <= number < of:
            raise InputError(f"Shard {number} of {of}; choose 0 to {of - 1}.")
        return self.order()[number * self.size // of : (number + 1) * self.size // of]
