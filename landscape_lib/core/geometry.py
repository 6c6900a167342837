"""What the values on a grid say of the surface's shape, and how far that can be trusted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landscape_lib.core.grid import Grid

STENCIL = np.array([1.0, -4.0, 6.0, -4.0, 1.0])  # the fourth difference
SHARE = 3 / 35  # of it, that a parabola through five points by least squares leaves of the middle
NORMAL = 0.6745  # median of |z|, z standard normal
WIDE = 2.0  # powers of ten from which pictures are drawn on a log scale
WIDE_FACTOR = 50.0  # the same without percentages in view: max / min of positive values
SMOOTH_GROWTH = 2.0  # of the rest at twice the spacing: noise 1, kinks 2.8, smooth 16
FAINT = 1e-3  # of what a picture shows: smaller bumps are not seen
FEWEST = 9  # steps along an axis from which bumps can be told from a coarse grid


def origin(grid: Grid) -> tuple[int, ...] | None:
    """Return the index of the point where every step is 0; None where the grid has none."""
    places = [np.flatnonzero(axis.steps() == 0) for axis in grid.axes]
    return tuple(int(place[0]) for place in places) if all(p.size for p in places) else None


def through(values: np.ndarray, point: tuple[int, ...], axis: int) -> np.ndarray:
    """Return the values along one axis through a point, shape (steps of that axis,)."""
    place: list[int | slice] = list(point)
    place[axis] = slice(None)
    return values[tuple(place)]


def lowest(values: np.ndarray) -> tuple[int, ...] | None:
    """Return the index of the lowest finite value; None where there is none."""
    held = np.where(np.isfinite(values), values, np.inf)
    if not np.isfinite(held).any():
        return None
    return tuple(int(n) for n in np.unravel_index(int(np.argmin(held)), values.shape))


def decades(values: np.ndarray) -> float:
    """Return how many powers of ten the finite values span; 0 where one is not positive."""
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0:
        return 0.0
    return float(np.log10(finite.max()) - np.log10(finite.min()))


def is_wide(values: np.ndarray, units: str = "") -> bool:
    """Tell whether values ask for a log scale: min > 0, max >= 50 min, and no percentages.

    Only finite values count.
    """
    finite = values[np.isfinite(values)]
    if units == "%" or not finite.size:
        return False
    low, high = float(finite.min()), float(finite.max())
    return low > 0 and high >= WIDE_FACTOR * low


def as_drawn(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return values on the scale that shows them, and whether that is log10."""
    if decades(values) < WIDE:
        return values, False
    with np.errstate(invalid="ignore"):
        return np.log10(values), True


@dataclass(frozen=True)
class Difference:
    """A derivative along an axis, from values a step apart.

    Attributes:
        value: The difference quotient.
        error: Its own error, estimated from the quotient over two steps; NaN where the grid has no
            such points.
        step: The distance between neighbours.
    """

    value: float
    error: float
    step: float


def second_difference(steps: np.ndarray, values: np.ndarray) -> Difference | None:
    """Return  (f(h) - 2 f(0) + f(-h)) / h^2  around step 0; None where a point is missing.

    The error of step size is h^2 f''''/12 + ..., and four times that over 2 h, so a third of the
    difference between the two quotients estimates it (Richardson).
    """
    return _difference(steps, values, lambda low, mid, high, h: (high - 2 * mid + low) / h**2)


def first_difference(steps: np.ndarray, values: np.ndarray) -> Difference | None:
    """Return  (f(h) - f(-h)) / 2 h  around step 0, as ``second_difference`` does."""
    return _difference(steps, values, lambda low, mid, high, h: (high - low) / (2 * h))


def _difference(
    steps: np.ndarray, values: np.ndarray, quotient: Callable[[float, float, float, float], float]
) -> Difference | None:
    zero = np.flatnonzero(steps == 0)
    if not zero.size:
        return None
    found = []
    for stride in (1, 2):
        near, far = zero[0] - stride, zero[0] + stride
        if near < 0 or far >= len(steps):
            break
        h = float(steps[far] - steps[near]) / 2
        with np.errstate(invalid="ignore", over="ignore"):
            found.append(float(quotient(values[near], values[zero[0]], values[far], h)))
    if not found or not np.isfinite(found[0]):
        return None
    error = abs(found[1] - found[0]) / 3 if len(found) == 2 else float("nan")
    return Difference(found[0], error, float(steps[1] - steps[0]))


@dataclass(frozen=True)
class Reach:
    """How far from step 0, either way, a curve first rises to a level.

    Attributes:
        low: Distance downwards, positive; NaN where it does not rise so far on the grid.
        high: Distance upwards.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """Length of the interval around step 0 that lies below the level."""
        return self.low + self.high


def reach(steps: np.ndarray, values: np.ndarray, level: float) -> Reach:
    """Return how far from step 0 a curve first rises to a level.

    Between two points the curve is taken for straight; between step 0 and its neighbour for a
    parabola with its lowest point at 0, since there a minimum is expected.  A value that is not
    finite counts as above every level, reached at that step.
    """
    zero = np.flatnonzero(steps == 0)
    if not zero.size:
        return Reach(float("nan"), float("nan"))
    here = int(zero[0])
    return Reach(
        _rise(steps[here] - steps[here::-1], values[here::-1], level),
        _rise(steps[here:] - steps[here], values[here:], level),
    )


def _rise(distances: np.ndarray, values: np.ndarray, level: float) -> float:
    above = np.flatnonzero(~(values < level))
    if not above.size:
        return float("nan")
    k = int(above[0])
    if k == 0:
        return 0.0
    if not np.isfinite(values[k]):
        return float(distances[k])
    share = (level - values[k - 1]) / (values[k] - values[k - 1])
    share = share**0.5 if k == 1 else share
    return float(distances[k - 1] + share * (distances[k] - distances[k - 1]))


@dataclass(frozen=True)
class Roughness:
    """What a local parabola leaves unexplained, at the grid's spacing and at twice that.

    Attributes:
        size: Standard deviation of the bumps, were they independent noise; from the median of
            |residual|, so that a few steep places do not decide.
        growth: The median over twice the spacing, divided by that over once.  Of a smooth surface
            about 2^4 = 16, of independent noise about 1.
        spread: From the 5th to the 95th percentile of the values: what a picture shows.
    """

    size: float
    growth: float
    spread: float

    @property
    def seen(self) -> bool:
        """Whether a picture shows any of it."""
        return self.spread > 0 and self.size > FAINT * self.spread

    @property
    def rough(self) -> bool:
        """Whether there are bumps of the grid's own width that a picture shows."""
        return self.seen and not self.growth >= SMOOTH_GROWTH


def residuals(values: np.ndarray, axis: int, stride: int = 1) -> np.ndarray:
    """Return what the parabola through five points, by least squares, leaves of the middle one.

    r = 3/35 (f[-2] - 4 f[-1] + 6 f[0] - 4 f[1] + f[2]),  along one axis, ``stride`` steps apart.

    Returns:
        Shorter than ``values`` by 4 * stride along the axis.

    Source:
        Savitzky and Golay (1964), Smoothing and Differentiation of Data by Simplified Least
        Squares Procedures, table I.
    """
    return _stencilled(values, STENCIL, axis, stride)


def residual_errors(errors: np.ndarray, axis: int) -> np.ndarray:
    """Return the most that the standard errors of ``residuals`` can be, from those of the values.

    sd(sum_k c_k f_k) <= sum_k |c_k| sd(f_k), however the errors of neighbours go together.  On the
    same samples most of them cancel, and it is far less.

    Returns:
        Of the shape of ``residuals``.
    """
    return _stencilled(errors, np.abs(STENCIL), axis, 1)


def _stencilled(values: np.ndarray, stencil: np.ndarray, axis: int, stride: int) -> np.ndarray:
    length = values.shape[axis] - 4 * stride
    if length < 1:
        return np.empty(0)
    moved = np.moveaxis(values, axis, 0)
    parts = [moved[n * stride : n * stride + length] for n in range(5)]
    with np.errstate(invalid="ignore", over="ignore"):
        whole = SHARE * sum(f * part for f, part in zip(stencil, parts, strict=True))
    return np.moveaxis(np.asarray(whole), 0, axis)


def roughness(values: np.ndarray) -> Roughness | None:
    """Measure bumps along every axis that has steps enough; None where none has."""
    axes = [axis for axis, count in enumerate(values.shape) if count >= FEWEST]
    finite = values[np.isfinite(values)]
    medians = []
    for stride in (1, 2):
        found = [np.abs(residuals(values, axis, stride)).ravel() for axis in axes]
        every = np.concatenate(found) if found else np.empty(0)
        every = every[np.isfinite(every)]
        if every.size < 5:
            return None
        medians.append(float(np.median(every)))
    low, high = np.percentile(finite, [5, 95])
    noise = (SHARE**2 * float((STENCIL**2).sum())) ** 0.5  # sqrt(18/35): what it leaves of noise
    growth = medians[1] / medians[0] if medians[0] else float("nan")
    return Roughness(medians[0] / NORMAL / noise, growth, float(high - low))


@dataclass(frozen=True)
class Barrier:
    """How much worse a metric gets between two models.

    Attributes:
        over_line: Than the straight line between the two ends' values.
        over_mean: Than the mean of the two ends' values.
        step: Where the first is largest.
    """

    over_line: float
    over_mean: float
    step: float


def barrier(steps: np.ndarray, values: np.ndarray, goal: str = "min") -> Barrier | None:
    """Return the barrier from step 0 to step 1; None where one is no point of the grid.

    over_line = max_t L(t) - ((1 - t) L(0) + t L(1)),  over_mean = max_t L(t) - (L(0) + L(1)) / 2.
    Of a metric that is to be high (``goal`` is ``max``), L is minus the metric: a fall of accuracy
    is a barrier.  Of the points that were measured, so a lower bound, and never below zero.  NaN or
    infinity on the way make it NaN or infinite.

    Args:
        steps: Ascending, shape (n,); 0 and 1 are the two models.
        values: Shape (n,).
        goal: ``min`` or ``max``: which end of the values is the good one.

    Source:
        Entezari et al. (2022), The Role of Permutation Invariance in Linear Mode Connectivity of
        Neural Networks, section 2; Frankle et al. (2020), Linear Mode Connectivity and the Lottery
        Ticket Hypothesis, section 2.
    """
    if 0 not in steps or 1 not in steps:
        return None
    way = (steps >= 0) & (steps <= 1)
    t, between = steps[way], (values[way] if goal == "min" else -values[way])
    with np.errstate(invalid="ignore"):
        above = between - ((1 - t) * between[0] + t * between[-1])
        over_mean = float(between.max() - (between[0] + between[-1]) / 2)
    return Barrier(float(above.max()), over_mean, float(t[int(np.argmax(above))]))


def largest_rise(grid: Grid, values: np.ndarray, radius: float) -> float:
    """Return  max L(a, b) - L(0, 0)  over the grid's points with a^2 + b^2 <= radius^2.

    Of the points measured, in one plane: a lower bound of the rise within the ball.  NaN where a
    value in it is missing, or the grid has no origin.
    """
    here = origin(grid)
    if here is None:
        return float("nan")
    inside = np.linalg.norm(grid.points(), axis=1).reshape(grid.shape) <= radius * (1 + 1e-12)
    with np.errstate(invalid="ignore"):
        return float(np.max(values[inside]) - values[here])
