"""What a curve looks like in print: the values along one direction."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.axis_names import ALPHA
from landscape_lib.viz.basins import basin_notes, mark_basins
from landscape_lib.viz.figures import (
    WIDTH,
    best_place,
    few_ticks,
    mark,
    short_name,
    surface_notes,
    write_heading,
)
from landscape_lib.viz.places import axis_label, draw_barrier
from landscape_lib.viz.style import PLAIN_LOOK, Look, Scale, choose_scale
from landscape_lib.viz.stylesheet import figure_size, settings
from landscape_lib.viz.units import in_drawable_units

SIZE = (WIDTH, 2.4)
COLOUR = "#2a5d8a"
FIRST = f"{ALPHA} (direction 1)"  # of several curves, whose directions differ
ERRORS = 2.0  # standard errors on either side of a curve that its band covers
MOST_DOTS = 101  # of a longer curve only the points without a neighbour get a dot


def curve(surface: Surface, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw the values over their steps, with gaps where they are missing.

    On a log scale heights are log10 of the value.  Where standard errors are known, a band covers
    two of them on either side.

    Raises:
        InputError: If the grid has two axes, or there is no such metric.
    """
    if len(surface.grid.axes) != 1:
        raise InputError(
            f"{key!r} is a surface: its grid has two axes, a curve has one. "
            "Draw it with plot_surface()."
        )
    ((surface,), look) = in_drawable_units([surface], key, look)
    values, steps = surface[key], surface.grid.axes[0].steps()
    with settings(look.style):
        scale = choose_scale(values, look, surface.labels[key])
        heights = scale.shown(values).filled(np.nan)
        low, high = scale.bounds
        inside = np.where((low <= heights) & (heights <= high), heights, np.nan)
        figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(steps, heights, color=COLOUR, linewidth=1.2, gid="curve", zorder=2)
        dots = ~np.isnan(heights) & (_alone(heights) | (len(steps) <= MOST_DOTS))
        if surface.computed is not None:
            dots &= surface.computed
        axes.plot(steps[dots], heights[dots], ".", color=COLOUR, markersize=3.5, zorder=2)
        band = draw_errors(axes, surface, key, scale)
        _mark_points(axes, surface, key, inside)
        between = draw_barrier(axes, surface, key, scale)
        if look.topology:
            mark_basins(axes, surface, key, inside)
            between += basin_notes(surface, key)
        _furnish(axes, surface, key, scale)
        said = between + band + surface_notes(surface, key, scale, look)
        cut = int((heights < low).sum() + (heights > high).sum())
        if cut:
            said.append(f"{cut} of {values.size} points lie beyond the picture")
        write_heading(axes, surface, key, said)
        return figure


def draw_errors(axes: Axes, surface: Surface, key: str, scale: Scale) -> list[str]:
    """Draw a band of two standard errors around a curve; return what to say of it, if anything."""
    values, errors = surface[key], surface.standard_error(key)
    known = np.isfinite(values) & np.isfinite(errors)
    if not known.any():
        return []
    low, high = (np.where(known, values + sign * ERRORS * errors, np.nan) for sign in (-1, 1))
    bottom, top = scale.bounds
    under = np.clip(scale.shown(low).filled(bottom), bottom, top)
    over = np.clip(scale.shown(high).filled(top), bottom, top)
    steps = surface.grid.axes[0].steps()
    style: dict[str, Any] = {"color": COLOUR, "alpha": 0.2, "linewidth": 0, "gid": "band"}
    axes.fill_between(steps, under, over, where=known.tolist(), **style)
    return ["band: two standard errors on either side"]


def _alone(heights: np.ndarray) -> np.ndarray:
    """Tell which points have no neighbour that a line could join them with."""
    missing = np.pad(np.isnan(heights), 1, constant_values=True)
    return missing[:-2] & missing[2:]


def _mark_points(axes: Axes, surface: Surface, key: str, heights: np.ndarray) -> None:
    steps = surface.grid.axes[0].steps()
    if steps[0] <= 0 <= steps[-1]:
        axes.axvline(0, color="0.75", linewidth=0.6, linestyle=":", zorder=1)
    for at in np.flatnonzero((steps == 0) & ~np.isnan(heights)):
        mark(axes, "origin", 0, heights[at])
    place = best_place(surface, key)
    if place is not None and not np.isnan(heights[place]):
        mark(axes, "best", steps[place[0]], heights[place])


def _furnish(axes: Axes, surface: Surface, key: str, scale: Scale) -> None:
    axis_of_steps(axes, surface.grid.axes[0].steps(), axis_label(surface, 0))
    empty = not np.isfinite(surface[key]).any()
    axis_of_values(axes, scale, surface.labels[key], empty=empty)


def axis_of_steps(axes: Axes, steps: np.ndarray, label: str = FIRST) -> None:
    """Let the horizontal axis run from the first step to the last, with a handful of numbers."""
    room = 0.02 * float(np.ptp(steps)) or 0.5
    axes.set_xlim(steps[0] - room, steps[-1] + room)
    few_ticks(axes.xaxis, steps)
    axes.set_xlabel(label, parse_math=False)


def axis_of_values(axes: Axes, scale: Scale, label: Label, *, empty: bool) -> None:
    """Let the vertical axis span the scale, with its ticks as values; without any where empty."""
    axes.set_ylim(*scale.bounds)
    axes.set_yticks(scale.heights(scale.ticks), labels=[scale.text(tick) for tick in scale.ticks])
    if empty:
        axes.set_yticks([])
    axes.set_ylabel(short_name(label), parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
