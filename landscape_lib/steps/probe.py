"""What the problem's metrics are called, what a point costs, and how it is best evaluated."""

import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from landscape_lib.config import Experiment
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, Values, disagreement, dtype_of, measure
from landscape_lib.core.files import write_text
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.meters import labels_for
from landscape_lib.core.plan import Plan, choose_device
from landscape_lib.core.samples import Samples
from landscape_lib.steps.bench import Bench, set_up
from landscape_lib.utils.hashing import canonical, hash_text

log = logging.getLogger(__name__)

AGREEMENT = 1e-3  # relative; what a batch size may change, rounding of sums in float32 included
CANDIDATES = {"cpu": (32, 64, 256), "cuda": (256, 512, 1024, 2048)}
TRIAL_SAMPLES = {"cpu": 256, "cuda": 4096}
WORTH_IT = 0.9  # another plan is taken when it needs at most this share of the plain model's time

Points = list[tuple[float, ...]]
AWAY: Points = [(0.0,), (1.0,)]  # the centre, and weights moved by noise of length 1


def probe(experiment: Experiment, out: Path | str) -> None:
    """Evaluate the centre, choose the plan, time a point, and write it all to ``probe.json``.

    Plan and time are kept beside the journal and used again by every later probe of the same
    problem: timing it anew must never throw points away.
    """
    bench = set_up(experiment)
    wishes = experiment.evaluation.model_dump(mode="json")
    name = f"probe-{hash_text(canonical([bench.parts['fingerprint'], wishes]))}.json"
    kept_path = experiment.path("journal", name)
    kept = _kept(kept_path, wishes)
    if kept is None:
        kept = {"wishes": wishes, **_measured(experiment, bench)}
        write_text(kept_path, json.dumps(kept, indent=1))
    evaluator = bench.evaluator(Plan(**kept["plan"]))
    centre = _values(bench, evaluator, AWAY[:1])[0]
    _warn_of_memory(centre, _values(bench, evaluator, AWAY[:1])[0])
    labels = labels_for(bench.problem.metrics, list(centre))
    report = {
        "keys": list(centre),
        "centre": centre,
        "labels": {key: vars(label) for key, label in labels.items()},
        "samples_per_point": evaluator.samples_per_point,
        "plan": kept["plan"],
        "seconds_per_point": kept["seconds_per_point"],
        "problem": dict(bench.parts),
    }
    write_text(out, json.dumps(report, indent=1))
    for key, value in centre.items():
        log.info("%s: %s = %.6g at the centre", experiment.name, key, value)


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


def _kept(path: Path, wishes: dict[str, Any]) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        Plan(**found["plan"])
        float(found["seconds_per_point"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.get("wishes") == wishes else None


def _measured(experiment: Experiment, bench: Bench) -> dict[str, Any]:
    plan = choose_plan(experiment, bench)
    evaluator = bench.evaluator(plan)
    start = time.perf_counter()
    _values(bench, evaluator, AWAY[1:])
    seconds = time.perf_counter() - start
    log.info(
        "%s: %.3g s a point, %s samples/s, plan %s",
        experiment.name,
        seconds,
        f"{evaluator.samples_per_point / seconds:,.0f}",
        plan.canonical(),
    )
    return {"plan": vars(plan), "seconds_per_point": seconds}


def choose_plan(experiment: Experiment, bench: Bench) -> Plan:
    """Find how to evaluate the problem: as the config says, or what is fastest here.

    A batch size or number of threads is trusted after it agreed with the plain model at the centre
    and at weights moved by filter-normalized noise of length 1.

    Raises:
        InputError: If the config's ``plan:`` cannot be read.
    """
    wishes = experiment.evaluation
    own_loop = not isinstance(bench.problem.metrics, torch.nn.Module | dict)
    device = choose_device(wishes.device)
    base = Plan(device, wishes.precision, None, torch.get_num_threads())
    plain = base.plain()
    if isinstance(wishes.plan, dict):
        try:
            return Plan(**{**vars(plain), **wishes.plan})
        except TypeError as error:
            raise InputError(
                f"evaluation.plan is {wishes.plan}; its keys are {sorted(vars(plain))}."
            ) from error
    if wishes.batch_size != "auto":
        return Plan(device, wishes.precision, wishes.batch_size, plain.threads)
    if wishes.plan == "plain" or own_loop or not all(s.whole for s in bench.data.values()):
        return plain
    plan = _fastest(bench, plain)
    if plan == plain or _agrees(bench, plan, plain):
        return plan
    return plain


def _fastest(bench: Bench, plain: Plan) -> Plan:
    """Time batch sizes, on the CPU also one thread against all: small layers gain nothing."""
    kind = torch.device(plain.device).type
    train = bench.data["train"]
    trial = min(TRIAL_SAMPLES[kind], train.count)
    few = {"train": _first(train, trial)}
    model = bench.problem.model.to(plain.device, dtype_of(plain)).eval()

    def seconds(plan: Plan) -> float:
        torch.set_num_threads(plan.threads)
        evaluator = Evaluator(model, bench.problem.metrics, few, plan)
        evaluator(model)
        start = time.perf_counter()
        evaluator(model)
        return time.perf_counter() - start

    threads = {1, plain.threads} if kind == "cpu" else {plain.threads}
    sizes = [None, *(size for size in CANDIDATES[kind] if size <= trial)]
    plans = [replace(plain, threads=n, batch_size=size) for n in threads for size in sizes]
    times = {plan: seconds(plan) for plan in plans}
    best = min(plans, key=lambda plan: times[plan])
    return best if times[best] < WORTH_IT * times[plain] else plain


def _first(samples: Samples, count: int) -> Samples:
    return Samples(tuple(samples.cut(count)[:1]), count, True, None, samples.dataset)


def _agrees(bench: Bench, plan: Plan, plain: Plan) -> bool:
    found, wanted = (_values(bench, bench.evaluator(p), AWAY) for p in (plan, plain))
    for point, one, other in zip(AWAY, found, wanted, strict=True):
        key, apart = disagreement(one, other)
        if apart > AGREEMENT:
            log.warning(
                "%s differs by %.1e between batches of %s and the plain model, %s from the centre: "
                "the plan is dropped. Does the metric depend on the batch?",
                key,
                apart,
                plan.batch_size,
                point[0],
            )
            return False
    return True


def _values(bench: Bench, evaluator: Evaluator, points: Points) -> list[Values]:
    """Evaluate at distances from the centre along one filter-normalized random direction."""
    model = bench.problem.model
    direction = create_random_direction(model, seed=0)
    found = []
    for (step,) in points:
        shard = measure(model, evaluator, [direction], Grid((Axis(step, step, 1),)), [0])
        found.append({key: float(values[0]) for key, values in shard.values.items()})
    return found
