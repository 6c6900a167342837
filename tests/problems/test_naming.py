"""A metric made from its name is the metric that a program would have made."""

import functools
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_lib import Problem
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, prepare
from landscape_lib.core.keys import labels_for
from landscape_lib.core.metrics import Accuracy, PerClass, Perplexity, Regularized, WeightDecay
from landscape_lib.core.plan import Plan
from landscape_lib.problems.loading import UserCodeError

N, C = 23, 4
RANDOM = torch.Generator().manual_seed(0)
SCORES = torch.randn(N, C, generator=RANDOM, dtype=torch.float64)
CLASSES = torch.randint(C, (N,), generator=RANDOM)
OWN = """\
import torch
from torch import nn

ready = nn.CrossEntropyLoss(label_smoothing=0.1)
number = 3


def margin(outputs, targets, scale=1.0):
    return scale * outputs.amax(1)


def loop(net, dataloader, use_cuda):
    return {"one": 1.0}


class Cubes(nn.Module):
    def __init__(self, power=3):
        super().__init__()
        if power < 0:
            raise ValueError("a negative power")
        self.power = power

    def forward(self, outputs, targets):
        return outputs.abs().pow(self.power).mean()
"""


class Passes(nn.Module):
    def forward(self, inputs):
        return inputs


def metrics_of(said, outputs=SCORES, targets=CLASSES):
    return Problem(Passes(), (outputs, targets), said).metrics


def evaluate(said, outputs=SCORES, targets=CLASSES, batch_size=5):
    plan = Plan(batch_size=batch_size, precision="float64")
    metrics = metrics_of(said, outputs, targets)
    return Evaluator(Passes(), metrics, prepare((outputs, targets)), plan)(Passes())


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_metrics.py").write_text(OWN)
    yield
    sys.modules.pop("own_metrics", None)


def test_one_loss_by_itself_has_the_keys_of_a_loss_alone():
    found = evaluate("cross_entropy")
    assert found == evaluate(nn.CrossEntropyLoss())
    assert list(found) == ["train_loss", "train_acc"]
    assert list(evaluate(["cross_entropy"])) == ["train_loss_cross_entropy"]
    assert list(evaluate("accuracy")) == ["train_loss_accuracy"]
    assert list(evaluate({"metric": "huber", "args": {"delta": 0.5}})) == [
        "train_loss",
        "train_acc",
    ]


def test_a_list_and_a_mapping_name_each_and_metrics_may_stand_among_words():
    said = {"ce": "cross_entropy", "mine": lambda outputs, targets: outputs[:, 0], "top": "top2"}
    found = evaluate(said)
    assert list(found) == ["train_loss_ce", "train_loss_mine", "train_loss_top"]
    np.testing.assert_allclose(found["train_loss_mine"], SCORES[:, 0].mean().item())
    assert list(evaluate(["nll", "top3"])) == ["train_loss_nll", "train_loss_top3"]


def test_ours_are_made_with_their_arguments():
    decay = {"metric": "weight_decay", "args": {"coefficient": 0.1, "layers": "fc"}}
    inside = {"metric": "huber", "args": {"delta": 2.0}}
    told = {"weight_decay": 0.1, "loss": inside, "layers": ["a", "!*.bias"]}
    found = metrics_of(
        {
            "decay": decay,
            "whole": {"metric": "objective", "args": told},
            "right": {"metric": "accuracy", "args": {"ignore_index": 3}, "per_class": True},
            "p": "perplexity",
        }
    )
    assert found["decay"] == WeightDecay(0.1, ("fc",))
    assert isinstance(found["whole"], Regularized)
    assert found["whole"].loss.delta == 2.0
    assert found["whole"].penalty == WeightDecay(0.1, ("a", "!*.bias"))
    assert found["right"] == PerClass(Accuracy(1, 3))
    assert isinstance(found["p"], Perplexity)


def test_lists_among_the_arguments_of_a_loss_are_tensors():
    said = {"metric": "cross_entropy", "args": {"weight": [1, 2, 3, 4], "ignore_index": 1}}
    weight = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)
    wanted = functional.cross_entropy(SCORES, CLASSES, weight, ignore_index=1).item()
    np.testing.assert_allclose(evaluate(said)["train_loss"], wanted, rtol=1e-14)


# ------------------------------------------------------------------------------- import paths


def test_classes_functions_and_objects_are_imported(own):
    found = metrics_of(
        {
            "ready": "own_metrics.py:ready",
            "function": {"metric": "own_metrics:margin", "args": {"scale": 2.0}},
            "class": {"metric": "own_metrics.py:Cubes", "args": {"power": 2}},
            "torch": "torch.nn:MSELoss",
        }
    )
    assert found["ready"].label_smoothing == 0.1
    assert isinstance(found["function"], functools.partial)
    assert found["class"].power == 2
    assert isinstance(found["torch"], nn.MSELoss)
    np.testing.assert_allclose(
        evaluate("own_metrics.py:margin")["train_loss_margin"], SCORES.amax(1).mean().item()
    )
    assert list(evaluate("own_metrics.py:ready")) == ["train_loss", "train_acc"]
    assert evaluate("own_metrics.py:loop") == {"train_loss_one": 1.0}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["mse", "own_metrics.py:loop"], r"'loop'\] takes three arguments: .* stands alone"),
        ("own_metrics.py:number", "there is no function 'number' in it"),
        ("own_metrics.py:absent", "there is no function 'absent' in it; it has .*margin"),
        ("absent.py:own", "absent.py: there is no such file"),
        (
            {"metric": "own_metrics.py:ready", "args": {"label_smoothing": 0.2}},
            "is a CrossEntropyLoss already, which takes no args",
        ),
        (
            {"metric": "own_metrics.py:margin", "per_class": True},
            "own_metrics.py:margin has no per_class; it is for accuracy",
        ),
    ],
)
def test_what_cannot_be_imported_so_is_refused(own, said, told):
    with pytest.raises(InputError, match=told):
        metrics_of(said)


def test_a_class_of_the_users_that_raises_is_the_users(own):
    with pytest.raises(UserCodeError, match=r"Cubes\(power=-1\) raised ValueError: a negative"):
        metrics_of({"metric": "own_metrics.py:Cubes", "args": {"power": -1}})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("cross_entopy", "Did you mean 'cross_entropy'"),
        (
            {"a": {"metric": "mse", "args": {"delta": 1}}},
            r"mse\(delta=1\) cannot be made.*reduction",
        ),
        ({"a": {"metric": "mse", "per_class": True}}, "per_class is for accuracy, topK"),
        (
            {"a": {"metric": "objective", "args": {"loss": "accuracy", "weight_decay": 1}}},
            "the loss of an objective is 'accuracy'; wanted a loss",
        ),
        (
            {"a": {"metric": "weight_decay", "args": {"coefficient": 1, "layers": [1]}}},
            "wanted globs on names of parameters",
        ),
        ([nn.MSELoss()], r"metrics\[0\] is MSELoss\(\); wanted a name"),
    ],
)
def test_what_makes_no_metric_is_refused(said, told):
    with pytest.raises(InputError, match=told):
        evaluate(said)


# ------------------------------------------------------------------------------- torchmetrics


def test_torchmetrics_are_told_what_outputs_and_targets_tell():
    from torchmetrics.functional import classification as wanted

    found = evaluate(["f1", "MulticlassAUROC", "MulticlassRecall"])
    probabilities = SCORES.softmax(1)
    for key, function in (
        ("f1", wanted.multiclass_f1_score),
        ("MulticlassAUROC", wanted.multiclass_auroc),
        ("MulticlassRecall", wanted.multiclass_recall),
    ):
        value = function(probabilities, CLASSES, num_classes=C).item()
        np.testing.assert_allclose(found[f"train_loss_{key}"], value, rtol=1e-6)
    labels = labels_for(metrics_of(["f1", "MulticlassCalibrationError"]), ["train_loss_f1"])
    assert labels["train_loss_f1"].goal == "max"

    flags = (SCORES[:, 0] > 0).long()
    logits = SCORES[:, 1]
    one = evaluate({"f": "f1", "b": "BinaryAUROC"}, logits, flags)
    value = wanted.binary_auroc(logits.sigmoid(), flags).item()
    np.testing.assert_allclose(one["train_loss_b"], value, rtol=1e-6)
    value = wanted.binary_f1_score(logits.sigmoid(), flags).item()
    np.testing.assert_allclose(one["train_loss_f"], value, rtol=1e-6)
    many = (SCORES > 0.3).long()
    value = wanted.multilabel_f1_score(SCORES.roll(1, 0).sigmoid(), many, num_labels=C).item()
    found = evaluate({"f": "f1"}, SCORES.roll(1, 0), many)
    np.testing.assert_allclose(found["train_loss_f"], value, rtol=1e-6)


def test_pixels_have_an_intersection_over_union_a_class():
    scores = torch.randn(6, 3, 4, 5, generator=RANDOM)
    masks = torch.randint(3, (6, 4, 5), generator=RANDOM)
    said = {"iou": {"metric": "MulticlassJaccardIndex", "per_class": True}}
    found = evaluate(said, scores, masks, 4)
    for number in range(3):
        mine, told = masks == number, scores.argmax(1) == number
        wanted = ((mine & told).sum() / (mine | told).sum()).item()
        np.testing.assert_allclose(found[f"train_loss_iou_{number}"], wanted, rtol=1e-6)


def test_a_vector_is_one_key_an_entry():
    from torchmetrics.classification import MulticlassF1Score

    said = {
        "named": {"metric": "MulticlassF1Score", "per_class": True},
        "made": MulticlassF1Score(C, average=None),
        "f": {"metric": "f1", "per_class": True},
    }
    found = evaluate(said)
    assert list(found) == [f"train_loss_{name}_{n}" for name in said for n in range(C)]
    for number in range(C):
        mine = CLASSES == number
        right = (SCORES.argmax(1) == number) & mine
        value = 2 * right.sum().item() / (mine.sum() + (SCORES.argmax(1) == number).sum()).item()
        for name in said:
            np.testing.assert_allclose(found[f"train_loss_{name}_{number}"], value, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, N])
def test_scores_between_0_and_1_are_never_taken_for_probabilities_batch_by_batch(batch_size):
    """torchmetrics decides anew in every batch, so its own value depends on the batches."""
    scores = torch.where(torch.arange(N)[:, None] % 3 == 0, SCORES.abs() / 4, 3 * SCORES)
    from torchmetrics.functional.classification import multiclass_auroc

    found = evaluate(["MulticlassAUROC"], scores, CLASSES, batch_size)
    wanted = multiclass_auroc(scores.softmax(1), CLASSES, num_classes=C).item()
    np.testing.assert_allclose(found["train_loss_MulticlassAUROC"], wanted, rtol=1e-6)


def test_probabilities_stay_what_they_are_and_what_only_looks_like_them_is_refused():
    from torchmetrics.functional.classification import binary_auroc

    flags = (SCORES[:, 0] > 0).long()
    chances = SCORES[:, 1].sigmoid()
    found = evaluate(["BinaryAUROC"], chances, flags)
    np.testing.assert_allclose(
        found["train_loss_BinaryAUROC"], binary_auroc(chances, flags).item(), rtol=1e-6
    )
    logits = torch.cat([chances[:5], SCORES[5:, 1]])
    with pytest.raises(InputError, match="lie in 0 to 1, as probabilities do, but others do not"):
        evaluate(["BinaryAUROC"], logits, flags)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["FBetaScore"], r"FBetaScore needs task, which the outputs, .*: write args: {task: ...}"),
        (
            {"a": {"metric": "MeanSquaredError", "per_class": True}},
            "has no average, so no per_class",
        ),
        (
            {"a": {"metric": "MeanSquaredError", "args": {"number": 3}}},
            r"MeanSquaredError\(number=3\) cannot be made.*Its arguments are squared",
        ),
    ],
)
def test_what_torchmetrics_lack_is_named(said, told):
    with pytest.raises(InputError, match=told):
        evaluate(said, SCORES, SCORES)
