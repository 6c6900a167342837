"""How long the GPU waits while points are evaluated, as torch's profiler sees it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import cases
from benchmarks.gpu.cases import Case
from benchmarks.gpu.goals import reached
from benchmarks.gpu.ours import Ours, square
from benchmarks.gpu.scale import Scale, synchronize
from benchmarks.table import Table
from landscape_lib.core.evaluator import measure

HEADER = ("problem", "points watched", "ms a point", "GPU busy, ms a point", "idle", "plan")
NOTE = (
    "In float32. From the first kernel to the last of the points watched, which come after those "
    "that record; busy is when at least one kernel or copy runs. The profiler itself slows the "
    "CPU's side, most where points are quick."
)
GOAL = "below 3 %"
WARM = 4  # groups of points before the profiler looks

Span = tuple[float, float]


def covered(spans: Iterable[Span]) -> float:
    """Return the length of the union of intervals."""
    whole, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        whole += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return whole


def spans_of(events: Iterable[Any], kind: DeviceType) -> list[Span]:
    """Return when what ran on a kind of device ran, in microseconds."""
    return [(e.time_range.start, e.time_range.end) for e in events if e.device_type == kind]


def watched(case: Case, scale: Scale, count: int) -> list[str]:
    """Evaluate points under the profiler; return the line of the table.

    Raises:
        RuntimeError: If the profiler cannot look at this device.
    """
    ours = Ours(case, "float32", square(scale.of(51, 5)), scale)
    cuda = scale.device == "cuda"
    looked = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
    with ours.lent():
        plan = ours.plan()
        work, evaluate = ours.work(plan), ours.bench.evaluator(plan)
        before = WARM * plan.points_at_once
        order = ours.grid.order()[: before + count * plan.points_at_once]
        profiler, done = profile(activities=[looked]), [0]

        def record(point: object, values: object) -> None:
            done[0] += 1
            if done[0] == before:
                profiler.start()

        measure(case.net, evaluate, work.directions, ours.grid, order, record=record)
        synchronize(scale.device)
        profiler.stop()
    spans = spans_of(profiler.events() or (), DeviceType.CUDA if cuda else DeviceType.CPU)
    if not spans:
        raise RuntimeError("torch's profiler saw nothing on the device")
    points = len(order) - before
    lasted = max(stop for _, stop in spans) - min(start for start, _ in spans)
    busy = covered(spans)
    return [
        case.name,
        f"{points}",
        f"{lasted / 1e3 / points:.3g}",
        f"{busy / 1e3 / points:.3g}",
        f"{100 * (1 - busy / lasted):.1f} %",
        torch.device(plan.device).type + (", graph" if plan.graph else ""),
    ]


def row(scale: Scale) -> list[Table]:
    """Watch a network that fills the GPU, and one that does not."""
    lines = [
        watched(cases.resnet56(scale, scale.of(5_000, 12)), scale, scale.of(10, 2)),
        watched(cases.small(scale, "mlp"), scale, scale.of(20, 2)),
    ]
    goals = [
        [f"{line[0]}: GPU idle", GOAL, line[4], "starting kernels, and the profiler"]
        for line in lines
    ]
    return [Table("GPU idle between points", HEADER, lines, NOTE), reached(*goals)]
