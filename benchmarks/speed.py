"""How many samples a second, beside the textbook loop."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks import bounds, library, textbook
from benchmarks.problems import CASES, Case, metrics, three_metrics
from benchmarks.table import Table
from benchmarks.timing import (
    Cost,
    Settings,
    cost,
    enough,
    interleaved,
    median,
    median_ratio,
    odd,
    seconds,
)

QUICK_IMAGES = 96
FOUND = "as a run of 51 x 51 points"
HEADER = (
    "who",
    "samples/s",
    "times the textbook",
    "s a point",
    "s once",
    "s once / s a point",
    "GFLOP/s",
    "share of matrix product",
)
NOTE = (
    "`s a point` is the difference quotient of two runs of different lengths, `s once` what is "
    "left: reading the data, checking the plan. Samples/s, and so the ratio, leave "
    "`s once` out; with it, a grid of n points takes `s once` + n `s a point`. A round whose "
    "longer run took no longer, on a busy machine, is left out. Where networks are small, what "
    "the textbook pays is mostly its loader, started at each point."
)


def textbook_cost(case: Case, points: int, metric: textbook.Metric = three_metrics) -> Cost:
    """Time the textbook loop; there is nothing that it pays once."""
    low, high, count = library.steps(points)
    places = [(low + (high - low) * n / max(count - 1, 1), 0.0) for n in range(points)]
    loader, directions = case.loader(), case.directions()
    took = seconds(lambda: textbook.walk(case.net, loader, directions, places, metric))
    return Cost(0.0, took / points)


def our_cost(case: Case, criterion: Any, few: int, many: int, plan: library.Plan) -> Cost:
    """Time ours: from a fresh object on, twice."""
    return cost(partial(_run, case, criterion, plan), few, many)


def _run(case: Case, criterion: Any, plan: library.Plan, points: int) -> None:
    library.run(case, criterion, points, plan=plan)


def measured(
    case: Case,
    criterion: Any,
    settings: Settings,
    extra: dict[str, Callable[[], Any]],
    plans: dict[str, library.Plan],
) -> dict[str, list[Any]]:
    """Run textbook, ours by every plan, and what else is given, in turns."""
    target = settings.seconds
    few = 1
    points = odd(target / textbook_cost(case, 1).each, 1)
    contenders: dict[str, Callable[[], Any]] = {
        **extra,
        "textbook": lambda: textbook_cost(case, points),
    }
    for name, plan in plans.items():
        many = enough(partial(_run, case, criterion, plan), few, target)
        contenders[f"ours, {name}"] = lambda plan=plan, many=many: our_cost(  # type: ignore[misc]
            case, criterion, few, many, plan
        )
    return interleaved(contenders, settings.rounds)


def told(case: Case, found: dict[str, list[Any]], product: Sequence[float]) -> list[list[str]]:
    """Return the lines of the table."""
    samples = len(case.dataset)
    lines = []
    for name, costs in found.items():
        each = median(one.each for one in costs)
        once = median(one.once for one in costs)
        faster = median_ratio([c.each for c in found["textbook"]], [c.each for c in costs])
        speeds = [samples * case.gflop / one.each for one in costs]
        known = bool(case.gflop and product)
        lines.append(
            [
                name,
                f"{samples / each:,.0f}",
                f"{faster:.2f}",
                f"{each:.3g}",
                f"{once:.2g}",
                f"{once / each:.1f}",
                f"{median(speeds):.0f}" if known else "",
                f"{100 * median_ratio(speeds, product):.0f} %" if known else "",
            ]
        )
    return lines


def row(name: str, settings: Settings) -> list[Table]:
    """Measure one network under three metrics."""
    case = CASES[name](QUICK_IMAGES if settings.quick and "resnet" in name else None)
    extra = {"product": bounds.matrix_product, "copy": bounds.copy} if case.gflop else {}
    plan, search_s = library.plan_of_a_long_run(case, metrics())
    plans: dict[str, library.Plan] = {"plain": "plain", FOUND: plan}
    found = measured(case, metrics(), settings, extra, plans)
    product, copied = found.pop("product", []), found.pop("copy", [])
    title = f"{name}, {len(case.dataset):,} samples, 3 metrics"
    said = f"The plan was found in {search_s:.1f} s: `{json.dumps(plan)}`. {NOTE}"
    tables = [_table(title, case, found, product, said)]
    if product:
        told_bounds = [f"{median(values):.1f}" for values in (product, copied)]
        header = ("matrix product, GFLOP/s", "copy, GB/s")
        tables.append(Table("Bounds, measured in the same rounds", header, [told_bounds]))
    return tables


def function_row(settings: Settings) -> list[Table]:
    """Measure a function of the user's that evaluates the network itself."""
    case = CASES["resnet20"](QUICK_IMAGES if settings.quick else None)
    plan, search_s = library.plan_of_a_long_run(case, three_metrics)
    plans: dict[str, library.Plan] = {"resident data alone": "plain", FOUND: plan}
    found = measured(case, three_metrics, settings, {}, plans)
    title = f"A user's own f(net, dataloader, use_cuda), resnet20, {len(case.dataset)} samples"
    said = f"The plan was found in {search_s:.1f} s: `{json.dumps(plan)}`. {NOTE}"
    return [_table(title, case, found, [], said)]


def _table(
    title: str, case: Case, found: dict[str, list[Any]], product: list[float], said: str
) -> Table:
    lines = told(case, found, product)
    used = [place for place in range(len(HEADER)) if any(line[place] for line in lines)]
    header = [HEADER[place] for place in used]
    return Table(title, header, [[line[place] for place in used] for line in lines], said)
