"""The networks of Li et al. (2018) on CIFAR-10: ResNet-56 and VGG-9, trained as there."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.datasets import CIFAR10

from landscape_lib import InputError, Problem, load_checkpoint
from landscape_lib.problems.resnet import ResNet
from landscape_lib.problems.vgg import VGG9

Pair = tuple[Tensor, Tensor]

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10's channels
DROPS = (0.5, 0.75, 11 / 12)  # of the epochs, when the rate is divided by 10: 150, 225, 275 of 300
NETWORKS: dict[str, Callable[..., nn.Module]] = {"resnet": ResNet, "vgg9": VGG9}


def network(kind: str, **options: Any) -> nn.Module:
    """Return a network, untrained: one of ``NETWORKS`` with its options."""
    return NETWORKS[kind](**options)


def images(root: str, *, train: bool) -> Pair:
    """Return standardised images (n, 3, 32, 32) and their classes; downloaded once.

    Raises:
        InputError: If they are neither there nor can be downloaded.
    """
    try:
        found = CIFAR10(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"CIFAR-10 is not in {root} and cannot be downloaded ({' '.join(str(error).split())}). "
            "Put the folder cifar-10-batches-py of cifar-10-python.tar.gz there."
        ) from error
    inputs = torch.from_numpy(found.data).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(row).reshape(-1, 1, 1) for row in (MEAN, DEVIATION))
    return (inputs - mean) / deviation, torch.tensor(found.targets)


def build(
    checkpoint: str, model: dict[str, Any], root: str = "data", samples: int | None = None
) -> Problem:
    """Return a trained network, judged on training images without augmentation, and on test images.

    Keys: ``train_loss``, ``train_acc``, ``test_loss``, ``test_acc``.
    """
    net = network(**model)
    net.load_state_dict(load_checkpoint(checkpoint, net))
    seen, held_out = (
        tuple(part[:samples] for part in images(root, train=train)) for train in (True, False)
    )
    return Problem(net, seen, nn.CrossEntropyLoss(), splits={"test": held_out})


def train(
    model: dict[str, Any],
    rate: float,
    batch_size: int = 128,
    weight_decay: float = 5e-4,
    epochs: int = 300,
    seed: int = 0,
    root: str = "data",
) -> dict[str, Tensor]:
    """Train a network as the paper does, and return its weights.

    SGD with Nesterov momentum 0.9; the rate is divided by 10 at epochs 150, 225 and 275 of 300.
    Random crops of the images padded by 4, and flips.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, sections 4 and 5.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    net = network(**model).to(device)
    inputs, targets = (part.to(device) for part in images(root, train=True))
    optimizer = torch.optim.SGD(
        net.parameters(), rate, momentum=0.9, weight_decay=weight_decay, nesterov=True
    )
    drops = [round(share * epochs) for share in DROPS]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)
    start = time.monotonic()
    for epoch in range(1, epochs + 1):
        for batch in torch.randperm(len(targets), device=device).split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(net(augmented(inputs[batch])), targets[batch]).backward()
            optimizer.step()
        schedule.step()
        left_s = (time.monotonic() - start) / epoch * (epochs - epoch)
        print(f"epoch {epoch} of {epochs}, {left_s / 60:.0f} min left", flush=True)
    return {name: entry.cpu() for name, entry in net.state_dict().items()}


def augmented(inputs: Tensor) -> Tensor:
    """Return each image padded by 4 pixels and cut out again at random, half of them flipped."""
    count, _, height, width = inputs.shape
    padded = functional.pad(inputs, (4, 4, 4, 4))
    down, right = torch.randint(0, 9, (2, count, 1), device=inputs.device)
    rows = down + torch.arange(height, device=inputs.device)
    columns = right + torch.arange(width, device=inputs.device)
    flipped = torch.rand(count, 1, device=inputs.device) < 0.5
    columns = torch.where(flipped, columns.flip(1), columns)
    number = torch.arange(count, device=inputs.device).reshape(-1, 1, 1)
    return padded[number, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
