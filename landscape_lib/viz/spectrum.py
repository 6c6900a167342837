"""What the spectrum of a Hessian looks like: how many eigenvalues lie where."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_lib.viz.axis_names import LAMBDA
from landscape_lib.viz.curve import COLOUR
from landscape_lib.viz.figures import WIDTH, check_format, save, write_title
from landscape_lib.viz.style import PLAIN_LOOK, Look, number_text
from landscape_lib.viz.stylesheet import figure_size, settings
from landscape_lib.viz.trajectories import LOOKS

SIZE = (WIDTH, 2.6)
BLUR = 0.004  # of the width of the spectrum: the standard deviation that a node is drawn with
POINTS = 2001


def blurred(
    density: Mapping[str, Any], at: np.ndarray | None = None, blur: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and their density: every node a normal distribution of its weight.

    phi(lambda) = mean over vectors of  sum_i w_i N(lambda; node_i, blur^2).  Its integral is 1.

    Args:
        density: ``nodes`` and ``weights``, one row for every random vector.
        at: Where; left out, evenly over the spectrum.
        blur: The standard deviation; left out, 0.4 % of the width of the spectrum.
    """
    rows = density["nodes"]
    nodes = np.array([node for row in rows for node in row])
    weights = np.array([weight for row in density["weights"] for weight in row]) / len(rows)
    width = float(np.ptp(nodes)) or float(np.abs(nodes).max()) or 1.0
    sigma = BLUR * width if blur is None else blur
    if at is None:
        at = np.linspace(nodes.min() - 5 * sigma, nodes.max() + 5 * sigma, POINTS)
    bells = np.exp(-0.5 * np.square((at[:, None] - nodes) / sigma))
    return at, bells @ weights / (sigma * np.sqrt(2 * np.pi))


def spectrum(
    density: Mapping[str, Any], eigenvalues: Sequence[float] = (), look: Look = PLAIN_LOOK
) -> Figure:
    """Draw the density of a Hessian's eigenvalues on a log scale, the largest ones marked.

    Args:
        density: As ``centre.json`` has it: ``nodes`` and ``weights``, ``samples``, ``size``; or
            ``unknown``, why it was not measured, which the picture then says.
        eigenvalues: The largest, which are marked.
        look: Of which the style sheet counts.
    """
    with settings(look.style):
        figure = Figure(figsize=figure_size(look.style, *SIZE), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(f"eigenvalue {LAMBDA}")
        axes.set_ylabel("density of eigenvalues")
        if "unknown" in density:
            axes.set(xticks=[], yticks=[])
            said = [f"not measured: {density['unknown']}"]
        else:
            said = _draw(axes, density, eigenvalues)
        write_title(axes, "spectrum of the Hessian", said)
        return figure


def _draw(axes: Axes, density: Mapping[str, Any], eigenvalues: Sequence[float]) -> list[str]:
    at, heights = blurred(density)
    floor = 0.2 * float(heights.max()) / max(int(density["size"]), 2)  # below: less than one of all
    axes.semilogy(at, np.maximum(heights, floor), color=COLOUR, linewidth=1, gid="density")
    axes.set_ylim(floor, 3 * float(heights.max()))
    axes.axvline(0, color="0.75", linewidth=0.6, linestyle=":", zorder=1)
    marks: dict[str, Any] = {
        "marker": "v",
        "markersize": 4,
        "linestyle": "none",
        "color": LOOKS[0][0],
    }
    axes.plot(eigenvalues, [2 * floor] * len(eigenvalues), gid="largest", **marks)
    samples, count = int(density["samples"]), int(density["size"])
    said = [f"{count:,} weights, {samples:,} samples, {_way(density)}"]
    if len(eigenvalues):
        told = ", ".join(number_text(float(value), 3) for value in eigenvalues)
        said.append(f"largest (triangles): {told}")
    return said


def _way(density: Mapping[str, Any]) -> str:
    rows = len(density["nodes"])
    return "every eigenvalue" if density["exact"] else f"from {rows} random vectors"


def plot_spectrum(
    density: Mapping[str, Any],
    eigenvalues: Sequence[float],
    path: Path,
    look: Look = PLAIN_LOOK,
) -> Path:
    """Write the picture of a spectrum; the path's ending is its format."""
    format = path.suffix[1:]
    check_format(format)
    return save(spectrum(density, eigenvalues, look), path, format, look.style)
