"""What a landscape looked like while its model was trained: moments side by side, and a film."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.animation import FFMpegWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from PIL import Image

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import whole_file
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.asked import keys_of
from landscape_lib.viz.comparison import comparison
from landscape_lib.viz.curve import COLOUR, axis_of_steps, axis_of_values
from landscape_lib.viz.explorer import Entry, write_explorer
from landscape_lib.viz.figures import (
    MISSING,
    View,
    best_text,
    check_format,
    colour_bar,
    name_of,
    save,
    write_title,
)
from landscape_lib.viz.flat import SIZE, draw_bands, draw_cells, furnish, mark_points
from landscape_lib.viz.names import file_name
from landscape_lib.viz.places import axis_label
from landscape_lib.viz.showing import Pictures, show_figures
from landscape_lib.viz.style import PLAIN_LOOK, Look, Scale, choose_scale
from landscape_lib.viz.stylesheet import figure_size, settings
from landscape_lib.viz.units import in_drawable_units

FILMS = ("gif", "mp4")
SECONDS = 6.0  # that a film takes, within the bounds of its pace
SLOWEST, FASTEST = 2.0, 15.0  # frames a second
DPI = 160  # of a film
FAINT = "0.8"


def plot_over_training(
    surfaces: Mapping[str, Surface], key: str, path: Path | str, look: Look = PLAIN_LOOK
) -> Path:
    """Write one metric of the moments of a training, as a picture or a film, whole or not at all.

    A picture has a panel for every moment, curves lie over each other in colours of their time; a
    film shows one moment after the other.  All moments share levels and colours.  Equal surfaces
    give equal bytes, but of ``.mp4``, which ffmpeg writes.

    Args:
        surfaces: By what the moments are called, in the order of training; all on one grid.
        key: The metric.
        path: The file, ending in ``.pdf``, ``.png`` or ``.svg``, or, of a film, ``.gif``, ``.mp4``.
        look: Colours, scale and levels.

    Returns:
        The path.

    Raises:
        InputError: If there are fewer than two moments, their grids differ, there is no such
            metric or format, or ffmpeg is missing for ``.mp4``.
    """
    path = Path(path)
    ending = path.suffix.removeprefix(".")
    film = Film(surfaces, key, look)
    if ending in FILMS:
        return _WRITERS[ending](film, path)
    check_format(ending)
    return save(film.side_by_side(), path, ending, look.style)


def write_over_training(
    surfaces: Mapping[str, Surface], prefix: Path | str, surf_name: str, film: str, *, show: bool
) -> Pictures:
    """Write ``<prefix>_<key>_over_training`` as a pdf and as a film, and one page of all metrics.

    Args:
        surfaces: By what the moments are called, in the order of training.
        prefix: What the files' names begin with.
        surf_name: A metric, or ``auto`` for every one.
        film: ``gif`` or ``mp4``.
        show: Open the pictures in windows, or inline in a notebook.

    Returns:
        The pdfs; the films are beside them.

    Raises:
        InputError: As ``plot_over_training``.
    """
    if film not in FILMS:
        raise InputError(f"Unknown film {film!r}; choose one of {list(FILMS)}.")
    keys = keys_of(next(iter(surfaces.values())), surf_name)
    stems = {key: f"{prefix}_{file_name(key)}_over_training" for key in keys}
    figures = [Film(surfaces, key).side_by_side() for key in keys]
    paths = [
        save(figure, Path(f"{stem}.pdf"), "pdf")
        for figure, stem in zip(figures, stems.values(), strict=True)
    ]
    for key, stem in stems.items():
        plot_over_training(surfaces, key, f"{stem}.{film}")
    entries = [Entry(name, surface) for name, surface in surfaces.items()]
    write_explorer(entries, f"{prefix}_over_training.html", series=Path(prefix).name)
    if show:
        show_figures(figures)
    return Pictures(paths, figures)


@dataclass(frozen=True)
class Film:
    """One metric of the moments of a training, on one scale.

    Attributes:
        surfaces: By what the moments are called, in the order of training.
        key: The metric.
        look: Colours, scale and levels.
    """

    surfaces: Mapping[str, Surface]
    key: str
    look: Look = PLAIN_LOOK

    def __post_init__(self) -> None:
        found = list(self.surfaces.values())
        if len(found) < 2:
            raise InputError(f"There are {len(found)} moments of a training; a film needs two.")
        for name, surface in self.surfaces.items():
            surface[self.key]  # says which metrics there are
            if surface.grid != found[0].grid:
                raise InputError(
                    f"{name!r} has the grid {surface.grid.axes}, the first moment "
                    f"{found[0].grid.axes}; the moments of a film share one grid."
                )
        drawable, look = in_drawable_units(found, self.key, self.look)
        object.__setattr__(self, "surfaces", dict(zip(self.surfaces, drawable, strict=True)))
        object.__setattr__(self, "look", look)

    @property
    def label(self) -> Label:
        """What the metric is called."""
        return next(iter(self.surfaces.values())).labels[self.key]

    @property
    def is_curve(self) -> bool:
        """Whether the moments are curves."""
        return len(next(iter(self.surfaces.values())).grid.axes) == 1

    @cached_property
    def scale(self) -> Scale:
        """Log or linear, bounds and levels: the same for every moment."""
        values = np.concatenate([surface[self.key].ravel() for surface in self.surfaces.values()])
        return choose_scale(values, self.look, self.label)

    @property
    def pace(self) -> float:
        """Frames a second."""
        return min(max(len(self.surfaces) / SECONDS, SLOWEST), FASTEST)

    def side_by_side(self) -> Figure:
        """Draw every moment: surfaces in panels, curves over each other, later ones darker."""
        if not self.is_curve:
            return comparison(self.surfaces, self.key, self.look, differences=False)
        with settings(self.look.style):
            figure = Figure(figsize=figure_size(self.look.style, *SIZE), layout="constrained")
            axes = figure.add_subplot()
            colours = matplotlib.colormaps[self.look.cmap].reversed()
            places = np.arange(len(self.surfaces))
            norm = BoundaryNorm(np.append(places - 0.5, places[-1] + 0.5), colours.N)
            lines = LineCollection(self._lines, cmap=colours, norm=norm, linewidths=1.2)
            lines.set_array(places)
            axes.add_collection(lines)
            self._furnish(axes)
            axes.set_title(name_of(self.label), parse_math=False)
            shown = np.unique(np.linspace(0, places[-1], min(len(places), 6)).round().astype(int))
            bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes)
            bar.set_ticks(shown.tolist(), labels=[list(self.surfaces)[place] for place in shown])
            bar.ax.tick_params(length=0)
            return figure

    def frames(self) -> Iterator[Figure]:
        """Draw one moment after the other, each into the same figure, everything in its place."""
        with settings(self.look.style):
            figure = Figure(figsize=figure_size(self.look.style, *SIZE), layout="constrained")
            for number, (name, surface) in enumerate(self.surfaces.items()):
                figure.clear()
                axes = figure.add_subplot(facecolor="white" if self.is_curve else MISSING)
                if self.is_curve:
                    self._draw_curve(axes, number)
                else:
                    self._draw_surface(figure, axes, surface)
                best = " ".join(best_text(surface, self.key))
                write_title(axes, f"{name_of(self.label)}, {name}", [best or " "])
                yield figure

    @property
    def _lines(self) -> list[np.ndarray]:
        """Every curve as it is drawn, shape (n, 2)."""
        return [
            np.column_stack(
                [surface.grid.axes[0].steps(), self.scale.shown(surface[self.key]).filled(np.nan)]
            )
            for surface in self.surfaces.values()
        ]

    def _draw_curve(self, axes: Axes, number: int) -> None:
        """Draw a moment's curve over those before it."""
        *before, now = self._lines[: number + 1]
        axes.add_collection(LineCollection(before, colors=FAINT, linewidths=0.8))
        axes.plot(*now.T, color=COLOUR, linewidth=1.4)
        self._furnish(axes)

    def _draw_surface(self, figure: Figure, axes: Axes, surface: Surface) -> None:
        view = View(surface, self.key, self.look, self.scale)
        bands = None
        if not view.has_cells:
            draw_cells(axes, view)
        elif not view.is_empty:
            bands = draw_bands(axes, view)
        furnish(axes, view)
        mark_points(axes, view)
        colour_bar(figure, axes, view, bands)

    def _furnish(self, axes: Axes) -> None:
        first = next(iter(self.surfaces.values()))
        empty = not any(np.isfinite(surface[self.key]).any() for surface in self.surfaces.values())
        axis_of_steps(axes, first.grid.axes[0].steps(), axis_label(first, 0))
        axis_of_values(axes, self.scale, self.label, empty=empty)


def _write_gif(film: Film, path: Path) -> Path:
    """Write a film that begins again at its end, in the colours that its frames have most of."""
    pictures = []
    for figure in film.frames():
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    lasting = round(1000 / film.pace)  # milliseconds
    first, *others = (picture.quantize(256, dither=Image.Dither.NONE) for picture in pictures)
    with whole_file(path) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=[lasting] * len(others) + [2 * lasting],
            loop=0,
        )
    return path


def _write_mp4(film: Film, path: Path) -> Path:
    if shutil.which("ffmpeg") is None:
        raise InputError(f"{path}: an mp4 needs the program ffmpeg, which is not here; use a gif.")
    with whole_file(path) as temporary, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / "film.mp4"  # ffmpeg goes by the ending
        writer = FFMpegWriter(fps=round(film.pace), extra_args=["-pix_fmt", "yuv420p"])
        frames = film.frames()
        with writer.saving(next(frames), str(made), DPI):
            writer.grab_frame()
            for _ in frames:
                writer.grab_frame()
        made.replace(temporary)
    return path


_WRITERS: Mapping[str, Callable[[Film, Path], Path]] = {"gif": _write_gif, "mp4": _write_mp4}
