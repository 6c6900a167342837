"""The projects of the pipeline's tests, for machines that share nothing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from landscape_lib.utils.journal import decode
from tests.pipeline.conftest import REPO, finished, new_project, project
from tests.pipeline.test_interrupt import wait_for

__all__ = ["finished", "project"]

PREFIX = "s3://landscape/mine"
APART = Path(__file__).with_name("apart.sh")


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

    def start(self, *arguments, executor=None):
        """Start Snakemake, by itself or with another executor's profile."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "config.yaml"]
        return subprocess.Popen(
            [*command, *(executor or self.apart()), "--seconds-between-status-checks", "1"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def apart(self):
        found = ["--executor", "cluster-generic", "--jobs", "2"]
        for name in ("submit", "status"):
            found += [f"--cluster-generic-{name}-cmd", f"{APART} {name}"]
        return [*found, "--profile", "workflow/profiles/s3", "--default-storage-prefix", PREFIX]

    def run(self, *arguments, executor=None):
        head = self.start(*arguments, executor=executor)
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
        for session in self.machines.glob("*/session"):
            if not session.with_name("code").exists():
                os.killpg(int(session.read_text()), signal.SIGKILL)


@pytest.fixture
def cloud(tmp_path, server):
    made = Cloud(tmp_path, server)
    yield made
    made.kill_machines()
    made.bucket.objects.all().delete()
    made.bucket.delete()
