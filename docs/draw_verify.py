"""Draw docs/verify.png from a run of docs/topology.yaml: python docs/draw_verify.py."""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from landscape_lib import verify
from landscape_lib.steps.agreement import Verification
from landscape_lib.steps.bench import set_up
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.recorded import recorded_plans, recorded_run
from landscape_lib.steps.verify import chosen, compared
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_directions, load_surface, save_surface

FOLDER = Path("results/without_skips")
KEY = "train_loss"
POINTS, SEED = 150, 0
FLOOR = 1e-17  # where differences of nothing are drawn


def elsewhere(path: Path) -> Verification:
    """Compute the same points in another way, as another processor would: other batches."""
    surface = load_surface(path)
    run = recorded_run(surface, path)
    plan = recorded_plans(surface)[0]
    other = replace(plan, batch_size=7, fold=not plan.fold)
    directions = load_directions(path.with_name("directions.h5"))
    work = Work(set_up(run, probed={}), other, directions, surface.grid, Stops())
    return compared(work, surface, chosen(surface, POINTS, SEED), 1e-5)


def changed(path: Path) -> Verification:
    """Verify a copy of the surface in which one value is a thousandth larger."""
    surface = load_surface(path)
    values = {key: array.copy() for key, array in surface.values.items()}
    values[KEY][30, 20] *= 1.001
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "surface.h5"
        save_surface(copy, replace(surface, values=values))
        return verify(copy, "all")


def draw(parts: dict[str, tuple[Verification, str]]) -> Figure:
    """Draw every relative difference over the distance from the centre."""
    figure = Figure(figsize=(6.6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for name, (found, mark) in parts.items():
        rows = [row for row in found.rows if row.key == KEY]
        if name.startswith("one value"):
            rows = [row for row in rows if not row.agrees]
        away = [np.linalg.norm(row.point) for row in rows]
        axes.semilogy(away, [max(row.difference, FLOOR) for row in rows], mark, label=name, ms=4)
    axes.axhline(1e-5, color="0.5", linewidth=0.8, linestyle="--")
    axes.text(0, 1.4e-5, "tolerance on another machine", fontsize=8, color="0.3")
    ticks = [FLOOR, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3]
    axes.set_yticks(ticks, labels=["0", *(f"$10^{{{round(np.log10(t))}}}$" for t in ticks[1:])])
    axes.set(xlabel="distance from the centre, in steps", ylabel="relative difference")
    axes.set_ylim(FLOOR / 5, 1e-2)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.12))
    return figure


def main() -> int:
    """Verify in three ways, print what the page says, draw."""
    path = FOLDER / "surface.h5"
    parts = {
        "computed anew": (verify(path, POINTS, SEED), "."),
        "computed in another way": (elsewhere(path), "x"),
        "one value changed by a thousandth": (changed(path), "r*"),
    }
    for name, (found, _) in parts.items():
        worst = max(row.difference for row in found.rows)
        sys.stdout.write(f"{name}: {found.conclusion()} At most {worst:.2g} apart.\n")
    out = Path(__file__).with_name("verify.png")
    draw(parts).savefig(out, dpi=100)
    Image.open(out).convert("RGB").quantize(128).save(out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
