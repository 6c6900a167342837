"""Accuracies, perplexity, classes one by one, what the weights add: exact in every batch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from landscape_lib.core.curvature import Objective, UnmeasurableError
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.keys import labels_for
from landscape_lib.core.metrics import (
    Accuracy,
    PerClass,
    Perplexity,
    Regularized,
    WeightDecay,
    class_names,
)
from landscape_lib.core.plan import Plan

N, C = 23, 4  # prime: the last batch is smaller at every batch size but 1
RANDOM = torch.Generator().manual_seed(0)
SCORES = torch.randn(N, C, generator=RANDOM, dtype=torch.float64)
CLASSES = torch.randint(C, (N,), generator=RANDOM)
PIXELS = torch.randn(N, C, 3, 2, generator=RANDOM, dtype=torch.float64)
MASKS = torch.where(torch.arange(N * 6).reshape(N, 3, 2) % 5 == 0, 255, CLASSES[:, None, None])
WEIGHT = torch.tensor([0.2, 3.0, 1.0, 0.5], dtype=torch.float64)


class Passes(nn.Module):
    """Returns its inputs, so that the outputs are what a test says."""

    def forward(self, inputs):
        return inputs


def evaluate(metrics, outputs=SCORES, targets=CLASSES, batch_size=5):
    plan = Plan(batch_size=batch_size, precision="float64")
    found = Evaluator(Passes(), metrics, prepare((outputs, targets)), plan)(Passes())
    return {key.removeprefix("train_loss_"): value for key, value in found.items()}


LOSS = {
    "plain": nn.CrossEntropyLoss(),
    "weights": nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=2),
    "smooth": nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.2),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
}
PIXEL_LOSS = nn.CrossEntropyLoss(ignore_index=255, weight=WEIGHT)


@pytest.mark.parametrize("loss", LOSS.values(), ids=LOSS)
def test_per_class_is_the_metric_on_the_samples_of_that_class_alone(loss):
    found = evaluate({"a": PerClass(loss)})
    for number in range(C):
        mine = number == CLASSES
        wanted = loss(SCORES[mine], CLASSES[mine]).item()
        np.testing.assert_allclose(found[f"a_{number}"], wanted, rtol=1e-14)


def test_pixels_are_taken_apart_by_class_as_samples_are():
    found = evaluate({"a": PerClass(PIXEL_LOSS), "b": PerClass(Accuracy(ignore_index=255))},
                     PIXELS, MASKS)  # fmt: skip
    flat, targets = PIXELS.movedim(1, -1).reshape(-1, C), MASKS.reshape(-1)
    for number in range(C):
        mine = targets == number
        wanted = PIXEL_LOSS(flat[mine], targets[mine]).item()
        np.testing.assert_allclose(found[f"a_{number}"], wanted, rtol=1e-13)
        right = 100 * (flat[mine].argmax(1) == number).double().mean().item()
        np.testing.assert_allclose(found[f"b_{number}"], right, rtol=1e-14)


@given(size=st.integers(1, N), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_batch_size_gives_the_value_of_one_batch(size, seed):
    stream = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(N, C, generator=stream, dtype=torch.float64)
    targets = torch.randint(C, (N,), generator=stream)
    metrics = {
        "top2": Accuracy(2, ignore_index=1),
        "perplexity": Perplexity(LOSS["weights"]),
        "loss": PerClass(LOSS["weights"]),
        "accuracy": PerClass(Accuracy()),
        "own": PerClass(Perplexity(LOSS["plain"])),
    }
    whole, parts = (evaluate(metrics, scores, targets, n) for n in (N, size))
    for key, value in whole.items():
        np.testing.assert_allclose(parts[key], value, rtol=1e-13, err_msg=key)


def test_a_class_without_samples_has_no_number_and_a_nan_stays_in_its_class():
    scores, targets = SCORES.clone(), torch.where(CLASSES == 3, 0, CLASSES)
    scores[targets == 1] = math.nan
    found = evaluate({"a": PerClass(nn.CrossEntropyLoss()), "b": PerClass(Accuracy())},
                     scores, targets)  # fmt: skip
    assert math.isnan(found["a_3"])
    assert math.isnan(found["b_3"])
    assert math.isnan(found["a_1"])
    assert found["b_1"] == 0  # scores that are no numbers predict nothing
    assert math.isfinite(found["a_0"])
    assert math.isfinite(found["a_2"])


@pytest.mark.parametrize("top", [1, 2, 3])
def test_top_k_counts_ranks_and_the_first_of_equal_scores_is_higher(top):
    scores = torch.tensor([[1.0, 1, 0, 2], [5, 5, 5, 5], [0, 3, 2, 1]], dtype=torch.float64)
    targets = torch.tensor([1, 2, 0])  # third, third, fourth highest
    found = evaluate({"a": Accuracy(top)}, scores, targets, 2)["a"]
    np.testing.assert_allclose(found, [0, 0, 200 / 3][top - 1])
    wanted = (SCORES.topk(top, 1).indices == CLASSES[:, None]).any(1).double().mean().item()
    np.testing.assert_allclose(evaluate({"a": Accuracy(top)})["a"], 100 * wanted)


def test_perplexity_is_e_to_the_mean_over_what_counts():
    tokens = torch.where(MASKS[:, :, 0] == 255, -100, MASKS[:, :, 0])
    found = evaluate({"a": Perplexity(nn.CrossEntropyLoss())}, PIXELS[..., 0], tokens, 4)["a"]
    wanted = functional.cross_entropy(PIXELS[..., 0], tokens).exp().item()
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


class Named(torch.utils.data.TensorDataset):
    classes = ("cat", "T-shirt/top", "a..b", "dog")


def test_classes_are_called_as_the_data_set_calls_them():
    part = torch.utils.data.Subset(Named(SCORES, CLASSES), range(N))
    plan = Plan(batch_size=5, precision="float64")
    metrics = {"acc": PerClass(Accuracy()), "ce": PerClass(nn.CrossEntropyLoss())}
    found = Evaluator(Passes(), metrics, prepare(part), plan)(Passes())
    names = ["cat", "T-shirt-top", "a-b", "dog"]
    assert list(found) == [f"train_loss_{metric}_{name}" for metric in metrics for name in names]
    labels = labels_for(metrics, list(found))
    assert {label.units for key, label in labels.items() if "_acc_" in key} == {"%"}
    assert labels["train_loss_acc_cat"].goal == "max"
    assert labels["train_loss_ce_T-shirt-top"].goal == "min"


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [(None, None), (["a", "a"], None), (["a/", "a-"], None), ([0, 1], ["0", "1"])],
)
def test_names_that_tell_nothing_apart_are_no_names(classes, wanted):
    assert class_names(type("Data", (), {"classes": classes})()) == wanted


@pytest.mark.parametrize(
    ("metrics", "outputs", "targets", "told"),
    [
        ({"a": Accuracy()}, SCORES, SCORES, "an accuracy, but the model returned .*BinaryAccuracy"),
        ({"a": Accuracy(4)}, SCORES, CLASSES, "4 highest of 4 scores, which is always 100 %"),
        ({"a": PerClass(nn.MSELoss())}, SCORES, SCORES, "per_class is for accuracy, topK"),
        ({"a": PerClass(nn.CrossEntropyLoss())}, SCORES, SCORES.softmax(1), "per_class is for"),
        ({"a": PerClass(nn.CrossEntropyLoss())}, SCORES, CLASSES + 1, "class numbers from 1 to 4"),
        ({"a": PerClass(Accuracy())}, SCORES, CLASSES - 1, "class numbers from -1 to 2"),
        (
            {"a": PerClass(Accuracy()), "a_0": Accuracy()},
            SCORES,
            CLASSES,
            "Two metrics would be called 'train_loss_a_0'; rename one of them",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(metrics, outputs, targets, told):
    with pytest.raises(InputError, match=told):
        evaluate(metrics, outputs, targets)


# ----------------------------------------------------------------------------- what weights add

GRID = Grid((Axis(-1, 1, 3), Axis(0, 2, 2)))
DECAY = 0.05


def small_net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, C)
        )
        net[1].running_var.uniform_(0.5, 2)
        net[1].weight.data.uniform_(0.5, 2)
    return net


IMAGES = torch.randn(N, 1, 4, 4, generator=RANDOM)
METRICS = {
    "ce": nn.CrossEntropyLoss(),
    "wd": WeightDecay(DECAY),
    "matrices": WeightDecay(DECAY, ("!1", "!*.bias")),
    "objective": Regularized(nn.CrossEntropyLoss(), WeightDecay(DECAY)),
    "classes": PerClass(nn.CrossEntropyLoss()),
}
PLANS = {
    "plain": Plan(batch_size=7),
    "float64": Plan(batch_size=7, precision="float64"),
    "folded": Plan(batch_size=7, fold=True, channels_last=True),
    "together": Plan(batch_size=7, points_at_once=4),
    "folded together": Plan(batch_size=23, points_at_once=4, fold=True),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_what_the_weights_add_is_exact_at_every_point_in_every_plan(plan):
    net = small_net().to(getattr(torch, plan.precision))
    directions = [create_random_direction(net, seed=seed, ignore="none") for seed in (0, 1)]
    evaluator = Evaluator(
        net, METRICS, prepare((IMAGES, CLASSES), {"test": (IMAGES, CLASSES)}), plan
    )
    values = measure(net, evaluator, directions, GRID, range(GRID.size)).values
    kept = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    for place, point in enumerate(GRID.points().tolist()):
        wanted = {"wd": 0.0, "matrices": 0.0}
        for (name, weight), *moves in zip(kept.items(), *directions, strict=True):
            away = sum(step * move.double() for step, move in zip(point, moves, strict=True))
            there = (weight.double() + away).to(weight.dtype).double().numpy()
            part = DECAY / 2 * (there**2).sum()
            wanted["wd"] += part
            wanted["matrices"] += part if name in {"0.weight", "4.weight"} else 0
        for name, value in wanted.items():
            np.testing.assert_allclose(values[f"train_loss_{name}"][place], value, rtol=1e-7)
    np.testing.assert_allclose(
        values["train_loss_objective"],
        values["train_loss_ce"] + values["train_loss_wd"],
        rtol=1e-14,
    )
    tests = [key for key in values if key.startswith("test_")]
    assert tests == ["test_loss_ce", *(f"test_loss_classes_{n}" for n in range(C))]
    np.testing.assert_array_equal(values["test_loss_ce"], values["train_loss_ce"])


def test_points_at_once_give_each_class_its_own_number():
    net = small_net()
    directions = [create_random_direction(net, seed=seed) for seed in (0, 1)]
    data = prepare((IMAGES, CLASSES))
    metrics = {"c": PerClass(nn.CrossEntropyLoss()), "p": PerClass(Accuracy()), "t": Accuracy(2)}
    one, four = (
        measure(net, Evaluator(net, metrics, data, plan), directions, GRID, range(GRID.size)).values
        for plan in (PLANS["plain"], PLANS["together"])
    )
    assert list(one) == list(four)
    for key in one:
        np.testing.assert_allclose(four[key], one[key], rtol=1e-5)


def test_tied_weights_decay_once_and_a_glob_that_means_nothing_is_refused():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    wanted = net[0].weight.detach().double().square().sum().item() / 2
    np.testing.assert_allclose(WeightDecay(1.0).of(net).item(), wanted, rtol=1e-12)
    with pytest.raises(InputError, match="'layer9' matches no parameter"):
        WeightDecay(1.0, ("layer9",)).of(net)


def test_half_precision_weights_decay_as_they_are():
    net = nn.Linear(300, 300).to(torch.bfloat16)
    wanted = sum(w.detach().double().square().sum() for w in net.parameters()).item() / 2
    np.testing.assert_allclose(WeightDecay(1.0).of(net).item(), wanted, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_objective_has_the_derivatives_of_what_training_minimised(reduction):
    """Its gradient is that of the loss and c w, its Hessian that of the loss and c."""
    net = small_net().double().eval()
    data = prepare((IMAGES.double(), CLASSES))["train"]
    loss = nn.CrossEntropyLoss(reduction=reduction)
    metrics = {"ce": loss, "objective": Regularized(loss, WeightDecay(DECAY))}
    plain, whole = (Objective(net, metrics, f"train_loss_{n}", data, 7) for n in metrics)
    vector = torch.linspace(-1, 1, plain.size, dtype=torch.float64)
    weights = plain.flat([w.detach() for w in net.parameters()])
    one, two = (objective.derivatives([vector]) for objective in (plain, whole))
    penalty = DECAY / 2 * weights.square().sum().item()
    np.testing.assert_allclose(two.value, one.value + penalty, rtol=1e-12)
    np.testing.assert_allclose(two.gradient, one.gradient + DECAY * weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(two.products[0], one.products[0] + DECAY * vector, atol=1e-10)
    if reduction == "mean":
        np.testing.assert_allclose(whole.spread().mean(), two.value, rtol=1e-12)
        error = plain.spread().standard_error()
        np.testing.assert_allclose(whole.spread().standard_error(), error, rtol=1e-9)


@pytest.mark.parametrize("metric", [WeightDecay(1.0), Perplexity(nn.CrossEntropyLoss())])
def test_what_is_no_mean_over_samples_is_not_differentiated_as_one(metric):
    data = prepare((SCORES, CLASSES))["train"]
    net = nn.Linear(C, C).double()
    with pytest.raises(UnmeasurableError, match="train_loss_a is no mean over samples"):
        Objective(net, {"a": metric}, "train_loss_a", data)


# -------------------------------------------------------------------- what cannot be undone


class Squares(nn.Module):
    def forward(self, outputs, targets):
        return (outputs - targets).square().mean()


def test_what_gives_one_number_a_batch_is_said_to_be_averaged():
    metrics = {
        "own": Squares(),
        "mse": nn.MSELoss(),
        "function": lambda outputs, targets: (outputs - targets).abs().max(),
        "each": lambda outputs, targets: (outputs - targets).abs().amax(1),
    }
    evaluator = Evaluator(Passes(), metrics, prepare((SCORES, SCORES + 1)), Plan(batch_size=5))
    told = "averaged over batches, weighted by their samples"
    assert evaluator.notes == {"train_loss_own": told, "train_loss_function": told}
    labels = labels_for(metrics, ["train_loss_own", "train_loss_mse"], evaluator.notes)
    assert [label.note for label in labels.values()] == [told, ""]
