"""What every figure has in common: settings, words, the best point, how it is saved."""

import logging
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure, SubFigure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import whole_file
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.axis_names import ALPHA
from landscape_lib.viz.style import Look, Scale, choose_scale, is_flat, number_text
from landscape_lib.viz.stylesheet import SMALL, glyphs, settings
from landscape_lib.viz.units import in_drawable_units

MISSING = "#d9d9d9"
TITLE_LETTERS, NOTE_LETTERS = 44, 52  # in a line, so that it fits into the column
FORMATS: dict[str, dict[str, None]] = {  # what keeps the date out of each
    "pdf": {"CreationDate": None},
    "png": {},
    "svg": {"Date": None},
}
WIDTH = 3.5  # inches, 89 mm: one column of most journals


@dataclass(frozen=True)
class View:
    """One metric of a surface, ready to be drawn.

    The only place that turns values round: ``heights[j, i]`` belongs to ``x[i], y[j]``, because
    plots want rows to be y.
    """

    surface: Surface
    key: str
    look: Look
    shared: Scale | None = None  # with other pictures; None for a scale of its own

    def __post_init__(self) -> None:
        if len(self.surface.grid.axes) != 2:
            raise InputError(
                f"{self.key!r} is a curve: its grid has one axis, a surface has two. "
                "Draw it with plot_curve()."
            )

    @classmethod
    def of(cls, surface: Surface, key: str, look: Look) -> "View":
        """Return a view in units that can be drawn; see ``units``."""
        ((surface,), look) = in_drawable_units([surface], key, look)
        return cls(surface, key, look)

    @cached_property
    def scale(self) -> Scale:
        """Log or linear, bounds and levels."""
        return self.shared or choose_scale(self.values, self.look, self.surface.labels[self.key])

    @property
    def values(self) -> np.ndarray:
        """Values as measured, shape (nx, ny)."""
        return self.surface[self.key]

    @cached_property
    def heights(self) -> np.ma.MaskedArray:
        """Values as drawn, log10 on a log scale, shape (ny, nx); masked where missing."""
        return self.scale.shown(self.values).T

    @cached_property
    def x(self) -> np.ndarray:
        """Steps along the first direction, alpha, shape (nx,)."""
        return self.surface.grid.axes[0].steps()

    @cached_property
    def y(self) -> np.ndarray:
        """Steps along the second direction, beta, shape (ny,)."""
        return self.surface.grid.axes[1].steps()

    @property
    def has_cells(self) -> bool:
        """Whether both axes have two steps or more, so that there is something between them."""
        return min(self.surface.grid.shape) > 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there to be drawn."""
        return bool(self.heights.mask.all())

    @property
    def is_flat(self) -> bool:
        """Whether all that is drawn has one value."""
        return not self.is_empty and is_flat(self.heights.compressed())

    @property
    def norm(self) -> Normalize:
        """From heights as drawn to the unit interval of the colour map."""
        return Normalize(*self.scale.bounds)

    @property
    def cmap(self) -> Colormap:
        """The colour map, grey where values are missing."""
        return matplotlib.colormaps[self.look.cmap].with_extremes(bad=MISSING)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Values that get a number at the colour bar and the height axis."""
        if self.is_flat and not self.shared and (self.look.vmin, self.look.vmax) == (None, None):
            return (float(10 ** self.heights.mean() if self.scale.log else self.heights.mean()),)
        return self.scale.ticks


def notes(values: np.ndarray, scale: Scale, look: Look) -> list[str]:
    """Say what a reader would otherwise have to guess: constant, missing, beyond the bounds."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ["no finite value"]
    seen = finite[finite > 0] if look.scale == "log" else finite
    if not seen.size:
        return ["no positive value: a log scale shows nothing"]
    said = [f"constant {number_text(float(seen[0]))}"] if is_flat(seen) else []
    if finite.size < values.size:
        said.append(f"{values.size - finite.size} of {values.size} points are not finite")
    if seen.size < finite.size:
        said.append(
            f"{finite.size - seen.size} of {values.size} points are not positive: "
            "missing on the log scale"
        )
    if seen.max() < scale.levels[0]:
        said.append(f"every value is below {number_text(scale.levels[0])}")
    if seen.min() > scale.levels[-1]:
        said.append(f"every value is above {number_text(scale.levels[-1])}")
    return said


def surface_notes(surface: Surface, key: str, scale: Scale, look: Look) -> list[str]:
    """Say the same of a surface, and which of its points were evaluated where not all were."""
    values, computed = surface[key], surface.computed
    if computed is not None:
        values = values[computed | np.isfinite(values)]
    return evaluated_note(surface, key) + notes(values, scale, look)


def evaluated_note(surface: Surface, key: str) -> list[str]:
    """Say how many of a surface's points were evaluated: one line, or none where all were."""
    values, computed = surface[key], surface.computed
    if computed is None:
        return []
    missing = ~computed & ~np.isfinite(values)
    rest = "others interpolated"
    if missing.any():
        rest = f"{(~computed & ~missing).sum():,} interpolated, {missing.sum():,} missing"
    return [f"{computed.sum():,} of {values.size:,} points evaluated, {rest}"]


def best_place(surface: Surface, key: str) -> tuple[int, ...] | None:
    """Return the indices of the best finite value, the one nearest the origin among equals.

    Interpolated values do not count.

    Returns:
        One index an axis; None where no value is finite or none is better than another.
    """
    values = surface[key]
    finite = np.isfinite(values)
    if surface.computed is not None:
        finite &= surface.computed
    if not finite.any() or is_flat(values[finite]):
        return None
    best = values[finite].max() if surface.labels[key].goal == "max" else values[finite].min()
    equals = np.flatnonzero(finite & (values == best))
    distances = np.square(surface.grid.points(equals)).sum(axis=1)
    place = np.unravel_index(equals[np.argmin(distances)], values.shape)
    return tuple(int(index) for index in place)


def name_of(label: Label) -> str:
    """Spell a metric's name and unit; a character without a glyph as its Unicode escape."""
    return plain_text(f"{label.long_name} ({label.units})" if label.units else label.long_name)


def plain_text(words: str) -> str:
    """Spell every character that no font of ours has as its Unicode escape."""
    return "".join(c if ord(c) in glyphs() else ascii(c)[1:-1] for c in words)


def best_text(surface: Surface, key: str) -> list[str]:
    """Say what the best value is and where: one line, or none where none is better."""
    place = best_place(surface, key)
    if place is None:
        return []
    point = [axis.steps()[i] for axis, i in zip(surface.grid.axes, place, strict=True)]
    where = ", ".join(number_text(float(step), 4) for step in point)
    where = f"({where})" if len(point) > 1 else f"{ALPHA} = {where}"
    return [f"best {number_text(float(surface[key][place]), 4)} at {where}"]


def check_format(format: str) -> None:
    """Refuse a file format that we don't write.

    Raises:
        InputError: If there is no such format; the message lists those there are.
    """
    if format not in FORMATS:
        raise InputError(f"Unknown format {format!r}; choose one of {list(FORMATS)}.")


def save(figure: Figure, path: Path, format: str, style: str | Path | None = None) -> Path:
    """Write a figure whole or not at all; equal figures give equal bytes."""
    with settings(style), _quiet_fonts(), whole_file(path) as temporary:
        figure.savefig(temporary, format=format, metadata=FORMATS[format])
    return path


@contextmanager
def _quiet_fonts() -> Iterator[None]:
    """Keep the thirty lines that embedding a font logs out of a program that logs at INFO."""
    fonts = logging.getLogger("fontTools.subset")
    level = fonts.level
    fonts.setLevel(logging.WARNING)
    try:
        yield
    finally:
        fonts.setLevel(level)


def mark(axes: Axes, kind: str, *point: float) -> None:
    """Mark the best point with a star, the trained weights with a plus."""
    shape: dict[str, Any] = {
        "best": {"marker": "*", "markersize": 9, "markerfacecolor": "white", "zorder": 2.6},
        "origin": {"marker": "+", "markersize": 8, "markeredgewidth": 1.3, "zorder": 2.5},
    }[kind]
    style: dict[str, Any] = {
        "markeredgecolor": "black",
        "markeredgewidth": 0.7,
        "linestyle": "none",
    } | shape
    halo = [withStroke(linewidth=2.4, foreground="white")] if kind == "origin" else []
    places = ([coordinate] for coordinate in point)
    axes.plot(*places, **style, gid=kind, path_effects=halo, clip_on=False, in_layout=False)


def write_heading(axes: Axes, surface: Surface, key: str, said: Sequence[str]) -> None:
    """Write a metric's name above the axes, under it where the best point is, and notes."""
    title = textwrap.fill(name_of(surface.labels[key]), TITLE_LETTERS)
    write_title(axes, title, [*best_text(surface, key), *said])


def write_title(axes: Axes, title: str, said: Sequence[str]) -> None:
    """Write a title above the axes, and notes in small letters between the two."""
    lines = [line for note in said for line in textwrap.wrap(note, NOTE_LETTERS)]
    height = rcParams["font.size"]
    axes.set_title(title, pad=0.5 * height + height * len(lines), parse_math=False)
    axes.annotate(
        "\n".join(lines),
        (0.5, 1),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=SMALL,
        parse_math=False,
        linespacing=1.1,
    )


def few_ticks(axis: Axis, steps: np.ndarray, most: int = 6) -> None:
    """Put a handful of round numbers at an axis, from its first step to its last."""
    ticks = steps
    if len(steps) > 1:
        locator = MaxNLocator(most, steps=[1, 2, 5, 10])
        room = 1e-9 * (steps[-1] - steps[0])
        ticks = np.asarray(locator.tick_values(steps[0], steps[-1]))
        ticks = ticks[(ticks >= steps[0] - room) & (ticks <= steps[-1] + room)]
    axis.set_ticks(ticks, labels=[number_text(tick, 4) for tick in ticks])


def short_name(label: Label) -> str:
    """Spell a metric's name for an axis, where there is little room."""
    name = name_of(label)
    return name if len(name) <= 36 else f"{name[:35]}\N{HORIZONTAL ELLIPSIS}"


def _length(scale: Scale, ticks: Sequence[float]) -> int:
    """Return how many letters the numbers take beside each other, with gaps of two."""
    return sum(len(scale.text(tick)) + 2 for tick in ticks)


def colour_bar(
    figure: Figure | SubFigure,
    axes: Axes | Sequence[Axes],
    view: View,
    bands: QuadContourSet | None = None,
    letters: int | None = None,
    **place: Any,
) -> None:
    """Explain the colours beside the axes, in bands where the picture has bands.

    Args:
        figure: What holds the axes.
        axes: Whose colours they are; they make room for the bar.
        view: What the axes show.
        bands: The bands that are drawn; None: colours without steps.
        letters: How many fit beside each other along the bar; None: the numbers stand in a column.
        place: Where the bar stands, as matplotlib's ``colorbar`` takes it.
    """
    colours = ScalarMappable(view.norm, view.cmap) if bands is None else bands
    extend: dict[str, Any] = {} if bands is not None else {"extend": view.scale.extend}
    bar = figure.colorbar(colours, ax=axes, **extend, **place)
    ticks = view.ticks
    while letters is not None and len(ticks) > 3 and _length(view.scale, ticks) > letters:
        ticks = ticks[len(ticks) // 2 % 2 :: 2]  # the middle one, white in a difference, stays
    bar.set_ticks(
        view.scale.heights(ticks).tolist(), labels=[view.scale.text(tick) for tick in ticks]
    )
    bar.minorticks_off()
    bar.set_label(short_name(view.surface.labels[view.key]), parse_math=False)
