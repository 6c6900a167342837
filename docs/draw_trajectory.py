"""Draw docs/trajectory.png from the runs of examples/where_training_walked.yaml."""

import io
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from landscape_lib import config
from landscape_lib.steps.shown import shown_surface
from landscape_lib.viz.flat import filled_contour
from landscape_lib.viz.relief import relief
from landscape_lib.viz.stylesheet import settings

CONFIG = "examples/where_training_walked.yaml"
KEY = "train_loss"


def picture(figure: Figure) -> Image.Image:
    """Return a figure as an image, at the size that a page shows it."""
    image = io.BytesIO()
    with settings():
        figure.savefig(image, format="png", dpi=140)
    return Image.open(image).convert("RGB")


def main() -> int:
    """Put both views of both trainings beside Adam's own plane; return the exit code."""
    runs = config.load(CONFIG).runs
    both, adam = (shown_surface(runs[name]) for name in ("both", "adam"))
    parts = [picture(filled_contour(both, KEY)), picture(relief(both, KEY))]
    parts.append(picture(filled_contour(adam, KEY)))
    whole = Image.new("RGB", (sum(p.width for p in parts), max(p.height for p in parts)), "white")
    for number, part in enumerate(parts):
        left = sum(before.width for before in parts[:number])
        whole.paste(part, (left, (whole.height - part.height) // 2))
    out = Path(__file__).with_name("trajectory.png")
    whole.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(out, optimize=True)
    sys.stdout.write(f"{out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
