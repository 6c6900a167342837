"""How a run's surface becomes its pictures and its ParaView files."""

import logging
from pathlib import Path

from landscape_lib.config import Experiment
from landscape_lib.utils.storage import load_surface
from landscape_lib.viz.names import file_name

log = logging.getLogger(__name__)


def draw(experiment: Experiment, key: str, ending: str) -> list[Path]:
    """Draw every picture of one metric below ``figures/``; return their paths."""
    from landscape_lib.viz.plot_1d import plot_curve
    from landscape_lib.viz.plot_2d import plot_surface
    from landscape_lib.viz.style import Look

    surface = load_surface(experiment.path("surface.h5"))
    look = Look(**experiment.figures.model_dump(exclude={"formats"}))
    plot = plot_curve if len(surface.grid.axes) == 1 else plot_surface
    paths = plot(surface, key, experiment.path("figures"), look, ending)
    log.info("%s: %s drawn in %d pictures.", experiment.name, key, len(paths))
    return paths


def export(experiment: Experiment, key: str) -> Path:
    """Write one metric as ``paraview/<key>.vtp``; return its path."""
    from landscape_lib.viz.paraview import Height, export_vtp

    surface = load_surface(experiment.path("surface.h5"))
    height = Height(**experiment.paraview.model_dump())
    path = experiment.path("paraview", f"{file_name(key)}.vtp")
    export_vtp(surface, key, path, height)
    log.info("%s: %s written.", experiment.name, path)
    return path
