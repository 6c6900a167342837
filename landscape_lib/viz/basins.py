"""Where the basins of a surface are: marks for their minima and the passes between them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape_lib.core.surface import Surface
from landscape_lib.core.topology import basins_of
from landscape_lib.viz.stylesheet import INK

MINIMUM: dict[str, Any] = {
    "marker": "o",
    "markersize": 3.5,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.7,
}
PASS: dict[str, Any] = {
    "marker": "X",
    "markersize": 4.5,
    "markerfacecolor": INK,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
}


def extremes(surface: Surface, key: str, count: int = 2) -> str:
    """Return what minima of a metric are called; of one that is to be high, maxima."""
    name = "minim" if surface.labels[key].goal == "min" else "maxim"
    return f"{name}um" if count == 1 else f"{name}a"


def mark_basins(axes: Axes, surface: Surface, key: str, heights: np.ndarray | None = None) -> None:
    """Mark the minima of clear basins with dots, the passes between them with crosses.

    Args:
        axes: Of a map; of a curve where ``heights`` are given.
        surface: What is drawn.
        key: Of it, which metric.
        heights: Of a curve, as drawn, shape (nx,).
    """
    steps = [axis.steps() for axis in surface.grid.axes]
    clear, _ = basins_of(surface, key)
    for name, style, places in (
        ("minima", MINIMUM, [basin.minimum for basin in clear]),
        ("passes", PASS, [basin.saddle for basin in clear if basin.saddle is not None]),
    ):
        points = [[along[n] for along, n in zip(steps, p, strict=True)] for p in places]
        if heights is not None:
            points = [[*point, heights[p]] for point, p in zip(points, places, strict=True)]
        across, up = zip(*points, strict=True) if points else ((), ())
        plain: dict[str, Any] = {"linestyle": "none", "zorder": 2.45, "clip_on": False}
        axes.plot(across, up, gid=name, in_layout=False, **plain, **style)


def basin_notes(surface: Surface, key: str) -> list[str]:
    """Say what the marks are."""
    clear, _ = basins_of(surface, key)
    if not clear:
        return []
    said = f"dots: {len(clear)} {extremes(surface, key, len(clear))}"
    return [f"{said}; crosses: the passes between them" if len(clear) > 1 else said]
