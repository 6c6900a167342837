"""What a surface looks like as a relief, lit from one side, above its own map."""

import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

from landscape_lib.core.surface import Surface
from landscape_lib.viz.axis_names import axis_name
from landscape_lib.viz.figures import (
    WIDTH,
    View,
    best_place,
    colour_bar,
    few_ticks,
    mark,
    surface_notes,
    write_heading,
)
from landscape_lib.viz.style import PLAIN_LOOK, Look
from landscape_lib.viz.stylesheet import SMALL, figure_size, settings
from landscape_lib.viz.trajectories import each, name_trajectories, trace, trace_notes

SIZE = (WIDTH, 2.8)
MOST_FACETS = 200  # along one axis
LIGHT = np.array([-0.35, -0.45, 0.82])  # towards the lamp: from the front left, from above
SHADE = 0.5  # brightness of what the lamp does not reach
GAP = 0.5  # from the map on the floor to the lowest height, in heights


def relief(surface: Surface, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw the surface in three dimensions, above a map of itself with the best point on it.

    At most 200 x 200 facets are drawn; of a larger grid evenly spread steps with both ends, none
    of them interpolated, and the figure says so.  A facet that spans a missing value is left out.
    Heights beyond the colours are cut off there.

    Raises:
        InputError: If the surface is a curve, or there is no such metric.
    """
    with settings(look.style):
        view = View.of(surface, key, look)
        figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
        axes: Axes3D = figure.add_subplot(projection="3d", computed_zorder=False)
        said = surface_notes(view.surface, key, view.scale, view.look)
        if not view.is_empty:
            _draw(axes, view)
            _trace_above(axes, view)
            colour_bar(figure, axes, view, shrink=0.75, pad=0.09)
        _furnish(axes, view)
        write_heading(axes, view.surface, key, said + _sparse_notes(view) + trace_notes(view))
        return figure


def _sparse_notes(view: View) -> list[str]:
    if not view.has_cells:
        return ["one step along an axis: no surface, only points"]
    drawn = [len(chosen(len(steps))) for steps in (view.x, view.y)]
    if drawn == [len(view.x), len(view.y)]:
        return []
    times = "\N{MULTIPLICATION SIGN}"
    return [
        f"{drawn[0]} {times} {drawn[1]} of {len(view.x)} {times} {len(view.y)} points are drawn, "
        "none interpolated"
    ]


def chosen(count: int) -> np.ndarray:
    """Return which steps of an axis are drawn: at most 201, spread evenly, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_FACETS + 1)).round().astype(int))


def _draw(axes: Axes3D, view: View) -> None:
    low, high = view.scale.bounds
    heights = np.ma.masked_array(np.clip(view.heights.data, low, high), view.heights.mask)
    if view.has_cells:
        columns, rows = chosen(len(view.x)), chosen(len(view.y))
        facets, middles = _facets(view, heights, columns, rows)
        axes.add_collection3d(_lit(facets, middles, view), autolim=False)
        _map(axes, view, columns, rows)
        return
    x, y = (part.ravel() for part in np.meshgrid(view.x, view.y))
    line = heights.ravel().filled(np.nan)
    axes.plot(x, y, line, color="0.5", linewidth=0.8, zorder=2)
    axes.scatter(
        x, y, line, c=line, s=8, norm=view.norm, cmap=view.cmap, zorder=3, depthshade=False
    )


def _facets(
    view: View, heights: np.ma.MaskedArray, columns: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the facets, shape (n, 4, 3), and their mean heights, shape (n,)."""
    x, y = np.meshgrid(view.x[columns], view.y[rows])
    points = np.stack([x, y, heights.data[np.ix_(rows, columns)]], axis=-1)
    corners = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2)
    missing = np.zeros((len(view.y) + 1, len(view.x) + 1), dtype=np.int64)
    missing[1:, 1:] = heights.mask.cumsum(axis=0).cumsum(axis=1)
    first, last = np.ix_(rows[:-1], columns[:-1]), np.ix_(rows[1:] + 1, columns[1:] + 1)
    across, along = np.ix_(rows[:-1], columns[1:] + 1), np.ix_(rows[1:] + 1, columns[:-1])
    holes = missing[last] - missing[across] - missing[along] + missing[first]
    facets = corners[holes == 0]
    return facets, facets[:, :, 2].mean(axis=1)


def _lit(facets: np.ndarray, middles: np.ndarray, view: View) -> Poly3DCollection:
    """Colour each facet by its height, and darken it as it turns away from the lamp."""
    low, high = view.scale.bounds
    box = np.array([*_box(view)[:2], 1.0 / (1 + GAP)]) / [
        np.ptp(view.x),
        np.ptp(view.y),
        high - low,
    ]
    seen = facets * box
    normals = np.cross(seen[:, 2] - seen[:, 0], seen[:, 3] - seen[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = np.clip(normals @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    colours = view.cmap(view.norm(middles))
    colours[:, :3] *= (SHADE + (1 - SHADE) * light)[:, None]
    return Poly3DCollection(
        facets, facecolors=colours, edgecolors=colours, linewidths=0.15, rasterized=True, zorder=3
    )


def _map(axes: Axes3D, view: View, columns: np.ndarray, rows: np.ndarray) -> None:
    """Lay the filled contours on the floor, below the surface."""
    low, high = view.scale.bounds
    bands = axes.contourf(
        view.x[columns],
        view.y[rows],
        view.heights[np.ix_(rows, columns)],
        levels=view.scale.heights(view.scale.levels),
        norm=view.norm,
        cmap=view.cmap,
        extend=view.scale.extend,
        alpha=0.6,
        zdir="z",
        offset=low - GAP * (high - low),
        zorder=1,
    )
    bands.set_rasterized(True)


def _trace_above(axes: Axes3D, view: View) -> None:
    """Draw the ways that trainings took on the surface, too; heights between points bilinear."""
    if not (view.surface.trajectories and view.has_cells):
        return
    from landscape_lib.viz.interpolation import bilinear, follow  # scipy: a fifth of a second

    heights = np.clip(view.heights.filled(np.nan), *view.scale.bounds)
    for way, colour, style in each(view):
        steps = np.arange(len(way.alpha))
        between = follow(way.alpha, way.beta, view.x, view.y)
        alpha, beta = (np.interp(between, steps, along) for along in (way.alpha, way.beta))
        height = bilinear(view.x, view.y, heights.T, alpha, beta)
        look = {"color": colour, "linestyle": style, "linewidth": 1, "zorder": 4}
        axes.plot(alpha, beta, height, **look, gid="on the surface")


def _box(view: View) -> tuple[float, float, float]:
    wide, deep = (float(np.ptp(steps)) or 1.0 for steps in (view.x, view.y))
    flatness = min(max(wide / deep, 0.6), 1.6) if view.has_cells else 1.0
    return min(flatness, 1.0), min(1 / flatness, 1.0), 0.9


def _furnish(axes: Axes3D, view: View) -> None:
    low, high = view.scale.bounds
    floor = low - GAP * (high - low)
    if view.x[0] <= 0 <= view.x[-1] and view.y[0] <= 0 <= view.y[-1]:
        mark(axes, "origin", 0, 0, floor)
    place = best_place(view.surface, view.key)
    if place is not None:
        mark(axes, "best", view.x[place[0]], view.y[place[1]], floor)
    trace(axes, view, floor)
    name_trajectories(axes, view, "upper left")
    for steps, limits in ((view.x, axes.set_xlim), (view.y, axes.set_ylim)):
        room = 0.0 if len(steps) > 1 else 0.5
        limits(steps[0] - room, steps[-1] + room)
    axes.set_zlim(floor, high)
    axes.view_init(elev=32, azim=-60)
    names = [axis_name(view.surface.attributes, axis, short=True) for axis in range(2)]
    long = max(map(len, names)) > 1  # longer names need room, or they run off the page
    axes.set_box_aspect(_box(view), zoom=0.86 if long else 0.95)
    axes.set_xlabel(names[0], labelpad=-6, **({"fontsize": SMALL} if long else {}))
    axes.set_ylabel(names[1], labelpad=0, **({"fontsize": SMALL} if long else {}))
    axes.tick_params(pad=-3)
    axes.tick_params("z", pad=1)
    few_ticks(axes.xaxis, view.x, 5)
    few_ticks(axes.yaxis, view.y, 5)
    for axis, side in ((axes.xaxis, "right"), (axes.yaxis, "left")):  # off the corner they share
        for label in axis.get_ticklabels():
            label.set_horizontalalignment(side)
    ticks = () if view.is_empty else view.ticks
    axes.set_zticks(view.scale.heights(ticks), labels=[view.scale.text(t) for t in ticks])
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set(facecolor="white", edgecolor="#d0d0d0")
        axis._axinfo["grid"].update(color="#e4e4e4", linewidth=0.5)
