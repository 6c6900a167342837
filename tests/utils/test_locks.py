"""Whoever holds a lock is alive, and whoever waits for one says so."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import warnings

from landscape_lib.utils.locks import alone, turn


def test_a_second_one_waits_for_the_first_and_says_so(tmp_path, caplog):
    order, inside = [], threading.Event()

    def second():
        inside.set()
        with turn(tmp_path / "a.lock", "shard 1"):
            order.append("second")

    with turn(tmp_path / "a.lock", "shard 1"):
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "Another process is still at work on shard 1; waiting for it" in caplog.text


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


def test_of_two_threads_that_compute_the_second_waits_and_says_so(caplog):
    order, inside = [], threading.Event()

    def second():
        inside.set()
        with alone():
            order.append("second")

    with alone(), alone():  # the same thread may come again
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "Another thread of this process is still computing; waiting for it." in caplog.text


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
