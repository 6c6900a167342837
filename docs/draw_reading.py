"""Draw docs/reading.png, of docs/reading-a-landscape.md: python docs/draw_reading.py."""

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from torch.nn import functional

from landscape_lib import LossLandscape
from landscape_lib.problems.digits import split

HERE = Path(__file__).parent
SEEDS = range(10)
FACTOR = 8.0


def trained() -> nn.Sequential:
    """Return a network of two hidden layers for digits, trained until it knows its images."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 128), nn.ReLU()),
        *(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    inputs, targets = split()[0]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.1)
    for _ in range(40):
        for batch in torch.randperm(len(inputs)).split(100):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return model


def rescaled(model: nn.Sequential) -> nn.Sequential:
    """Return the same function: ReLU lets a factor through, and the next layer takes it back."""
    other = copy.deepcopy(model)
    weight, bias, next_weight, _ = other.parameters()
    with torch.no_grad():
        weight.mul_(FACTOR)
        bias.mul_(FACTOR)
        next_weight.div_(FACTOR)
    return other


def curve(model: nn.Sequential, reach: float, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and train loss along one random direction."""
    landscape = LossLandscape(model, split()[0], nn.CrossEntropyLoss())
    found = landscape.compute_1d("random", (-reach, reach, 81), save=False, **options)
    return found["xcoordinates"], found["losses"]


def draw_seeds(panel: Axes, model: nn.Sequential) -> None:
    """Draw one network along ten random directions."""
    curves = [curve(model, 1, seed=seed) for seed in SEEDS]
    for number, (steps, losses) in enumerate(curves):
        panel.plot(steps, losses, color="tab:blue", alpha=1 if number == 0 else 0.35)
    ends = [losses[-1] for _, losses in curves]
    panel.set(title="one network, ten seeds", xlabel="α", ylabel="train loss", ylim=(0, None))
    sys.stdout.write(f"at 1, ten seeds: {min(ends):.2f} to {max(ends):.2f}\n")


def draw_scales(panel: Axes, model: nn.Sequential) -> None:
    """Draw the same function in two scalings of its weights, with and without normalization."""
    for norm, line, reach in (("dlayer", "--", 8), ("filter", "-", 2)):
        ends = []
        for network, colour, name in (
            (model, "tab:blue", "as trained"),
            (rescaled(model), "tab:red", f"one layer times {FACTOR:g}, the next / {FACTOR:g}"),
        ):
            steps, losses = curve(network, reach, normalize=norm)
            width = 1.5 if name == "as trained" else 0.9
            panel.plot(
                steps / reach, losses, line, color=colour, linewidth=width, label=f"{norm}: {name}"
            )
            ends.append(losses[-1])
        sys.stdout.write(f"{norm}: {ends[0]:.6f} and {ends[1]:.6f} at {reach}\n")
    panel.set(title="one function, two scalings of its weights", ylim=(0, None))
    panel.set(xlabel="α / 2 (filter), α / 8 (dlayer)", ylabel="train loss")
    panel.legend(frameon=False, fontsize=6.5, loc="upper center")


def draw_log(panel: Axes, model: nn.Sequential) -> None:
    """Draw one curve on a linear scale and on a log scale."""
    steps, losses = curve(model, 4)
    panel.plot(steps, losses, color="tab:blue")
    panel.set(title="one curve, two scales", xlabel="α", ylim=(0, None))
    panel.set_ylabel("train loss, linear", color="tab:blue")
    log = panel.twinx()
    log.semilogy(steps, losses, color="tab:orange")
    log.set_ylabel("train loss, log", color="tab:orange")


def main() -> int:
    """Draw three ways of being misled; return the exit code."""
    model = trained()
    figure = Figure(figsize=(10.6, 3.2), layout="constrained")
    for panel, draw in zip(figure.subplots(1, 3), (draw_seeds, draw_scales, draw_log), strict=True):
        draw(panel, model)
    out = HERE / "reading.png"
    figure.savefig(out, dpi=110)
    Image.open(out).convert("RGB").quantize(64).save(out, optimize=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
