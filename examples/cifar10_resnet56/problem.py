"""ResNet-56 on CIFAR-10, with skip connections and without: the pair of Li et al. (2018)."""

import time

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.datasets import CIFAR10

from landscape_lib import Problem, load_checkpoint
from landscape_lib.problems.resnet import ResNet

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10's channels
DROPS = (0.5, 0.75, 11 / 12)  # of the epochs, when the rate is divided by 10: 150, 225, 275 of 300


def images(root: str, *, train: bool) -> tuple[Tensor, Tensor]:
    """Return standardised images (n, 3, 32, 32) and their classes; downloaded once."""
    found = CIFAR10(root, train=train, download=True)
    inputs = torch.from_numpy(found.data).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(row).reshape(-1, 1, 1) for row in (MEAN, DEVIATION))
    return (inputs - mean) / deviation, torch.tensor(found.targets)


def build(
    checkpoint: str, skip: bool, depth: int = 56, root: str = "data", samples: int | None = None
) -> Problem:
    """Return a trained network, judged on training images without augmentation, and on test images.

    Keys: ``train_loss``, ``train_acc``, ``test_loss``, ``test_acc``.
    """
    model = ResNet(depth, skip=skip)
    model.load_state_dict(load_checkpoint(checkpoint, model))
    seen, held_out = (
        tuple(part[:samples] for part in images(root, train=train)) for train in (True, False)
    )
    return Problem(model, seen, nn.CrossEntropyLoss(), splits={"test": held_out})


def train(
    skip: bool, rate: float, depth: int = 56, epochs: int = 300, seed: int = 0, root: str = "data"
) -> dict[str, Tensor]:
    """Train as the paper does, and return the weights.

    SGD with Nesterov momentum 0.9, batches of 128, weight decay 5e-4, 300 epochs; the rate, 0.1
    with skips and 0.01 without, is divided by 10 at epochs 150, 225 and 275.  Random crops of the
    images padded by 4, and flips.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 5.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    model = ResNet(depth, skip=skip).to(device)
    inputs, targets = (part.to(device) for part in images(root, train=True))
    optimizer = torch.optim.SGD(
        model.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    drops = [round(share * epochs) for share in DROPS]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)
    start = time.monotonic()
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in torch.randperm(len(targets), device=device).split(128):
            optimizer.zero_grad()
            functional.cross_entropy(model(augmented(inputs[batch])), targets[batch]).backward()
            optimizer.step()
        schedule.step()
        left_s = (time.monotonic() - start) / epoch * (epochs - epoch)
        print(f"epoch {epoch} of {epochs}, {left_s / 60:.0f} min left", flush=True)
    return {name: entry.cpu() for name, entry in model.state_dict().items()}


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
