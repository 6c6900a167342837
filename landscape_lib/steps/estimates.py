"""What a scheduler is asked for: time and memory of a job, from what the probe measured."""

import math
from collections.abc import Mapping
from typing import Any

from landscape_lib.config import Experiment

SAFETY = 3.0  # nodes differ, neighbours slow each other down, and so do file systems
START_MINUTES = 10  # starting Python, and reading the samples
SNAKEMAKE_MB = 500  # the job's own Snakemake, beside the program that it starts
UNKNOWN_MB = 8000  # where a probe of an earlier version didn't measure it

# What other steps cost, in points of the grid.
RANGE_POINTS = 60  # about ten a side of each axis, and some to spare
CENTRE_POINTS = 200  # gradients and products with the Hessian
CENTRE_SHARE = 0.25  # of the grid: eigenvalues and trace may take 5 % of the run each
DENSITY_POINTS = 3000  # some 800 products with the Hessian, each about three points


def shard_minutes(experiment: Experiment, report: Mapping[str, Any], of: int) -> int:
    """Return the minutes to ask for one of ``of`` shards: points x seconds, with a safety factor.

    Args:
        experiment: The run.
        report: Its ``probe.json``; of an empty one, only what starting takes is known.
        of: How many shards there are.
    """
    return _minutes(report, math.ceil(experiment.grid.size / of))


def range_minutes(report: Mapping[str, Any]) -> int:
    """Return the minutes to ask for finding the ends of the axes."""
    return _minutes(report, RANGE_POINTS)


def centre_minutes(experiment: Experiment, report: Mapping[str, Any]) -> int:
    """Return the minutes to ask for what is measured at the centre."""
    density = DENSITY_POINTS if experiment.verdict.density else 0
    return _minutes(report, CENTRE_POINTS + CENTRE_SHARE * experiment.grid.size + density)


def memory_mb(report: Mapping[str, Any]) -> int:
    """Return the megabytes to ask for evaluating: the probe's, a quarter more, Snakemake's."""
    measured = report.get("memory_mb")
    if not isinstance(measured, int | float):
        return UNKNOWN_MB
    return SNAKEMAKE_MB + math.ceil(1.25 * measured)


def _minutes(report: Mapping[str, Any], points: float) -> int:
    seconds = report.get("seconds_per_point")
    known = seconds if isinstance(seconds, int | float) and math.isfinite(seconds) else 0.0
    return START_MINUTES + math.ceil(SAFETY * points * known / 60)
