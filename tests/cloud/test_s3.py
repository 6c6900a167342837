"""Results in object storage, with jobs on machines that share no file.

A machine is an empty folder here, the storage moto's server; everything between them is real.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from landscape_lib.utils.journal import decode
from tests.pipeline.conftest import REPO, datasets, new_project
from tests.pipeline.test_interrupt import SIZE, SURFACE, wait_for

COMMAND = "LANDSCAPE_S3=1 uv run --group cloud pytest -n 0 tests/cloud"
PREFIX = "s3://landscape/mine"
APART = Path(__file__).with_name("apart.sh")

pytestmark = [
    pytest.mark.s3,
    pytest.mark.skipif(os.environ.get("LANDSCAPE_S3") != "1", reason=f"minutes long: {COMMAND}"),
]


@pytest.fixture(scope="module")
def server():
    """The address of an S3 of this test's own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("moto_server"))
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers():
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class Cloud:
    """A working folder, a bucket, and machines that see neither."""

    def __init__(self, folder, server):
        import boto3

        self.project = new_project(folder / "head")
        self.project.configure(lambda config: config["runs"].pop("two"))
        self.folder = self.project.folder
        for part in ("workflow", "scripts"):
            shutil.copytree(REPO / part, self.folder / part)
        subprocess.run(["git", "init", "-q"], cwd=self.folder, check=True)
        subprocess.run(["git", "add", "workflow", "scripts"], cwd=self.folder, check=True)
        (self.folder / "evaluations.txt").touch()
        self.machines = folder / "machines"
        self.machines.mkdir()
        self.environment = {
            **self.project.environment,
            "LANDSCAPE_MACHINES": str(self.machines),
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": server,
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "me",
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret",
        }
        keys = {"aws_access_key_id": "me", "aws_secret_access_key": "secret"}
        resource = boto3.resource("s3", endpoint_url=server, region_name="us-east-1", **keys)
        self.bucket = resource.Bucket("landscape")
        self.bucket.create()

    def start(self, *arguments):
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "config.yaml"]
        jobs = [] if "--jobs" in arguments else ["--jobs", "1"]
        apart = ["--executor", "cluster-generic", *jobs]
        for name in ("submit", "status"):
            apart += [f"--cluster-generic-{name}-cmd", f"{APART} {name}"]
        profile = ["--profile", "workflow/profiles/s3", "--default-storage-prefix", PREFIX]
        return subprocess.Popen(
            [*command, *apart, *profile, "--seconds-between-status-checks", "1"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments):
        head = self.start(*arguments)
        output, _ = head.communicate(timeout=900)
        assert head.returncode == 0, output
        return output

    def keys(self):
        return {one.key.removeprefix("mine/") for one in self.bucket.objects.all()}

    def download(self, key, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.bucket.download_file(f"mine/{key}", str(path))
        return path

    def journal(self, run):
        """The coordinates of every whole line of the run's journals, in the bucket."""
        found = self.bucket.objects.filter(Prefix=f"mine/results/{run}/journal/")
        bodies = [one.get()["Body"].read() for one in found if one.key.endswith(".jsonl")]
        lines = [line for body in bodies for line in body.split(b"\n")]
        return [entry[0] for line in lines if (entry := decode(line)) is not None]

    def forget(self):
        """Take away whatever of the bucket lies here, and every machine."""
        (self.folder / "results").unlink()
        shutil.rmtree(self.folder / ".snakemake" / "storage")
        for machine in self.machines.iterdir():
            shutil.rmtree(machine)

    def kill_machines(self):
        for machine in self.machines.iterdir():
            if not (machine / "code").exists():
                os.killpg(int((machine / "session").read_text()), signal.SIGKILL)


@pytest.fixture
def cloud(tmp_path, server):
    made = Cloud(tmp_path, server)
    yield made
    made.kill_machines()
    made.bucket.objects.all().delete()
    made.bucket.delete()


def same_bytes(cloud, finished, tmp_path):
    key = SURFACE
    path = cloud.download(key, tmp_path / "downloaded" / "surface.h5")
    assert len(datasets(path)) > 3
    assert datasets(path) == datasets(finished.folder / key)


def test_machines_that_share_nothing_give_the_bytes_of_one_folder(cloud, finished, tmp_path):
    cloud.run("--jobs", "2")
    cloud.forget()
    same_bytes(cloud, finished, tmp_path)
    wanted = {
        path.relative_to(finished.folder).as_posix()
        for path in finished.folder.glob("results/one/**/*")
        if path.is_file() and "journal" not in path.parts
    }
    assert len(wanted) > 10
    assert wanted - cloud.keys() == set()
    assert "Nothing to be done" in cloud.run()
    assert cloud.project.points() == SIZE


def test_machines_and_head_are_killed_and_the_same_command_goes_on(cloud, finished, tmp_path):
    """The first shard is not evaluated again, and of the second what the bucket's journal lacks."""
    cloud.project.hold(SIZE // 2 + 4)
    head = cloud.start(SURFACE)
    wait_for(lambda: cloud.project.points() == SIZE // 2 + 4, 300)
    wait_for(lambda: len(cloud.journal("one")) == SIZE // 2 + 3, 60)
    os.kill(head.pid, signal.SIGKILL)
    head.communicate()
    cloud.kill_machines()
    cloud.forget()
    cloud.project.release()
    cloud.run(SURFACE)
    same_bytes(cloud, finished, tmp_path)
    assert cloud.project.points() == SIZE + 1
    cloud.project.configure(
        lambda config: config["runs"]["one"]["grid"].update(x=[-1, 1, 9], y=[0, 3, 7])
    )
    cloud.run(SURFACE)
    assert cloud.project.points() == 9 * 7 + 1  # a refined grid takes what is known from the bucket
