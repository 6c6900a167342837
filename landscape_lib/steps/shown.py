"""What pictures show of a run: its surface, and the ways that trainings took in it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape_lib.config import Experiment
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis
from landscape_lib.core.surface import Surface, Trajectory
from landscape_lib.steps.report import reading
from landscape_lib.utils.records import read_record, write_record
from landscape_lib.utils.storage import load_surface

MARGIN = 0.15  # of the path's extent, left free on either side
THINNEST = 0.1  # of the longer axis: a path along one axis alone needs room on the other, too


def shown_surface(experiment: Experiment) -> Surface:
    """Return a run's surface, with its trajectories where it has any.

    They lie in a file of their own, ``trajectory.json``: another checkpoint to show is no reason
    to write the surface anew, which centre and verdict follow.

    Raises:
        InputError: If one of the files is missing or damaged.
    """
    surface = load_surface(experiment.path("surface.h5"))
    if len(surface.grid.axes) != 2 or not experiment.trajectories:
        return surface
    return replace(surface, trajectories=load_trajectories(experiment.path("trajectory.json")))


def save_trajectories(path: Path | str, trajectories: Sequence[Trajectory]) -> None:
    """Write trajectories as JSON, whole or not at all; every number reads back bit for bit."""
    write_record(path, {"trajectories": [_told(way) for way in trajectories]})


def load_trajectories(path: Path | str) -> tuple[Trajectory, ...]:
    """Read trajectories.

    Raises:
        InputError: If the file is missing or damaged.
    """
    with reading(path, "project_trajectory"):
        told = read_record(path)["trajectories"]
        return tuple(Trajectory(**{**way, "labels": _labels(way["labels"])}) for way in told)


def _told(way: Trajectory) -> dict[str, Any]:
    return {
        name: entry.tolist() if isinstance(entry, np.ndarray) else entry
        for name, entry in asdict(way).items()
    }


def _labels(found: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)


def enclosing(
    trajectories: Sequence[Trajectory], counts: Sequence[int | None]
) -> tuple[tuple[float, float] | None, ...]:
    """Return ends of each axis that hold the trajectories and the origin, and room around them.

    Beyond what they reach, 15 % of it stay free on either side.  The origin is a point of the
    grid: of all spacings h for which the ends -k h and (count - 1 - k) h hold the path, with a
    whole number k, the smallest, rounded up to three digits.

    Args:
        trajectories: One or more.
        counts: Steps of each axis; None where its ends are known.

    Raises:
        InputError: If every step of every trajectory is the origin.
    """
    paths = [np.concatenate([[0.0], *(getattr(way, n) for way in trajectories)]) for n in _STEPS]
    reach = [(float(path.min()), float(path.max())) for path in paths[: len(counts)]]
    widest = max(high - low for low, high in reach)
    if not widest > 0:
        raise InputError(
            "'auto' finds no range: every checkpoint of the trajectory is the model itself. Say "
            "the ends, as [-1, 1, 51]."
        )
    return tuple(
        None if count is None else _ends(low, high, THINNEST * widest, count)
        for (low, high), count in zip(reach, counts, strict=True)
    )


_STEPS = ("alpha", "beta")


def _ends(low: float, high: float, least: float, count: int) -> tuple[float, float]:
    room = MARGIN * max(high - low, least)
    below, above = room - low, room + high
    if count < 3:
        return -_rounded_up(below), _rounded_up(above)
    spacing, steps = min((max(below / k, above / (count - 1 - k)), k) for k in range(1, count - 1))
    spacing = _rounded_up(spacing)
    axis = Axis(
        -float(f"{steps * spacing:.12g}"), float(f"{(count - 1 - steps) * spacing:.12g}"), count
    )
    return axis.low, axis.high


def _rounded_up(number: float) -> float:
    """Round up to three digits, so that a range can be typed."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 2)
    return float(f"{math.ceil(number / unit) * unit:.3g}")
