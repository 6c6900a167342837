"""What stands between the points that were evaluated, and how far it was off where one knows."""

from dataclasses import dataclass

import numpy as np

from landscape_lib.core.geometry import is_wide
from landscape_lib.core.grid import Grid

LARGEST = 1e300  # beyond it differences of values overflow, and so would a spline


@dataclass(frozen=True)
class Space:
    """In which a metric is interpolated: its logarithm where it is positive and wide, else itself.

    Attributes:
        log: Whether it is the logarithm; else values beyond 1e300 count as no numbers.
        extent: Largest less smallest finite value there; what errors are shares of.
    """

    log: bool
    extent: float

    @classmethod
    def of(cls, values: np.ndarray, units: str = "") -> "Space":
        """Return the space of a metric with such values; percentages are never logarithms."""
        finite = values[np.isfinite(values)]
        if not finite.size:
            return cls(log=False, extent=1.0)
        if is_wide(finite, units):
            return cls(log=True, extent=float(np.log(finite.max()) - np.log(finite.min())))
        finite = finite[np.abs(finite) <= LARGEST]
        return cls(log=False, extent=(float(np.ptp(finite)) if finite.size else 0.0) or 1.0)

    def into(self, values: np.ndarray) -> np.ndarray:
        """Return heights, in this space, of values; of what has none, NaN."""
        if not self.log:
            return np.where(np.abs(values) > LARGEST, np.nan, values)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(values)

    def back(self, heights: np.ndarray) -> np.ndarray:
        """Return the values of heights."""
        return np.exp(heights) if self.log else heights


@dataclass(frozen=True)
class Filled:
    """Heights at every point of a grid.

    Attributes:
        heights: As evaluated or interpolated; NaN beside what is not finite or not known.
        misses: At evaluated points how far the interpolant of the coarser lattice is off, as a
            share of the extent, infinite where a value is not finite; 0 at other points, and on
            the coarsest lattice.
        beyond: At interpolated points how far the interpolant would lie above (below: negative)
            everything that was evaluated, as a share of the extent; else 0.
    """

    heights: np.ndarray
    misses: np.ndarray
    beyond: np.ndarray


@dataclass(frozen=True)
class Lattice:
    """The points of a grid up to a depth.

    Attributes:
        steps: Along each axis the steps of the lattice.
        coarser: Along each axis those of the lattice one depth before.
        own: Which of its points are of this depth, in the shape of the lattice.
    """

    steps: tuple[np.ndarray, ...]
    coarser: tuple[np.ndarray, ...]
    own: np.ndarray

    @property
    def place(self) -> tuple[np.ndarray, ...]:
        """Index of its points in an array of the grid's shape."""
        return np.ix_(*self.steps)


def lattices(grid: Grid) -> list[Lattice]:
    """Return the lattices of a grid from depth 1 on, coarse to fine."""
    along = [axis.depths() for axis in grid.axes]
    depths = grid.depths()
    found = []
    for depth in range(1, int(depths.max()) + 1):
        steps, coarser = (
            tuple(np.flatnonzero(d <= most) for d in along) for most in (depth, depth - 1)
        )
        found.append(Lattice(steps, coarser, depths[np.ix_(*steps)] == depth))
    return found


def fill(grid: Grid, heights: np.ndarray, computed: np.ndarray, extent: float) -> Filled:
    """Interpolate, one lattice after the other, between the points that were evaluated.

    A point of depth d that was not evaluated gets the height of the tensor product of cubic splines
    (not-a-knot) through the lattice of depth d - 1, whose own gaps were filled before it, held
    within the range of what was evaluated.  On the coarsest lattice nothing is interpolated, nor
    where a neighbour on the own lattice, along an axis or a diagonal, is no number: NaN.

    Args:
        grid: The whole grid.
        heights: Shape ``grid.shape``; counted at evaluated points alone.
        computed: Which these are, shape ``grid.shape``.
        extent: Of the heights; what misses are shares of.
    """
    found = np.where(computed, heights, np.nan)
    misses = np.where(computed & ~np.isfinite(found), np.inf, 0.0)
    beyond = np.zeros(grid.shape)
    known = found[np.isfinite(found)]
    if not known.size:
        return Filled(found, misses, beyond)
    for lattice in lattices(grid):
        free = _spline(lattice, found[np.ix_(*lattice.coarser)])
        spline = np.clip(free, known.min(), known.max())
        here, there = found[lattice.place], computed[lattice.place]
        judged = lattice.own & there & np.isfinite(here)
        misses[lattice.place] = np.where(
            judged, np.abs(here - spline) / extent, misses[lattice.place]
        )
        spline[near(~np.isfinite(here) & (there | ~lattice.own), 1)] = np.nan
        new = lattice.own & ~there
        found[lattice.place] = np.where(new, spline, here)
        beyond[lattice.place] = np.where(new, (free - spline) / extent, beyond[lattice.place])
    return Filled(found, misses, beyond)


def _spline(lattice: Lattice, heights: np.ndarray) -> np.ndarray:
    """Return the spline through the coarser lattice, at every point of the lattice.

    What is no number counts as its nearest finite neighbour: that keeps the spline quiet around.
    """
    from scipy.interpolate import CubicSpline  # a fifth of a second to import
    from scipy.ndimage import distance_transform_edt

    unknown = ~np.isfinite(heights)
    if unknown.all():
        return np.zeros(lattice.own.shape)
    if unknown.any():
        nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
        heights = heights[tuple(nearest)]
    for axis, (old, new) in enumerate(zip(lattice.coarser, lattice.steps, strict=True)):
        if len(old) < len(new):
            heights = CubicSpline(old, heights, axis=axis)(new)
    return heights


def near(found: np.ndarray, steps: int) -> np.ndarray:
    """Return, of every point of a lattice, the largest entry at most so many steps away."""
    from scipy.ndimage import maximum_filter

    return maximum_filter(found, size=2 * steps + 1, mode="constant", cval=0)
