"""Two comparisons of Li et al. (2018) on Fashion-MNIST: skips or none, small or large batches."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.datasets import FashionMNIST

from landscape_lib import InputError, Problem, load_checkpoint
from landscape_lib.problems.resnet import ResNet
from landscape_lib.problems.vgg import VGG9

Pair = tuple[Tensor, Tensor]

MEAN, DEVIATION = 0.2860, 0.3530  # of all training pixels, where white is 1
SIDE = 14  # of an image, in pixels; Fashion-MNIST's have 28
DROPS = (0.5, 0.75, 11 / 12)  # of the epochs, when the rate is divided by 10: the paper's

NETWORKS: dict[str, Callable[..., nn.Module]] = {"resnet": ResNet, "vgg9": VGG9}


def network(kind: str, **options: Any) -> nn.Module:
    """Return a network for images of one channel, untrained: one of ``NETWORKS``."""
    return NETWORKS[kind](channels=1, **options)


def images(root: str, *, train: bool, count: int | None = None) -> Pair:
    """Return a split's first images, or all: standardised, (n, 1, 14, 14), and their classes.

    A pixel is the mean of four: networks then cost a quarter.

    Raises:
        InputError: If the data are neither there nor can be downloaded.
    """
    try:
        found = FashionMNIST(root, train=train, download=True)  # only where they are not there yet
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"Fashion-MNIST is not below {root}/FashionMNIST/raw and cannot be downloaded "
            f"({' '.join(str(error).split())}). A Debian package has it: see the template's README."
        ) from error
    inputs = functional.avg_pool2d(found.data[:count, None].float() / 255, 2)
    return (inputs - MEAN) / DEVIATION, found.targets[:count]


def build(
    checkpoint: str, model: dict[str, Any], samples: int = 500, root: str = "data"
) -> Problem:
    """Return a trained network, judged on training images and on test images.

    Keys: ``train_loss``, ``train_acc``, ``test_loss``, ``test_acc``.
    """
    net = network(**model)
    net.load_state_dict(load_checkpoint(checkpoint, net))
    seen, held_out = (images(root, train=train, count=samples) for train in (True, False))
    return Problem(net, seen, nn.CrossEntropyLoss(), splits={"test": held_out})


def train(
    model: dict[str, Any],
    rate: float,
    batch_size: int,
    weight_decay: float,
    epochs: int,
    count: int = 20000,
    seed: int = 0,
    root: str = "data",
) -> dict[str, Tensor]:
    """Train a network as the paper does, and return its weights.

    SGD with Nesterov momentum 0.9; the rate is divided by 10 after a half, three quarters and
    eleven twelfths of the epochs.  Other than there: on the first ``count`` images, in whole
    batches, without augmentation.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, sections 4 and 5.
    """
    torch.manual_seed(seed)
    net = network(**model).to(memory_format=torch.channels_last)
    inputs, targets = images(root, train=True, count=count)
    optimizer = torch.optim.SGD(
        net.parameters(), rate, momentum=0.9, weight_decay=weight_decay, nesterov=True
    )
    drops = [round(share * epochs) for share in DROPS]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)
    batch_size = min(batch_size, len(targets))
    whole = len(targets) // batch_size * batch_size
    start = time.monotonic()
    for epoch in range(1, epochs + 1):
        for batch in torch.randperm(len(targets))[:whole].split(batch_size):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
        schedule.step()
        left_s = (time.monotonic() - start) / epoch * (epochs - epoch)
        print(f"epoch {epoch} of {epochs}: loss {loss.item():.4f}, {left_s:.0f} s left", flush=True)
    return {name: entry.contiguous() for name, entry in net.state_dict().items()}
