"""What is lost when a run is killed: the point in flight, and nothing else."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np

from tests.pipeline.conftest import REPO

SIZE = 5 * 4


def wait_for(condition, seconds=90.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


SURFACE = "results/one/surface.h5"


def finish_and_check(project, lost: int, finished) -> None:
    """The same command ends the run; at most ``lost`` points were evaluated twice."""
    output = project.run(SURFACE)
    assert "LockException" not in output
    check(project, lost, finished)


def check(project, lost: int, finished) -> None:
    assert SIZE <= project.points() <= SIZE + lost
    at = project.journal("one")
    assert len(at) == len(set(at)) == SIZE  # no finished point is evaluated twice
    with h5py.File(project.folder / SURFACE) as ours, h5py.File(finished.folder / SURFACE) as whole:
        for name in ("train_loss_height", "xcoordinates", "ycoordinates"):
            assert ours[name][()].tobytes() == whole[name][()].tobytes()
        # everything else that the file says is the same, too
        free = {"date", "host", "versions", "config", "shards", "git_revision"}
        for name in set(whole.attrs) - free:
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


def test_a_signal_to_everything_in_the_middle_of_a_shard_loses_the_point_in_flight_trap_29(
    probed, finished
):
    """Four of them, one after the other, and then the run comes to its end."""
    signals = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for lost, number in enumerate(signals, start=1):
        probed.hold(4 * lost)
        process = probed.start(SURFACE, start_new_session=True)
        wait_for(lambda: probed.points() == 4 * lost)  # noqa: B023
        os.killpg(process.pid, number)
        process.communicate(timeout=60)
        wait_for(lambda: not jobs_of(probed))
        assert (probed.points(), len(probed.journal("one"))) == (4 * lost, 3 * lost), number
    probed.release()
    finish_and_check(probed, len(signals), finished)


def test_kill_9_of_snakemake_alone_leaves_its_job_to_finish_and_is_waited_for(probed, finished):
    probed.hold(2)
    process = probed.start(SURFACE, start_new_session=True)
    wait_for(lambda: probed.points() == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()  # the orphan holds the other end
    process.wait()
    assert len(jobs_of(probed)) == 1  # the orphan lives on, and holds its shard's lock
    again = probed.start(SURFACE)
    wait_for(lambda: "waiting for it" in probed.log("one/evaluate_shard/0-of-1.log"))
    probed.release()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert "LockException" not in output
    check(probed, 0, finished)


def test_an_exception_in_a_metric_keeps_the_rest_and_shows_the_users_frames(probed, finished):
    probed.configure(lambda config: config["runs"]["one"]["grid"].update(shards=2))
    (probed.folder / "trouble").touch()
    output = probed.run(SURFACE, code=1)
    assert "one_helper.py" in output
    assert "the metric broke" in output
    assert "At the point [" in output
    assert "landscape_lib/steps" not in output
    before = probed.points()
    assert 0 < before < SIZE
    failed = before - len(probed.journal("one"))
    assert 1 <= failed <= 2  # the point at which each shard broke
    (probed.folder / "trouble").unlink()
    finish_and_check(probed, failed, finished)


def test_a_second_run_beside_a_live_one_is_refused_and_disturbs_nothing(probed, finished):
    probed.hold(1)
    process = probed.start(SURFACE, start_new_session=True)
    wait_for(lambda: probed.points() == 1)
    second = probed.run(SURFACE, code=1)
    assert "LockException" in second
    probed.release()
    process.communicate(timeout=120)
    assert process.returncode == 0
    finish_and_check(probed, 0, finished)


def shard_command(project) -> list[str]:
    command = [sys.executable, str(REPO / "scripts" / "evaluate_shard.py")]
    out = "results/one/shards/0-of-1.h5"
    return [*command, *"--config config.yaml --run one --shard 0 --of 1 --out".split(), out]


def test_a_script_ends_with_128_and_the_signals_number(probed):
    probed.hold(2)
    process = subprocess.Popen(
        shard_command(probed),
        cwd=probed.folder,
        env=probed.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: probed.points() == 2)
    process.terminate()
    _, message = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "SIGTERM" in message
    assert "Traceback" not in message
    assert not list(probed.folder.glob("results/one/shards/*"))


def test_a_damaged_journal_line_costs_that_point_only(probed, finished):
    probed.run("results/one/shards/0-of-1.h5")
    (journal,) = probed.folder.glob("results/one/journal/*/*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(
        b"".join([lines[0].replace(b"values", b"value5"), *lines[1:-1], lines[-1][:30]])
    )
    (probed.folder / "results/one/shards/0-of-1.h5").unlink()
    output = probed.run(SURFACE)
    assert "2 damaged lines dropped" in output
    assert probed.points() == SIZE + 2


def test_a_truncated_shard_is_named_with_the_remedy(project):
    shard = project.folder / "results/one/shards/1-of-2.h5"
    shard.write_bytes(shard.read_bytes()[:500])
    (project.folder / SURFACE).unlink()
    output = project.run(SURFACE, code=1)
    assert "1-of-2.h5: cannot be read, it is damaged" in output
    assert "Remove it and type the same command again." in output
    shard.unlink()
    assert project.ran(SURFACE)[1] == 0
