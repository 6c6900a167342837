"""A metric over batches is the metric over the whole data set as one batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, prepare
from landscape_lib.core.keys import labels_for
from landscape_lib.core.meters import has_classes
from landscape_lib.core.plan import Plan

N = 23  # prime: the last batch is smaller at every batch size but 1


class Passes(nn.Module):
    """Returns its inputs, so that the outputs are what a test says."""

    def forward(self, inputs):
        return inputs


def evaluate(metrics, outputs, targets, batch_size=5, precision="float64"):
    plan = Plan(batch_size=batch_size, precision=precision)
    return Evaluator(Passes(), metrics, prepare((outputs, targets)), plan)(Passes())


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(*shape, of=4, seed=0):
    return torch.randint(of, shape, generator=torch.Generator().manual_seed(seed))


def with_ignored(targets, value):
    targets = targets.clone()
    targets.view(-1)[::3] = value
    return targets


SCORES, CLASSES = numbers(N, 4), classes(N)
WEIGHT = torch.tensor([0.2, 3.0, 1.0, 0.5], dtype=torch.float64)
PIXELS, MASKS = numbers(N, 4, 3, 2), classes(N, 3, 2)
LOG_P = functional.log_softmax(SCORES, 1)
P = functional.softmax(numbers(N, 4, seed=1), 1)


class Squares(nn.Module):
    """A user's own module, without a word of reduction."""

    def forward(self, outputs, targets):
        return (outputs - targets).square().mean()


class SquaresWithAnUnusedReduction(nn.modules.loss._Loss):
    """A subclass of torch's base: it has ``reduction='mean'`` and doesn't look at it."""

    def forward(self, outputs, targets):
        return (outputs - targets).square().mean()


class Focal(nn.CrossEntropyLoss):
    """A user's subclass with a formula of its own."""

    def forward(self, outputs, targets):
        losses = functional.cross_entropy(outputs, targets, reduction="none")
        return ((1 - (-losses).exp()) ** 2 * losses).mean()


class Unreduced(nn.Module):
    """A user's module whose chain of reductions falls off its end."""

    reduction = "mean"

    def forward(self, outputs, targets):
        if self.reduction == "mean":
            return (outputs - targets).square().mean()
        raise ValueError(self.reduction)


LOSSES = {
    "ce": (nn.CrossEntropyLoss(), SCORES, CLASSES),
    "ce weights": (nn.CrossEntropyLoss(weight=WEIGHT), SCORES, CLASSES),
    "ce ignore": (nn.CrossEntropyLoss(ignore_index=2), SCORES, CLASSES),
    "ce -100": (nn.CrossEntropyLoss(), SCORES, with_ignored(CLASSES, -100)),
    "ce smooth": (nn.CrossEntropyLoss(label_smoothing=0.1), SCORES, CLASSES),
    "ce all": (
        nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=1, label_smoothing=0.2),
        SCORES,
        CLASSES,
    ),
    "ce sum": (nn.CrossEntropyLoss(reduction="sum"), SCORES, CLASSES),
    "ce sum weights": (nn.CrossEntropyLoss(weight=WEIGHT, reduction="sum"), SCORES, CLASSES),
    "ce probabilities": (nn.CrossEntropyLoss(), SCORES, P),
    "ce probabilities weights": (nn.CrossEntropyLoss(weight=WEIGHT), SCORES, P),
    "ce pixels": (nn.CrossEntropyLoss(ignore_index=255), PIXELS, with_ignored(MASKS, 255)),
    "ce pixels weights": (
        nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=255),
        PIXELS,
        with_ignored(MASKS, 255),
    ),
    "nll": (nn.NLLLoss(), LOG_P, CLASSES),
    "nll all": (nn.NLLLoss(weight=WEIGHT, ignore_index=0), LOG_P, CLASSES),
    "mse": (nn.MSELoss(), numbers(N, 3), numbers(N, 3, seed=1)),
    "mse sum": (nn.MSELoss(reduction="sum"), numbers(N, 3), numbers(N, 3, seed=1)),
    "mse flat": (nn.MSELoss(), numbers(N), numbers(N, seed=1)),
    "l1": (nn.L1Loss(), numbers(N, 3), numbers(N, 3, seed=1)),
    "smooth l1": (nn.SmoothL1Loss(beta=0.3), numbers(N, 3), numbers(N, 3, seed=1)),
    "huber": (nn.HuberLoss(), numbers(N, 1), numbers(N, 1, seed=1)),
    "bce": (nn.BCEWithLogitsLoss(), numbers(N, 3), (numbers(N, 3, seed=1) > 0).double()),
    "bce weights": (
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0, 1, 2], dtype=torch.float64)),
        numbers(N, 3),
        (numbers(N, 3, seed=1) > 0).double(),
    ),
    "kl sum": (nn.KLDivLoss(reduction="sum"), LOG_P, P),
    "kl batchmean": (nn.KLDivLoss(reduction="batchmean"), LOG_P, P),
    "kl log": (nn.KLDivLoss(reduction="batchmean", log_target=True), LOG_P, P.log()),
    "poisson": (nn.PoissonNLLLoss(), numbers(N, 2), numbers(N, 2, seed=1).abs()),
    "margin": (nn.MultiMarginLoss(weight=WEIGHT), SCORES, CLASSES),
    "own": (Squares(), numbers(N, 3), numbers(N, 3, seed=1)),
    "own with reduction": (SquaresWithAnUnusedReduction(), numbers(N, 3), numbers(N, 3, seed=1)),
    "own without none": (Unreduced(), numbers(N, 3), numbers(N, 3, seed=1)),
    "own subclass": (Focal(), SCORES, CLASSES),
}


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=12)
@given(batch_size=st.integers(1, N + 2))
def test_a_loss_over_batches_is_the_loss_of_the_whole_as_one_batch_traps_18_and_19(
    name, batch_size
):
    loss, outputs, targets = LOSSES[name]
    found = evaluate(loss, outputs, targets, batch_size)
    assert found["train_loss"] == pytest.approx(loss(outputs, targets).item(), rel=1e-10)


@given(batch_size=st.integers(1, N))
@settings(max_examples=15)
def test_without_reduction_a_loss_is_the_mean_of_its_values(batch_size):
    loss = nn.CrossEntropyLoss(reduction="none")
    found = evaluate(loss, SCORES, CLASSES, batch_size)
    assert found["train_loss"] == pytest.approx(loss(SCORES, CLASSES).mean().item(), rel=1e-10)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss()], ids=str)
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8], ids=str)
def test_a_regression_loss_compares_class_scores_with_one_hot_classes_trap_18(loss, dtype):
    """Without a softmax, and with any number of classes."""
    found = evaluate(loss, SCORES, CLASSES.to(dtype), 4)
    wanted = loss(SCORES, functional.one_hot(CLASSES, 4).double())
    assert found["train_loss"] == pytest.approx(wanted.item(), rel=1e-12)
    assert found["train_acc"] == pytest.approx(
        100 * (SCORES.argmax(1) == CLASSES).double().mean().item()
    )


def test_one_hot_classes_lie_along_the_dimension_of_the_classes():
    """As many pixels as classes: broadcasting would hide the wrong order."""
    outputs, targets = numbers(N, 4, 4), classes(N, 4)
    wanted = (outputs - functional.one_hot(targets, 4).movedim(-1, 1)).square().mean()
    assert evaluate(nn.MSELoss(), outputs, targets)["train_loss"] == pytest.approx(wanted.item())


def test_shapes_that_would_be_spread_over_each_other_are_refused():
    with pytest.raises(
        InputError, match=r"MSELoss got outputs of shape \(5, 1\) and targets of shape \(5,\)"
    ):
        evaluate(nn.MSELoss(), numbers(N, 1), numbers(N))


def test_class_weights_follow_the_precision_of_the_outputs():
    loss = nn.CrossEntropyLoss(weight=WEIGHT.float())
    wanted = nn.CrossEntropyLoss(weight=WEIGHT.float().double())(SCORES, CLASSES).item()
    assert evaluate(loss, SCORES, CLASSES, precision="float64")["train_loss"] == pytest.approx(
        wanted, rel=1e-12
    )
    assert evaluate(loss, SCORES, CLASSES, precision="float32")["train_loss"] == pytest.approx(
        wanted, rel=1e-6
    )
    assert loss.weight.dtype == torch.float32


def test_a_long_sum_of_float32_losses_is_still_their_mean():
    outputs = torch.full((100_000, 2), 0.1)
    found = evaluate(nn.MSELoss(), outputs, torch.zeros(100_000, 2), 1000, "float32")
    assert found["train_loss"] == pytest.approx(float(torch.tensor(0.1)) ** 2, rel=1e-7)


# --------------------------------------------------------------------------- accuracy


@given(batch_size=st.integers(1, N))
@settings(max_examples=15)
def test_accuracy_is_the_percentage_of_samples(batch_size):
    found = evaluate(nn.CrossEntropyLoss(), SCORES, CLASSES, batch_size)
    right = sum(
        int(max(range(4), key=row.__getitem__) == wanted)
        for row, wanted in zip(SCORES.tolist(), CLASSES.tolist(), strict=True)
    )
    assert found["train_acc"] == 100 * right / N


def test_accuracy_of_a_segmentation_counts_pixels_and_never_passes_100_trap_19():
    """An earlier tool said 662 %."""
    right = functional.one_hot(MASKS, 4).movedim(-1, 1).double()
    assert evaluate(nn.CrossEntropyLoss(), right, MASKS)["train_acc"] == 100
    found = evaluate(nn.CrossEntropyLoss(), PIXELS, MASKS)["train_acc"]
    assert found == pytest.approx(100 * (PIXELS.argmax(1) == MASKS).double().mean().item())


def test_ignored_positions_count_neither_as_right_nor_as_wrong_trap_19():
    right = functional.one_hot(MASKS, 4).movedim(-1, 1).double()
    ignored = with_ignored(MASKS, 255)
    assert evaluate(nn.CrossEntropyLoss(ignore_index=255), right, ignored)["train_acc"] == 100


def test_scores_that_are_nan_are_wrong_and_not_class_zero():
    scores = torch.full((4, 3), float("nan"))
    found = evaluate(nn.CrossEntropyLoss(), scores, torch.tensor([0, 0, 1, 2]))
    assert found["train_acc"] == 0
    assert np.isnan(found["train_loss"])


@pytest.mark.parametrize(
    "name", ["mse", "l1", "bce", "kl batchmean", "poisson", "own", "ce probabilities"]
)
def test_where_there_are_no_classes_there_is_no_accuracy(name):
    assert list(evaluate(*LOSSES[name])) == ["train_loss"]


@pytest.mark.parametrize(
    ("outputs", "targets", "wanted"),
    [
        (torch.zeros(3, 4), torch.zeros(3, dtype=torch.long), True),
        (torch.zeros(3, 4, 5), torch.zeros(3, 5, dtype=torch.long), True),
        (torch.zeros(3, 1), torch.zeros(3, dtype=torch.long), False),
        (torch.zeros(3, 4), torch.zeros(3), False),
        (torch.zeros(3, 4), torch.zeros(3, dtype=torch.bool), False),
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.long), False),
        (torch.zeros(3), torch.zeros(3, dtype=torch.long), False),
        ({"logits": 1}, torch.zeros(3), False),
    ],
)
def test_classes_are_told_by_shapes_and_types(outputs, targets, wanted):
    assert has_classes(outputs, targets) is wanted


# --------------------------------------------------------------------------- dicts of metrics


@given(batch_size=st.integers(1, N))
@settings(max_examples=6)
def test_torchmetrics_functions_and_losses_share_one_pass(batch_size):
    import torchmetrics

    forwards = []

    class Counts(Passes):
        def forward(self, inputs):
            forwards.append(len(inputs))
            return inputs

    metrics = {
        "ce": nn.CrossEntropyLoss(weight=WEIGHT),
        "f1": torchmetrics.F1Score(task="multiclass", num_classes=4, average="macro"),
        "margin": lambda outputs, targets: (
            outputs.gather(1, targets[:, None])[:, 0] - outputs.mean(1)
        ),
        "mean of batch": lambda outputs, targets: outputs.mean(),
        "size": lambda outputs, targets: 1.0,
    }
    evaluator = Evaluator(
        Counts(),
        metrics,
        prepare((SCORES, CLASSES)),
        Plan(batch_size=batch_size, precision="float64"),
    )
    forwards.clear()
    for _ in range(2):  # the second point knows nothing of the first
        found = evaluator(Counts())
    assert sum(forwards) == 2 * N
    assert len(forwards) == 2 * -(-N // batch_size)
    whole = torchmetrics.functional.f1_score(
        SCORES, CLASSES, task="multiclass", num_classes=4, average="macro"
    )
    margins = SCORES.gather(1, CLASSES[:, None])[:, 0] - SCORES.mean(1)
    assert found == pytest.approx(
        {
            "train_loss_ce": metrics["ce"](SCORES, CLASSES).item(),
            "train_loss_f1": whole.item(),
            "train_loss_margin": margins.mean().item(),
            "train_loss_mean of batch": SCORES.mean().item(),
            "train_loss_size": 1.0,
        },
        rel=1e-6,
    )


def test_higher_is_better_makes_a_metric_one_to_be_high():
    import torchmetrics

    metrics = {
        "f1": torchmetrics.F1Score(task="multiclass", num_classes=4),
        "ce": nn.CrossEntropyLoss(),
    }
    evaluator = Evaluator(Passes(), metrics, prepare((SCORES, CLASSES)))
    labels = labels_for(evaluator.metrics, ["train_loss_f1", "train_loss_ce"])
    assert (labels["train_loss_f1"].goal, labels["train_loss_ce"].goal) == ("max", "min")


def test_what_has_update_and_compute_is_a_metric_also_when_it_is_a_module():
    class Total(nn.Module):
        def reset(self):
            self.total = 0

        def update(self, outputs, targets):
            self.total += float(outputs.sum())

        def compute(self):
            return self.total

    assert evaluate({"total": Total()}, SCORES, CLASSES)["train_loss_total"] == pytest.approx(
        SCORES.sum().item()
    )


@pytest.mark.parametrize("writes", ["targets", "outputs"])
def test_a_function_that_writes_to_its_arguments_spoils_no_other_metric_and_no_other_point(writes):
    def careless(outputs, targets):
        (outputs if writes == "outputs" else targets).zero_()
        return torch.zeros(len(targets))

    metrics = {"careless": careless, "ce": nn.CrossEntropyLoss()}
    evaluator = Evaluator(
        Passes(), metrics, prepare((SCORES, CLASSES)), Plan(batch_size=6, precision="float64")
    )
    for _ in range(2):
        assert evaluator(Passes())["train_loss_ce"] == pytest.approx(
            nn.CrossEntropyLoss()(SCORES, CLASSES).item()
        )


@pytest.mark.parametrize(
    "own",
    [Squares(), SquaresWithAnUnusedReduction(), lambda o, t: (o - t["value"]).square().mean()],
)
def test_targets_that_are_a_dict_still_weigh_a_small_last_batch_by_its_samples(own):
    outputs, values = numbers(N, 3), numbers(N, 3, seed=1)

    class Wrapped(nn.Module):
        def forward(self, outputs, targets):
            return own(outputs, targets["value"])

    metric = Wrapped() if isinstance(own, nn.Module) else own
    data = [(outputs[i], {"value": values[i]}) for i in range(N)]
    found = Evaluator(
        Passes(), {"m": metric}, prepare(data), Plan(batch_size=6, precision="float64")
    )(Passes())
    assert found["train_loss_m"] == pytest.approx(
        (outputs - values).square().mean().item(), rel=1e-12
    )


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"m": 3}, "'train_loss_m' is a int; wanted a loss module, a function"),
        (
            {"m": lambda outputs, targets: None},
            "'train_loss_m' returned a NoneType; wanted a tensor",
        ),
        ({"m": lambda outputs, targets: "0.3"}, "returned a str"),
        (
            {"m": lambda outputs, targets: torch.ones(2, dtype=torch.complex64)},
            "returned a complex64 tensor",
        ),
    ],
)
def test_a_metric_of_no_kind_is_refused_by_name(metrics, message):
    with pytest.raises(InputError, match=message):
        evaluate(metrics, SCORES, CLASSES)


def test_a_loss_module_that_returns_no_number_is_refused():
    class Vector(nn.Module):
        reduction = "mean"

        def forward(self, outputs, targets):
            return outputs.sum(1)

    with pytest.raises(
        InputError,
        match=r"Vector returned a float64 tensor of shape \(5,\); wanted one number a batch",
    ):
        evaluate(Vector(), SCORES, CLASSES)


def test_a_loss_module_without_reduction_that_returns_no_number_is_refused():
    class Vector(nn.Module):
        def forward(self, outputs, targets):
            return outputs.sum(1)

    with pytest.raises(
        InputError,
        match=r"Vector returned a float64 tensor of shape \(5,\); wanted one number a batch",
    ):
        evaluate(Vector(), SCORES, CLASSES)


def test_outputs_that_are_no_tensor_are_refused_by_a_loss_module():
    class Dicts(nn.Module):
        def forward(self, inputs):
            return {"logits": inputs}

    with pytest.raises(
        InputError, match="The model returned a dict, which CrossEntropyLoss cannot judge"
    ):
        Evaluator(Dicts(), nn.CrossEntropyLoss(), prepare((SCORES, CLASSES)))
    functions = {
        "ce": lambda outputs, targets: functional.cross_entropy(outputs["logits"], targets)
    }
    assert "train_loss_ce" in Evaluator(Dicts(), functions, prepare((SCORES, CLASSES)))(Dicts())


class Nothing(nn.Module):
    """Forgets to return."""

    def forward(self, inputs):
        inputs.sum()


def test_a_model_that_returns_nothing_is_refused():
    with pytest.raises(
        InputError, match="The model returned a NoneType, which MSELoss cannot judge"
    ):
        Evaluator(Nothing(), nn.MSELoss(), prepare((SCORES, SCORES)))


def test_a_metric_of_one_number_a_batch_is_the_batchs_mean():
    metrics = {"one": lambda outputs, targets: outputs.mean().reshape(1)}
    data = (torch.arange(10.0).reshape(5, 2), torch.zeros(5))
    evaluator = Evaluator(Passes(), metrics, prepare(data), Plan(batch_size=2))
    assert evaluator(Passes())["train_loss_one"] == pytest.approx(4.5)


def test_a_torchmetric_may_stand_alone():
    import torchmetrics

    metric = torchmetrics.Accuracy(task="multiclass", num_classes=4)
    evaluator = Evaluator(Passes(), metric, prepare((SCORES, CLASSES)), Plan(batch_size=2))
    found = evaluator(Passes())
    assert 100 * found["train_loss"] == pytest.approx(found["train_acc"])


def test_a_loss_that_tells_no_sample_apart_says_how_it_is_averaged(caplog):
    class Wrapped(nn.Module):
        def forward(self, outputs, targets):
            return nn.functional.cross_entropy(outputs, targets)

    with caplog.at_level("INFO"):
        Evaluator(Passes(), Wrapped(), prepare((SCORES, CLASSES)))
    assert "Wrapped does not say the loss of a sample: it is averaged over batches" in caplog.text


class Kept(nn.Module):
    """The mean over what is not ignored, as users write it."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, outputs, targets):
        losses = functional.cross_entropy(outputs, targets, reduction="none", ignore_index=-100)
        if self.reduction == "none":
            return losses
        return losses.sum() / (targets != -100).sum() if self.reduction == "mean" else losses.sum()


@pytest.mark.parametrize("batch_size", [5, 7, N])
def test_a_mean_over_what_counts_is_held_against_every_batch_and_not_the_first_alone(batch_size):
    targets = CLASSES.clone()
    targets[12:15] = -100  # in the first batch only where that is all
    plan = Plan(batch_size=batch_size, precision="float64")
    evaluator = Evaluator(Passes(), Kept(), prepare((SCORES, targets)), plan)
    parts = list(zip(SCORES.split(batch_size), targets.split(batch_size), strict=True))
    wanted = sum(len(own) * Kept()(scores, own).item() for scores, own in parts) / N
    assert evaluator(Passes())["train_loss"] == pytest.approx(wanted)
    assert evaluator.notes == {"train_loss": "averaged over batches, weighted by their samples"}
    everything = Evaluator(Passes(), Kept(), prepare((SCORES, CLASSES)), plan)
    assert not everything.notes
    assert everything(Passes())["train_loss"] == pytest.approx(Kept()(SCORES, CLASSES).item())


def test_batches_of_other_shapes_are_held_against_what_the_model_returns_for_them():
    batches = [(PIXELS[:4], MASKS[:4].clone()), (PIXELS[4:9, :, :2], MASKS[4:9, :2].clone())]
    batches[1][1][0, 0, 0] = -100
    evaluator = Evaluator(Passes(), Kept(), prepare(iter(batches)), Plan(precision="float64"))
    wanted = sum(len(own) * Kept()(scores, own).item() for scores, own in batches) / 9
    assert evaluator.notes
    assert evaluator(Passes())["train_loss"] == pytest.approx(wanted)


def test_a_sum_of_ones_own_stays_a_sum_over_samples():
    targets = with_ignored(CLASSES, -100)
    evaluator = Evaluator(
        Passes(), Kept("sum"), prepare((SCORES, targets)), Plan(batch_size=5, precision="float64")
    )
    assert not evaluator.notes
    assert evaluator(Passes())["train_loss"] == pytest.approx(Kept("sum")(SCORES, targets).item())


def test_a_function_that_keeps_one_sample_of_a_batch_gives_that_samples_value():
    def of_class_0(outputs, targets):
        return functional.cross_entropy(outputs, targets, reduction="none")[targets == 0]

    targets = torch.tensor([0, 0, 1, 0, 1, 1, 2, 0, 1, 1, 3, 3])  # 3, 1 and 0 of them a batch
    scores = SCORES[:12]
    found = evaluate({"zero": of_class_0}, scores, targets, batch_size=4)
    assert found["train_loss_zero"] == pytest.approx(of_class_0(scores, targets).mean().item())


def test_a_last_batch_of_one_sample_counts_as_one_also_without_a_dimension():
    def squeezed(outputs, targets):
        return (outputs[:, 0] - targets).square().squeeze()

    found = evaluate({"own": squeezed}, SCORES[:7], CLASSES[:7], batch_size=3)
    wanted = (SCORES[:7, 0] - CLASSES[:7]).square().mean().item()
    assert found["train_loss_own"] == pytest.approx(wanted)


def test_a_function_that_returns_one_number_a_batch_and_then_several_is_refused():
    def careless(outputs, targets):
        return outputs[:1, 0] if 0 in targets else outputs[:, 0]

    targets = torch.tensor([0, 1, 1, 1, 1, 2])
    with pytest.raises(InputError, match="one number for a batch of several samples before, and 3"):
        evaluate({"careless": careless}, SCORES[:6], targets, batch_size=3)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.array, np.bool_], ids=str)
def test_numbers_of_numpy_are_numbers(kind):
    found = evaluate({"own": lambda outputs, targets: kind(len(targets) > 4)}, SCORES, CLASSES)
    assert found["train_loss_own"] == pytest.approx(20 / N)


@pytest.mark.parametrize("empty", [0, 1, 3], ids=["first", "in between", "last"])
@pytest.mark.parametrize("metric", ["loss", "function"])
def test_batches_of_no_samples_decide_nothing(metric, empty):
    cuts = [(0, 7), (7, 9), (9, N)]
    batches = [(SCORES[a:b], CLASSES[a:b]) for a, b in cuts]
    batches.insert(empty, (SCORES[:0], CLASSES[:0]))
    metrics = {"own": nn.CrossEntropyLoss() if metric == "loss" else functional.cross_entropy}
    evaluator = Evaluator(Passes(), metrics, prepare(iter(batches)), Plan(precision="float64"))
    wanted = functional.cross_entropy(SCORES, CLASSES).item()
    assert evaluator(Passes())["train_loss_own"] == pytest.approx(wanted)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss])
@pytest.mark.parametrize("weighted", [False, True])
def test_bytes_are_class_numbers_too(loss, weighted):
    weight = torch.linspace(1, 2, 200, dtype=torch.float64) if weighted else None
    scores, targets = numbers(N, 200), classes(N, of=200)
    targets[:3] = 156  # what -100 is as a byte
    found = evaluate(loss(weight=weight), scores, targets.to(torch.uint8))
    wanted = evaluate(loss(weight=weight), scores, targets)
    assert found == wanted
    assert found["train_loss"] == pytest.approx(loss(weight=weight)(scores, targets).item())
    right = (scores.argmax(1) == targets).double().mean().item()
    assert found["train_acc"] == pytest.approx(100 * right)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (nn.CrossEntropyLoss(weight=WEIGHT.float()), CLASSES),
        (nn.BCEWithLogitsLoss(pos_weight=WEIGHT.float()), P.float()),
    ],
    ids=["class weights", "pos_weight"],
)
@pytest.mark.parametrize("plan", [Plan(batch_size=5), Plan(batch_size=5, points_at_once=2)])
def test_the_callers_autocast_does_not_round_a_loss(loss, targets, plan):
    torch.manual_seed(0)
    model = nn.Linear(4, 4)
    data = prepare((SCORES.float(), targets))
    wanted = Evaluator(model, loss, data, plan)(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert Evaluator(model, loss, data, plan)(model) == wanted
