"""Sampling errors: known answers, formulas as books write them, and the spread they stand for."""

import math

import numpy as np
import pytest
import torch
import torchmetrics
from torch import nn
from torch.utils.data import DataLoader

from landscape_lib.core.direction import Direction
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.sampling import bootstrap_error, resamples, standard_error
from landscape_lib.core.surface import STANDARD_ERROR, Shard, merge

GENERATOR = torch.Generator().manual_seed(3)
INPUTS = torch.randn(70, 4, generator=GENERATOR, dtype=torch.float64)
TARGETS = torch.randint(0, 3, (70,), generator=GENERATOR)


def model():
    torch.manual_seed(1)
    return nn.Linear(4, 3).double().eval()


def evaluated(metrics, data=(INPUTS, TARGETS), net=None, **plan):
    """Evaluate twice: from the second time on, weights are numbers that were read."""
    net = net or model()
    options = {"precision": "float64", "batch_size": 16, **plan}
    evaluate = Evaluator(net, metrics, prepare(data), Plan(**options), standard_error=True)
    first, second = evaluate(net), evaluate(net)
    assert {k: str(v) for k, v in first.items()} == {k: str(v) for k, v in second.items()}
    plain = Evaluator(net, metrics, prepare(data), Plan(**options))(net)
    assert plain == {key: value for key, value in first.items() if "/" not in key}
    return {k.removeprefix(STANDARD_ERROR): v for k, v in first.items() if "/" in k}


def ratio_error(totals, weights):
    """Cochran (1977), section 2.11: the linearised standard error of a ratio, literally."""
    n = len(totals)
    ratio = sum(totals) / sum(weights)
    rest = [(t - ratio * w) ** 2 for t, w in zip(totals, weights, strict=True)]
    return math.sqrt(n / (n - 1) * sum(rest)) / sum(weights)


def losses(targets=TARGETS, **options):
    return nn.CrossEntropyLoss(reduction="none", **options)(model()(INPUTS), targets).detach()


def test_of_a_mean_it_is_s_over_the_root_of_n():
    found = evaluated(nn.CrossEntropyLoss())
    each = losses().numpy()
    assert found["train_loss"] == pytest.approx(each.std(ddof=1) / math.sqrt(70), rel=1e-12)
    right = (model()(INPUTS).argmax(1) == TARGETS).double().mean().item()
    wanted = 100 * math.sqrt(right * (1 - right) / 69)
    assert found["train_acc"] == pytest.approx(wanted, rel=1e-12)


def test_class_weights_and_ignored_targets_are_weighed_as_a_ratio():
    targets = torch.where(torch.arange(70) % 7 == 0, -100, TARGETS)
    weights = torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64)
    loss = nn.CrossEntropyLoss(weight=weights)
    found = evaluated(loss, (INPUTS, targets))
    of_each = torch.where(targets == -100, 0.0, weights[targets.clamp(min=0)])
    wanted = ratio_error(losses(targets, weight=weights).tolist(), of_each.tolist())
    assert found["train_loss"] == pytest.approx(wanted, rel=1e-12)
    right = (model()(INPUTS).argmax(1) == targets).double().tolist()
    wanted = 100 * ratio_error(right, (targets != -100).double().tolist())
    assert found["train_acc"] == pytest.approx(wanted, rel=1e-12)


def test_the_parts_of_one_sample_are_no_independent_draws():
    """Of images with a class at every place, an image is a sample, whatever of it counts."""
    torch.manual_seed(0)
    net = nn.Conv2d(2, 3, 1).double().eval()
    images = torch.randn(12, 2, 3, 5, dtype=torch.float64)
    targets = torch.randint(0, 3, (12, 3, 5))
    targets[:5, 0] = 255
    loss = nn.CrossEntropyLoss(ignore_index=255)
    found = evaluated(loss, (images, targets), net, batch_size=5)
    each = nn.CrossEntropyLoss(ignore_index=255, reduction="none")(net(images), targets)
    kept = (targets != 255).flatten(1).sum(1)
    wanted = ratio_error(each.flatten(1).sum(1).tolist(), kept.tolist())
    assert found["train_loss"] == pytest.approx(wanted, rel=1e-12)
    right = ((net(images).argmax(1) == targets) & (targets != 255)).flatten(1).sum(1)
    wanted = 100 * ratio_error(right.tolist(), kept.tolist())
    assert found["train_acc"] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("reduction", "factor"), [("sum", 70.0), ("none", 1.0)])
def test_of_a_sum_it_is_that_of_the_mean_times_the_samples(reduction, factor):
    found = evaluated({"l": nn.CrossEntropyLoss(reduction=reduction)})["train_loss_l"]
    each = losses().numpy()
    assert found == pytest.approx(factor * each.std(ddof=1) / math.sqrt(70), rel=1e-12)


def test_regression_counts_a_row_of_outputs_as_one_sample():
    targets = torch.zeros(70, 3, dtype=torch.float64)
    found = evaluated({"mse": nn.MSELoss()}, (INPUTS, targets))["train_loss_mse"]
    each = model()(INPUTS).detach().square().mean(1).numpy()
    assert found == pytest.approx(each.std(ddof=1) / math.sqrt(70), rel=1e-12)


def test_a_function_of_ones_own_has_one_where_it_tells_samples_apart():
    metrics = {
        "each": lambda outputs, targets: outputs[:, 0],
        "batch": lambda outputs, targets: outputs.mean(),
        "f1": torchmetrics.F1Score(task="multiclass", num_classes=3),
    }
    found = evaluated(metrics)
    several = {name: metrics[name] for name in ("each", "batch")}
    again = evaluated(several, points_at_once=3)
    assert again["train_loss_each"] == pytest.approx(found["train_loss_each"], rel=1e-9)
    assert math.isnan(again["train_loss_batch"])
    each = model()(INPUTS).detach()[:, 0].numpy()
    assert found["train_loss_each"] == pytest.approx(each.std(ddof=1) / math.sqrt(70), rel=1e-12)
    assert math.isnan(found["train_loss_batch"])
    assert math.isnan(found["train_loss_f1"])
    assert math.isnan(evaluated(lambda net, loader, use_cuda: {"a": 1.0})["train_loss_a"])


def test_a_loss_module_without_losses_of_samples_has_none():
    class Whole(nn.Module):
        def forward(self, outputs, targets):
            return outputs.square().mean()

    assert math.isnan(evaluated({"w": Whole()})["train_loss_w"])


def test_parts_that_a_batch_hands_over_as_if_they_were_samples_are_no_independent_draws():
    """Five sequences of six tokens a batch, whose targets are one row of thirty."""
    net = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(0, 1)).double()
    tokens = torch.arange(60).reshape(10, 6) % 9
    batches = [(part, part.flatten() % 3) for part in tokens.split(5)]
    loader = DataLoader(batches, batch_size=None)
    found = evaluated(nn.CrossEntropyLoss(), loader, net, batch_size=None)
    assert all(math.isnan(value) for value in found.values())


def test_equal_samples_have_none_and_one_sample_cannot_tell():
    same = (INPUTS[:1].expand(70, -1), TARGETS[:1].expand(70))
    found = evaluated({"l": nn.CrossEntropyLoss()}, same)["train_loss_l"]
    assert found == pytest.approx(0, abs=1e-16)
    alone = evaluated(nn.CrossEntropyLoss(), (INPUTS[:1], TARGETS[:1]))
    assert all(math.isnan(value) for value in alone.values())


def test_points_at_once_have_the_errors_of_points_one_by_one():
    net = model()
    moving = dict(net.named_parameters())
    ones = Direction(tuple(moving), tuple(torch.ones_like(weight) for weight in moving.values()))
    grid = Grid((Axis(-1, 1, 7),))
    found = []
    for at_once in (1, 4):
        plan = Plan(precision="float64", batch_size=16, points_at_once=at_once)
        weights = torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64)
        data = prepare((INPUTS, TARGETS))
        loss = nn.CrossEntropyLoss(weight=weights)
        evaluate = Evaluator(net, loss, data, plan, standard_error=True)
        found.append(measure(net, evaluate, [ones], grid, range(7)))
    one, other = (shard.beside for shard in found)
    assert set(one) == {"standard_error/train_loss", "standard_error/train_acc"}
    for key, values in one.items():
        np.testing.assert_allclose(values, other[key], rtol=1e-9)
    parts = [Shard(grid, [n], {"a": [1.0]}, beside={"b/a": [float(n)]}) for n in range(7)]
    np.testing.assert_array_equal(merge(parts[::-1]).beside["b/a"], np.arange(7.0))


def test_what_is_stated_is_how_far_means_of_other_draws_lie_apart():
    """Squares of 50 standard normals have the mean 1 and the standard error 0.2, known exactly."""
    draws = torch.randn(4000, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stated = standard_error(draws.square())
    assert draws.square().mean(1).std() == pytest.approx(0.2, rel=0.05)
    assert stated.square().mean().sqrt() == pytest.approx(0.2, rel=0.05)


def test_a_shard_from_an_older_journal_leaves_its_errors_missing():
    grid = Grid((Axis(0, 1, 2),))
    new = Shard(grid, [0], {"train_loss": [1.0]}, beside={"standard_error/train_loss": [0.1]})
    old = Shard(grid, [1], {"train_loss": [2.0]})
    np.testing.assert_array_equal(merge([new, old]).standard_error("train_loss"), [0.1, np.nan])
    assert np.isnan(merge([Shard(grid, [0, 1], {"a": [1, 2]})]).standard_error("a")).all()


def test_bootstrap_samples_draw_each_sample_once_on_average_and_always_alike():
    drawn = resamples(200, 50)
    assert drawn.sum(0).tolist() == [200] * 50
    assert drawn.double().var() == pytest.approx(1 - 1 / 200, rel=0.1)  # of a binomial count
    assert torch.equal(drawn, resamples(200, 50))


def test_the_bootstrap_of_a_mean_is_its_known_spread():
    """Of a mean it is exactly sqrt((n - 1) / n) s / sqrt(n), over infinitely many samples."""
    values = torch.randn(3, 60, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = bootstrap_error(values, 1.0, resamples(60, 4000))
    wanted = (59 / 60) ** 0.5 * standard_error(values)
    np.testing.assert_allclose(found, wanted, rtol=4 / math.sqrt(2 * 4000))
    total = bootstrap_error(values, 1.0, resamples(60, 4000), divide=False)
    np.testing.assert_allclose(total, 60 * found, rtol=1e-9)


def test_the_stated_error_is_the_spread_over_bootstrap_samples_also_of_ratios():
    weights = torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64)
    loss, net = nn.CrossEntropyLoss(weight=weights), model()
    plan = Plan(precision="float64", batch_size=16)
    options = {"standard_error": True, "bootstrap": 1000}
    found = Evaluator(net, loss, prepare((INPUTS, TARGETS)), plan, **options)(net)
    for key in ("train_loss", "train_acc"):
        spread, stated = found[f"bootstrap_error/{key}"], found[f"standard_error/{key}"]
        assert spread == pytest.approx(stated, rel=0.12)
        assert spread != stated
