"""A metric that holds the model judges the model where it is, not where it was."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_lib.core.copies import copy_beside
from landscape_lib.core.curvature import Objective, UnmeasurableError
from landscape_lib.core.direction import create_random_direction, movable
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.samples import gather

GRID = Grid((Axis(-1, 1, 5), Axis(-0.5, 1, 3)))
generator = torch.Generator().manual_seed(0)
INPUTS = torch.randn(20, 4, generator=generator)
CLASSES = torch.randint(3, (20,), generator=generator)
CPU = torch.device("cpu")


class Penalized(nn.Module):
    """Cross-entropy and a penalty on the weights."""

    def __init__(self, net, held):
        super().__init__()
        self.loss = nn.CrossEntropyLoss()
        if held == "module":
            self.net = net
        elif held == "attribute":
            self.__dict__["net"] = net
        elif held == "inside":
            self.net = nn.ModuleList([SimpleModule(net)])
        else:
            self.own = SimpleNamespace(weights=list(net.parameters()))

    def weights(self):
        return self.own.weights if hasattr(self, "own") else self.net.parameters()

    def forward(self, outputs, targets):
        return self.loss(outputs, targets) + 0.1 * sum(w.square().sum() for w in self.weights())


class SimpleModule(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net


HELD = ["module", "attribute", "inside", "list"]


def network():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).eval()
    net[1].running_mean.fill_(0.3)
    return net


def literal(net, directions):
    """The surface, from weights that are written down point by point."""
    start = [w.detach().clone() for w in net.parameters()]
    found = []
    with torch.no_grad():
        for x, y in GRID.points(range(GRID.size)):
            for w, w0, d1, d2 in zip(net.parameters(), start, *directions, strict=True):
                w.copy_(w0 + (x * d1 + y * d2))
            penalty = sum(w.square().sum().item() for w in net.parameters())
            loss = functional.cross_entropy(net(INPUTS), CLASSES).item()
            found.append(loss + 0.1 * penalty)
        for w, w0 in zip(net.parameters(), start, strict=True):
            w.copy_(w0)
    return found


@pytest.mark.parametrize("as_dict", [False, True], ids=["alone", "in a dict"])
@pytest.mark.parametrize("plan", [{}, {"fold": True}, {"precision": "bf16"}], ids=str)
@pytest.mark.parametrize("held", HELD)
def test_a_penalty_is_that_of_the_weights_at_the_point(held, plan, as_dict):
    net = network()
    directions = [create_random_direction(net, seed=seed) for seed in (0, 1)]
    metrics = Penalized(net, held)
    metrics = {"own": metrics} if as_dict else metrics
    plan = Plan(batch_size=7, **plan)
    evaluator = Evaluator(net, metrics, prepare((INPUTS, CLASSES)), plan)
    shard = measure(net, evaluator, directions, GRID, range(GRID.size))
    found = shard.values["train_loss_own" if as_dict else "train_loss"]
    rounding = 2e-2 if plan.precision == "bf16" else 1e-5
    np.testing.assert_allclose(found, literal(net, directions), rtol=rounding)


def test_points_at_once_are_refused_where_a_metric_holds_the_model():
    net = network()
    plan = Plan(batch_size=7, points_at_once=2)
    with pytest.raises(InputError, match="a metric holds the model, whose weights differ"):
        Evaluator(net, Penalized(net, "module"), prepare((INPUTS, CLASSES)), plan)


def test_a_torchmetric_that_holds_the_model_sees_it_move():
    class Norm:
        def __init__(self, net):
            self.net, self.total = net, torch.zeros(())

        def reset(self):
            self.total = torch.zeros(())

        def update(self, outputs, targets):
            self.total = sum(w.square().sum() for w in self.net.parameters())

        def compute(self):
            return self.total

    net = network()
    evaluator = Evaluator(net, {"norm": Norm(net)}, prepare((INPUTS, CLASSES)))
    direction = create_random_direction(net, seed=0)
    grid = Grid((Axis(-1, 1, 3),))
    found = measure(net, evaluator, [direction], grid, range(3)).values["train_loss_norm"]
    assert len(set(found)) == 3


@pytest.mark.parametrize("held", ["module", "attribute", "inside", "list"])
def test_derivatives_are_those_of_the_penalty_as_well_or_are_refused(held):
    net = network().double()
    samples = gather((INPUTS, CLASSES)).to("cpu", torch.float64)
    if held == "list":
        with pytest.raises(UnmeasurableError, match="holds weights of the model in a list"):
            Objective(net, Penalized(net, held), "train_loss", samples, 7)
        return
    objective = Objective(net, Penalized(net, held), "train_loss", samples, 7)
    moving = movable(net)

    def loss(flat):
        parts = flat.split([w.numel() for w in moving.values()])
        weights = {n: p.view(w.shape) for (n, w), p in zip(moving.items(), parts, strict=True)}
        outputs = torch.func.functional_call(net, weights, (INPUTS.double(),))
        return functional.cross_entropy(outputs, CLASSES) + 0.1 * flat.square().sum()

    start = objective.flat(list(moving.values()))
    vector = torch.linspace(-1, 1, objective.size, dtype=torch.float64)
    found = objective.derivatives([vector])
    hessian = torch.autograd.functional.hessian(loss, start)
    assert found.value == pytest.approx(loss(start).item())
    torch.testing.assert_close(
        found.gradient, torch.autograd.functional.jacobian(loss, start), rtol=1e-9, atol=1e-12
    )
    torch.testing.assert_close(found.products[0], hessian @ vector, rtol=1e-9, atol=1e-12)


def test_the_model_in_a_metric_keeps_its_type_and_the_metrics_own_tensors_take_the_outputs():
    net = network()
    metric = Penalized(net, "module")
    metric.loss.weight = torch.ones(3)
    own, held = copy_beside(metric, net, CPU, torch.float64)
    assert own.net is net
    assert held == [net]
    assert {w.dtype for w in net.parameters()} == {torch.float32}
    assert own.loss.weight.dtype == torch.float64
    assert metric.loss.weight.dtype == torch.float32


def test_a_metric_of_its_own_is_a_copy():
    metric = Penalized(network(), "module")
    own, held = copy_beside(metric, network(), CPU)
    assert not held
    assert own.net is not metric.net


def test_torchs_own_loss_that_is_a_layer_of_the_model_is_a_copy():
    net = network()
    net.loss = nn.CrossEntropyLoss(weight=torch.ones(3))
    own, held = copy_beside(net.loss, net, CPU, torch.float64)
    assert own.weight.dtype == torch.float64
    assert net.loss.weight.dtype == torch.float32
    assert not held
