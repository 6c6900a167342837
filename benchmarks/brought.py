"""What a user of the pipeline brings: problems by name, for configs that are made here."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.problems import CASES, metrics
from landscape_lib import Problem

FIRST_POINT = "first_point.txt"
SECONDS, SPREAD = 0.15, 0.6  # of a point that sleeps: mean, and standard deviation over the mean


def build(name: str, count: int | None = None) -> Problem:
    """Return one of the measured networks with its samples and three metrics."""
    case = CASES[name](count)
    return Problem(case.net, case.dataset, metrics())


def trivial() -> Problem:
    """Return a problem that costs nothing and notes when it is evaluated first."""
    net = nn.Linear(2, 1, bias=False)
    nn.init.ones_(net.weight)

    def metric(net: nn.Module, dataloader: object, use_cuda: bool) -> dict[str, float]:
        note = Path(FIRST_POINT)
        if not note.exists():
            note.write_text(repr(time.time()), encoding="utf-8")
        return {"height": 1.0}

    return Problem(net, (torch.zeros(3, 2), torch.zeros(3, 1)), metrics=metric)


def sleepy(seconds: float = SECONDS, spread: float = SPREAD) -> Problem:
    """Return a problem that keeps no core busy, as one on a GPU: each point sleeps for a while.

    For how long is log-normal and decided by the weights: the same at the same point.
    """
    net = nn.Linear(2, 1, bias=False)
    nn.init.ones_(net.weight)

    def metric(net: nn.Linear, dataloader: object, use_cuda: bool) -> dict[str, float]:
        place = net.weight.detach().double()
        chance = np.random.default_rng(list(place.numpy().tobytes()))
        variance = math.log1p(spread**2)
        time.sleep(chance.lognormal(math.log(seconds) - variance / 2, math.sqrt(variance)))
        return {"height": float(place.square().sum())}

    return Problem(net, (torch.zeros(3, 2), torch.zeros(3, 1)), metrics=metric)


def cheap() -> Problem:
    """Return a problem of five metrics whose points cost nearly nothing."""
    net = nn.Linear(4, 3, bias=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nn.init.normal_(net.weight)
        inputs = torch.randn(7, 4)
    metrics = {
        "ce": nn.CrossEntropyLoss(),
        "margin": nn.MultiMarginLoss(),
        "top1": lambda outputs, targets: 100.0 * (outputs.argmax(1) == targets).float(),
        "wave": lambda outputs, targets: outputs.sin().sum(1),
        "bowl": lambda outputs, targets: outputs.square().sum(1),
    }
    return Problem(net, (inputs, torch.arange(7) % 3), metrics=metrics)
