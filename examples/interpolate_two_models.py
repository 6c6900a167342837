"""The straight line from a network trained with small batches to one trained with large ones.

What to look at: the barrier between 0 (small batches) and 1 (large batches), and which of the two
minima is wider.  With dir_type='weights' the running statistics of batch norm stay behind, so the
curve misses the second network's own loss at 1; 'states' moves them along and meets it.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import data
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from landscape_lib import InputError, LossLandscape
from landscape_lib.problems.resnet import ResNet

LOW, HIGH = -0.5, 1.5  # so that both networks, at 0 and 1, can be seen from either side
# Beyond 1, more and more running variances would become negative.  They are held at zero, and the
# loss leaves every scale; so pictures and the plane end a little behind the second network.
PLANE_LOW, PLANE_HIGH = -0.1, 1.1
DIR_TYPES = ("weights", "states")


@dataclass(frozen=True)
class Line:
    """The loss along the line, shape (n,), and where on it: 0 and 1 are the two networks."""

    places: np.ndarray
    losses: np.ndarray

    def at(self, place: float) -> float:
        """Return the loss at a place that is a step of the line."""
        return float(self.losses[np.abs(self.places - place).argmin()])

    def barrier(self) -> float:
        """Return by how much the way between the networks rises above the higher of them."""
        between = self.losses[(self.places >= 0) & (self.places <= 1)]
        return float(between.max()) - max(self.at(0), self.at(1))


@torch.no_grad()
def own_loss(net: nn.Module, loader: DataLoader) -> float:
    """Return the mean cross entropy of a network where it stands, by a plain loop."""
    device, loss_sum, count = next(net.parameters()).device, 0.0, 0
    for inputs, targets in loader:
        scores = net.eval()(inputs.to(device))
        loss_sum += functional.cross_entropy(scores, targets.to(device), reduction="sum").item()
        count += len(targets)
    return loss_sum / count


def print_table(args: argparse.Namespace, own: list[float], lines: dict[str, Line]) -> None:
    """Print what the two networks lose by themselves and as the ends of each line."""
    print(f"\n{'loss':<24}" + "".join(f"{name:>14}" for name in ("its own", *lines)))
    for end, batch_size in enumerate(args.batch_sizes):
        row = [own[end], *(line.at(end) for line in lines.values())]
        print(f"{f'at {end}, batch size {batch_size}':<24}" + "".join(f"{v:>14.7g}" for v in row))
    barriers = "".join(f"{line.barrier():>14.7g}" for line in lines.values())
    print(f"{'barrier':<24}{'':>14}{barriers}\n")


def work(args: argparse.Namespace) -> None:
    """Train twice from the same first weights; walk the line; look at the plane round it.

    Raises:
        InputError: If the number of points leaves out one of the networks.
    """
    x_points, y_points = args.points
    if x_points < 5 or x_points % 4 != 1:
        nearest = 4 * max(1, round((x_points - 1) / 4)) + 1
        raise InputError(
            f"--points is {x_points} along x; for 0 and 1 to be among the steps from {LOW} to "
            f"{HIGH} it must be 4 n + 1, as {nearest}."
        )
    dataset = data.load(args)
    nets = []
    for batch_size in args.batch_sizes:
        print(f"Training with batches of {batch_size}")
        torch.manual_seed(args.seed)
        net = ResNet(args.depth, channels=dataset.tensors[0].shape[1]).to(data.device_of(args))
        nets.append(data.train(net, dataset, args.epochs, batch_size, args.seed))
    small, large = nets
    loader = DataLoader(dataset, batch_size=500)

    def landscape(name: str) -> LossLandscape:
        surf_file = args.out / f"{name}.h5"
        return LossLandscape(small, loader, nn.CrossEntropyLoss(), args.cuda, surf_file)

    pictures, lines = [], {}
    for dir_type in DIR_TYPES:
        curve = landscape(dir_type)
        found = curve.compute_1d(
            "target", xrange=(LOW, HIGH, x_points), dir_type=dir_type, target_model=large
        )
        lines[dir_type] = Line(found["xcoordinates"], found["losses"])
        pictures += curve.plot_1d(LOW, PLANE_HIGH, log=True)
    print_table(args, [own_loss(net, loader) for net in nets], lines)

    plane = landscape("plane")
    plane.compute_2d(
        xrange=(PLANE_LOW, PLANE_HIGH, x_points),
        yrange=(-1, 1, y_points),
        dir_type="states",
        x_target=large,
        seed=args.seed,
    )
    pictures += [*plane.plot_2d_contour(), *plane.plot_2d_surface()]
    for path in pictures:
        print(f"  {path}")


def main(argv: list[str] | None = None) -> int:
    """Run the example; return 0, or 2 where the user can put something right."""
    parser = data.parser(
        __doc__, data="digits", out=Path("results/interpolation"), points="41x11", epochs=15
    )
    parser.add_argument("--depth", type=int, default=14, help="layers of the networks, 6 n + 2")
    parser.add_argument(
        "--batch-sizes",
        type=data.whole_number,
        nargs=2,
        default=[32, 512],
        metavar=("SMALL", "LARGE"),
        help="images a step of the network at 0 and of the one at 1",
    )
    return data.run(work, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
