"""What a surface looks like while only some of its points are evaluated."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landscape_lib.adaptive.filling import Space, fill
from landscape_lib.config import Config, Experiment
from landscape_lib.core.errors import DamagedFileError, DisagreementError, InputError
from landscape_lib.core.grid import Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import Label, Surface, metrics_of
from landscape_lib.steps.extent import with_range
from landscape_lib.steps.provenance import run_provenance
from landscape_lib.steps.report import read_probe
from landscape_lib.utils.hashing import points_fingerprint
from landscape_lib.utils.journal import Journal, Point, Values
from landscape_lib.utils.signals import within
from landscape_lib.utils.storage import directions_attributes, save_surface
from landscape_lib.viz.names import file_name

if TYPE_CHECKING:  # matplotlib is imported where pictures are drawn
    from landscape_lib.viz.style import Look

AT_THE_END_S = 3.0  # that a program which was told to end may take for its picture

log = logging.getLogger(__name__)


def preview(experiment: Experiment) -> list[Path]:
    """Write ``preview.h5`` and the pictures below ``preview/`` of what is evaluated so far.

    The journal is read, and nothing else that a running shard writes: it is not disturbed.  In the
    file missing points are NaN, and ``computed`` says which are there; pictures interpolate between
    these, and say so.

    Returns:
        The paths.

    Raises:
        InputError: If no point is evaluated yet, or probe, directions or range are missing.
    """
    from landscape_lib.steps.pictures import look_of
    from landscape_lib.viz.plot_1d import plot_curve
    from landscape_lib.viz.plot_2d import plot_surface

    surface = evaluated_so_far(experiment)
    path = experiment.path("preview.h5")
    save_surface(path, surface)
    plot = plot_curve if len(surface.grid.axes) == 1 else plot_surface
    look = replace(look_of(experiment.figures), computed=True)
    shown = interpolated(surface)
    paths = [
        picture
        for key in surface.keys
        for ending in experiment.figures.formats
        for picture in plot(shown, key, experiment.path("preview"), look, ending)
    ]
    log.info("%s: %s; see %s and %s.", experiment.name, count_of(surface), path, paths[0].parent)
    return [path, *paths]


def preview_all(config: Config) -> None:
    """Write previews of all runs that have points; say so of those that have none yet.

    Raises:
        InputError: If no run has any.
    """
    reasons = []
    for experiment in config.runs.values():
        try:
            preview(experiment)
        except (InputError, DamagedFileError, DisagreementError) as error:
            reasons.append(str(error))
            log.log(logging.INFO if isinstance(error, InputError) else logging.WARNING, "%s", error)
    if len(reasons) == len(config.runs):
        raise InputError("No run has anything to show yet.")


def evaluated_so_far(experiment: Experiment) -> Surface:
    """Return a run's surface as its journal has it, NaN where points are missing.

    Raises:
        InputError: If there is no point yet, or probe, directions or range are missing.
    """
    experiment = with_range(experiment)
    report = read_probe(experiment.path("probe.json"))
    told = directions_attributes(experiment.path("directions.h5"))
    fingerprint = points_fingerprint(
        report["problem"]["fingerprint"], str(told["content"]), Plan(**report["plan"]).canonical()
    )
    points = map(tuple, experiment.grid.points().tolist())
    journal = Journal(experiment.path("journal", fingerprint))
    known = journal.read(points, report["keys"])
    surface = partial_surface(experiment.grid, known, report["keys"])
    if surface is None:
        raise InputError(
            f"{experiment.name}: no point of its grid is evaluated yet; there is nothing to show."
        )
    labels = {key: Label(**label) for key, label in report["labels"].items()}
    attributes = {"fingerprint": fingerprint, **run_provenance(experiment, report)}
    return replace(surface, labels=labels, attributes=attributes)


def partial_surface(
    grid: Grid, known: Mapping[Point, Values], keys: Sequence[str] = ()
) -> Surface | None:
    """Return the points of a grid that are known, NaN elsewhere; None where there are none.

    Args:
        grid: The whole grid.
        known: Values of points, by coordinates; those of other grids may be among them.
        keys: The metrics; left out, those of the first point.
    """
    places = {tuple(point): place for place, point in enumerate(grid.points().tolist())}
    there = [(places[point], found) for point, found in known.items() if point in places]
    if not there:
        return None
    keys = keys or list(metrics_of(there[0][1]))
    values = {key: np.full(grid.size, np.nan) for key in keys}
    computed = np.zeros(grid.size, dtype=bool)
    for place, found in there:
        computed[place] = True
        for key in keys:
            values[key][place] = found[key]
    shaped = {key: column.reshape(grid.shape) for key, column in values.items()}
    return Surface(grid, shaped, computed=None if computed.all() else computed.reshape(grid.shape))


def interpolated(surface: Surface) -> Surface:
    """Return a partial surface with what can be interpolated between its points filled in."""
    if surface.computed is None:
        return surface
    values = {}
    for key in surface.keys:
        space = Space.of(surface[key][surface.computed], surface.labels[key].units)
        heights = space.into(surface[key])
        filled = fill(surface.grid, heights, surface.computed, space.extent).heights
        values[key] = np.where(surface.computed, surface[key], space.back(filled))
    return replace(surface, values=values)


def count_of(surface: Surface) -> str:
    """Say how many points are evaluated."""
    return f"{surface.evaluated:,} of {surface.grid.size:,} points are evaluated"


def leave_preview(
    surface: Callable[[], Surface | None], path: Path, prefix: str, look: "Look"
) -> None:
    """Show what there is before a program ends that was told to, in a few seconds or not at all.

    Whatever goes wrong, it goes on as if nothing had: a preview is not worth an exit code.

    Args:
        surface: Finds what there is; None for nothing.
        path: The file for it.
        prefix: What the picture's path begins with.
        look: How the picture looks.
    """
    try:
        with within(AT_THE_END_S):
            found = surface()
            if found is None:
                return
            save_surface(path, found)
            log.warning("%s: see %s.", count_of(found), path)
            log.warning("A picture of it: %s.", _draw_first(found, prefix, look))
    except Exception as error:  # that it took too long among them
        log.info("There is no picture of what is evaluated so far: %s.", error)


def _draw_first(surface: Surface, prefix: str, look: "Look") -> Path:
    from landscape_lib.viz.curve import curve
    from landscape_lib.viz.figures import save
    from landscape_lib.viz.flat import contour

    key = surface.keys[0]
    kind, draw = ("1d", curve) if len(surface.grid.axes) == 1 else ("2dcontour", contour)
    figure = draw(interpolated(surface), key, replace(look, computed=True))
    return save(figure, Path(f"{prefix}{file_name(key)}_{kind}.pdf"), "pdf", look.style)
