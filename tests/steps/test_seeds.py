"""Several seeds as one run, by scripts and library, against the law of a quadratic form."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from landscape_lib import LossLandscape, config
from landscape_lib.core.ensemble import Ensemble
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.utils.storage import load_ensemble, save_ensemble, save_surface
from scripts import merge_seeds, plot_seeds
from tests.steps.walk import to_surface

# L(w) = sum_i h_i (w_i - 1)^2 / 2 around its minimum w = 1, where 'normalize: weight' leaves the
# Gaussian noise d as it is: the Hessian H is diagonal, and 2 L(d) = d'Hd.
PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


def build(curvatures):
    h = torch.tensor(curvatures, dtype=torch.float64)
    net = nn.Linear(len(h), 1, bias=False).double()
    nn.init.ones_(net.weight)
    data = torch.diag(h.sqrt()), h.sqrt()[:, None]

    def half(outputs, targets):
        return len(h) * (outputs - targets).square() / 2

    return Problem(net, data, {"half": half})
"""
KEY = "train_loss_half"
H = (0.5, 1.0, 2.0, 3.0, 5.0)
GRID = Grid((Axis(-1, 1, 3),))


@pytest.fixture
def quadratic(tmp_path, monkeypatch):
    """Returns a function that writes a config with the run "own", and gives the config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "own_quadratic.py").write_text(PROBLEM)

    def configured(**parts):
        told = {
            "problem": "own_quadratic.py:build",
            "args": {"curvatures": list(H)},
            "grid": {"x": [-1, 1, 3]},
            "directions": {"normalize": "weight", "seed": 3},
            "evaluation": {"precision": "float64", "plan": "plain", "device": "cpu"},
            **parts,
        }
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"runs": {"own": told}}))
        return config.load("c.yaml")

    yield configured
    for name in ("own_quadratic", "_problem_own_quadratic"):
        sys.modules.pop(name, None)


def landscape(curvatures=H):
    import own_quadratic

    problem = own_quadratic.build(list(curvatures))
    return LossLandscape(problem.model, problem.data, problem.metrics, plan="plain")


def forms(count, curvatures=H):
    """Return d'Hd for so many seeds."""
    axes = {"xrange": (1, 1, 1), "normalize": "weight", "save": False}
    found = landscape(curvatures).compute_seeds(count, **axes)
    return 2 * np.array([one["losses"]["half"][0] for one in found["members"]])


def test_the_mean_over_seeds_is_the_trace_and_the_spread_that_of_chi_squares(quadratic):
    """E d'Hd = tr H and Var d'Hd = 2 tr H^2 over Gaussian d; four standard errors are allowed."""
    quadratic()
    h, count = np.array(H), 150
    found = forms(count)
    variance = 2 * (h**2).sum()
    assert abs(found.mean() - h.sum()) < 4 * np.sqrt(variance / count)
    excess = 48 * (h**4).sum() / variance**2
    assert abs(found.var(ddof=1) / variance - 1) < 4 * np.sqrt((2 + excess) / count)


def test_where_all_curvatures_are_one_it_is_chi_square_itself(quadratic):
    quadratic()
    assert stats.kstest(forms(80, np.ones(4)), stats.chi2(4).cdf).pvalue > 0.01


def test_a_run_with_seeds_keeps_every_member_and_draws_mean_and_spread(quadratic):
    runs = quadratic(seeds=4).runs
    assert list(runs) == ["own", "own_seed4", "own_seed5", "own_seed6"]
    surfaces = [to_surface(name, shards=1) for name in runs]
    here = ["--config", "c.yaml", "--run", "own"]
    assert merge_seeds.main([*here, "--out", "results/own/seeds.h5"]) == 0
    found = load_ensemble("results/own/seeds.h5")
    members = np.stack([surface[KEY] for surface in surfaces])
    np.testing.assert_array_equal(found.stacked(KEY), members)
    np.testing.assert_array_equal(found.mean[KEY], members.mean(axis=0))
    np.testing.assert_array_equal(found.spread[KEY], members.std(axis=0, ddof=1))
    library = landscape().compute_seeds([3, 4, 5, 6], (-1, 1, 3), normalize="weight")
    assert library["mean"]["losses"]["half"].tobytes() == found.mean[KEY].tobytes()
    assert library["spread"]["losses"]["half"].tobytes() == found.spread[KEY].tobytes()
    kept = load_ensemble("loss_surface_seeds.h5")
    assert kept.stacked(KEY).tobytes() == members.tobytes()
    assert plot_seeds.main([*here, f"--key={KEY}", "--format", "png"]) == 0
    drawn = Path("results/own/figures") / f"{KEY}_seeds.png"
    assert drawn.stat().st_size > 10_000
    quadratic()
    Path("results/own/over_training.html").touch()
    to_surface("own", shards=1)
    assert not Path("results/own/seeds.h5").exists()
    aside = Path("results/own/stale")
    found = {path.relative_to(aside).as_posix() for path in aside.rglob("*.*")}
    assert found == {"seeds.h5", "over_training.html", f"figures/{KEY}_seeds.png"}


def test_seeds_are_targets_of_their_run_and_no_comparison_of_it(quadratic, monkeypatch):
    whole = quadratic(seeds=3)
    depends = Dependencies(whole)
    monkeypatch.setattr(depends, "report", lambda run: {"keys": [KEY]})
    assert {"results/own/seeds.h5", f"results/own/figures/{KEY}_seeds.pdf"} <= set(
        depends.targets("own")
    )
    assert not [one for one in depends.targets("own_seed4") if "seeds" in one]
    assert whole.compared == ()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"seeds": 1}, "runs.own.seeds: found 1; allowed: a whole number from 2"),
        ({"grid": {"x": "auto"}}, "found 3 beside 'auto'; allowed: ends in numbers"),
        (
            {"grid": {"x": [-1, 1, 9], "y": [-1, 1, 7], "mode": "adaptive"}},
            "found 3 beside an adaptive grid; allowed: grid.mode 'full'",
        ),
        (
            {"directions": {"kind": "target", "model": "c.yaml"}},
            "found 3 without a random direction; allowed: kind 'random' on an axis",
        ),
        ({"per_layer": ["weight"]}, "allowed: one of compare_batch_norm, per_layer, seeds"),
    ],
)
def test_seeds_that_make_no_sense_are_refused_when_the_config_is_read(quadratic, parts, words):
    with pytest.raises(InputError, match=r"(?s)c\.yaml") as refused:
        quadratic(**{"seeds": 3, **parts})
    assert words in str(refused.value)


@pytest.mark.parametrize("seeds", [1, True, [0], [2, 2], [0, -1], "ab", [0.5, 1]])
def test_the_librarys_seeds_are_checked_before_anything_is_computed(quadratic, seeds):
    quadratic()
    with pytest.raises(InputError, match=r"seeds=.*; wanted how many, from 2, or a list"):
        landscape().compute_seeds(seeds)


def test_seeds_that_were_kept_are_drawn_later_and_others_are_asked_for(quadratic):
    quadratic()
    with pytest.raises(InputError, match=r"_seeds\.h5 is not there yet: call compute_seeds\(\)"):
        landscape().plot_seeds()
    landscape().compute_seeds(2, (-1, 1, 3))
    pictures = landscape().plot_seeds()
    assert [path.name for path in pictures] == [f"loss_surface.h5_{KEY}_seeds.pdf"]


def test_a_run_of_one_seed_has_no_spread(quadratic, capsys):
    quadratic()
    out = ["--out", "seeds.h5"]
    assert merge_seeds.main(["--config", "c.yaml", "--run", "own", *out]) == 2
    assert "own: it has one seed. Set 'seeds: 5'" in capsys.readouterr().err


def test_members_of_other_grids_or_metrics_are_no_ensemble():
    one = Surface(GRID, {"a": np.zeros(3)})
    for other in (
        Surface(GRID, {"b": np.zeros(3)}),
        Surface(Grid((Axis(-1, 2, 3),)), {"a": np.zeros(3)}),
    ):
        with pytest.raises(InputError, match="members have the same"):
            Ensemble({"one": one, "other": other})
    with pytest.raises(InputError, match=r"takes two members or more; there are \['one'\]"):
        Ensemble({"one": one})


def test_where_a_member_is_not_finite_mean_and_spread_are_not(tmp_path):
    values = np.array([[1.0, np.nan, np.inf], [3.0, 1.0, 1.0]])
    members = {f"seed {n}": Surface(GRID, {"a": row}) for n, row in enumerate(values)}
    save_ensemble(tmp_path / "s.h5", Ensemble(members))
    found = load_ensemble(tmp_path / "s.h5")
    np.testing.assert_array_equal(found.mean["a"], [2, np.nan, np.inf])
    np.testing.assert_array_equal(found.spread["a"], [np.sqrt(2), np.nan, np.nan])
    save_surface(tmp_path / "c.h5", members["seed 0"])
    with pytest.raises(InputError, match="this is no file of several seeds"):
        load_ensemble(tmp_path / "c.h5")
