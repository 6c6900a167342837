"""What the examples share: images with their labels, a training loop, errors of one line."""

import argparse
import gzip
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from landscape_lib import InputError
from landscape_lib.problems import digits

Pair = tuple[Tensor, Tensor]

FASHION_IMAGES, FASHION_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
FASHION_MISSING = (
    "There is no {name} below {folder}. Get Fashion-MNIST as a Debian package (no root needed): "
    "apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb deb && "
    "mkdir -p {folder} && cp deb/usr/share/datasets/fashion-mnist/* {folder}/ ; or through "
    "torchvision: FashionMNIST({root!r}, download=True); or take --data digits."
)


@dataclass(frozen=True)
class Source:
    """Where images come from, and how their pixels are made to have mean 0 and deviation 1.

    Attributes:
        read: Given the root folder, returns inputs of shape (n, channels, height, width), bytes
            or floats, and targets of shape (n,).
        white: What a white pixel is in ``inputs``.
        mean: Mean of each channel over the training set, where white is 1.
        deviation: Standard deviation of each channel, likewise.
    """

    read: Callable[[Path], Pair]
    white: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def normalised(self, inputs: Tensor) -> Tensor:
        """Return the images as float32 with mean 0 and deviation 1 in each channel."""
        mean, deviation = (
            torch.tensor(row).reshape(-1, 1, 1) for row in (self.mean, self.deviation)
        )
        return (inputs.float() / self.white - mean) / deviation


def read_digits(root: Path) -> Pair:
    """Return scikit-learn's digits; they come with the package, so there is nothing to look up."""
    training, _ = digits.split()
    return training


def read_fashion(root: Path) -> Pair:
    """Read Fashion-MNIST from ``<root>/FashionMNIST/raw``, where torchvision puts it.

    The files may be as they are packed (``.gz``) or unpacked; torchvision itself reads only the
    latter.

    Raises:
        InputError: If a file is missing or damaged.
    """
    images = _read_idx(root, FASHION_IMAGES, header=16).reshape(-1, 1, 28, 28)
    labels = _read_idx(root, FASHION_LABELS, header=8)
    return torch.from_numpy(images), torch.from_numpy(labels).long()


def _read_idx(root: Path, name: str, header: int) -> np.ndarray:
    """Return the bytes behind the header of an IDX file, packed or not.

    Raises:
        InputError: If it is missing or damaged.
    """
    folder = root / "FashionMNIST" / "raw"
    packed, plain = folder / f"{name}.gz", folder / name
    try:
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    except FileNotFoundError:
        message = FASHION_MISSING.format(name=name, folder=folder, root=str(root))
        raise InputError(message) from None
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"{packed} cannot be read ({_one_line(error)}); get it again, or take --data digits."
        ) from error
    return np.frombuffer(content, np.uint8, offset=header).copy()


def read_cifar10(root: Path) -> Pair:
    """Read CIFAR-10 through torchvision, which downloads it where it is not there yet.

    Raises:
        InputError: If it can neither be read nor downloaded.
    """
    from torchvision.datasets import CIFAR10

    try:
        found = CIFAR10(str(root), download=True)
    except (OSError, HTTPException, RuntimeError) as error:  # URLError is an OSError
        raise InputError(
            f"CIFAR-10 is not in {root} and cannot be downloaded ({_one_line(error)}). Put "
            f"cifar-10-batches-py there, or take data that need no network: --data digits."
        ) from error
    return torch.from_numpy(found.data).permute(0, 3, 1, 2), torch.tensor(found.targets)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


SOURCES = {
    "digits": Source(read_digits, 1.0, (0.305,), (0.376,)),
    "fashion": Source(read_fashion, 255.0, (0.2860,), (0.3530,)),
    "cifar10": Source(read_cifar10, 255.0, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


def load(args: argparse.Namespace) -> TensorDataset:
    """Return training images drawn by the seed: a number of them, or a share of all.

    Args:
        args: What ``parser`` reads; ``data``, ``root``, ``samples`` and ``seed`` count here.

    Raises:
        InputError: If the data cannot be had, or there are not as many.
    """
    source = SOURCES[args.data]
    inputs, targets = source.read(Path(args.root))
    whole = isinstance(args.samples, int)
    count = args.samples if whole else round(args.samples * len(targets))
    if not 1 <= count <= len(targets):
        raise InputError(
            f"--samples is {count}; {args.data} has {len(targets)} images to train on, so choose "
            f"1 to {len(targets)}."
        )
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(args.seed))
    return TensorDataset(source.normalised(inputs[order[:count]]), targets[order[:count]])


def parser(description: str | None, **defaults: object) -> argparse.ArgumentParser:
    """Return a parser with the options that every example has.

    Args:
        description: What ``--help`` says first.
        defaults: Of ``data``, ``out``, ``points`` and ``epochs``, and of others that differ.
    """
    shows = argparse.ArgumentDefaultsHelpFormatter
    found = argparse.ArgumentParser(description=description, formatter_class=shows)
    found.add_argument("--data", choices=sorted(SOURCES), help="what to train on")
    found.add_argument("--root", default="data", help="folder of fashion and cifar10")
    found.add_argument("--out", type=Path, help="folder that gets the surfaces and pictures")
    found.add_argument("--points", type=steps, metavar="N", help="steps an axis, or 21x11")
    found.add_argument("--epochs", type=whole_number, help="how often every image is seen")
    found.add_argument(
        "--samples",
        type=amount,
        default="100%",
        help="images to train and to judge on, 500 or 10%%",
    )
    found.add_argument("--seed", type=int, default=0, help="where all randomness comes from")
    found.add_argument("--cuda", action="store_true", help="compute on the GPU, if there is one")
    found.set_defaults(**defaults)
    return found


def whole_number(text: str) -> int:
    """Read a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def amount(text: str) -> int | float:
    """Read a number of images, ``500``, or a share of all, ``10%``.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    return whole_number(text[:-1]) / 100 if text.endswith("%") else whole_number(text)


def steps(text: str) -> tuple[int, int]:
    """Read the numbers of steps along x and y: ``21x11``, or ``21`` for both.

    Raises:
        argparse.ArgumentTypeError: If they are none.
    """
    x_points, by, y_points = text.partition("x")
    return whole_number(x_points), whole_number(y_points if by else x_points)


def run(work: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """Do the work; return 0, or 2 after one line about what the user can put right."""
    threads = torch.get_num_threads()
    if args.data == "digits":  # images this small gain nothing from more threads
        torch.set_num_threads(1)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        work(args)
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    finally:
        torch.set_num_threads(threads)
    return 0


def train(
    net: nn.Module,
    dataset: TensorDataset,
    epochs: int,
    batch_size: int,
    seed: int,
    rate: float = 0.01,
) -> nn.Module:
    """Train the network where it is and return it, with a line of progress an epoch.

    AdamW under a one-cycle schedule, gradients clipped to norm 5.  The seed decides the order of
    the images.
    """
    device = next(net.parameters()).device
    inputs, targets = (tensor.to(device) for tensor in dataset.tensors)
    batch_size = min(batch_size, len(targets))
    steps = len(targets) // batch_size  # a last, smaller batch is left to the next epoch's order
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, epochs=epochs, steps_per_epoch=steps, pct_start=0.25
    )
    shuffle = torch.Generator().manual_seed(seed)
    start = time.monotonic()
    net.train()
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(targets), generator=shuffle)[: steps * batch_size].to(device)
        loss_sum, right = 0.0, 0
        for batch in order.split(batch_size):
            scores = net(inputs[batch])
            loss = functional.cross_entropy(scores, targets[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            loss_sum += loss.item()
            right += int((scores.argmax(1) == targets[batch]).sum())
        left_s = (time.monotonic() - start) / epoch * (epochs - epoch)
        print(
            f"epoch {epoch} of {epochs}: loss {loss_sum / steps:.4f}, "
            f"accuracy {100 * right / len(order):.1f} %, {left_s:.0f} s left",
            flush=True,
        )
    return net.eval()


def device_of(args: argparse.Namespace) -> torch.device:
    """Return where to compute: on the GPU if that is asked for and there is one."""
    return torch.device("cuda" if args.cuda and torch.cuda.is_available() else "cpu")
