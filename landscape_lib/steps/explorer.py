"""How surfaces become the page to explore them with: one run's, or every run's of a config."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape_lib.config import Config, Experiment
from landscape_lib.core.errors import InputError
from landscape_lib.core.files import read_json
from landscape_lib.core.gap import with_gaps
from landscape_lib.steps.pictures import put_aside_comparisons
from landscape_lib.steps.shown import shown_surface

log = logging.getLogger(__name__)


def make_explorer(
    experiment: Experiment, out: Path | str, verdict: Path | str | None = None
) -> None:
    """Write the page of one run, with its verdict where one is given.

    Raises:
        InputError: If the verdict cannot be read, or is none.
    """
    from landscape_lib.viz.explorer import Entry, write_explorer

    told = None if verdict is None else read_verdict(verdict)
    surface = with_gaps(shown_surface(experiment))
    write_explorer([Entry(experiment.name, surface, told)], out, first_colours(experiment))
    log.info("%s: %s written.", experiment.name, out)


def make_all_explorer(config: Config, out: Path | str) -> None:
    """Write one page with a menu of all runs of a config, each with its verdict.

    Raises:
        InputError: If a verdict cannot be read, or is none.
    """
    from landscape_lib.viz.explorer import Entry, write_explorer

    runs = [config.run(name) for name in config.shown]
    entries = [
        Entry(run.name, with_gaps(shown_surface(run)), read_verdict(run.path("verdict.json")))
        for run in runs
    ]
    write_explorer(entries, out, first_colours(runs[0]))
    log.info("%s: %d runs written.", out, len(runs))
    # here, since no picture of several runs is drawn where none of their metrics is shared
    compared = [entry.surface for entry in entries if entry.name in config.compared]
    formats = config.comparison.formats
    put_aside_comparisons(config.results / "comparison", compared, formats)


def first_colours(experiment: Experiment) -> str:
    """Return the colour map to begin with: that of the figures, if it is perceptually uniform."""
    from landscape_lib.viz.explorer import CMAPS

    wished = experiment.figures.cmap
    return wished if wished in CMAPS else CMAPS[0]


def read_verdict(path: Path | str) -> Mapping[str, Any]:
    """Read a verdict file.

    Raises:
        InputError: If there is none, or it is no JSON object.
    """
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no verdict can be read from it ({error}).") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: wanted a JSON object, found a {type(found).__name__}.")
    return found
