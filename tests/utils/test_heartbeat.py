"""A process that was killed can't say so; the next one does, and tells knowledge from guesses."""

import dataclasses
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from landscape_lib.core.memory import boot, ended_for_memory
from landscape_lib.utils.heartbeat import Beat, heartbeat, tell, tell_of_killed

REPO = Path(__file__).resolve().parents[2]
HOLDS = """
import os, signal, sys, pathlib
from landscape_lib.utils.heartbeat import heartbeat
with heartbeat(pathlib.Path(sys.argv[1]), "own shard 1 of 2"):
    exec(sys.argv[2])
"""


def child(path, then, before=""):
    """Run a program that holds a heartbeat, and then does something; ``before`` is for a shell."""
    command = [sys.executable, "-c", HOLDS, str(path), then]
    script = f'{before}\nexec "$@"'
    return subprocess.run(
        ["bash", "-c", script, "bash", *command],
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def beat(**changed):
    plain = Beat(
        what="own shard 1 of 2",
        host=platform.node(),
        boot=boot(),
        pid=17,
        at="2026-01-01T00:00:00+00:00",
        peak=100 * 2**20,
        left=900 * 2**20,
        limit=1000 * 2**20,
        ended=ended_for_memory(),
    )
    return dataclasses.replace(plain, **changed)


FORKS = """
child = os.fork()
if not child:
    import time
    os.closerange(0, 3)
    time.sleep(60)
    os._exit(0)
os.write(1, str(child).encode())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_that_a_metric_forked_keeps_nobody_from_telling(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "0-of-2.alive"
    done = child(path, FORKS)
    try:
        with heartbeat(path, "own shard 1 of 2"):
            assert json.loads(path.read_bytes())["pid"] == os.getpid()
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)
    assert "own shard 1 of 2: the last process at it" in caplog.text
    assert not path.exists()


def test_a_process_that_was_killed_is_told_of_once_and_without_a_word_of_settings(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "0-of-2.alive"
    assert child(path, "os.kill(os.getpid(), signal.SIGKILL)").returncode == -signal.SIGKILL
    tell_of_killed(tmp_path)
    with heartbeat(path, "own shard 1 of 2"):
        tell_of_killed(tmp_path)  # of one that lives there is nothing to tell
    assert not path.exists()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "own shard 1 of 2: the last process at it" in told[0]
    if not any("on this machine" in text for text in told):  # another's lack of memory meanwhile
        assert "was killed (kill -9, a scheduler); memory was far from its limit" in told[0]
        assert "batch_size" not in caplog.text


@pytest.mark.parametrize("then", ["pass", "raise RuntimeError", "sys.exit(3)"])
def test_a_process_that_ends_by_itself_leaves_nothing(tmp_path, then):
    child(tmp_path / "0-of-2.alive", then)
    assert not list(tmp_path.iterdir())


def test_what_is_known_and_what_is_guessed_is_told_apart(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def told(**changed):
        caplog.clear()
        tell(beat(**changed))
        return caplog.text

    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 1\noom_kill 3\n")
    known = told(ended={str(events): 1})
    assert (
        "Memory ran out: since it began, the kernel ended 2 processes of its memory group" in known
    )
    assert "evaluation.batch_size" in known
    machine = tmp_path / "proc/vmstat"
    machine.parent.mkdir()
    machine.write_text("oom_kill 4\n")
    assert "this may be one. If so, what helps: a smaller" in told(ended={str(machine): 3})
    assert "Whether memory ran out is not known" in told(peak=850 * 2**20)
    assert "Whether memory ran out is not known" in told(left=50 * 2**20)
    assert "100 MiB of memory; 50 MiB of 1,000 MiB were left" in told(left=50 * 2**20)
    assert "of elsewhere can't be asked" in told(host="elsewhere", peak=900 * 2**20)
    assert "ended with its machine, which was started anew" in told(boot="another")
    assert "batch_size" not in told(boot="another", peak=900 * 2**20)
    assert "memory was far from its limit" in told(limit=None)


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"[]\n", b'{"what": 1}\n'])
def test_a_damaged_note_is_passed_over(tmp_path, caplog, content):
    path = tmp_path / "0-of-2.alive"
    path.write_bytes(content)
    with heartbeat(path, "it"):
        assert path.read_bytes().startswith(b'{"what": "it"')
    assert not caplog.text


def test_where_it_cannot_be_written_the_work_goes_on(tmp_path):
    (tmp_path / "file").touch()
    with heartbeat(tmp_path / "file" / "x.alive", "it"):
        pass


def group():
    """Return a folder for a new memory group below this process's own, or why there is none."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        root = Path("/sys/fs/cgroup") / ("memory" if controllers else "") / path.lstrip("/")
        if "memory" in controllers.split(",") or not controllers:
            limit = "memory.limit_in_bytes" if controllers else "memory.max"
            made = root / f"landscape-test-{os.getpid()}"
            try:
                made.mkdir()
                (made / limit).write_text(str(400 * 2**20))
            except OSError as error:
                if made.is_dir():
                    made.rmdir()
                reason = error.strerror
                continue
            return made
    pytest.skip(
        f"no memory group can be made here ({reason}); as root, where cgroups are writable: "
        "pytest tests/utils/test_heartbeat.py"
    )


def test_the_kernel_ends_a_process_for_lack_of_memory_and_the_next_one_knows(tmp_path, caplog):
    """The group has 400 MiB, without which torch does not load; then the program takes all."""
    made, path = group(), tmp_path / "0-of-2.alive"
    try:
        grown = "held = [bytearray(2**24) for _ in range(100)]"
        done = child(path, grown, before=f"echo $$ > {made}/cgroup.procs")
        assert done.returncode == -signal.SIGKILL, done.stderr
        with heartbeat(path, "own shard 1 of 2"):
            pass
    finally:
        for _ in range(50):  # until the kernel has let the process go
            try:
                made.rmdir()
                break
            except OSError:
                time.sleep(0.1)
    assert "Memory ran out: since it began, the kernel ended 1 process of its memory group" in (
        caplog.text
    )
    assert "of 400 MiB were left" in caplog.text
