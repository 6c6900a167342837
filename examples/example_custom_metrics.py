"""Loss and accuracy of a small network, then any numbers that a function of your own returns.

What to look at: the star in the pictures of the losses, where they are lowest, lies near the
trained weights (the plus); accuracy, which must be high, is flat where the losses still bend.
"""

import argparse
from pathlib import Path
from typing import Any

import data
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from landscape_lib import LossLandscape


class SmallCNN(nn.Module):
    """Three convolutions and a linear layer: large enough to learn, small enough to wait for."""

    def __init__(self, channels: int, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Linear(32, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores, shape (n, classes)."""
        return self.linear(self.features(images).mean(dim=(2, 3)))


def my_metrics(net: nn.Module, dataloader: DataLoader, use_cuda: bool) -> dict[str, float]:
    """Return cross entropy, smooth L1 and accuracy (percent): a loop as one writes it anyway.

    Whatever names the dict has, ``train_loss_<name>`` are the keys of curves and surfaces.
    """
    net.eval()
    device = "cuda" if use_cuda else "cpu"
    ce_sum, l1_sum, right, count = 0.0, 0.0, 0, 0
    with torch.no_grad():
        for images, labels in dataloader:
            inputs, targets = images.to(device), labels.to(device)
            outputs = net(inputs)
            classes = functional.one_hot(targets, outputs.shape[1]).float()
            ce_sum += functional.cross_entropy(outputs, targets).item() * len(targets)
            l1_sum += functional.smooth_l1_loss(outputs.softmax(1), classes).item() * len(targets)
            right += (outputs.argmax(dim=1) == targets).sum().item()
            count += len(targets)
    return {
        "cross_entropy": ce_sum / count,
        "smooth_l1": l1_sum / count,
        "accuracy": 100 * right / count,
    }


def draw_everything(
    net: nn.Module, loader: DataLoader, criterion: Any, args: argparse.Namespace, name: str
) -> None:
    """Compute a curve and a surface; write every picture and ParaView file of every metric."""
    x_points, y_points = args.points
    curve, surface = (
        LossLandscape(net, loader, criterion, args.cuda, surf_file=args.out / f"{name}_{kind}.h5")
        for kind in ("curve", "surface")
    )
    curve.compute_1d(directions="random", xrange=(-1, 1, x_points), seed=args.seed)
    surface.compute_2d(xrange=(-1, 1, x_points), yrange=(-1, 1, y_points), seed=args.seed)
    written = [
        *curve.plot_1d(),
        *surface.plot_2d_contour(surf_name="auto"),
        *surface.plot_2d_surface(surf_name="auto"),
        *surface.export_paraview(surf_name="auto", log=True),
    ]
    for path in written:
        print(f"  {path}")


def work(args: argparse.Namespace) -> None:
    """Train, then draw the landscape in the standard mode and in the custom one."""
    dataset = data.load(args)
    torch.manual_seed(args.seed)
    net = SmallCNN(dataset.tensors[0].shape[1]).to(data.device_of(args))
    data.train(net, dataset, args.epochs, batch_size=64, seed=args.seed)
    loader = DataLoader(dataset, batch_size=256)

    print("\nStandard mode: train_loss and train_acc")
    draw_everything(net, loader, nn.CrossEntropyLoss(), args, "standard")
    print("\nCustom mode: train_loss_<name> for every name that my_metrics returns")
    draw_everything(net, loader, my_metrics, args, "custom")


def main(argv: list[str] | None = None) -> int:
    """Run the example; return 0, or 2 where the user can put something right."""
    parser = data.parser(
        __doc__, data="digits", out=Path("results/custom_metrics"), points="21", epochs=10
    )
    return data.run(work, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
