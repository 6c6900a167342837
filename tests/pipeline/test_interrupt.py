"""What is lost when a run is killed: the point in flight, and nothing else."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from tests.pipeline.conftest import REPO, Project, new_project

SIZE = 5 * 4


def wait_for(condition, seconds=90.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


@pytest.fixture
def slow(tmp_path) -> Project:
    """One run, a tenth of a second a point, drawn up to the surface only."""
    project = new_project(tmp_path, pause=0.15)
    project.configure(lambda config: config["runs"].pop("two"))
    return project


SURFACE = "results/one/surface.h5"


def finish_and_check(project, lost: int, finished) -> None:
    """The same command ends the run; at most ``lost`` points were evaluated twice."""
    output = project.run(SURFACE)
    assert "LockException" not in output
    assert SIZE <= project.points() <= SIZE + lost
    at = project.journal("one")
    assert len(at) == len(set(at)) == SIZE  # no finished point is evaluated twice
    with h5py.File(project.folder / SURFACE) as ours, h5py.File(finished.folder / SURFACE) as whole:
        for name in ("train_loss_height", "xcoordinates", "ycoordinates"):
            assert ours[name][()].tobytes() == whole[name][()].tobytes()
        # everything else that the file says is the same, too
        free = {"date", "host", "versions", "config", "shards", "git_revision"}
        for name in set(whole.attrs) - free:
            if name not in {"fingerprint", "content"}:  # the pause is an argument, so a part of it
                assert np.array_equal(ours.attrs[name], whole.attrs[name]), name


def jobs_of(project) -> list[int]:
    """Process ids of the scripts that are at work in the project's folder."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(project.folder):
                with open(f"/proc/{entry}/cmdline", "rb") as handle:
                    if b"evaluate_shard.py" in handle.read():
                        found.append(int(entry))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_everything_in_the_middle_of_a_shard_loses_the_point_in_flight_trap_29(
    slow, finished, number
):
    process = slow.start(SURFACE, start_new_session=True)
    wait_for(lambda: slow.points() >= 4)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    wait_for(lambda: not jobs_of(slow))
    assert 0 < slow.points() < SIZE
    finish_and_check(slow, 1, finished)


def test_kill_9_of_snakemake_alone_leaves_its_job_to_finish_and_is_waited_for(slow, finished):
    process = slow.start(SURFACE, start_new_session=True)
    wait_for(lambda: slow.points() >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()  # the orphan holds the other end
    process.wait()
    assert jobs_of(slow)  # the orphan lives on, and holds its shard's lock
    finish_and_check(slow, 0, finished)


def test_an_exception_in_a_metric_keeps_the_rest_and_shows_the_users_frames(slow, finished):
    helper = slow.folder / "one_helper.py"
    good = helper.read_text()
    (slow.folder / "trouble").touch()
    helper.write_text(
        "import sys\nfrom pathlib import Path\n\n\ndef values(w):\n"
        "    at_work = sys.argv[0].endswith('evaluate_shard.py')\n"
        "    if at_work and Path('trouble').exists() and w[0] > 1.3:\n"
        "        raise RuntimeError('the metric broke')\n"
        "    return {'height': 10 * w[0] + w[1]}\n"
    )
    output = slow.run(SURFACE, code=1)
    assert "one_helper.py" in output
    assert "the metric broke" in output
    assert "landscape_lib/steps" not in output
    before = slow.points()
    assert 0 < before < SIZE
    failed = before - len(slow.journal("one"))
    assert 1 <= failed <= 2  # the point at which each shard broke
    (slow.folder / "trouble").unlink()
    finish_and_check(slow, failed, finished)
    assert helper.read_text() != good


def test_a_second_run_beside_a_live_one_is_refused_and_disturbs_nothing(slow, finished):
    process = slow.start(SURFACE, start_new_session=True)
    wait_for(lambda: slow.points() >= 1)
    second = slow.run(SURFACE, code=1)
    assert "LockException" in second
    process.communicate(timeout=120)
    assert process.returncode == 0
    finish_and_check(slow, 0, finished)


def shard_command(project) -> list[str]:
    command = [sys.executable, str(REPO / "scripts" / "evaluate_shard.py")]
    out = "results/one/shards/0-of-2.h5"
    return [*command, *"--config config.yaml --run one --shard 0 --of 2 --out".split(), out]


def test_a_script_ends_with_128_and_the_signals_number(slow):
    slow.run("results/one/probe.json")
    slow.run("results/one/directions.h5")
    process = subprocess.Popen(
        shard_command(slow),
        cwd=slow.folder,
        env=slow.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: slow.points() >= 2)
    process.terminate()
    _, message = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "SIGTERM" in message
    assert "Traceback" not in message
    assert not list(slow.folder.glob("results/one/shards/*"))


def test_a_damaged_journal_line_costs_that_point_only(slow, finished):
    slow.run("results/one/shards/0-of-2.h5")
    (journal,) = slow.folder.glob("results/one/journal/*/*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0].replace(b"0", b"1", 1), *lines[1:-1], lines[-1][:30]]))
    (slow.folder / "results/one/shards/0-of-2.h5").unlink()
    output = slow.run(SURFACE)
    assert "2 damaged lines dropped" in output
    assert slow.points() == SIZE + 2


def test_a_truncated_shard_is_named_with_the_remedy(project):
    shard = project.folder / "results/one/shards/1-of-2.h5"
    shard.write_bytes(shard.read_bytes()[:500])
    (project.folder / SURFACE).unlink()
    output = project.run(SURFACE, code=1)
    assert "1-of-2.h5: cannot be read, it is damaged" in output
    assert "Remove it and type the same command again." in output
    shard.unlink()
    assert project.ran(SURFACE)[1] == 0
