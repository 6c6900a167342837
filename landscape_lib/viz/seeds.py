"""What several seeds look like in one picture: every member, their mean and spread."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_lib.core.ensemble import Ensemble
from landscape_lib.core.surface import Surface
from landscape_lib.viz.comparison import (
    TITLE,
    WIDTH,
    Panel,
    draw_block,
    height_of,
    spaced_figure,
)
from landscape_lib.viz.curve import COLOUR, SIZE, axis_of_steps, axis_of_values
from landscape_lib.viz.figures import View, check_format, name_of, notes, save, write_title
from landscape_lib.viz.places import axis_label
from landscape_lib.viz.style import PLAIN_LOOK, Look, Scale, choose_scale
from landscape_lib.viz.stylesheet import figure_size, settings
from landscape_lib.viz.units import in_drawable_units

GREY = "0.45"


def plot_seeds(ensemble: Ensemble, key: str, path: Path | str, look: Look = PLAIN_LOOK) -> Path:
    """Write one metric of several seeds in one picture, whole or not at all; see ``seeds``.

    Args:
        ensemble: The members.
        key: The metric.
        path: The file, ending in ``.pdf``, ``.png`` or ``.svg``.
        look: Colours, scale and levels, shared by members and mean.

    Returns:
        The path.

    Raises:
        InputError: If there is no such metric or format.
    """
    path = Path(path)
    check_format(path.suffix.removeprefix("."))
    return save(seeds(ensemble, key, look), path, path.suffix[1:], look.style)


def seeds(ensemble: Ensemble, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw one metric of every member, their mean, and their standard deviation.

    Curves lie over each other, the mean thick, in a band of one standard deviation on either side.
    Surfaces lie beside each other on the same levels and colours; below them their mean on those,
    and the standard deviation on its own.

    Raises:
        InputError: If there is no such metric.
    """
    drawable, look = in_drawable_units(list(ensemble.members.values()), key, look)
    ensemble = Ensemble(dict(zip(ensemble.members, drawable, strict=True)))
    with settings(look.style):
        draw = _curves if len(ensemble.grid.axes) == 1 else _surfaces
        return draw(ensemble, key, look)


def _curves(ensemble: Ensemble, key: str, look: Look) -> Figure:
    mean, spread = ensemble.mean[key], ensemble.spread[key]
    stacked, label = ensemble.stacked(key), ensemble.first.labels[key]
    scale = choose_scale(stacked, look, label)
    steps = ensemble.grid.axes[0].steps()
    figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
    axes = figure.add_subplot()
    for values in stacked:
        heights = scale.shown(values).filled(np.nan)
        (member,) = axes.plot(steps, heights, color=GREY, linewidth=0.6, gid="member")
    middle = scale.shown(mean).filled(np.nan)
    (line,) = axes.plot(steps, middle, color=COLOUR, linewidth=1.8, gid="mean")
    band = _draw_band(axes, steps, (mean - spread, mean + spread), scale)
    axis_of_steps(axes, steps, axis_label(ensemble.first, 0))
    axis_of_values(axes, scale, label, empty=not np.isfinite(stacked).any())
    names = ["each seed", f"mean of {len(stacked)} seeds", "one standard deviation"]
    row: dict[str, Any] = {"ncols": 3, "handlelength": 1.2, "columnspacing": 1}
    figure.legend([member, line, band], names, loc="outside upper center", frameon=False, **row)
    write_title(axes, name_of(label), notes(stacked, scale, look))
    return figure


def _draw_band(
    axes: Axes, steps: np.ndarray, edges: tuple[np.ndarray, np.ndarray], scale: Scale
) -> Artist:
    """Draw a band; an edge that has no place on a log scale lies at the border."""
    bottom, top = scale.bounds
    known = np.isfinite(edges[0]) & np.isfinite(edges[1])
    low, high = (np.clip(scale.shown(edge).filled(bottom), bottom, top) for edge in edges)
    where = known.tolist()
    return axes.fill_between(
        steps, low, high, where=where, color=COLOUR, alpha=0.2, linewidth=0, gid="spread"
    )


def _surfaces(ensemble: Ensemble, key: str, look: Look) -> Figure:
    label, count = ensemble.first.labels[key], len(ensemble.members)
    scale = choose_scale(ensemble.stacked(key), look, label)
    members = [Panel(n, View(s, key, look, scale)) for n, s in ensemble.members.items()]
    mean = View(_shown(ensemble.mean, ensemble, "mean"), key, look, scale)
    wide = "log" if scale.log else "auto"  # at the centre, which all seeds share, it is zero
    apart = replace(look, vmin=None, vmax=None, vlevel=None, scale=wide)
    spread = View(_shown(ensemble.spread, ensemble, "standard deviation"), key, apart)
    below = [
        Panel(f"mean of {count} seeds", mean),
        Panel("standard deviation", spread, tuple(_said(ensemble, key))),
    ]
    blocks = [members, below]
    heights = [height_of(block) for block in blocks]
    figure = spaced_figure(figure_size(look.style, WIDTH, sum(heights) + TITLE))
    places = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights).ravel()
    for part, block in zip(places, blocks, strict=True):
        draw_block(part, block)
    figure.suptitle(name_of(label), parse_math=False)
    return figure


def _shown(surface: Surface, ensemble: Ensemble, name: str) -> Surface:
    """Give a surface a short name for its colour bar, and its axes those of the members."""
    labels = {key: replace(label, long_name=name) for key, label in surface.labels.items()}
    return replace(surface, attributes=ensemble.first.attributes, labels=labels)


def _said(ensemble: Ensemble, key: str) -> Sequence[str]:
    spread, mean = ensemble.spread[key], np.abs(ensemble.mean[key])
    known = np.isfinite(spread) & np.isfinite(mean) & (mean > 0)
    if not known.any():
        return ["nowhere finite"]
    return [f"median {100 * np.median(spread[known] / mean[known]):.3g} % of the mean"]
