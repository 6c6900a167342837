"""Draw docs/topology.png from the runs of docs/topology.yaml: python docs/draw_topology.py."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from landscape_lib.core.topology import basins_of
from landscape_lib.utils.storage import load_surface
from landscape_lib.viz.figures import save
from landscape_lib.viz.flat import contour
from landscape_lib.viz.persistence import persistence
from landscape_lib.viz.style import Look

ROWS = (
    ("with_skips", "train_loss", "with skip connections"),
    ("without_skips", "train_loss", "without skip connections"),
    ("without_skips", "test_acc", "without skip connections: accuracy on held-out images"),
)
LOOK = Look(topology=True)


def main() -> int:
    """Draw map and persistence diagram of each, and print what the page says."""
    figure = Figure(figsize=(8.6, 10.8), layout="constrained")
    panels = figure.subplots(3, 2)
    for row, (run, key, name) in zip(panels, ROWS, strict=True):
        surface = load_surface(f"results/{run}/surface.h5")
        clear, others = basins_of(surface, key)
        sys.stdout.write(f"{run}, {key}: {len(clear)} clear, {len(others)} others\n")
        for basin in clear:
            sys.stdout.write(f"  {basin}\n")
        for panel, draw in zip(row, (contour, persistence), strict=True):
            with TemporaryDirectory() as folder:
                path = save(draw(surface, key, LOOK), Path(folder) / "own.png", "png")
                panel.imshow(pyplot.imread(path))
            panel.axis("off")
        row[0].set_title(name, fontsize=10)
    out = Path(__file__).with_name("topology.png")
    figure.savefig(out, dpi=110)
    Image.open(out).convert("RGB").quantize(128).save(out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
