"""What a call of a plot function asks for: which surface, which metrics, which levels."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Surface
from landscape_lib.viz.style import Look, check_number

log = logging.getLogger(__name__)

DEFAULT_KEY = "train_loss"
DEFAULT_FILE = "loss_surface.h5"
COVERED = 0.9  # of the finite values: so many must lie within default bounds for these to apply
FEWEST_DEFAULT_LEVELS, MOST_DEFAULT_LEVELS = 3, 100  # else contours are blank, or solid ink
SEEN = 0.1  # of the value axis: a curve that stays below is a flat line


def surface_of(source: Surface | Path | str, axes: int) -> Surface:
    """Return a surface, read from its file where a path is given.

    Raises:
        InputError: If it has another number of axes than can be drawn here.
    """
    surface = any_surface_of(source)
    found = len(surface.grid.axes)
    if found != axes:
        name = "A surface in memory" if isinstance(source, Surface) else f"{source}"
        kinds = {1: "a curve (one axis)", 2: "a surface (two axes)"}
        how = {1: "plot_1d()", 2: "plot_2d_contour() and plot_2d_surface()"}
        raise InputError(
            f"{name} holds {kinds[found]}; wanted {kinds[axes]}. Draw it with {how[found]}."
        )
    return surface


def any_surface_of(source: Surface | Path | str) -> Surface:
    """Return a curve or surface, read from its file where a path is given."""
    from landscape_lib.utils.storage import load_surface  # HDF5 only where a file is read

    return source if isinstance(source, Surface) else load_surface(source)


def stem_of(source: Surface | Path | str, prefix: Path | str | None) -> str:
    """Return what the files of a surface begin with: its path, or the prefix that was given."""
    if prefix is not None:
        return str(prefix)
    return DEFAULT_FILE if isinstance(source, Surface) else str(source)


def keys_of(surface: Surface, name: str) -> tuple[str, ...]:
    """Return the metrics that a name means: one of them, or every one with ``auto``.

    The default, ``train_loss``, means every metric where there is none of that name; that is
    logged.

    Raises:
        InputError: If there is no such metric; the message lists those there are.
    """
    if name == "auto":
        return surface.keys
    if name == DEFAULT_KEY and name not in surface.keys:
        log.info("There is no %r here; drawing every metric: %s.", name, ", ".join(surface.keys))
        return surface.keys
    if name not in surface.keys:
        raise InputError(
            f"There is no metric {name!r} here; choose one of {list(surface.keys)}, or 'auto' for "
            "all of them."
        )
    return (name,)


def looks_of(
    surface: Surface, keys: Sequence[str], asked: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Look]:
    """Return how each metric is drawn: with the default bounds where they fit, else with its own.

    Default bounds and steps apply where at least 90 % of the finite values lie within them, and
    fill enough of them to be seen: three levels, a tenth of the axis.  Where they don't, bounds
    and levels are chosen by themselves, and one line of the log says so.  What differs from its
    default always wins.

    Args:
        surface: With the metrics.
        keys: Which of them.
        asked: ``vmin``, ``vmax``, ``vlevel``, ``scale``, as they were given to the call.
        defaults: The same keys with their defaults.
    """
    for name in ("vmin", "vmax", "vlevel"):
        check_number(name, asked.get(name))
    wished = {name: value for name, value in asked.items() if value != defaults[name]}
    looks: dict[str, Look] = {}
    freed = []
    for key in keys:
        fits = _fits(surface[key], asked)
        looks[key] = Look(**(dict(asked) if fits else wished))
        if not fits and len(wished) < len(asked):
            freed.append(key)
    if freed:
        log.info("The default levels don't fit; chosen by themselves for %s.", ", ".join(freed))
    return looks


def _fits(values: np.ndarray, asked: Mapping[str, Any]) -> bool:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return False
    low = -np.inf if asked.get("vmin") is None else asked["vmin"]
    high = np.inf if asked.get("vmax") is None else asked["vmax"]
    inside = (finite >= low) & (finite <= high)
    return bool(inside.mean() >= COVERED and _is_seen(finite[inside], asked))


def _is_seen(values: np.ndarray, asked: Mapping[str, Any]) -> bool:
    """Tell whether values fill enough of the levels to be a picture, and not too many of them."""
    step, high = asked.get("vlevel"), asked.get("vmax")
    if step:
        return FEWEST_DEFAULT_LEVELS <= float(np.ptp(values)) / step <= MOST_DEFAULT_LEVELS
    return high is None or float(np.abs(values).max()) >= SEEN * abs(high)
