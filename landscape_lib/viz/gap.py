"""What the gap between other data and the training data looks like: white where it is zero."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from landscape_lib.core.gap import GAP, gap_of
from landscape_lib.core.geometry import origin
from landscape_lib.core.surface import Surface
from landscape_lib.viz.comparison import DIFFERENCES, MINUS, symmetric_scale
from landscape_lib.viz.curve import (
    COLOUR,
    ERRORS,
    SIZE,
    axis_of_steps,
    axis_of_values,
    draw_errors,
)
from landscape_lib.viz.figures import check_format, evaluated_note, name_of, save, write_title
from landscape_lib.viz.flat import map_of
from landscape_lib.viz.names import file_name
from landscape_lib.viz.places import axis_label
from landscape_lib.viz.style import PLAIN_LOOK, Look, beyond, choose_scale, number_text
from landscape_lib.viz.stylesheet import figure_size, settings
from landscape_lib.viz.units import in_drawable_units

LETTERS = 26  # in a line of the label of a curve's values
SEEN = 90  # percent of the points, whose values the colours span


def plot_gap(
    surface: Surface, key: str, folder: Path, look: Look = PLAIN_LOOK, format: str = "pdf"
) -> Path:
    """Write how far a metric of other data is above the training data's, ``<key>_gap``.

    Args:
        surface: With both metrics; a curve, too.
        key: That of the other data, as ``test_loss``.
        folder: Where the file goes; made where it is missing.
        look: The style sheet; scale and bounds are those of a difference.
        format: ``"pdf"``, ``"png"`` or ``"svg"``.

    Returns:
        The path.

    Raises:
        InputError: If the training data have no such metric, or there is no such format.
    """
    check_format(format)
    path = Path(folder) / f"{file_name(key)}_{GAP}.{format}"
    return save(gap(surface, key, look), path, format, look.style)


def gap(surface: Surface, key: str, look: Look = PLAIN_LOOK) -> Figure:
    """Draw the gap of one metric: as a curve, or in colours that are white where it is zero.

    Colours span what nine of ten points have, as far below zero as above.

    Raises:
        InputError: If the training data have no such metric.
    """
    found = gap_of(surface, key)
    (own,) = found.keys
    plain = Look(scale="linear", style=look.style, computed=look.computed)
    ((found,), plain) = in_drawable_units([found], own, plain)
    if len(found.grid.axes) == 1:
        return _curve(found, own, plain)
    known = np.abs(found[own][np.isfinite(found[own])])
    scale = symmetric_scale(float(np.percentile(known, SEEN)) if known.size else 0.0)
    shared = replace(scale, extend=beyond(found[own], scale.levels))
    return map_of(found, own, replace(plain, cmap=DIFFERENCES), shared, _said(found, own))


def _curve(surface: Surface, key: str, look: Look) -> Figure:
    values, steps = surface[key], surface.grid.axes[0].steps()
    room = ERRORS * np.nan_to_num(surface.standard_error(key))
    spanned = np.concatenate([values - room, values + room, [0.0]])
    with settings(look.style):
        scale = choose_scale(spanned, look, surface.labels[key])
        figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0, color="0.75", linewidth=0.6, linestyle=":", zorder=1, gid="zero")
        heights = scale.shown(values).filled(np.nan)
        axes.plot(steps, heights, ".-", color=COLOUR, linewidth=1.2, markersize=3.5, gid="curve")
        band = draw_errors(axes, surface, key, scale)
        axis_of_steps(axes, steps, axis_label(surface, 0))
        axis_of_values(axes, scale, surface.labels[key], empty=not np.isfinite(values).any())
        axes.set_ylabel(_folded(axes.get_ylabel()), parse_math=False)
        write_title(axes, name_of(surface.labels[key]), [*_said(surface, key), *band])
        return figure


def _folded(name: str) -> str:
    """Break a name that is longer than its axis behind the minus."""
    return name if len(name) <= LETTERS else name.replace(f"{MINUS} ", f"{MINUS}\n", 1)


def _said(surface: Surface, key: str) -> list[str]:
    values, errors = surface[key], surface.standard_error(key)
    known = np.isfinite(values)
    if not known.any():
        return ["nowhere both finite"]
    said = [f"from {number_text(values[known].min(), 3)} to {number_text(values[known].max(), 3)}"]
    if not values[known].any():
        said = ["equal where both are finite"]
    centre = origin(surface.grid)
    if centre is not None and np.isfinite(errors[centre]):
        doubt = number_text(ERRORS * errors[centre], 2)
        said.append(f"{number_text(values[centre], 3)} \N{PLUS-MINUS SIGN} {doubt} at the centre")
    if (~known).any():
        said.append(f"{(~known).sum():,} of {values.size:,} points are not finite in both")
    told = known & np.isfinite(errors)
    if told.any():
        clear = int((np.abs(values[told]) > ERRORS * errors[told]).sum())
        said.append(f"beyond two standard errors at {clear:,} of {told.sum():,} points")
    return said + evaluated_note(surface, key)
