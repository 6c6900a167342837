"""How values near the ends of float64 are drawn: in units that the title names."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from landscape_lib.core.surface import STANDARD_ERROR, Surface
from landscape_lib.viz.style import Look, is_log, superscript

SMALLEST = 1e-300  # below it levels of a log scale cannot be told apart
LARGEST = 1e300  # beyond it differences, sums and means of values overflow while they are drawn


def in_drawable_units(
    surfaces: Sequence[Surface], key: str, look: Look
) -> tuple[list[Surface], Look]:
    """Return surfaces whose values of one metric can be drawn, and the look in their units.

    Where a finite value lies beyond 1e300, or, on a log scale, all values near the one or the
    other end of float64, all are divided by one power of ten, and the metric's name says so.
    Elsewhere they come back as they are.
    """
    values = np.concatenate([surface[key].ravel() for surface in surfaces])
    label = surfaces[0].labels[key]
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    exponent = _exponent(sizes, log=is_log(values, look, label)) if sizes.size else 0
    if exponent == 0:
        return list(surfaces), look
    unit = 10.0**exponent
    named = replace(label, long_name=f"{label.long_name} / 10{superscript(exponent)}")
    scaled = [
        replace(
            surface,
            values=dict(surface.values) | {key: surface[key] / unit},
            labels=dict(surface.labels) | {key: named},
            beside=dict(surface.beside)
            | {STANDARD_ERROR + key: surface.standard_error(key) / unit},
            errors={
                name: off / unit if name == key else off for name, off in surface.errors.items()
            },
        )
        for surface in surfaces
    ]
    bounds = {name: getattr(look, name) for name in ("vmin", "vmax", "vlevel")}
    if look.scale == "log":
        del bounds["vlevel"]  # it counts decades
    return scaled, replace(look, **{name: at and at / unit for name, at in bounds.items()})


def _exponent(sizes: np.ndarray, *, log: bool) -> int:
    smallest, largest = float(sizes.min()), float(sizes.max())
    if largest > LARGEST and not (log and smallest < 1):  # else the logarithms have room enough
        return math.floor(math.log10(largest))
    return round(math.log10(SMALLEST)) if log and largest < 1 and smallest < SMALLEST else 0
