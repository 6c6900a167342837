"""A shard is evaluated on what was probed, along what was drawn for it."""

import json
import platform
import time

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib.config import EvaluationSettings
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import DisagreementError, InputError
from landscape_lib.core.evaluator import Evaluator
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.together import Together
from landscape_lib.problems.problem import Problem
from landscape_lib.steps.bench import lay_out
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import Work, evaluate_shard
from landscape_lib.steps.probe import probe
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.signals import Stops, stops
from landscape_lib.utils.storage import load_shard


def evaluated(run):
    probe(run, run.path("probe.json"))
    with stops() as listener:
        evaluate_shard(run, 0, 1, run.path("shards", "0-of-1.h5"), listener)
    return load_shard(run.path("shards", "0-of-1.h5"))


def test_directions_that_were_made_for_other_weights_are_refused_trap_14(run):
    here = run()
    make_directions(here, here.path("directions.h5"))
    assert evaluated(here).indices.tolist() == [0, 1, 2, 3, 4, 5]
    elsewhere = run(args={"shift": 0.5})
    with pytest.raises(
        InputError, match=r"directions\.h5: these directions were made for other weights"
    ):
        evaluated(elsewhere)
    make_directions(elsewhere, elsewhere.path("directions.h5"))
    evaluated(elsewhere)


class Lacking:
    """Stands in for a device that holds so many samples a batch and no more."""

    def __init__(self, most, error):
        self.most, self.error = most, error
        self.sizes = []

    def __call__(self, outputs, targets):
        self.sizes.append(len(targets))
        if len(targets) > self.most:
            raise self.error
        return outputs.sum(1)


def bench_of(metric, count=20, **settings):
    torch.manual_seed(0)
    data = (torch.randn(count, 2), torch.arange(count) % 3)
    problem = Problem(nn.Linear(2, 3), data, {"sum": metric})
    return lay_out("own", problem, code="", args={}, wishes=EvaluationSettings(**settings))


GRID = Grid((Axis(-1, 1, 3),))
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    MemoryError(),
]


def work_of(metric, batch_size, **settings):
    bench = bench_of(metric, **settings)
    directions = [create_random_direction(bench.problem.model, seed=0)]
    return Work(bench, Plan(batch_size=batch_size), directions, GRID, Stops())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("from_the_start", [True, False])
def test_where_memory_runs_out_half_the_batch_goes_on_and_is_recorded(
    error, from_the_start, tmp_path, caplog
):
    wanted = work_of(Lacking(99, error), 16).evaluate(range(3), "own")
    metric = Lacking(5 if from_the_start else 99, error)
    work = work_of(metric, 16)
    with Journal(tmp_path) as journal:
        if not from_the_start:
            work.evaluate([0], "own", journal)
            metric.most = 5
        shard = work.evaluate(range(3), "own", journal)
    found = shard.values["train_loss_sum"]
    np.testing.assert_allclose(found, wanted.values["train_loss_sum"], rtol=1e-6)
    plans = [Plan(batch_size=4)] if from_the_start else [Plan(batch_size=16), Plan(batch_size=4)]
    assert shard.plans == tuple(sorted(plan.canonical() for plan in plans))
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warned == [  # once found, it is kept
        "Out of memory with batches of 16; going on with 8.",
        "Out of memory with batches of 8; going on with 4.",
    ]
    assert shard.fingerprint == work.fingerprint


def test_a_point_that_is_late_while_a_smaller_batch_is_laid_out_costs_itself_alone():
    metric = Lacking(99, MemoryError())

    def lacking_then_late(outputs, targets):
        calls = len(metric.sizes)
        metric.most = 15 if calls == 3 else 99  # one to settle, two batches of the first point
        if calls == 4:  # the second point, for which all is laid out anew
            metric.sizes.append(0)
            time.sleep(60)
        return metric(outputs, targets)

    wanted = work_of(Lacking(99, MemoryError()), 16).evaluate(range(3), "own")
    work = work_of(lacking_then_late, 16, on_error="nan", seconds_per_point=1.0)
    shard = work.evaluate(range(3), "own")
    assert [failure["kind"] for failure in shard.failures] == ["PointTooSlowError"]
    assert shard.failed.tolist() == [1]
    np.testing.assert_allclose(
        shard.values["train_loss_sum"][[0, 2]], wanted.values["train_loss_sum"][[0, 2]], rtol=1e-6
    )


def test_a_point_that_is_read_later_is_recorded_with_its_own_plan(monkeypatch, tmp_path):
    """As on a GPU: the second point runs out of memory before the first is read."""
    monkeypatch.setattr(Evaluator, "runs_ahead", True)
    metric = Lacking(99, MemoryError())

    def tightening(outputs, targets):
        if len(metric.sizes) == 3:  # one to settle, two batches of the first point
            metric.most = 8
        return metric(outputs, targets)

    wanted = work_of(Lacking(99, MemoryError()), 16).evaluate(range(3), "own")
    with Journal(tmp_path) as journal:
        shard = work_of(tightening, 16).evaluate(range(3), "own", journal)
        told = [journal.plans[point] for point in [(-1.0,), (0.0,), (1.0,)]]
    plans = [json.loads(plan)["batch_size"] for plan in told]
    assert plans == [16, 8, 8]
    np.testing.assert_allclose(
        shard.values["train_loss_sum"], wanted.values["train_loss_sum"], rtol=1e-6
    )


def test_where_memory_runs_out_fewer_points_at_once_come_before_smaller_batches(
    monkeypatch, caplog
):
    def values(plan):
        bench = bench_of(lambda outputs, targets: outputs.sum(1))
        directions = [create_random_direction(bench.problem.model, seed=0)]
        return Work(bench, plan, directions, GRID, Stops()).evaluate(range(3), "own")

    wanted, take = values(Plan(batch_size=8)), Together.take

    def lacking(self, place):
        if self.count > 1:
            raise MemoryError
        take(self, place)

    monkeypatch.setattr(Together, "take", lacking)
    found = values(Plan(batch_size=8, points_at_once=4))
    np.testing.assert_allclose(
        found.values["train_loss_sum"], wanted.values["train_loss_sum"], rtol=1e-6
    )
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "Out of memory with 4 points at once; going on with 2.",
        "Out of memory with 2 points at once; going on with 1.",
    ]
    assert found.plans == (Plan(batch_size=8).canonical(),)


def test_what_does_not_fit_one_by_one_or_is_no_lack_of_memory_is_raised():
    broken = RuntimeError("CUDA error: broken")
    for error, most, kind in (
        (MemoryError("of one"), 0, MemoryError),
        (broken, 5, RuntimeError),
        (RuntimeError("another"), 5, InputError),  # the model's own, at its first batch
    ):
        with pytest.raises(kind, match=str(error)) as raised:
            work_of(Lacking(most, error), 8).evaluate(range(3), "own")
        assert error in (raised.value, raised.value.__cause__)


def test_a_plan_is_checked_far_from_the_centre_on_a_hundredth_of_the_shards_samples(caplog):
    seen = Lacking(1000, None)
    bench = bench_of(seen, count=1000)
    directions = [create_random_direction(bench.problem.model, seed=0)]
    Work(bench, Plan(batch_size=100), directions, GRID, Stops()).evaluate(range(3), "own")
    assert seen.sizes[-5:] == [100, 30, 30, 30, 30]  # two plans, each tried out and evaluated
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_plan_that_is_far_from_the_plain_model_is_told(caplog):
    bench = bench_of(lambda outputs, targets: torch.tensor(float(len(targets))), count=20)
    directions = [create_random_direction(bench.problem.model, seed=0)]
    grid = Grid((Axis(-1, 2, 4),))
    Work(bench, Plan(batch_size=10), directions, grid, Stops()).evaluate(range(4), "own")
    assert "At [2.0], train_loss_sum differs by 5.0e-01 between this plan and the" in caplog.text


@pytest.mark.parametrize("factor", [1.0, 1 + 2**-50])
def test_what_another_host_found_of_the_same_points_meanwhile_is_compared(tmp_path, factor):
    """Equal values cost time; of others both are named, before a shard is written."""
    alone = work_of(lambda outputs, targets: outputs.sum(1), 20).evaluate(range(3), "alone")
    plan = Plan(batch_size=20).canonical()
    with Journal(tmp_path) as mine, Journal(tmp_path) as other:

        def meanwhile(outputs, targets):
            if not other.plans:
                for place, point in enumerate(GRID.points().tolist()):
                    columns = {**alone.values, **alone.beside}
                    values = {key: factor * float(v[place]) for key, v in columns.items()}
                    other.append(tuple(point), values, plan)
            return outputs.sum(1)

        work = work_of(meanwhile, 20)
        if factor == 1:
            shard = work.evaluate(range(3), "shard", mine)
            for key, values in alone.values.items():
                assert shard.values[key].tobytes() == values.tobytes()
            assert shard.attributes == {"host": platform.node()}
        else:
            with pytest.raises(DisagreementError, match=r"3 points have different values by two"):
                work.evaluate(range(3), "shard", mine)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_data_that_take_long_are_read_by_the_probe_and_by_no_shard(run, monkeypatch, tmp_path):
    from landscape_lib.steps import bench as bench_module

    monkeypatch.setattr(bench_module, "WORTH_KEEPING_S", 0.0)
    here = run()
    make_directions(here, here.path("directions.h5"))
    wanted = evaluated(here)
    assert len(list(here.path("journal").glob("samples-*.pt"))) == 1
    for path in here.path("journal").rglob("*.jsonl"):
        path.unlink()
    monkeypatch.setattr(bench_module, "prepare", lambda *_: pytest.fail("read again"))
    with stops() as listener:
        evaluate_shard(here, 0, 1, here.path("again.h5"), listener)
    again = load_shard(here.path("again.h5"))
    assert again.fingerprint == wanted.fingerprint
    for key, values in wanted.values.items():
        assert again.values[key].tobytes() == values.tobytes()


def test_a_range_extended_on_the_same_spacing_keeps_its_points(run):
    """A curve of 51 points on [-1, 1]; -2..2 in 101 and -1.5..1.5 in 151 hold all of them."""
    here = run(grid={"x": [-1, 1, 51]})
    make_directions(here, here.path("directions.h5"))
    total = [0]
    for x in ([-1, 1, 51], [-2, 2, 101], [-1.5, 1.5, 151], [-1.5, 1.5, 76]):
        shard = evaluated(run(grid={"x": x}))
        assert shard.indices.tolist() == list(range(x[2]))
        journals = here.path("journal").rglob("*.jsonl")
        total.append(sum(len(path.read_bytes().splitlines()) for path in journals))
    # of the 151 points at 0.02, those at 0.04 are known from -2..2; of -1.5..1.5 in 76, at 0.04
    # but half a step beside -1..1 in 51, all are known from the 151
    assert np.diff(total).tolist() == [51, 50, 151 - 75, 0]
