"""How the ways that trainings took look in a picture."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from landscape_lib.core.surface import Trajectory
from landscape_lib.viz.figures import View, plain_text
from landscape_lib.viz.stylesheet import SMALL

MOST_DOTS = 60  # steps of training: of more only the line is drawn
# Vermilion is told from every colour of viridis with any eyes; line styles tell the others apart.
LOOKS: tuple[tuple[str, Any], ...] = (
    ("#d55e00", "-"),
    ("#cc79a7", "--"),
    ("#000000", "-."),
    ("#56b4e9", ":"),
)


def each(view: View) -> Iterator[tuple[Trajectory, str, Any]]:
    """Yield every trajectory with its colour and its line style."""
    for number, way in enumerate(view.surface.trajectories):
        yield way, *LOOKS[number % len(LOOKS)]


def trace(axes: Axes, view: View, *floor: float) -> None:
    """Draw the ways that trainings took, where they are known: from above, or on the floor.

    What lies outside the grid is cut off; ``trace_notes`` says so.
    """
    for way, colour, style in each(view):
        seen = _within(way, view)
        alpha, beta = np.where(seen, way.alpha, np.nan), np.where(seen, way.beta, np.nan)
        places = (alpha, beta, *(np.full(len(alpha), height) for height in floor))
        dots: dict[str, Any] = {"marker": ".", "markersize": 2.5} if len(alpha) <= MOST_DOTS else {}
        halo = [withStroke(linewidth=2.2, foreground="white")]
        look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1, "zorder": 2.4}
        axes.plot(*places, **look, gid="trajectory", path_effects=halo, **dots)


def name_trajectories(axes: Axes, view: View, place: Any = "best") -> None:
    """Say which line is which, where there are several."""
    if len(view.surface.trajectories) < 2:
        return
    lines = [
        Line2D([], [], color=colour, linestyle=style, linewidth=1, label=plain_text(way.name))
        for way, colour, style in each(view)
    ]
    axes.legend(handles=lines, loc=place, fontsize=SMALL, framealpha=0.85, borderpad=0.3)


def trace_notes(view: View) -> list[str]:
    """Say how many steps of training are drawn as a line, how much of the way, how many are not."""
    return [plain_text(_note(way, view)) for way in view.surface.trajectories]


def _note(way: Trajectory, view: View) -> str:
    seen = _within(way, view)
    share = "" if way.in_plane is None else f", {100 * way.in_plane:.1f} % in the plane"
    outside = "" if seen.all() else f", {(~seen).sum()} outside the picture"
    return f"{way.name or 'line'}: {len(seen)} steps of training{share}{outside}"


def _within(way: Trajectory, view: View) -> np.ndarray:
    return np.logical_and(
        *(
            (steps[0] <= along) & (along <= steps[-1])
            for steps, along in ((view.x, way.alpha), (view.y, way.beta))
        )
    )
