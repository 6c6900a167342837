"""Which values get which colours, and where the contour levels lie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator

from landscape_lib.core.errors import InputError
from landscape_lib.core.geometry import WIDE_FACTOR, is_wide
from landscape_lib.core.surface import Label
from landscape_lib.viz.stylesheet import style_sheet

LEVELS = 12
MOST_LEVELS = 1000
SCALES = ("auto", "log", "linear")
# Mantissas of log levels and decades from one group of them to the next, coarse to fine.
LOG_STEPS = (
    *(((1.0,), stride) for stride in (100, 50, 20, 10, 5, 2, 1)),
    ((1.0, math.sqrt(10)), 1),
    ((1.0, 2.0, 5.0), 1),
    ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), 1),
)


def check_number(name: str, value: object) -> None:
    """Refuse what is neither None nor a finite number.

    Raises:
        InputError: If it is something else.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{name} is {value!r}; it must be a finite number, or left out.")


_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class Look:
    """What the user may choose about a figure.

    Attributes:
        cmap: A colour map of matplotlib.
        scale: ``"log"``, ``"linear"``, or ``"auto"``: log for positive values whose largest is
            at least 50 times the smallest, that are no percentages and not to be high, unless
            ``vlevel`` is given.
        vmin: Lowest value with a colour of its own; values below share its colour.
        vmax: Highest value with a colour of its own; values above share its colour.
        vlevel: From one contour level to the next, in the metric's unit; in decades with
            ``scale="log"``.
        style: A matplotlib style sheet, a path or a name, laid over our settings.
        topology: Whether minima and passes of clear basins are marked.
        computed: Put a dot on every point that was evaluated, where others were interpolated.
    """

    cmap: str = "viridis"
    scale: str = "auto"
    vmin: float | None = None
    vmax: float | None = None
    vlevel: float | None = None
    style: str | None = None
    topology: bool = False
    computed: bool = False

    def __post_init__(self) -> None:
        style_sheet(self.style)
        if self.scale not in SCALES:
            raise InputError(f"Unknown scale {self.scale!r}; choose one of {list(SCALES)}.")
        if self.cmap not in matplotlib.colormaps:
            known = sorted(matplotlib.colormaps)
            near = get_close_matches(str(self.cmap), known) or ["viridis", "cividis", "magma"]
            raise InputError(
                f"Unknown colour map {self.cmap!r}; choose one of {near}, "
                f"or another of matplotlib's: {', '.join(known)}."
            )
        for name in ("vmin", "vmax", "vlevel"):
            check_number(name, getattr(self, name))
        if self.vlevel is not None and self.vlevel <= 0:
            raise InputError(f"vlevel is {self.vlevel}; the step between levels must be above 0.")
        if self.vmin is not None and self.vmax is not None and not self.vmin < self.vmax:
            raise InputError(f"vmin is {self.vmin}, vmax {self.vmax}; vmin must be below vmax.")
        for name in ("vmin", "vmax"):
            bound = getattr(self, name)
            if self.scale == "log" and bound is not None and bound <= 0:
                raise InputError(f"{name} is {bound}; a log scale needs it above 0.")


PLAIN_LOOK = Look()


@dataclass(frozen=True)
class Scale:
    """Which values get which colours, and where the contour levels lie.

    Attributes:
        log: Whether heights and colours go with log10 of the value.
        levels: Ascending, in the metric's unit; the first and last bound the colours.
        extend: Where values lie beyond the levels: ``"neither"``, ``"min"``, ``"max"``, ``"both"``.
    """

    log: bool
    levels: tuple[float, ...]
    extend: str = "neither"

    def shown(self, values: np.ndarray | Sequence[float]) -> np.ma.MaskedArray:
        """Return what is drawn: the values, or their log10; what has no place there is masked."""
        values = np.asarray(values, dtype=np.float64)
        missing = ~np.isfinite(values) | (self.log & (values <= 0))
        safe = np.where(missing, 1.0, values)
        return np.ma.masked_array(np.log10(safe) if self.log else safe, missing)

    def heights(self, levels: Sequence[float]) -> np.ndarray:
        """Return where levels, all of them positive on a log scale, lie as drawn."""
        return np.log10(levels) if self.log else np.asarray(levels, dtype=np.float64)

    @property
    def bounds(self) -> tuple[float, float]:
        """First and last level as drawn."""
        low, high = self.heights([self.levels[0], self.levels[-1]])
        return float(low), float(high)

    @property
    def ticks(self) -> tuple[float, ...]:
        """The levels that are worth a number: decades, or round ones; at most about eight."""
        inner = next(
            (found for found in map(self._with_mantissas, ((1,), (1, 2, 5))) if len(found) > 2),
            self.levels,
        )
        if len(inner) <= 8:
            return inner
        every = math.ceil(len(inner) / 8)
        heights = self.heights(inner)
        places = np.round(heights / np.median(np.diff(heights))).astype(int)
        return tuple(np.array(inner)[places % every == 0].tolist())

    def _with_mantissas(self, mantissas: Sequence[int]) -> tuple[float, ...]:
        if not self.log:
            return ()
        return tuple(v for v in self.levels if any(is_decade(v / m) for m in mantissas))

    def text(self, value: float) -> str:
        """Spell a level with as many digits as tell it from its neighbours, or as 10^n."""
        if self.log and all(is_decade(tick) for tick in self.ticks):
            return "10" + superscript(round(math.log10(value)))
        if self.log:
            return number_text(value, 3)
        step = float(np.median(np.diff(self.levels)))
        widest = max(abs(self.levels[0]), abs(self.levels[-1]))
        return number_text(value, max(math.ceil(math.log10(widest / step)) + 2, 5))


def superscript(exponent: int) -> str:
    """Spell a whole number in raised figures: plain text, no mathtext to lay out."""
    return str(exponent).translate(_SUPERSCRIPTS)


def is_decade(value: float) -> bool:
    """Tell whether a positive value is a power of ten."""
    exponent = math.log10(value)
    return math.isclose(exponent, round(exponent), abs_tol=1e-9)


def number_text(value: float, digits: int = 6) -> str:
    """Spell a number with so many significant digits, and a power of ten where it is far from 1."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    spelled = f"{mantissa}e{int(exponent)}" if e else mantissa
    return spelled.replace("-", "\N{MINUS SIGN}")


def choose_scale(values: np.ndarray, look: Look, label: Label) -> Scale:
    """Choose log or linear, the bounds of the colours, and about 12 levels.

    What the user gave in ``look`` wins.  By itself a linear scale cuts the tail at the bad end
    of the metric, beyond q + 2 (q - median) with q the percentile 99.5 (0.5 where high is good);
    percentages and the good end are never cut.

    Raises:
        InputError: If ``vlevel`` asks for more than 1000 levels.
    """
    log = is_log(values, look, label)
    seen = values[np.isfinite(values) & ((values > 0) if log else True)]
    if not seen.size:
        return Scale(False, (0.0, 1.0))
    low, high = _bounds(seen, look, label, log)
    if look.vlevel is not None:
        levels = _even_levels(low, high, look.vlevel, look.vmin, log)
    elif is_flat(seen):
        levels = np.array([low, high])
    else:
        levels = _log_levels(low, high) if log else _linear_levels(low, high)
    levels = _pin(levels, look, log)
    return Scale(log, tuple(levels.tolist()), beyond(seen, levels))


def beyond(values: np.ndarray, levels: Sequence[float] | np.ndarray) -> str:
    """Say on which sides values lie beyond the levels, as matplotlib's ``extend`` does."""
    below, above = bool((values < levels[0]).any()), bool((values > levels[-1]).any())
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def is_log(values: np.ndarray, look: Look, label: Label) -> bool:
    """Tell whether values are shown on a log scale: as the look says, or as suits them."""
    if look.scale != "auto":
        return look.scale == "log"
    rate = label.goal == "max"  # accuracies and scores: near zero they are bad, not interesting
    if look.vlevel is not None or rate or not is_wide(values, label.units):
        return False
    finite = values[np.isfinite(values)]
    low = finite.min() if look.vmin is None else look.vmin
    high = finite.max() if look.vmax is None else look.vmax
    return bool(low > 0 and high >= WIDE_FACTOR * low)


def is_flat(seen: np.ndarray) -> bool:
    """Tell whether values differ by rounding at most."""
    low, high = float(seen.min()), float(seen.max())
    return high - low <= 1e-12 * max(abs(low), abs(high))


def _bounds(seen: np.ndarray, look: Look, label: Label, log: bool) -> tuple[float, float]:
    low, high = float(seen.min()), float(seen.max())
    if is_flat(seen):
        room = 0.05 * abs(low) or 1.0
        low, high = (low / 2, high * 2) if log else (low - room, high + room)
    elif not log and label.units != "%":
        low, high = _without_tail(seen, label.goal)
    if look.vmin is not None:
        low = look.vmin
        high = high if high > low else (10 * low if log else low + (abs(low) or 1.0))
    if look.vmax is not None:
        high = look.vmax
        low = low if low < high else (high / 10 if log else high - (abs(high) or 1.0))
    return low, high


def _without_tail(seen: np.ndarray, goal: str) -> tuple[float, float]:
    low, high = float(seen.min()), float(seen.max())
    small, median, large = (float(p) for p in np.percentile(seen, [0.5, 50, 99.5]))
    if goal == "min" and large > median:
        high = min(high, large + 2 * (large - median))
    if goal == "max" and small < median:
        low = max(low, small - 2 * (median - small))
    return low, high


def _linear_levels(low: float, high: float) -> np.ndarray:
    locator = MaxNLocator(LEVELS, steps=[1, 2, 2.5, 5, 10])
    levels = np.asarray(locator.tick_values(low, high))
    step = levels[1] - levels[0]
    before = [levels[0] - step] if low < levels[0] else []  # the locator forgives a hair
    after = [levels[-1] + step] if high > levels[-1] else []
    return np.concatenate([before, levels, after])


def _log_levels(low: float, high: float) -> np.ndarray:
    """Return mantissas times powers of ten from just below low to just above high."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    choices = []
    for mantissas, stride in LOG_STEPS:
        exponents = range(first // stride * stride, last + stride, stride)
        levels = np.array([m * 10.0**n for n in exponents if -308 <= n <= 307 for m in mantissas])
        start = max(np.searchsorted(levels, low, "right") - 1, 0)
        choices.append(levels[start : np.searchsorted(levels, high) + 1])
    return min((c for c in choices if len(c) > 1), key=lambda levels: abs(len(levels) - LEVELS))


def _even_levels(
    low: float, high: float, step: float, start: float | None, log: bool
) -> np.ndarray:
    """Return levels one step apart, from ``start`` or from the multiple of the step below low.

    Raises:
        InputError: If they are too many.
    """
    if log:
        low, high = math.log10(low), math.log10(high)
        start = None if start is None else low
    first = math.floor(low / step) * step if start is None else start
    steps = (high - first) / step
    if not steps < MOST_LEVELS:
        raise InputError(
            f"vlevel {step} makes {steps:.0f} levels between {low} and {high}; at most "
            f"{MOST_LEVELS} can be drawn. Choose a larger vlevel, bounds vmin and vmax, or scale: "
            "log, where vlevel counts decades."
        )
    levels = first + step * np.arange(max(math.ceil(steps - 1e-9), 1) + 1)
    return 10.0 ** np.unique(np.clip(levels, -307, 308)) if log else levels


def _pin(levels: np.ndarray, look: Look, log: bool) -> np.ndarray:
    """Put the user's bounds at the ends of the levels."""
    drawn = np.log10 if log else np.asarray
    near = 1e-9 * np.ptp(drawn(levels))
    if look.vmin is not None:
        above = drawn(levels) > drawn(look.vmin) + near
        levels = np.concatenate([[look.vmin], levels[above]])
    if look.vmax is not None:
        below = drawn(levels) < drawn(look.vmax) - near
        levels = np.concatenate([levels[below], [look.vmax]])
    return levels
