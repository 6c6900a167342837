"""Two hosts in one shared folder at once: it costs time at most, and never a bit."""

import os
import signal
import subprocess
from pathlib import Path

import h5py
import pytest

from tests.hosts import Host, need_namespaces
from tests.pipeline.test_interrupt import (
    SIZE,
    SURFACE,
    jobs_of,
    shard_command,
    wait_for,
)

LINE = "99 1 0:99 / {} rw,relatime - nfs4 server:/x rw,vers=4.2,hard,local_lock={},addr=10.0.0.1"
LOG = "one/evaluate_shard/0-of-1.log"


@pytest.fixture(scope="session", autouse=True)
def _namespaces():
    """Skip before a project is made, where there are none."""
    need_namespaces()


@pytest.fixture
def two(probed, tmp_path):
    """Two hosts that share the project's folder; said how far locks reach, on either."""

    def hosts(local_lock):
        line = LINE.format(probed.folder, local_lock)
        return [Host(name, tmp_path / name, line) for name in ("node-a", "node-b")]

    return hosts


def start(project, host, command) -> subprocess.Popen:
    return subprocess.Popen(
        host.command(command),
        cwd=project.folder,
        env=host.environment(project.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process, code=0) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    return output


def is_the_single_runs(project, finished) -> None:
    with h5py.File(project.folder / SURFACE) as ours, h5py.File(finished.folder / SURFACE) as whole:
        for name in ("train_loss_height", "xcoordinates", "ycoordinates"):
            assert ours[name][()].tobytes() == whole[name][()].tobytes()
        assert ours.attrs["fingerprint"] == whole.attrs["fingerprint"]


def writers(project) -> list[str]:
    paths = project.folder.glob("results/one/journal/*/*.jsonl")
    return sorted(path.name[:6] for path in paths)


def test_where_locks_reach_every_host_the_second_is_refused_or_waits(
    probed,
    two,
    finished,
):
    a, b = two("none")
    probed.hold(2)
    first = start(probed, a, probed.command(SURFACE))
    wait_for(lambda: probed.points() == 2)
    refused = ended(start(probed, b, probed.command(SURFACE)), code=1)
    assert "LockException" in refused
    assert "A run is alive in this folder on node-a (process " in refused
    assert "file locks" not in refused
    job = start(probed, b, [*shard_command(probed), "--log", f"logs/{LOG}.b"])
    wait_for(lambda: "Another process is still at work" in probed.log(f"{LOG}.b"))
    probed.release()
    ended(first)
    ended(job)
    assert probed.points() == len(probed.journal("one")) == SIZE  # none was evaluated twice
    assert writers(probed) == ["node-a"]
    assert not [*probed.folder.glob(".snakemake/runs/*")]  # both have ended as they should
    is_the_single_runs(probed, finished)


def test_where_locks_hold_within_one_host_points_are_evaluated_twice_and_nothing_else(
    probed,
    two,
    finished,
):
    """Host a is at work; then its Snakemake is killed, and its shard lives on beside host b's."""
    a, b = two("flock")
    probed.hold(2)
    first = start(probed, a, probed.command(SURFACE))
    wait_for(lambda: probed.points() == 2)
    b.hide(probed.folder / "hold", "1000000")  # host b need not wait
    b.hide(probed.folder / ".snakemake/run.flock")
    for path in probed.folder.glob("results/one/journal/*/*.lock"):
        b.hide(path)
    refused = ended(start(probed, b, probed.command(SURFACE)), code=1)
    assert refused.count("file locks hold within this host alone") == 1
    assert "A run is alive in this folder on node-a (process " in refused
    assert "LockException" in refused
    (snakemake,) = of_folder(probed.folder, b"snakemake")
    os.kill(snakemake, signal.SIGKILL)
    ended(start(probed, b, probed.command(SURFACE, "--unlock")))
    assert not [*probed.folder.glob(".snakemake/locks/*.lock")]
    assert len(jobs_of(probed)) == 1
    ended(start(probed, b, probed.command(SURFACE)))
    is_the_single_runs(probed, finished)
    assert probed.points() == 2 + SIZE - 1  # host b took over the one point that was finished
    shard = probed.folder / "results/one/shards/0-of-1.h5"
    written = shard.stat().st_mtime_ns
    probed.release()
    wait_for(lambda: not jobs_of(probed))
    first.communicate(timeout=60)
    assert shard.stat().st_mtime_ns > written  # the orphan wrote the shard once more
    is_the_single_runs(probed, finished)
    at = probed.journal("one")
    assert (len(set(at)), len(at)) == (SIZE, 2 * SIZE - 1)  # 19 points twice: time, and no bit
    assert writers(probed) == ["node-a", "node-b"]


def of_folder(folder: Path, name: bytes) -> list[int]:
    """Process ids of Pythons that run a module in a folder."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{entry}/cwd") == str(folder):
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                if words[1:3] == [b"-m", name]:
                    found.append(int(entry))
        except OSError:
            continue
    return found
