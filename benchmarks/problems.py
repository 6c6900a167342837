"""Whose landscapes are measured: networks, samples, and three metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.networks import BUILDERS, CLASSES, Transformer
from landscape_lib.core.direction import Direction, create_random_direction
from landscape_lib.problems.digits import table

BATCH_SIZE = 128
TOKENS, LENGTH = 500, 32


@dataclass(frozen=True)
class Case:
    """A network with its samples.

    Attributes:
        name: What it is called in the tables.
        net: The network, in eval mode.
        dataset: What a user would bring; its images are transformed whenever one is asked for.
        gflop: Of one sample's forward pass; 0 where it is not told.
    """

    name: str
    net: nn.Module
    dataset: Any
    gflop: float = 0.0

    def loader(self, workers: int = 2) -> DataLoader:
        """Return the textbook's loader."""
        return DataLoader(self.dataset, BATCH_SIZE, num_workers=workers)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return all samples, transformed."""
        pairs = [self.dataset[number] for number in range(len(self.dataset))]
        inputs, targets = zip(*pairs, strict=True)
        return torch.stack(inputs), torch.tensor([int(target) for target in targets])

    def directions(self) -> list[Direction]:
        """Return the two directions that the library draws for the seed 0."""
        return [create_random_direction(self.net, seed=0, axis=axis) for axis in (0, 1)]


class Images(Dataset):
    """Images of bytes, each transformed when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        from torchvision import transforms

        channels = images.shape[-1]
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * channels, (0.25,) * channels),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self.transform(self.images[number]), int(self.labels[number])


class Sequences(Dataset):
    """Sequences of token ids, nothing to be transformed."""

    def __init__(self, count: int) -> None:
        noise = torch.Generator().manual_seed(0)
        self.ids = torch.randint(TOKENS, (count, LENGTH), generator=noise)
        self.labels = torch.randint(CLASSES, (count,), generator=noise)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self.ids[number], int(self.labels[number])


def digits(count: int | None = None) -> Images:
    """Return scikit-learn's digits as bytes, from the first on again where there are too few."""
    found = table()
    rows = found[np.arange(count or len(found)) % len(found)]
    images = np.round(rows[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Images(images, rows[:, 64].astype(np.int64))


def pictures(count: int) -> Images:
    """Return synthetic images of the size of CIFAR's."""
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Images(images, noise.integers(0, CLASSES, count))


def settled(net: nn.Module, dataset: Any) -> nn.Module:
    """Let batch norms see some samples, so that their running statistics are not trivial."""
    loader = DataLoader(dataset, 64)
    net.train()
    with torch.no_grad():
        for _, (inputs, _) in zip(range(4), loader, strict=False):
            net(inputs)
    return net.eval()


def _built(name: str, dataset: Any, gflop: float = 0.0) -> Case:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = settled(BUILDERS[name](), dataset)
    return Case(name, net, dataset, gflop)


def transformer(count: int | None = None) -> Case:
    """Return a small encoder with 512 sequences."""
    dataset = Sequences(count or 512)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Transformer(TOKENS, LENGTH)
    return Case("transformer", net.eval(), dataset)


CASES: dict[str, Callable[[int | None], Case]] = {
    "resnet56": lambda count: _built("resnet56", pictures(count or 384), 0.2515),
    "resnet20": lambda count: _built("resnet20", pictures(count or 384)),
    "cnn": lambda count: _built("cnn", digits(count)),
    "mlp": lambda count: _built("mlp", digits(count)),
    "transformer": transformer,
}


def hits(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 100 for every sample whose class has the highest score, else 0."""
    return 100.0 * (outputs.argmax(dim=1) == targets)


def metrics() -> dict[str, Any]:
    """Return the three metrics as the library is given them."""
    return {"ce": nn.CrossEntropyLoss(), "smooth_l1": nn.SmoothL1Loss(), "acc": hits}


@torch.no_grad()
def three_metrics(net: nn.Module, dataloader: Any, use_cuda: bool) -> dict[str, float]:
    """Evaluate the same three as the textbook does: three numbers read for every batch."""
    cross_entropy, smooth_l1 = nn.CrossEntropyLoss(), nn.SmoothL1Loss()
    ce = l1 = right = 0.0
    count = 0
    for batch, labels in dataloader:
        inputs, targets = (batch.cuda(), labels.cuda()) if use_cuda else (batch, labels)
        outputs = net(inputs)
        one_hot = functional.one_hot(targets, outputs.shape[1]).float()
        ce += cross_entropy(outputs, targets).item() * len(targets)
        l1 += smooth_l1(outputs, one_hot).item() * len(targets)
        right += (outputs.argmax(dim=1) == targets).sum().item()
        count += len(targets)
    return {"ce": ce / count, "smooth_l1": l1 / count, "acc": 100.0 * right / count}
