"""How near to float64 each precision is, over a whole grid, by the plan that its run takes."""

import numpy as np

from benchmarks.gpu import cases
from benchmarks.gpu.goals import reached
from benchmarks.gpu.ours import Ours, square
from benchmarks.gpu.scale import PRECISIONS, Scale
from benchmarks.table import Table

HEADER = (
    "precision",
    "points",
    "worst error of a loss, relative",
    "median",
    "of the accuracy, percent points",
    "plan",
)
NOTE = (
    "{name}, {images:,} images of random numbers drawn anew at every run (seed {seed}), {side} x "
    "{side} points to a distance of 1. Against the plain model in float64 on the same device. "
    "Allowed to a plan, beside the plain model of its precision: 1e-5 in float32, 1e-3 in TF32, "
    "8e-3 in bf16."
)
GOALS = {"float32": "1e-05", "tf32": "told", "bf16": "told"}
LOSSES = ("train_loss_ce", "train_loss_smooth_l1")
ACCURACY = "train_loss_acc"


def row(scale: Scale) -> list[Table]:
    """Compare every precision with float64."""
    grid = square(scale.of(11, 3))
    case = cases.resnet56(scale, scale.of(1_000, 12))
    exact = Ours(case, "float64", grid, scale).exactly(grid.order()).values
    lines = []
    for precision in PRECISIONS:
        if precision not in scale.precisions:
            lines.append([precision, "a CPU multiplies no TF32", "", "", "", ""])
            continue
        found = Ours(case, precision, grid, scale).measured()
        own, places = found.shard.values, found.shard.indices
        errors = np.array([np.abs(own[k] / exact[k][places] - 1) for k in LOSSES])
        accuracy = np.abs(own[ACCURACY] - exact[ACCURACY][places]).max()
        worst, middle = errors.max(), np.median(errors)
        line = [f"{found.points}", f"{worst:.1e}", f"{middle:.1e}", f"{accuracy:.2f}"]
        lines.append([precision, *line, found.spelled()])
    note = NOTE.format(name=case.name, images=case.count, seed=scale.seed, side=grid.axes[0].count)
    goals = [
        [f"{line[0]} against float64: worst loss", GOALS[line[0]], line[2], "rounding"]
        for line in lines
        if line[2]
    ]
    return [Table("Errors against float64", HEADER, lines, note), reached(*goals)]
