"""Which files show a surface, and what they are called."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.viz.asked import DEFAULT_KEY, keys_of, looks_of, stem_of, surface_of
from landscape_lib.viz.figures import check_format, save
from landscape_lib.viz.flat import contour, filled_contour, heat_map
from landscape_lib.viz.names import file_name
from landscape_lib.viz.relief import relief
from landscape_lib.viz.showing import CallableModule, Pictures, show_figures
from landscape_lib.viz.style import PLAIN_LOOK, Look

KINDS: dict[str, Callable[[Surface, str, Look], Figure]] = {
    "2dcontour": contour,
    "2dcontourf": filled_contour,
    "2dheat": heat_map,
    "3dsurface": relief,
}
FLAT = ("2dcontour", "2dcontourf", "2dheat")
VMIN, VMAX, VLEVEL = 0.1, 10.0, 0.5  # the levels that losses usually fit


def plot_surface(
    surface: Surface, key: str, folder: Path, look: Look = PLAIN_LOOK, format: str = "pdf"
) -> list[Path]:
    """Write the four pictures of one metric, each whole or not at all.

    ``<key>_2dcontour``, ``<key>_2dcontourf``, ``<key>_2dheat``, ``<key>_3dsurface``, with the key
    as ``file_name`` spells it.  Equal surfaces give equal bytes.  All four are written for any
    values and any grid; what a picture cannot show, it says.

    Args:
        surface: Values on a grid with two axes.
        key: Which of its metrics.
        folder: Where the files go; made where it is missing.
        look: Colours, scale and levels.
        format: ``"pdf"``, ``"png"`` or ``"svg"``.

    Returns:
        The four paths, in the order above.

    Raises:
        InputError: If the surface is a curve, or there is no such metric or format.
    """
    check_format(format)
    stem = Path(folder) / file_name(key)
    return [
        save(draw(surface, key, look), Path(f"{stem}_{kind}.{format}"), format, look.style)
        for kind, draw in KINDS.items()
    ]


def plot_2d_contour(
    surf_file: Surface | Path | str,
    surf_name: str = DEFAULT_KEY,
    vmin: float | None = VMIN,
    vmax: float | None = VMAX,
    vlevel: float | None = VLEVEL,
    show: bool = False,
    topology: bool = False,
    *,
    prefix: Path | str | None = None,
) -> Pictures:
    """Write ``<surf_file>_<key>_2dcontour.pdf``, ``_2dcontourf.pdf`` and ``_2dheat.pdf``.

    The default levels hold where at least 90 % of a metric's finite values lie between ``vmin`` and
    ``vmax`` and cross three levels; elsewhere levels are chosen by themselves, which is logged.  A
    value that differs from its default always wins; None leaves the choice open.

    Args:
        surf_file: A surface file, of ours or of an earlier tool, or a ``Surface``, with two axes.
        surf_name: A metric, or ``auto`` for every one.  ``train_loss``, the default, means every
            metric where there is none of that name.
        vmin: Lowest level.
        vmax: Highest level.
        vlevel: From one level to the next.
        show: Open the pictures in windows, or inline in a notebook.
        topology: Mark the minima of clear basins and the passes between them.
        prefix: What the files' names begin with, in place of ``surf_file``.

    Returns:
        The paths, three a metric.

    Raises:
        InputError: If it is a curve, or there is no such metric.
    """
    surface = surface_of(surf_file, axes=2)
    asked = {"vmin": vmin, "vmax": vmax, "vlevel": vlevel}
    defaults = {"vmin": VMIN, "vmax": VMAX, "vlevel": VLEVEL}
    looks = looks_of(surface, keys_of(surface, surf_name), asked, defaults)
    looks = {key: replace(look, topology=topology) for key, look in looks.items()}
    return _write(surface, looks, FLAT, stem_of(surf_file, prefix), show)


def plot_2d_surface(
    surf_file: Surface | Path | str,
    surf_name: str = DEFAULT_KEY,
    show: bool = False,
    *,
    prefix: Path | str | None = None,
) -> Pictures:
    """Write ``<surf_file>_<key>_3dsurface.pdf``: the surface as a relief above its own map.

    Args:
        surf_file: A surface file, of ours or of an earlier tool, or a ``Surface``, with two axes.
        surf_name: As for ``plot_2d_contour``.
        show: Open the pictures in windows, or inline in a notebook.
        prefix: What the files' names begin with, in place of ``surf_file``.

    Returns:
        The paths, one a metric.

    Raises:
        InputError: If it is a curve, or there is no such metric.
    """
    surface = surface_of(surf_file, axes=2)
    looks = dict.fromkeys(keys_of(surface, surf_name), PLAIN_LOOK)
    return _write(surface, looks, ("3dsurface",), stem_of(surf_file, prefix), show)


def plot_2d(
    losses: np.ndarray,
    x_coords: Sequence[float] | np.ndarray,
    y_coords: Sequence[float] | np.ndarray,
    surf_name: str = "loss",
    show: bool = False,
) -> Figure:
    """Draw values as a relief above their own map, without any file.

    Args:
        losses: ``losses[i, j]`` belongs to ``x_coords[i], y_coords[j]``; shape (nx, ny).
        x_coords: Evenly spaced steps, shape (nx,).
        y_coords: Evenly spaced steps, shape (ny,).
        surf_name: What the values are called.
        show: Open the picture in a window, or inline in a notebook.
    """
    grid = Grid((Axis.through(x_coords), Axis.through(y_coords)))
    figure = relief(Surface(grid, {surf_name: np.asarray(losses)}), surf_name)
    if show:
        show_figures([figure])
    return figure


def _write(
    surface: Surface, looks: Mapping[str, Look], kinds: Sequence[str], stem: str, show: bool
) -> Pictures:
    drawn = {
        Path(f"{stem}_{file_name(key)}_{kind}.pdf"): KINDS[kind](surface, key, look)
        for key, look in looks.items()
        for kind in kinds
    }
    for path, figure in drawn.items():
        save(figure, path, "pdf")
    if show:
        show_figures(list(drawn.values()))
    return Pictures(list(drawn), list(drawn.values()))


# ``landscape_lib.viz.plot_2d`` is this module and, for scripts of old, the function in it.
sys.modules[__name__].__class__ = CallableModule
