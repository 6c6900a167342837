"""What a surface looks like from above: contours, filled contours, a heat map."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from landscape_lib.core.surface import Surface
from landscape_lib.viz.axis_names import ALPHA, BETA
from landscape_lib.viz.basins import basin_notes, mark_basins
from landscape_lib.viz.figures import (
    MISSING,
    WIDTH,
    View,
    best_place,
    colour_bar,
    few_ticks,
    mark,
    name_of,
    surface_notes,
    write_heading,
    write_title,
)
from landscape_lib.viz.places import axis_label, mark_models
from landscape_lib.viz.style import PLAIN_LOOK, Look, Scale
from landscape_lib.viz.stylesheet import INK, SMALL, figure_size, settings
from landscape_lib.viz.trajectories import name_trajectories, trace, trace_notes

SIZE = (WIDTH, 2.95)
HAIR = 1e-9  # of what levels span, far above rounding and far below what can be seen
MOST_VERTICES = 40_000  # a drawing of more is stored as pixels, and its lines get no numbers
ROOM_FOR_LABEL = 0.25  # of an axis that a contour spans: smaller ones go without a label


def contour(surface: Surface, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw lines of equal value; heights are interpolated as they are drawn, log10 in log.

    Raises:
        InputError: If the surface is a curve, or there is no such metric.
    """
    with settings(look.style):
        view = View.of(surface, key, look)
        said = _contour_notes(view)
        figure, axes = _canvas(view)
        if not view.has_cells:
            draw_cells(axes, view)
        elif not view.is_empty:
            _paper(axes, view)
            levels = _inner_levels(view)
            if levels.size:
                _lines(axes, view, levels)
            else:
                said.append("no level lies between its values: no contours")
        return _finished(figure, axes, view, said)


def filled_contour(surface: Surface, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw the bands between levels filled, with thin lines between them.

    Raises:
        InputError: If the surface is a curve, or there is no such metric.
    """
    with settings(look.style):
        view = View.of(surface, key, look)
        figure, axes = _canvas(view)
        bands = None
        if not view.has_cells:
            draw_cells(axes, view)
        elif not view.is_empty:
            bands = draw_bands(axes, view)
        return _finished(figure, axes, view, _contour_notes(view), bands)


def map_of(surface: Surface, key: str, look: Look, scale: Scale, said: Sequence[str]) -> Figure:
    """Draw a metric in bands of given colours and levels, with the trained weights at the plus.

    Args:
        surface: Values on a grid with two axes.
        key: Which of them.
        look: The colours.
        scale: The levels.
        said: What stands in small letters under its name.
    """
    with settings(look.style):
        view = View(surface, key, look, scale)
        figure, axes = _canvas(view)
        smooth = surface.labels[key].units != "%"  # shares lie on plateaus: lines fold onto them
        bands = None
        if view.has_cells and not view.is_empty:
            bands = draw_bands(axes, view, lines=smooth)
        else:
            draw_cells(axes, view)
        furnish(axes, view)
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        if left <= 0 <= right and low <= 0 <= high:
            mark(axes, "origin", 0, 0)
        if look.computed and surface.computed is not None:
            draw_computed(axes, view, surface.computed)
        mark_models(axes, surface)
        write_title(axes, name_of(surface.labels[key]), said)
        colour_bar(figure, axes, view, bands)
        return figure


def heat_map(surface: Surface, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw every measured point as a cell of its own, nothing interpolated.

    Raises:
        InputError: If the surface is a curve, or there is no such metric.
    """
    with settings(look.style):
        view = View.of(surface, key, look)
        figure, axes = _canvas(view)
        draw_cells(axes, view)
        return _finished(figure, axes, view, _notes(view))


def _canvas(view: View) -> tuple[Figure, Axes]:
    figure = Figure(figsize=figure_size(view.look.style, *SIZE), layout="compressed")
    axes = figure.add_subplot(facecolor=MISSING)
    return figure, axes


def _notes(view: View) -> list[str]:
    return surface_notes(view.surface, view.key, view.scale, view.look)


def _contour_notes(view: View) -> list[str]:
    said = _notes(view)
    if not view.has_cells:
        single = ALPHA if len(view.x) == 1 else BETA
        said.append(f"one step along {single}: no contours, points drawn as cells")
    return said


def draw_cells(axes: Axes, view: View) -> None:
    """Draw every point as a cell of its own; grey where it is missing."""
    x, y = _edges(view.x, view.y), _edges(view.y, view.x)
    axes.pcolormesh(x, y, view.heights, norm=view.norm, cmap=view.cmap, rasterized=True)


def _edges(steps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the borders between cells around the steps; a lone step gets a narrow cell."""
    if len(steps) == 1:
        half = 0.05 * float(np.ptp(others)) or 0.5
        return np.array([steps[0] - half, steps[0] + half])
    middles = (steps[:-1] + steps[1:]) / 2
    return np.concatenate([[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]])


def _paper(axes: Axes, view: View) -> None:
    """Lay white under everything that contours can reach, so that holes stay grey."""
    ground = np.ma.masked_array(np.zeros(view.heights.shape), view.heights.mask)
    paper = axes.contourf(view.x, view.y, ground, levels=[-1, 1], colors=["white"], zorder=0)
    _tame(paper)


def _inner_levels(view: View) -> np.ndarray:
    levels = view.scale.heights(view.scale.levels)
    return levels[(levels > view.heights.min()) & (levels < view.heights.max())]


def _lines(axes: Axes, view: View, levels: np.ndarray) -> None:
    lines = axes.contour(
        view.x,
        view.y,
        view.heights,
        levels=levels,
        norm=view.norm,
        cmap=view.cmap,
        linewidths=0.9,
        zorder=2,
    )
    texts = {
        level: view.scale.text(tick)
        for tick in view.scale.ticks
        for level in levels[np.isclose(levels, view.scale.heights([tick]))]
    }
    if not _tame(lines):
        return
    texts = {level: text for level, text in texts.items() if _has_room(lines, level, view)}
    if texts:
        labels = axes.clabel(lines, levels=list(texts), fmt=texts, fontsize=SMALL, colors=INK)
        for label in labels:
            label.set_path_effects([withStroke(linewidth=1.8, foreground="white")])


def _has_room(lines: QuadContourSet, level: float, view: View) -> bool:
    """Tell whether a contour is large enough beside the picture for a label not to hide it."""
    path = lines.get_paths()[int(np.flatnonzero(lines.levels == level)[0])]
    if not np.size(path.vertices):
        return False
    extents = path.get_extents()
    share = (extents.width / np.ptp(view.x), extents.height / np.ptp(view.y))
    return max(share) >= ROOM_FOR_LABEL


def draw_bands(axes: Axes, view: View, *, lines: bool = True) -> QuadContourSet:
    """Fill the bands between levels, with thin lines between them unless these are not wanted.

    Levels are lifted by a hair: where a plateau has the value of one, rounding would otherwise
    decide point by point on which side of it the plateau lies.
    """
    levels = view.scale.heights(view.scale.levels)
    hair = HAIR * np.ptp(levels)
    levels[1:-1] += hair
    bands = axes.contourf(
        view.x,
        view.y,
        view.heights,
        levels=levels,
        norm=view.norm,
        cmap=view.cmap,
        extend=view.scale.extend,
    )
    _tame(bands)
    inner = _inner_levels(view)
    if lines and inner.size:
        _tame(
            axes.contour(
                view.x,
                view.y,
                view.heights,
                levels=inner + hair,
                colors="black",
                linewidths=0.3,
                linestyles="solid",
            )
        )
    return bands


def _tame(drawn: QuadContourSet) -> bool:
    """Store what has too many vertices as pixels; return whether it is still lines."""
    small = sum(np.shape(path.vertices)[0] for path in drawn.get_paths()) <= MOST_VERTICES
    drawn.set_rasterized(not small)
    return small


def _finished(
    figure: Figure, axes: Axes, view: View, said: list[str], bands: QuadContourSet | None = None
) -> Figure:
    furnish(axes, view)
    mark_points(axes, view)
    marks = basin_notes(view.surface, view.key) if view.look.topology else []
    write_heading(axes, view.surface, view.key, said + marks + trace_notes(view))
    if not view.is_empty:
        colour_bar(figure, axes, view, bands)
    return figure


def is_true_to_scale(view: View) -> bool:
    """Whether steps are as long on both axes: unless one of these is over three times as long."""
    return view.has_cells and bool(1 / 3 <= np.ptp(view.x) / np.ptp(view.y) <= 3)


def furnish(axes: Axes, view: View, room: float = 1.0) -> None:
    """Let the axes end where the picture ends, with names and a handful of numbers.

    ``room``: see ``axis_label``.
    """
    if not axes.has_data():
        axes.set(xlim=_edges(view.x, view.y)[[0, -1]], ylim=_edges(view.y, view.x)[[0, -1]])
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.set_aspect("equal" if is_true_to_scale(view) else "auto")
    axes.set_xlabel(axis_label(view.surface, 0, room), parse_math=False)
    axes.set_ylabel(axis_label(view.surface, 1, room), parse_math=False)
    few_ticks(axes.xaxis, view.x)
    few_ticks(axes.yaxis, view.y, 8)
    axes.set(xlim=(left, right), ylim=(low, high))


def draw_computed(axes: Axes, view: View, computed: np.ndarray) -> None:
    """Put a dot on every point that was evaluated."""
    columns, rows = np.nonzero(computed)
    axes.plot(
        view.x[columns],
        view.y[rows],
        ".",
        color="black",
        markersize=2,
        markeredgewidth=0,
        alpha=0.7,
        gid="computed",
        zorder=2.2,
    )


def mark_points(axes: Axes, view: View) -> None:
    """Mark the origin, other models and the best point, and draw the way that training took."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if left <= 0 <= right and low <= 0 <= high:
        mark(axes, "origin", 0, 0)
    if view.look.computed and view.surface.computed is not None:
        draw_computed(axes, view, view.surface.computed)
    place = best_place(view.surface, view.key)
    if place is not None:
        mark(axes, "best", view.x[place[0]], view.y[place[1]])
    if view.look.topology:
        mark_basins(axes, view.surface, view.key)
    mark_models(axes, view.surface)
    trace(axes, view)
    name_trajectories(axes, view)
    axes.set(xlim=(left, right), ylim=(low, high))
