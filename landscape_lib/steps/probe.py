"""What the problem's metrics are called, what a point costs, and how it is best evaluated."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from landscape_lib.config import Experiment
from landscape_lib.core.evaluator import Evaluator, Values, disagreement
from landscape_lib.core.files import write_text
from landscape_lib.core.meters import labels_for
from landscape_lib.core.plan import Plan, choose_device
from landscape_lib.steps.bench import Bench, set_up
from landscape_lib.steps.convexity import WithCurvature, with_curvature
from landscape_lib.steps.gpus import own_gpu
from landscape_lib.steps.planning import settled_plan, values_along
from landscape_lib.utils.hashing import canonical, hash_text

log = logging.getLogger(__name__)


def probe(experiment: Experiment, out: Path | str) -> None:
    """Evaluate the centre, choose the plan, time a point, and write it all to ``probe.json``."""
    with own_gpu(choose_device(experiment.evaluation.device)):
        report = _probed(experiment)
    write_text(out, json.dumps(report, indent=1))
    for key, value in report["centre"].items():
        log.info("%s: %s = %.6g at the centre", experiment.name, key, value)


def _probed(experiment: Experiment) -> dict[str, Any]:
    bench = set_up(experiment)
    journal = experiment.path("journal")
    plan = settled_plan(bench, experiment.evaluation, experiment.grid, journal)
    metrics = bench.evaluator(plan)
    evaluator = with_curvature(bench, metrics)
    centre = values_along(bench, evaluator, [0.0])[0]
    _warn_of_memory(centre, values_along(bench, metrics, [0.0])[0])
    labels = labels_for(bench.problem.metrics, list(centre))
    return {
        "keys": list(centre),
        "centre": centre,
        "labels": {key: vars(label) for key, label in labels.items()},
        "samples_per_point": bench.samples_per_point,
        "plan": vars(plan),
        "seconds_per_point": _seconds_per_point(bench, evaluator, journal, plan),
        "problem": dict(bench.parts),
    }


def _seconds_per_point(
    bench: Bench, evaluator: Evaluator | WithCurvature, journal: Path, plan: Plan
) -> float:
    """Time a point; kept like the plan, or the number of shards would change with every probe."""
    parts = [bench.parts["fingerprint"], plan.canonical()]
    path = journal / f"probe-{hash_text(canonical(parts))}.json"
    try:
        return float(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        start = time.perf_counter()
        values_along(bench, evaluator, [1.0])
        seconds = time.perf_counter() - start
    write_text(path, json.dumps(seconds))
    rate = f"{bench.samples_per_point / seconds:,.0f}"
    log.info("%.3g s a point, %s samples/s, plan %s", seconds, rate, plan.canonical())
    return seconds


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
