"""Where SGD and Adam walked, on one plane: from the same first weights to two networks.

What to look at: how much of each way the plane shows, and whether the two end in one basin or in
two.  ``train`` yields its weights along the way, which is all that a trajectory needs; in the
pipeline, examples/where_training_walked.yaml calls it, and every checkpoint is kept.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape_lib import LossLandscape, Problem
from landscape_lib.problems import digits

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4),
    "adam": lambda parameters: torch.optim.AdamW(parameters, lr=0.005, weight_decay=0.01),
}
BATCH_SIZE = 64


def network() -> nn.Module:
    """Return a small network for images of 8 x 8, untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 4 * 4, 10),
    )


def train(optimizer: str, epochs: int = 15, seed: int = 0) -> Iterator[dict[str, Tensor]]:
    """Yield the weights before training and after every epoch; the last are the trained ones.

    The seed decides the first weights and the order of the images, alike for every optimizer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network()
    inputs, targets = digits.split()[0]
    step = OPTIMIZERS[optimizer](net.parameters())
    shuffle = torch.Generator().manual_seed(seed)
    yield net.state_dict()
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs), generator=shuffle).split(BATCH_SIZE):
            step.zero_grad()
            functional.cross_entropy(net(inputs[batch]), targets[batch]).backward()
            step.step()
        yield net.state_dict()


def build(checkpoint: str) -> Problem:
    """Return a trained network with the images it is judged on."""
    net = network()
    net.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    training, held_out = digits.split()
    return Problem(net.eval(), training, nn.CrossEntropyLoss(), splits={"test": held_out})


def main(argv: list[str] | None = None) -> int:
    """Train with both optimizers, and draw the plane of both ways around the first's network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/where_training_walked"))
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--points", type=int, nargs=2, default=(41, 31), metavar=("X", "Y"))
    args = parser.parse_args(argv)

    files: dict[str, list[Path]] = {}
    for name in OPTIMIZERS:
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        files[name] = []
        for epoch, state in enumerate(train(name, args.epochs)):
            files[name].append(folder / f"{epoch}.pt")
            torch.save(state, files[name][-1])

    problem = build(str(files["sgd"][-1]))
    landscape = LossLandscape(
        problem.model, problem.data, problem.metrics, surf_file=args.out / "both.h5"
    )
    x_points, y_points = args.points
    landscape.compute_2d(
        xrange=("auto", "auto", x_points),
        yrange=("auto", "auto", y_points),
        checkpoints=[*files["sgd"], *files["adam"]],
        trajectories={"SGD": files["sgd"], "Adam": files["adam"]},
    )
    for way in landscape.surface.trajectories:
        print(f"{way.name}: {100 * way.in_plane:.1f} % of the way lies in the plane")
    for path in [*landscape.plot_2d_contour(), *landscape.plot_2d_surface()]:
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
