"""Every row of the benchmark, in the order in which they run."""

from collections.abc import Callable
from functools import partial

from benchmarks import (
    adaptive,
    bounds,
    growth,
    large,
    merging,
    others,
    pictures,
    pipeline,
    scale,
    speed,
    startup,
)
from benchmarks.table import Table
from benchmarks.timing import Settings

Row = Callable[[Settings], list[Table]]

ROWS: dict[str, tuple[str, Row]] = {
    "bounds": ("float32 matrix product and copy: what the machine can do", bounds.row),
    "resnet56": ("ours beside the textbook loop", partial(speed.row, "resnet56")),
    "cnn": ("the same, a small CNN on digits", partial(speed.row, "cnn")),
    "mlp": ("the same, an MLP on digits", partial(speed.row, "mlp")),
    "transformer": ("the same, a small encoder", partial(speed.row, "transformer")),
    "function": ("the same, with a metric function of the user's", speed.function_row),
    "points": ("growth with the number of points", growth.points_row),
    "samples": ("growth with the number of samples", growth.samples_row),
    "shards": ("growth with the number of shards", growth.shards_row),
    "parameters": ("growth with the number of parameters: time and memory", growth.parameters_row),
    "adaptive": ("points that an adaptive grid evaluates, and its errors", adaptive.row),
    "merge": ("merging 100 and 1,000 shards: time and memory", merging.row),
    "startup": ("from the start of a script to its first point; --help", startup.row),
    "pictures": ("every picture of one metric, of small and large surfaces", pictures.row),
    "pipeline": ("snakemake and everything around the evaluation", pipeline.row),
    "scale": ("runs with 1, 2 and 4 shards at once, beside what is simulated", scale.row),
    "large": ("100,000 points for real, and each step after a million of them", large.row),
    "peers": ("other libraries, each in an environment of its own", others.row),
}
