"""How long things take beside each other, on a machine that is never quite the same."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure.

    Attributes:
        rounds: How often every contender runs, in turns.
        seconds: How long one run of a contender is meant to take.
        quick: Whether this is a check that everything works, not a measurement.
        with_peers: Whether other libraries may be installed, each in an environment of its own.
    """

    rounds: int = 5
    seconds: float = 4.0
    quick: bool = False
    with_peers: bool = False


@dataclass(frozen=True)
class Cost:
    """What a run costs, in seconds: once, and for each point."""

    once: float
    each: float


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run A B C A B C ..., so that what slows the machine down meets all of them.

    Returns:
        For every contender what it returned, a list by round.
    """
    found: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            gc.collect()
            found[name].append(run())
    return found


def cost(run: Callable[[int], object], few: int, many: int) -> Cost:
    """Tell what is paid once from what every point costs: two runs of different lengths.

    each = (t_many - t_few) / (many - few);  once = t_few - few * each

    Both are NaN where the longer run took no longer, since something else kept the machine busy.
    """
    short, long = (seconds(partial(run, points)) for points in (few, many))
    each = (long - short) / (many - few) if long > short else math.nan
    return Cost(short - few * each, each)


def enough(run: Callable[[int], object], few: int, target: float) -> int:
    """Return how many points make a run about ``target`` seconds longer than one of ``few``.

    Tries more and more, until the difference stands out of what starting a run varies by.
    """
    run(few)  # whatever is slow the first time
    base = seconds(partial(run, few))
    more = 4
    while (longer := seconds(partial(run, few + more)) - base) < max(target / 4, base / 2):
        more *= 4
    return few + max(2, 2 * round(more * target / longer / 2))


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios round by round."""
    pairs = zip(above, below, strict=True)
    return median(one / other if other else math.nan for one, other in pairs)


def median(numbers: Iterable[float]) -> float:
    """Return the median of those that are known; NaN where none is."""
    known = [number for number in numbers if not math.isnan(number)]
    return statistics.median(known) if known else math.nan


def odd(points: float, least: int = 3) -> int:
    """Return an odd number of points near this one: a grid with the trained model in its middle."""
    return max(least, 2 * (round(points) // 2) + 1)
