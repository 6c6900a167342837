"""A few cases of every fault, the same each time; ``python -m tests.faults`` runs thousands."""

import signal

import pytest
import torch

from landscape_lib.utils.journal import Journal
from tests.faults import kills, soak
from tests.faults.campaign import FAULTS, run, table
from tests.faults.pipeline import Pipeline
from tests.faults.soak import Sample

FEW = {"damage": 24, "crash": 12, "nonsense": 150}


def test_every_fault_is_survived_or_refused():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # crashes are tried in forks, which other threads do not survive
    try:
        tallies = run(7, lambda name, tally: tally.cases < FEW[name])
    finally:
        torch.set_num_threads(before)
    assert [told for tally in tallies.values() for told in tally.broken] == []
    assert tallies["damage"].outcomes["refused by name"] >= 5
    assert sum(n for what, n in tallies["crash"].outcomes.items() if "resumed" in what) >= 4
    assert set(tallies) == set(FAULTS)
    assert table(tallies).count("\n") == 1 + len(FAULTS)


def test_a_case_that_breaks_is_told_with_its_number(monkeypatch):
    def broken(draw, folder, truth):
        assert draw.random() < 0, "the surface differs"

    monkeypatch.setitem(FAULTS, "damage", (broken, "never"))
    tallies = run(0, lambda name, tally: name == "damage" and tally.cases < 2)
    assert [told.partition(": ")[0] for told in tallies["damage"].broken] == [
        "damage 0",
        "damage 1",
    ]
    assert "| damage | never | 2 | 0 |" in table(tallies)


@pytest.mark.parametrize("minutes", ["x", ""])
def test_the_campaign_refuses_what_is_no_time(minutes, capsys):
    from tests.faults.__main__ import main

    with pytest.raises(SystemExit):
        main(["--minutes", minutes])
    assert "--minutes" in capsys.readouterr().err


def test_a_few_kills_of_the_real_pipeline_lose_the_points_in_flight_and_nothing_else():
    """``python -m tests.faults kills`` sends hundreds, also while pictures are drawn."""
    grid = {"x": [-1, 1, 4], "y": [0, 1.5, 3], "shards": 2}
    tally = kills.campaign(3, 1, grid=grid, targets=["results/own/surface.h5"])
    assert tally.broken == []
    assert len(tally.kills) == 3
    hit = sum(len(kill.hit) for kill in tally.kills)
    assert f"3 kills of {hit} processes in {tally.rounds} rounds" in kills.table(tally)


def test_a_point_that_was_finished_and_came_again_is_told(tmp_path):
    """The law of the kills can fail: two processes evaluated a point, and none of them was hit."""
    pipeline = Pipeline.new(tmp_path / "own", {"x": [0, 1, 2]}, 0)
    with Journal(pipeline.folder / "results/own/journal/a") as journal:
        for step in (0.0, 1.0):
            journal.append((step,), {"a": step}, "")
    log = pipeline.folder / "evaluations.txt"
    log.write_text("7-1 0x0 0x0\n7-1 0x1 0x0\n")
    assert kills.lost(pipeline, 2, []) == (0, [])
    log.write_text("7-1 0x0 0x0\n7-1 0x1 0x0\n8-2 0x1 0x0\n")
    again, told = kills.lost(pipeline, 2, [])
    assert (again, told) == (1, ["process 7-1 had finished 0x1 0x0, which came again"])
    hit = kills.Kill(signal.SIGKILL, "one job", frozenset({"7-1"}), frozenset())
    assert kills.lost(pipeline, 2, [hit]) == (1, [])  # it was in flight
    log.write_text("7-1 0x0 0x0\n7-1 0x1 0x0\n8-2 0x0 0x0\n")
    assert kills.lost(pipeline, 2, [hit])[1] == [
        "process 7-1 had finished 0x0 0x0, which came again"
    ]
    with Journal(pipeline.folder / "results/own/journal/a") as journal:
        journal.append((1.0,), {"a": 1.0}, "")
    assert "{(1.0,): 2}" in kills.lost(pipeline, 2, [hit])[1][-1]


def test_growth_from_the_first_third_to_the_last_is_told():
    def samples(memory, files):
        return [Sample(n, memory(n), 100.0, files(n), n, n / 10) for n in range(30)]

    assert soak.growth(samples(lambda n: 500.0, lambda n: 6)) == []
    (told,) = soak.growth(samples(lambda n: 500.0 + 10 * n, lambda n: 6))
    assert told == "memory_mb grew from 590.0 to 790.0"
    (told,) = soak.growth(samples(lambda n: 500.0, lambda n: 6 + n))
    assert told == "open files of a shard grew from 15 to 35"
