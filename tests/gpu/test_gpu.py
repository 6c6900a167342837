"""What a GPU does.  Two minutes on one, half a minute elsewhere:  uv run pytest -n 0 tests/gpu

Where there is none, one is pretended (tests/pretended_gpu.py): all but the hardware is tested.
"""

import gc
import json

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.networks import Transformer
from landscape_lib import InputError, LossLandscape, Problem
from landscape_lib.config import EvaluationSettings
from landscape_lib.core import perturbation, precision, room
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import borrowed
from landscape_lib.core.plan import Plan
from landscape_lib.core.room import room_on
from landscape_lib.problems.resnet import ResNet
from landscape_lib.steps import gpus
from landscape_lib.steps.bench import lay_out, settings_kept
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.planning import choose_plan
from landscape_lib.utils.signals import Stops

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
GRID = Grid((Axis(-1, 1, 5), Axis(-0.5, 1, 3)))


def images(count, side=16):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, side, side, generator=draw), torch.arange(count) % 10


def tokens(count):
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 50, (count, 12), generator=draw), torch.arange(count) % 10


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.Tanh(), nn.Linear(32, 10))


CASES = {
    "mlp": (mlp, images),
    "resnet": (lambda: ResNet(8), images),
    "transformer": (lambda: Transformer(50, 12, 32, 2), tokens),
}


def case(name, count=70):
    torch.manual_seed(0)
    build, data = CASES[name]
    return build().eval(), data(count)


def bench_of(model, data, metrics=None, **wishes):
    settings = EvaluationSettings.model_validate({"device": DEVICE, **wishes})
    problem = Problem(model, data, metrics or nn.CrossEntropyLoss())
    return lay_out("own", problem, code="", args={}, wishes=settings)


def evaluated(bench, plan, grid=GRID, indices=None):
    """Return the values of points by a plan, and the evaluator; the model is put back."""
    model = bench.problem.model
    directions = [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)]
    with borrowed(model), settings_kept():
        evaluate = bench.evaluator(plan)
        order = range(grid.size) if indices is None else indices
        shard = measure(model, evaluate, directions[: len(grid.axes)], grid, order)
    return {**shard.values, **shard.beside}, evaluate


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert found[key].tobytes() == values.tobytes(), key
    assert len(np.unique(wanted["train_loss"])) > 3


# -------------------------------------------------------------------------------------- precision


def test_float32_is_float32_and_tf32_is_asked_for_and_given_back():
    """Products of 12-bit factors: exact in float32, rounded to 11 bits in TF32."""
    factor = torch.full((64, 64), 1 + 2**-12, device=DEVICE)
    before = [getattr(place, name) for place, name, *_ in precision._switches()]
    with settings_kept():
        precision.round_as(Plan(DEVICE))
        exact = factor @ factor
        precision.round_as(Plan(DEVICE, "tf32"))
        rounded = factor @ factor
    assert [getattr(place, name) for place, name, *_ in precision._switches()] == before
    wanted = 64 * (1 + 2**-12) ** 2
    assert abs(float(exact[0, 0]) / wanted - 1) < 1e-6
    assert abs(float(rounded[0, 0]) / wanted - 1) > 1e-5


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("float32", 0, 1e-5), ("tf32", 1e-7, 5e-3), ("bf16", 1e-5, 5e-2)]
)
@pytest.mark.parametrize("name", CASES)
def test_each_precision_is_as_near_to_float64_as_it_says(name, kind, least, most):
    model, data = case(name)
    exact, _ = evaluated(bench_of(model, data), Plan(DEVICE, "float64"))
    found, _ = evaluated(bench_of(model, data), Plan(DEVICE, kind))
    apart = np.abs(found["train_loss"] / exact["train_loss"] - 1).max()
    assert least <= apart <= most


def test_a_gpu_finds_what_a_cpu_finds():
    model, data = case("resnet")
    found, _ = evaluated(bench_of(model, data), Plan(DEVICE))
    wanted, _ = evaluated(bench_of(model, data, device="cpu"), Plan("cpu"))
    np.testing.assert_allclose(found["train_loss"], wanted["train_loss"], rtol=1e-4)


def test_the_library_records_what_bf16_and_tf32_change():
    for kind in ("tf32", "bf16"):
        model, data = case("resnet")
        landscape = LossLandscape(model, data, use_cuda=True, precision=kind)
        landscape.compute_2d((-1, 1, 3), (0, 1, 2), save=False)
        told = json.loads(landscape.surface.attributes["rounding"])
        assert told["precision"] == kind
        assert all(0 < error < 0.05 for error in told["errors"]["train_loss"])
        assert next(model.parameters()).device.type == "cpu"


# ----------------------------------------------------------------------------------------- graphs

PLANS = {
    "plain": {"batch_size": 32},
    "together": {"batch_size": 32, "points_at_once": 2},
    "bf16": {"batch_size": 32, "precision": "bf16"},
    "tf32": {"batch_size": 70, "precision": "tf32", "channels_last": True},
}


@pytest.mark.parametrize("how", PLANS)
@pytest.mark.parametrize("name", CASES)
def test_graphs_replay_the_bits_of_what_they_recorded(name, how):
    """Batches of 32, 32 and 6: two shapes."""
    told = {**PLANS[how], "fold": (name, how) == ("resnet", "together")}
    model, data = case(name)
    bench = bench_of(model, data)
    wanted, _ = evaluated(bench, Plan(DEVICE, **told))
    found, evaluate = evaluated(bench, Plan(DEVICE, **told, graph=True))
    assert not evaluate.unrecorded
    assert evaluate._replays is not None
    assert len(evaluate._replays._recordings) == (1 if how == "tf32" else 2)
    same(found, wanted)


def test_folded_norms_are_replayed_too():
    model, data = case("resnet")
    plan = {"batch_size": 32, "fold": True, "channels_last": True}
    wanted, _ = evaluated(bench_of(model, data), Plan(DEVICE, **plan))
    found, evaluate = evaluated(bench_of(model, data), Plan(DEVICE, **plan, graph=True))
    assert not evaluate.unrecorded
    same(found, wanted)


def test_a_metric_that_waits_for_the_gpu_is_not_recorded_and_harms_nothing():
    def waiting(outputs, targets):
        return outputs.square().mean(1) * float(outputs.sum() > -1e9)

    metrics = {"waiting": waiting, "ce": nn.CrossEntropyLoss()}
    model, data = case("mlp")
    wanted, _ = evaluated(bench_of(model, data, metrics), Plan(DEVICE, batch_size=32))
    graphed = Plan(DEVICE, batch_size=32, graph=True)
    found, evaluate = evaluated(bench_of(model, data, metrics), graphed)
    assert "synchron" in evaluate.unrecorded
    for key, values in wanted.items():
        assert found[key].tobytes() == values.tobytes()
    after, again = evaluated(bench_of(*case("mlp")), graphed)  # the next one can be
    assert not again.unrecorded
    assert np.isfinite(after["train_loss"]).all()


@pytest.mark.filterwarnings("ignore")  # the compiler has its own opinions
def test_a_compiled_network_is_recorded():
    model, data = case("mlp")
    plan = {"batch_size": 35, "compile": True}
    wanted, _ = evaluated(bench_of(model, data), Plan(DEVICE, **plan))
    found, evaluate = evaluated(bench_of(model, data), Plan(DEVICE, **plan, graph=True))
    assert not evaluate.unrecorded
    same(found, wanted)


# ------------------------------------------------------------------------------ points and memory


@pytest.mark.parametrize("name", CASES)
def test_points_at_once_have_bits_that_no_neighbour_changes(name):
    model, data = case(name)
    plan = Plan(DEVICE, batch_size=32, points_at_once=2, fold=name == "resnet")
    whole, _ = evaluated(bench_of(model, data), plan)
    part, _ = evaluated(bench_of(model, data), plan, indices=[3, 8, 9])
    for key, values in part.items():
        assert values.tobytes() == whole[key][[3, 8, 9]].tobytes()


@pytest.mark.parametrize(("name", "how"), [("resnet", "plain"), ("mlp", "together")])
@pytest.mark.parametrize("graph", [False, True])
def test_nothing_waits_inside_of_a_point(name, how, graph):
    """After what is recorded, torch is told to raise where the CPU would wait for the GPU."""
    model, data = case(name)
    plan = Plan(DEVICE, **PLANS[how], graph=graph)
    bench, grid = bench_of(model, data), Grid((Axis(-1, 1, 24),))
    direction = create_random_direction(model, "states", seed=0)
    seen = []

    def record(point, values):
        seen.append(values["train_loss"])
        if len(seen) in {8, 24}:
            torch.cuda.set_sync_debug_mode("error" if len(seen) == 8 else "default")

    with borrowed(model), settings_kept():
        evaluate = bench.evaluator(plan)
        try:
            measure(model, evaluate, [direction], grid, range(24), record=record)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert evaluate.runs_ahead
    assert len(set(seen)) == 24


def test_a_batch_that_does_not_fit_is_halved(gpu):
    """The GPU lends this process a little; one batch of all images takes more."""
    count = 1024 if gpu else 4096
    model, data = case("resnet", count)
    bench, grid = bench_of(model, data), Grid((Axis(0, 1, 2),))
    wanted, _ = evaluated(bench, Plan(DEVICE, batch_size=64), grid)
    direction = create_random_direction(model, seed=0)
    torch.cuda.empty_cache()
    whole = torch.cuda.mem_get_info()[1]
    lent = torch.cuda.memory_reserved() + count * 2**15
    torch.cuda.set_per_process_memory_fraction(lent / whole)
    try:
        with borrowed(model), settings_kept():
            work = Work(bench, Plan(DEVICE, batch_size=count), [direction], grid, Stops())
            shard = work.evaluate([0, 1], "own")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    (plan,) = shard.plans
    assert json.loads(plan)["batch_size"] < count
    np.testing.assert_allclose(shard.values["train_loss"], wanted["train_loss"], rtol=1e-5)


def test_memory_is_four_times_the_model_and_a_batch():
    width = 4096
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, width), nn.ReLU(), nn.Linear(width, width))
    size = sum(parameter.nbytes for parameter in model.parameters())
    data = images(64)
    bench = bench_of(model, data)
    torch.cuda.empty_cache()
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    evaluated(bench, Plan(DEVICE, batch_size=64), Grid((Axis(0, 1, 2), Axis(0, 1, 2))))
    took = torch.cuda.max_memory_allocated() - held
    batch = 64 * (768 + 8 * width) * 4
    assert 4 * size <= took <= 4.05 * size + batch + 2**26  # work space of cuBLAS


@pytest.mark.parametrize(("kind", "times"), [("float32", 4.0), ("bf16", 4.5)])
def test_a_whole_run_takes_no_more_than_its_points(gpu, kind, times):
    """The plan is checked far from the centre, with the plain model, after all points."""
    width = 2048
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, width), nn.ReLU(), nn.Linear(width, width))
    size = sum(parameter.nbytes for parameter in model.parameters())
    bench = bench_of(model, images(64), precision=kind)
    directions = [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)]
    with borrowed(model), settings_kept():
        torch.cuda.empty_cache()
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        Work(bench, Plan(DEVICE, kind, 32), directions, GRID, Stops()).evaluate(range(15), "own")
        took = torch.cuda.max_memory_allocated() - held
    batch = 64 * (768 + 8 * width) * 4
    space = 0 if gpu else 2**26  # cuBLAS takes some to work in
    assert times * size <= took <= 1.02 * times * size + batch + space


def test_a_model_of_a_fifth_of_what_is_left_is_not_streamed(monkeypatch):
    """And one that has no room is, with the same bits."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4096), nn.Tanh(), nn.Linear(4096, 10))
    bench = bench_of(model, images(70))
    wanted, _ = evaluated(bench, Plan(DEVICE, batch_size=70))
    gc.collect()
    held = torch.cuda.memory_allocated()
    size = sum(parameter.nbytes for parameter in model.parameters())
    kinds = []
    chosen = perturbation.Excursion.__init__

    def watched(self, *args, **named):
        chosen(self, *args, **named)
        kinds.append(type(self._steps).__name__)

    monkeypatch.setattr(perturbation.Excursion, "__init__", watched)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (_left(held + 5 * size), 0))
    for _ in range(2):  # what the first excursion took must not count against the second
        found, _ = evaluated(bench, Plan(DEVICE, batch_size=70))
        same(found, wanted)
    monkeypatch.setattr(room, "room_on", lambda device: 0)
    found, _ = evaluated(bench, Plan(DEVICE, batch_size=70))
    same(found, wanted)
    assert kinds == ["_Resident", "_Resident", "_Streamed"]


def _left(whole):
    """Return what must be free so that, with what torch has and beside a batch, it is a whole."""
    batch = room._batch.get(torch.cuda.current_device(), 0)
    return whole + batch - torch.cuda.memory_reserved()


def test_a_batch_is_left_its_room():
    model, data = case("resnet", 512)
    bench = bench_of(model, data)
    with borrowed(model), settings_kept():
        bench.evaluator(Plan(DEVICE, batch_size=512))
        left = room_on(torch.device(DEVICE))
        held = torch.cuda.memory_allocated()
        free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - held
    assert free - left > 512 * 16 * 16 * 16 * 4  # at least what one layer returns


# ---------------------------------------------------------------------------------- plans, claims


def test_the_search_finds_a_plan_that_is_right(gpu):
    model, data = case("resnet", 512 if gpu else 2048)
    bench = bench_of(model, data)
    grid = Grid((Axis(-1, 1, 51), Axis(-1, 1, 51)))
    with borrowed(model), settings_kept():
        plan = choose_plan(bench, EvaluationSettings(device=DEVICE), grid)
    found, _ = evaluated(bench, plan)
    wanted, _ = evaluated(bench, plan.plain())
    np.testing.assert_allclose(found["train_loss"], wanted["train_loss"], rtol=1e-4)
    assert plan != plan.plain()


@pytest.mark.parametrize("how", PLANS)
def test_a_plan_by_hand_that_is_right_is_taken_as_it_is(how):
    model, data = case("resnet")
    wanted = Plan(**{"device": DEVICE, "threads": 1, "fold": True, "graph": True, **PLANS[how]})
    bench = bench_of(model, data)
    with borrowed(model), settings_kept():
        wishes = EvaluationSettings(device=DEVICE, plan=wanted.told())
        assert choose_plan(bench, wishes, Grid((Axis(-1, 1, 5),))) == wanted


def test_gpus_have_names_that_all_processes_know():
    names = gpus.names_of_gpus()
    assert len(names) == len(set(names)) == torch.cuda.device_count()
    with gpus.own_gpu(DEVICE):
        assert torch.cuda.current_device() < len(names)


def test_tf32_is_refused_where_a_gpu_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    model, data = case("mlp")
    with pytest.raises(InputError, match=r"multiplies no TF32, as NVIDIA GPUs do from Ampere on"):
        evaluated(bench_of(model, data), Plan(DEVICE, "tf32"))


def test_data_that_do_not_fit_are_sent_batch_by_batch_and_never_recorded(monkeypatch):
    model, data = case("mlp")
    wanted, _ = evaluated(bench_of(model, data), Plan(DEVICE, batch_size=32))
    monkeypatch.setattr("landscape_lib.core.handing.Form.fits", lambda self, tensors: False)
    with borrowed(model):
        model.to(DEVICE)
        plan = Plan(DEVICE, batch_size=32, graph=True)
        evaluate = Evaluator(model, nn.CrossEntropyLoss(), prepare(data), plan)
        assert "batch by batch" in evaluate.unrecorded
        directions = [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)]
        shard = measure(model, evaluate, directions, GRID, range(GRID.size))
    assert shard.values["train_loss"].tobytes() == wanted["train_loss"].tobytes()
