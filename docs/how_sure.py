"""Draw the pictures of how-sure.md and train-and-test.md from the runs of how_sure.yaml."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from landscape_lib.utils.storage import load_ensemble, load_surface
from landscape_lib.viz.curve import curve
from landscape_lib.viz.gap import gap
from landscape_lib.viz.seeds import seeds
from landscape_lib.viz.stylesheet import settings

HERE = Path(__file__).parent


def picture(figure: Figure) -> Image.Image:
    """Return a figure as an image, at the size that a page shows it."""
    image = io.BytesIO()
    with settings():
        figure.savefig(image, format="png", dpi=140)
    return Image.open(image).convert("RGB")


def write(name: str, figures: Sequence[Figure]) -> None:
    """Put figures beside each other into one file of few colours."""
    parts = [picture(figure) for figure in figures]
    whole = Image.new("RGB", (sum(p.width for p in parts), max(p.height for p in parts)), "white")
    for number, part in enumerate(parts):
        left = sum(before.width for before in parts[:number])
        whole.paste(part, (left, (whole.height - part.height) // 2))
    few = whole.quantize(128, kmeans=2, dither=Image.Dither.NONE)
    few.save(HERE / name, optimize=True)
    sys.stdout.write(f"{HERE / name}\n")


def main() -> int:
    """Draw what lies below results/; return the exit code."""
    line, plane = (load_surface(f"results/{run}/surface.h5") for run in ("curve", "plane"))
    lines, planes = (load_ensemble(f"results/{run}/seeds.h5") for run in ("curve", "plane"))
    write("how-sure.png", [curve(line, "test_loss"), seeds(lines, "train_loss")])
    write("how-sure-planes.png", [seeds(planes, "train_loss")])
    write("train-and-test.png", [gap(line, "test_loss"), gap(plane, "test_loss")])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
