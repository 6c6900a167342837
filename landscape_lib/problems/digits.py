"""What the demo looks at: one deep network for handwritten digits, with and without skips."""

import importlib.util
import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape_lib.core.errors import InputError
from landscape_lib.core.reading import one_thread
from landscape_lib.problems.checkpoint import load_checkpoint
from landscape_lib.problems.problem import Problem

HELD_OUT = 360  # of the 1,797 images; 1,437 are left to train on
SPLIT_SEED = 0
SECONDS_BETWEEN_LINES = 3.0

log = logging.getLogger(__name__)

Pair = tuple[Tensor, Tensor]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each batch normalised, around which the input may skip.

    out = relu(x + F(x)) with the skip, relu(F(x)) without;  F = bn . conv . relu . bn . conv
    """

    def __init__(self, width: int, *, skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.skip = skip

    def forward(self, images: Tensor) -> Tensor:
        """Return what comes out of the block, in the shape of what goes in."""
        change = functional.relu(self.bn1(self.conv1(images)))
        change = self.bn2(self.conv2(change))
        return functional.relu(images + change if self.skip else change)


class ResidualNet(nn.Module):
    """A thin, deep ResNet for 8 x 8 images, or the same network with its skips taken out.

    It is the paper's pair ResNet-56 and ResNet-56-noshort (and their kin of 20 and 110 layers) at
    the size of a demo.  As there: a 3 x 3 convolution, blocks of two 3 x 3 convolutions with batch
    normalisation and ReLU, a mean over the image, one linear layer; "noshort" removes the skips and
    nothing else, so both networks have the same parameters under the same names; the one bit
    ``has_skips`` in the state tells them apart.  Other than there: the image is 8 x 8, so there is
    one stage of one width where the paper's networks have three, and no skip ever has to change
    shape.

    Args:
        skip: Whether each block adds its input to its output.
        depth: Number of layers with weights, 2 * blocks + 2: even, at least 4.
        width: Number of channels.

    Raises:
        InputError: If depth or width cannot be built.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 5;
        He et al. (2016), Deep Residual Learning for Image Recognition, section 4.2.
    """

    def __init__(self, *, skip: bool, depth: int, width: int) -> None:
        super().__init__()
        if depth < 4 or depth % 2 or width < 1:
            raise InputError(
                f"The digits network has depth {depth} and width {width}; choose an even depth "
                "of at least 4 (two layers a block, and two more) and a width of at least 1."
            )
        self.conv = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            *(ResidualBlock(width, skip=skip) for _ in range((depth - 2) // 2))
        )
        self.linear = nn.Linear(width, 10)
        self.register_buffer("has_skips", torch.tensor(skip))  # so that a checkpoint tells
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # He et al. (2015)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores, shape (n, 10), of images of shape (n, 1, 8, 8)."""
        features = self.blocks(functional.relu(self.bn(self.conv(images))))
        return self.linear(features.mean(dim=(2, 3)))


def split() -> tuple[Pair, Pair]:
    """Return the images to train on and the images held out, the same on every call.

    The file goes from writer to writer, so it is permuted, always alike, before it is cut.

    Returns:
        ``(inputs, targets)`` twice: inputs of shape (n, 1, 8, 8), float32 in [0, 1]; targets of
        shape (n,), int64; n is 1,437 to train on, 360 held out.
    """
    digits = table()
    images, labels = digits[:, :64], digits[:, 64]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    inputs = torch.tensor(images[order] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    targets = torch.tensor(labels[order], dtype=torch.int64)
    return (inputs[HELD_OUT:], targets[HELD_OUT:]), (inputs[:HELD_OUT], targets[:HELD_OUT])


def table() -> np.ndarray:
    """Read scikit-learn's digits: 64 pixels of 0 to 16 and the label, shape (1797, 65).

    What ``sklearn.datasets.load_digits`` reads, without importing the rest of scikit-learn, which
    would be two seconds of every job.

    Raises:
        InputError: If scikit-learn is not installed.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise InputError("scikit-learn, which brings the digits, is not installed.")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return np.loadtxt(path, delimiter=",")


def train(
    skip: bool,
    depth: int,
    width: int,
    epochs: int,
    seed: int,
    rate: float = 0.01,
    batch_size: int = 64,
) -> dict[str, Tensor]:
    """Train a network on the digits and return its weights.

    AdamW (weight decay 0.01) under a one-cycle schedule, gradients clipped to norm 5.  The seed
    decides the first weights and the order of the images, in the same way with and without
    skips.  The same seed gives the same bits on the same kind of machine; on another, rounding may
    send a deep network without skips to another minimum, as another seed would.

    Args:
        skip: Whether the network has skips.
        depth: As in ``ResidualNet``.
        width: As in ``ResidualNet``.
        epochs: How often every image is seen.
        seed: Where all randomness comes from.
        rate: Learning rate at its peak.
        batch_size: Images a step.

    Returns:
        The state_dict, on the CPU.

    Raises:
        InputError: If a setting is out of range.
    """
    (inputs, targets), held_out = split()
    if epochs < 1 or not 1 < batch_size <= len(inputs) or not rate > 0:
        raise InputError(
            f"Training has epochs {epochs}, batch_size {batch_size}, rate {rate}; choose epochs of "
            f"at least 1, a batch_size of 2 to {len(inputs)}, a rate above 0."
        )
    net = _untrained(seed, skip=skip, depth=depth, width=width)
    net.to(memory_format=torch.channels_last)  # an eighth faster on a CPU
    steps = len(inputs) // batch_size
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, epochs=epochs, steps_per_epoch=steps, pct_start=0.25
    )
    shuffle = torch.Generator().manual_seed(seed)
    progress = _Progress(epochs, held_out)
    with one_thread():  # layers this small gain nothing from more, and wait for each other
        for epoch in range(1, epochs + 1):
            order = torch.randperm(len(inputs), generator=shuffle)[: steps * batch_size]
            loss_sum = 0.0
            net.train()
            for batch in order.split(batch_size):
                loss = functional.cross_entropy(net(inputs[batch]), targets[batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                optimizer.step()
                schedule.step()
                loss_sum += loss.item()
            progress.report(net, epoch, loss_sum / steps)
    return {
        name: entry.clone(memory_format=torch.contiguous_format)
        for name, entry in net.state_dict().items()
    }


def build(
    checkpoint: str, skip: bool, depth: int, width: int, samples: int | None = None
) -> Problem:
    """Bring back a trained network together with the digits it is judged on.

    Keys: ``train_loss``, ``train_acc``, ``test_loss``, ``test_acc``.

    Args:
        checkpoint: File of a state_dict, as ``train`` returns it.
        skip: As trained.
        depth: As trained.
        width: As trained.
        samples: How many images of either split to judge on; all when left out.

    Returns:
        The problem; its model is in eval mode.

    Raises:
        InputError: If the checkpoint is missing, unreadable, or of another network, or there are
            not as many samples.
    """
    if samples is not None and not 1 <= samples <= HELD_OUT:
        raise InputError(
            f"samples is {samples}; choose 1 to {HELD_OUT}, or leave it out for all images."
        )
    net = _untrained(0, skip=skip, depth=depth, width=width)
    state = load_checkpoint(checkpoint, net)
    if bool(state["has_skips"]) != skip:
        raise InputError(
            f"{checkpoint}: has_skips is {bool(state['has_skips'])}, not {skip}. Give build the "
            "skip that the checkpoint was trained with, or train again."
        )
    net.load_state_dict(state)
    seen, held_out = ((inputs[:samples], targets[:samples]) for inputs, targets in split())
    return Problem(net.eval(), seen, nn.CrossEntropyLoss(), splits={"test": held_out})


def _untrained(seed: int, *, skip: bool, depth: int, width: int) -> ResidualNet:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ResidualNet(skip=skip, depth=depth, width=width)


class _Progress:
    """Logs how training stands, a line every few seconds and one at the end."""

    def __init__(self, epochs: int, held_out: Pair) -> None:
        self.epochs, self.held_out = epochs, held_out
        self.start = self.last = time.monotonic()

    def report(self, net: nn.Module, epoch: int, loss: float) -> None:
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_LINES and epoch < self.epochs:
            return
        self.last = now
        left_s = (now - self.start) / epoch * (self.epochs - epoch)
        log.info(
            "epoch %d of %d: loss %.4f, held-out accuracy %.1f %%, %.0f s left",
            *(epoch, self.epochs, loss, _accuracy(net, *self.held_out), left_s),
        )


@torch.no_grad()
def _accuracy(net: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Return percent of images named right; leaves the network in eval mode."""
    return 100 * (net.eval()(inputs).argmax(dim=1) == targets).float().mean().item()
