"""An adaptive grid through Snakemake: round after round, the same ones after a kill."""

import os
import signal

import h5py
import yaml

from tests.pipeline.conftest import new_project
from tests.pipeline.test_interrupt import jobs_of, wait_for

SURFACE = "results/one/surface.h5"
GRID = {"x": [-1, 1, 17], "y": [0, 3, 9], "shards": 1, "mode": "adaptive"}


def test_killed_in_a_round_it_goes_on_there_and_then_nothing_is_to_be_done(tmp_path):
    project = new_project(tmp_path / "project")
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    config["runs"] = {"one": {**config["runs"]["one"], "grid": GRID}}
    (project.folder / "config.yaml").write_text(yaml.safe_dump(config))
    project.hold(9 * 9 + 3)  # a point of the second round
    process = project.start(SURFACE, start_new_session=True)
    wait_for(lambda: project.points() == 9 * 9 + 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: not jobs_of(project))
    project.release()
    project.run(SURFACE)
    with h5py.File(project.folder / SURFACE) as file:
        computed = int(file["computed"][()].sum())
        assert file["error/train_loss_height"].shape == file["train_loss_height"].shape == (17, 9)
    assert 9 * 9 < computed < 17 * 9
    assert project.points() == computed + 1  # the one in flight
    assert "Nothing to be done" in project.run("-n", SURFACE)
    assert len(set(project.journal("one"))) == computed
