"""Results in object storage, with jobs on machines that share no file.

A machine is an empty folder here, the storage moto's server; everything between them is real.
"""

import os
import signal

import pytest

from tests.pipeline.conftest import datasets
from tests.pipeline.test_interrupt import SIZE, SURFACE, wait_for

COMMAND = "LANDSCAPE_S3=1 uv run --group cloud pytest -n 0 tests/cloud"

pytestmark = [
    pytest.mark.s3,
    pytest.mark.skipif(os.environ.get("LANDSCAPE_S3") != "1", reason=f"minutes long: {COMMAND}"),
]


def same_bytes(cloud, finished, tmp_path):
    key = SURFACE
    path = cloud.download(key, tmp_path / "downloaded" / "surface.h5")
    assert len(datasets(path)) > 3
    assert datasets(path) == datasets(finished.folder / key)


def test_machines_that_share_nothing_give_the_bytes_of_one_folder(cloud, finished, tmp_path):
    cloud.run()
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
    head = cloud.start(SURFACE, "--resources", "gpu=1")
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
