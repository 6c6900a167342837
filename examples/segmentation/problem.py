"""A segmentation: which pixels of a noisy image belong to a digit of scikit-learn's."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from landscape_lib import Problem, load_checkpoint

Pair = tuple[Tensor, Tensor]
SIDE = 24  # of an image, in pixels; a digit has 8
INK = 6  # of 16: a pixel darker than that belongs to the digit
HELD_OUT = 200


class Network(nn.Module):
    """A small encoder and decoder with one skip connection: scores (n, 2, height, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = _block(1, width)
        self.coarse = _block(width, 2 * width)
        self.back = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.scores = nn.Conv2d(2 * width, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return two scores a pixel: background, digit."""
        fine = self.fine(images)
        coarse = self.coarse(functional.max_pool2d(fine, 2))
        return self.scores(torch.cat([fine, self.back(coarse)], dim=1))


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


class IoU:
    """Pixels that are rightly called digit, in percent of those that are or are called digit.

    Counted over all images: it is no mean of images.
    """

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin a new point."""
        self.both, self.either = 0, 0

    def update(self, scores: Tensor, masks: Tensor) -> None:
        """Add a batch."""
        called, are = scores.argmax(dim=1) == 1, masks == 1
        self.both = self.both + (called & are).sum()
        self.either = self.either + (called | are).sum()

    def compute(self) -> Tensor:
        """Return the percentage; NaN where there is no digit, and none is seen."""
        return 100 * self.both / self.either


def data(images: int) -> tuple[Pair, Pair]:
    """Return images (n, 1, 24, 24) and masks (n, 24, 24) to train on, and held-out ones."""
    digits = torch.tensor(load_digits().images[:images], dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    noisy = torch.rand(len(digits), 1, SIDE, SIDE, generator=generator)
    masks = torch.zeros(len(digits), SIDE, SIDE, dtype=torch.int64)
    corners = torch.randint(0, SIDE - 8, (len(digits), 2), generator=generator).tolist()
    for image, mask, digit, (top, left) in zip(noisy, masks, digits, corners, strict=True):
        place = slice(top, top + 8), slice(left, left + 8)
        image[0][place] += digit / 16
        mask[place] = digit > INK
    return (noisy[HELD_OUT:], masks[HELD_OUT:]), (noisy[:HELD_OUT], masks[:HELD_OUT])


def build(checkpoint: str, width: int, images: int) -> Problem:
    """Return the trained network, its images, and two metrics from one forward pass.

    Keys: ``train_loss_pixel``, the mean cross-entropy of a pixel, ``train_loss_iou``, and the same
    of ``test``.
    """
    model = Network(width)
    model.load_state_dict(load_checkpoint(checkpoint, model))
    training, held_out = data(images)
    metrics = {"pixel": nn.CrossEntropyLoss(), "iou": IoU()}
    return Problem(model, training, metrics, splits={"test": held_out})


def train(width: int, images: int, epochs: int, seed: int) -> dict[str, Tensor]:
    """Train the network and return its weights."""
    torch.manual_seed(seed)
    model = Network(width)
    (noisy, masks), _ = data(images)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for batch in torch.randperm(len(masks)).split(50):
            optimizer.zero_grad()
            functional.cross_entropy(model(noisy[batch]), masks[batch]).backward()
            optimizer.step()
    return model.state_dict()
