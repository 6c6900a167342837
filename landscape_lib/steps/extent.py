"""Where the axes of a run end that leaves it open."""

from collections.abc import Sequence
from dataclasses import replace

from landscape_lib.config import Experiment
from landscape_lib.config.settings import AXES
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.steps.report import reading
from landscape_lib.utils.records import read_record


def with_range(experiment: Experiment) -> Experiment:
    """Return a run with the ends of its axes, read from its folder where the config has none.

    Raises:
        InputError: If they were not chosen yet, or the file is damaged.
    """
    if not experiment.auto:
        return experiment
    path = experiment.range_path
    with reading(path, "choose_range"):
        found = read_record(path)["range"]
        axes = tuple(
            _between(found[name], axis.count) if name in experiment.auto else axis
            for name, axis in zip(AXES, experiment.grid.axes, strict=False)
        )
    return replace(experiment, grid=Grid(axes), auto=())


def _between(ends: Sequence[float], count: int) -> Axis:
    low, high = (float(end) for end in ends)
    return Axis(low, high, count)
