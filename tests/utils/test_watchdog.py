"""What takes too long is ended, also where it never returns to Python."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from landscape_lib.utils.watchdog import TooLong, Watchdog

REPO = Path(__file__).resolve().parents[2]


def never(): ...


def loops():
    while True:
        pass


def sleeps():
    time.sleep(30)


def swallows():
    for _ in range(2):
        try:
            loops()
        except BaseException:
            continue
    loops()


def takes_the_alarm():
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    loops()


@pytest.mark.parametrize("work", [loops, sleeps, swallows, takes_the_alarm])
def test_python_that_takes_too_long_is_ended(work, monkeypatch):
    monkeypatch.setattr("landscape_lib.utils.watchdog.AGAIN_S", 0.1)
    before = signal.getsignal(signal.SIGALRM)
    with Watchdog(0.1, never) as watchdog:
        begin = time.monotonic()
        with pytest.raises(TooLong):
            watchdog.watch(work)
        assert time.monotonic() - begin < 4
        assert watchdog.watch(lambda: 3) == 3
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_outside_of_the_main_thread_too():
    found = []

    def work():
        with Watchdog(0.1, never) as watchdog:
            try:
                watchdog.watch(loops)
            except TooLong:
                found.append(watchdog.watch(lambda: "on it goes"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert found == ["on it goes"]


def test_what_is_in_time_is_left_alone_and_several_points_have_several_times_as_long():
    with Watchdog(0.2, never) as watchdog:
        watchdog.watch(lambda: time.sleep(0.3), points=3)
        watchdog.watch(lambda: time.sleep(0.3), more=0.5)
        time.sleep(0.3)  # between two points nobody counts
        with pytest.raises(ZeroDivisionError):
            watchdog.watch(lambda: 1 / 0)


def test_a_limit_beyond_every_clock_is_none():
    with Watchdog(1e300, never) as watchdog:
        for points in (1, 10**9):
            assert watchdog.watch(lambda: "done", points=points) == "done"
        time.sleep(0.1)
        assert watchdog._watcher.is_alive()


HANGS = """
import ctypes, sys
from pathlib import Path
from landscape_lib.utils import watchdog

watchdog.GRACE_S = 0.1
def hangs():  # in C, on a lock that nobody gives back
    lock = (ctypes.c_char * 64)()
    library = ctypes.{kind}(None)
    library.pthread_mutex_lock(lock)
    library.pthread_mutex_lock(lock)

last_words = lambda: print("last words", flush=True)
with watchdog.Watchdog(0.2, last_words, Path("the.trace")) as dog:
    dog.watch(hangs)
"""


@pytest.mark.parametrize("kind", ["CDLL", "PyDLL"])
def test_c_code_that_never_comes_back_is_ended_with_its_process(kind, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HANGS.format(kind=kind)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    if kind == "CDLL":  # other threads run: one of them speaks
        assert done.stdout == "last words\n"
    else:  # this library never lets go of Python's lock
        trace = (tmp_path / "the.trace").read_text()
        assert "Timeout" in trace
        assert "in hangs" in trace
        assert "in hangs" in done.stderr
