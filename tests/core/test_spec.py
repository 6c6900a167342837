"""What is said of metrics is read before anything heavy is imported, and misread by nobody."""

import subprocess
import sys

import pytest
from torch import nn

from landscape_lib.core import catalogue
from landscape_lib.core.spec import MetricSpec, SpecError, is_said, read_asked


@pytest.mark.parametrize(
    ("said", "wanted", "alone"),
    [
        ("cross_entropy", {"cross_entropy": MetricSpec("cross_entropy")}, True),
        ("my.py:hinge", {"hinge": MetricSpec("my.py:hinge")}, True),
        ({"metric": "top5"}, {"top5": MetricSpec("top5")}, True),
        (["mse", "a.b:Own"], {"mse": MetricSpec("mse"), "Own": MetricSpec("a.b:Own")}, False),
        (["mse"], {"mse": MetricSpec("mse")}, False),
        (
            {"one": {"metric": "huber", "args": {"delta": 0.5}}, "two": "accuracy"},
            {"one": MetricSpec("huber", {"delta": 0.5}), "two": MetricSpec("accuracy")},
            False,
        ),
        (
            {"a": {"metric": "nll", "args": None, "per_class": True}},
            {"a": MetricSpec("nll", {}, True)},
            False,
        ),
    ],
)
def test_metrics_are_said_in_three_ways(said, wanted, alone):
    asked = read_asked(said)
    assert asked.metrics == wanted
    assert asked.alone is alone


@pytest.mark.parametrize(
    ("said", "path", "told"),
    [
        ("crossentropy", (), "metrics is 'crossentropy'; wanted .* Did you mean 'cross_entropy'"),
        (["mse", "MulticlassAUORC"], (1,), r"metrics\[1\].* Did you mean 'MulticlassAUROC'"),
        ({"a": {"metric": "acuracy"}}, ("a",), r"metrics\['a'\].* Did you mean 'accuracy'"),
        ("my.py:2nd", (), "wanted 'path/to/file.py:name'"),
        (3, (), "wanted a name such as .*, a list of them, a mapping of names"),
        ([], (), "a list of them"),
        ({}, (), "a mapping of names"),
        (["mse", "mse"], (1,), "each name once; give them names, as {one: mse}"),
        ({"a": {"metric": "mse", "arg": {}}}, ("a",), "the keys 'metric', .* Did you mean 'args'"),
        ({"metric": "mse", "per_clas": True}, (), "Did you mean 'per_class'"),
        ({"a": {"metric": 3}}, ("a",), "wanted a name such as"),
        ({"a": {"metric": "mse", "args": [1]}}, ("a", "args"), "a mapping of keyword arguments"),
        ({"a": {"metric": "mse", "per_class": 1}}, ("a", "per_class"), "true, false"),
        ({"a": {"metric": "accuracy", "args": {"ignored": 1}}}, ("a", "args"), "'ignore_index'"),
        ("weight_decay", ("args", "coefficient"), "args: {coefficient: 5e-4}"),
        ("objective", ("args", "weight_decay"), "args: {loss: cross_entropy, weight_decay: 5e-4}"),
        (
            {"metric": "weight_decay", "args": {"coefficient": -1}},
            ("args", "coefficient"),
            "a number from 0",
        ),
        (
            {"metric": "objective", "args": {"weight_decay": 1, "loss": "cros_entropy"}},
            ("args", "loss"),
            "Did you mean 'cross_entropy'",
        ),
        (
            {"metric": "weight_decay", "args": {"coefficient": 1}, "per_class": True},
            ("per_class",),
            "weight_decay is one number",
        ),
    ],
)
def test_what_means_nothing_is_refused_with_its_place_and_what_is_near(said, path, told):
    with pytest.raises(SpecError, match=told) as error:
        read_asked(said)
    assert error.value.path[: len(path)] == path


def test_metrics_of_a_program_may_be_among_those_in_words_and_never_in_a_config():
    loss = nn.MSELoss()
    assert read_asked({"a": loss, "b": "l1"}, objects=True).metrics["a"] is loss
    with pytest.raises(SpecError, match=r"metrics\['a'\] is MSELoss"):
        read_asked({"a": loss, "b": "l1"})
    assert is_said({"a": loss, "b": "l1"})
    assert not is_said({"a": loss})
    assert not is_said(loss)


def test_the_names_of_losses_are_those_of_torch():
    """Every class that judges outputs and targets has a name, and a name is always a class."""
    pairs = {
        "L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "NLLLoss", "CrossEntropyLoss", "BCELoss",
        "BCEWithLogitsLoss", "KLDivLoss", "PoissonNLLLoss", "SoftMarginLoss", "MultiMarginLoss",
        "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "HingeEmbeddingLoss",
    }  # fmt: skip
    assert pairs <= set(catalogue.losses().values())
    assert all(issubclass(getattr(nn, kind), nn.Module) for kind in catalogue.losses().values())
    assert not {"CTCLoss", "TripletMarginLoss", "GaussianNLLLoss"} & set(
        catalogue.losses().values()
    )
    for name in ("bce_with_logits", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss"):
        assert catalogue.loss_class(name) == "BCEWithLogitsLoss"
    assert catalogue.loss_class("nll_loss") == "NLLLoss"
    assert catalogue.loss_class("nlll") is None


def test_the_classes_of_torchmetrics_have_their_own_names_and_functions_have_none():
    found = catalogue.torch_metrics()
    assert found["MulticlassAUROC"] == "torchmetrics.classification"
    assert found["R2Score"] == found["F1Score"] == "torchmetrics"
    assert not {"functional", "accuracy"} & set(found)


def test_reading_imports_neither_torch_nor_torchmetrics():
    code = (
        "import sys; from landscape_lib.core.spec import read_asked; "
        "read_asked(['cross_entropy', 'top5', 'MulticlassAUROC']); "
        "sys.exit(bool({'torch', 'torchmetrics'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
