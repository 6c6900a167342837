"""How far interpolated values may be off, told by points that were held out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_lib.adaptive.filling import Space, fill, lattices, near
from landscape_lib.adaptive.rounds import Round, computed_in, last_audit
from landscape_lib.core.grid import Grid
from landscape_lib.core.surface import Label

COVERED = 0.95  # of interpolated points that the bound holds for
CONFIDENCE = 0.95  # that it does, whichever points were drawn
LEAST = 1e-6  # of the extent: what values of float32 may be off by anywhere


def expected(grid: Grid, misses: np.ndarray, computed: np.ndarray) -> np.ndarray:
    """Return how far interpolated points are expected to be off, as shares of the extent.

    The largest of: the misses of their own depth at most two steps of their lattice away; a quarter
    of those of the depth before; what interpolated points beside them are expected to be off.  To
    this comes the median over all of them: next to a miss that happens to be small, others need not
    be.  (A spline through twice as many steps is off by a sixteenth where it converges; the quarter
    is for where it does not yet.)

    Args:
        grid: The whole grid.
        misses: As ``fill`` finds them.
        computed: Which points were evaluated, shape ``grid.shape``.

    Returns:
        Shape ``grid.shape``, 0 at evaluated points, elsewhere above 0.
    """
    found = np.zeros(grid.shape)
    depths = grid.depths()
    for depth, lattice in enumerate(lattices(grid), start=1):
        there, missed = computed[lattice.place], misses[lattice.place]
        level = depths[lattice.place]
        here = np.maximum.reduce(
            [
                near(np.where(there & (level == depth), missed, 0), 2),
                near(np.where(there & (level == depth - 1), missed, 0), 2) / 4,
                near(np.where(level < depth, found[lattice.place], 0), 1),
            ]
        )
        found[lattice.place] = np.where(lattice.own & ~there, here, found[lattice.place])
    typical = float(np.median(found[~computed])) if not computed.all() else 0.0
    return np.where(computed, 0, found + typical + LEAST)


@dataclass(frozen=True)
class Audit:
    """What points that would have been interpolated turned out to be.

    Attributes:
        missed: How far each was off, as a share of the metric's extent; inf where value or
            interpolant is no number.
        expected: How far it was expected to be off before it was evaluated.
    """

    missed: np.ndarray
    expected: np.ndarray

    @classmethod
    def of(
        cls, grid: Grid, rounds: Sequence[Round], values: np.ndarray, label: Label
    ) -> "Audit | None":
        """Return the last audit of a metric; None where there was none.

        Args:
            grid: The whole grid.
            rounds: All of them.
            values: Of the metric, shape ``grid.shape``; counted where rounds evaluated them.
            label: Of the metric.
        """
        found = last_audit(rounds)
        if found is None:
            return None
        before, audit = found
        space = Space.of(values[computed_in(grid, rounds)], label.units)
        known, heights = computed_in(grid, before), space.into(values)
        filled = fill(grid, heights, known, space.extent)
        points = np.unravel_index(audit.indices, grid.shape)
        missed = np.abs(heights[points] - filled.heights[points]) / space.extent
        there = expected(grid, filled.misses, known)[points]
        return cls(np.where(np.isnan(missed), np.inf, missed), there)

    def share_beyond(self, tolerance: float) -> float:
        """Return which share of the points was missed by more than the tolerance."""
        return float((self.missed > tolerance).mean())

    @property
    def factor(self) -> float:
        """By what expected errors must be multiplied to hold for 95 % of the points drawn from.

        Of n ratios  missed / expected  the k-th from below, the smallest k for which a binomial
        variable of n draws at 0.95 is below k with a probability of 0.95: at most one audit in
        twenty leaves more than a twentieth of the points beyond.  At least 1: what is expected is
        never narrowed.  Inf where n is below 59, too few for it.

        Source:
            Wilks (1941), Determination of sample sizes for setting tolerance limits.
        """
        from scipy.stats import binom

        with np.errstate(invalid="ignore"):
            ratios = self.missed / self.expected
        ratios = np.sort(np.where(np.isnan(ratios), np.inf, ratios))
        rank = int(binom.ppf(CONFIDENCE, len(ratios), COVERED)) + 1
        return max(1.0, float(ratios[rank - 1])) if rank <= len(ratios) else math.inf


@dataclass(frozen=True)
class Completed:
    """One metric at every point of a grid.

    Attributes:
        values: As evaluated or interpolated, shape ``grid.shape``.
        errors: What interpolated values are off by at most, at 95 % of them, in the metric's unit;
            0 at evaluated points.
        audit: What the bound was told by; None where nothing was left to draw from.
    """

    values: np.ndarray
    errors: np.ndarray
    audit: Audit | None


def completed(grid: Grid, rounds: Sequence[Round], values: np.ndarray, label: Label) -> Completed:
    """Interpolate one metric between the points of all rounds, and bound the errors.

    Args:
        grid: The whole grid.
        rounds: All of them.
        values: Of the metric, shape ``grid.shape``; counted where rounds evaluated them.
        label: Of the metric.
    """
    computed = computed_in(grid, rounds)
    space = Space.of(values[computed], label.units)
    filled = fill(grid, space.into(values), computed, space.extent)
    found = np.where(computed, values, space.back(filled.heights))
    audit = Audit.of(grid, rounds, values, label)
    with np.errstate(over="ignore", invalid="ignore"):  # nothing expected, by a factor of inf
        off = expected(grid, filled.misses, computed) * (audit.factor if audit else 1.0)
        off *= space.extent
        errors = found * np.expm1(off) if space.log else off
    unknown = ~np.isfinite(found) | np.isnan(errors)
    return Completed(found, np.where(computed, 0.0, np.where(unknown, np.inf, errors)), audit)
