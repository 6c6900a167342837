"""By how much a precision that rounds moves values: measured, and kept with them."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from landscape_lib.core.grid import Grid
from landscape_lib.core.keys import labels_for
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import UNIT
from landscape_lib.steps.bench import Bench
from landscape_lib.steps.planning import values_along

log = logging.getLogger(__name__)


def measured_rounding(bench: Bench, plan: Plan, grid: Grid) -> dict[str, Any] | None:
    """Compare a plan that rounds with float32: at the centre, and as far out as the grid's corner.

    Both evaluate all samples, float32 as the plain model.  The far point lies along one
    filter-normalized random direction.

    Args:
        bench: The problem.
        plan: How its points are evaluated.
        grid: All points.

    Returns:
        ``against``, ``distances`` (of the points, in steps), and by metric ``errors``, one a point:
        relative, of accuracies in percent points.  None where the precision rounds nothing more.
    """
    if plan.precision not in UNIT:
        return None
    exact = replace(plan.plain(), precision="float32", batch_size=plan.batch_size)
    reach = float(np.abs(grid.points([0, grid.size - 1])).max())
    distances = [0.0, reach or 1.0]
    found, wanted = (values_along(bench, bench.evaluator(p), distances) for p in (plan, exact))
    labels = labels_for(bench.problem.metrics, list(found[0]))
    errors = {
        key: [
            _apart(one[key], other[key], relative=labels[key].units != "%")
            for one, other in zip(found, wanted, strict=True)
        ]
        for key in found[0]
    }
    for key, (here, far) in errors.items():
        unit = " percent points" if labels[key].units == "%" else ", relative"
        log.info(
            "%s: %s differs from float32 by %.1e at the centre, by %.1e at a distance of %g%s.",
            plan.precision,
            key,
            here,
            far,
            distances[1],
            unit,
        )
    return {"precision": plan.precision, "against": "float32", "distances": distances} | {
        "errors": errors
    }


def told_rounding(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what a surface says of it: nothing where nothing was rounded."""
    return {} if found is None else {"rounding": dict(found)}


def _apart(found: float, wanted: float, *, relative: bool) -> float:
    if found == wanted or (math.isnan(found) and math.isnan(wanted)):
        return 0.0
    apart = abs(found - wanted) / (max(abs(found), abs(wanted)) if relative else 1.0)
    return apart if math.isfinite(apart) else math.inf
