"""What is replayed has the bits of what is not: inputs copied in, results out, weights in place.

There is no GPU here.  A stand-in records as a CUDA graph does: while it records nothing is
computed, and replaying writes into the same tensors every time.  On a GPU: tests/gpu/test_gpu.py.
"""

import logging
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchmetrics
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from landscape_lib.core import graphs
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.graphs import Replays, UnrecordableError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.problems.resnet import ResNet

GRID = Grid((Axis(-1, 1, 5), Axis(-0.5, 1, 2)))


class StandIn:
    """Records work on a CPU, with the manners of a CUDA graph."""

    made: list["StandIn"]

    def __init__(self, device):
        self.recorded = self.replayed = 0
        self.made.append(self)

    def record(self, work):
        self.recorded += 1
        results = tree_map(self._garbage, work())

        def replay():
            self.replayed += 1
            for mine, found in zip(tree_leaves(results), tree_leaves(work()), strict=True):
                if isinstance(mine, torch.Tensor):
                    mine.copy_(found)

        return replay, results

    @staticmethod
    def _garbage(leaf):
        if not isinstance(leaf, torch.Tensor):
            return leaf
        return torch.full_like(leaf, torch.nan if leaf.is_floating_point() else 77)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(StandIn, "made", [], raising=False)
    monkeypatch.setitem(graphs.RECORDERS, "cpu", StandIn)
    return StandIn.made


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Tanh(), nn.Linear(8, 4))


MODELS = {"mlp": mlp, "resnet": lambda: ResNet(8, width=4)}
METRICS = {
    "loss": nn.CrossEntropyLoss(ignore_index=2),
    "weights": nn.CrossEntropyLoss(weight=torch.linspace(0.5, 2, 10)[:4], ignore_index=2),
    "own": {
        "square": lambda outputs, targets: outputs.square(),
        "mean": lambda outputs, targets: outputs.mean(),
        "mse": nn.MSELoss(reduction="sum"),
    },
}


def case(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    directions = [
        create_random_direction(model, "states", "scaled", seed=0, axis=axis) for axis in (0, 1)
    ]
    return model, directions, (torch.randn(23, 3, 8, 8), torch.arange(23) % 4)


def evaluated(plan, name="mlp", metrics=METRICS["loss"], indices=range(GRID.size)):
    model, directions, data = case(name)
    few = tuple(tensor[:11] for tensor in data)
    samples = prepare(data, {"test": few})
    evaluator = Evaluator(model, metrics, samples, plan, standard_error=True, bootstrap=3)
    shard = measure(model, evaluator, directions, GRID, indices)
    return {**shard.values, **shard.beside}


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert found[key].tobytes() == values.tobytes(), key
    assert (
        np.unique(wanted["train_loss" if "train_loss" in wanted else next(iter(wanted))]).size > 3
    )


@pytest.mark.parametrize(
    ("name", "plan", "metrics"),
    [
        *(("mlp", Plan(batch_size=10), metrics) for metrics in METRICS),
        *(("mlp", Plan(batch_size=10, points_at_once=2), metrics) for metrics in METRICS),
        ("resnet", Plan(batch_size=10, fold=True, channels_last=True), "own"),
        ("resnet", Plan(batch_size=10, precision="bf16", fold=True), "loss"),
        ("mlp", Plan(batch_size=10, precision="bf16", points_at_once=2), "loss"),
    ],
    ids=lambda value: value.canonical() if isinstance(value, Plan) else value,
)
def test_values_have_the_bits_of_those_without(stand_in, name, plan, metrics):
    """Batches of 10, 10, 3 (and of the split 10, 1): each shape is recorded once a split."""
    wanted = evaluated(plan, name, METRICS[metrics])
    found = evaluated(Plan(**{**vars(plan), "graph": True}), name, METRICS[metrics])
    same(found, wanted)
    (recorder,) = stand_in
    assert recorder.recorded == 4
    first = 1 if plan.points_at_once > 1 else 2  # groups that are evaluated before
    groups = GRID.size // plan.points_at_once - first
    assert recorder.replayed == 5 * groups


def test_a_single_batch_and_any_part_of_the_grid_have_the_same_bits(stand_in):
    whole = evaluated(Plan(batch_size=23, graph=True))
    part = evaluated(Plan(batch_size=23, graph=True), indices=[8, 3, 5])
    for key, values in part.items():
        assert values.tobytes() == whole[key][[3, 5, 8]].tobytes()


def test_weights_that_lie_elsewhere_are_recorded_anew(stand_in):
    model, _, data = case("mlp")
    evaluator = Evaluator(model, METRICS["loss"], prepare(data), Plan(batch_size=23, graph=True))
    plain = Evaluator(model, METRICS["loss"], prepare(data), Plan(batch_size=23))
    for _ in range(4):
        evaluator(model)
    assert sum(one.recorded for one in stand_in) == 1
    model[1].weight.data = model[1].weight.data * 2
    assert evaluator(model) == plain(model)
    assert sum(one.recorded for one in stand_in) == 2


def test_replays_never_hand_out_the_recorded_tensors(stand_in):
    replays = Replays(torch.device("cpu"))
    first = replays("own", torch.ones(3), lambda given: {"twice": 2 * given})
    second = replays("own", torch.zeros(3), lambda given: pytest.fail("recorded again"))
    assert first["twice"].tolist() == [2, 2, 2]
    assert second["twice"].tolist() == [0, 0, 0]
    replays("own", torch.zeros(2), lambda given: 2 * given)
    assert stand_in[0].recorded == 2


class Waiting(nn.Module):
    """Looks at its numbers, as no CUDA graph lets it."""

    def forward(self, outputs, targets):
        if len(StandIn.made) and StandIn.made[-1].recorded:
            raise RuntimeError("operation not permitted when stream is capturing\nat line 3")
        return outputs.square().mean()


def test_what_cannot_be_recorded_is_evaluated_as_before_and_it_is_said(stand_in, caplog):
    caplog.set_level(logging.INFO)
    metrics = {"waiting": Waiting(), "loss": METRICS["loss"]}
    wanted = evaluated(Plan(batch_size=10), metrics=metrics)

    class Failing(StandIn):
        def record(self, work):
            self.recorded = 1
            try:
                return super().record(work)
            finally:
                self.recorded = 0

    graphs.RECORDERS["cpu"] = Failing
    found = evaluated(Plan(batch_size=10, graph=True), metrics=metrics)
    same(found, wanted)
    told = "not replayed as CUDA graphs: RuntimeError: operation not permitted when stream is captu"
    assert caplog.text.count(told) == 1


def test_a_lack_of_memory_is_no_reason_to_go_on_without(stand_in):
    def work(given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Replays(torch.device("cpu"))("own", torch.ones(1), work)
    with pytest.raises(UnrecordableError, match="ValueError: no"):
        Replays(torch.device("cpu"))("own", torch.ones(1), lambda given: _raise(ValueError("no")))


def _raise(error):
    raise error


class Sparse(nn.Module):
    """Has a buffer that has no place of its own in memory."""

    def __init__(self):
        super().__init__()
        self.layer = mlp()
        self.register_buffer("graph", torch.eye(4).to_sparse())

    def forward(self, inputs):
        return torch.sparse.mm(self.graph, self.layer(inputs).T).T


@pytest.mark.parametrize(
    ("model", "metrics", "reason"),
    [
        (Sparse(), nn.CrossEntropyLoss(), "sparse tensors"),
        (
            nn.Sequential(nn.ReLU(inplace=True), mlp()),
            nn.CrossEntropyLoss(),
            "write to what others",
        ),
        (
            mlp(),
            {"acc": torchmetrics.classification.MulticlassAccuracy(4)},
            "accounts of their own",
        ),
    ],
    ids=["sparse", "writes", "torchmetrics"],
)
def test_what_is_known_beforehand_is_never_recorded(stand_in, model, metrics, reason):
    _, _, data = case("mlp")
    evaluator = Evaluator(model.eval(), metrics, prepare(data), Plan(batch_size=10, graph=True))
    assert reason in evaluator.unrecorded
    values = [evaluator(model) for _ in range(4)]
    assert values[0] == values[3]
    assert stand_in[0].recorded == 0


def test_a_loop_of_ones_own_is_never_recorded(stand_in):
    model, _, data = case("mlp")
    with pytest.raises(InputError, match=r"called as it is, and never recorded. Set graph: false"):
        Evaluator(model, lambda net, loader, cuda: {"a": 1.0}, prepare(data), Plan(graph=True))


def test_a_cpu_has_no_graphs():
    model, _, data = case("mlp")
    with pytest.raises(InputError, match=r"need an NVIDIA GPU, and is for 'cpu'. Set graph: false"):
        Evaluator(model, nn.CrossEntropyLoss(), prepare(data), Plan(graph=True))


class Cuda:
    """What of ``torch.cuda`` a recorder uses; notes in which order."""

    def __init__(self):
        self.said, self.mode = [], 0
        self.here, self.side = self._stream("here"), self._stream("side")

    def _stream(self, name):
        waits = lambda other: self.said.append(f"{name} waits for {other.name}")  # noqa: E731
        return SimpleNamespace(name=name, wait_stream=waits)

    @contextmanager
    def _inside(self, what):
        self.said.append(f"in {what}")
        yield
        self.said.append(f"out of {what}")

    def device(self, device):
        return nullcontext()

    def Stream(self):
        return self.side

    def current_stream(self):
        return self.here

    def stream(self, stream):
        return self._inside(stream.name)

    def get_sync_debug_mode(self):
        return self.mode

    def set_sync_debug_mode(self, mode):
        self.mode = mode

    def CUDAGraph(self):
        replay = lambda: self.said.append("replay")  # noqa: E731
        return SimpleNamespace(replay=replay, pool=lambda: "the pool")

    def graph(self, graph, *, pool, stream, capture_error_mode):
        return self._inside(f"a capture on {stream.name}, pool {pool}, {capture_error_mode}")


def test_a_gpus_recorder_warms_up_on_the_stream_of_the_capture(monkeypatch):
    """The last warm-up refuses to wait; what is captured is not warned about."""
    cuda = Cuda()
    monkeypatch.setattr(torch, "cuda", cuda)
    recorder = graphs.CudaRecorder(torch.device("cuda", 0))
    replay, results = recorder.record(lambda: cuda.said.append(cuda.mode) or "results")
    replay()
    assert results == "results"
    warm = ["side waits for here", "in side", 0, 0, "error", "out of side", "here waits for side"]
    where = "a capture on side, pool None, thread_local"
    assert cuda.said == [*warm, f"in {where}", 0, f"out of {where}", "replay"]
    cuda.said.clear()
    recorder.record(lambda: None)
    assert "in a capture on side, pool the pool, thread_local" in cuda.said


def test_a_gpus_recorder_puts_the_mode_back_where_work_waits(monkeypatch):
    cuda = Cuda()
    monkeypatch.setattr(torch, "cuda", cuda)

    def waits():
        if cuda.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    with pytest.raises(RuntimeError, match="synchronizing"):
        graphs.CudaRecorder(torch.device("cuda", 0)).record(waits)
    assert cuda.mode == 0
    assert not any("capture" in str(one) for one in cuda.said)


class Ahead:
    """Values that are read later; says in which order points were begun and read."""

    points_at_once, runs_ahead = 2, True

    def __init__(self, fails_at=None):
        self.said, self.fails_at = [], fails_at

    def launch(self, model, points, go):
        if self.fails_at == len(self.said):
            raise KeyboardInterrupt
        self.said.append(("begun", len(points)))

        def read():
            self.said.append(("read", len(points)))
            return [{"train_loss": point[0]} for point in points]

        return read


def test_values_are_read_while_the_next_points_are_evaluated():
    model = nn.Linear(2, 1)
    evaluate, grid, recorded = Ahead(), Grid((Axis(0, 1, 5),)), []
    shard = measure(
        model,
        evaluate,
        [create_random_direction(model, seed=0)],
        grid,
        range(5),
        record=lambda point, values: recorded.append((point, values)),
    )
    begun, read = ("begun", 2), ("read", 2)
    assert evaluate.said == [begun, begun, read, ("begun", 1), read, ("read", 1)]
    assert shard.values["train_loss"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [point for point, _ in recorded] == [(0.0,), (0.25,), (0.5,), (0.75,), (1.0,)]


def test_what_was_begun_before_an_interruption_is_kept():
    model, recorded = nn.Linear(2, 1), []
    with pytest.raises(KeyboardInterrupt):
        measure(
            model,
            Ahead(fails_at=3),
            [create_random_direction(model, seed=0)],
            Grid((Axis(0, 1, 6),)),
            range(6),
            record=lambda point, values: recorded.append(point),
        )
    assert [round(5 * point[0]) for point in recorded] == [0, 1, 2, 3]
