"""What the pictures of one metric cost: every kind of figure, and the ParaView file."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.table import Table
from benchmarks.timing import Settings, interleaved, median
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.viz.figures import save
from landscape_lib.viz.paraview import export_vtp
from landscape_lib.viz.plot_2d import KINDS
from landscape_lib.viz.style import PLAIN_LOOK

SIDES = (51, 1001)
GOALS = {51: 3.0, 1001: 15.0}  # seconds on one core
KEY = "train_loss"


def surface(side: int) -> Surface:
    """Return a wide, rippled bowl of so many points a side, with a hole in it."""
    grid = Grid((Axis(-1, 1, side), Axis(-1, 1, side)))
    x, y = (axis.steps() for axis in grid.axes)
    ripples = 0.05 * np.sin(9 * x[:, None]) * np.cos(7 * y)
    values = 10 ** (3 * (x[:, None] - 0.2) ** 2 + 2 * y**2 - 1 + ripples)
    values[:3, :3] = np.nan
    return Surface(grid, {KEY: values})


def row(settings: Settings) -> list[Table]:
    """Draw and write everything of one metric, in this process; seconds of the processor."""
    sides = SIDES[:1] if settings.quick else SIDES
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for side in sides:
            drawn = surface(side)
            works: dict[str, Callable[[], object]] = {
                kind: partial(_draw, kind, drawn, Path(name) / f"{kind}.pdf") for kind in KINDS
            }
            works["vtp"] = partial(export_vtp, drawn, KEY, Path(name) / "sheet.vtp")
            rows.append(_line(side, works, settings))
    note = (
        "Processor seconds of drawing and writing each, without starting Python and importing "
        "matplotlib (half a second); `all` is their sum, `goal` what it is to stay under."
    )
    header = ("points", *KINDS, "vtp", "all", "goal")
    return [Table("Pictures of one metric", header, rows, note)]


def _draw(kind: str, drawn: Surface, path: Path) -> None:
    save(KINDS[kind](drawn, KEY, PLAIN_LOOK), path, "pdf")


def _line(side: int, works: dict[str, Callable[[], object]], settings: Settings) -> list[str]:
    contenders = {name: partial(_processor_seconds, work) for name, work in works.items()}
    found = interleaved(contenders, settings.rounds)
    each = [median(times) for times in found.values()]
    times = "\N{MULTIPLICATION SIGN}"
    return [
        f"{side} {times} {side}",
        *(f"{seconds:.2f}" for seconds in each),
        f"{sum(each):.2f}",
        f"{GOALS[side]:.0f}",
    ]


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
