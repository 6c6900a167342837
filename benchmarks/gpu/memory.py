"""What a model takes on a GPU beside itself: a copy, two directions, and one batch."""

import torch

from benchmarks.gpu.cases import Case
from benchmarks.gpu.goals import reached
from benchmarks.gpu.ours import Ours, square
from benchmarks.gpu.scale import Scale
from benchmarks.networks import mlp
from benchmarks.table import Table
from landscape_lib.core.plan import Plan

HEADER = ("model, MiB", "precision", "peak, samples aside, MiB", "times the model")
NOTE = (
    "An MLP whose weights are nearly all there is, {points} points, batches of 64. The model, its "
    "trained weights and two directions are four times the model; of bf16 there is a copy of half "
    "the size, too. A batch's results come on top. The samples ({samples:.1f} MiB) are left out."
)
GOALS = {"float32": "4 and a batch", "bf16": "4.5 and a batch"}


def row(scale: Scale) -> list[Table]:
    """Measure the peak of a model that is nearly all weights."""
    width, count = scale.of(8_192, 32), scale.of(1_024, 12)
    net = mlp(width, 2, 64).eval()
    inputs = torch.randn(count, 64, generator=scale.generator())
    targets = torch.randint(10, (count,), generator=scale.generator())
    case = Case(f"MLP of width {width}", net, inputs, targets)
    size = sum(p.nbytes for p in net.parameters())
    lines = []
    for precision in GOALS:
        plan = Plan(scale.device, precision, 64, torch.get_num_threads())
        found = Ours(case, precision, square(3), scale).measured(5, plan)
        known = scale.device == "cuda"
        lines.append(
            [
                f"{size / 2**20:,.1f}",
                precision,
                f"{found.peak / 2**20:,.1f}" if known else "no GPU",
                f"{found.peak / size:.2f}" if known else "",
            ]
        )
    note = NOTE.format(points=found.points, samples=case.bytes_on("float32") / 2**20)
    goals = [
        [
            f"memory in {line[1]}: times the model",
            GOALS[line[1]],
            line[3] or line[2],
            "what is kept",
        ]
        for line in lines
    ]
    return [
        Table("GPU memory of a model that is nearly all weights", HEADER, lines, note),
        reached(*goals),
    ]
