"""The profile for any batch system, as it stands, on a PBS that is pretended.

``qsub`` runs the job on this machine at once, and ``qstat`` knows it until it has ended: what they
are asked, and what follows from their answers, is real.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloud.test_s3 import COMMAND
from tests.pipeline.conftest import REPO, new_project
from tests.pipeline.test_interrupt import SIZE, SURFACE, check, wait_for

PRETENDED = Path(__file__).with_name("pretended")
GENERIC = REPO / "workflow" / "profiles" / "generic"

pytestmark = [
    pytest.mark.s3,
    pytest.mark.skipif(os.environ.get("LANDSCAPE_S3") != "1", reason=f"minutes long: {COMMAND}"),
]


class Cluster:
    def __init__(self, folder):
        self.project = new_project(folder)
        # the profile names its script from the root of a clone
        (folder / "workflow").symlink_to(REPO / "workflow")
        own = self.project.environment
        self.environment = {
            **own,
            "PATH": f"{PRETENDED}:{own['PATH']}",
            "LANDSCAPE_PRETENDED": str(folder),
            "LANDSCAPE_LATENCY": "3",
        }

    def start(self, *arguments):
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "config.yaml"]
        profile = ["--workflow-profile", str(GENERIC), "--seconds-between-status-checks", "1"]
        return subprocess.Popen(
            [*command, *profile, "--jobs", "2"],
            cwd=self.project.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def calls(self):
        return (self.project.folder / "calls").read_text().splitlines()

    def ids(self):
        """The jobs that are at work on a shard."""
        links = [
            path for path in (self.project.folder / "logs/cluster").iterdir() if path.is_symlink()
        ]
        return [int(path.name) for path in links if "evaluate_shard" in os.readlink(path)]


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def ends(head, code=0):
    output, _ = head.communicate(timeout=600)
    assert head.returncode == code, output
    return output


def test_a_shard_that_the_scheduler_kills_goes_on_in_a_new_job(cluster, finished):
    """SIGKILL to the whole job, as at a limit of memory: no exit code, and qstat knows no more."""
    cluster.project.configure(lambda config: config["runs"].pop("two"))
    cluster.project.configure(lambda config: config["runs"]["one"]["grid"].update(shards=1))
    cluster.project.hold(4)
    head = cluster.start(SURFACE)
    wait_for(lambda: cluster.project.points() == 4, 180)
    (job,) = cluster.ids()
    os.killpg(job, signal.SIGKILL)
    cluster.project.release()
    ends(head)
    check(cluster.project, 1, finished)
    shards = [call for call in cluster.calls() if "landscape-evaluate_shard" in call]
    assert len(shards) == 2
    assert all("ncpus=1" in call and "ngpus=1" in call for call in shards)
    first, second = (int(call.split(":mem=")[1].split("mb")[0]) for call in shards)
    assert second == 2 * first  # each retry asks for twice as much
    assert cluster.project.points() == SIZE + 1


def test_a_whole_run_ends_with_every_picture(cluster, finished):
    output = ends(cluster.start())
    wanted = {
        path.relative_to(finished.folder) for path in finished.folder.glob("results/*/figures/*")
    }
    assert wanted
    assert all((cluster.project.folder / path).exists() for path in wanted), output
    assert cluster.project.points() == 2 * SIZE
    assert "Nothing to be done" in ends(cluster.start())
