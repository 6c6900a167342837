"""What a surface looks like in ParaView: a sheet of quads that carries every metric."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
from vtkmodules.vtkCommonCore import vtkPoints, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkFieldData, vtkPolyData
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import write_text
from landscape_lib.core.surface import Surface, Trajectory
from landscape_lib.viz.asked import DEFAULT_KEY, keys_of, stem_of, surface_of
from landscape_lib.viz.interpolation import bilinear, follow, interpolate
from landscape_lib.viz.names import file_name
from landscape_lib.viz.style import check_number
from landscape_lib.viz.told import plain

OURS = ("zvalue", "alpha", "beta")


@dataclass(frozen=True)
class Height:
    """How a metric becomes the height of the sheet: interpolated, then clipped, then log10.

    Attributes:
        log: Whether the height is log10 of the value; points that are not positive are missing.
        zmax: Values above it, +inf among them, are lowered to it; in the metric's unit.
        interp: Points an axis after interpolation; None keeps the points measured.
        zscale: The height in space is ``zvalue * zscale``; ``"auto"`` lets it span half of the
            longer axis.
    """

    log: bool = False
    zmax: float | None = None
    interp: int | None = None
    zscale: float | str = 1

    def __post_init__(self) -> None:
        check_number("zmax", self.zmax)
        if self.log and self.zmax is not None and self.zmax <= 0:
            raise InputError(f"zmax is {self.zmax}; with log it must be above 0.")
        whole_number = isinstance(self.interp, int) and not isinstance(self.interp, bool)
        if self.interp is not None and not (whole_number and self.interp >= 2):
            raise InputError(
                f"interp is {self.interp!r}; it must be a number of points an axis, at least 2, "
                "or left out."
            )
        if self.zscale == "auto":
            return
        if isinstance(self.zscale, str) or self.zscale is None:
            raise InputError(f"Unknown zscale {self.zscale!r}; choose 'auto' or a number above 0.")
        check_number("zscale", self.zscale)
        if self.zscale <= 0:
            raise InputError(f"zscale is {self.zscale}; it must be above 0, or 'auto'.")


PLAIN_HEIGHT = Height()


def export_vtp(surface: Surface, key: str, path: Path, height: Height = PLAIN_HEIGHT) -> Path:
    """Write one metric as a sheet for ParaView, whole or not at all; equal data, equal bytes.

    Point i * ny + j lies at (x[i], y[j], zvalue * zscale) and carries ``zvalue``, every metric
    and its ``<key>_log10``, ``alpha`` and ``beta``; cells carry ``averaged_zvalue``, the mean of
    their corners.  What is not finite is NaN in these arrays, quads that touch a missing height
    are left out, and the unused points there lie at the lowest height.  Field data holds the
    provenance, the label, the axes and the options as JSON, and the ``zscale`` used.

    Interpolation is bicubic and stays within the measured range, in log space for positive wide
    values (see ``is_wide``).  A metric with a value that is not finite is interpolated bilinearly
    instead, so that no value is invented: only between four finite corners, +inf spreading to
    the points beside it.  With one step along an axis nothing is interpolated.

    Args:
        surface: Values on a grid with two axes.
        key: The metric that becomes the height.
        path: Where the file goes, ending in ``.vtp``; folders are made where they are missing.
        height: How values become heights.

    Returns:
        The path as given.

    Raises:
        InputError: If the surface is a curve, there is no such metric, a metric has the name of
            an array of ours, or the path does not end in ``.vtp``.
    """
    path = Path(path)
    _refuse(surface, key, path)
    fine = _Sheet.of(surface, height.interp)
    zvalue = _heights(fine.values[key], height)
    zscale = _zscale(fine, zvalue, height)
    text = _written(_polydata(surface, key, fine, zvalue, zscale, height))
    write_text(path, text)
    return path


def export_flat_vtp(surface: Surface, path: Path, interp: int | None = None) -> Path:
    """Write every metric into one flat sheet for ParaView, whole or not at all.

    Point i * ny + j lies at (x[i], y[j], 0) and carries every metric and its ``<key>_log10``,
    ``alpha`` and ``beta``, NaN where they are not finite; which one colours the sheet, or warps
    it, is chosen in ParaView.  No quad is left out.

    Args:
        surface: Values on a grid with two axes.
        path: Where the file goes, ending in ``.vtp``; folders are made where they are missing.
        interp: Points an axis after interpolation; None keeps the points measured.

    Returns:
        The path as given.

    Raises:
        InputError: As for ``export_vtp``.
    """
    path = Path(path)
    _refuse(surface, surface.keys[0], path)
    fine = _Sheet.of(surface, Height(interp=interp).interp)
    nothing = np.zeros((len(fine.x), len(fine.y)))
    data = _mesh(fine, nothing, _quads(nothing > 0))
    _add_all(data, _arrays(fine))
    told = {
        "labels": _json({key: asdict(label) for key, label in surface.labels.items()}),
        "options": _json({"interp": interp, "interpolation": fine.methods}),
    } | _provenance(surface)
    for name, text in told.items():
        _tell(data.GetFieldData(), name, text)
    write_text(path, _written(data))
    return path


def export_trajectory_vtp(
    surface: Surface, key: str, path: Path, height: Height = PLAIN_HEIGHT
) -> Path:
    """Write the ways of trainings as lines that lie on the sheet of one metric, whole or not.

    A point lies at (alpha, beta, zvalue * zscale), its height bilinear between those that
    ``export_vtp`` gives the points around it.  It is the height of the *plane* there, which is that
    of the checkpoint itself only where ``distance`` is 0.  Between checkpoints there are points
    every half cell, so that the line follows the sheet; ``step`` is whole at a checkpoint, from 0.
    Points outside the grid, or beside a missing height, are left out, and the line is cut there.
    Points carry ``zvalue``, ``zvalue_log10`` (bilinear between log10 of the heights), ``alpha``,
    ``beta``, ``step``, ``trajectory`` (its number), and, where they were measured, ``distance``
    from the plane and ``length``, the distance from the model's own weights; field data the names.

    Args:
        surface: Values on a grid with two axes, with trajectories.
        key: The metric whose sheet they lie on.
        path: Where the file goes, ending in ``.vtp``; folders are made where they are missing.
        height: As for ``export_vtp``.

    Returns:
        The path as given.

    Raises:
        InputError: If there is no trajectory, or as for ``export_vtp``.
    """
    path = Path(path)
    _refuse(surface, key, path)
    if not surface.trajectories:
        raise InputError(f"{path}: the surface has no trajectory to be written.")
    fine = _Sheet.of(surface, height.interp)
    zvalue = _heights(fine.values[key], height)
    zscale = _zscale(fine, zvalue, height)
    arrays = _along(surface, fine, zvalue)
    seen = np.isfinite(arrays["zvalue"])
    data = vtkPolyData()
    data.SetLines(_lines(arrays["trajectory"], seen))
    arrays = {name: found[seen] for name, found in arrays.items()}
    _place(data, np.stack([arrays[n] for n in ("alpha", "beta", "zvalue")], -1) * [1, 1, zscale])
    _add_all(data, arrays)
    _add(data.GetFieldData(), "zscale", np.array([zscale]))
    names = _json([way.name for way in surface.trajectories])
    for name, told in ({"trajectories": names} | _told(surface, key, fine, height)).items():
        _tell(data.GetFieldData(), name, told)
    write_text(path, _written(data))
    return path


def h5_to_vtp(
    surf_file: Surface | Path | str,
    surf_name: str = DEFAULT_KEY,
    log: bool = False,
    zmax: float | None = -1,
    interp: int | None = -1,
    output: Path | str | None = None,
    *,
    prefix: Path | str | None = None,
) -> list[Path]:
    """Write ``<surf_file>_<key>.vtp`` for ParaView; see ``export_vtp`` for what is in it.

    Args:
        surf_file: A surface file, of ours or of an earlier tool, or a ``Surface``, with two axes.
        surf_name: A metric, or ``auto`` for every one.  ``train_loss``, the default, means every
            metric where there is none of that name.
        log: Heights are log10 of the values; points that are not positive are missing.
        zmax: Values above are lowered to it; -1 and None clip nothing.
        interp: Points an axis after interpolation; -1 and None keep the points measured.
        output: The file, where one metric is written; by itself as above.
        prefix: What the files' names begin with, in place of ``surf_file``.

    Returns:
        The paths, one a metric.

    Raises:
        InputError: If it is a curve, there is no such metric, an option makes no sense, or
            ``output`` is given for several metrics.
    """
    surface = surface_of(surf_file, axes=2)
    keys = keys_of(surface, surf_name)
    if output is not None and len(keys) > 1:
        raise InputError(
            f"output names one file, {output}, for the metrics {list(keys)}; give surf_name one of "
            "them, or leave output out."
        )
    height = Height(log, None if zmax == -1 else zmax, None if interp == -1 else interp)
    stem = stem_of(surf_file, prefix)
    paths = [Path(output or f"{stem}_{file_name(key)}.vtp") for key in keys]
    return [export_vtp(surface, key, path, height) for key, path in zip(keys, paths, strict=True)]


@dataclass(frozen=True)
class _Sheet:
    """Values on the points that the file gets; shapes (nx,), (ny,) and (nx, ny)."""

    x: np.ndarray
    y: np.ndarray
    values: Mapping[str, np.ndarray]
    methods: Mapping[str, str]

    @classmethod
    def of(cls, surface: Surface, interp: int | None) -> "_Sheet":
        x, y = (axis.steps() for axis in surface.grid.axes)
        if interp is None or min(len(x), len(y)) == 1:
            return cls(x, y, dict(surface.values), dict.fromkeys(surface.keys, "none"))
        fine_x, fine_y = (np.linspace(steps[0], steps[-1], interp) for steps in (x, y))
        found = {
            key: interpolate(x, y, values, fine_x, fine_y, surface.labels[key].units)
            for key, values in surface.values.items()
        }
        return cls(
            fine_x,
            fine_y,
            {key: values for key, (values, _) in found.items()},
            {key: method for key, (_, method) in found.items()},
        )


def _along(surface: Surface, sheet: _Sheet, zvalue: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the points of all trajectories carry, one after the other."""
    ways = [_followed(way, sheet) for way in surface.trajectories]
    joined = {name: np.concatenate([way[name] for way in ways]) for name in ways[0]}
    place = (joined["alpha"], joined["beta"])
    heights = {"zvalue": zvalue, "zvalue_log10": _log10(zvalue)}
    found = {name: bilinear(sheet.x, sheet.y, high, *place) for name, high in heights.items()}
    numbers = np.repeat(np.arange(len(ways)), [len(way["step"]) for way in ways])
    return found | joined | {"trajectory": numbers}


def _followed(way: Trajectory, sheet: _Sheet) -> dict[str, np.ndarray]:
    steps = np.arange(len(way.alpha))
    between = steps.astype(float)
    if min(len(sheet.x), len(sheet.y)) > 1:
        between = follow(way.alpha, way.beta, sheet.x, sheet.y)
    found = {"step": between}
    for name in ("alpha", "beta", "distance", "length"):
        along = getattr(way, name)
        unknown = along is None or not len(along)
        found[name] = np.full(len(between), np.nan) if unknown else np.interp(between, steps, along)
    return found


def _lines(trajectory: np.ndarray, seen: np.ndarray) -> vtkCellArray:
    """Join every two neighbours of one trajectory that are both seen, by numbers of those seen."""
    first = np.flatnonzero((trajectory[1:] == trajectory[:-1]) & seen[1:] & seen[:-1])
    number = np.cumsum(seen) - 1
    cells = vtkCellArray()
    pairs = np.stack([number[first], number[first + 1]], axis=1)
    cells.SetData(2, numpy_to_vtkIdTypeArray(pairs.ravel(), deep=True))
    return cells


def _refuse(surface: Surface, key: str, path: Path) -> None:
    if len(surface.grid.axes) != 2:
        raise InputError(
            f"{key!r} is a curve: its grid has one axis, and ParaView is shown surfaces. "
            "Draw it with plot_curve()."
        )
    surface[key]
    taken = sorted(set(OURS) & set(surface.keys))
    if taken:
        raise InputError(f"Metrics may not be called {taken} in a .vtp; rename them.")
    if path.suffix != ".vtp":
        raise InputError(f"{path} does not end in .vtp, as ParaView wants it; rename it.")


def _log10(values: np.ndarray) -> np.ndarray:
    positive = values > 0
    return np.where(positive, np.log10(np.where(positive, values, 1.0)), np.nan)


def _heights(values: np.ndarray, height: Height) -> np.ndarray:
    if height.zmax is not None:
        values = np.minimum(values, height.zmax)
    return _finite(_log10(values) if height.log else values)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _zscale(sheet: _Sheet, zvalue: np.ndarray, height: Height) -> float:
    if height.zscale != "auto":
        return float(height.zscale)
    known = zvalue[~np.isnan(zvalue)]
    half = float(known.max() / 2 - known.min() / 2) if known.size else 0.0  # a whole may overflow
    extent = max(float(np.ptp(sheet.x)), float(np.ptp(sheet.y)))
    if not (half > 0 and extent > 0):
        return 1.0
    return min(0.25 * extent / half, float(np.finfo(np.float64).max))


def _polydata(
    surface: Surface, key: str, sheet: _Sheet, zvalue: np.ndarray, zscale: float, height: Height
) -> vtkPolyData:
    missing = np.isnan(zvalue)
    floor = zvalue[~missing].min() if (~missing).any() else 0.0
    quads = _quads(missing)
    data = _mesh(sheet, np.where(missing, floor, zvalue) * zscale, quads)
    _add_all(data, {"zvalue": zvalue} | _arrays(sheet))
    _add(data.GetCellData(), "averaged_zvalue", (zvalue.ravel() / 4)[quads].sum(axis=1))
    _add(data.GetFieldData(), "zscale", np.array([zscale]))
    for name, told in _told(surface, key, sheet, height).items():
        _tell(data.GetFieldData(), name, told)
    return data


def _mesh(sheet: _Sheet, z: np.ndarray, quads: np.ndarray) -> vtkPolyData:
    alpha, beta = np.meshgrid(sheet.x, sheet.y, indexing="ij")
    data = vtkPolyData()
    _place(data, np.stack([alpha, beta, z], axis=-1))
    cells = vtkCellArray()
    cells.SetData(4, numpy_to_vtkIdTypeArray(quads.ravel(), deep=True))
    data.SetPolys(cells)
    return data


def _place(data: vtkPolyData, places: np.ndarray) -> None:
    points = vtkPoints()
    points.SetData(numpy_to_vtk(places.reshape(-1, 3), deep=True))
    data.SetPoints(points)


def _arrays(sheet: _Sheet) -> dict[str, np.ndarray]:
    """Return every metric, its log10, and the coordinates, as they stand at the points."""
    arrays = {name: _finite(found) for name, found in sheet.values.items()}
    for name, found in sheet.values.items():  # a metric measured under that name goes first
        arrays.setdefault(f"{name}_log10", _finite(_log10(found)))
    alpha, beta = np.meshgrid(sheet.x, sheet.y, indexing="ij")
    return arrays | {"alpha": alpha, "beta": beta}


def _add_all(data: vtkPolyData, arrays: Mapping[str, np.ndarray]) -> None:
    """Add arrays to the points; the first is what ParaView shows at once."""
    for name, values in arrays.items():
        _add(data.GetPointData(), name, values)
    data.GetPointData().SetActiveScalars(_escaped(next(iter(arrays))))


def _quads(missing: np.ndarray) -> np.ndarray:
    """Return the corners of the cells without a missing one, counter-clockwise, shape (n, 4)."""
    number = np.arange(missing.size).reshape(missing.shape)
    corners = (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])
    quads = np.stack([corner.ravel() for corner in corners], axis=1)
    return quads[~missing.ravel()[quads].any(axis=1)]


def _told(surface: Surface, key: str, sheet: _Sheet, height: Height) -> dict[str, str]:
    return {
        "metric": key,
        "label": _json(asdict(surface.labels[key])),
        "options": _json(asdict(height) | {"interpolation": sheet.methods[key]}),
    } | _provenance(surface)


def _provenance(surface: Surface) -> dict[str, str]:
    return {
        "axes": _json([asdict(axis) for axis in surface.grid.axes]),
        "provenance": _json(surface.attributes),
    }


def _json(told: Any) -> str:
    return json.dumps(plain(told), sort_keys=True)


def _add(attributes: vtkFieldData, name: str, values: np.ndarray) -> None:
    array = numpy_to_vtk(np.ascontiguousarray(values, dtype=np.float64).ravel(), deep=True)
    array.SetName(_escaped(name))
    attributes.AddArray(array)


def _escaped(name: str) -> str:
    """Spell a name as XML does: VTK writes names as they are."""
    return escape(name, {'"': "&quot;"})


def _tell(attributes: vtkFieldData, name: str, told: str) -> None:
    array = vtkStringArray()
    array.SetName(name)
    array.InsertNextValue(told)
    attributes.AddArray(array)


def _written(data: vtkPolyData) -> str:
    writer = vtkXMLPolyDataWriter()
    writer.SetInputData(data)
    writer.WriteToOutputStringOn()
    if writer.Write() != 1:
        raise RuntimeError("vtkXMLPolyDataWriter could not write the surface.")
    return writer.GetOutputString()
