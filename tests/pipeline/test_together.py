"""Two runs at once in one folder: the second is refused, or waits; no point is evaluated twice."""

import os
import signal
import subprocess

import h5py
import pytest

from tests.pipeline.test_interrupt import (
    SURFACE,
    finish_and_check,
    jobs_of,
    shard_command,
    wait_for,
)

SHARD = "results/one/shards/0-of-1.h5"


def elsewhere(project, tmp_path, *arguments):
    """Start the pipeline from another working directory, for the folder by another path."""
    (tmp_path / "away").mkdir()
    (tmp_path / "link").symlink_to(project.folder)
    config = str(project.folder / "config.yaml")
    command = [config if word == "config.yaml" else word for word in project.command(*arguments)]
    command += ["--directory", str(tmp_path / "link")]
    return subprocess.Popen(
        command,
        cwd=tmp_path / "away",
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def at_work(probed):
    """A run in the middle of a shard, and the project."""
    probed.hold(3)
    process = probed.start(SURFACE, start_new_session=True)
    wait_for(lambda: probed.points() == 3)
    yield process, probed
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def test_a_second_run_is_refused_and_who_gets_around_the_lock_waits_and_evaluates_nothing(
    at_work, finished, tmp_path
):
    """Another target from elsewhere; ``--nolock``; a job's command pasted into a terminal."""
    process, project = at_work
    second = elsewhere(project, tmp_path, SHARD)
    around = project.start(SHARD, "--nolock")
    by_hand = subprocess.Popen(
        shard_command(project), cwd=project.folder, env=project.environment, stderr=-1, text=True
    )
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 1, said
    assert "LockException" in said
    wait_for(lambda: len(jobs_of(project)) == 3)
    assert (process.poll(), project.points()) == (None, 3)
    project.release()
    for one in (process, around, by_hand):
        one.communicate(timeout=120)
    assert by_hand.returncode == 0
    finish_and_check(project, 0, finished)


def test_an_orphan_whose_shards_are_cut_otherwise_meanwhile_costs_time_and_nothing_else(
    at_work, finished
):
    """Another number of shards has other locks: points may come twice, and they are the same."""
    process, project = at_work
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    (orphan,) = jobs_of(project)
    project.configure(lambda config: config["runs"]["one"]["grid"].update(shards=2))
    again = project.start(SURFACE)
    wait_for(lambda: len(jobs_of(project)) == 2)
    project.release()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    wait_for(lambda: orphan not in jobs_of(project))
    points = project.journal("one")
    assert project.points() == len(points) <= 2 * 20
    assert len(set(points)) == 20
    with h5py.File(project.folder / SURFACE) as ours, h5py.File(finished.folder / SURFACE) as whole:
        name = "train_loss_height"
        assert ours[name][()].tobytes() == whole[name][()].tobytes()
        assert ours.attrs["fingerprint"] == whole.attrs["fingerprint"]
