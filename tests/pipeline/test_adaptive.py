"""An adaptive grid through Snakemake: round after round, the same ones after a kill."""

import os
import shutil
import signal
from pathlib import Path

import h5py
import pytest
import torch
import yaml

from tests.pipeline.conftest import Project, datasets, made_once, new_project, rules_of
from tests.pipeline.test_interrupt import jobs_of, wait_for

SURFACE = "results/one/surface.h5"
GRID = {"x": [-1, 1, 17], "y": [0, 3, 9], "shards": 1, "mode": "adaptive"}
SMALL = {"x": [-1, 1, 9], "y": [0, 3, 7], "shards": 1, "mode": "adaptive"}


def projects(folder, **runs):
    """Write a project whose runs are all of one model."""
    project = new_project(folder)
    one = yaml.safe_load((project.folder / "config.yaml").read_text())["runs"]["one"]
    told = {"runs": {name: {**one, **more} for name, more in runs.items()}}
    (project.folder / "config.yaml").write_text(yaml.safe_dump(told))
    return project


def test_killed_in_a_round_it_goes_on_there_and_then_nothing_is_to_be_done(tmp_path):
    project = projects(tmp_path / "project", one={"grid": GRID})
    project.hold(9 * 9 + 3)  # a point of the second round
    process = project.start(start_new_session=True)
    wait_for(lambda: project.points() == 9 * 9 + 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: not jobs_of(project))
    project.release()
    project.run()
    with h5py.File(project.folder / SURFACE) as file:
        computed = int(file["computed"][()].sum())
        assert file["error/train_loss_height"].shape == file["train_loss_height"].shape == (17, 9)
    assert 9 * 9 < computed < 17 * 9
    assert project.points() == computed + 1  # the one in flight
    assert "Nothing to be done" in project.run("-n")
    assert len(set(project.journal("one"))) == computed


@pytest.fixture(scope="session")
def led(tmp_path_factory) -> Project:
    """Finished runs, one of them with pictures that take several surfaces: a training's."""

    def make(folder: Path) -> None:
        film = {"over_training": ["early.pt", "one.pt"], "frames": 2}
        runs = {"one": {"grid": SMALL}, "film": {"grid": SMALL, **film}}
        project = projects(folder, **runs)
        torch.save({"weight": torch.tensor([[0.5, 1.0]])}, folder / "early.pt")
        project.run(*(f"results/{name}/surface.h5" for name in ("one", *MOMENTS, "film")))

    return made_once(tmp_path_factory, "led", make)


MOMENTS = ("film_t00", "film_t01")
LOST = {
    "choose_points": ["rounds/1.json"],
    "evaluate_round": ["rounds/0", "rounds/1.json"],
    "merge_shards": [],
}
TARGETS = {
    "everything": [],
    "picture": ["results/one/figures/train_loss_height_2dheat.pdf"],
    "comparison": ["results/comparison/train_loss_height.pdf"],
    "film": ["results/film/paraview/over_training/train_loss_height.pvd"],
    "explorer": ["results/explorer.html"],
}


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_is_left_the_next_round_comes_before_the_surface(led, tmp_path, target):
    """No surface is merged of fewer rounds than it takes: those that follow are not yet known."""
    project = led.copy(tmp_path / "left")
    lose(project, "surface.h5")
    for wanted, files in reversed(LOST.items()):
        lose(project, *files)
        due = rules_of(project.run("-n", *TARGETS[target]))
        told = set().union(*due.values())
        assert wanted in told
        assert ("merge_shards" in told) == (wanted == "merge_shards")


def lose(project, *files):
    """Remove files of every run."""
    for run in (path.parent for path in project.folder.glob("results/*/probe.json")):
        for path in (run / file for file in files):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def test_surfaces_of_a_film_are_the_same_after_an_interruption(led, tmp_path):
    project = led.copy(tmp_path / "left")
    surfaces = sorted(project.folder.glob("results/*/surface.h5"))
    assert len(surfaces) == 4  # one, the film, its two moments
    wanted = {path: datasets(path) for path in surfaces}
    lose(project, "surface.h5", "rounds/1.json")
    before = project.points()
    project.run(*TARGETS["film"], *(f"results/{name}/surface.h5" for name in ("one", "film")))
    assert project.points() == before
    assert {path: datasets(path) for path in surfaces} == wanted
