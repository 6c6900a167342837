"""A few failing writes and full file systems; ``python -m tests.faults disk`` tries them all."""

import pytest
import torch

from tests.faults import disk


def test_a_write_that_fails_is_said_and_costs_nothing_that_was_finished():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # writes fail in forks, which other threads do not survive
    try:
        steps = {"shards/0-of-2.h5": 2, "surface.h5": 1, "ParaView": 1, "training": 1}
        tallies = disk.at_every_write(3, steps)
    finally:
        torch.set_num_threads(before)
    assert [told for tally in tallies.values() for told in tally.broken] == []
    assert sum(tally.outcomes["refused, resumed"] for tally in tallies.values()) == 5


def test_real_file_systems_that_are_full_or_read_only_are_survived():
    if reason := disk.why_not_mounted():
        pytest.skip(f"{reason}; as root: python -m tests.faults disk --seed 0")
    tallies = disk.mounted(3, 1)
    assert [told for tally in tallies.values() for told in tally.broken] == []
    assert len(tallies) == 5
