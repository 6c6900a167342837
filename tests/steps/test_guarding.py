"""A point that raises, hangs or takes its process with it costs itself, and nothing else."""

import ctypes
import faulthandler
import logging
import math
import os
import signal
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib import LossLandscape, config
from landscape_lib.config import EvaluationSettings
from landscape_lib.core.direction import Direction
from landscape_lib.core.errors import InputError, NoPointError, PointTooSlowError
from landscape_lib.core.failures import Failure, Limits
from landscape_lib.core.grid import Axis, Grid, Refinement
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import merge
from landscape_lib.problems.problem import Problem
from landscape_lib.steps.bench import lay_out
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.landscape import compute
from landscape_lib.steps.verify import chosen, compared
from landscape_lib.utils import watchdog
from landscape_lib.utils.flight import Flight
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.retries import write_retried
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_shard, load_surface, save_shard, save_surface
from landscape_lib.verdict.evidence import Evidence
from landscape_lib.verdict.texture import finite
from landscape_lib.viz.explorer import _evaluated

GRID = Grid((Axis(-1, 1, 3), Axis(0, 3, 4)))
VALUES = {"train_loss_height": 0.0, "standard_error/train_loss_height": math.nan}
BAD = (1.0, 2.0)  # the point at which metrics misbehave
OTHERS = [n for n in range(12) if n != 10]


def problem_of(metric):
    net = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(net.weight)
    return Problem(net, (torch.zeros(4, 2), torch.zeros(4, 1)), metric)


def bench_of(metric, **settings):
    wishes = EvaluationSettings.model_validate(settings)
    return lay_out("own", problem_of(metric), code="", args={}, wishes=wishes)


def work_of(metric, grid=GRID, plan=None, **settings):
    rows = torch.eye(2)[: len(grid.axes)]
    directions = [Direction(("weight",), (row.reshape(1, 2),)) for row in rows]
    return Work(bench_of(metric, **settings), plan or Plan(), directions, grid, Stops())


class Metric:
    """10 x + y, by its own loop; at BAD it does what it is told to."""

    def __init__(self, does):
        self.does, self.seen = does, []

    def __call__(self, net, loader, use_cuda):
        x, y = net.weight.detach().flatten().tolist()
        self.seen.append((x, y))
        if (x, y) == BAD and self.does:
            self.does()
        return {"height": 10 * x + y}


def raises():
    raise ZeroDivisionError("one divided by nothing\nand more")


def sleeps():
    time.sleep(60)


WANTED = 10 * GRID.points()[:, 0] + GRID.points()[:, 1]


def warned(caplog):
    return [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")]


# ----------------------------------------------------------------------------------- raising


def test_stop_ends_there_names_the_point_and_keeps_the_rest(tmp_path):
    metric = Metric(raises)
    with Journal(tmp_path) as journal, pytest.raises(ZeroDivisionError) as raised:
        work_of(metric).evaluate(range(12), "own", journal)
    assert raised.value.__notes__ == ["At the point [1.0, 2.0]."]
    known = Journal(tmp_path)
    assert len(known.read()) == 10
    assert not known.failures
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".jsonl"]


def test_nan_goes_on_tells_the_first_and_tries_again_at_the_next_start(tmp_path, caplog):
    metric = Metric(raises)
    work = work_of(metric, on_error="nan")
    with Journal(tmp_path) as journal:
        shard = work.evaluate(range(12), "own shard 1 of 1", journal)
    values = shard.values["train_loss_height"]
    assert math.isnan(values[10])
    np.testing.assert_array_equal(values[OTHERS], WANTED[OTHERS])
    assert shard.failed.tolist() == [10]
    (told,) = shard.failures
    assert (told["at"], told["kind"]) == ([1.0, 2.0], "ZeroDivisionError")
    assert told["message"] == "one divided by nothing"
    assert told["where"].endswith("in raises")
    assert "test_guarding.py, line" in told["where"]
    first, last = warned(caplog)
    assert first.startswith("The point [1.0, 2.0] failed: ZeroDivisionError: one divided by")
    assert "own shard 1 of 1: 1 of 12 points failed; their values are NaN. The first, at" in last

    metric.does, metric.seen = None, []
    with Journal(tmp_path) as journal:
        whole = work.evaluate(range(12), "own", journal)
        assert journal.failures == {}
    assert Journal(tmp_path).read().keys() == {tuple(p) for p in GRID.points().tolist()}
    assert metric.seen == [BAD]
    np.testing.assert_array_equal(whole.values["train_loss_height"], WANTED)
    assert whole.failed.size == 0
    assert whole.fingerprint == shard.fingerprint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("not a number"), InputError),
        (MemoryError(), MemoryError),
        (RuntimeError("CUDA out of memory"), RuntimeError),
        (RuntimeError("CUDA error: device-side assert triggered"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SystemExit(3), SystemExit),
    ],
    ids=lambda one: repr(one)[:20],
)
def test_what_is_no_points_own_fault_stops_always(error, kind):
    def does():
        raise error

    work = work_of(Metric(does), on_error="nan", plan=Plan(batch_size=1))
    with pytest.raises(kind):
        work.evaluate(range(12), "own")


def test_wrong_keys_and_values_that_are_no_numbers_stop_always():
    def other(net, loader, use_cuda):
        return {"height": 1.0} if net.weight[0, 0] < 1 else {"width": 1.0}

    def text(net, loader, use_cuda):
        return {"height": 1.0 if net.weight[0, 0] < 1 else "high"}

    for metric, message in ((other, "the names must be the same"), (text, "one real number")):
        with pytest.raises(InputError, match=message):
            work_of(metric, on_error="nan").evaluate(range(12), "own")


def test_of_points_at_once_only_the_guilty_one_fails_and_others_keep_their_bits(monkeypatch):
    def metric(outputs, targets):
        return (outputs.sum(1) - 3) ** 2

    plan = Plan(batch_size=4, points_at_once=4)
    grid = Grid((Axis(-1, 1, 3), Axis(0, 3, 3)))
    clean = work_of({"a": metric}, grid, plan).evaluate(range(9), "own")
    work = work_of({"a": metric}, grid, plan, on_error="nan")
    from landscape_lib.core.together import Together

    take = Together.take

    def fails(self, place):
        if self.broken(place):
            raise ArithmeticError
        take(self, place)

    monkeypatch.setattr(
        Together,
        "broken",
        lambda self, place: work.bench.problem.model.weight[0].tolist() == [1.0, 1.5],
        raising=False,
    )
    monkeypatch.setattr(Together, "take", fails)
    found = work.evaluate(range(9), "own")
    assert found.failed.tolist() == [7]
    rest = [n for n in range(9) if n != 7]
    assert (
        found.values["train_loss_a"][rest].tobytes() == clean.values["train_loss_a"][rest].tobytes()
    )


def test_where_every_point_fails_it_is_nan_with_known_keys_and_an_error_without():
    def metric(net, loader, use_cuda):
        raise ArithmeticError("nowhere")

    work = work_of(metric, on_error="nan")
    shard = work.evaluate(range(12), "own", keys=["train_loss_height"])
    assert np.isnan(shard.values["train_loss_height"]).all()
    assert shard.failed.tolist() == list(range(12))
    assert shard.plans == (Plan().canonical(),)
    with pytest.raises(NoPointError, match=r"Not one point .* ArithmeticError: nowhere"):
        work.evaluate(range(12), "own")


# ----------------------------------------------------------------------------------- hanging


def test_a_point_that_takes_too_long_stops_with_what_helps(tmp_path):
    work = work_of(Metric(sleeps), seconds_per_point=0.2)
    message = r"The point \[1\.0, 2\.0\] took longer .* 0\.2 s a point.*on_error: nan"
    with Journal(tmp_path) as journal, pytest.raises(PointTooSlowError, match=message):
        work.evaluate(range(12), "own", journal)
    assert len(Journal(tmp_path).read()) == 10


def test_a_point_that_takes_too_long_fails_and_it_goes_on():
    shard = work_of(Metric(sleeps), seconds_per_point=0.2, on_error="nan").evaluate(
        range(12), "own"
    )
    assert shard.failed.tolist() == [10]
    assert shard.failures[0]["kind"] == "PointTooSlowError"
    assert shard.failures[0]["where"].endswith("in sleeps")
    np.testing.assert_array_equal(shard.values["train_loss_height"][OTHERS], WANTED[OTHERS])


def hangs(library):
    lock = (ctypes.c_char * 64)()
    library.pthread_mutex_lock(lock)
    library.pthread_mutex_lock(lock)


DOES = {
    "leaves": lambda: os._exit(0),
    "crashes": lambda: ctypes.string_at(0),
    "hangs": lambda: hangs(ctypes.CDLL(None)),
    "holds": lambda: hangs(ctypes.PyDLL(None)),  # Python's lock
}


def in_a_child(folder, does, **limits):
    """Evaluate in a process of its own; return how it ended, and what it said."""
    told = folder / "log"
    told.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads and forks: the child does little
        child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, told.read_text() if told.exists() else ""
    try:
        faulthandler.disable()
        watchdog.GRACE_S = 0.1
        logging.getLogger("landscape_lib").addHandler(logging.FileHandler(told))
        work = work_of(Metric(DOES[does]), **limits)
        with Journal(folder / "journal") as journal:
            work.evaluate(range(12), "own", journal)
        os._exit(0)
    finally:
        os._exit(70)


def test_a_point_that_never_comes_back_ends_the_process_and_is_passed_over_next(tmp_path):
    code, told = in_a_child(tmp_path, "hangs", on_error="nan", seconds_per_point=0.3)
    assert code == 1
    assert "Error: The point [1.0, 2.0] took longer" in told
    assert "never came back to Python" in told
    journal = Journal(tmp_path / "journal")
    assert len(journal.read()) == 10
    assert journal.failures[BAD].ended
    metric = Metric(None)
    for limits, again in (
        ({"on_error": "nan", "seconds_per_point": 0.3}, []),  # the same command goes on past it
        ({"on_error": "nan", "seconds_per_point": 9.0}, [BAD]),  # more time: tried again
    ):
        metric.seen = []
        with Journal(tmp_path / "journal") as journal:
            work_of(metric, **limits).evaluate([9, 10], "own", journal)
        assert metric.seen == again


def note(journal_folder, points, trace=""):
    """Leave what a process leaves that died while it evaluated points."""
    with Journal(journal_folder) as journal:
        journal.append((0.0, 0.0), VALUES, Plan().canonical())
    flight = Flight(journal_folder / "0-of-1.flight", 2.0)
    with flight:
        flight.take_off(points)
        left = flight._path.read_bytes()
    flight._path.write_bytes(left)
    if trace:
        flight.trace.write_text(trace)


def test_the_next_start_names_the_point_at_which_a_process_died_and_the_second_time_says_so(
    tmp_path, caplog
):
    metric = Metric(raises)
    for deaths, said in (
        (1, "An earlier process ended without a word while it evaluated the point [1.0, 2.0]"),
        (2, "The process died 2 times at [1.0, 2.0]."),
    ):
        caplog.clear()
        note(tmp_path, [BAD])
        with Journal(tmp_path) as journal, pytest.raises(ZeroDivisionError):
            work_of(metric).evaluate([10], "own", journal)
        assert any(said in line for line in warned(caplog))
        assert Journal(tmp_path).read() == {(0.0, 0.0): pytest.approx(VALUES, nan_ok=True)}
        counted = Journal(tmp_path)
        counted.read()
        assert counted.deaths == {BAD: deaths}
    note(tmp_path, [BAD])
    metric.seen = []
    with Journal(tmp_path) as journal:
        shard = work_of(metric, on_error="nan").evaluate([9, 10], "own", journal)
    assert metric.seen == [(1.0, 1.0)]
    assert shard.failures[0]["message"] == "the process died 3 times"
    metric.does = None
    with Journal(tmp_path) as journal:  # whoever says 'stop' wants it tried
        shard = work_of(metric).evaluate([9, 10], "own", journal)
    assert shard.values["train_loss_height"].tolist() == [11.0, 12.0]


def test_where_python_itself_was_held_the_trace_is_what_is_known(tmp_path, caplog):
    note(tmp_path, [BAD], "Timeout (0:00:02)!\n  own.py line 3 in holds")
    work = work_of(Metric(raises), on_error="nan", seconds_per_point=2.0)
    with Journal(tmp_path) as journal:
        shard = work.evaluate([9, 10], "own", journal)
    assert "own.py line 3 in holds" in warned(caplog)[0]
    assert shard.failures[0]["kind"] == "PointTooSlowError"
    assert shard.failures[0]["ended"]


def test_of_points_at_once_in_which_a_process_died_each_is_evaluated_by_itself(tmp_path):
    def metric(outputs, targets):
        return outputs.sum(1)

    plan = Plan(batch_size=4, points_at_once=4)
    work = work_of({"a": metric}, plan=plan)
    points = [(-1.0, 0.0), (-1.0, 1.0)]
    note(tmp_path, points)
    flown = []
    take_off = Flight.take_off

    def seen(self, points):
        flown.append(list(points))
        take_off(self, points)

    with pytest.MonkeyPatch.context() as patch, Journal(tmp_path) as journal:
        patch.setattr(Flight, "take_off", seen)
        work.evaluate([n for n in range(12) if n != 4], "own", journal)
    assert flown[:4] == [[tuple(point)] for point in GRID.points(range(4)).tolist()]
    assert len(flown[4]) == 4


def test_a_process_that_ends_itself_or_crashes_is_known_by_the_next(tmp_path):
    assert in_a_child(tmp_path, "leaves", on_error="nan") == (0, "")
    code, told = in_a_child(tmp_path, "crashes", on_error="nan")
    assert code == -signal.SIGSEGV
    assert "An earlier process ended without a word" in told
    code, told = in_a_child(tmp_path, "leaves", on_error="nan")
    assert code == 0
    assert "The process died 2 times at [1.0, 2.0]." in told
    assert "1 of 12 points failed" in told
    assert not list((tmp_path / "journal").glob("*.flight"))


def test_code_that_holds_python_itself_is_ended_and_passed_over_next(tmp_path):
    limits = {"on_error": "nan", "seconds_per_point": 0.2}
    assert in_a_child(tmp_path, "holds", **limits) == (1, "")
    code, told = in_a_child(tmp_path, "holds", **limits)
    assert code == 0
    assert "It took longer than 0.2 s: Timeout" in told
    assert "in hangs" in told
    assert "1 of 12 points failed" in told


# ------------------------------------------------------------------------------- files, steps


def failed_surface():
    shard = work_of(Metric(raises), on_error="nan").evaluate(range(12), "own")
    return merge([shard])


def test_failed_points_go_through_files_and_merging(tmp_path):
    work = work_of(Metric(raises), on_error="nan")
    parts = [work.evaluate(part, "own") for part in (range(7), range(7, 12))]
    for number, part in enumerate(parts):
        save_shard(tmp_path / f"{number}.h5", part)
    read = [load_shard(tmp_path / f"{number}.h5") for number in range(2)]
    assert [part.failed.tolist() for part in read] == [[], [10]]
    surface = merge(read)
    assert surface.failed is not None
    assert np.argwhere(surface.failed).tolist() == [[2, 2]]
    save_surface(tmp_path / "surface.h5", surface)
    again = load_surface(tmp_path / "surface.h5")
    np.testing.assert_array_equal(again.failed, surface.failed)
    assert again.attributes["failed_points"] == 1
    assert again.failures[0]["kind"] == "ZeroDivisionError"

    clean = merge([work_of(Metric(None)).evaluate(range(12), "own")])
    assert clean.failed is None
    assert not {"failures", "failed_points"} & clean.attributes.keys()


def test_a_point_that_has_values_elsewhere_has_them():
    work = work_of(Metric(raises), on_error="nan")
    failed = work.evaluate(range(12), "own")
    whole = work_of(Metric(None)).evaluate(range(12), "own")
    for parts in ([failed, whole], [whole, failed]):
        surface = merge(parts)
        assert surface.failed is None
        np.testing.assert_array_equal(surface["train_loss_height"].ravel(), WANTED)


def test_verify_leaves_failed_points_out_and_verdict_and_explorer_tell_of_them():
    metric = Metric(raises)
    work = work_of(metric, on_error="nan")
    surface = merge([work.evaluate(range(12), "own")])
    assert chosen(surface, "all") == OTHERS
    metric.does = None
    assert compared(work, surface, chosen(surface, "all")).agrees
    check = finite(Evidence("own", surface, {}))
    assert "1 of 12 points failed; their values are NaN. The first, at [1.0, 2.0]" in check.found
    assert "on_error: stop" in check.do
    assert _evaluated(surface)[0].startswith("1 of 12 points failed")
    nothing = replace(surface, failed=np.ones((3, 4), dtype=bool))
    with pytest.raises(InputError, match="nothing to verify"):
        chosen(nothing, "all")


def test_an_adaptive_grid_comes_to_an_end_beside_points_that_fail():
    def metric(net, loader, use_cuda):
        x, y = net.weight.detach().flatten().tolist()
        if x > 0.7 and abs(y) < 0.3:
            raise ArithmeticError("in here nothing can be evaluated")
        return {"height": x * x + y}

    grid = Grid((Axis(-1, 1, 17), Axis(-1, 1, 13)))
    work = work_of(metric, grid, on_error="nan")
    surface = compute(
        lambda: bench_of(metric, on_error="nan"),
        EvaluationSettings.model_validate({"on_error": "nan", "plan": "plain"}),
        work.directions,
        grid,
        None,
        Refinement(0.02),
    )
    assert surface.failed is not None
    x, y = np.meshgrid(*(axis.steps() for axis in grid.axes), indexing="ij")
    inside = (x > 0.7) & (np.abs(y) < 0.3)
    assert surface.failed.any()
    assert not (surface.failed & ~inside).any()
    assert np.isnan(surface["train_loss_height"][surface.failed]).all()
    assert np.isfinite(surface["train_loss_height"][~inside & surface.computed]).all()


def test_the_library_goes_on_and_the_same_call_tries_again(tmp_path):
    metric = Metric(raises)
    problem = problem_of(metric)

    def landscape():
        return LossLandscape(
            problem.model, problem.data, metric, surf_file=str(tmp_path / "own.h5")
        )

    ranges = ((-1, 1, 3), (0, 3, 4))
    metric.does = None
    with pytest.raises(InputError, match=r"on_error is 'skip'; wanted 'stop', 'nan'"):
        landscape().compute_2d(*ranges, on_error="skip")
    with pytest.raises(InputError, match=r"seconds_per_point is 0; wanted a number above 0"):
        landscape().compute_1d(seconds_per_point=0)

    trouble, seen = tmp_path / "trouble", tmp_path / "seen"

    def sometimes(net, loader, use_cuda):
        x, y = net.weight.detach().flatten().tolist()
        with seen.open("a") as file:
            file.write("x")
        if trouble.exists() and x * x + y * y > 0.04:
            raise ZeroDivisionError
        return {"height": 10 * x + y}

    metric = sometimes
    nn.init.constant_(problem.model.weight, 0.1)
    trouble.touch()
    found = landscape()
    losses = found.compute_2d(*ranges, on_error="nan")["losses"]["height"]
    failed = np.isnan(losses)
    assert 0 < failed.sum() < 12
    assert found.surface is not None
    np.testing.assert_array_equal(found.surface.failed, failed)
    assert load_surface(tmp_path / "own.h5").failed is not None
    trouble.unlink()
    before = len(seen.read_text())
    again = landscape().compute_2d(*ranges, on_error="nan")["losses"]["height"]
    assert len(seen.read_text()) - before == failed.sum()
    assert np.isfinite(again).all()
    np.testing.assert_array_equal(again[~failed], losses[~failed])
    assert load_surface(tmp_path / "own.h5").failed is None


def test_of_shards_those_with_failed_points_are_due_again_and_no_others(run):
    def due(on_error):
        found = Dependencies(configured(run, on_error))
        return [found.shard("own", f"shards/{number}-of-2.h5") for number in range(2)]

    before = due("nan")
    assert due("stop") == before  # neither decides a value
    experiment = configured(run, "nan").run("own")
    write_retried(experiment.path("shards/1-of-2.h5"), "nan", 3)
    assert due("nan") == before
    assert due("stop")[0] == before[0]
    assert due("stop")[1] != before[1]
    assert experiment.settings("evaluation") == run().settings("evaluation")


def configured(run, on_error):
    run(evaluation={"on_error": on_error, "seconds_per_point": 5})
    return config.load("config.yaml")


def test_a_failure_holds_until_somebody_asks_for_it():
    slow = Failure("PointTooSlowError", "", ended=True, seconds=3.0)
    died = Failure("ProcessDied", "", ended=True)
    assert slow.holds(Limits("nan", 3.0))
    assert not slow.holds(Limits("nan", 3.1))
    assert not slow.holds(Limits("nan"))
    assert died.holds(Limits("nan"))
    assert not died.holds(Limits("stop"))
    assert not Failure("ValueError", "").holds(Limits("nan"))
