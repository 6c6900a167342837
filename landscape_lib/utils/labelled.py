"""A surface as other people's tools like it: with named axes."""

from typing import TYPE_CHECKING

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Surface

if TYPE_CHECKING:
    import xarray

AXES = ("x", "y")


def to_xarray(surface: Surface) -> "xarray.Dataset":
    """Return a surface as an ``xarray.Dataset``: dimensions x and y, one variable a metric.

    Each variable carries ``long_name``, ``units`` and ``goal``; the data set the provenance.  Where
    points were interpolated, ``computed`` tells which were not, and ``<key>_error`` what they may
    be off by.

    Raises:
        InputError: If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise InputError("xarray is not installed; pip install xarray.") from None
    axes = AXES[: len(surface.grid.axes)]
    coordinates = {name: axis.steps() for name, axis in zip(axes, surface.grid.axes, strict=True)}
    variables = {key: (axes, surface[key], vars(surface.labels[key])) for key in surface.keys}
    if surface.computed is not None:
        variables["computed"] = (axes, surface.computed, {"long_name": "evaluated points"})
    for key, errors in surface.errors.items():
        variables[f"{key}_error"] = (axes, errors, {"units": surface.labels[key].units})
    return xarray.Dataset(variables, coordinates, dict(surface.attributes))
