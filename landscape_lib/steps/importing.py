"""How a surface of another tool becomes one of ours, which every picture is drawn from."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Surface
from landscape_lib.utils.foreign import known_tools
from landscape_lib.utils.hashing import hash_file
from landscape_lib.utils.storage import is_a_container, load_surface, save_surface

log = logging.getLogger(__name__)


def import_surface(
    path: Path | str, out: Path | str, directions: Path | str | None = None
) -> Surface:
    """Read a surface of another tool, and write it as one of ours: ``value[i, j]`` at x[i], y[j].

    Values are kept to the last bit; what the original program marks with -1 as not computed
    becomes NaN, and is counted.  The file says where it comes from: ``source``,
    ``imported_from`` and ``imported_sha256``.

    Args:
        path: The file; ``docs/import.md`` says of which tools.
        out: Where to write it; nothing that is there is overwritten.
        directions: The original program's file of directions, from which the cosine between them
            is recorded.

    Returns:
        What was written.

    Raises:
        InputError: If the file is of no tool that is known, or is ours already, or ``out`` exists.
    """
    if Path(out).exists():
        raise InputError(f"{out} exists already; move it away, or name another file.")
    if not is_a_container(path):
        raise InputError(f"{path}: it is neither HDF5 nor npz. {known_tools()}")
    surface = load_surface(path)
    if "format" in surface.attributes:
        raise InputError(f"{path}: it is a surface of this library already; nothing to do.")
    told: dict[str, Any] = {"imported_from": Path(path).name, "imported_sha256": hash_file(path)}
    if directions is not None:
        told |= _of_directions(directions)
    surface = replace(surface, attributes={**surface.attributes, **told})
    save_surface(out, surface)
    for line in _summary(surface):
        log.info("%s: %s", out, line)
    return surface


def _of_directions(path: Path | str) -> dict[str, float]:
    """Return the cosine between a file's directions; nothing of one direction."""
    from landscape_lib.core.direction import cosine  # torch takes a second
    from landscape_lib.utils.storage import load_directions

    found = load_directions(path)
    return {"cosine": cosine(*found)} if len(found) > 1 else {}


def _summary(surface: Surface) -> list[str]:
    counts = " x ".join(str(axis.count) for axis in surface.grid.axes)
    lines = [f"from {surface.attributes['source']}, {counts} points"]
    for key in surface.keys:
        values, label = surface[key], surface.labels[key]
        finite = np.isfinite(values)
        if not finite.any():
            lines.append(f"{key}: no value is finite")
            continue
        best = np.nanargmin if label.goal == "min" else np.nanargmax
        flat = int(best(np.where(finite, values, np.nan)))
        place = ", ".join(f"{step:.6g}" for step in surface.grid.points([flat])[0])
        missing = f"; {values.size - finite.sum()} points are missing" if not finite.all() else ""
        lines.append(f"{key}: best {values.flat[flat]:.6g} at ({place}){missing}")
    return lines


def draw_all(path: Path | str) -> list[Path]:
    """Draw every picture of a surface file beside it, and write ParaView files and the explorer."""
    from landscape_lib.viz.explorer import explore
    from landscape_lib.viz.paraview import h5_to_vtp
    from landscape_lib.viz.plot_1d import plot_1d_loss
    from landscape_lib.viz.plot_2d import plot_2d_contour, plot_2d_surface

    if len(load_surface(path).grid.axes) == 1:
        return [*plot_1d_loss(path), explore(path)]
    flat, reliefs = plot_2d_contour(path, "auto"), plot_2d_surface(path, "auto")
    return [*flat, *reliefs, *h5_to_vtp(path, "auto"), explore(path)]
