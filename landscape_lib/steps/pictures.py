"""How a run's surface becomes its pictures and its ParaView files."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_lib import viz
from landscape_lib.config import Config, Experiment, FigureSettings
from landscape_lib.config.settings import FORMATS
from landscape_lib.core.files import write_text
from landscape_lib.core.gap import with_gaps
from landscape_lib.core.surface import Surface
from landscape_lib.steps.report import reading
from landscape_lib.steps.shown import shown_surface
from landscape_lib.utils.storage import load_ensemble, load_surface
from landscape_lib.viz.names import SEEDS, SPECTRUM, file_name

if TYPE_CHECKING:  # matplotlib is imported where pictures are drawn
    from landscape_lib.viz.style import Look

OPENER = Path(viz.__file__).with_name("open_in_paraview.py")


log = logging.getLogger(__name__)


def draw(experiment: Experiment, key: str, ending: str) -> list[Path]:
    """Draw every picture of one metric below ``figures/``; return their paths."""
    from landscape_lib.viz.plot_1d import plot_curve
    from landscape_lib.viz.plot_2d import plot_surface

    surface = shown_surface(experiment)
    plot = plot_curve if len(surface.grid.axes) == 1 else plot_surface
    look = look_of(experiment.figures)
    paths = plot(surface, key, experiment.path("figures"), look, ending)
    log.info("%s: %s drawn in %d pictures.", experiment.name, key, len(paths))
    return paths


def draw_curves(experiment: Experiment, ending: str) -> list[Path]:
    """Draw losses and accuracies of a curve in one picture below ``figures/``."""
    from landscape_lib.viz.plot_1d import plot_loss_and_accuracy

    surface = load_surface(experiment.path("surface.h5"))
    look = look_of(experiment.figures)
    paths = plot_loss_and_accuracy(surface, experiment.path("figures"), look, ending)
    log.info("%s: losses and accuracies drawn together.", experiment.name)
    return paths


def draw_persistence(experiment: Experiment, key: str, ending: str) -> Path:
    """Draw one metric's persistence diagram below ``figures/``; return its path."""
    from landscape_lib.viz.persistence import plot_persistence

    surface, look = load_surface(experiment.path("surface.h5")), look_of(experiment.figures)
    path = plot_persistence(surface, key, experiment.path("figures"), look, ending)
    log.info("%s: the persistence diagram of %s drawn.", experiment.name, key)
    return path


def draw_spectrum(experiment: Experiment, ending: str) -> Path:
    """Draw the Hessian's spectrum at the centre below ``figures/``; return its path."""
    from landscape_lib.steps.verdict import read_centre
    from landscape_lib.viz.spectrum import plot_spectrum

    centre_path = experiment.path("centre.json")
    centre = read_centre(centre_path)
    with reading(centre_path, "measure_centre"):
        density = dict(centre["density"])
        largest = list((centre.get("eigenvalues") or {}).get("values", ()))
    path = experiment.path("figures", f"{SPECTRUM}.{ending}")
    plot_spectrum(density, largest, path, look_of(experiment.figures))
    log.info("%s: the Hessian's spectrum drawn.", experiment.name)
    return path


def draw_gap(experiment: Experiment, key: str, ending: str) -> Path:
    """Draw how far a metric of other data is above the training data's; return the path."""
    from landscape_lib.viz.gap import plot_gap

    surface = load_surface(experiment.path("surface.h5"))
    folder, look = experiment.path("figures"), look_of(experiment.figures)
    path = plot_gap(surface, key, folder, look, ending)
    log.info("%s: the gap of %s drawn.", experiment.name, key)
    return path


def draw_seeds(experiment: Experiment, key: str, ending: str) -> Path:
    """Draw one metric of a run's seeds, their mean and spread; return the picture's path."""
    from landscape_lib.viz.seeds import plot_seeds

    ensemble = load_ensemble(experiment.path("seeds.h5"))
    path = experiment.path("figures", f"{file_name(key)}_{SEEDS}.{ending}")
    plot_seeds(ensemble, key, path, look_of(experiment.figures))
    log.info("%s: %s of %s drawn.", experiment.name, key, ", ".join(ensemble.members))
    return path


def compare(config: Config, key: str, ending: str) -> Path:
    """Draw one metric of all runs that have it, ``results/comparison/<key>``; return its path."""
    from landscape_lib.viz.comparison import plot_comparison

    surfaces = {n: load_surface(config.run(n).path("surface.h5")) for n in config.compared}
    found = {name: surface for name, surface in surfaces.items() if key in surface.keys}
    folder = config.results / "comparison"
    path = folder / f"{file_name(key)}.{ending}"
    settings = config.comparison
    plot_comparison(found, key, path, look_of(settings), settings.groups)
    log.info("%s: %s of %s.", path, key, ", ".join(found))
    put_aside_comparisons(folder, surfaces.values(), [*settings.formats, ending])
    return path


def put_aside_comparisons(
    folder: Path, surfaces: Iterable[Surface], formats: Sequence[str]
) -> None:
    """Move to ``stale/`` what shows a metric that no two of the runs compared share any more.

    Likewise what is in a format that is not asked for any more.
    """
    counts = Counter(key for surface in surfaces for key in surface.keys)
    shared = [file_name(key) for key, count in counts.items() if count > 1]
    wanted = {f"{name}.{ending}" for name in shared for ending in formats}
    for path in sorted(folder.glob("*.*")):
        if path.name not in wanted and path.suffix[1:] in FORMATS:
            aside = folder / "stale" / path.name
            aside.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # another job was faster
                path.replace(aside)
                log.warning(
                    "%s: no two runs share this metric, or this format is not asked for; moved to "
                    "%s.",
                    *(path, aside),
                )


def look_of(figures: FigureSettings) -> "Look":
    """Return how pictures look, as the config says it."""
    from landscape_lib.viz.style import Look

    return Look(**{entry.name: getattr(figures, entry.name) for entry in fields(Look)})


def export(experiment: Experiment, key: str) -> Path:
    """Write one metric as ``paraview/<key>.vtp``; return its path."""
    from landscape_lib.viz.paraview import Height, export_vtp

    surface = load_surface(experiment.path("surface.h5"))
    height = Height(**experiment.paraview.model_dump())
    path = experiment.path("paraview", f"{file_name(key)}.vtp")
    export_vtp(surface, key, path, height)
    log.info("%s: %s written.", experiment.name, path)
    return path


def export_trajectory(experiment: Experiment, key: str) -> Path:
    """Write the ways of trainings over one metric, ``paraview/trajectory/<key>.vtp``."""
    from landscape_lib.viz.paraview import Height, export_trajectory_vtp

    height = Height(**experiment.paraview.model_dump())
    path = experiment.path("paraview", "trajectory", f"{file_name(key)}.vtp")
    export_trajectory_vtp(shown_surface(experiment), key, path, height)
    log.info("%s: %s written.", experiment.name, path)
    return path


def export_all(experiment: Experiment) -> list[Path]:
    """Write ``paraview/flat.vtp`` with every metric, and the program that shows these files."""
    from landscape_lib.viz.paraview import export_flat_vtp

    surface = with_gaps(load_surface(experiment.path("surface.h5")))
    folder = experiment.path("paraview")
    flat = export_flat_vtp(surface, folder / "flat.vtp", experiment.paraview.interp)
    opener = folder / "open.py"
    write_text(opener, OPENER.read_text("utf-8"))
    log.info("%s: %s and %s written.", experiment.name, flat, opener)
    return [flat, opener]
