"""How many points an adaptive grid evaluates, and how far off the others are."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RectBivariateSpline

from benchmarks.surfaces import CASES, Trained
from benchmarks.table import Table
from benchmarks.timing import Settings
from landscape_lib.adaptive.bounding import completed
from landscape_lib.adaptive.choosing import next_round
from landscape_lib.adaptive.filling import Space
from landscape_lib.adaptive.rounds import Round, computed_in
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Refinement
from landscape_lib.core.surface import Surface

KEY = "train_loss"
STEPS, FEW_STEPS = 51, 25  # along each axis: the paper's, and those of a quick check
TOLERANCE = 0.01
QUICK = ("MLP", "regression")
COLUMNS = (
    *("surface", "what", "evaluated", "rounds", "worst", "median", "bound holds at"),
    *("by hand: points", "worst", "median", "better"),
)


@dataclass(frozen=True)
class Off:
    """How far every point of a surface is off, as a share of the range of the (log) values."""

    shares: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, truth: np.ndarray) -> "Off":
        """Compare values with those that every point was evaluated for."""
        space = Space.of(truth)
        return cls(np.abs(space.into(values) - space.into(truth)) / space.extent)

    @property
    def told(self) -> list[str]:
        """The worst and the median."""
        return [_percent(self.shares.max()), _percent(float(np.median(self.shares)))]


def row(settings: Settings) -> list[Table]:
    """Evaluate surfaces whole, and ask which of their points an adaptive grid would have taken."""
    steps = FEW_STEPS if settings.quick else STEPS
    rows, deciding, missing = [], [], []
    for name, (what, build) in CASES.items():
        if settings.quick and name not in QUICK:
            continue
        try:
            trained = build()
        except InputError as error:  # data that are not there
            missing.append(f"{name}: {error}")
            continue
        whole = trained.surface(steps)
        rows.append([name, what, *row_of(trained, whole)])
        if len(whole.keys) > 1:
            deciding.append([name, *_shares(whole)])
    return [_errors(rows, steps, missing), _deciders(deciding)]


def _errors(rows: list[list[str]], steps: int, missing: list[str]) -> Table:
    note = (
        f"Train loss on {steps} x {steps} points, tolerance {TOLERANCE}, beside the whole surface. "
        "Errors are shares of the range of values, or of their logarithms where these are positive "
        "and wide. `bound holds at`: the share of interpolated points that are off by less than "
        "their stated error. `by hand`: a coarser grid with an odd number of steps, so that it "
        "holds the trained model, of no fewer points, and a bicubic spline through it, of "
        "logarithms where the values are wide."
    )
    return Table("Adaptive grids", COLUMNS, rows, " ".join([note, *missing]))


def _deciders(rows: list[list[str]]) -> Table:
    note = (
        "The share of points evaluated where the loss alone decides, and where accuracy does as "
        "well: that is a staircase, whose steps no interpolant foresees."
    )
    return Table("What decides", ("surface", KEY, "all metrics"), rows, note)


def rounds_of(whole: Surface, metric: str | None) -> list[Round]:
    """Return the rounds that an adaptive grid would have evaluated of a surface."""
    rounds: list[Round] = []
    while found := next_round(
        whole.grid, rounds, whole.values, whole.labels, Refinement(TOLERANCE, metric)
    ):
        rounds.append(found)
    return rounds


def row_of(trained: Trained, whole: Surface) -> list[str]:
    """Compare the adaptive grid, and a coarser one of no fewer points, with a whole surface."""
    truth, rounds = whole[KEY], rounds_of(whole, KEY)
    computed = computed_in(whole.grid, rounds)
    found = completed(whole.grid, rounds, truth, whole.labels[KEY])
    free = ~computed
    holds = (np.abs(found.values - truth) <= found.errors)[free].mean()
    ours = Off.of(found.values, truth)
    count = odd_steps(int(computed.sum()))
    theirs = Off.of(by_hand(trained.surface(count), whole), truth)
    better = {True: "ours", False: "by hand"}
    return [
        _percent(float(computed.mean())),
        str(len(rounds)),
        *ours.told,
        _percent(float(holds)),
        f"{count} x {count}",
        *theirs.told,
        better[bool(ours.shares.max() < theirs.shares.max())],
    ]


def _shares(whole: Surface) -> list[str]:
    return [
        _percent(float(computed_in(whole.grid, rounds_of(whole, metric)).mean()))
        for metric in (KEY, None)
    ]


def odd_steps(points: int) -> int:
    """Return the smallest odd number of steps whose square is no less than so many points."""
    steps = math.isqrt(points - 1) + 1
    return steps + (steps + 1) % 2


def by_hand(coarse: Surface, whole: Surface) -> np.ndarray:
    """Return what a bicubic spline through a coarser grid says at every point."""
    space = Space.of(coarse[KEY])
    x, y = (axis.steps() for axis in coarse.grid.axes)
    spline = RectBivariateSpline(x, y, space.into(coarse[KEY]))
    return space.back(spline(*(axis.steps() for axis in whole.grid.axes)))


def _percent(share: float) -> str:
    if share < 1e-9:  # rounding
        return "0 %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
