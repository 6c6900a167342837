"""A few cases of every fault, the same each time; ``python -m tests.faults`` runs thousands."""

import pytest
import torch

from tests.faults.campaign import FAULTS, run, table

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
