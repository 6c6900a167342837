"""How far to look along axes whose ends the config leaves open: as far as shows the basin."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape_lib.config import Experiment
from landscape_lib.config.settings import AXES
from landscape_lib.core.curvature import UnmeasurableError
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import measure
from landscape_lib.core.failures import Limits
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import CURVATURE, Label
from landscape_lib.steps.bench import refuse_changed, set_up
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.gpus import own_gpu
from landscape_lib.steps.guarding import Guarded
from landscape_lib.steps.objective import objective_of, train_losses
from landscape_lib.steps.report import read_probe
from landscape_lib.steps.shown import enclosing, load_trajectories
from landscape_lib.utils.records import read_record, write_record
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_directions
from landscape_lib.verdict.plane import around

log = logging.getLogger(__name__)

FARTHEST = 2.0**5  # steps; a loss that has not risen there has no rim
NEAREST = 2.0**-5
HALVINGS = 4  # of the interval that holds the rim: it is then known to 5 %


def choose_range(experiment: Experiment, out: Path | str, stops: Stops) -> None:
    """Find the ends of the axes that the config leaves open, and write them.

    Where the run shows trajectories, the ends hold them: see ``shown.enclosing``.  Elsewhere,
    along each such axis, either way, the first distance is looked for at which the loss is that
    of outputs that are all zero; the ends lie a quarter beyond the farther of the two, alike on
    both sides, rounded to two digits.  Distances of 1/32 to 32 steps are tried, doubling or
    halving from 1, then four halvings: at most ten points a side.  What was found is kept beside
    the journal, so that the grid never moves under points that are there.

    Raises:
        InputError: If the metrics have no such level, or the model is no better than it.
    """
    if experiment.trajectories:
        _write(experiment, out, {"range": _around_trajectories(experiment)})
        return
    report = read_probe(experiment.path("probe.json"))
    with own_gpu(str(report["plan"]["device"]), stops.check):
        found = _looked_for(experiment, report, stops)
    _write(experiment, out, found)


def _looked_for(experiment: Experiment, report: Mapping[str, Any], stops: Stops) -> dict[str, Any]:
    scan = _scan(experiment, report, stops)
    kept = experiment.path("journal", f"range-{scan.fingerprint}.json")
    try:
        found = read_record(kept)
    except (OSError, ValueError):
        found = {name: list(_ends(scan, name)) for name in experiment.auto}
        write_record(kept, found)
    return {"range": found, "level": scan.level}


def _write(experiment: Experiment, out: Path | str, found: dict[str, Any]) -> None:
    for name, (low, high) in found["range"].items():
        log.info("%s: %s goes from %g to %g", experiment.name, name, low, high)
    write_record(out, found)


def _around_trajectories(experiment: Experiment) -> dict[str, Any]:
    axes = list(zip(AXES, experiment.grid.axes, strict=False))
    counts = [axis.count if name in experiment.auto else None for name, axis in axes]
    ends = enclosing(load_trajectories(experiment.path("trajectory.json")), counts)
    return {name: list(found) for (name, _), found in zip(axes, ends, strict=True) if found}


@dataclass(frozen=True)
class Scan:
    """The loss along each axis, and the level that is looked for.

    Attributes:
        loss: The loss so many steps along an axis.
        level: The loss of outputs of zero.
        fingerprint: What decides both.
    """

    loss: Callable[[int, float], float]
    level: float
    fingerprint: str


def _ends(scan: Scan, name: str) -> tuple[float, float]:
    axis = AXES.index(name)
    sides = [
        rim(lambda distance: scan.loss(axis, -distance), scan.level),
        rim(lambda distance: scan.loss(axis, distance), scan.level),
    ]
    found = [side for side in sides if math.isfinite(side)]
    if not found:
        log.warning(
            "Along %s the loss nowhere rises to %.3g within %g steps; taking -1 to 1.",
            *(name, scan.level, FARTHEST),
        )
        return -1.0, 1.0
    return around(max(found))


def rim(loss: Callable[[float], float], level: float) -> float:
    """Return a distance at which a loss first is at a level; NaN where it is below it everywhere.

    A value that is not a number counts as above.  A loss that falls below the level again between
    two distances that were tried may have an earlier rim.
    """
    far = 1.0
    if loss(far) < level:
        while far < FARTHEST:
            far *= 2
            if not loss(far) < level:
                break
        else:
            return math.nan
    else:
        while far > NEAREST and not loss(far / 2) < level:
            far /= 2
    low, high = math.log2(far / 2), math.log2(far)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if loss(2**middle) < level else (low, middle)
    return float(2 ** ((low + high) / 2))


def _scan(experiment: Experiment, report: Mapping[str, Any], stops: Stops) -> Scan:
    bench = set_up(experiment, report["problem"])
    refuse_changed(bench.parts, report["problem"], experiment)
    directions = load_directions(experiment.path("directions.h5"))
    labels = {key: Label(**told) for key, told in report["labels"].items()}
    key = next(iter(train_losses(labels)), "")
    work = Work(bench, Plan(**report["plan"]), directions, experiment.grid, stops)
    level = _level(experiment.name, work, key)
    keys = [name for name in report["keys"] if name not in CURVATURE]
    guarded = Guarded(bench.evaluator(work.plan), Limits(bench.limits.on_error))

    def loss(axis: int, step: float) -> float:
        stops.check()
        ends = [step if number == axis else 0.0 for number in range(len(directions))]
        point = Grid(tuple(Axis(end, end, 1) for end in ends))
        found = measure(bench.problem.model, guarded, directions, point, [0], keys=keys)
        return float(found.values[key][0])

    here = loss(0, 0.0)
    if not here < level:
        raise InputError(
            f"{experiment.name}: 'auto' finds no range: the model's {key}, {here:.3g}, is not "
            f"below {level:.3g}, that of outputs that are all zero, so there is no basin. Say the "
            "ends, as [-1, 1, 51]."
        )
    return Scan(loss, level, work.fingerprint)


def _level(run: str, work: Work, key: str) -> float:
    """Return the loss of outputs of zero.

    Raises:
        InputError: If the metrics have none.
    """
    samples = work.bench.evaluator(work.plan.plain()).data["train"]
    try:
        return objective_of(work.bench, key or None, samples).value_of_zero(work.stops.check)
    except UnmeasurableError as error:
        raise InputError(
            f"{run}: 'auto' finds no range: {error}. Say the ends, as [-1, 1, 51]."
        ) from None
