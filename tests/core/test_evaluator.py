"""A landscape has the values that mathematics gives it, in however many pieces it is computed."""

import gc
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset

from landscape_lib.core.direction import (
    Direction,
    create_random_direction,
    create_target_direction,
    movable,
    normalize_direction,
)
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import (
    Evaluator,
    check_metric_name,
    disagreement,
    eval_loss,
    measure,
    prepare,
)
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import lay_out_weights
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import merge
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.storage import load_shard, load_surface, save_shard, save_surface
from tests import reference

GRID = Grid((Axis(-1, 1, 3), Axis(0, 1, 2)))


def axis_between(steps):
    return Axis(float(steps[0]), float(steps[-1]), len(steps))


def surface_of(model, metrics, data, directions, grid, plan=None):
    evaluator = Evaluator(model, metrics, prepare(data), plan)
    return merge([measure(model, evaluator, directions, grid, range(grid.size))])


def assert_is_the_original(surface, wanted):
    np.testing.assert_allclose(surface["train_loss"], wanted["train_loss"], rtol=1e-5)
    np.testing.assert_array_equal(surface["train_acc"], wanted["train_acc"])


# --------------------------------------------------------------------------- against references


# Every way of evaluating in float32 is held to the same numbers.
PLANS = {
    "plain": Plan(),
    "channels last": Plan(batch_size=64, channels_last=True),
    "folded": Plan(batch_size=64, fold=True),
    "folded, channels last": Plan(batch_size=37, fold=True, channels_last=True),
    "points at once": Plan(batch_size=64, points_at_once=4),
    "folded, points at once": Plan(batch_size=37, fold=True, channels_last=True, points_at_once=5),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize(
    "settings_name", ["filter_biasbn", "filter_none", "layer_biasbn", "dfilter_biasbn"]
)
def test_surfaces_are_those_of_the_original_program(settings_name, plan):
    model = reference.digits_model()
    lay_out_weights(model, "cpu", torch.float32, channels_last=plan.channels_last)
    names, weights = zip(*movable(model).items(), strict=True)
    noise = [reference.digits_tensors(f"raw_direction/{axis}") for axis in "xy"]
    directions = [
        Direction(names, normalize_direction(e, list(weights), *settings_name.split("_")))
        for e in noise
    ]
    steps = reference.digits_values("surface")
    grid = Grid((axis_between(steps["xcoordinates"]), axis_between(steps["ycoordinates"])))
    np.testing.assert_allclose(grid.axes[0].steps(), steps["xcoordinates"], atol=1e-12)
    metric, data = nn.CrossEntropyLoss(), reference.digits_data()
    found = surface_of(model, metric, data, directions, grid, plan)
    assert grid.shape == (7, 5)
    assert_is_the_original(found, reference.digits_values(f"surface/{settings_name}"))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("curve", ["random", "target_weights", "target_states"])
def test_curves_are_those_of_the_original_program(curve, plan):
    model = reference.digits_model()
    lay_out_weights(model, "cpu", torch.float32, channels_last=plan.channels_last)
    if curve == "random":
        noise = reference.digits_tensors("raw_direction/x")
        direction = Direction(
            tuple(movable(model)), normalize_direction(noise, list(model.parameters()))
        )
    else:
        dir_type = curve.removeprefix("target_")
        direction = create_target_direction(model, reference.digits_state("model_b"), dir_type)
    wanted = reference.digits_values(f"curve/{curve}")
    grid = Grid((axis_between(wanted["xcoordinates"]),))
    metric, data = nn.CrossEntropyLoss(), reference.digits_data()
    found = surface_of(model, metric, data, [direction], grid, plan)
    assert_is_the_original(found, wanted)


# --------------------------------------------------------------------------- known answers


class TwoNumbers(nn.Module):
    """f = 10 w0 + w1."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, inputs):
        return inputs @ self.w


def unit_directions():
    return [Direction(("w",), (torch.tensor(unit),)) for unit in ([1.0, 0.0], [0.0, 1.0])]


def test_value_i_j_belongs_to_x_i_and_y_j_from_the_measure_to_the_file_traps_1_2_and_4(tmp_path):
    """Walks f = 10 w0 + w1 along both axes; the grid is neither square nor symmetric."""
    model, grid = TwoNumbers(), Grid((Axis(-1, 2, 4), Axis(0, 4, 9)))
    metrics = {"f": lambda outputs, targets: outputs}
    data = (torch.tensor([[10.0, 1.0]] * 3), torch.zeros(3))
    surface = surface_of(model, metrics, data, unit_directions(), grid, Plan(batch_size=2))
    save_surface(tmp_path / "surface.h5", surface)
    loaded = load_surface(tmp_path / "surface.h5")
    for found in (surface, loaded):
        x, y = (axis.steps() for axis in found.grid.axes)
        assert found["train_loss_f"].shape == (4, 9)
        np.testing.assert_array_equal(found["train_loss_f"], 10 * x[:, None] + y[None, :])


def test_a_quadratic_model_has_the_surface_of_its_closed_form():
    """|X (w0 + a d + b e) - t|^2 / n is a parabola in a and b, to 1e-12 in float64."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(17, 4)), rng.normal(size=(17, 1))
    model = nn.Linear(4, 1, bias=False).double()
    w0 = model.weight.detach().numpy().copy()
    d, e = rng.normal(size=(2, 1, 4))
    directions = [Direction(("weight",), (torch.tensor(v),)) for v in (d, e)]
    grid = Grid((Axis(-2, 1, 7), Axis(-0.5, 3, 5)))
    data = (torch.tensor(inputs), torch.tensor(targets))
    found = surface_of(
        model, nn.MSELoss(), data, directions, grid, Plan(batch_size=5, precision="float64")
    )
    r, p, q = (inputs @ w0.T - targets)[:, 0], (inputs @ d.T)[:, 0], (inputs @ e.T)[:, 0]
    a, b = np.meshgrid(*(axis.steps() for axis in grid.axes), indexing="ij")
    wanted = (
        r @ r + a**2 * (p @ p) + b**2 * (q @ q) + 2 * (a * (r @ p) + b * (r @ q) + a * b * (p @ q))
    ) / 17
    np.testing.assert_allclose(found["train_loss"], wanted, rtol=1e-12)


@pytest.mark.parametrize("normalize", ["filter", "dlayer"])
def test_filter_normalization_does_not_see_a_rescaling_of_relu_layers_and_no_normalization_does(
    normalize,
):
    """Li et al. (2018), section 4: layer 1 times c, layer 2 divided by c, is the same function."""

    def net(c):
        torch.manual_seed(1)
        found = nn.Sequential(
            nn.Linear(3, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False)
        ).double()
        with torch.no_grad():
            found[0].weight.mul_(c)
            found[2].weight.div_(c)
        return found

    def surface(model):
        axes = [
            create_random_direction(model, norm=normalize, seed=5, axis=axis) for axis in (0, 1)
        ]
        return surface_of(model, nn.CrossEntropyLoss(), data, axes, grid, plan)["train_loss"]

    grid, plan = Grid((Axis(-1, 1, 5), Axis(-0.5, 1, 3))), Plan(precision="float64")
    torch.manual_seed(2)
    data = (torch.randn(40, 3), torch.randint(4, (40,)))
    one, other = surface(net(1.0)), surface(net(10.0))
    if normalize == "filter":
        np.testing.assert_allclose(one, other, rtol=1e-6)
    else:
        assert np.abs(one - other).max() > 0.1 * np.ptp(one)


# --------------------------------------------------------------------------- shards, journals


class Interrupted(Exception):
    """Pulls the plug."""


def small_problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3))
    data = (torch.randn(13, 3), torch.randint(3, (13,)))
    directions = [
        create_random_direction(model, seed=0, axis=axis, ignore="scaled") for axis in (0, 1)
    ]
    metrics = {
        "ce": nn.CrossEntropyLoss(),
        "noisy": lambda outputs, targets: outputs[:, 0] * torch.rand(1),
    }
    return model, data, directions, metrics


@settings(max_examples=20)
@given(nx=st.integers(1, 5), ny=st.integers(1, 4), hand=st.randoms(use_true_random=False))
def test_many_shards_shuffled_and_interrupted_give_the_same_bytes_as_one(nx, ny, hand):
    """Also where a metric draws random numbers, and on a grid that was finer before."""
    model, data, directions, metrics = small_problem()
    grid = Grid((Axis(0, nx - 1, nx), Axis(0, ny - 1, ny)))
    evaluator = Evaluator(model, metrics, prepare(data), Plan(batch_size=4))
    whole = merge([measure(model, evaluator, directions, grid, range(grid.size))])

    def evaluate(folder, indices, points):
        """As evaluate_shard does, with the plug pulled after so many points."""
        left = [points]

        def record(point, values):
            journal.append(point, values, "{}")
            left[0] -= 1
            if not left[0]:
                raise Interrupted

        with Journal(folder) as journal:
            return measure(
                model, evaluator, directions, grid, indices, known=journal.read(), record=record
            )

    with tempfile.TemporaryDirectory() as folder:
        of = hand.randint(1, grid.size)
        numbers = list(range(of))
        hand.shuffle(numbers)
        parts = []
        for number in numbers:
            indices = grid.shard(number, of)
            points = hand.randint(1, len(indices))
            with pytest.raises(Interrupted):
                evaluate(Path(folder) / "journal", indices, points)
            save_shard(
                Path(folder) / f"{number}.h5", evaluate(Path(folder) / "journal", indices, -1)
            )
            parts.append(load_shard(Path(folder) / f"{number}.h5"))
        for of in (1, min(7, grid.size)):  # other shards of the same journal evaluate nothing
            again = [evaluate(Path(folder) / "journal", grid.shard(n, of), 1) for n in range(of)]
            parts.extend(again)
    merged = merge(parts)
    for key in whole.keys:
        assert merged[key].tobytes() == whole[key].tobytes()


def test_points_that_are_known_are_not_evaluated_and_not_recorded_again():
    model, _, directions, _ = small_problem()
    grid = Grid((Axis(0, 2, 3), Axis(0, 1, 2)))
    known = {
        tuple(point): {"height": float(number)}
        for number, point in enumerate(grid.points().tolist())
    }
    missing = known.pop((1.0, 1.0))
    recorded = []
    shard = measure(
        model,
        lambda model: {"height": -1.0},
        directions,
        grid,
        range(6),
        known=known,
        record=lambda point, values: recorded.append((point, values)),
    )
    assert recorded == [((1.0, 1.0), {"height": -1.0})]
    assert shard.values["height"].tolist() == [0, 1, 2, -1, 4, 5]
    assert missing == {"height": 3.0}


@pytest.mark.parametrize("value", [0.0, -1.0, -3.5, math.nan, math.inf])
def test_a_point_of_any_value_is_done_trap_27(value):
    model, _, directions, _ = small_problem()
    known = {tuple(point): {"height": value} for point in GRID.points().tolist()}
    shard = measure(model, lambda model: 1 / 0, directions, GRID, range(6), known=known)
    np.testing.assert_array_equal(shard.values["height"], np.full(6, value))


# --------------------------------------------------------------------------- metric functions


def own_loop(metrics, data=None, batch_size=4, splits=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 3))
    data = data or (torch.randn(10, 2), torch.arange(10) % 3)
    evaluator = Evaluator(model, metrics, prepare(data, splits), Plan(batch_size=batch_size))
    directions = [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)]
    return measure(model, evaluator, directions, GRID, range(6)).values


def cross_entropy(net, loader, use_cuda):
    with torch.no_grad():
        losses = [
            nn.functional.cross_entropy(net(inputs), targets, reduction="sum")
            for inputs, targets in loader
        ]
    return {"ce": sum(losses) / len(loader.dataset)}


def test_a_function_gets_a_net_in_eval_mode_the_truth_on_cuda_and_a_loader_trap_16():
    seen = []

    def metric(net, loader, use_cuda):
        seen.append(
            (
                net.training,
                use_cuda,
                len(loader),
                loader.batch_size,
                len(loader.dataset),
                sum(len(b[1]) for b in loader),
            )
        )
        return {"a": 1}

    model_in_training = own_loop(metric)
    assert set(seen) == {(False, False, 3, 4, 10, 10)}
    assert list(model_in_training) == ["train_loss_a"]


def careless_train(net, loader, use_cuda):
    found = cross_entropy(net, loader, use_cuda)
    net.train()
    return found


def twice(net, loader, use_cuda):
    cross_entropy(net, loader, use_cuda)
    return cross_entropy(net, loader, use_cuda)


def writes(net, loader, use_cuda):
    found = cross_entropy(net, loader, use_cuda)
    for inputs, targets in loader:
        inputs.fill_(7)
        targets.zero_()
    return found


def with_halves(net, loader, use_cuda):
    found = cross_entropy(net, loader, use_cuda)
    net.half()
    return found


def with_another_state(net, loader, use_cuda):
    found = cross_entropy(net, loader, use_cuda)
    net.load_state_dict({name: entry * 0 for name, entry in net.state_dict().items()})
    return found


def breaks_off(net, loader, use_cuda):
    next(iter(loader))
    return cross_entropy(net, loader, use_cuda)


@pytest.mark.parametrize(
    "metric",
    [careless_train, twice, writes, with_halves, with_another_state, breaks_off],
    ids=lambda m: m.__name__,
)
def test_a_careless_function_gives_the_values_of_a_careful_one_trap_16(metric):
    found, wanted = own_loop(metric), own_loop(cross_entropy)
    assert found["train_loss_ce"].tobytes() == wanted["train_loss_ce"].tobytes()
    assert len(set(wanted["train_loss_ce"])) == 6


def test_a_function_and_a_loss_module_agree():
    found = own_loop(nn.CrossEntropyLoss())["train_loss"]
    np.testing.assert_allclose(own_loop(cross_entropy)["train_loss_ce"], found, rtol=1e-6)


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        True,
        np.float32(2),
        np.float64(2),
        np.int64(2),
        np.array([2.0]),
        torch.tensor(2),
        torch.tensor([2.0]),
        torch.tensor(2.0, dtype=torch.bfloat16),
        torch.tensor([[2]]),
        torch.nn.Parameter(torch.tensor(2.0)),
        float("nan"),
        float("-inf"),
        torch.tensor(float("inf")),
        np.float32("nan"),
    ],
    ids=repr,
)
def test_any_one_number_is_a_value_and_nan_and_inf_stay_trap_28(value):
    found = own_loop(lambda net, loader, use_cuda: {"a": value})["train_loss_a"]
    wanted = (
        float(value.detach().reshape(()))
        if isinstance(value, torch.Tensor)
        else float(np.reshape(value, ()))
    )
    np.testing.assert_array_equal(found, np.full(6, wanted))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0.3", "'0.3' .str."),
        (None, "None .NoneType."),
        ([1.0], r"\[1.0\] .list."),
        (1j, "1j .complex."),
        (torch.zeros(2), "Tensor"),
        (torch.tensor(1j), "Tensor"),
        (np.zeros(2), "ndarray"),
        (np.complex64(1), "complex64"),
        (np.str_("3"), "str_"),
        ({}, "dict"),
        (10**400, "int"),
    ],
    ids=lambda v: repr(v)[:20],
)
def test_what_is_no_number_is_refused_with_its_key(value, said):
    with pytest.raises(
        InputError, match=f"(?s)Metric 'train_loss_a' is .*{said}.*; wanted one real number"
    ):
        own_loop(lambda net, loader, use_cuda: {"a": value})


@pytest.mark.parametrize("found", [None, {}, 0.3, [("a", 1)], torch.tensor(1.0)])
def test_a_function_that_returns_no_dict_is_refused(found):
    with pytest.raises(
        InputError, match=r"The metric function returned .*wanted a dict with at least one metric"
    ):
        own_loop(lambda net, loader, use_cuda: found)


@pytest.mark.parametrize("second", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}])
def test_other_names_at_another_point_are_an_error_and_never_a_zero_trap_22(second):
    returned = iter([{"a": 1, "b": 2}, second])
    with pytest.raises(
        InputError,
        match=r"at the point \(-1.0, 1.0\), but \['train_loss_a', 'train_loss_b'\] before",
    ):
        own_loop(lambda net, loader, use_cuda: next(returned))


def test_names_other_than_the_probes_are_an_error_at_the_first_point_trap_22():
    model, _, directions, _ = small_problem()
    with pytest.raises(InputError, match=r"returned \['a'\] at the point .* but \['b'\] before"):
        measure(model, lambda model: {"a": 1.0}, directions, GRID, range(6), keys=["b"])


def test_splits_have_keys_of_their_own():
    data = (torch.randn(10, 2), torch.arange(10) % 3)
    found = own_loop(nn.CrossEntropyLoss(), data, splits={"test": data})
    assert list(found) == ["train_loss", "train_acc", "test_loss", "test_acc"]
    np.testing.assert_array_equal(found["train_loss"], found["test_loss"])
    assert list(own_loop(cross_entropy, data, splits={"val": data})) == [
        "train_loss_ce",
        "val_loss_ce",
    ]


def test_a_point_can_be_abandoned_between_batches():
    model, data, _, metrics = small_problem()
    evaluator = Evaluator(model, metrics, prepare(data), Plan(batch_size=4))
    asked = []

    def pause():
        asked.append(1)
        if len(asked) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        evaluator(model.eval(), pause)
    assert len(asked) == 3


# --------------------------------------------------------------------------- what a point costs


class Drawn(Dataset):
    """Counts how many times a sample is read; each time it comes with other noise."""

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 11

    def __getitem__(self, number):
        self.reads += 1
        return torch.rand(2) + number, number % 3


LOOPS = pytest.mark.parametrize(
    "metrics", [nn.CrossEntropyLoss(), cross_entropy], ids=["module", "own loop"]
)


@LOOPS
def test_samples_are_read_once_and_no_loader_is_started_at_a_point_trap_24(metrics, monkeypatch):
    data, starts = Drawn(), []
    begin = DataLoader.__iter__
    monkeypatch.setattr(DataLoader, "__iter__", lambda self: starts.append(self) or begin(self))
    values = own_loop(metrics, DataLoader(data, 4, shuffle=True))
    assert all(len(column) == GRID.size for column in values.values())
    assert (data.reads, len(starts)) == (11, 1)


@LOOPS
def test_every_point_sees_the_same_samples_trap_21(metrics):
    """Along a direction of zeros nothing changes, although loader and data set draw."""
    model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 3))
    moving = movable(model)
    still = Direction(tuple(moving), tuple(torch.zeros(weight.shape) for weight in moving.values()))
    data = prepare(DataLoader(Drawn(), 4, shuffle=True))
    found = measure(model, Evaluator(model, metrics, data), [still, still], GRID, range(6)).values
    for column in found.values():
        assert len(set(column.tolist())) == 1


class NumbersRead(TorchDispatchMode):
    """Counts the numbers that are read out of tensors: a GPU stops working for each of them."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("batch_size", [1, 5, 40])
@pytest.mark.parametrize(
    "metrics",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), ignore_index=2),
        {"own": lambda outputs, targets: outputs[:, 0], "mean": lambda outputs, _: outputs.mean()},
    ],
    ids=["module", "functions"],
)
def test_no_number_is_read_from_the_device_at_a_batch_trap_24(metrics, batch_size, monkeypatch):
    model = nn.Linear(2, 3)
    data = prepare((torch.randn(40, 2), torch.arange(40) % 3))
    evaluator = Evaluator(model, metrics, data, Plan(batch_size=batch_size))
    lists, to_list = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: lists.append(self) or to_list(self))
    with NumbersRead() as read:
        evaluator(model)
        assert read.count == 0
        assert len(lists) <= 2  # all metrics together, and once what the targets weigh
        lists.clear()
        evaluator(model)
        assert read.count == 0
        assert len(lists) == 1  # all metrics of a point together
        torch.ones(()).item()
        float(torch.ones(()))
        assert read.count == 2  # it would have been seen


def test_memory_does_not_grow_with_the_number_of_points_trap_25():
    model = nn.Linear(300, 200)
    weights = sum(parameter.numel() for parameter in model.parameters())
    directions = [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)]
    held = []

    def metric(model):
        held.append(numbers_held())
        return {"a": 1.0}

    def numbers_held():
        found = (tensor for tensor in gc.get_objects() if issubclass(type(tensor), torch.Tensor))
        return sum(tensor.numel() for tensor in found)

    gc.collect()
    before = numbers_held()
    measure(model, metric, directions, Grid((Axis(0, 1, 5), Axis(0, 1, 3))), range(15))
    assert len(held) == 15
    assert max(held) == held[0]
    assert held[0] - before < 5 * weights  # the centre and a few working copies, not 15 points


# --------------------------------------------------------------------------- models


class Described(nn.Module):
    """Takes what a batch names."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, ids, mask):
        return self.linear(ids * mask)


@pytest.mark.parametrize("shape", ["labels", "pair", "tuple", "triple"])
def test_inputs_may_be_a_dict_or_a_tuple(shape):
    ids, mask, targets = torch.randn(10, 2), torch.ones(10, 2), torch.arange(10) % 3
    rows = {
        "labels": [
            {"ids": i, "mask": m, "labels": t} for i, m, t in zip(ids, mask, targets, strict=True)
        ],
        "pair": [({"ids": i, "mask": m}, t) for i, m, t in zip(ids, mask, targets, strict=True)],
        "tuple": [((i, m), t) for i, m, t in zip(ids, mask, targets, strict=True)],
        "triple": (ids, mask, targets),
    }
    torch.manual_seed(0)
    model = Described()
    found = Evaluator(model, nn.CrossEntropyLoss(), prepare(rows[shape]), Plan(batch_size=4))(model)
    wanted = nn.functional.cross_entropy(model(ids, mask), targets).item()
    assert found["train_loss"] == pytest.approx(wanted, rel=1e-6)


def test_a_first_layer_in_place_does_not_eat_the_data():
    torch.manual_seed(0)
    data = (torch.randn(10, 2), torch.arange(10) % 3)
    before = data[0].clone()
    direction = None
    found = []
    for inplace in (True, False):
        torch.manual_seed(1)
        model = nn.Sequential(nn.ELU(inplace=inplace), nn.Linear(2, 3))
        direction = create_random_direction(model, seed=0)
        surface = surface_of(
            model,
            nn.CrossEntropyLoss(),
            data,
            [direction],
            Grid((Axis(-1, 1, 5),)),
            Plan(batch_size=3),
        )
        found.append(surface["train_loss"])
    np.testing.assert_array_equal(*found)
    assert torch.equal(data[0], before)


def test_looking_at_what_a_model_returns_leaves_its_mode_and_the_random_state_alone():
    model, data, _, metrics = small_problem()
    model[1].eval()
    before = [module.training for module in model.modules()], torch.get_rng_state()
    Evaluator(model, metrics, prepare(data))
    assert [module.training for module in model.modules()] == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


# --------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "top1/acc",
        "..",
        "../x",
        "a..b",
        "a\nb",
        "a\x00",
        "a\x7f",
        "a\x85b",
        "\ud800",
        "x" * 101,
        "ä" * 51,
        3,
        None,
    ],
)
def test_names_that_could_leave_the_folder_or_break_a_file_are_refused_trap_31(name):
    with pytest.raises(
        InputError, match=r"The metric name .*(is refused|is longer than 100 bytes)"
    ):
        check_metric_name(name)
    with pytest.raises(InputError, match="metric name"):
        own_loop(lambda net, loader, use_cuda: {name: 1.0})
    with pytest.raises(InputError, match="metric name"):
        own_loop({name: nn.CrossEntropyLoss()})


@pytest.mark.parametrize(
    "name", ["a", "top-1 acc", "täuschung 損失", "a.b", "x" * 100, "50%", "a:b", "loss", ".", "-"]
)
def test_other_names_are_kept_as_they_are(name):
    assert list(own_loop({name: nn.CrossEntropyLoss()})) == [f"train_loss_{name}"]


def test_a_split_has_to_have_a_name_as_well():
    data = (torch.randn(4, 2), torch.arange(4) % 3)
    with pytest.raises(InputError, match=r"The split name '../x' is refused"):
        own_loop(nn.CrossEntropyLoss(), data, splits={"../x": data})


# --------------------------------------------------------------------------- disagreement


@pytest.mark.parametrize(
    ("found", "wanted", "apart"),
    [
        ({"train_loss": 1.0}, {"train_loss": 1.0}, ("", 0.0)),
        ({"train_loss": 1.1, "b": 2.0}, {"train_loss": 1.0, "b": 1.0}, ("b", 0.5)),
        ({"train_acc": 50.0}, {"train_acc": 90.0}, ("", 0.0)),
        ({"a": math.nan}, {"a": math.nan}, ("", 0.0)),
        ({"a": math.inf}, {"a": math.inf}, ("", 0.0)),
        ({"a": 1.0}, {"a": math.nan}, ("a", math.inf)),
        ({"a": math.nan}, {"a": 1.0}, ("a", math.inf)),
        ({"a": -math.inf}, {"a": math.inf}, ("a", math.inf)),
        ({"a": 0.0}, {"a": 0.0}, ("", 0.0)),
    ],
)
def test_two_evaluations_say_which_metric_differs_most(found, wanted, apart):
    assert disagreement(found, wanted) == apart


def test_two_metrics_that_would_share_a_key_are_refused():
    model = nn.Linear(2, 3)
    data = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    both = {"a": nn.CrossEntropyLoss(), "b_loss_a": nn.CrossEntropyLoss()}
    samples = prepare(data, {"train_loss_b": data})
    with pytest.raises(InputError, match="Two metrics would be called 'train_loss_b_loss_a'"):
        Evaluator(model, both, samples)(model)


def test_points_are_evaluated_in_the_order_asked_for_and_are_the_same_bits_in_any():
    model, data, directions, metrics = small_problem()
    evaluator = Evaluator(model, metrics, prepare(data), Plan(batch_size=4))
    grid = Grid((Axis(-1, 1, 4), Axis(0, 2, 3)))
    recorded = []
    order = np.random.default_rng(0).permutation(grid.size)
    found = measure(
        model, evaluator, directions, grid, order, record=lambda point, _: recorded.append(point)
    )
    assert recorded == [tuple(point) for point in grid.points(order).tolist()]
    wanted = measure(model, evaluator, directions, grid, range(grid.size))
    assert found.indices.tolist() == list(range(grid.size))
    for key, values in wanted.values.items():
        assert found.values[key].tobytes() == values.tobytes()


def test_indices_that_come_twice_are_refused_before_anything_is_evaluated():
    direction = create_random_direction(nn.Linear(2, 3), seed=0)
    for indices in ([1, 1], []):
        with pytest.raises(InputError, match="different ones"):
            measure(
                nn.Linear(2, 3), lambda model: 1 / 0, [direction], Grid((Axis(0, 1, 3),)), indices
            )


# --------------------------------------------------------------------------- one model, by hand


@pytest.mark.parametrize("batch_size", [400, 64, 7])
def test_loss_and_accuracy_of_a_model_are_those_of_the_whole_data_set_trap_19(batch_size):
    model = reference.digits_model().train()
    before = [tensor.clone() for tensor in model.state_dict().values()]
    inputs, targets = reference.digits_data()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, targets), batch_size=batch_size
    )
    loss, accuracy = eval_loss(model, nn.CrossEntropyLoss(), loader)
    assert model.training
    for tensor, old in zip(model.state_dict().values(), before, strict=True):
        assert torch.equal(tensor, old)
    with torch.no_grad():
        outputs = model.eval()(inputs)
    assert loss == pytest.approx(nn.functional.cross_entropy(outputs, targets).item(), rel=1e-6)
    assert accuracy == pytest.approx(100 * (outputs.argmax(1) == targets).float().mean().item())


def test_a_regression_has_a_loss_and_no_accuracy(caplog):
    net, inputs = nn.Linear(3, 1).double(), torch.randn(9, 3).double()
    loss, accuracy = eval_loss(net, nn.MSELoss(), (inputs, torch.zeros(9, 1)), use_cuda=True)
    assert loss == pytest.approx(net(inputs).square().mean().item(), rel=1e-14)
    assert math.isnan(accuracy)
    assert net.weight.dtype == torch.float64
    assert ("There is no CUDA here" in caplog.text) == (not torch.cuda.is_available())


def test_what_is_no_loss_module_cannot_judge_a_model():
    with pytest.raises(InputError, match="got a function as criterion; wanted a loss module"):
        eval_loss(nn.Linear(1, 1), nn.functional.mse_loss, (torch.ones(2, 1), torch.ones(2, 1)))
