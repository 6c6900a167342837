"""Whoever holds a lock is alive, and whoever waits for one says so."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest

from landscape_lib.utils.locks import alone, turn

LOCKS = {
    "processes": (
        lambda folder: turn(folder / "a.lock", "shard 1"),
        "Another process is still at work on shard 1; waiting for it",
    ),
    "threads": (
        lambda folder: alone(),
        "Another thread of this process is still computing; waiting for it.",
    ),
}


@pytest.mark.parametrize(("lock", "said"), LOCKS.values(), ids=LOCKS)
def test_a_second_one_waits_for_the_first_and_says_so(tmp_path, caplog, lock, said):
    order, inside = [], threading.Event()

    def second():
        inside.set()
        with lock(tmp_path):
            order.append("second")

    with lock(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert said in caplog.text


def test_a_thread_that_computes_may_come_again():
    def computes():
        with alone():
            pass

    with alone(), alone():
        pass
    thread = threading.Thread(target=computes, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()  # all of it was given back


def test_a_holder_that_was_killed_holds_nothing(tmp_path):
    program = (
        "import os, signal, sys, pathlib; from landscape_lib.utils.locks import turn\n"
        "with turn(pathlib.Path(sys.argv[1]), 'it'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "a.lock"
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_where_there_are_no_locks_the_work_goes_on_with_a_warning(tmp_path, caplog, monkeypatch):
    def no_locks(handle, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with turn(tmp_path / "a.lock", "shard 1"):
        pass
    assert "No file locks here (Operation not supported); do not start shard 1 twice" in caplog.text


def test_a_child_that_is_forked_while_a_thread_computes_waits_for_nobody():
    inside, over = threading.Event(), threading.Event()

    def computes():
        with alone():
            inside.set()
            over.wait()

    thread = threading.Thread(target=computes)
    thread.start()
    inside.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads and forks: the child does little
        child = os.fork()
    if not child:
        signal.alarm(20)
        with alone():
            os._exit(3)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
