"""What the axes of a picture lead to: the name of one step, and the models that lie there."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from landscape_lib.core.geometry import Barrier, barrier
from landscape_lib.core.surface import Surface
from landscape_lib.viz.axis_names import ALPHA, axis_name, directions_of, models_on
from landscape_lib.viz.style import Scale, number_text
from landscape_lib.viz.stylesheet import INK, SMALL

LETTERS = (48, 38)  # in a line of the label of x, and of y
HALO = [withStroke(linewidth=2, foreground="white")]


def axis_label(surface: Surface, axis: int, room: float = 1.0) -> str:
    """Return an axis's letter and what one step along it is, as the surface's file says it.

    Args:
        surface: What is drawn.
        axis: 0 for x, 1 for y.
        room: Share of a column's width that the picture has.
    """
    return textwrap.fill(axis_name(surface.attributes, axis), round(room * LETTERS[axis]))


def models_of(surface: Surface) -> list[tuple[str, list[float]]]:
    """Return the other models that the axes lead to, and where they lie, one step an axis."""
    return models_on(directions_of(surface.attributes))


def mark_models(axes: Axes, surface: Surface) -> None:
    """Draw a ring with its name where each other model lies, if the picture reaches it."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for name, (x, y) in models_of(surface):
        if not (left <= x <= right and low <= y <= high):
            continue
        ring: dict[str, Any] = {"markersize": 5, "markeredgecolor": "black", "clip_on": False}
        axes.plot([x], [y], "o", **ring, markerfacecolor="white", zorder=2.55, gid="model")
        beyond = x > (left + right) / 2
        axes.annotate(
            name,
            (x, y),
            (-5 if beyond else 5, -5 if y > (low + high) / 2 else 5),
            textcoords="offset points",
            ha="right" if beyond else "left",
            va="top" if y > (low + high) / 2 else "bottom",
            fontsize=SMALL,
            color=INK,
            path_effects=HALO,
            parse_math=False,
            zorder=3,
        )


def barrier_of(surface: Surface, key: str) -> Barrier | None:
    """Return a curve's barrier to the model at 1; None where it leads to none, or has no 0 or 1."""
    if [1.0] not in [point for _, point in models_of(surface)]:
        return None
    return barrier(surface.grid.axes[0].steps(), surface[key], surface.labels[key].goal)


def draw_barrier(axes: Axes, surface: Surface, key: str, scale: Scale) -> list[str]:
    """Draw the straight line between two models' values, which a barrier is measured from.

    Returns:
        What to say of it: its height and where; nothing where the curve leads to no model.
    """
    found = barrier_of(surface, key)
    if found is None or not np.isfinite(found.over_line):
        return []
    steps, values = surface.grid.axes[0].steps(), surface[key]
    first, last = (float(values[steps == end][0]) for end in (0, 1))
    t = np.linspace(0, 1, 101)
    heights = scale.shown((1 - t) * first + t * last)
    axes.axvline(1, color="0.75", linewidth=0.6, linestyle=":", zorder=1)
    axes.plot(t, heights, color="0.5", linewidth=0.8, linestyle="--", zorder=1.5, gid="chord")
    where = f" at {ALPHA} = {number_text(found.step, 4)}" if found.over_line else ""
    return [f"barrier {number_text(found.over_line, 3)}{where}"]
