"""One plane around each checkpoint of a training: from the config to film, page, ParaView."""

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from landscape_lib import LossLandscape, config
from landscape_lib.core.errors import InputError
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.over_training import times
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.storage import load_directions, load_surface
from tests.pipeline.test_messages import script
from tests.steps.walk import to_surface
from tests.viz.test_paraview import Read

PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem

CENTRE = [[3.0, -4.0]]  # where the loss is 0


def network(weight=CENTRE):
    net = nn.Linear(2, 1, bias=False)
    net.weight.data = torch.tensor(weight)
    return net


def data():
    return torch.eye(2), torch.tensor(CENTRE).T


def build():
    return Problem(network(), data(), metrics=nn.MSELoss())
"""
GRID = {"x": [-0.5, 1, 4], "y": [-1, 1, 3]}
WEIGHTS = [[0.0, 0.0], [1.0, -3.0], [2.0, -3.5], [3.0, -4.0]]


def quadratic(weights, x, y):
    """Return |w + a d1 + b d2 - centre|^2 / 2 over the grid: the loss, with the pipeline's d."""
    one, other = (d[0].double().numpy().ravel() for d in load_directions(DIRECTIONS))
    w = np.array(weights) + x[:, None, None] * one + y[None, :, None] * other
    return np.square(w - [3.0, -4.0]).sum(axis=2) / 2


DIRECTIONS = "results/mine/directions.h5"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Returns a function that writes a config; the training's checkpoints lie in ``epochs/``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "own_line.py").write_text(PROBLEM)
    (tmp_path / "epochs").mkdir()
    for epoch, weight in zip((0, 5, 10, 100), WEIGHTS, strict=True):
        torch.save({"weight": torch.tensor([weight])}, tmp_path / f"epochs/epoch_{epoch}.pt")

    def written(**settings):
        told = {"problem": "own_line.py:build", "over_training": "epochs/*.pt", "frames": 3}
        run = told | {"grid": GRID, "evaluation": {"plan": "plain"}} | settings
        run = {key: value for key, value in run.items() if value is not None}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"runs": {"mine": run}}))
        return config.load("c.yaml")

    yield written
    for name in ("own_line", "_problem_own_line"):
        sys.modules.pop(name, None)


def evaluated(*names):
    return {name: to_surface(name, shards=1) for name in names}


def test_every_moment_is_the_quadratic_around_its_own_weights(here, tmp_path):
    """Known answer, through config and library; the last is the run's own, bit for bit."""
    loaded = here()
    mine = loaded.run("mine")
    assert mine.frames == ("mine_t00", "mine_t01", "mine_t02")
    surfaces = evaluated("mine", *mine.frames)
    x, y = (axis.steps() for axis in mine.grid.axes)
    shown = [0, 2, 3]  # of four checkpoints, evenly spread
    for name, number in zip(mine.frames, shown, strict=True):
        found = surfaces[name]["train_loss"]
        np.testing.assert_allclose(found, quadratic(WEIGHTS[number], x, y), rtol=2e-6, atol=1e-9)
    assert surfaces["mine_t02"]["train_loss"].tobytes() == surfaces["mine"]["train_loss"].tobytes()

    import own_line

    landscape = LossLandscape(
        own_line.network(), own_line.data(), torch.nn.MSELoss(), surf_file="own.h5", plan="plain"
    )
    with pytest.raises(InputError, match="compute_over_training first"):
        landscape.plot_over_training()
    landscape.compute_2d(xrange=(-0.5, 1, 4), yrange=(-1, 1, 3))
    told = landscape.compute_over_training("epochs/*.pt")
    assert list(told) == ["epoch_0", "epoch_5", "epoch_10", "epoch_100"]
    for name, number in zip(mine.frames, shown, strict=True):
        found = list(told.values())[number]["losses"]
        assert found.tobytes() == surfaces[name]["train_loss"].tobytes()
    assert landscape.net.weight.tolist() == own_line.CENTRE  # the model has its own weights again
    assert landscape.plot_over_training().figures
    for ending in ("train_loss_over_training.pdf", "train_loss_over_training.gif"):
        assert (tmp_path / f"own.h5_{ending}").stat().st_size > 5_000
    assert "own.h5" in (tmp_path / "own.h5_over_training.html").read_text("utf-8")


def test_an_interrupted_film_goes_on_and_the_model_is_given_back(here, monkeypatch):
    here()
    import own_line

    net, append, points = own_line.network(), Journal.append, []

    def interrupted(journal, point, *rest):
        append(journal, point, *rest)
        points.append(point)
        if len(points) == 5 + 8:  # the curve itself, the first moment, three points of the second
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", interrupted)
    loss = torch.nn.MSELoss()
    landscape = LossLandscape(net, own_line.data(), loss, surf_file="own.h5", plan="plain")
    landscape.compute_1d(xrange=(-1, 1, 5))
    states = [{"weight": torch.tensor([weight])} for weight in WEIGHTS[:2]]
    with pytest.raises(KeyboardInterrupt):
        landscape.compute_over_training(states)
    assert net.weight.tolist() == own_line.CENTRE
    told = landscape.compute_over_training(states)
    assert len(points) == 3 * 5  # none twice
    assert list(told) == ["checkpoint 0", "checkpoint 1"]
    assert told["checkpoint 1"]["losses"][2] == pytest.approx((2**2 + 1) / 2)
    with pytest.raises(InputError, match="do not fit the Linear"):
        landscape.compute_over_training([{"weight": torch.zeros(1, 3)}])
    assert net.weight.tolist() == own_line.CENTRE


def test_films_pages_and_lists_for_paraview_show_every_moment_on_one_scale(here, tmp_path):
    mine = here().run("mine")
    evaluated("mine", *mine.frames)
    own = ["--config", "c.yaml", "--run", "mine"]
    for ending in ("png", "gif"):
        drawn = [*own, "--key", "train_loss", "--format", ending]
        assert script("plot_over_training")(drawn) == 0
    folder = tmp_path / "results/mine"
    moments = []
    with Image.open(folder / "over_training/train_loss.gif") as film:
        assert film.n_frames == 3
        for number in range(3):
            film.seek(number)
            moments.append(np.asarray(film.convert("RGB")))
    assert moments[0].shape == moments[2].shape
    right = int(0.8 * moments[0].shape[1])  # the colour bar and its numbers
    assert np.abs(moments[0][:, right:].astype(int) - moments[2][:, right:]).mean() < 2
    assert np.abs(moments[0][:, :right].astype(int) - moments[2][:, :right]).mean() > 5

    assert script("explore_over_training")([*own, "--out", str(folder / "over_training.html")]) == 0
    page = (folder / "over_training.html").read_text("utf-8")
    assert '"series":"mine"' in page
    assert all(f'"name":"epoch_{epoch}"' in page for epoch in (0, 10, 100))

    for name in mine.frames:
        assert (
            script("export_vtp")(["--config", "c.yaml", "--run", name, "--key", "train_loss"]) == 0
        )
    assert script("export_over_training")([*own, "--key", "train_loss"]) == 0
    listed = folder / "paraview/over_training/train_loss.pvd"
    sheets = [
        (entry.get("timestep"), entry.get("file")) for entry in ET.parse(listed).iter("DataSet")
    ]
    assert [time for time, _ in sheets] == ["0", "10", "100"]
    values = load_surface("results/mine_t01/surface.h5")["train_loss"]
    found = Read((listed.parent / sheets[1][1]).resolve()).arrays["train_loss"]
    assert sorted(found) == sorted(values.ravel())


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["epoch_2", "epoch_10"], [2, 10]),
        (["step 10 of 20", "step 15 of 20"], [0, 1]),
        (["first", "epoch_3"], [0, 1]),
        (["epoch_5", "epoch_3"], [0, 1]),
    ],
    ids=str,
)
def test_the_time_of_a_moment_is_the_number_in_its_name_where_these_grow(names, found):
    assert times(names) == found


def test_moments_are_no_landscapes_to_be_compared_and_have_no_pages_of_their_own(here):
    loaded = here()
    assert loaded.compared == ()
    assert list(loaded.shown) == ["mine"]
    depends = Dependencies(loaded)
    assert depends.targets("mine_t00") == ["results/mine_t00/surface.h5"]
    assert depends.shared_targets == []


def test_another_checkpoint_makes_its_own_moment_run_again_and_no_other(here, tmp_path):
    loaded = here()
    before = {name: Dependencies(loaded).problem(name) for name in loaded.runs}
    torch.save({"weight": torch.zeros(1, 2)}, tmp_path / "epochs/epoch_10.pt")
    after = {name: Dependencies(loaded).problem(name) for name in loaded.runs}
    assert [name for name in before if before[name] != after[name]] == ["mine_t01"]
    assert Dependencies(loaded).directions("mine") == Dependencies(here()).directions("mine")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 5}, "over_training has 4 checkpoints for 5 frames; say 'frames: 4'"),
        ({"over_training": "nothing/*.pt"}, "nothing/*.pt: no file fits this pattern"),
        ({"frames": 1}, "runs.mine.frames: found 1; allowed: a whole number from 2"),
        ({"film": "avi"}, "runs.mine.film: found 'avi'; allowed: 'gif', 'mp4'"),
        (
            {"per_layer": ["weight"]},
            "allowed: one of compare_batch_norm, per_layer, seeds, over_training in a run",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_a_film_is_refused_before_anything_runs(here, settings, message):
    with pytest.raises(InputError) as refused:
        Dependencies(here(**settings))
    assert message in str(refused.value)


def test_an_mp4_without_ffmpeg_is_refused_before_anything_runs(here, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match="mp4 needs the program ffmpeg; say 'film: gif'"):
        Dependencies(here(film="mp4"))


def test_a_run_without_a_film_says_so(here):
    here(over_training=None, frames=None)
    own = ["--config", "c.yaml", "--run", "mine", "--key", "train_loss"]
    assert script("plot_over_training")(own) == 2


def test_a_moment_and_named_metrics_are_verified_from_what_their_file_says(here):
    mine = here(metrics={"l1": "l1"}).run("mine")
    evaluated("mine", *mine.frames)
    for name in ("mine", "mine_t00"):
        assert script("verify")([f"results/{name}/surface.h5", "--points", "all"]) == 0
    torch.save({"weight": torch.zeros(1, 2) + 0.5}, "epochs/epoch_0.pt")
    assert script("verify")(["results/mine_t00/surface.h5"]) == 2
