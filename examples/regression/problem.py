"""A regression: how a disease progresses, from ten measurements a patient (scikit-learn's data)."""

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional

from landscape_lib import Problem, load_checkpoint

Pair = tuple[Tensor, Tensor]
HELD_OUT = 100  # of 442 patients


def network(width: int) -> nn.Module:
    """Return the network, untrained: one hidden layer, one output."""
    return nn.Sequential(nn.Linear(10, width), nn.Tanh(), nn.Linear(width, 1))


def data() -> tuple[Pair, Pair, float]:
    """Return training patients, held-out ones, and what one unit of the targets is.

    Inputs (n, 10), targets (n, 1): a loss that compares the two wants them in one shape.  Both are
    standardised by the training patients' mean and deviation.
    """
    measured, progress = load_diabetes(return_X_y=True)
    order = torch.randperm(len(progress), generator=torch.Generator().manual_seed(0))
    inputs = torch.tensor(measured, dtype=torch.float32)[order]
    targets = torch.tensor(progress, dtype=torch.float32)[order, None]
    seen = slice(HELD_OUT, None)
    inputs = (inputs - inputs[seen].mean(0)) / inputs[seen].std(0)
    unit = float(targets[seen].std())
    targets = (targets - targets[seen].mean()) / unit
    return (inputs[seen], targets[seen]), (inputs[:HELD_OUT], targets[:HELD_OUT]), unit


def build(checkpoint: str, width: int) -> Problem:
    """Return the trained network, its patients, and three ways to judge it in one forward pass.

    Keys: ``train_loss_mse`` (of standardised targets), ``train_loss_mae`` (in the units of the
    data), ``train_loss_huber``, and the same of ``test``.
    """
    model = network(width)
    model.load_state_dict(load_checkpoint(checkpoint, model))
    training, held_out, unit = data()

    def mae(outputs: Tensor, targets: Tensor) -> Tensor:
        return unit * (outputs - targets).abs().flatten()  # a number a sample

    metrics = {"mse": nn.MSELoss(), "mae": mae, "huber": nn.HuberLoss()}
    return Problem(model, training, metrics, splits={"test": held_out})


def train(width: int, epochs: int, seed: int) -> dict[str, Tensor]:
    """Train the network on all training patients at once, and return its weights."""
    torch.manual_seed(seed)
    model = network(width)
    (inputs, targets), _, _ = data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(epochs):
        optimizer.zero_grad()
        functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    return model.state_dict()
