"""What the problem's metrics are called, what a point costs, and how it is best evaluated."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from landscape_lib.config import EvaluationSettings, Experiment
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import PointTooSlowError
from landscape_lib.core.evaluator import Evaluator, Values, disagreement, measure
from landscape_lib.core.failures import Limits
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.keys import labels_for
from landscape_lib.core.memory import peak_memory
from landscape_lib.core.plan import Plan, choose_device, plain_plan
from landscape_lib.core.precision import said_of
from landscape_lib.core.surface import Label
from landscape_lib.steps.bench import Bench, set_up
from landscape_lib.steps.convexity import WithCurvature, with_curvature
from landscape_lib.steps.gpus import own_gpu
from landscape_lib.steps.guarding import Guarded
from landscape_lib.steps.planning import settled_plan, values_along
from landscape_lib.steps.report import read_probe
from landscape_lib.steps.rounding import measured_rounding, told_rounding
from landscape_lib.utils.bucket import Bucket
from landscape_lib.utils.hashing import canonical, hash_text
from landscape_lib.utils.heartbeat import ENDING, heartbeat
from landscape_lib.utils.records import read_record, write_record
from landscape_lib.utils.watchdog import TooLong, Watchdog

log = logging.getLogger(__name__)

PATIENCE = 10  # times as long as a point may take, for the first of all
TIMED_S = 0.5  # that timing quick points takes
MOST_TIMED = 200  # groups of points


@dataclass(frozen=True)
class Probed:
    """What is known of a problem before its grid is evaluated.

    Attributes:
        bench: The problem with its samples.
        plan: How its points will be evaluated.
        centre: Every metric at the trained weights.
        seconds_per_point: That one of many points takes here.
        labels: What every metric is called, and how it was averaged where that is not exact.
        rounding: By how much the plan's precision moves values; None where it is exact.
    """

    bench: Bench
    plan: Plan
    centre: Values
    seconds_per_point: float
    labels: Mapping[str, Label]
    rounding: Mapping[str, Any] | None = None


def probe(experiment: Experiment, out: Path | str, store: Bucket | None = None) -> None:
    """Evaluate the centre, choose the plan, time a point, and write it all to ``probe.json``.

    Args:
        experiment: The run.
        out: The file.
        store: Where results lie in object storage: a plan that was chosen once is found there, and
            one that is chosen now is copied there.
    """
    journal = experiment.path("journal")
    if store is not None:
        store.fetch(journal)
    alive = heartbeat(journal / f"probe{ENDING}", f"{experiment.name} probe")
    with own_gpu(choose_device(experiment.evaluation.device)), alive:
        found = probed(experiment, set_up(experiment))
    report = {
        "keys": list(found.centre),
        "centre": found.centre,
        "labels": {key: vars(label) for key, label in found.labels.items()},
        "samples_per_point": found.bench.samples_per_point,
        "weights": said_of(found.bench.types),
        "plan": found.plan.told(),
        "seconds_per_point": found.seconds_per_point,
        "memory_mb": _memory_mb(found.bench),
        "problem": dict(found.bench.parts),
        **told_rounding(found.rounding),
    }
    if store is not None:
        for path in journal.glob("*.json"):
            store.store(path)
    write_record(out, report)
    for key, value in found.centre.items():
        log.info("%s: %s = %.6g at the centre", experiment.name, key, value)


def probed(experiment: Experiment, bench: Bench) -> Probed:
    """Evaluate the centre, choose the plan and time a point; the latter two are kept."""
    journal = experiment.path("journal")
    try_centre(bench, experiment.evaluation)
    plan = settled_plan(
        bench, experiment.evaluation, experiment.grid, journal, _plan_of_film(experiment)
    )
    metrics = bench.evaluator(plan)
    evaluator = with_curvature(bench, metrics)
    centre = values_along(bench, evaluator, [0.0])[0]
    _warn_of_memory(centre, values_along(bench, metrics, [0.0])[0])
    seconds = _seconds_per_point(bench, evaluator, journal, plan, tuple(centre))
    labels = labels_for(bench.problem.metrics, list(centre), metrics.notes)
    rounding = measured_rounding(bench, plan, experiment.grid)
    return Probed(bench, plan, centre, seconds, labels, rounding)


def try_centre(bench: Bench, wishes: EvaluationSettings) -> None:
    """Evaluate the centre, as it is, where a point may take so long; ten times that is too long.

    Raises:
        PointTooSlowError: If it is.
    """
    if wishes.seconds_per_point is None:
        return
    seconds = PATIENCE * wishes.seconds_per_point
    plan = plain_plan(bench.problem.model, choose_device(wishes.device))

    def last_words() -> None:
        log.error("Error: %s It never came back to Python, so the process must be ended.", told)

    told = (
        f"The model's own weights could not be evaluated in {seconds:g} s, {PATIENCE} times what "
        "seconds_per_point allows. Allow more time, or mend the metric."
    )
    with Watchdog(seconds, last_words) as watchdog:
        try:
            watchdog.watch(lambda: values_along(bench, bench.evaluator(plan), [0.0]))
        except TooLong as late:
            raise PointTooSlowError(told) from late


def _plan_of_film(experiment: Experiment) -> Plan | None:
    """Return how the run is evaluated in whose film this one is a moment; None outside of films."""
    if experiment.frame is None:
        return None
    film = experiment.folder.with_name(experiment.frame.film)
    return Plan(**read_probe(film / "probe.json")["plan"])


def _seconds_per_point(
    bench: Bench,
    evaluator: Evaluator | WithCurvature,
    journal: Path,
    plan: Plan,
    keys: tuple[str, ...],
) -> float:
    """Time a point; kept like the plan, or the number of shards would change with every probe."""
    parts = [bench.parts["fingerprint"], plan.canonical()]
    path = journal / f"probe-{hash_text(canonical(parts))}.json"
    try:
        return float(read_record(path)["seconds_per_point"])
    except (OSError, ValueError, TypeError, KeyError):
        seconds = _time_points(bench, evaluator, keys)
    write_record(path, {"seconds_per_point": seconds})
    rate = f"{bench.samples_per_point / seconds:,.0f}"
    log.info("%.3g s a point, %s samples/s, plan %s", seconds, rate, plan.canonical())
    return seconds


def _time_points(
    bench: Bench, evaluator: Evaluator | WithCurvature, keys: tuple[str, ...]
) -> float:
    """Return the seconds of a point among others in a plane: its move and its evaluation.

    Points that take long are timed once, from the start of an excursion; of quick ones as many as
    fit into ``TIMED_S``, since what begins and ends an excursion comes once a shard.
    """
    model, together = bench.problem.model, evaluator.points_at_once
    direction = create_random_direction(model, seed=0)

    def moments(count: int) -> list[float]:
        """Return when it began, and when each point was done."""
        low = 0.5 if count > 1 else 1.0
        grid = Grid((Axis(low, 1.0, count), Axis(0.0, 0.0, 1)))
        found = [time.perf_counter()]
        measure(
            model,
            Guarded(evaluator, Limits(bench.limits.on_error)),
            [direction, direction],
            grid,
            range(count),
            record=lambda point, outcome: found.append(time.perf_counter()),
            keys=keys,
        )
        return found

    begin, *_, end = moments(together)
    groups = min(int(TIMED_S / (end - begin)), MOST_TIMED)
    if groups < 2:
        return (end - begin) / together
    done = moments(groups * together)
    return (done[-1] - done[together]) / ((groups - 1) * together)


def _memory_mb(bench: Bench) -> float:
    """Return what a shard takes at most, in MB of 10^6 bytes: what the probe took, and directions.

    The probe holds the samples and tries every plan along one direction; a shard has two.
    """
    states = bench.problem.model.state_dict().values()
    state = sum(t.numel() * t.element_size() for t in states if isinstance(t, Tensor))
    return round((peak_memory() + 2 * state) / 1e6, 1)


def _warn_of_memory(once: Values, again: Values) -> None:
    """Say so where the same weights give two values: points would depend on their order."""
    key, apart = disagreement(once, again)
    if apart > 0:
        log.warning(
            "%s differs by %.1e between two evaluations of the same weights: model or metric keep "
            "something from one evaluation to the next, such as a random generator of their own. "
            "Seed it inside the metric, or values depend on the order of the points.",
            key,
            apart,
        )
