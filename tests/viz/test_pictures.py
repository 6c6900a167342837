"""Pictures look as they did when somebody looked at them.

``python -m tests.viz.test_pictures`` draws the kept ones anew; look at them before you commit them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface, Trajectory
from landscape_lib.viz.comparison import plot_comparison
from landscape_lib.viz.plot_1d import plot_curve, plot_loss_and_accuracy
from landscape_lib.viz.plot_2d import plot_surface
from landscape_lib.viz.style import Look

KEPT = Path(__file__).parents[1] / "data" / "pictures"
SMALL = Look(style=str(KEPT / "small.mplstyle"))
COARSE = 4  # pixels a side that are averaged: letters of another version of a font look alike
CLOSE = 4.0  # root mean square of the difference, of 255
GRID = Grid((Axis(-1, 2, 13), Axis(-0.75, 1, 8)))  # neither square nor symmetric
X, Y = (axis.steps() for axis in GRID.axes)
BOWL = (X[:, None] - 1) ** 2 + 3 * (Y[None, :] + 0.25) ** 2 + 0.5 * X[:, None] * Y[None, :] + 0.5
LONE = Axis(0.5, 0.5, 1)
WAY = Trajectory(np.linspace(-1.2, 1, 30), 0.9 * np.linspace(1, 0, 30) ** 2 - 0.25)


def surface(values, *axes):
    return Surface(Grid(axes or GRID.axes), {"train_loss": values})


SURFACES = {
    "constant": surface(np.full(GRID.shape, 2.5)),
    "nothing": surface(np.full(GRID.shape, np.nan)),
    "half": surface(np.where(np.arange(104).reshape(GRID.shape) % 13 > 6, np.nan, BOWL)),
    "negative": surface(-BOWL),
    "wide": surface(10 ** (12 * (BOWL - BOWL.min()) / np.ptp(BOWL) - 6)),
    "point": surface(BOWL[:1, :1], LONE, LONE),
    "row": surface(BOWL[:1], LONE, GRID.axes[1]),
    "column": surface(BOWL[:, :1], GRID.axes[0], LONE),
    "trained": replace(surface(BOWL), trajectories=(WAY,)),
}
CURVE = Surface(
    Grid((GRID.axes[0],)),
    {"train_loss": BOWL[:, 3], "train_acc": 100 - 20 * BOWL[:, 3], "test_loss": BOWL[:, 3] + 1}
    | {"test_acc": 90 - 20 * BOWL[:, 3]},
)


def drawn(name, folder):
    """Every picture of a name, side by side."""
    if name in SURFACES:
        paths = plot_surface(SURFACES[name], "train_loss", folder, SMALL, "png")
    elif name == "curves":
        paths = [
            *plot_curve(CURVE, "train_loss", folder, SMALL, "png"),
            *plot_loss_and_accuracy(CURVE, folder, SMALL, "png"),
        ]
    else:
        runs = {"one": surface(BOWL), "two": surface(BOWL[::-1]), "cut": CURVE}
        paths = [plot_comparison(runs, "train_loss", folder / "comparison.png", SMALL)]
    parts = [Image.open(path).convert("L") for path in paths]
    height = max(part.height for part in parts)
    whole = Image.new("L", (sum(part.width for part in parts), height), 255)
    for number, part in enumerate(parts):
        whole.paste(part, (sum(before.width for before in parts[:number]), 0))
    return whole


def distance(one, other):
    """Root mean square of the difference of two pictures, averaged over squares of pixels."""
    if one.size != other.size:
        return 255.0
    coarse = [np.asarray(image.reduce(COARSE), dtype=float) for image in (one, other)]
    return float(np.sqrt(np.mean((coarse[0] - coarse[1]) ** 2)))


NAMES = (*SURFACES, "curves", "comparison")


@pytest.mark.parametrize("name", NAMES)
def test_pictures_look_as_they_did(name, tmp_path):
    found, kept = drawn(name, tmp_path), Image.open(KEPT / f"{name}.png")
    assert distance(found, kept) < CLOSE, f"{name} looks different; compare with {KEPT}"


def test_a_wrong_picture_would_be_missed():
    """Turned round, or drawn of other values, a picture is farther off than is forgiven."""
    kept = Image.open(KEPT / "negative.png")
    other = Image.open(KEPT / "trained.png")
    assert distance(kept, other) > 3 * CLOSE
    heat = kept.crop((350, 0, 525, kept.height))
    assert distance(heat, heat.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 3 * CLOSE


def test_kept_pictures_stay_small():
    assert sum(path.stat().st_size for path in KEPT.glob("*.png")) < 400_000
    assert {path.stem for path in KEPT.glob("*.png")} == set(NAMES)


if __name__ == "__main__":
    import tempfile

    for title in NAMES:
        with tempfile.TemporaryDirectory() as place:
            drawn(title, Path(place)).save(KEPT / f"{title}.png", optimize=True)
