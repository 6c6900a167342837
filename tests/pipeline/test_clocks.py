"""The clock is set while a run is at work, and files carry dates of tomorrow: nothing is lost."""

import os
import re
import signal
import time
from dataclasses import dataclass

import pytest

from tests.pipeline.conftest import Project
from tests.pipeline.test_interrupt import (
    SIZE,
    SURFACE,
    finish_and_check,
    jobs_of,
    wait_for,
)

HOUR = 3600.0
CLOCK = '''\
"""Python imports this by itself: every clock that can be set shows what ``clock.txt`` adds."""

import time

_time, _time_ns = time.time, time.time_ns


def _ahead():
    try:
        return float(open(@PATH@).read() or 0)
    except FileNotFoundError:
        return 0.0


time.time = lambda: _time() + _ahead()
time.time_ns = lambda: _time_ns() + int(_ahead() * 1e9)
'''


@dataclass
class Clocked(Project):
    """A project where ``clock.txt`` says how many seconds its programs' clock is ahead."""

    @property
    def environment(self) -> dict[str, str]:
        plain = super().environment
        return {**plain, "PYTHONPATH": f"{self.folder / 'clock'}:{plain['PYTHONPATH']}"}


@pytest.fixture
def clocked(probed) -> Clocked:
    (probed.folder / "clock").mkdir()
    program = CLOCK.replace("@PATH@", repr(str(probed.folder / "clock.txt")))
    (probed.folder / "clock/sitecustomize.py").write_text(program)
    return Clocked(probed.folder, probed.library)


def set_clock(project, seconds):
    whole = project.folder / "clock.new"
    whole.write_text(str(seconds))
    whole.replace(project.folder / "clock.txt")


def date_everything(project, ahead):
    """Give every file of the folder another date, as a machine whose clock is wrong would."""
    now = time.time() + ahead
    for path in project.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (now, now))


def test_a_clock_that_jumps_by_hours_loses_nothing_and_evaluates_nothing_twice(clocked, finished):
    """Forwards while a shard runs, backwards before the next, with dates of the day after."""
    clocked.hold(4)
    process = clocked.start(SURFACE, start_new_session=True)
    wait_for(lambda: clocked.points() == 4)
    set_clock(clocked, 6 * HOUR)
    clocked.hold(8)
    wait_for(lambda: clocked.points() == 8)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: not jobs_of(clocked))
    assert len(clocked.journal("one")) == 7
    date_everything(clocked, 24 * HOUR)
    set_clock(clocked, -7 * HOUR)
    clocked.release()
    finish_and_check(clocked, 1, finished)
    said = clocked.log("one/evaluate_shard/0-of-1.log")
    (left,) = re.findall(rf"{SIZE - 7} of {SIZE - 7} points, .* (\S+) left", said)
    assert left == "0:00"
    assert "-" not in re.findall(r"points, (.*) samples/s", said)[0]
