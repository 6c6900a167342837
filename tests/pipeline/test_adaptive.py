"""An adaptive grid through Snakemake: round after round, the same ones after a kill."""

import os
import shutil
import signal

import h5py
import torch
import yaml

from tests.pipeline.conftest import datasets, new_project, rules_of
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


MOMENTS = ("film_t00", "film_t01")
LOST = {
    "merge_shards": ["surface.h5"],
    "evaluate_round": ["rounds/0", "rounds/1.json"],
    "choose_points": ["rounds"],
}
FILM = ["results/film/paraview/over_training/train_loss_height.pvd"]
PAGE = ["results/explorer.html"]


def test_whatever_is_left_of_a_film_the_next_round_comes_before_its_surfaces(tmp_path):
    """No surface is merged of fewer rounds than it takes: those that follow are not yet known."""
    film = {"over_training": ["early.pt", "one.pt"], "frames": 2}
    project = projects(tmp_path / "project", film={"grid": SMALL, **film})
    torch.save({"weight": torch.tensor([[0.5, 1.0]])}, project.folder / "early.pt")
    project.run(*(f"results/{name}/surface.h5" for name in (*MOMENTS, "film")))
    surfaces = sorted(project.folder.glob("results/*/surface.h5"))
    wanted, before = {path: datasets(path) for path in surfaces}, project.points()
    assert len(surfaces) == 3
    for lost, files in LOST.items():
        for path in (surface.parent / file for surface in surfaces for file in files):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for target in ([], PAGE):
            due = rules_of(project.run("-n", *target))
            told = set().union(*due.values())
            assert lost in told
            assert ("merge_shards" in told) == (lost == "merge_shards")
    project.run(*FILM, "results/film/surface.h5")
    assert project.points() == before
    assert {path: datasets(path) for path in surfaces} == wanted
