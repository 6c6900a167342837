"""The profile for SLURM, as it stands, on a cluster of one node that is brought up here.

Whatever happens to a shard's job or to Snakemake itself: the same bytes as without a cluster, and
no point that was finished is evaluated again.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import REPO, datasets, new_project
from tests.pipeline.test_interrupt import SURFACE, check, jobs_of, wait_for

COMMAND = "LANDSCAPE_SLURM=1 uv run --extra slurm pytest -n 0 tests/cluster"
PROFILE = REPO / "workflow" / "profiles" / "slurm"
SHARD_LOG = "one/evaluate_shard/0-of-1.log"
QUICK = [  # a cluster without accounting, and a test that doesn't like to wait
    *("--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1"),
]

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.environ.get("LANDSCAPE_SLURM") != "1",
        reason=f"minutes long; as root, with Debian's slurm-wlm and munge: {COMMAND}",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    script = str(Path(__file__).with_name("slurm.sh"))
    subprocess.run([script, "start", folder], check=True)
    yield
    subprocess.run([script, "stop", folder], check=True)


class Head:
    """The Snakemake that the user starts on the login node."""

    def __init__(self, project, *arguments):
        snakefile = project.library / "workflow" / "Snakefile"
        command = [sys.executable, "-m", "snakemake", "-s", str(snakefile), *arguments]
        profile = ["--workflow-profile", str(PROFILE), *QUICK, "--configfile", "config.yaml"]
        self.process = subprocess.Popen(
            [*command, *profile],
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def ends(self, code=0):
        """Wait for its end; return what it printed."""
        output, _ = self.process.communicate(timeout=600)
        assert self.process.returncode == code, output
        return output


def slurm(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def job():
    """Return the id of the one job that is running."""
    (number,) = slurm("squeue", "--noheader", "--states=RUNNING", "--format=%A").split()
    return number


def held(probed, *arguments):
    """Start the run; return its head when the fourth point of its shard is being evaluated."""
    probed.hold(4)
    head = Head(probed, SURFACE, *arguments)
    wait_for(lambda: probed.points() == 4, 180)
    return head


def test_a_whole_run_gives_the_bytes_of_one_without_a_cluster(tmp_path, finished):
    project = new_project(tmp_path)
    output = Head(project).ends()
    assert "Group job pictures" in output
    assert "Group job pages" in output
    for run in ("one", "two"):
        surface = f"results/{run}/surface.h5"
        assert datasets(project.folder / surface) == datasets(finished.folder / surface)
    files = {
        path.relative_to(finished.folder) for path in finished.folder.glob("results/*/figures/*")
    }
    assert files
    assert all((project.folder / path).exists() for path in files)
    assert "Nothing to be done" in Head(project).ends()


def test_a_shard_that_is_cancelled_goes_on_with_the_same_command(probed, finished):
    head = held(probed, "--retries", "0")
    slurm("scancel", job())
    assert "CANCELLED" in head.ends(code=1)
    assert "SIGTERM; everything finished is kept" in probed.log(SHARD_LOG)
    assert (probed.points(), len(probed.journal("one"))) == (4, 3)
    probed.release()
    Head(probed, SURFACE).ends()
    check(probed, 1, finished)


def test_a_shard_that_is_put_back_into_the_queue_goes_on_under_the_same_head(probed, finished):
    """As one that is preempted: SIGTERM, and the job starts again."""
    head = held(probed)
    slurm("scontrol", "requeue", job())
    wait_for(lambda: not jobs_of(probed))
    assert len(probed.journal("one")) == 3
    probed.release()
    head.ends()
    check(probed, 1, finished)


def test_kill_9_of_the_head_leaves_its_job_at_work_and_the_same_command_waits_for_it(
    probed, finished
):
    head = held(probed)
    os.kill(head.process.pid, signal.SIGKILL)
    head.process.communicate()
    (orphan,) = jobs_of(probed)
    again = Head(probed, SURFACE)
    wait_for(lambda: "waiting for it" in probed.log(SHARD_LOG), 180)
    assert orphan in jobs_of(probed)
    probed.release()
    assert "LockException" not in again.ends()
    check(probed, 0, finished)


def test_a_shard_that_meets_its_time_limit_goes_on_with_twice_the_time(probed, finished):
    head = held(probed, "--set-resources", "evaluate_shard:runtime=attempt")
    wait_for(lambda: not jobs_of(probed), 180)
    assert len(probed.journal("one")) == 3
    probed.release()
    output = head.ends()
    assert "TIMEOUT" in output
    assert "runtime=2" in output
    check(probed, 1, finished)
