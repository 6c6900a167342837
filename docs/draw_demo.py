"""Draw the README's picture from the demo's two surfaces: python docs/draw_demo.py."""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from PIL import Image

from landscape_lib import Axis, Grid, Surface, config, measure
from landscape_lib.core.plan import Plan
from landscape_lib.core.topology import basins_of
from landscape_lib.steps.bench import set_up
from landscape_lib.utils.storage import load_directions, load_surface

RUNS = {"with_skips": "with skip connections", "without_skips": "without skip connections"}
KEY = "train_loss"
COLOURS = {"with_skips": "tab:blue", "without_skips": "tab:red"}
NEAR = Grid((Axis(-0.05, 0.05, 21),))
LEVELS = 10 ** np.arange(-3, 4.26, 0.5)


def near(run: str) -> list[np.ndarray]:
    """Return the loss close to the minimum, along each of the run's directions."""
    bench = set_up(config.load("config/config.yaml").run(run))
    evaluate = bench.evaluator(Plan(threads=torch.get_num_threads()))
    directions = load_directions(f"results/{run}/directions.h5")
    curves = (measure(bench.problem.model, evaluate, [d], NEAR, range(21)) for d in directions)
    return [curve.values[KEY] for curve in curves]


def draw(surfaces: dict[str, Surface]) -> Figure:
    """Draw both surfaces on the same levels, and cuts through both minima from close by."""
    figure = Figure(figsize=(10.6, 3.5), layout="constrained")
    *panels, cut = figure.subplots(1, 3)
    for panel, (run, surface) in zip(panels, surfaces.items(), strict=True):
        x, y = (axis.steps() for axis in surface.grid.axes)
        values = surface[KEY]
        drawn = panel.contourf(x, y, values.T, LEVELS, norm=LogNorm(), extend="both")
        panel.contour(x, y, values.T, LEVELS, colors="black", linewidths=0.3)
        for i, j in (basin.minimum for basin in basins_of(surface, KEY)[0]):
            dot = {"markersize": 5, "markeredgecolor": "black", "markeredgewidth": 0.5}
            panel.plot(x[i], y[j], "w.", clip_on=False, zorder=3, **dot)
        panel.set(title=RUNS[run], xlabel="α", ylabel="β", aspect="equal")
        draw_cut(cut, run)
    figure.colorbar(drawn, ax=panels, label="train loss", ticks=10.0 ** np.arange(-3, 5))
    cut.set(title="close to the minimum", xlabel="distance from it, in steps of α or β")
    cut.set(ylabel="train loss above that of the minimum")
    cut.set_xticks([-0.05, 0, 0.05])
    cut.legend(frameon=False, fontsize=7.5, loc="upper center")
    return figure


def draw_cut(cut: Axes, run: str) -> None:
    """Draw how far the loss rises along α (solid) and β (dashed)."""
    (axis,) = NEAR.axes
    for values, name, line in zip(near(run), "αβ", ("-", "--"), strict=True):
        rise = values - values[axis.count // 2]
        cut.plot(
            axis.steps(), rise, line, color=COLOURS[run], label=f"{run.replace('_', ' ')}, {name}"
        )


def main() -> int:
    """Draw, and print the numbers that the README states."""
    surfaces = {run: load_surface(f"results/{run}/surface.h5") for run in RUNS}
    for run, surface in surfaces.items():
        values = surface[KEY]
        middle = tuple(count // 2 for count in values.shape)
        sys.stdout.write(
            f"{run}: {values[middle]:.4f} at the centre, at most {values.max():,.0f}, "
            f"held-out accuracy {surface['test_acc'][middle]:.1f} %\n"
        )
        for basin in basins_of(surface, KEY)[0]:
            sys.stdout.write(f"  {basin}\n")
    out = Path(__file__).with_name("demo.png")
    draw(surfaces).savefig(out, dpi=110)
    Image.open(out).convert("RGB").quantize(128).save(out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
