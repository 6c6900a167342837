"""Ours, as a user of the library calls it."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.problems import Case
from landscape_lib import Axis, Grid, LossLandscape, Problem
from landscape_lib.config import EvaluationSettings
from landscape_lib.core.lending import borrowed
from landscape_lib.steps.bench import lay_out, settings_kept
from landscape_lib.steps.planning import choose_plan

Plan = str | Mapping[str, Any]
LONG = Grid((Axis(-1, 1, 51), Axis(-1, 1, 51)))  # the paper's


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from telling how far it has come; what is wrong is still told."""
    log = logging.getLogger("landscape_lib")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def plan_of_a_long_run(case: Case, criterion: Any) -> tuple[dict[str, Any], float]:
    """Return the plan that a run of 51 x 51 points finds, and the seconds that it takes to find.

    A run as short as a measurement looks for none.
    """
    problem = Problem(case.net, case.loader(), criterion)
    bench = lay_out(case.name, problem, code="", args={}, wishes=EvaluationSettings())
    start = time.perf_counter()
    with borrowed(case.net), settings_kept():
        plan = choose_plan(bench, EvaluationSettings(device="cpu"), LONG)
    return plan.told(), time.perf_counter() - start


def steps(points: int, reach: float = 1.0) -> tuple[float, float, int]:
    """Return an axis with so many points; a single one lies at the centre."""
    return (-reach, reach, points) if points > 1 else (0.0, 0.0, 1)


def landscape(case: Case, criterion: Any, *, plan: Plan = "auto", data: Any = None) -> Any:
    """Return a fresh landscape: nothing is read, and no plan is chosen yet."""
    data = case.loader() if data is None else data
    return LossLandscape(case.net, data, criterion, plan=plan)


def run(
    case: Case,
    criterion: Any,
    points: int,
    *,
    across: int = 1,
    plan: Plan = "auto",
    data: Any = None,
) -> dict[str, Any]:
    """Evaluate ``points`` x ``across`` points from the beginning, and keep nothing on disk."""
    here = landscape(case, criterion, plan=plan, data=data)
    return here.compute_2d(steps(points), steps(across), save=False)


def points_of(result: dict[str, Any]) -> Sequence[tuple[float, float]]:
    """Return the points of a result, in the order of its values."""
    return [(float(x), float(y)) for x in result["xcoordinates"] for y in result["ycoordinates"]]
