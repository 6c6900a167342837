"""How the moments of a training become one picture, one film, one page, one series in ParaView."""

import logging
import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import quoteattr

from landscape_lib.config import Config, Experiment
from landscape_lib.config.checkpoints import moment_of
from landscape_lib.core.errors import InputError
from landscape_lib.core.files import write_text
from landscape_lib.core.surface import Surface
from landscape_lib.steps.explorer import first_colours
from landscape_lib.steps.pictures import look_of
from landscape_lib.utils.storage import load_surface
from landscape_lib.viz.names import file_name

log = logging.getLogger(__name__)

FOLDER = "over_training"


def draw_over_training(config: Config, run: str, key: str, ending: str) -> Path:
    """Draw one metric of every moment, below ``over_training/``; return the path.

    Args:
        config: The whole config.
        run: The run whose training it is.
        key: The metric.
        ending: ``pdf``, ``png`` or ``svg``: side by side; ``gif`` or ``mp4``: as a film.

    Raises:
        InputError: If the run has no ``over_training``, or ffmpeg is missing for ``mp4``.
    """
    from landscape_lib.viz.over_training import plot_over_training

    experiment, surfaces = config.run(run), moments(config, run)
    path = experiment.path(FOLDER, f"{file_name(key)}.{ending}")
    plot_over_training(surfaces, key, path, look_of(experiment.figures))
    log.info("%s: %s of %d moments drawn: %s", run, key, len(surfaces), path)
    return path


def explore_over_training(config: Config, run: str, out: Path | str) -> None:
    """Write the page on which a slider goes through a training.

    Raises:
        InputError: If the run has no ``over_training``.
    """
    from landscape_lib.viz.explorer import Entry, write_explorer

    entries = [Entry(name, surface) for name, surface in moments(config, run).items()]
    write_explorer(entries, out, first_colours(config.run(run)), series=run)
    log.info("%s: %s with %d moments written.", run, out, len(entries))


def export_over_training(config: Config, run: str, key: str) -> Path:
    """Write ParaView's list of one metric's ``.vtp`` of every moment; return its path.

    The time of a moment is the last number in its name where these numbers grow, else its place.

    Raises:
        InputError: If the run has no ``over_training``.
    """
    frames = _frames(config, run)
    path = config.run(run).path("paraview", FOLDER, f"{file_name(key)}.pvd")
    sheets = [frame.path("paraview", f"{file_name(key)}.vtp") for frame in frames]
    rows = [
        f'<DataSet timestep="{time}" file={quoteattr(os.path.relpath(sheet, path.parent))}/>'
        for time, sheet in zip(times(list(moments(config, run))), sheets, strict=True)
    ]
    head = '<VTKFile type="Collection" version="0.1" byte_order="LittleEndian">'
    lines = ['<?xml version="1.0"?>', head, "<Collection>", *rows, "</Collection>", "</VTKFile>"]
    write_text(path, "\n".join([*lines, ""]))
    log.info("%s: %s with %d moments written.", run, path, len(rows))
    return path


def moments(config: Config, run: str) -> dict[str, Surface]:
    """Return the surfaces of a film by what their moments are called, in the order of training.

    Raises:
        InputError: If the run has no ``over_training``, or a surface is missing.
    """
    surfaces = [load_surface(frame.path("surface.h5")) for frame in _frames(config, run)]
    return by_moment([str(surface.attributes["checkpoint"]) for surface in surfaces], surfaces)


def by_moment(checkpoints: Sequence[str], surfaces: Sequence[Surface]) -> dict[str, Surface]:
    """Return surfaces by what pictures call their moments, each of which is another."""
    names = [moment_of(checkpoint) for checkpoint in checkpoints]
    if len(set(names)) < len(names):  # files of one name in several folders
        names = [f"{number}: {name}" for number, name in enumerate(names)]
    return dict(zip(names, surfaces, strict=True))


def times(names: list[str]) -> list[int]:
    """Return when moments were: the last number in each name where these grow, else 0, 1, 2, ..."""
    found = [re.findall(r"[0-9]+", name) for name in names]
    last = [int(numbers[-1]) for numbers in found if numbers]
    grow = len(last) == len(names) and all(a < b for a, b in pairwise(last))
    return last if grow else list(range(len(names)))


def _frames(config: Config, run: str) -> list[Experiment]:
    experiment = config.run(run)
    if not experiment.frames:
        raise InputError(f"{config.path}: runs.{run}: it has no 'over_training:' to be drawn.")
    return [config.run(name) for name in experiment.frames]
