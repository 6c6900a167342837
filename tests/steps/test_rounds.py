"""An adaptive grid is evaluated in rounds, the same ones however often it is interrupted."""

import json
import signal
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib import LossLandscape
from landscape_lib.core.errors import DisagreementError, InputError
from landscape_lib.core.gap import with_gaps
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.probe import probe
from landscape_lib.steps.rounds import read_round
from landscape_lib.utils.journal import decode
from landscape_lib.utils.storage import load_surface
from scripts import (
    choose_points,
    evaluate_shard,
    export_flat,
    export_vtp,
    make_explorer,
    merge_shards,
    plot_gap,
    plot_persistence,
    plot_surface,
    verify,
)
from tests.steps.test_preview import STOPPING

GRID = {"x": [-1, 1, 33], "y": [-0.5, 1, 25], "mode": "adaptive", "shards": 2}


@pytest.fixture
def probed(run, monkeypatch):
    for place in ("preview", "landscape"):  # no pictures here
        monkeypatch.setattr(f"landscape_lib.steps.{place}.leave_preview", lambda *_: None)
    here = run(problem="stopping.py:build", grid=GRID, evaluation={"plan": "plain"})
    Path("stopping.py").write_text(STOPPING.replace("1 + outputs[:, 0] ** 2", CURVED))
    probe(here, here.path("probe.json"))
    make_directions(here, here.path("directions.h5"))
    yield here
    for name in ("stopping", "_problem_stopping"):
        sys.modules.pop(name, None)


CURVED = "torch.exp(-3 * outputs[:, 0] ** 2) + 0.1 * outputs[:, 0] ** 2 + 0.01"
RUN = ["--config", "config.yaml", "--run", "own"]


def go(stops=()):
    """Do what the pipeline does; return how often a shard was stopped."""
    left, stopped, number = list(stops), 0, 0
    while True:
        points = f"results/own/rounds/{number}.json"
        assert choose_points.main([*RUN, "--round", str(number), "--out", points]) == 0
        count = read_round(points).shards
        if not count:
            break
        for k in range(count):
            if left:
                Path("stop").write_text(f"{left.pop(0)} {int(signal.SIGTERM)}")
            out = f"results/own/rounds/{number}/{k}-of-{count}.h5"
            argv = [*RUN, "--points", points, "--shard", str(k), "--of", str(count), "--out", out]
            while (code := evaluate_shard.main(argv)) == 128 + signal.SIGTERM:
                stopped += 1
            assert code == 0
            Path("stop").unlink(missing_ok=True)
        number += 1
    out = "results/own/surface.h5"
    assert merge_shards.main([*RUN, "--of", str(number), "--out", out]) == 0
    return stopped


def contents(path="results/own/surface.h5"):
    """Every dataset of a file, groups' too, and what it says of its rounds."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
            )
        )
        return found, file.attrs["adaptive"]


def journalled():
    lines = [line for p in Path("results").rglob("*.jsonl") for line in p.read_bytes().split(b"\n")]
    return [entry[0] for line in lines if (entry := decode(line)) is not None]


def test_killed_anywhere_and_resumed_the_same_points_are_chosen_and_the_same_bytes_written(probed):
    assert go() == 0
    whole, points = contents(), journalled()
    surface = load_surface("results/own/surface.h5")
    assert len(points) == len(set(points)) == surface.evaluated < 0.6 * surface.grid.size
    for path in Path("results/own").rglob("*.*"):
        if path.suffix in {".jsonl", ".h5", ".lock"} and path.name != "directions.h5":
            path.unlink()
    assert go([0, 17, 5, 1, 30]) >= 4
    again = journalled()
    assert contents() == whole
    assert set(again) == set(points)
    assert len(again) == len(points)  # nothing was evaluated twice, but for points in flight


def test_the_library_gives_the_bytes_of_the_pipeline_also_after_ctrl_c(probed, monkeypatch):
    go()
    ours, _ = contents()
    sys.path.insert(0, ".")
    stopping = __import__("stopping")
    monkeypatch.chdir(Path("results").resolve())
    problem = stopping.build()
    landscape = LossLandscape(problem.model, problem.data, problem.metrics, plan="plain")

    def compute():
        return landscape.compute_2d((-1, 1, 33), (-0.5, 1, 25), tolerance=0.01)

    Path("stop").write_text(f"150 {int(signal.SIGINT)}")
    with pytest.raises(KeyboardInterrupt):
        compute()
    result = compute()
    theirs, told = contents("loss_surface.h5")
    assert json.loads(told)["rounds"][0][0] == "lattice"
    assert theirs.keys() == ours.keys()
    assert theirs["computed"] == ours["computed"]
    surface = landscape.surface
    np.testing.assert_array_equal(result["losses"]["height"], surface["train_loss_height"])
    there = surface.computed
    assert (surface.errors["train_loss_height"][there] == 0).all()
    assert (surface.errors["train_loss_height"][~there] > 0).all()
    full = landscape.compute_2d((-1, 1, 33), (-0.5, 1, 25))["losses"]["height"]
    assert full[there].tobytes() == surface["train_loss_height"][there].tobytes()
    off = np.abs(np.log(full / surface["train_loss_height"]))
    assert off.max() < 0.01 * np.log(full.max() / full.min())
    assert landscape.surface.computed is None
    labelled = surface_to_xarray(surface)
    assert labelled["computed"].dims == labelled["train_loss_height_error"].dims == ("x", "y")


def test_what_is_interpolated_goes_through_every_picture_the_gap_and_verify(run, caplog):
    """With other data, standard errors and basins beside it: nothing takes it for evaluated."""
    here = run(
        problem="stopping.py:build",
        grid=GRID,
        evaluation={"plan": "plain"},
        figures={"topology": True, "computed": True, "formats": ["svg"]},
    )
    text = STOPPING.replace("1 + outputs[:, 0] ** 2", CURVED)
    both = text.replace(
        '{"height": height})',
        '{"height": height}, splits={"test": (torch.ones(5, 2) / 2, LABELS)})',
    ).replace("def build", "LABELS = torch.ones(5, 1)\n\n\ndef build")
    Path("stopping.py").write_text(both)
    probe(here, here.path("probe.json"))
    make_directions(here, here.path("directions.h5"))
    go()
    surface = load_surface(here.path("surface.h5"))
    there = surface.computed
    assert 0 < surface.evaluated < surface.grid.size
    assert np.isnan(surface.standard_error("train_loss_height")[~there]).all()
    gap = with_gaps(surface)
    key, own = "test_loss_height_gap", "train_loss_height"
    np.testing.assert_array_equal(
        gap.errors[key], surface.errors[own] + surface.errors["test_loss_height"]
    )
    assert (gap.errors[key][there] == 0).all()
    other = ["--key", "test_loss_height", "--format", "svg"]
    for script, *more in (
        (plot_gap, *other),
        (plot_surface, *other),
        (plot_persistence, *other),
        (export_vtp, "--key", own),
        (export_flat,),
        (make_explorer, "--out", "page.html"),
    ):
        assert script.main([*RUN, *more]) == 0, script.__name__
    assert verify.main(["results/own/surface.h5", "--points", "all"]) == 0
    assert f"{surface.evaluated} points" in caplog.text
    sys.modules.pop("stopping", None)


def test_a_grid_so_small_that_all_of_it_is_evaluated_has_no_bounds_and_no_warnings(run):
    """The last audit takes what is left, fewer points than a bound can be told by."""
    grid = {"x": [-1, 1, 17], "y": [-0.5, 1, 13], "mode": "adaptive"}
    here = run(problem="stopping.py:build", grid=grid, evaluation={"plan": "plain"})
    Path("stopping.py").write_text(STOPPING.replace("1 + outputs[:, 0] ** 2", CURVED))
    probe(here, here.path("probe.json"))
    make_directions(here, here.path("directions.h5"))
    go()
    surface = load_surface(here.path("surface.h5"))
    assert surface.evaluated == surface.grid.size
    assert not any(errors.any() for errors in surface.errors.values())
    sys.modules.pop("stopping", None)


def surface_to_xarray(surface):
    from landscape_lib.utils.labelled import to_xarray

    return to_xarray(surface)


def test_a_tolerance_changes_what_is_chosen_and_nothing_that_was_evaluated(run):
    def of(**more):
        found = Dependencies(configured(run, **more))
        return found.points("own"), found.merging("own"), found.shard("own", "shards/0-of-1.h5")

    first = of()
    finer, shards, full = of(tolerance=0.002), of(shards=3), of(mode="full")
    assert finer[2] == shards[2] == full[2] == first[2]
    assert len({first[0], finer[0], shards[0]}) == 3
    assert len({first[1], finer[1], full[1]}) == 3


def configured(run, **more):
    from landscape_lib import config

    run(grid={**GRID, **more})
    return config.load("config.yaml")


def test_mistakes_are_named(probed, run, capsys):
    out = ["--out", "results/own/rounds/0.json"]
    run(problem="stopping.py:build", grid={**GRID, "metric": "loss"})
    assert choose_points.main([*RUN, "--round", "0", *out]) == 2
    assert "no metric 'loss' to decide" in capsys.readouterr().err
    run(problem="stopping.py:build", grid={**GRID, "mode": "full"})
    assert choose_points.main([*RUN, "--round", "0", *out]) == 2
    assert "its grid is not adaptive" in capsys.readouterr().err
    run(problem="stopping.py:build", grid=GRID)
    assert choose_points.main([*RUN, "--round", "1", *out]) == 2
    assert (
        "rounds/0.json: there is no such file; run choose_points first" in capsys.readouterr().err
    )
    assert choose_points.main([*RUN, "--round", "0", *out]) == 0
    with pytest.raises(InputError, match="Shard 2 of 2; round 0 has 2 shards"):
        read_round(out[1]).shard(2, 2)
    assert merge_shards.main([*RUN, "--of", "2", "--out", "surface.h5"]) == 2
    Path(out[1]).write_text("{}")
    assert choose_points.main([*RUN, "--round", "1", *out]) == 2
    assert "0.json: it is damaged" in capsys.readouterr().err


def test_a_gap_in_a_round_is_refused(probed):
    go()
    shard = Path("results/own/rounds/1/0-of-2.h5")
    other = Path("results/own/rounds/1/1-of-2.h5")
    shard.write_bytes(other.read_bytes())
    from landscape_lib.steps.merge import merge_shards as merge
    from landscape_lib.steps.merge import shard_paths

    with pytest.raises(DisagreementError, match="points are missing"):
        merge(probed, shard_paths(probed, 1), "surface.h5")
    assert not Path("surface.h5").exists()


def test_nearly_every_point_of_a_rugged_surface_is_evaluated_and_it_says_so(caplog):
    def rugged(outputs, targets):
        return torch.frac(outputs[:, 0] * 7919.0)

    net = nn.Linear(2, 1)
    landscape = LossLandscape(net, (torch.ones(3, 2), torch.ones(3, 1)), {"rugged": rugged})
    landscape.compute_2d((-1, 1, 21), (-1, 1, 25), save=False, tolerance=0.01)
    assert landscape.surface.evaluated > 0.95 * 21 * 25
    assert "nearly every point is needed" in caplog.text


def test_what_decides_needs_a_tolerance():
    landscape = LossLandscape(nn.Linear(2, 1), (torch.ones(3, 2), torch.ones(3, 1)), nn.MSELoss())
    with pytest.raises(InputError, match="give a tolerance as well"):
        landscape.compute_2d((-1, 1, 5), (-1, 1, 5), metric="train_loss")
