"""Three metrics of ResNet-56 at every point of a surface, for the price of one forward pass.

What to look at: four pictures a metric, all of the same points, so that a place that is high in
one can be looked up in the others; and the times at the end.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import data
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from landscape_lib import InputError, LossLandscape
from landscape_lib.problems.resnet import ResNet

BATCH_SIZE = 250


def smooth_l1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how far each sample's probabilities are from its one-hot class, shape (n,)."""
    classes = functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return functional.smooth_l1_loss(outputs.softmax(1), classes, reduction="none").mean(dim=1)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 100 for every sample that is named right, 0 for the others: the mean is percent."""
    return 100.0 * (outputs.argmax(dim=1) == targets)


def top5_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 100 for every sample whose class is among the five highest scores, else 0."""
    return 100.0 * (outputs.topk(5).indices == targets[:, None]).any(dim=1)


# A dict of metrics is evaluated from the outputs of one forward pass, and its sums stay on the
# device until the point is done.  A function f(net, dataloader, use_cuda) works as well, but it
# runs its own loop: what it computes is its own affair, and each .item() in it waits for the GPU.
METRICS = {
    "cross_entropy": nn.CrossEntropyLoss(),
    "smooth_l1": smooth_l1,
    "accuracy": accuracy,
    "top5_accuracy": top5_accuracy,
}


class Times(dict[str, float]):
    """Seconds that each part took."""

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Measure what is done inside ``with``."""
        start = time.perf_counter()
        yield
        self[part] = time.perf_counter() - start


def trained(args: argparse.Namespace, dataset: TensorDataset) -> nn.Module:
    """Return the network with the weights of the checkpoint, or else train it.

    Raises:
        InputError: If the checkpoint cannot be used.
    """
    torch.manual_seed(args.seed)
    channels = dataset.tensors[0].shape[1]
    net = ResNet(args.depth, channels=channels).to(data.device_of(args))
    if args.checkpoint is None:
        return data.train(net, dataset, args.epochs, batch_size=32, seed=args.seed)
    try:
        state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
        net.load_state_dict(state)
    except Exception as error:  # torch.load raises whatever the bytes of a strange file lead to
        reason = " ".join(str(error).split())
        raise InputError(
            f"--checkpoint {args.checkpoint} cannot be used; wanted the state_dict of a ResNet of "
            f"depth {args.depth} for images of {channels} channel(s). {reason:.300}"
        ) from error
    return net.eval()


@torch.no_grad()
def samples_per_second(net: nn.Module, dataset: TensorDataset) -> float:
    """Measure how many samples the network judges a second, on one or two batches."""
    device = next(net.parameters()).device
    batch = dataset.tensors[0][:BATCH_SIZE].to(device)
    net(batch)[0, 0].item()  # the first pass chooses algorithms; .item() waits for the GPU
    start = time.perf_counter()
    net(batch)[0, 0].item()
    return len(batch) / (time.perf_counter() - start)


def work(args: argparse.Namespace) -> None:
    """Train or load, say how long it will take, evaluate, draw, and say how long it took."""
    times = Times()
    with times.of("data"):
        dataset = data.load(args)
    with times.of("training"):
        net = trained(args, dataset)
    x_points, y_points = args.points
    judged = x_points * y_points * len(dataset)
    print(
        f"Evaluating {x_points} x {y_points} points on {len(dataset)} samples takes about "
        f"{judged / samples_per_second(net, dataset):.0f} s.",
        flush=True,
    )
    metrics = dict(list(METRICS.items())[: args.metrics])
    loader = DataLoader(dataset, BATCH_SIZE)
    surf_file = args.out / f"resnet{args.depth}_{args.data}.h5"
    landscape = LossLandscape(net, loader, metrics, args.cuda, surf_file=surf_file)
    with times.of("evaluating"):
        landscape.compute_2d((-1, 1, x_points), (-1, 1, y_points), seed=args.seed)
    with times.of("pictures"):
        pictures = [
            *landscape.plot_2d_contour(surf_name="auto"),
            *landscape.plot_2d_surface(surf_name="auto"),
        ]
    for path in pictures:
        print(f"  {path}")
    print(f"{len(pictures)} pictures of {len(metrics)} metrics")
    print(", ".join(f"{part} {time_s:.1f} s" for part, time_s in times.items()))
    rate = judged / times["evaluating"]
    print(f"{rate:.0f} points x samples / s (points kept by an earlier run cost nothing)")


def main(argv: list[str] | None = None) -> int:
    """Run the example; return 0, or 2 where the user can put something right."""
    parser = data.parser(
        __doc__,
        data="cifar10",
        out=Path("results/fast_multi_metrics"),
        points="11",
        epochs=20,
        samples="10%",
    )
    parser.add_argument("--depth", type=int, default=56, help="layers of the network, 6 n + 2")
    parser.add_argument("--metrics", type=int, choices=[3, 4], default=3, help="how many metrics")
    parser.add_argument("--checkpoint", help="a state_dict to load instead of training")
    return data.run(work, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
