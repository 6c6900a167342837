"""The simulation of runs on many GPUs: where the answer is known, it gives it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulation import Costs, Machines, clock, main, often, play, typical

FREE = Costs(
    **dict.fromkeys(
        ("once", "once_shard", "dispatch", "start", "read", "close", "merge", "merge_shard"), 0.0
    ),
    spread=0.0,
    requeue=0.0,
)
PAID = Costs(spread=0.0)


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 8))
def test_points_that_cost_the_same_take_as_long_as_the_fullest_gpu_has_to_work(
    points, shards, gpus
):
    """Free but for their points, with no more shards than GPUs, the largest shard decides."""
    shards = min(shards, points, gpus)
    played = play(points, shards, FREE, Machines(gpus, gpus))
    assert played.wall == pytest.approx(math.ceil(points / shards))
    assert (played.lost, played.deaths) == (0, 0)
    assert played.useful == pytest.approx(points / (played.wall * gpus))


def test_on_one_gpu_everything_comes_one_after_the_other():
    costs = Costs(spread=0.0, read=0.01, merge_shard=0.5)
    played = play(20, 4, costs, Machines())
    each = costs.dispatch + costs.start + 5 * costs.point + costs.close
    read = costs.read * (0 + 5 + 10 + 15)
    around = costs.once + 4 * costs.once_shard + costs.merge + 4 * costs.merge_shard
    assert played.wall == pytest.approx(around + 4 * each + read)


def test_starts_wait_for_a_core_and_jobs_for_the_scheduler():
    slow_starts = play(8, 8, Costs(spread=0.0, start=10.0), Machines(gpus=8, cores=2))
    quick = play(8, 8, Costs(spread=0.0, start=10.0), Machines(gpus=8, cores=8))
    assert slow_starts.wall > quick.wall + 25  # four starts after each other, not one
    busy = play(8, 8, Costs(spread=0.0, dispatch=100.0), Machines(gpus=8, cores=8))
    assert busy.wall > 800


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_deaths_cost_time_and_every_point_is_still_evaluated(seed, gpus):
    costs = Costs(spread=0.3, failures=60.0)
    died = play(200, 10, costs, Machines(gpus, gpus), seed)
    kept = died.useful * died.wall * gpus
    assert kept == pytest.approx(200 * costs.point, rel=0.2)  # as many durations as points
    assert died.lost > 0 or died.deaths == 0
    assert died.wall * gpus >= kept + died.lost


def test_a_death_costs_its_start_and_half_a_point_on_average():
    """The point in flight dies at an even moment; starts are lost, points before it never."""
    costs = Costs(spread=0.0, point=10.0, start=2.0, close=0.0, failures=20.0)
    plays = often(200, 1, costs, Machines(), times=60)
    deaths = sum(played.deaths for played in plays)
    lost = sum(played.lost for played in plays)
    assert deaths > 300
    assert lost / deaths == pytest.approx(2 + 5, rel=0.1)


def test_more_flushes_than_the_file_system_has_time_for_slow_every_point():
    calm = play(400, 40, Costs(spread=0.0, sync=0.01), Machines(40, 40))
    drowned = play(400, 40, Costs(spread=0.0, sync=0.1), Machines(40, 40))
    assert drowned.wall - calm.wall == pytest.approx(10 * 3)  # 40 x 0.1 s in each second


def test_durations_have_the_mean_and_the_spread_that_are_asked_for():
    walls = [
        p.wall for p in often(1, 1, Costs(**{**FREE.__dict__, "spread": 0.6}), Machines(), 4000)
    ]
    mean = sum(walls) / len(walls)
    spread = math.sqrt(sum((wall - mean) ** 2 for wall in walls) / len(walls))
    assert mean == pytest.approx(1, rel=0.05)
    assert spread == pytest.approx(0.6, rel=0.15)


def test_the_same_seed_plays_the_same_run():
    costs = Costs(failures=30.0)
    assert play(50, 5, costs, Machines(2, 2), 7) == play(50, 5, costs, Machines(2, 2), 7)
    assert play(50, 5, costs, Machines(2, 2), 7) != play(50, 5, costs, Machines(2, 2), 8)
    assert typical([play(50, 5, PAID, Machines())]) == play(50, 5, PAID, Machines())


def test_the_command_tells_what_to_expect(capsys):
    words = ["--points", "60", "--gpus", "1", "3", "--minutes", "0.5", "--failures", "1"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "60 points" in told
    assert "failures 1" in told
    assert len([line for line in told.splitlines() if line.startswith("| ")]) == 4


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (59, "59 s"), (601, "10 min"), (3 * 3600 + 300, "3:05 h")],
)
def test_durations_are_told_as_people_say_them(seconds, told):
    assert clock(seconds) == told
