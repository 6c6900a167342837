"""Draw docs/adaptive.png and docs/preview.png from the runs of docs/adaptive.yaml."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from landscape_lib import Surface, config
from landscape_lib.steps.preview import interpolated
from landscape_lib.utils.storage import load_surface
from landscape_lib.viz.flat import filled_contour
from landscape_lib.viz.style import Look
from landscape_lib.viz.stylesheet import settings

CONFIG = "docs/adaptive.yaml"
KEY = "train_loss"
SHARES = (1 / 50, 1 / 15, 1 / 4)  # of the points, in the order of their evaluation


def picture(figure: Figure, dpi: int) -> Image.Image:
    """Return a figure as an image, at the size that a page shows it."""
    image = io.BytesIO()
    with settings():
        figure.savefig(image, format="png", dpi=dpi)
    return Image.open(image).convert("RGB")


def write(parts: list[Image.Image], name: str) -> None:
    """Put pictures beside each other into a file beside this program."""
    whole = Image.new("RGB", (sum(p.width for p in parts), max(p.height for p in parts)), "white")
    for number, part in enumerate(parts):
        whole.paste(part, (sum(before.width for before in parts[:number]), 0))
    out = Path(__file__).with_name(name)
    whole.quantize(128, kmeans=2, dither=Image.Dither.NONE).save(out, optimize=True)
    sys.stdout.write(f"{out}\n")


def after(whole: Surface, share: float) -> Surface:
    """Return what a preview shows of a surface after a share of its points."""
    grid = whole.grid
    computed = np.zeros(grid.size, dtype=bool)
    computed[grid.order()[: round(share * grid.size)]] = True
    computed = computed.reshape(grid.shape)
    values = {KEY: np.where(computed, whole[KEY], np.nan)}
    return interpolated(Surface(grid, values, whole.attributes, whole.labels, computed=computed))


def off(surface: Surface, whole: Surface) -> Surface:
    """Return how far interpolated values are off, in per cent of the range of logarithms."""
    span = np.log(whole[KEY].max() / whole[KEY].min())
    shares = 100 * np.abs(np.log(surface[KEY] / whole[KEY])) / span
    return replace(surface, values={KEY: shares}, labels={}, errors={}, computed=None)


def main() -> int:
    """Draw both, and print the numbers that the page states; return the exit code."""
    runs = config.load(CONFIG).runs
    whole, adaptive = (load_surface(runs[name].path("surface.h5")) for name in runs)
    dots = Look(computed=True)
    write([picture(filled_contour(s, KEY, dots), 130) for s in (whole, adaptive)], "adaptive.png")
    previews = [after(whole, share) for share in SHARES]
    write([picture(filled_contour(s, KEY, dots), 95) for s in previews], "preview.png")
    apart, computed = off(adaptive, whole)[KEY], np.asarray(adaptive.computed)
    covered = (np.abs(adaptive[KEY] - whole[KEY]) <= adaptive.errors[KEY])[~computed].mean()
    sys.stdout.write(
        f"{adaptive.evaluated} of {whole.grid.size} points, worst {apart.max():.2f} % of the log "
        f"range, median {np.median(apart):.3f} %, bound holds at {100 * covered:.1f} %\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
