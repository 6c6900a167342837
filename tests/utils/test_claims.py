"""A GPU has one process at a time, and a dead process has none."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.utils import claims
from landscape_lib.utils.claims import claimed

GPUS = ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]
HOLDER = """\
import sys
from pathlib import Path
from landscape_lib.utils.claims import claimed

with claimed(sys.argv[2:], folder=Path(sys.argv[1])) as number:
    print(number, flush=True)
    sys.stdin.read()
"""


def holder(folder, names):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_four_processes_take_four_gpus_and_a_killed_one_gives_its_own_back(tmp_path):
    processes = [holder(tmp_path, GPUS) for _ in GPUS]
    try:
        taken = [int(process.stdout.readline()) for process in processes]
        assert sorted(taken) == [0, 1, 2, 3]
        processes[1].send_signal(signal.SIGKILL)
        processes[1].wait()
        with claimed(GPUS, folder=tmp_path) as number:
            assert number == taken[1]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_gpu_is_the_same_whatever_its_number(tmp_path):
    """Two processes that see other parts of the GPUs, as CUDA_VISIBLE_DEVICES has it."""
    with (
        claimed(["GPU-c", "GPU-a"], folder=tmp_path) as first,
        claimed(["GPU-a", "GPU-c"], folder=tmp_path) as second,
    ):
        assert (first, second) == (0, 0)
        with claimed(["GPU-a", "GPU-c", "GPU-b"], folder=tmp_path) as third:
            assert third == 2


def test_where_all_are_taken_it_waits_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(claims, "POLL_S", 0.01)
    caplog.set_level("INFO")
    waiting, found = threading.Event(), []

    def wait():
        with claimed(["a", "b"], waiting.set, tmp_path) as number:
            found.append(number)

    with claimed(["a", "b"], folder=tmp_path):
        with claimed(["b"], folder=tmp_path):
            thread = threading.Thread(target=wait)
            thread.start()
            assert waiting.wait(10)
            assert not found
        thread.join(10)
    assert found == [1]
    assert caplog.text.count("All 2 GPUs are at work") == 1


def test_who_waits_can_be_stopped(tmp_path):
    class Enough(BaseException):
        pass

    def stop():
        raise Enough

    with (
        claimed(["a", "b"], folder=tmp_path),
        claimed(["b"], folder=tmp_path),
        pytest.raises(Enough),
        claimed(["a", "b"], stop, tmp_path),
    ):
        pass


def test_a_single_gpu_is_never_waited_for(tmp_path):
    """A scheduler has given it: whoever else holds it is none of our business."""
    with claimed(["a"], folder=tmp_path), claimed(["a"], folder=tmp_path) as number:
        assert number == 0


def test_the_folder_of_locks_is_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert claims.own_folder().stat().st_mode & 0o777 == 0o700
    (tmp_path / f"landscape-lib-{os.getuid()}").rmdir()
    (tmp_path / f"landscape-lib-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(InputError, match="not your own folder"):
        claims.own_folder()
