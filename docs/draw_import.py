"""Draw docs/import.png: two other tools' own pictures, and ours of their files.

It needs both: pip install losscape landscaper, then python /path/to/docs/draw_import.py
in an empty folder, where both leave files.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from landscaper import LossLandscape as Landscaper  # type: ignore[import-not-found]
from losscape.create_landscape import create_3D_losscape  # type: ignore[import-not-found]
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from landscape_lib import Surface, import_surface
from landscape_lib.core.direction import create_random_direction
from landscape_lib.problems.digits import split

SIDE = 15  # steps of a tool's grid; both know squares alone
Data = tuple[Tensor, Tensor]


def trained(data: Data) -> nn.Module:
    """Return a network of one hidden layer that names nearly every digit right."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
    return model


def losscape(model: nn.Module, data: Data, directions: list[list[Tensor]]) -> Path:
    """Let losscape evaluate and draw a plane that is off the centre; return its file."""
    loader = DataLoader(TensorDataset(*data), len(data[0]))
    limits = {"x_min": -0.5, "x_max": 1.5, "y_min": -1.5, "y_max": 0.5, "num_points": SIDE}
    ways = {"directions": directions, "criterion": nn.CrossEntropyLoss(), "save_only": True}
    create_3D_losscape(model, loader, num_batches=1, **ways, **limits)
    return Path("data.h5")


def landscaper(model: nn.Module, data: Data, directions: list[list[Tensor]]) -> Path:
    """Let landscaper evaluate a plane and draw it; return its file."""

    def loss(net: nn.Module, batch: Data) -> float:
        return functional.cross_entropy(net(batch[0]), batch[1]).item()

    found = Landscaper.compute(
        model, data, directions, loss, steps=SIDE, distance=1.0, dim=2, device="cpu"
    )
    found.save("landscaper.npz")
    found.show_contour(show=False, figsize=(5, 4)).savefig("landscaper.png", dpi=110)
    return Path("landscaper.npz")


def draw(panels: dict[str, tuple[Path, Surface]]) -> Figure:
    """Draw each tool's own picture, and right of it the values where they are here."""
    figure = Figure(figsize=(8.4, 7), layout="constrained")
    for row, (tool, (picture, surface)) in zip(figure.subplots(2, 2), panels.items(), strict=True):
        row[0].imshow(pyplot.imread(picture))
        row[0].axis("off")
        row[0].set_title(f"{tool}: its own picture")
        x, y = (axis.steps() for axis in surface.grid.axes)
        values = surface["train_loss"]
        row[1].contour(x, y, values.T, 12, cmap="viridis")
        best = np.unravel_index(values.argmin(), values.shape)
        row[1].plot(x[best[0]], y[best[1]], "k*", markersize=10)
        row[1].set(title="its file, imported", xlabel="α", ylabel="β", aspect="equal")
    return figure


def main() -> int:
    """Compute, import, draw."""
    matplotlib.use("agg")
    data, _ = split()
    model = trained(data)
    directions = [list(create_random_direction(model, seed=0, axis=axis)) for axis in range(2)]
    files = {"losscape": losscape(model, data, directions)}
    # Away from its minimum, so that x and y are told apart.
    with torch.no_grad():
        for parameter, shift in zip(model.parameters(), directions[0], strict=True):
            parameter.add_(shift, alpha=0.4)
    files["landscaper"] = landscaper(model, data, directions)
    pictures = {"losscape": Path("3d_losscape.png"), "landscaper": Path("landscaper.png")}
    panels = {
        tool: (pictures[tool], import_surface(path, f"{tool}.h5")) for tool, path in files.items()
    }
    out = Path(__file__).with_name("import.png")
    draw(panels).savefig(out, dpi=80)
    Image.open(out).convert("RGB").quantize(128).save(out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
