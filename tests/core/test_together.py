"""Several points in one pass have their own values, and bits that no other point changes."""

import copy

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import slots
from landscape_lib.core.plan import Plan
from landscape_lib.core.together import Cast, Together
from landscape_lib.problems.resnet import ResNet

GRID = Grid((Axis(-1, 1, 5), Axis(-0.5, 1, 3)))


class Words(nn.Module):
    """Embedding, attention and tied weights."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.out = nn.Linear(8, 7, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, ids):
        return self.out(self.block(self.embedding(ids)).mean(1))


class Shared(nn.Module):
    """One module registered three times, and one of its tensors in another module."""

    def __init__(self):
        super().__init__()
        block = nn.Linear(8, 8)
        self.first, self.blocks = nn.Linear(192, 8), nn.ModuleList([block, block, block])
        self.tied, self.out = nn.Linear(8, 8), nn.Linear(8, 4)
        self.tied.weight = block.weight

    def forward(self, inputs):
        outputs = self.first(inputs.flatten(1))
        for layer in (*self.blocks, self.tied):
            outputs = layer(outputs).tanh()
        return self.out(outputs)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Tanh(), nn.Linear(8, 4))


MODELS = {
    "mlp": (mlp, lambda: torch.randn(23, 3, 8, 8)),
    "resnet": (lambda: ResNet(8, width=4), lambda: torch.randn(23, 3, 8, 8)),
    "shared": (Shared, lambda: torch.randn(23, 3, 8, 8)),
    "transformer": (Words, lambda: torch.randint(0, 7, (23, 5))),
}


def case(name):
    torch.manual_seed(0)
    build, inputs = MODELS[name]
    model = build().eval()
    directions = [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)]
    return model, directions, (inputs(), torch.arange(23) % 4)


METRICS = {
    "loss": nn.CrossEntropyLoss(weight=torch.linspace(0.5, 2, 10)[:4], ignore_index=2),
    "own": {
        "square": lambda outputs, targets: outputs.square(),
        "mean": lambda outputs, targets: outputs.mean(),
        "mse": nn.MSELoss(reduction="sum"),
    },
}


def evaluated(name, metrics, plan, indices=range(GRID.size)):
    model, directions, data = case(name)
    if name != "mlp" and isinstance(metrics, nn.CrossEntropyLoss):
        metrics = nn.CrossEntropyLoss(ignore_index=2)
    evaluator = Evaluator(model, metrics, prepare(data, {"test": data}), plan)
    return measure(model, evaluator, directions, GRID, indices).values


@pytest.mark.parametrize("metrics", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize(("name", "fold"), [*((name, False) for name in MODELS), ("resnet", True)])
def test_values_are_those_of_one_point_after_the_other(name, metrics, fold):
    wanted = evaluated(name, metrics, Plan(batch_size=10))
    found = evaluated(name, metrics, Plan(batch_size=10, points_at_once=4, fold=fold))
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-7, err_msg=key)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_any_part_of_the_grid_gives_the_same_bits(data):
    name = data.draw(st.sampled_from(sorted(MODELS)))
    plan = Plan(batch_size=10, points_at_once=data.draw(st.sampled_from([2, 4])))
    whole = evaluated(name, METRICS["loss"], plan)
    some = sorted(data.draw(st.sets(st.integers(0, GRID.size - 1), min_size=1)))
    part = evaluated(name, METRICS["loss"], plan, some)
    for key, values in part.items():
        assert values.tobytes() == whole[key][some].tobytes()


def test_a_module_that_is_registered_twice_keeps_its_own_tensors():
    model, _, (inputs, _) = case("shared")
    wanted, before = model(inputs), [id(tensor) for tensor in slots(model)]
    together, cast = Together(model, 3), Cast(model, torch.bfloat16)
    for place in range(3):
        together.take(place)
    (found,) = together.judge((inputs,), {}, lambda outputs: {"out": [outputs]})["out"]
    torch.testing.assert_close(found, wanted.expand(3, -1, -1))
    rounded = copy.deepcopy(model).bfloat16()
    assert torch.equal(cast(inputs.bfloat16()), rounded(inputs.bfloat16()))
    assert [id(tensor) for tensor in slots(model)] == before
    assert all(tensor.dtype == torch.float32 for tensor in slots(model))


def test_every_finished_group_is_recorded_before_the_next_begins():
    model, directions, data = case("mlp")
    evaluator = Evaluator(model, nn.CrossEntropyLoss(), prepare(data), Plan(points_at_once=4))
    recorded, groups, take = [], [], Together.take

    def watched(self, place):
        groups.extend([len(recorded)] if place == 0 else [])
        take(self, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Together, "take", watched)
        measure(
            model,
            evaluator,
            directions,
            GRID,
            range(10),
            record=lambda point, values: recorded.append(point),
        )
    assert groups == [0, 4, 8]
    assert recorded == [tuple(point) for point in GRID.points(range(10)).tolist()]


class Branching(nn.Module):
    """Decides by its data, which one pass over several points cannot."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(192, 4)

    def forward(self, inputs):
        outputs = self.linear(inputs.flatten(1))
        return outputs if outputs.sum() > 0 else -outputs


@pytest.mark.parametrize(
    ("model", "metrics", "reason"),
    [
        (mlp(), {"acc": torchmetrics.MeanSquaredError()}, "torchmetrics keep accounts"),
        (Branching(), nn.CrossEntropyLoss(), "data-dependent control flow"),
        (mlp(), {"w": lambda outputs, targets: outputs.mul_(2)}, "write to what others need"),
        (mlp(), {"n": lambda outputs, targets: float(outputs.sum())}, "item"),
        (mlp(), lambda net, loader, use_cuda: {"a": 1.0}, "runs its own loop"),
    ],
    ids=["torchmetrics", "branching", "writing", "numbers", "function"],
)
def test_what_cannot_be_done_at_once_is_refused_with_the_reason(model, metrics, reason):
    data = prepare((torch.randn(8, 3, 8, 8), torch.zeros(8, 4)))
    if not isinstance(metrics, dict):
        data = prepare((torch.randn(8, 3, 8, 8), torch.arange(8) % 4))
    with pytest.raises(InputError, match=reason):
        Evaluator(model.eval(), metrics, data, Plan(points_at_once=2))


def test_compiling_and_points_at_once_exclude_each_other():
    with pytest.raises(InputError, match="either compiles the network or evaluates several"):
        Plan(compile=True, points_at_once=2)


def test_a_compiled_network_has_the_values_of_the_plain_one_at_every_point():
    wanted = evaluated("mlp", METRICS["own"], Plan(batch_size=10))
    with pytest.MonkeyPatch.context() as patch:
        compiled, real = [], torch.compile
        patch.setattr(torch, "compile", lambda call: compiled.append(call) or real(call))
        found = evaluated("mlp", METRICS["own"], Plan(batch_size=10, compile=True))
    assert compiled
    for key, values in wanted.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-7, err_msg=key)
