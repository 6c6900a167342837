"""How other tools store a surface, and what of it is where here."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface

log = logging.getLogger(__name__)

COORDINATES = ("xcoordinates", "ycoordinates")
NOT_COMPUTED = -1.0  # the original program's mark
SPLITS = ("train", "test")  # the original program measures both metrics of one at a time

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Tool:
    """A tool whose files are understood.

    Attributes:
        name: What it is called.
        needs: The arrays that its files have.
        what: How to know its files, in words.
        read: Makes a surface of the arrays, given the path for messages.
    """

    name: str
    needs: frozenset[str]
    what: str
    read: Callable[[Arrays, Path | str], Surface]


def surface_of_arrays(arrays: Arrays, path: Path | str) -> Surface:
    """Return the surface that another tool's arrays are, ``value[i, j]`` at x step i, y step j.

    Args:
        arrays: Everything at the root of its file, by name.
        path: The file, for messages.

    Raises:
        InputError: If no tool that is known writes such a file, or it is not whole.
    """
    for tool in TOOLS:
        if tool.needs <= arrays.keys():
            return tool.read(arrays, path)
    raise InputError(f"{path}: it holds {sorted(arrays)}, which is no surface. {known_tools()}")


def known_tools() -> str:
    """Say which files are understood."""
    return "Understood are: " + "; ".join(f"{tool.name} ({tool.what})" for tool in TOOLS) + "."


def _original(arrays: Arrays, path: Path | str) -> Surface:
    """Li et al. (2018): (ny, nx) values in a box declared (nx, ny); -1: not computed."""
    grid, boxes = _earlier(arrays, path)
    boxes = {key: box.ravel().reshape(grid.shape[::-1]).T.copy() for key, box in boxes.items()}
    for split in (*SPLITS, ""):
        keys = [key for key in boxes if _split(key) == split]
        if not keys:
            continue
        missing = np.logical_and.reduce([boxes[key] == NOT_COMPUTED for key in keys])
        if missing.any():
            told = "%s: %d points were not computed; shown as missing: %s."
            log.warning(told, path, missing.sum(), ", ".join(keys))
            boxes |= {key: np.where(missing, np.nan, boxes[key]) for key in keys}
    return Surface(grid, boxes, {"source": "original"})


def _split(key: str) -> str:
    name = key.partition("_")[0]
    return name if name in SPLITS else ""


def _single_gpu(arrays: Arrays, path: Path | str) -> Surface:
    return Surface(*_earlier(arrays, path), {"source": "single-GPU library"})


def _earlier(arrays: Arrays, path: Path | str) -> tuple[Grid, dict[str, np.ndarray]]:
    """Return grid and boxes of a file with coordinates, the boxes as they are declared.

    Raises:
        InputError: If no box has the shape of the grid.
    """
    found = [name for name in COORDINATES if name in arrays]
    grid = Grid(tuple(_axis(name, arrays[name], path) for name in found))
    boxes = {
        key: np.asarray(array, dtype=np.float64)
        for key, array in arrays.items()
        if key not in (*COORDINATES, "dir_file") and np.shape(array) == grid.shape
    }
    if not boxes:
        raise InputError(f"{path}: no values of the shape {grid.shape} of its coordinates in it.")
    return grid, boxes


def _axis(name: str, steps: np.ndarray, path: Path | str) -> Axis:
    try:
        return Axis.through(steps)
    except InputError as error:
        raise InputError(f"{path}: {name!r}: {error}") from error


def _losscape(arrays: Arrays, path: Path | str) -> Surface:
    """The three boxes belong together: losses[r, c] at X[r, c], Y[r, c], rows along y.

    Raises:
        InputError: If they do not.
    """
    x, y, losses = (np.asarray(arrays[name], dtype=np.float64) for name in ("X", "Y", "losses"))
    if x.ndim != 2 or not x.shape == y.shape == losses.shape:
        raise InputError(
            f"{path}: X, Y and losses have the shapes {x.shape}, {y.shape} and {losses.shape}; "
            "wanted one of two axes for all three."
        )
    if (x == x[:1]).all():
        x, y, losses = x.T, y.T, losses.T.copy()
    if not ((x == x[:, :1]).all() and (y == y[:1]).all()):
        raise InputError(f"{path}: X and Y are no grid: wanted what numpy.meshgrid returns.")
    grid = Grid((_axis("X", x[:, 0], path), _axis("Y", y[0], path)))
    return Surface(grid, {"train_loss": losses}, {"source": "losscape"})


def _landscaper(arrays: Arrays, path: Path | str) -> Surface:
    """As it computes them: loss[i, j] at coordinates[0][i] along its first direction.

    Raises:
        InputError: If it is no curve or surface.
    """
    loss, coordinates = arrays["loss"], arrays["coordinates"]
    if loss.ndim not in {1, 2} or len(coordinates) != loss.ndim:
        raise InputError(
            f"{path}: its loss has the shape {loss.shape}, its coordinates {coordinates.shape}; "
            "wanted a curve or a surface: one or two axes. Save a slice of it."
        )
    axes = tuple(_axis(f"coordinates[{n}]", row, path) for n, row in enumerate(coordinates))
    grid = Grid(axes)
    if loss.shape != grid.shape:
        raise InputError(f"{path}: its loss has the shape {loss.shape}, its axes {grid.shape}.")
    return Surface(grid, {"train_loss": loss}, {"source": "landscaper"})


TOOLS = (
    Tool(
        "the original program of Li et al.",
        frozenset({"xcoordinates", "dir_file"}),
        "HDF5 with xcoordinates, ycoordinates, dir_file",
        _original,
    ),
    Tool(
        "the single-GPU library",
        frozenset({"xcoordinates"}),
        "HDF5 with xcoordinates, ycoordinates",
        _single_gpu,
    ),
    Tool("losscape", frozenset({"X", "Y", "losses"}), "data.h5 with X, Y, losses", _losscape),
    Tool(
        "landscaper", frozenset({"loss", "coordinates"}), "npz with loss, coordinates", _landscaper
    ),
)
