"""A real surface: a network that is trained on Fashion-MNIST, as far as there is time."""

import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.cases import Case
from benchmarks.gpu.ours import Measured, Ours, square
from benchmarks.gpu.rows import part_of
from benchmarks.gpu.scale import Scale, synchronize
from benchmarks.table import Table
from examples.data import SOURCES
from landscape_lib import InputError
from landscape_lib.core.surface import merge
from landscape_lib.problems.resnet import ResNet
from landscape_lib.viz.figures import save
from landscape_lib.viz.flat import filled_contour

HEADER = (
    "problem",
    "training, s",
    "epochs",
    "loss at the centre",
    "accuracy at the centre, %",
    "points",
    "evaluation, s",
    "samples/s",
    "plan",
)
NOTE = (
    "{images:,} training images of 28 x 28, three metrics, {side} x {side} points, in float32. "
    "Adam, batches of 256, for a third of the row's time."
)
KEY, ACCURACY = "train_loss_ce", "train_loss_acc"
SHARE = 1 / 3  # of the row's time that training takes
BATCH = 256


def row(scale: Scale) -> list[Table]:
    """Train a network, and measure the landscape around it; where there are no data, say so."""
    try:
        images, targets = SOURCES["fashion"].read(scale.data)
    except InputError as error:
        missing = [[str(error), *[""] * (len(HEADER) - 1)]]
        return [Table("Fashion-MNIST, a real surface", HEADER, missing, "Nothing was measured.")]
    inputs = SOURCES["fashion"].normalised(images)
    net = _untrained(scale)
    start = time.monotonic()
    epochs = train(net, inputs, targets, scale.device, start + SHARE * scale.left())
    trained = time.monotonic() - start
    count = scale.of(5_000, 24)
    case = Case("ResNet on Fashion-MNIST", net.eval(), inputs[:count], targets[:count])
    ours = Ours(case, "float32", square(scale.of(51, 5)), scale)
    found = ours.measured()
    line = _told(ours, found, trained, epochs)
    note = NOTE.format(images=case.count, side=ours.grid.axes[0].count)
    if scale.picture and found.points == ours.grid.size:
        note += f" {_drawn(ours, found, scale.picture)}"
    return [Table("Fashion-MNIST, a real surface", HEADER, [line], note)]


def _untrained(scale: Scale) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ResNet(scale.of(20, 8), width=scale.of(16, 4), channels=1)


def train(net: nn.Module, inputs: Tensor, targets: Tensor, device: str, until: float) -> float:
    """Train a network in place until it is late; it is on the CPU again afterwards.

    Returns:
        How often every image was seen.
    """
    net.to(device).train()
    inputs, targets = inputs.to(device), targets.to(device)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    draw = torch.Generator().manual_seed(0)
    seen = 0
    while not seen or time.monotonic() < until:
        batch = torch.randint(len(targets), (BATCH,), generator=draw).to(device)
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs[batch]), targets[batch]).backward()
        optimizer.step()
        seen += BATCH
        if seen % (32 * BATCH) == 0:
            synchronize(device)  # else the clock is ahead of the training
    net.to("cpu")
    return seen / len(targets)


def _told(ours: Ours, found: Measured, trained: float, epochs: float) -> list[str]:
    values, centre = found.shard.values, found.shard.indices == ours.grid.size // 2
    return [
        ours.case.name,
        f"{trained:.3g}",
        f"{epochs:.3g}",
        f"{float(values[KEY][centre][0]):.4f}" if centre.any() else "not reached",
        f"{float(values[ACCURACY][centre][0]):.2f}" if centre.any() else "not reached",
        part_of(found, ours),
        f"{found.seconds:.3g}",
        f"{found.rate:,.0f}",
        found.spelled(),
    ]


def _drawn(ours: Ours, found: Measured, path: Path) -> str:
    """Draw the surface; return how the note shows it."""
    save(filled_contour(merge([found.shard]), KEY), path, "png")
    return f"Its picture: [{path.name}]({path.name})."
