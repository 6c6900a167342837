"""What several curves look like in one picture: over each other, with bands, on twin axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.curve import FIRST, SIZE, axis_of_steps, axis_of_values
from landscape_lib.viz.figures import name_of, short_name
from landscape_lib.viz.names import rated_splits
from landscape_lib.viz.places import axis_label
from landscape_lib.viz.style import PLAIN_LOOK, Look, Scale, choose_scale
from landscape_lib.viz.stylesheet import DASHES, OKABE_ITO, figure_size, settings

LOSS, RATE = OKABE_ITO[:2]


@dataclass(frozen=True)
class Line:
    """One curve among others.

    Attributes:
        name: What the legend calls it.
        steps: Where it was measured, shape (n,).
        values: Shape (n,); gaps where they are not finite.
        low: Lower edge of a band around it, shape (n,); None for no band.
        high: Upper edge of the band.
    """

    name: str
    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @classmethod
    def of(cls, name: str, surface: Surface, key: str) -> "Line":
        """Return one metric of a surface with one axis."""
        _refuse_planes([surface], key)
        return cls(name, surface.grid.axes[0].steps(), surface[key])

    @classmethod
    def across(cls, name: str, surfaces: Sequence[Surface], key: str) -> "Line":
        """Return the median of several runs, in a band from their lowest to their highest.

        A step where a run's value is not finite has neither.

        Raises:
            InputError: If there is none, they are no curves, or their grids differ.
        """
        _refuse_planes(surfaces, key)
        if not surfaces or any(surface.grid != surfaces[0].grid for surface in surfaces):
            raise InputError(
                f"{name}: a band needs at least one curve, and all of them on one grid; found "
                f"{[surface.grid.axes for surface in surfaces]}."
            )
        values = np.stack([surface[key] for surface in surfaces])
        values = np.where(np.isfinite(values).all(axis=0), values, np.nan)
        steps = surfaces[0].grid.axes[0].steps()
        low, high = values.min(axis=0), values.max(axis=0)
        return cls(f"{name} ({len(surfaces)} runs)", steps, np.median(values, axis=0), low, high)

    @property
    def extent(self) -> np.ndarray:
        """Every value of line and band."""
        edges = [edge for edge in (self.low, self.high) if edge is not None]
        return np.concatenate([self.values, *edges])


def _refuse_planes(surfaces: Sequence[Surface], key: str) -> None:
    if any(len(surface.grid.axes) != 1 for surface in surfaces):
        raise InputError(f"{key!r} is a surface: its grid has two axes, a curve has one.")


def curves(lines: Sequence[Line], label: Label, look: Look = PLAIN_LOOK) -> Figure:
    """Draw any number of curves over each other, on one scale, each with its band.

    Args:
        lines: What is drawn, in the order of the legend.
        label: What the values are called, and which end is good.
        look: Scale and bounds.

    Raises:
        InputError: If there is none.
    """
    if not lines:
        raise InputError("There are no curves to draw; give at least one.")
    with settings(look.style):
        figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
        axes = figure.add_subplot()
        draw_lines(axes, lines, label, look)
        axes.set_title(name_of(label), parse_math=False)
        return figure


def draw_lines(
    axes: Axes, lines: Sequence[Line], label: Label, look: Look, across: str = FIRST
) -> None:
    """Draw curves into axes, with names at the axes and a legend; ``across`` names the steps."""
    scale = choose_scale(np.concatenate([line.extent for line in lines]), look, label)
    drawn = [
        _draw(axes, line, scale, **cycled)
        for line, cycled in zip(lines, rcParams["axes.prop_cycle"](), strict=False)
    ]
    axis_of_steps(axes, _all_steps(lines), across)
    axis_of_values(axes, scale, label, empty=not any(np.isfinite(n.values).any() for n in lines))
    if len(lines) > 1 or lines[0].low is not None:
        axes.legend(handles=drawn, frameon=False)


def _all_steps(lines: Sequence[Line]) -> np.ndarray:
    steps = np.concatenate([line.steps for line in lines])
    low, high = float(steps.min()), float(steps.max())
    return np.array([low, high] if high > low else [low])


def _draw(axes: Axes, line: Line, scale: Scale, **style: Any) -> Any:
    """Draw one line and its band; what has no place on the scale is a gap."""
    heights = scale.shown(line.values).filled(np.nan)
    marker: dict[str, Any] = {"marker": "."} if len(line.steps) == 1 else {}
    (drawn,) = axes.plot(line.steps, heights, label=line.name, linewidth=1.2, **style, **marker)
    if line.low is not None and line.high is not None:
        low, high = (scale.shown(edge).filled(np.nan) for edge in (line.low, line.high))
        axes.fill_between(line.steps, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    return drawn


def loss_and_accuracy(surface: Surface, look: Look = PLAIN_LOOK) -> Figure:
    """Draw the losses of a curve on the left axis and the accuracies on the right.

    One kind of dashes for each split that has both: solid for the first.

    Raises:
        InputError: If the grid has two axes, or no split has both.
    """
    splits = rated_splits(surface.keys)
    if not splits:
        raise InputError(
            f"No data set has both a loss and an accuracy here; there are {list(surface.keys)}."
        )
    with settings(look.style):
        figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
        left = figure.add_subplot()
        right = left.twinx()
        drawn = []
        for axes, kind, name, colour in ((left, "loss", "loss", LOSS), (right, "acc", "", RATE)):
            lines = [
                Line.of(name_of(surface.labels[f"{s}_{kind}"]), surface, f"{s}_{kind}")
                for s in splits
            ]
            label = Label(name) if name else Label("accuracy", "%", "max")
            drawn += _one_side(axes, lines, label, look if name else PLAIN_LOOK, colour)
        axis_of_steps(left, _all_steps(lines), axis_label(surface, 0))
        right.spines["top"].set_visible(False)
        right.spines["right"].set_visible(True)
        figure.legend(handles=drawn, loc="outside upper center", ncols=2, frameon=False)
        return figure


def _one_side(
    axes: Axes, lines: Sequence[Line], label: Label, look: Look, colour: str
) -> list[Any]:
    values = np.concatenate([line.extent for line in lines])
    scale = choose_scale(values, look, label)
    drawn = [
        _draw(axes, line, scale, color=colour, linestyle=DASHES[number % len(DASHES)])
        for number, line in enumerate(lines)
    ]
    axis_of_values(axes, scale, label, empty=not np.isfinite(values).any())
    axes.yaxis.label.set_color(colour)
    axes.tick_params(axis="y", colors=colour)
    axes.set_ylabel(short_name(label))
    return drawn
