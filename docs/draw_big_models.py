"""Draw docs/big-models.png: one network in bfloat16, moved in three ways.

Needs what ``python examples/checkpoints/problem.py results/files`` writes.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from landscape_lib import LossLandscape, Problem
from landscape_lib.core.direction import create_random_direction
from landscape_lib.problems.build import build_problem
from landscape_lib.viz.stylesheet import settings

BUILD = "examples/checkpoints/problem.py:build_half"
CHECKPOINT = {"checkpoint": "results/files/half.safetensors"}
NEAR, FAR = np.linspace(-0.01, 0.01, 201), np.linspace(-1, 1, 201)
WAYS = {  # name: colour, width of the line
    "in place, step by step": ("tab:red", 1.0),
    "precision: model": ("tab:orange", 1.0),
    "precision: float32": ("tab:blue", 1.5),
}


def exactly(problem: Problem, steps: np.ndarray, precision: str) -> np.ndarray:
    """Return the loss along the first direction of seed 0."""
    landscape = LossLandscape(problem.model, problem.data, precision=precision, plan="plain")
    found = landscape.compute_1d(xrange=(steps[0], steps[-1], len(steps)), seed=0, save=False)
    return found["losses"]


@torch.no_grad()
def in_place(problem: Problem, steps: np.ndarray) -> np.ndarray:
    """Return the same as a loop finds it that adds each step to the bfloat16 weights themselves."""
    model = copy.deepcopy(problem.model)
    direction = create_random_direction(problem.model, seed=0)
    inputs, targets = problem.data
    losses = []
    for delta in np.diff(steps, prepend=0.0):  # first to the left end, then from point to point
        for weight, tensor in zip(model.parameters(), direction, strict=True):
            weight.add_(tensor, alpha=float(delta))
        losses.append(float(functional.cross_entropy(model(inputs.bfloat16()).float(), targets)))
    return np.array(losses)


def main() -> int:
    """Draw both ranges, and print the numbers that the page states."""
    problem = build_problem(BUILD, CHECKPOINT)
    with settings():
        figure = Figure(figsize=(8.4, 3.2), layout="constrained")
        for panel, steps in zip(figure.subplots(1, 2), (NEAR, FAR), strict=True):
            found = [in_place(problem, steps)]
            found += [exactly(problem, steps, name) for name in ("model", "float32")]
            for (name, (colour, width)), losses in zip(WAYS.items(), found, strict=True):
                panel.plot(steps, losses, color=colour, linewidth=width, label=name)
                distinct, ends = np.unique(losses).size, f"{losses[0]:.5f}, {losses[-1]:.5f}"
                sys.stdout.write(f"{steps[-1]:g}: {name}: {distinct} values; ends {ends}; centre ")
                sys.stdout.write(f"{losses[100]:.6f}\n")
            panel.set(xlabel="α", ylabel="train loss", xticks=np.linspace(steps[0], steps[-1], 5))
            panel.set_title(f"{len(steps)} points, {steps[1] - steps[0]:g} apart")
        figure.axes[1].set_yscale("log")
        figure.axes[1].legend(frameon=False)
        figure.savefig(Path(__file__).with_name("big-models.png"), dpi=120)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
