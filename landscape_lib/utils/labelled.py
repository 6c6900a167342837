"""A surface as other people's tools like it: with named axes."""

from typing import TYPE_CHECKING

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Surface

if TYPE_CHECKING:
    import xarray

AXES = ("x", "y")


def to_xarray(surface: Surface) -> "xarray.Dataset":
    """Return a surface as an ``xarray.Dataset``: dimensions x and y, one variable a metric.

    Sampling errors are variables, too: ``<key>_standard_error``, ``<key>_bootstrap_error``.  Each
    metric's variable carries ``long_name``, ``units``, ``goal``, and ``note`` where there is one;
    the data set the provenance.  Where points were interpolated, ``computed`` tells which were not,
    and ``<key>_error`` what they may be off by.

    Raises:
        InputError: If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise InputError("xarray is not installed; pip install xarray.") from None
    axes = AXES[: len(surface.grid.axes)]
    coordinates = {name: axis.steps() for name, axis in zip(axes, surface.grid.axes, strict=True)}
    told = {
        key: {name: word for name, word in vars(label).items() if word or name != "note"}
        for key, label in surface.labels.items()
    }
    variables = {key: (axes, surface[key], told[key]) for key in surface.keys}
    for path, errors in surface.beside.items():
        kind, _, key = path.partition("/")
        units = {"units": surface.labels[key].units}
        variables.setdefault(f"{key}_{kind}", (axes, errors, units))  # a metric's own name wins
    if surface.computed is not None:
        variables["computed"] = (axes, surface.computed, {"long_name": "evaluated points"})
    for key, errors in surface.errors.items():
        variables[f"{key}_error"] = (axes, errors, {"units": surface.labels[key].units})
    return xarray.Dataset(variables, coordinates, dict(surface.attributes))
