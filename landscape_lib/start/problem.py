"""A small network for handwritten digits: put your own model, data and metrics in their places."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from landscape_lib import Problem, load_checkpoint

Pair = tuple[Tensor, Tensor]


def network() -> nn.Module:
    """Return your network; its weights do not matter here."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def data() -> tuple[Pair, Pair]:
    """Return what the network was trained on, and what was held out: inputs and targets of each.

    A ``Dataset`` or a ``DataLoader`` is as good as tensors; give it the transforms of evaluation.
    """
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    inputs = torch.tensor(images, dtype=torch.float32)[order] / 16
    targets = torch.tensor(labels)[order]
    return (inputs[360:], targets[360:]), (inputs[:360], targets[:360])


def build(checkpoint: str) -> Problem:
    """Return the trained network, the data it is judged on, and how: called by the pipeline.

    ``checkpoint``, and any other argument, comes from ``args`` in the config.
    """
    model = network()
    model.load_state_dict(load_checkpoint(checkpoint, model))
    training, held_out = data()
    return Problem(model, training, metrics=nn.CrossEntropyLoss(), splits={"test": held_out})


def train(seed: int, epochs: int) -> dict[str, Tensor]:
    """Train the network and return its weights; not needed where there is a checkpoint."""
    torch.manual_seed(seed)
    model = network()
    (inputs, targets), _ = data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    for _ in range(epochs):
        for batch in torch.randperm(len(targets)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return model.state_dict()
