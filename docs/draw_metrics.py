"""Draw the pictures of docs/metrics.md, on scikit-learn's digits: python docs/draw_metrics.py."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from landscape_lib import LossLandscape, Surface
from landscape_lib.problems.digits import Pair, split

DECAY = 0.005
STEPS = 3000
OBJECTIVE = {
    "loss": "cross_entropy",
    "objective": {"metric": "objective", "args": {"loss": "cross_entropy", "weight_decay": DECAY}},
}
CLASSES = {"loss": "cross_entropy", "digit": {"metric": "accuracy", "per_class": True}}


class Digits(TensorDataset):
    """Handwritten digits, which have names."""

    classes = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def trained(data: Pair) -> nn.Module:
    """Return a network at a minimum of the cross-entropy and  DECAY / 2 * |w|^2."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(net(data[0]), data[1]).backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def panel(axes: Axes, surface: Surface, key: str, title: str, levels: np.ndarray) -> None:
    """Draw filled contours, the trained network (cross) and the lowest or highest point (dot)."""
    x, y = (axis.steps() for axis in surface.grid.axes)
    values, percent = surface[key], surface.labels[key].units == "%"
    norm = (Normalize if percent else LogNorm)(levels[0], levels[-1])
    drawn = axes.contourf(x, y, values.T, levels, norm=norm, extend="neither" if percent else "max")
    axes.contour(x, y, values.T, levels, colors="black", linewidths=0.3)
    axes.plot(0, 0, "wx", markersize=7, markeredgewidth=1.6)
    if not percent:
        i, j = np.unravel_index(values.argmin(), values.shape)
        axes.plot(x[i], y[j], "wo", markersize=5, markeredgecolor="black", markeredgewidth=0.7)
    axes.set_title(title, fontsize=10)
    axes.figure.colorbar(drawn, ax=axes, format="%.3g", shrink=0.85)


def draw_objective(net: nn.Module, data: Pair, folder: Path) -> Figure:
    """Draw loss and objective where x makes all weights larger, and y is a random direction."""
    larger = {name: 2 * weight for name, weight in net.state_dict().items()}
    landscape = LossLandscape(net, data, metrics=OBJECTIVE, surf_file=folder / "objective.h5")
    landscape.compute_2d((-0.6, 1.6, 45), (-1.2, 1.2, 37), x_target=larger)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, (key, title) in zip(
        figure.subplots(1, 2),
        {"loss": "cross-entropy", "objective": "cross-entropy and weight decay"}.items(),
        strict=True,
    ):
        values = landscape.surface[f"train_loss_{key}"]
        levels = np.geomspace(values.min(), np.quantile(values, 0.9), 17)
        panel(axes, landscape.surface, f"train_loss_{key}", title, levels)
        axes.set(xlabel="α: all weights times 1 + α", ylabel="β: random direction")
    return figure


def draw_classes(net: nn.Module, data: Pair, folder: Path) -> Figure:
    """Draw the loss of unseen digits, and the accuracy of the most and least robust digit."""
    landscape = LossLandscape(net, Digits(*data), metrics=CLASSES, surf_file=folder / "classes.h5")
    landscape.compute_2d((-1.5, 1.5, 45), (-1.2, 1.2, 37))
    surface = landscape.surface
    digits = sorted(
        (f"train_loss_digit_{name}" for name in Digits.classes),
        key=lambda key: float(surface[key].mean()),
    )
    figure = Figure(figsize=(11.5, 3.2), layout="constrained")
    loss, shares = surface["train_loss_loss"], np.linspace(0, 100, 11)
    shown = {"train_loss_loss": np.geomspace(loss.min(), loss.max(), 17)}
    shown |= {digits[-1]: shares, digits[0]: shares}
    for axes, (key, levels) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        name = key.rpartition("_")[2]
        title = "cross-entropy" if name == "loss" else f"accuracy of {name}, %"
        panel(axes, surface, key, title, levels)
        axes.set(xlabel="α", ylabel="β")
    return figure


if __name__ == "__main__":
    seen, held_out = split()
    network = trained(seen)
    place = Path(__file__).parent
    with tempfile.TemporaryDirectory() as kept:
        pictures = {
            "metrics-objective": draw_objective(network, seen, Path(kept)),
            "metrics-classes": draw_classes(network, held_out, Path(kept)),
        }
    for picture, figure in pictures.items():
        figure.savefig(place / f"{picture}.png", dpi=110)
        with Image.open(place / f"{picture}.png") as image:
            few_colours = image.convert("RGB").quantize(128)
        few_colours.save(place / f"{picture}.png", optimize=True)
