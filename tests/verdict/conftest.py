"""Whole landscapes of small problems, measured and judged as the pipeline does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_lib.config import EvaluationSettings, VerdictSettings
from landscape_lib.core.direction import cosine, create_random_direction
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import merge
from landscape_lib.problems.problem import Problem
from landscape_lib.steps.bench import lay_out
from landscape_lib.steps.centre import Centre
from landscape_lib.steps.evaluate import Work
from landscape_lib.utils.signals import Stops
from landscape_lib.verdict.evidence import Evidence
from landscape_lib.verdict.judge import judge


class Judged:
    """A landscape, its verdict, and both halves of that by name."""

    def __init__(self, model, data, metrics, directions, grid, wishes, splits, curvature):
        problem = Problem(model, data, metrics, splits or {})
        asked = EvaluationSettings(precision="float64", curvature=curvature)
        bench = lay_out("own", problem, code="", args={}, wishes=asked)
        plan = Plan(precision="float64")
        work = Work(bench, plan, directions, grid, Stops())
        surface = merge([work.evaluate(range(grid.size), "own")])
        told = {"cosine": cosine(*directions)} if len(directions) > 1 else {}
        self.surface = replace(surface, attributes={**surface.attributes, **told})
        centre = Centre(bench, plan, directions, self.surface, wishes or VerdictSettings(), Stops())
        self.measure, self.centre = centre, centre.measured()
        self.evidence = Evidence("own", self.surface, self.centre)
        self.verdict = judge(self.evidence)
        self.checks = {check["id"]: check for check in self.verdict["checks"]}
        self.numbers = {}
        for number in self.verdict["numbers"]:  # the loss that is judged comes first
            self.numbers.setdefault(number["name"], number["value"])

    def state(self, check):
        return self.checks[check]["state"]

    def found(self, check):
        return self.checks[check]["found"]


@pytest.fixture
def judged():
    """Returns the verdict on a model; grid as (low, high, count) an axis, never square."""

    def judging(
        model, data, metrics=None, *, x=(-1, 1, 21), y=(-1, 1, 17), directions=None, wishes=None,
        splits=None, curvature=False,
    ):  # fmt: skip
        axes = [Axis(*limits) for limits in (x, y) if limits]
        model.double()
        found = directions or [
            create_random_direction(model, seed=0, axis=n) for n in range(len(axes))
        ]
        grid = Grid(tuple(axes))
        loss = metrics if metrics is not None else nn.CrossEntropyLoss()
        return Judged(model, data, loss, found, grid, wishes, splits, curvature)

    return judging


def blobs(count=120, classes=3, seed=0, apart=2.0):
    """Clouds of points in the plane, one a class."""
    stream = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    angles = 2 * np.pi * targets / classes
    middles = apart * np.stack([np.cos(angles), np.sin(angles)], 1)
    inputs = middles + stream.normal(size=(count, 2))
    return torch.tensor(inputs), torch.tensor(targets)


def trained(data, seed=0, activation=nn.Tanh, norm=False, steps=400, decay=0.0):
    """A small network, trained to the minimum of its loss by L-BFGS."""
    torch.manual_seed(seed)
    layers = [nn.Linear(2, 8), *([nn.BatchNorm1d(8)] if norm else []), activation()]
    model = nn.Sequential(*layers, nn.Linear(8, 3)).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(data[0]), data[1])
        loss = loss + decay * sum(w.square().sum() for w in model.parameters())
        loss.backward()
        return loss

    optimizer.step(closure)
    return model.eval()
