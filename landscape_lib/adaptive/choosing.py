"""Which points of a grid are evaluated next, and when enough of them are."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from landscape_lib.adaptive.bounding import Audit
from landscape_lib.adaptive.filling import Space, fill, lattices, near
from landscape_lib.adaptive.rounds import AUDIT, LATTICE, MISSES, Round, computed_in
from landscape_lib.core.geometry import origin
from landscape_lib.core.grid import Grid, Refinement
from landscape_lib.core.surface import Label

FEWEST = 9  # steps along each axis of the lattice that is evaluated first, or all there are
AROUND = 2  # steps around the model and the best point within which every point is evaluated
REACH = 2  # steps of its lattice from a miss within which points of the same depth are evaluated
PATIENCE = 16  # rounds, from which on new misses reach twice as far with each: an end is in sight
BETTER = 1e-6  # of the range: what an interpolant may promise beyond the best evaluated value
BESIDE = 0.5  # of the tolerance: what a point of the same depth may be missed by
ABOVE = 1.5  # of the tolerance: what a point of the depth before may be missed by
AUDIT_SHARE, AUDIT_LEAST = 0.02, 59  # of the grid's points, and points: what an audit evaluates
AUDIT_MISSES = 0.05  # of an audit's points that may be missed by more than the tolerance
AUDIT_SEED = 0


def first_round(grid: Grid) -> Round:
    """Return the lattice that everything begins with: 9 steps or more along each axis."""
    depths = [axis.depths() for axis in grid.axes]
    depth = max(next(n for n in range(len(d)) if _enough(d, n)) for d in depths)
    return Round.of(grid, grid.depths() <= depth, LATTICE)


def _enough(depths: np.ndarray, depth: int) -> bool:
    return bool((depths <= depth).sum() >= min(FEWEST, len(depths)))


def next_round(
    grid: Grid,
    rounds: Sequence[Round],
    values: Mapping[str, np.ndarray],
    labels: Mapping[str, Label],
    refinement: Refinement,
) -> Round | None:
    """Choose the points that come next: a function of what is known, and of nothing else.

    A point is chosen where one of its own depth, at most two steps of its lattice away, was missed
    by the interpolant of the coarser lattice by more than half the tolerance, or one of any depth
    was, one step away; where one of the depth before, one step away, was missed by more than 1.5
    times the tolerance; beside what is not finite; around the model itself and the best point, and
    where the interpolant would be better than that.  Where none is left, an audit draws points from
    all that would be interpolated.  What it finds missed is refined around like any other point,
    and it is repeated while more than 5 % of its points are missed by more than the tolerance.

    Args:
        grid: The whole grid.
        rounds: Those so far.
        values: For every key, shape ``grid.shape``; counted at the points of these rounds alone.
        labels: For every key.
        refinement: How exact the other points must be.

    Returns:
        The next round; None where enough is known.

    Raises:
        InputError: If the metric that is to decide is not there.
    """
    deciding = refinement.deciding(list(values))
    if not rounds:
        return first_round(grid)
    computed = computed_in(grid, rounds)
    wanted = _around(grid, origin(grid))
    last = computed_in(grid, rounds[-1:])
    reach = REACH * 2 ** max(0, len(rounds) - PATIENCE)
    for key in deciding:
        space = Space.of(values[key][computed], labels[key].units)
        filled = fill(grid, space.into(values[key]), computed, space.extent)
        misses = filled.misses / refinement.tolerance
        wanted |= _beside_misses(grid, misses, REACH)
        wanted |= _beside_misses(grid, np.where(last, misses, 0), reach)
        wanted |= _around(grid, _best(grid, values[key], computed, labels[key]))
        better = filled.beyond if labels[key].goal == "max" else -filled.beyond
        wanted |= better > BETTER
    wanted &= ~computed
    if wanted.any():
        return Round.of(grid, wanted, MISSES)
    audits = [Audit.of(grid, rounds, values[key], labels[key]) for key in deciding]
    passed = all(one and one.share_beyond(refinement.tolerance) <= AUDIT_MISSES for one in audits)
    if passed or computed.all():
        return None
    return Round.of(grid, _drawn(computed), AUDIT)


def _beside_misses(grid: Grid, misses: np.ndarray, reach: int) -> np.ndarray:
    """Return the points beside what was missed, evaluated ones among them; shape ``grid.shape``.

    Args:
        grid: The whole grid.
        misses: In tolerances; inf where a value is not finite.
        reach: How many steps of its lattice a miss counts for points of the same depth.
    """
    found = np.zeros(grid.shape, dtype=bool)
    depths = grid.depths()
    for depth, lattice in enumerate(lattices(grid), start=1):
        missed, level = misses[lattice.place], depths[lattice.place]
        beside = (level == depth) & (missed > BESIDE)
        above = (level == depth - 1) & (missed > ABOVE)
        found[lattice.place] |= lattice.own & (near(beside, reach) | near(above, 1))
        found[lattice.place] |= near(beside | np.isinf(missed), 1)
    return found


def _best(
    grid: Grid, values: np.ndarray, computed: np.ndarray, label: Label
) -> tuple[int, ...] | None:
    """Return the place of the best finite value, that nearest the origin among equals."""
    finite = computed & np.isfinite(values)
    if not finite.any():
        return None
    best = values[finite].max() if label.goal == "max" else values[finite].min()
    equals = np.flatnonzero(finite & (values == best))
    nearest = equals[np.argmin(np.square(grid.points(equals)).sum(axis=1))]
    return tuple(int(n) for n in np.unravel_index(nearest, grid.shape))


def _around(grid: Grid, place: tuple[int, ...] | None) -> np.ndarray:
    """Return the points around one; none where it is nowhere."""
    found = np.zeros(grid.shape, dtype=bool)
    if place is not None:
        found[tuple(slice(max(0, at - AROUND), at + AROUND + 1) for at in place)] = True
    return found


def _drawn(computed: np.ndarray) -> np.ndarray:
    """Draw points that were not evaluated, always the same of the same ones."""
    count = max(AUDIT_LEAST, math.ceil(AUDIT_SHARE * computed.size))
    order = np.random.default_rng(AUDIT_SEED).permutation(computed.size)
    drawn = np.zeros(computed.shape, dtype=bool)
    drawn.flat[order[~computed.flat[order]][:count]] = True
    return drawn
