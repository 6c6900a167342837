"""Which files show a curve, and what they are called."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.asked import looks_of, stem_of, surface_of
from landscape_lib.viz.curve import curve
from landscape_lib.viz.curves import Line, curves, loss_and_accuracy
from landscape_lib.viz.figures import check_format, save
from landscape_lib.viz.names import LOSS_AND_ACCURACY, file_name
from landscape_lib.viz.showing import CallableModule, Pictures, show_figures
from landscape_lib.viz.style import PLAIN_LOOK, Look, check_number

XMIN, XMAX, LOSS_MAX = -1.0, 1.0, 5.0  # the defaults: the whole curve, and where losses usually end


def plot_curve(
    surface: Surface, key: str, folder: Path, look: Look = PLAIN_LOOK, format: str = "pdf"
) -> list[Path]:
    """Write the picture of one metric along one direction, ``<key>_1d``, whole or not at all.

    Equal curves give equal bytes.

    Args:
        surface: Values on a grid with one axis.
        key: Which of its metrics.
        folder: Where the file goes; made where it is missing.
        look: Scale, bounds and ticks of the value axis.
        format: ``"pdf"``, ``"png"`` or ``"svg"``.

    Returns:
        The path, in a list as ``plot_surface`` returns its four.

    Raises:
        InputError: If the grid has two axes, or there is no such metric or format.
    """
    check_format(format)
    path = Path(folder) / f"{file_name(key)}_1d.{format}"
    return [save(curve(surface, key, look), path, format, look.style)]


def plot_loss_and_accuracy(
    surface: Surface, folder: Path, look: Look = PLAIN_LOOK, format: str = "pdf"
) -> list[Path]:
    """Write losses and accuracies of a curve in one picture, ``loss_and_accuracy_1d``.

    Args:
        surface: Values on a grid with one axis; for one split at least, a loss and an accuracy.
        folder: Where the file goes; made where it is missing.
        look: Scale and bounds of the losses.
        format: ``"pdf"``, ``"png"`` or ``"svg"``.

    Returns:
        The path, in a list.

    Raises:
        InputError: If the grid has two axes, no split has both, or there is no such format.
    """
    check_format(format)
    path = Path(folder) / f"{LOSS_AND_ACCURACY}_1d.{format}"
    return [save(loss_and_accuracy(surface, look), path, format, look.style)]


def plot_curves(
    lines: Sequence[Line], label: Label, path: Path | str, look: Look = PLAIN_LOOK
) -> Path:
    """Write any number of curves, each with its band, over each other into one picture.

    ``Line.of`` makes a line of a curve, ``Line.across`` one of several runs with their spread.

    Args:
        lines: What is drawn, in the order of the legend.
        label: What the values are called, and which end is good.
        path: The file, ending in ``.pdf``, ``.png`` or ``.svg``.
        look: Scale and bounds.

    Returns:
        The path.

    Raises:
        InputError: If there is no line, or no such format.
    """
    path = Path(path)
    check_format(path.suffix.removeprefix("."))
    return save(curves(lines, label, look), path, path.suffix[1:], look.style)


def plot_1d_loss(
    surf_file: Surface | Path | str,
    xmin: float | None = XMIN,
    xmax: float | None = XMAX,
    loss_max: float | None = LOSS_MAX,
    log: bool = False,
    show: bool = False,
    save_dir: Path | str = "",
    *,
    prefix: Path | str | None = None,
) -> Pictures:
    """Write ``<surf_file>_<key>_1d.pdf`` for every metric of a curve.

    Args:
        surf_file: A surface file, of ours or of an earlier tool, or a ``Surface``, with one axis.
        xmin: Steps below are left out; -1, the default, and None leave out none.
        xmax: Steps above are left out; 1, the default, and None leave out none.
        loss_max: Where the value axis of losses ends.  The default, 5, holds for losses with at
            least 90 % of their values below it, and some above a tenth of it; the others, and
            metrics that are to be high, get an axis of their own.
        log: Draw log10 of the losses.
        show: Open the pictures in windows, or inline in a notebook.
        save_dir: Folder for the files, if not beside the surface file.
        prefix: What the files' names begin with, in place of ``surf_file``.

    Returns:
        The paths, in the order of the metrics.

    Raises:
        InputError: If it is no curve, or there is no step between ``xmin`` and ``xmax``.
    """
    surface = _cropped(surface_of(surf_file, axes=1), xmin, xmax)
    stem = stem_of(surf_file, prefix)
    if save_dir:
        stem = str(Path(save_dir) / Path(stem).name)
    looks = _looks(surface, loss_max, log=log)
    figures = [curve(surface, key, look) for key, look in looks.items()]
    paths = [Path(f"{stem}_{file_name(key)}_1d.pdf") for key in looks]
    for path, figure in zip(paths, figures, strict=True):
        save(figure, path, "pdf")
    if show:
        show_figures(figures)
    return Pictures(paths, figures)


def plot_1d(
    losses: Sequence[float] | np.ndarray,
    coords: Sequence[float] | np.ndarray,
    loss_type: str = "train_loss",
    log: bool = False,
    loss_max: float | None = LOSS_MAX,
    show: bool = False,
) -> tuple[Figure, Axes]:
    """Draw values over their steps, without any file.

    Args:
        losses: Values, shape (n,).
        coords: Their steps, evenly spaced, shape (n,).
        loss_type: What the values are called.
        log: Draw log10 of the values.
        loss_max: As for ``plot_1d_loss``.
        show: Open the picture in a window, or inline in a notebook.

    Returns:
        The figure and its axes.
    """
    surface = Surface(Grid((Axis.through(coords),)), {loss_type: np.asarray(losses)})
    figure = curve(surface, loss_type, _looks(surface, loss_max, log=log)[loss_type])
    if show:
        show_figures([figure])
    return figure, figure.axes[0]


def _looks(surface: Surface, loss_max: float | None, *, log: bool) -> dict[str, Look]:
    """Return how each metric is drawn; what is said of losses says nothing of accuracies."""
    losses = [key for key in surface.keys if surface.labels[key].goal == "min"]
    asked = {"vmax": loss_max, "scale": "log" if log else "linear"}
    looks = looks_of(surface, losses, asked, {"vmax": LOSS_MAX, "scale": "linear"})
    return {key: looks.get(key, PLAIN_LOOK) for key in surface.keys}


def _cropped(surface: Surface, xmin: float | None, xmax: float | None) -> Surface:
    for name, bound in (("xmin", xmin), ("xmax", xmax)):
        check_number(name, bound)
    steps = surface.grid.axes[0].steps()
    low = -np.inf if xmin is None or xmin == XMIN else xmin
    high = np.inf if xmax is None or xmax == XMAX else xmax
    inside = (steps >= low) & (steps <= high)
    if inside.all():
        return surface
    if not inside.any():
        raise InputError(
            f"There is no step between xmin {low:g} and xmax {high:g}; the curve runs from "
            f"{steps[0]:g} to {steps[-1]:g}."
        )
    values = {key: surface[key][inside] for key in surface.keys}
    beside = {path: errors[inside] for path, errors in surface.beside.items()}
    grid = Grid((Axis.through(steps[inside]),))
    return Surface(grid, values, surface.attributes, surface.labels, beside=beside)


# ``landscape_lib.viz.plot_1d`` is this module and, for scripts of old, the function in it.
sys.modules[__name__].__class__ = CallableModule
