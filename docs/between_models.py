"""Three networks for docs/between-models.md: python docs/between_models.py."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape_lib import Problem
from landscape_lib.problems.digits import split

SEEDS = {"first": 0, "second": 1, "third": 2}
FOLDER = Path("results/digits")


def network() -> nn.Sequential:
    """Return two hidden layers for images of 8 x 8 pixels."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 256), nn.ReLU()),
        *(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)),
    )


def train(seed: int) -> dict[str, Tensor]:
    """Train from other first weights and another order of the images for every seed."""
    torch.manual_seed(seed)
    model, (inputs, targets) = network(), split()[0]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.1)
    for _ in range(40):
        for batch in torch.randperm(len(inputs)).split(100):
            loss = functional.cross_entropy(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.state_dict()


def build(checkpoint: str) -> Problem:
    """Return a trained network and the digits that it was trained on."""
    model, (training, test) = network(), split()
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    return Problem(model, training, nn.CrossEntropyLoss(), splits={"test": test})


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, seed in SEEDS.items():
        torch.save(train(seed), FOLDER / f"{name}.pt")
