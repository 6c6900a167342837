"""Metrics that a config names: evaluated, hashed, told, and the same from a program."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from landscape_lib import InputError, LossLandscape, config
from landscape_lib.problems.build import build_problem
from landscape_lib.steps.check import check
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.utils.storage import load_directions, load_surface
from landscape_lib.viz import explore
from scripts import (
    evaluate_shard,
    make_directions,
    make_verdict,
    measure_centre,
    merge_shards,
    probe,
)

PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


class Named(torch.utils.data.TensorDataset):
    classes = ["cat", "dog", "newt"]


def build():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        inputs, noise = torch.randn(40, 4), torch.randn(40, 3)
    data = Named(inputs, (inputs[:, :3] + noise / 4).argmax(1))
    return Problem(net, data)
"""
OWN = """\
from torch import nn
from helper import FACTOR


class Worst(nn.Module):
    def forward(self, outputs, targets):
        return FACTOR * nn.functional.cross_entropy(outputs, targets, reduction="none").max()
"""
ASKED = {
    "loss": "cross_entropy",
    "worst": "own_metrics.py:Worst",
    "right": {"metric": "accuracy", "per_class": True},
    "objective": {"metric": "objective", "args": {"weight_decay": 0.1}},
    "weight_decay": {"metric": "weight_decay", "args": {"coefficient": 0.1}},
}
KEYS = [
    *(f"train_loss_{name}" for name in ("loss", "worst", "right_cat", "right_dog", "right_newt")),
    "train_loss_objective",
    "train_loss_weight_decay",
]
NOTE = "averaged over batches, weighted by their samples"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own.py").write_text(PROBLEM)
    (tmp_path / "own_metrics.py").write_text(OWN)
    (tmp_path / "helper.py").write_text("FACTOR = 1.0\n")
    yield tmp_path
    for name in ("own", "own_metrics", "helper", "_problem_own"):
        sys.modules.pop(name, None)


def written(metrics=None, top=None, name="own"):
    run = {"problem": "own.py:build", "grid": {"x": [-1, 1, 3], "y": [-1, 1, 5]}}
    run |= {} if metrics is None else {"metrics": metrics}
    tree = {"runs": {name: run}} | ({} if top is None else {"metrics": top})
    Path("c.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return config.load("c.yaml")


def call(script, *more):
    assert script.main(["--config", "c.yaml", "--run", "own", *more]) == 0


def test_a_run_evaluates_tells_and_judges_what_it_names(folder, capsys):
    written(ASKED)
    place = folder / "results/own"
    call(probe, "--out", str(place / "probe.json"))
    call(make_directions, "--out", str(place / "directions.h5"))
    call(evaluate_shard, "--shard", "0", "--of", "1", "--out", str(place / "shards/0-of-1.h5"))
    call(merge_shards, "--of", "1", "--out", str(place / "surface.h5"))
    call(measure_centre, "--out", str(place / "centre.json"))
    call(make_verdict, "--out", str(place / "verdict.json"), "--page", str(place / "v.html"))
    report = json.loads((place / "probe.json").read_text())
    surface = load_surface(place / "surface.h5")
    assert report["keys"] == list(surface.keys) == KEYS
    assert "own_metrics.py:Worst" in surface.attributes["config"]
    assert surface.labels["train_loss_worst"].note == NOTE
    assert surface.labels["train_loss_loss"].note == ""
    assert surface.labels["train_loss_right_cat"].units == "%"
    assert surface.labels["train_loss_weight_decay"].long_name == "weight decay"
    np.testing.assert_allclose(
        surface["train_loss_objective"],
        surface["train_loss_loss"] + surface["train_loss_weight_decay"],
        rtol=1e-14,
    )
    verdict = json.loads((place / "verdict.json").read_text())
    (line,) = [entry for entry in verdict["checks"] if entry["id"] == "averages"]
    assert line["state"] == "note"
    assert line["found"] == f"train_loss_worst is {NOTE}."
    assert NOTE in (place / "v.html").read_text()
    assert NOTE in Path(explore(place / "surface.h5")).read_text()

    problem = build_problem("own.py:build", {})
    landscape = LossLandscape(problem.model, problem.data, metrics=ASKED, surf_file="api.h5")
    landscape.compute_2d((-1, 1, 3), (-1, 1, 5))
    assert landscape.surface.labels == surface.labels
    for key in KEYS:
        np.testing.assert_array_equal(landscape.surface[key], surface[key])
    for mine, other in zip(
        landscape.directions, load_directions(place / "directions.h5"), strict=True
    ):
        assert all((a == b).all() for a, b in zip(mine, other, strict=True))


def test_check_tells_what_is_averaged_beside_its_value(folder):
    written(ASKED)
    (told,) = check(Path("c.yaml"), None, time.perf_counter())
    (line,) = [line for line in told.splitlines() if line.startswith("train_loss_worst")]
    assert line.endswith(f"  {NOTE}")
    (line,) = [line for line in told.splitlines() if line.startswith("train_loss_loss")]
    assert "averaged" not in line


def test_a_run_has_the_defaults_of_all_runs_and_null_gives_it_its_own_back(folder):
    assert list(written(top=["mse"]).run("own").metrics.metrics) == ["mse"]
    assert list(written("l1", top=["mse"]).run("own").metrics.metrics) == ["l1"]
    tree = yaml.safe_load(Path("c.yaml").read_text())
    tree["runs"]["own"]["metrics"] = None
    Path("c.yaml").write_text(yaml.safe_dump(tree))
    assert config.load("c.yaml").run("own").metrics is None
    assert written().run("own").metrics is None


def test_what_runs_again_when_metrics_change_and_what_does_not(folder):
    def depends(metrics):
        found = Dependencies(written(metrics))
        return found.problem("own"), found.directions("own")

    plain, directions = depends(None)
    one, same = depends(["own_metrics.py:Worst"])
    assert plain != one
    assert directions == same
    again = depends(["own_metrics.py:Worst"])[0]
    (folder / "own_metrics.py").write_text(f"# a comment\n{OWN}")
    commented = depends(["own_metrics.py:Worst"])[0]
    (folder / "helper.py").write_text("FACTOR = 2.0\n")
    changed, same = depends(["own_metrics.py:Worst"])
    assert one == again == commented != changed
    assert directions == same
    other = depends([{"metric": "huber", "args": {"delta": 0.5}}])[0]
    assert other != depends([{"metric": "huber", "args": {"delta": 0.6}}])[0]


def test_the_fingerprint_knows_the_metrics_and_stays_what_it_was_without(folder):
    from landscape_lib.steps.bench import set_up

    def parts(metrics):
        return set_up(written(metrics).run("own")).parts

    plain, worst = parts(None), parts(["own_metrics.py:Worst"])
    assert {name for name in plain if plain[name] != worst[name]} == {
        "args", "code", "metrics", "fingerprint",
    }  # fmt: skip
    assert worst["fingerprint"] != parts({"w": "own_metrics.py:Worst"})["fingerprint"]
    for name in ("own_metrics", "helper"):
        sys.modules.pop(name, None)
    (folder / "helper.py").write_text("FACTOR = 2.0\n")
    assert parts(["own_metrics.py:Worst"])["code"] != worst["code"]


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ("cross_entopy", "runs.own.metrics: found 'cross_entopy'; .*Did you mean 'cross_entropy'?"),
        (["mse", {"metric": "top0"}], r"runs.own.metrics\[1\]: found 'top0'; allowed: "),
        (
            {"a": {"metric": "mse", "argz": {}}},
            "runs.own.metrics.a: found 'argz'; .* Did you mean 'args'",
        ),
        (
            {"a b": "weight_decay"},
            r"runs.own.metrics.'a b'.args.coefficient: found null; allowed: ",
        ),
        (5, "runs.own.metrics: found 5; allowed: a name such as 'cross_entropy'"),
    ],
)
def test_mistakes_are_told_before_anything_starts(folder, metrics, told):
    with pytest.raises(InputError, match=f"c.yaml: (?:{told})"):
        written(metrics)


def test_a_mistake_in_the_defaults_is_told_once(folder):
    with pytest.raises(InputError) as error:
        written(top="acuracy")
    assert str(error.value).startswith("c.yaml: metrics: found 'acuracy'")
    assert str(error.value).count("\n") == 0


def test_a_missing_metric_file_is_told_when_the_pipeline_reads_its_rules(folder):
    with pytest.raises(InputError, match=r"absent\.py: there is no such file"):
        Dependencies(written("absent.py:own"))


def test_a_program_gives_one_of_criterion_and_metrics(folder):
    problem = build_problem("own.py:build", {})
    with pytest.raises(InputError, match="criterion and metrics are the same thing; give one"):
        LossLandscape(problem.model, problem.data, "mse", metrics="mse")
    by_name = LossLandscape(problem.model, problem.data, metrics="cross_entropy")
    assert not by_name.use_custom_metrics
    found = by_name.compute_1d(xrange=(-1, 1, 3), save=False)
    wanted = LossLandscape(problem.model, problem.data).compute_1d(xrange=(-1, 1, 3), save=False)
    np.testing.assert_array_equal(found["losses"], wanted["losses"])
    np.testing.assert_array_equal(found["accuracies"], wanted["accuracies"])
    with pytest.raises(InputError, match="Did you mean 'cross_entropy'"):
        LossLandscape(problem.model, problem.data, "cross_entropi")
