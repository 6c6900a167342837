"""A stop ends the work at once, but never in the middle of a line."""

import os
import signal
import time

import pytest

from landscape_lib.utils.signals import STOPS, Stopped, exit_code, stops, within
from landscape_lib.utils.watchdog import Watchdog


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_ends_the_work_and_the_old_handlers_come_back(number):
    before = [signal.getsignal(each) for each in STOPS]
    with pytest.raises(Stopped, match=f"stopped by {number.name}") as stopped, stops():
        os.kill(os.getpid(), number)
    assert stopped.value.number == number
    assert [signal.getsignal(each) for each in STOPS] == before


def test_a_shield_holds_a_signal_back_until_the_line_is_written():
    written = []
    with pytest.raises(Stopped), stops() as listener, listener.shield():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        written.append("line")
    assert written == ["line"]


def test_a_stop_that_the_users_code_has_swallowed_is_not_forgotten():
    with stops() as listener:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:
            pass
        with pytest.raises(Stopped, match="SIGINT"):
            listener.check()


def test_no_except_exception_catches_a_stop():
    assert not issubclass(Stopped, Exception)
    with stops() as listener:
        listener.check()


def test_the_exit_code_is_128_and_the_signal():
    assert exit_code(signal.SIGTERM) == 143
    assert exit_code(signal.SIGINT) == 130


def test_a_signal_that_was_ignored_stays_ignored_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stops() as listener:
            os.kill(os.getpid(), signal.SIGHUP)
            listener.check()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_does_not_break_the_clean_up_of_the_first():
    cleaned = []
    with pytest.raises(Stopped, match="SIGINT"), stops():  # noqa: PT012
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned.append(True)
    assert cleaned == [True]


def test_what_takes_too_long_is_ended_and_nothing_rings_afterwards():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match=r"more than 0\.05 s"), within(0.05):
        time.sleep(10)
    with within(0.05):
        pass
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.fixture
def rings():
    """Set the alarm as others do, and note when it rings."""
    found = []
    before = signal.signal(signal.SIGALRM, lambda *_: found.append(time.monotonic()))
    yield found
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def lends_and_returns():
    with within(20):
        time.sleep(0.2)


def raises_too_late():
    with pytest.raises(TimeoutError), within(0.2):
        time.sleep(20)


def watches():
    with Watchdog(20.0, lambda: None) as watchdog:
        watchdog.watch(lambda: time.sleep(0.2))


@pytest.mark.parametrize("work", [lends_and_returns, raises_too_late, watches])
def test_an_alarm_that_somebody_set_rings_when_it_was_to_or_right_afterwards(work, rings):
    signal.setitimer(signal.ITIMER_REAL, 30, 7)
    work()
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    assert 20 < left <= 29.81
    assert interval == 7
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    work()
    ended = time.monotonic()
    while not rings and time.monotonic() < ended + 5:
        time.sleep(0.01)
    assert rings[0] >= ended - 0.1  # not in the middle of it
    assert len(rings) == 1
