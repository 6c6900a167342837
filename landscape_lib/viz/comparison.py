"""What several runs look like beside each other: on the same levels, and less one another."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.axis_names import directions_of
from landscape_lib.viz.curve import FIRST
from landscape_lib.viz.curves import Line, draw_lines
from landscape_lib.viz.figures import (
    View,
    best_text,
    check_format,
    colour_bar,
    mark,
    name_of,
    plain_text,
    save,
    surface_notes,
    write_title,
)
from landscape_lib.viz.flat import (
    draw_bands,
    draw_cells,
    furnish,
    is_true_to_scale,
    mark_points,
)
from landscape_lib.viz.places import axis_label
from landscape_lib.viz.style import PLAIN_LOOK, Look, Scale, beyond, choose_scale
from landscape_lib.viz.stylesheet import figure_size, settings
from landscape_lib.viz.units import in_drawable_units

WIDTH = 7.1  # inches, 180 mm: both columns of most journals
ROW, BAR = 2.45, 0.65  # heights of a row of panels and of the colour bars under them, inches
BAR_LETTERS = 80  # of a colour bar's numbers under a whole row, gaps between them counted
FRAME = 1.65  # height of a panel without its title and names, at most, inches
BESIDE, BETWEEN = (
    0.55,
    0.42,
)  # widths of the names left of a row and of each panel's numbers, inches
ROWS_APART = 0.1  # room above and below each row, inches
TITLE = 0.45  # room for the title above them, where labels of axes have two lines, inches
MOST_COLUMNS = 3
DIFFERENCES = "RdBu_r"  # red is higher, blue lower, white the same: told apart with any eyes
MOST, FAR = 90, 3  # percent of the points, and from how many times theirs on a difference is far
NO_GROUPS: Mapping[str, Sequence[str]] = {}
MINUS = "\N{MINUS SIGN}"


def plot_comparison(
    surfaces: Mapping[str, Surface],
    key: str,
    path: Path | str,
    look: Look = PLAIN_LOOK,
    groups: Mapping[str, Sequence[str]] = NO_GROUPS,
) -> Path:
    """Write one metric of several runs in one picture, whole or not at all; see ``comparison``.

    Args:
        surfaces: By the names of the runs, in the order of the panels; those without the metric
            are left out.
        key: The metric.
        path: The file, ending in ``.pdf``, ``.png`` or ``.svg``.
        look: Colours, scale and levels, shared by all.
        groups: Names of curves that are drawn as one, in a band, by the name of the group.

    Returns:
        The path.

    Raises:
        InputError: If fewer than two runs have the metric, or there is no such format.
    """
    path = Path(path)
    check_format(path.suffix.removeprefix("."))
    return save(comparison(surfaces, key, look, groups), path, path.suffix[1:], look.style)


def comparison(
    surfaces: Mapping[str, Surface],
    key: str,
    look: Look = PLAIN_LOOK,
    groups: Mapping[str, Sequence[str]] = NO_GROUPS,
    *,
    differences: bool = True,
) -> Figure:
    """Draw one metric of several runs: surfaces side by side, curves over each other.

    All surfaces share levels and colours.  With ``differences``, below them, or beside two of
    them, stands what each run on the first one's grid is less the first; on a log scale log10 of
    their ratio.  Curves of a group are one line, their median, in a band from the lowest to the
    highest.

    Raises:
        InputError: If fewer than two runs have the metric, or curves of a group differ in grid.
    """
    having = {name: surface for name, surface in surfaces.items() if key in surface.keys}
    if len(having) < 2:
        raise InputError(
            f"{key!r} is measured by {list(having) or 'no run'}; a comparison needs two runs or "
            "more that have it."
        )
    drawable, look = in_drawable_units(list(having.values()), key, look)
    having = dict(zip(having, drawable, strict=True))
    planes = {name: s for name, s in having.items() if len(s.grid.axes) == 2}
    cuts = {name: s for name, s in having.items() if len(s.grid.axes) == 1}
    lines = _lines(cuts, key, groups)
    with settings(look.style):
        panels = _panels(planes, key, look) if planes else []
        blocks = _blocks([p for p in panels if differences or not p.is_apart])
        heights = [height_of(block) for block in blocks] + [ROW] * bool(lines)
        size = figure_size(look.style, WIDTH, sum(heights) + TITLE)
        figure = spaced_figure(size)
        places = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
        parts: list[SubFigure] = list(places.ravel())
        for part, block in zip(parts, blocks, strict=False):  # the last part may hold curves
            draw_block(part, block)
        if lines:
            label = next(iter(cuts.values())).labels[key]
            axes = parts[-1].subplots()
            draw_lines(axes, lines, label, look, _common_axis(cuts))
            axes.legend(frameon=False)  # a single one has a name, too: it is one run among others
        figure.suptitle(name_of(next(iter(having.values())).labels[key]), parse_math=False)
        return figure


def spaced_figure(size: tuple[float, float]) -> Figure:
    """Return a figure whose rows and title do not touch."""
    return Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=ROWS_APART))


def _lines(
    cuts: Mapping[str, Surface], key: str, groups: Mapping[str, Sequence[str]]
) -> list[Line]:
    """Return a line for every group, then one for every curve in none."""
    grouped = {name for names in groups.values() for name in names}
    members = {group: [cuts[n] for n in names if n in cuts] for group, names in groups.items()}
    bands = [Line.across(group, found, key) for group, found in members.items() if found]
    return bands + [Line.of(n, cut, key) for n, cut in cuts.items() if n not in grouped]


def _common_axis(cuts: Mapping[str, Surface]) -> str:
    """Return what one step of all curves is, where they walk along the same direction."""
    labels = {axis_label(cut, 0, room=2.0) for cut in cuts.values()}
    return labels.pop() if len(labels) == 1 else FIRST


@dataclass(frozen=True)
class Panel:
    """One picture among others.

    Attributes:
        title: What it is called.
        view: What it shows.
        remarks: What stands in small letters above one that has colours of its own, as a difference
            from others; None where it shares them with the others.
    """

    title: str
    view: View
    remarks: tuple[str, ...] | None = None

    @property
    def is_apart(self) -> bool:
        """Whether it has colours of its own."""
        return self.remarks is not None

    def draw(self, axes: Axes) -> Any:
        """Draw it, and return what a colour bar explains."""
        bands = None
        if self.is_apart or not self.view.has_cells:
            draw_cells(axes, self.view)
        elif not self.view.is_empty:
            bands = draw_bands(axes, self.view)
        furnish(axes, self.view, room=0.55)
        if not self.is_apart:
            mark_points(axes, self.view)
        elif min(axes.get_xlim()) <= 0 <= max(axes.get_xlim()):
            mark(axes, "origin", 0, 0)
        return bands

    @property
    def said(self) -> list[str]:
        """What stands in small letters above it."""
        if self.remarks is not None:
            return list(self.remarks)
        surface, key = self.view.surface, self.view.key
        return [
            *best_text(surface, key),
            *surface_notes(surface, key, self.view.scale, self.view.look),
        ]


def _panels(planes: Mapping[str, Surface], key: str, look: Look) -> list[Panel]:
    """Return every run's panel, then the differences of those on the first one's grid."""
    (first_name, first), *others = planes.items()
    values = np.concatenate([surface[key].ravel() for surface in planes.values()])
    scale = choose_scale(values, look, first.labels[key])
    panels = [Panel(name, View(s, key, look, scale)) for name, s in planes.items()]
    views = [
        (name, _difference(surface, first, key, scale, look))
        for name, surface in others
        if surface.grid == first.grid
    ]
    bounds = _shared_bounds([view for _, view in views])
    between = "/" if scale.log else MINUS
    return panels + [
        Panel(
            f"{name} {between} {first_name}",
            replace(view, shared=bounds),
            tuple(_difference_notes(view)),
        )
        for name, view in views
    ]


def _difference(surface: Surface, first: Surface, key: str, scale: Scale, look: Look) -> View:
    """Return a run less the first one: log10 of their ratio where the scale is log."""
    one, other = (scale.shown(s[key]).filled(np.nan) for s in (surface, first))
    name = "log₁₀ of the ratio" if scale.log else "difference"
    label = Label(name, "" if scale.log else first.labels[key].units)
    axes = [directions_of(s.attributes) for s in (surface, first)]
    told = {"axis_directions": axes[0]} if axes[0] == axes[1] else {}
    values = Surface(surface.grid, {key: one - other}, labels={key: label}, attributes=told)
    return View(values, key, Look(cmap=DIFFERENCES, scale="linear", style=look.style))


def _shared_bounds(views: Sequence[View]) -> Scale:
    """Return levels that reach as far below zero as above.

    They reach as far as the largest difference, or, where that is far beyond the others, as far
    as nine of ten: one corner of a plane must not make all the rest white.
    """
    values = np.concatenate([view.values.ravel() for view in views] or [np.zeros(0)])
    known = values[np.isfinite(values)]
    if not known.size:
        return symmetric_scale(0.0)
    most, largest = np.percentile(np.abs(known), [MOST, 100])
    scale = symmetric_scale(float(most if most and largest > FAR * most else largest))
    return replace(scale, extend=beyond(known, scale.levels))


def symmetric_scale(limit: float) -> Scale:
    """Return about ten levels from below minus a limit to above it, white in the middle."""
    limit = limit if limit > 0 else 1.0
    locator = MaxNLocator(10, steps=[1, 2, 2.5, 5, 10], symmetric=True)
    return Scale(False, tuple(float(level) for level in locator.tick_values(-limit, limit)))


def _difference_notes(view: View) -> list[str]:
    known = view.values[np.isfinite(view.values)]
    if not known.size:
        return ["nowhere both finite"]
    missing = view.values.size - known.size
    said = f"lower at {(known < 0).sum():,} of {known.size:,} points"
    if not known.any():
        said = "equal where both are finite" if missing else "equal everywhere"
    absent = f"{missing:,} of {view.values.size:,} are missing in one"
    return [said, absent] if missing else [said]


def _blocks(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Return what stands in one row, or runs and differences apart where they are many."""
    if len(panels) <= MOST_COLUMNS:
        return [list(panels)] if panels else []
    kinds = [[p for p in panels if p.is_apart is kind] for kind in (False, True)]
    return [block for block in kinds if block]


def rows_of(block: Sequence[Panel]) -> int:
    """Return how many rows a block of panels takes."""
    return -(-len(block) // MOST_COLUMNS)


def height_of(block: Sequence[Panel]) -> float:
    """Return the height of a block and the colour bar under it, in inches.

    Panels that are true to scale and wider than high take less.
    """
    columns = min(len(block), MOST_COLUMNS)
    width = 0.95 * (WIDTH - BESIDE - BETWEEN * columns) / columns
    frame = min(FRAME, width * max(_steepness(panel.view) for panel in block))
    return (ROW - FRAME + frame) * rows_of(block) + BAR


def _steepness(view: View) -> float:
    """Return a panel's height over its width, one where it isn't drawn true to scale."""
    if not is_true_to_scale(view):
        return 1.0
    return float(np.ptp(view.y) / np.ptp(view.x))


def _name_once(frames: Sequence[Axes], columns: int) -> None:
    """Name the vertical axes of a row at its first panel alone, where all are the same."""
    for start in range(0, len(frames), columns):
        first, *others = frames[start : start + columns]
        if all(frame.get_ylabel() == first.get_ylabel() for frame in others):
            for frame in others:
                frame.set_ylabel("")


def draw_block(part: SubFigure, block: Sequence[Panel]) -> None:
    """Draw panels beside each other, with one colour bar for all that share their colours."""
    columns = min(len(block), MOST_COLUMNS)
    frames = list(part.subplots(rows_of(block), columns, squeeze=False).ravel())
    for frame in frames[len(block) :]:
        frame.remove()
    drawn = [(panel, frame, panel.draw(frame)) for panel, frame in zip(block, frames, strict=False)]
    _name_once([frame for _, frame, _ in drawn], columns)
    for panel, frame, _ in drawn:
        write_title(frame, textwrap.fill(plain_text(panel.title), 34), panel.said)
    for kind in (False, True):
        alike = [found for found in drawn if found[0].is_apart is kind]
        shown = [found for found in alike if not found[0].view.is_empty]
        if shown:
            bands = next((found[2] for found in shown if found[2] is not None), None)
            share = min(len(alike), columns) / columns
            letters = round(share * BAR_LETTERS)
            place = {"location": "bottom", "aspect": 15 * len(alike), "shrink": 0.9}
            colour_bar(
                part, [found[1] for found in alike], shown[0][0].view, bands, letters, **place
            )
