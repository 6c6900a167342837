"""What the basins of a surface look like, however they lie: at which value each begins and ends."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_lib.core.surface import Surface
from landscape_lib.core.topology import Basin, basins_of, criterion
from landscape_lib.viz.asked import DEFAULT_KEY, any_surface_of, keys_of, stem_of
from landscape_lib.viz.basins import extremes
from landscape_lib.viz.curve import COLOUR
from landscape_lib.viz.figures import WIDTH, check_format, name_of, save, write_title
from landscape_lib.viz.names import PERSISTENCE, file_name
from landscape_lib.viz.showing import Pictures, show_figures
from landscape_lib.viz.style import PLAIN_LOOK, Look, Scale, choose_scale, is_log
from landscape_lib.viz.stylesheet import figure_size, settings
from landscape_lib.viz.units import in_drawable_units

SIZE = (WIDTH, 3.4)
FAINT = "0.55"
MOST_BASINS = 5_000  # of more, points are stored as pixels: a rough surface has 100,000


def persistence(surface: Surface, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw the persistence diagram of a curve or surface: a point for every basin.

    Across, the value of its minimum (birth); upwards, that of the pass over which it joins a
    deeper basin (death).  Its distance from the diagonal is how far one must climb to leave it.
    Basins that are clear are filled, see ``landscape_lib.core.topology.is_clear``; those that join
    no other are triangles at the upper edge (of a metric that is to be high, the lower one).

    Args:
        surface: Values on any grid.
        key: Which of its metrics.
        look: Of which the scale and the style sheet count.

    Raises:
        InputError: If there is no such metric.
    """
    ((surface,), look) = in_drawable_units([surface], key, look)
    with settings(look.style):
        figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
        axes = figure.add_subplot()
        label = surface.labels[key]
        log = is_log(surface[key], look, label)
        clear, others = basins_of(surface, key)
        faint, filled = ([b for b in one if _has_place(b, log)] for one in (others, clear))
        scale = _scale(surface, key, [*filled, *faint], look, log=log)
        _frame(axes, surface, key, scale)
        _points(axes, scale, faint, color="none", markeredgecolor=FAINT)
        _points(axes, scale, filled, color=COLOUR, markeredgecolor="white")
        title = f"{'basins' if label.goal == 'min' else 'peaks'} of {name_of(label)}"
        said = _notes(surface, key, clear, others)
        left_out = len(clear) + len(others) - len(filled) - len(faint)
        if left_out:
            said.append(f"{left_out} not positive: missing on the log scale")
        write_title(axes, title, said)
        return figure


def _has_place(basin: Basin, log: bool) -> bool:
    return not log or (basin.birth > 0 and (basin.saddle is None or basin.death > 0))


def _scale(surface: Surface, key: str, basins: Sequence[Basin], look: Look, *, log: bool) -> Scale:
    """Return a scale that holds every birth and death."""
    values, label = surface[key], surface.labels[key]
    ends = [basin.death for basin in basins if np.isfinite(basin.death)]
    if not ends:  # one basin, all of the surface
        worst = np.max if label.goal == "min" else np.min
        ends = [float(worst(values[np.isfinite(values)]))] if basins else []
    held = np.array([*(basin.birth for basin in basins), *ends])
    free = replace(look, scale="log" if log else "linear", vmin=None, vmax=None, vlevel=None)
    return choose_scale(held, free, replace(label, goal="min"))


def _frame(axes: Axes, surface: Surface, key: str, scale: Scale) -> None:
    low, high = scale.bounds
    room = 0.04 * (high - low) or 0.5
    axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room), aspect="equal")
    ticks, texts = scale.heights(scale.ticks), [scale.text(tick) for tick in scale.ticks]
    axes.set_xticks(ticks, labels=texts)
    axes.set_yticks(ticks, labels=texts)
    axes.set_xlabel(f"at the {extremes(surface, key, 1)} (birth)")
    axes.set_ylabel("at the pass to a better one (death)")
    axes.axline((low, low), slope=1, color="0.75", linewidth=0.6, zorder=1)
    axes.spines[["top", "right"]].set_visible(False)


def _points(axes: Axes, scale: Scale, basins: Sequence[Basin], **colours: str) -> None:
    style: dict[str, Any] = {
        "linestyle": "none",
        "markeredgewidth": 0.7,
        "clip_on": False,
        "rasterized": len(basins) > MOST_BASINS,
        **colours,
    }
    paired = [basin for basin in basins if basin.saddle is not None]
    births = scale.shown([basin.birth for basin in paired])
    deaths = scale.shown([basin.death for basin in paired])
    thin = {"color": "0.8", "linewidth": 0.7, "zorder": 1.5, "rasterized": style["rasterized"]}
    axes.vlines(births, births, deaths, **thin)
    axes.plot(births, deaths, marker="o", markersize=5, zorder=2, gid="basins", **style)
    left = [basin for basin in basins if basin.saddle is None]
    if left:
        end = axes.get_ylim()[1 if left[0].death > 0 else 0]
        births = scale.shown([basin.birth for basin in left])
        marker = "^" if left[0].death > 0 else "v"
        axes.plot(births, [end] * len(left), marker=marker, markersize=7, gid="never", **style)


def _notes(
    surface: Surface, key: str, clear: Sequence[Basin], others: Sequence[Basin]
) -> list[str]:
    count = len(clear) + len(others)
    if not count:
        return ["no finite value"]
    said = [f"{count} {extremes(surface, key, count)}, {len(clear)} of them clear (filled)"]
    if others:
        said.append(f"clear: {criterion(surface, key)}")
    border = sum(basin.on_border for basin in clear)
    if border:
        said.append(f"{border} of the clear ones at the border of the grid")
    return said


def plot_persistence(
    surface: Surface, key: str, folder: Path, look: Look = PLAIN_LOOK, format: str = "pdf"
) -> Path:
    """Write the persistence diagram of one metric, ``<key>_persistence``, whole or not at all.

    Args:
        surface: Values on any grid.
        key: Which of its metrics.
        folder: Where the file goes; made where it is missing.
        look: Of which the scale and the style sheet count.
        format: ``"pdf"``, ``"png"`` or ``"svg"``.

    Raises:
        InputError: If there is no such metric or format.
    """
    check_format(format)
    path = Path(folder) / f"{file_name(key)}_{PERSISTENCE}.{format}"
    return save(persistence(surface, key, look), path, format, look.style)


def plot_topology(
    surf_file: Surface | Path | str,
    surf_name: str = DEFAULT_KEY,
    show: bool = False,
    *,
    prefix: Path | str | None = None,
) -> Pictures:
    """Write ``<surf_file>_<key>_persistence.pdf``: at which value each basin begins and ends.

    Args:
        surf_file: A surface file, of ours or of another tool, or a ``Surface``; curves, too.
        surf_name: A metric, or ``auto`` for every one.  ``train_loss``, the default, means every
            metric where there is none of that name.
        show: Open the pictures in windows, or inline in a notebook.
        prefix: What the files' names begin with, in place of ``surf_file``.

    Returns:
        The paths, one a metric.

    Raises:
        InputError: If there is no such metric.
    """
    surface, stem = any_surface_of(surf_file), stem_of(surf_file, prefix)
    drawn = {
        Path(f"{stem}_{file_name(key)}_{PERSISTENCE}.pdf"): persistence(surface, key)
        for key in keys_of(surface, surf_name)
    }
    for path, figure in drawn.items():
        save(figure, path, "pdf")
    if show:
        show_figures(list(drawn.values()))
    return Pictures(list(drawn), list(drawn.values()))
