"""The lock of a run is removed when it is certain that the run has ended, and only then."""

import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import time

import pytest

from landscape_lib.utils import hosts, runlock, sharing
from landscape_lib.utils.hosts import Process
from landscape_lib.utils.records import write_record
from landscape_lib.utils.runlock import drop_stale_lock
from landscape_lib.utils.sharing import Reach, Shared

ELSEWHERE = Process("login2", "m-2", "boot-2", "pid:[2]", 4711, "99")
SINCE = "2026-01-01 10:00:00+00:00"


def lock(folder):
    (folder / "locks").mkdir(parents=True, exist_ok=True)
    path = folder / "locks/0.input.lock"
    path.write_text("model.pt")
    return path


def left_by(folder, process, reach=Reach.ALL, silent_s=10.0):
    """A record of a run whose last sign of life was so many seconds ago, and its lock."""
    path = folder / "runs" / f"{process.host}-{process.pid}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, {**dataclasses.asdict(process), "since": SINCE, "reach": reach.value})
    then = time.time() - silent_s
    os.utime(path, (then, then))
    return path


@pytest.fixture
def on(monkeypatch):
    """Say who sees locks in the folder."""

    def choose(reach):
        monkeypatch.setattr(runlock, "looked_at", lambda folder: Shared(reach, ()))

    return choose


def test_the_lock_of_a_run_that_died_is_removed(tmp_path, caplog):
    """As one of a version that left no record: on a disk of one host the kernel knows."""
    path = lock(tmp_path)
    with drop_stale_lock(tmp_path):
        assert not path.exists()
        assert "died without cleaning up; removing its stale lock" in caplog.text


def test_the_lock_of_a_run_that_lives_stays_and_the_run_is_named(tmp_path, caplog):
    with drop_stale_lock(tmp_path):
        path = lock(tmp_path)
        with drop_stale_lock(tmp_path):
            assert path.exists()
    here = Process.this()
    assert f"A run is alive in this folder on {here.host} (process {here.pid}, since" in caplog.text
    assert list((tmp_path / "runs").iterdir()) == []  # both have ended as they should


@pytest.mark.parametrize("reach", [Reach.DISK, Reach.ALL, Reach.HOST, Reach.UNKNOWN])
def test_on_this_host_a_killed_run_is_told_by_the_kernel_whatever_the_file_system(
    tmp_path, on, reach
):
    program = (
        "import os, sys, pathlib; from landscape_lib.utils.runlock import drop_stale_lock\n"
        "held = drop_stale_lock(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    (record,) = (tmp_path / "runs").iterdir()
    path = lock(tmp_path)
    on(reach)
    with drop_stale_lock(tmp_path):
        assert not path.exists()
        assert not record.exists()


@pytest.mark.parametrize(
    ("mine", "its"),
    [
        (Reach.HOST, Reach.HOST),
        (Reach.UNKNOWN, Reach.ALL),
        (Reach.ALL, Reach.HOST),  # it is mounted otherwise there
        (Reach.ALL, Reach.DISK),  # it is the server: its own locks are not the clients'
        (Reach.DISK, Reach.ALL),
        (Reach.NONE, Reach.NONE),
    ],
)
def test_the_lock_of_a_run_on_another_host_stays_where_locks_prove_nothing(
    tmp_path, on, caplog, mine, its
):
    path, record = lock(tmp_path), left_by(tmp_path, ELSEWHERE, its, silent_s=42)
    on(mine)
    with drop_stale_lock(tmp_path):
        assert path.exists()
        assert record.exists()
    assert f"A run is alive in this folder on login2 (process 4711, since {SINCE})" in caplog.text
    assert "its last sign of life was 42 s ago. Wait for it, or end it there." in caplog.text


def test_a_strange_record_cannot_steer_a_terminal(tmp_path, on, caplog):
    lock(tmp_path)
    path = left_by(tmp_path, dataclasses.replace(ELSEWHERE, host="x"))
    told = json.loads(path.read_text())
    told.pop("sha256")
    write_record(path, {**told, "host": "\x1b[2J\nlogin2", "pid": "\x07"})
    on(Reach.HOST)
    with drop_stale_lock(tmp_path):
        pass
    assert "on ?[2J?login2 (process ?, since" in caplog.text


def test_of_a_run_that_is_silent_it_is_told_what_to_type(tmp_path, on, caplog):
    path = lock(tmp_path)
    left_by(tmp_path, ELSEWHERE, silent_s=3 * 3600)
    on(Reach.HOST)
    with drop_stale_lock(tmp_path):
        assert path.exists()
    assert "on login2 (process 4711" in caplog.text
    assert "its last sign of life was 3 hours ago" in caplog.text
    assert "If it has, type the same command with --unlock added" in caplog.text


@pytest.mark.parametrize("reach", [Reach.ALL, Reach.DISK])
def test_where_both_see_each_others_locks_the_lock_itself_proves_it(tmp_path, on, caplog, reach):
    """Also a disk that was taken to another machine: no other has it now."""
    path, record = lock(tmp_path), left_by(tmp_path, ELSEWHERE, reach, silent_s=42)
    on(reach)
    with drop_stale_lock(tmp_path):
        assert not path.exists()
        assert not record.exists()
    assert "removing its stale lock" in caplog.text


def before_the_reboot(monkeypatch, up_s):
    monkeypatch.setattr(runlock, "up_s", lambda: up_s)
    here = Process.this()
    return dataclasses.replace(here, machine="m", boot="the one before"), dataclasses.replace(
        here, machine="m"
    )


def test_after_a_reboot_of_its_host_a_run_is_over(tmp_path, on, monkeypatch):
    before, here = before_the_reboot(monkeypatch, up_s=60)
    monkeypatch.setattr(Process, "this", lambda: here)
    path = lock(tmp_path)
    left_by(tmp_path, before, Reach.HOST, silent_s=100)
    on(Reach.HOST)
    with drop_stale_lock(tmp_path):
        assert not path.exists()


def test_a_machine_of_the_same_name_that_was_seen_since_this_one_started_is_another(
    tmp_path, on, monkeypatch
):
    before, here = before_the_reboot(monkeypatch, up_s=1000)
    monkeypatch.setattr(Process, "this", lambda: here)
    path = lock(tmp_path)
    left_by(tmp_path, before, Reach.HOST, silent_s=100)
    on(Reach.HOST)
    with drop_stale_lock(tmp_path):
        assert path.exists()


def test_without_any_locks_the_process_itself_is_looked_for(tmp_path, monkeypatch):
    """Of a run here that was killed the kernel knows; of one that lives, too."""

    def no_locks(handle, how):
        raise OSError(37, "No locks available")

    here = Process.this()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        one = dataclasses.replace(here, pid=other.pid, started=hosts._started(other.pid))
        monkeypatch.setattr(fcntl, "flock", no_locks)
        path = lock(tmp_path)
        left_by(tmp_path, one, Reach.NONE)
        with drop_stale_lock(tmp_path):
            assert path.exists()
        other.communicate(b"\n")
    with drop_stale_lock(tmp_path):
        assert not path.exists()


def test_a_process_id_that_came_round_again_is_another_process(tmp_path, on):
    path = lock(tmp_path)
    left_by(tmp_path, dataclasses.replace(Process.this(), started="1"), Reach.NONE)
    on(Reach.NONE)
    with drop_stale_lock(tmp_path):
        assert not path.exists()


def test_a_lock_without_a_record_stays_where_other_hosts_cannot_be_seen(tmp_path, on, caplog):
    path = lock(tmp_path)
    on(Reach.UNKNOWN)
    with drop_stale_lock(tmp_path):
        assert path.exists()
    assert "a lock of a run that left no record" in caplog.text
    assert "--unlock" in caplog.text


def test_unlocking_forgets_the_runs_that_the_user_says_are_over(tmp_path, on, caplog):
    path, record = lock(tmp_path), left_by(tmp_path, ELSEWHERE)
    on(Reach.HOST)
    with drop_stale_lock(tmp_path, unlocking=True):
        assert path.exists()  # Snakemake itself removes it
        assert not record.exists()
    assert caplog.text == ""


def test_who_holds_no_lock_and_is_silent_is_forgotten_without_a_word(tmp_path, on, caplog):
    old, fresh = left_by(tmp_path, ELSEWHERE, silent_s=3600), None
    fresh = left_by(tmp_path, dataclasses.replace(ELSEWHERE, pid=5), silent_s=5)
    on(Reach.HOST)
    with drop_stale_lock(tmp_path):
        assert not old.exists()
        assert fresh.exists()
    assert caplog.text == ""


@pytest.mark.parametrize("reach", [Reach.DISK, Reach.ALL])
def test_a_damaged_record_proves_nothing_and_is_no_end(tmp_path, on, caplog, reach):
    """Where one host has the disk, its kernel knows; elsewhere somebody may live behind it."""
    record = left_by(tmp_path, ELSEWHERE)
    record.write_text(record.read_text().replace("login2", "login3"))
    left_by(tmp_path, dataclasses.replace(Process.this(), started="1"))  # one of here that is over
    path = lock(tmp_path)
    on(reach)
    with drop_stale_lock(tmp_path):
        assert path.exists() == record.exists() == (reach is Reach.ALL)
    assert f"{record}: cannot be read: its content is not what its checksum says" in caplog.text
    assert ("in this folder on a host that is not known" in caplog.text) == (reach is Reach.ALL)


def test_a_run_gives_signs_of_life_and_writes_its_record_again(tmp_path, monkeypatch):
    monkeypatch.setattr(runlock, "BEAT_S", 0.02)
    with drop_stale_lock(tmp_path):
        (record,) = (tmp_path / "runs").iterdir()
        told = json.loads(record.read_text())
        assert (told["pid"], told["reach"]) == (os.getpid(), Reach.DISK)
        os.utime(record, (0, 0))
        until(lambda: time.time() - record.stat().st_mtime < 10)
        record.unlink()
        until(record.exists)
        assert json.loads(record.read_text()) == told
    assert not record.exists()


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_files_that_nfs_leaves_of_open_ones_disturb_nothing(tmp_path):
    path = lock(tmp_path)
    left = [tmp_path / f"{where}/.nfs000000000012abcd00000001" for where in ("locks", "runs")]
    for file in left:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    with drop_stale_lock(tmp_path):
        assert not path.exists()
        assert all(file.exists() for file in left)


def test_a_full_disk_does_not_keep_a_run_from_starting(tmp_path, monkeypatch):
    def full(path, found):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runlock, "write_record", full)
    with drop_stale_lock(tmp_path):
        pass


def test_what_is_missing_is_said_once_at_the_start(tmp_path, monkeypatch, caplog):
    table = tmp_path / "mountinfo"
    options = "rw,vers=3,nolock,local_lock=all"
    table.write_text(f"9 1 0:9 / {tmp_path} rw - nfs server:/a {options}\n")
    monkeypatch.setattr(sharing, "MOUNTS", table)
    with drop_stale_lock(tmp_path / "run"):
        pass
    (said,) = caplog.messages
    assert "file locks hold within this host alone" in said
    assert "mount it without 'nolock'" in said
