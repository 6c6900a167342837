"""Progress says how far, how fast, and how long yet."""

import logging

import pytest

from landscape_lib.utils.progress import Progress, clock


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (7, "0:07"), (59.6, "1:00"), (750, "12:30"), (3900, "1:05:00")],
)
def test_a_duration_is_shown_as_people_read_it(seconds, shown):
    assert clock(seconds) == shown


def test_the_last_point_is_always_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    progress = Progress("digits shard 2 of 4", 2, 400)
    progress.step()
    progress.step()
    progress.close()
    assert "digits shard 2 of 4: 2 of 2 points" in caplog.text
    assert "samples/s, 0:00 left" in caplog.text


def test_nothing_to_do_is_no_error():
    Progress("nothing", 0, 0).close()
