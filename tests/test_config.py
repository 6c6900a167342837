"""A config is read as it was meant, or refused in one line for each mistake."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_lib import config
from landscape_lib.config.layers import allowed
from landscape_lib.config.settings import (
    SECTIONS,
    ComparisonSettings,
    ProblemSettings,
    Train,
)
from landscape_lib.config.source import _Loader
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid, Refinement

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "workflow/schemas/config.schema.json"
README = ROOT / "config/README.md"

WHOLE = """
runs:
  mine:
    problem: path/to/my_problem.py:build
    args: {checkpoint: model_300.pt}
    files: [labels.csv]
    train: {function: path/to/my_problem.py:train, args: {seed: 0}}
    grid: {x: [-1, 1, 51], y: [-0.5, 1.5, 11], shards: 7}
    directions: {kind: random, seed: 3, dir_type: states, normalize: layer, ignore: scaled}
    evaluation: {device: "cuda:1", precision: float64, batch_size: 64, plan: plain}
    figures: {cmap: magma, scale: log, vmin: 0.1, vmax: 10, vlevel: 0.5, formats: [png, pdf]}
    paraview: {log: true, zmax: 10, interp: 101, zscale: auto}
"""


def loaded(folder: Path, text: str) -> config.Config:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


def a_run(grid="{x: [-1, 1, 5], y: [-1, 1, 3]}", **parts: str) -> str:
    """A config of one run named mine, in YAML."""
    below = "".join(f"    {part}: {text}\n" for part, text in {"grid": grid, **parts}.items())
    return f"runs:\n  mine:\n    problem: p.py:build\n{below}"


def mine(folder: Path, text: str) -> config.Experiment:
    return loaded(folder, text).run("mine")


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as told:
        loaded(folder, text)
    lines = str(told.value).splitlines()
    start = f"{folder / 'c.yaml'}: "
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


# ---------------------------------------------------------------- what is read


def test_every_key_arrives_where_it_belongs(tmp_path):
    run = mine(tmp_path, WHOLE)
    assert run.name == "mine"
    assert run.problem == "path/to/my_problem.py:build"
    assert run.args == {"checkpoint": "model_300.pt"}
    assert run.files == ("labels.csv",)
    assert run.train == config.Train(function="path/to/my_problem.py:train", args={"seed": 0})
    assert run.grid == Grid((Axis(-1.0, 1.0, 51), Axis(-0.5, 1.5, 11)))
    assert run.shards == 7
    direction = config.DirectionSettings(
        kind="random", seed=3, dir_type="states", normalize="layer", ignore="scaled"
    )
    assert run.directions == (direction, direction)
    assert run.evaluation == config.EvaluationSettings(
        device="cuda:1", precision="float64", batch_size=64, plan="plain"
    )
    assert run.figures == config.FigureSettings(
        cmap="magma", scale="log", vmin=0.1, vmax=10.0, vlevel=0.5, formats=("pdf", "png")
    )
    assert run.paraview == config.ParaviewSettings(log=True, zmax=10.0, interp=101, zscale="auto")


def test_what_is_left_out_has_the_defaults(tmp_path):
    run = mine(tmp_path, a_run())
    assert (run.args, run.files, run.train, run.shards) == ({}, (), None, "auto")
    assert run.directions == (config.DirectionSettings(),) * 2
    assert run.evaluation == config.EvaluationSettings()
    assert run.figures == config.FigureSettings()
    assert run.paraview == config.ParaviewSettings()


def test_sections_with_nothing_below_them_have_the_defaults(tmp_path):
    empty = {part: "" for part in ("args", "files", "train", "directions", "figures")}
    assert mine(tmp_path, a_run(**empty)) == mine(tmp_path, a_run())


def test_an_experiment_is_frozen_and_can_be_pickled(tmp_path):
    run = mine(tmp_path, WHOLE)
    with pytest.raises(AttributeError):
        run.name = "other"
    with pytest.raises(ValueError, match="frozen"):
        run.figures.cmap = "magma"
    assert pickle.loads(pickle.dumps(run)) == run


def test_results_of_a_run_stand_below_its_name(tmp_path):
    run = mine(tmp_path, a_run())
    assert run.folder == Path("results/mine")
    assert run.path("shards", "0-of-2.h5") == Path("results/mine/shards/0-of-2.h5")


def test_an_unknown_run_names_those_there_are(tmp_path):
    found = loaded(tmp_path, WHOLE)
    with pytest.raises(InputError, match=r"c\.yaml: there is no run 'his'; choose one of \['mine"):
        found.run("his")


def test_a_grid_without_y_is_a_curve(tmp_path):
    run = mine(tmp_path, a_run("{x: [-1, 1, 5]}"))
    assert run.grid.shape == (5,)
    assert len(run.directions) == 1


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[-1, 1, 5]", (-1.0, 1.0, 5)),
        ("[1e-3, 1E2, 5]", (0.001, 100.0, 5)),
        ("['-1e-3', '.5', '5']", (-0.001, 0.5, 5)),
        ("[-0.1, 010, 5]", (-0.1, 10.0, 5)),
        ("[2, 2.0, 1]", (2.0, 2.0, 1)),
    ],
)
def test_numbers_mean_what_they_look_like(tmp_path, written, found):
    assert mine(tmp_path, a_run(f"{{x: {written}}}")).grid.axes == (Axis(*found),)


def test_a_limit_of_zero_is_a_limit_trap_5(tmp_path):
    """An earlier tool took it for one that was left out, and refused ``0:1:51``."""
    zeros = {"figures": "{vmin: 0}", "paraview": "{zmax: 0}"}
    run = mine(tmp_path, a_run("{x: [0, 1, 51], y: [-1, 0, 3]}", **zeros))
    assert run.grid == Grid((Axis(0, 1, 51), Axis(-1, 0, 3)))
    assert (run.figures.vmin, run.figures.vmax, run.paraview.zmax) == (0, None, 0)


def test_arguments_keep_the_values_that_they_look_like(tmp_path):
    args = "{rate: 1e-3, date: 2024-01-01, time: 1:30, code: 010, n: 1_000, deep: {0: [a, null]}}"
    assert mine(tmp_path, a_run(args=args)).args == {
        "rate": 0.001,
        "date": "2024-01-01",
        "time": "1:30",
        "code": "010",
        "n": 1000,
        "deep": {0: ["a", None]},
    }


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_python_writes_is_read_back(number):
    assert yaml.load(repr(number), _Loader) == number
    assert yaml.load(repr(number), _Loader).__class__ is float


@pytest.mark.parametrize("word", ["none", "null", "~", "'none'"])
def test_ignoring_nothing_is_spelt_none_or_null(tmp_path, word):
    run = mine(tmp_path, a_run(directions=f"{{ignore: {word}}}"))
    assert run.directions[0].ignore == "none"


def test_a_plan_that_is_a_mapping_is_kept(tmp_path):
    run = mine(tmp_path, a_run(evaluation="{plan: {name: grouped, points: 8}}"))
    assert run.evaluation.plan == {"name": "grouped", "points": 8}


def test_aliases_and_merge_keys_work_and_share_nothing(tmp_path):
    text = a_run(args="&args {deep: {a: 1}}") + (
        "  other:\n    problem: q.py:build\n    args: {<<: *args, more: 2}\n"
        "    grid: {x: [0, 1, 2]}\n"
    )
    runs = loaded(tmp_path, text).runs
    assert runs["other"].args == {"deep": {"a": 1}, "more": 2}
    assert runs["other"].args["deep"] is not runs["mine"].args["deep"]


def test_the_config_is_read_without_the_heavy_libraries():
    heavy = "{'torch', 'scipy', 'matplotlib', 'h5py'}"
    code = f"import sys, landscape_lib.config; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# ---------------------------------------------------------------- defaults for all runs


def test_a_run_lies_over_the_defaults_key_by_key(tmp_path):
    text = (
        "grid: {x: [-1, 1, 51], y: [0, 1, 3]}\nevaluation: {device: cpu, precision: float64}\n"
        + a_run("{shards: 3}", evaluation="{precision: float32}")
    )
    run = mine(tmp_path, text)
    assert (run.grid.shape, run.shards) == ((51, 3), 3)
    assert (run.evaluation.device, run.evaluation.precision) == ("cpu", "float32")


def test_a_run_takes_an_inherited_y_away(tmp_path):
    text = "grid: {x: [-1, 1, 5], y: [0, 1, 3]}\ndirections: {x: {seed: 1}, y: {seed: 2}}\n"
    run = mine(tmp_path, text + a_run("{y: null}"))
    assert run.grid.shape == (5,)
    assert [direction.seed for direction in run.directions] == [1]


_FIGURES = st.fixed_dictionaries(
    {},
    optional={
        "cmap": st.sampled_from(["viridis", "magma"]),
        "vmax": st.one_of(st.none(), st.integers(1, 9)),
        "formats": st.sampled_from([["pdf"], ["png", "svg"]]),
    },
)


@settings(max_examples=50, deadline=None)
@given(default=_FIGURES, own=_FIGURES)
def test_merging_by_hand_changes_nothing(tmp_path_factory, default, own):
    folder = tmp_path_factory.getbasetemp()
    apart = f"figures: {json.dumps(default)}\n" + a_run(figures=json.dumps(own))
    together = a_run(figures=json.dumps(default | own))
    assert mine(folder, apart) == mine(folder, together)


def test_directions_for_one_axis_win_over_those_for_both(tmp_path):
    directions = "{normalize: layer, x: {kind: target, model: b.pt}, y: {seed: 1}}"
    x, y = mine(tmp_path, a_run(directions=directions)).directions
    assert (x.kind, x.model) == ("target", "b.pt")
    assert (y.kind, y.seed, y.normalize) == ("random", 1, "layer")


def test_a_run_of_another_kind_leaves_the_defaults_of_the_first_behind(tmp_path):
    text = "directions: {kind: target, model: b.pt, dir_type: states}\n"
    run = mine(tmp_path, text + a_run(directions="{kind: random, seed: 4}"))
    assert run.directions[0] == config.DirectionSettings(seed=4, dir_type="states")


def test_a_run_gives_what_the_kind_of_the_defaults_needs(tmp_path):
    run = mine(tmp_path, "directions: {kind: file}\n" + a_run(directions="{path: d.h5}"))
    assert [direction.path for direction in run.directions] == ["d.h5", "d.h5"]


def test_runs_keep_the_order_of_the_file(tmp_path):
    names = ["zeta", "alpha", "mid.dle-1"]
    runs = "".join(f"  {name}: {{problem: 'a.b:c'}}\n" for name in names)
    assert list(loaded(tmp_path, f"grid: {{x: [0, 1, 2]}}\nruns:\n{runs}").runs) == names


# ---------------------------------------------------------------- the canonical settings


def test_settings_say_every_part_as_one_line_of_json(tmp_path):
    run = mine(tmp_path, WHOLE)
    assert run.settings("grid") == '{"x":[-1.0,1.0,51],"y":[-0.5,1.5,11]}'
    assert json.loads(run.settings("problem")) == {
        "problem": "path/to/my_problem.py:build",
        "args": {"checkpoint": "model_300.pt"},
        "files": ["labels.csv"],
    }
    assert json.loads(run.settings("train"))["args"] == {"seed": 0}
    assert json.loads(run.settings("evaluation"))["device"] == "cuda:1"
    assert json.loads(run.settings("figures"))["formats"] == ["pdf", "png"]
    assert json.loads(run.settings("paraview"))["zscale"] == "auto"


@pytest.mark.parametrize(
    ("part", "one", "other"),
    [
        ("grid", {"grid": "{x: [-1, 1, 5]}"}, {"grid": "{shards: 2, x: ['-1.0', 1e0, 5]}"}),
        ("grid", {"grid": "{x: [0, 1, 5]}"}, {"grid": "{y: null, x: [-0.0, 1, 5]}"}),
        ("directions", {}, {"directions": "{x: {seed: 0}, y: {normalize: filter}}"}),
        ("directions", {"directions": "{ignore: none}"}, {"directions": "{ignore: null}"}),
        ("directions", {}, {"directions": "{model: null}"}),
        ("figures", {"figures": "{vmin: 1}"}, {"figures": "{vmin: 1.0, cmap: viridis}"}),
        ("figures", {"figures": "{formats: [svg, pdf]}"}, {"figures": "{formats: [pdf, svg]}"}),
        ("paraview", {"paraview": "{zscale: 1}"}, {"paraview": "{zscale: '1.0'}"}),
        ("problem", {"args": "{a: 1, b: 2}"}, {"args": "{b: 2, a: 1}"}),
        ("problem", {"files": "[a, b]"}, {"files": "[b, a]"}),
        ("train", {}, {"train": "null"}),
    ],
)
def test_the_same_meaning_has_the_same_settings(tmp_path, part, one, other):
    first, second = (mine(tmp_path, a_run(**text)) for text in (one, other))
    assert first.settings(part) == second.settings(part)


@pytest.mark.parametrize(
    ("part", "one", "other"),
    [
        ("grid", {"grid": "{x: [0, 1, 5]}"}, {"grid": "{x: [0, 1, 6]}"}),
        ("directions", {"directions": "{x: {seed: 1}}"}, {"directions": "{y: {seed: 1}}"}),
        ("problem", {"args": "{a: 1}"}, {"args": "{a: '1'}"}),
        ("problem", {"args": "{a: {1: x}}"}, {"args": "{a: {'1': x}}"}),
        ("evaluation", {}, {"evaluation": "{plan: {batch: 8}}"}),
    ],
)
def test_another_meaning_has_other_settings(tmp_path, part, one, other):
    first, second = (mine(tmp_path, a_run(**text)) for text in (one, other))
    assert first.settings(part) != second.settings(part)


def test_a_direction_depends_on_the_keys_of_its_kind_alone(tmp_path):
    target = a_run(directions="{kind: target, model: b.pt}")
    plain, seeded = (mine(tmp_path, text + target) for text in ("", "directions: {seed: 9}\n"))
    assert plain.settings("directions") == seeded.settings("directions")
    assert json.loads(plain.settings("directions"))["y"] == {
        "kind": "target",
        "dir_type": "weights",
        "model": "b.pt",
    }


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("{kind: hessian}", [1, 2]),
        ("{kind: hessian, y: {eigenvector: -1}}", [1, -1]),
        ("{kind: hessian, x: {eigenvector: 2}, y: {eigenvector: 1}}", [2, 1]),
        ("{y: {kind: hessian}}", [None, 2]),
        ("{y: {kind: hessian, eigenvector: 1, samples: 9}}", [None, 1]),
    ],
)
def test_eigenvectors_are_numbered_by_axis_where_nothing_is_said(tmp_path, written, numbers):
    run = mine(tmp_path, a_run(directions=written))
    assert [direction.eigenvector for direction in run.directions] == numbers
    told = json.loads(run.settings("directions"))
    assert [told[axis].get("eigenvector") for axis in "xy"] == numbers


def test_settings_of_no_part_name_the_parts(tmp_path):
    with pytest.raises(InputError, match=r"no part 'pictures'; choose one of \['problem', 'train'"):
        mine(tmp_path, a_run()).settings("pictures")


def test_a_pca_shows_the_way_of_its_own_checkpoints_unless_others_are_asked_for(tmp_path):
    pca = "{kind: pca, checkpoints: 'epochs/*.pt'}"
    run = mine(tmp_path, a_run(directions=pca))
    assert [direction.checkpoints for direction in run.directions] == [("epochs/*.pt",)] * 2
    assert run.trajectories == {"checkpoints": ("epochs/*.pt",)}
    run = mine(tmp_path, a_run(directions=pca, trajectory="{sgd: [a.pt, b.pt], adam: c.pt}"))
    assert run.trajectories == {"sgd": ("a.pt", "b.pt"), "adam": ("c.pt",)}
    assert mine(tmp_path, a_run(trajectory="")).trajectories == {}


# ---------------------------------------------------------------- what is refused

FUNCTION = "'path/to/file.py:function', 'package.module:function'"
LIMITS = "[low, high, count] such as [-1, 1, 51], [auto, auto, 51], 'auto'"
GRID_KEYS = "'x', 'y', 'shards', 'mode', 'tolerance', 'metric'"
NORMS = "'filter', 'layer', 'weight', 'dfilter', 'dlayer'"
DIRECTION = (
    "'kind', 'dir_type', 'seed', 'normalize', 'ignore', 'model', 'align', 'curve', "
    "'bend_epochs', 'bend_rate', 'bend_seed', 'path', 'layers', "
    "'checkpoints', 'eigenvector', 'samples', 'orthogonal'"
)
CHECKPOINTS = "a path, a pattern as 'epochs/*.pt', a list of them"
KINDS = "'random', 'target', 'file', 'pca', 'hessian'"
FORMATS = "a list of 'pdf', 'png', 'svg', each at most once"


@pytest.mark.parametrize(
    ("part", "written", "message"),
    [
        ("grid", "5", "grid: found 5; allowed: a mapping"),
        ("grid", "{y: [0, 1, 2]}", f"grid.x: found nothing; allowed: {LIMITS}"),
        ("grid", "{x: null}", f"grid.x: found null; allowed: {LIMITS}"),
        ("grid", "{x: [-1, 1]}", f"grid.x: found [-1, 1]; allowed: {LIMITS}"),
        ("grid", "{x: -1:1:51}", f"grid.x: found '-1:1:51'; allowed: {LIMITS}"),
        ("grid", "{x: [a, 1, 5]}", "grid.x[0]: found 'a'; allowed: a number, 'auto'"),
        ("grid", "{x: [0, true, 5]}", "grid.x[1]: found true; allowed: a number, 'auto'"),
        ("grid", "{x: [0, .inf, 5]}", "grid.x[1]: found inf; allowed: a number, 'auto'"),
        ("grid", "{x: [0, .nan, 5]}", "grid.x[1]: found nan; allowed: a number, 'auto'"),
        ("grid", "{x: [0, 'nan', 5]}", "grid.x[1]: found 'nan'; allowed: a number, 'auto'"),
        ("grid", "{x: [0, 1e999, 5]}", "grid.x[1]: found inf; allowed: a number, 'auto'"),
        ("grid", "{x: [0, 1, 51.0]}", "grid.x[2]: found 51.0; allowed: a whole number from 1"),
        ("grid", "{x: [0, 1, 0]}", "grid.x[2]: found 0; allowed: a whole number from 1"),
        ("grid", "{x: [0, 1, true]}", "grid.x[2]: found true; allowed: a whole number from 1"),
        ("grid", "{x: [1, -1, 5]}", "grid.x: found [1, -1, 5]; allowed: low below high"),
        (
            "grid",
            "{x: [0, 1, 1]}",
            "grid.x: found [0, 1, 1]; allowed: low equal to high where the count is 1",
        ),
        (
            "grid",
            "{x: [0, 1, 5], y: off}",
            f"grid.y: found false; allowed: {LIMITS}, null",
        ),
        (
            "grid",
            "{x: [0, 1, 5], shards: 6}",
            "grid.shards: found 6; allowed: 'auto', 1 to 5, the number of points of runs.mine",
        ),
        (
            "grid",
            "{x: [0, 1, 5], mode: adaptive}",
            "grid.mode: found 'adaptive'; allowed: 'full', since runs.mine has no y: a curve is "
            "evaluated whole",
        ),
        (
            "grid",
            "{x: [0, 1, 5], y: [0, 1, 4], mode: adaptive, tolerance: 1}",
            "grid.tolerance: found 1; allowed: a number between 0 and 1",
        ),
        (
            "grid",
            "{x: [0, 1, 5], shards: atuo}",
            "grid.shards: found 'atuo'; allowed: 'auto', a whole number from 1. "
            "Did you mean 'auto'?",
        ),
        (
            "grid",
            "{x: [0, 1, 5], z: 1}",
            f"grid.z: found an unknown key; allowed: {GRID_KEYS}",
        ),
        (
            "grid",
            "{x: [0, 1, 5], shard: 1}",
            f"grid.shard: found an unknown key; allowed: {GRID_KEYS}. Did you mean 'shards'?",
        ),
        (
            "directions",
            "{normalize: fliter}",
            f"directions.normalize: found 'fliter'; allowed: {NORMS}. Did you mean 'filter'?",
        ),
        (
            "directions",
            "{kind: umap}",
            f"directions.kind: found 'umap'; allowed: {KINDS}",
        ),
        (
            "directions",
            "{kind: [random]}",
            f"directions.kind: found ['random']; allowed: {KINDS}",
        ),
        (
            "directions",
            "{kind: hessian, dir_type: states}",
            "directions.dir_type: found 'states'; allowed: 'weights': a Hessian is that by the "
            "weights alone",
        ),
        (
            "directions",
            "{kind: hessian, eigenvector: 2}",
            "directions.eigenvector: found 2; allowed: another one on each axis; x and y are "
            "'hessian'",
        ),
        (
            "directions",
            "{kind: hessian, x: {samples: 5}}",
            "directions.x.samples: found 5; allowed: one number; x and y are 'hessian'",
        ),
        (
            "directions",
            "{kind: hessian, eigenvector: 0}",
            "directions.eigenvector: found 0; allowed: a whole number but 0, null",
        ),
        (
            "directions",
            "{eigenvector: 1}",
            "directions.eigenvector: found 1; allowed: with kind 'hessian' only; the kind here is "
            "'random'",
        ),
        (
            "evaluation",
            "{curvature: 0}",
            "evaluation.curvature: found 0; allowed: true, false, a whole number from 1",
        ),
        (
            "directions",
            "{x: {norm: layer}}",
            f"directions.x.norm: found an unknown key; allowed: {DIRECTION}. "
            "Did you mean 'normalize'?",
        ),
        (
            "directions",
            "{z: {seed: 1}}",
            f"directions.z: found an unknown key; allowed: {DIRECTION}, 'x', 'y'",
        ),
        ("directions", "{x: target}", "directions.x: found 'target'; allowed: a mapping"),
        ("directions", "random", "directions: found 'random'; allowed: a mapping"),
        ("directions", "{seed: -1}", "directions.seed: found -1; allowed: a whole number from 0"),
        ("directions", "{y: {seed: 1.0}}", "directions.y.seed: found 1.0; allowed: a whole number "
         "from 0"),
        (
            "directions",
            "{dir_type: weight}",
            "directions.dir_type: found 'weight'; allowed: 'weights', 'states'. "
            "Did you mean 'weights'?",
        ),
        (
            "directions",
            "{ignore: ''}",
            "directions.ignore: found ''; allowed: 'biasbn', 'none', 'scaled', "
            "'biasbn_parameters', null",
        ),
        (
            "directions",
            "{y: {dir_type: states}}",
            "directions.y.dir_type: found 'states'; allowed: the same dir_type on both axes",
        ),
        (
            "directions",
            "{model: b.pt}",
            "directions.model: found 'b.pt'; allowed: with kind 'target' only; "
            "the kind here is 'random'",
        ),
        (
            "directions",
            "{x: {kind: target, model: b.pt, seed: 3}}",
            "directions.x.seed: found 3; allowed: with kind 'random' only; "
            "the kind here is 'target'",
        ),
        (
            "directions",
            "{kind: target}",
            "directions.model: found nothing; allowed: a path; kind 'target' needs it",
        ),
        (
            "directions",
            "{y: {kind: file}}",
            "directions.y.path: found nothing; allowed: a path; kind 'file' needs it",
        ),
        (
            "directions",
            "{kind: target, model: ''}",
            "directions.model: found ''; allowed: a path, null",
        ),
        (
            "evaluation",
            "{device: gpu}",
            "evaluation.device: found 'gpu'; allowed: 'auto', 'cpu', 'cuda', 'cuda:N'",
        ),
        (
            "evaluation",
            "{precision: 32}",
            "evaluation.precision: found 32; "
            "allowed: 'float32', 'float64', 'tf32', 'bf16', 'model'",
        ),
        (
            "evaluation",
            "{batch_size: 0}",
            "evaluation.batch_size: found 0; allowed: 'auto', a whole number from 1",
        ),
        (
            "evaluation",
            "{plan: plane}",
            "evaluation.plan: found 'plane'; allowed: 'auto', 'plain', a mapping. "
            "Did you mean 'plain'?",
        ),
        (
            "figures",
            "{cmap: 3}",
            "figures.cmap: found 3; allowed: a name of a matplotlib colour map",
        ),
        (
            "figures",
            "{scale: null}",
            "figures.scale: found null; allowed: 'auto', 'log', 'linear'",
        ),
        ("figures", "{vmin: low}", "figures.vmin: found 'low'; allowed: a number, null"),
        ("figures", "{vlevel: 0}", "figures.vlevel: found 0; allowed: a positive number, null"),
        (
            "figures",
            "{vmin: 3, vmax: 3}",
            "figures.vmin: found 3; allowed: a number below vmax, which is 3",
        ),
        ("figures", "{formats: pdf}", f"figures.formats: found 'pdf'; allowed: {FORMATS}"),
        ("figures", "{formats: []}", f"figures.formats: found []; allowed: {FORMATS}"),
        (
            "figures",
            "{formats: [pdf, pdf]}",
            f"figures.formats: found ['pdf', 'pdf']; allowed: {FORMATS}",
        ),
        (
            "figures",
            "{formats: [pdf, pgn]}",
            "figures.formats[1]: found 'pgn'; allowed: 'pdf', 'png', 'svg'. Did you mean 'png'?",
        ),
        ("paraview", "{log: 1}", "paraview.log: found 1; allowed: true, false"),
        ("paraview", "{log: 'true'}", "paraview.log: found 'true'; allowed: true, false"),
        (
            "paraview",
            "{interp: 1}",
            "paraview.interp: found 1; allowed: a whole number from 2, null",
        ),
        (
            "paraview",
            "{zscale: 0}",
            "paraview.zscale: found 0; allowed: a positive number, 'auto'",
        ),
        ("args", "[1]", "args: found [1]; allowed: a mapping of keyword arguments"),
        (
            "args",
            "{picture: !!binary aGk=}",
            "args.picture: found b'hi'; allowed: null, true, false, numbers, strings, "
            "lists and mappings of them",
        ),
        ("files", "a.csv", "files: found 'a.csv'; allowed: a list of paths"),
        ("files", "[a.csv, 3]", "files[1]: found 3; allowed: a path"),
        (
            "directions",
            "{kind: pca}",
            f"directions.checkpoints: found nothing; allowed: {CHECKPOINTS}; kind 'pca' needs it",
        ),
        (
            "directions",
            "{kind: pca, checkpoints: []}",
            f"directions.checkpoints: found []; allowed: {CHECKPOINTS}, null",
        ),
        (
            "directions",
            "{kind: pca, checkpoints: [a.pt, 3]}",
            "directions.checkpoints[1]: found 3; allowed: a path",
        ),
        (
            "directions",
            "{checkpoints: a.pt}",
            "directions.checkpoints: found 'a.pt'; allowed: with kind 'pca' only; "
            "the kind here is 'random'",
        ),
        (
            "trajectory",
            "a.pt",
            "trajectory: found 'a.pt'; allowed: a mapping of names to checkpoints",
        ),
        ("trajectory", "{sgd: 3}", f"trajectory.sgd: found 3; allowed: {CHECKPOINTS}"),
        ("train", "p.py:train", "train: found 'p.py:train'; allowed: a mapping"),
        ("train", "{args: {}}", f"train.function: found nothing; allowed: {FUNCTION}"),
        (
            "train",
            "{functoin: p.py:train}",
            "train.functoin: found an unknown key; allowed: 'function', 'args'. "
            "Did you mean 'function'?",
        ),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line(tmp_path, part, written, message):
    assert mistakes(tmp_path, a_run(**{part: written})) == [f"runs.mine.{message}"]


@pytest.mark.parametrize(
    ("part", "written", "near"),
    [
        ("direction", "{seed: 1}", "direction: found an unknown key; .* 'directions'?"),
        ("directions", "{normalise: layer}", "normalise: found an unknown key; .* 'normalize'?"),
        ("directions", "{normalize: filters}", "normalize: found 'filters'; .* 'filter'?"),
        ("directions", "{ignore: biasnb}", "ignore: found 'biasnb'; .* 'biasbn'?"),
        ("directions", "{dir_type: state}", "dir_type: found 'state'; .* 'states'?"),
        ("directions", "{kind: taget, model: b.pt}", "kind: found 'taget'; .* 'target'?"),
    ],
)
def test_a_misspelt_direction_is_refused_with_the_name_that_was_meant_trap_7(
    tmp_path, part, written, near
):
    told = "\n".join(mistakes(tmp_path, a_run(**{part: written})))
    assert re.search(near.replace(".*", ".*Did you mean").replace("?", r"\?"), told), told


@pytest.mark.parametrize(
    "problem",
    ["p.py", "p.py:", ":build", "p.py:1st", "p.py:a.b", "a b:c", "a..b:c", "p.py:class", "3", ""],
)
def test_a_problem_is_a_file_or_module_a_colon_and_a_name(tmp_path, problem):
    text = f"runs: {{mine: {{problem: {problem!r}, grid: {{x: [0, 1, 2]}}}}}}"
    assert mistakes(tmp_path, text) == [
        f"runs.mine.problem: found {problem!r}; allowed: {FUNCTION}"
    ]


@pytest.mark.parametrize("problem", ["p.py:build", "a/b c/p-1.py:_b2", "C:\\p.py:b", "a.b.c:d"])
def test_problems_are_named_by_file_or_module(tmp_path, problem):
    text = a_run().replace("p.py:build", f"'{problem}'")
    assert mine(tmp_path, text).problem == problem


NAMES = "up to 100 of A-Z a-z 0-9 . _ -, not starting with . or -"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a b", f"runs.'a b': found the name 'a b'; allowed: {NAMES}"),
        (".a", f"runs.'.a': found the name '.a'; allowed: {NAMES}"),
        ("-a", f"runs.-a: found the name '-a'; allowed: {NAMES}"),
        ("a/b", f"runs.'a/b': found the name 'a/b'; allowed: {NAMES}"),
        ("bär", f"runs.bär: found the name 'bär'; allowed: {NAMES}"),
        ("7", "runs.7: found the name 7; allowed: a string; put it in quotes"),
        ("on", "runs.true: found the name true; allowed: a string; put it in quotes"),
    ],
)
def test_names_that_make_no_folder_are_refused(tmp_path, name, message):
    assert mistakes(tmp_path, a_run().replace("mine", name)) == [message]


def test_names_have_at_most_100_characters(tmp_path):
    assert list(loaded(tmp_path, a_run().replace("mine", "n" * 100)).runs) == ["n" * 100]
    [line] = mistakes(tmp_path, a_run().replace("mine", "n" * 101))
    assert line.endswith(f"allowed: {NAMES}")


def test_names_that_differ_only_in_case_are_refused(tmp_path):
    text = a_run() + "  Mine: {problem: 'a.b:c', grid: {x: [0, 1, 2]}}\n"
    assert mistakes(tmp_path, text) == [
        "runs.Mine: found the name 'Mine'; allowed: names that differ from 'mine' in more than case"
    ]


SECTION_NAMES = "'grid', 'directions', 'evaluation', 'figures', 'paraview', 'verdict', 'metrics'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {x: [0, 1, 2]}", "runs: found nothing; allowed: a mapping with at least one run"),
        ("runs:", "runs: found null; allowed: a mapping with at least one run"),
        ("runs: {}", "runs: found {}; allowed: a mapping with at least one run"),
        ("runs: [a]", "runs: found ['a']; allowed: a mapping with at least one run"),
        ("runs: {a: 3}", "runs.a: found 3; allowed: a mapping"),
        (
            "rums: {}",
            f"rums: found an unknown key; allowed: 'runs', {SECTION_NAMES}, 'comparison'. Did you "
            "mean 'runs'?",
        ),
        (
            a_run() + "seed: 1",
            f"seed: found an unknown key; allowed: 'runs', {SECTION_NAMES}, 'comparison'",
        ),
        (
            a_run() + "args: {}",
            "args: found a key that only a run has; allowed: below the name of a run",
        ),
        (
            a_run().replace("problem", "problme"),
            "runs.mine.problme: found an unknown key; allowed: 'problem', 'args', 'files', "
            "'compare_batch_norm', 'per_layer', 'over_training', 'frames', 'film', 'seeds', "
            "'trajectory', 'train', "
            f"{SECTION_NAMES}. Did you mean 'problem'?",
        ),
        (
            a_run().replace("grid", "gird"),
            "runs.mine.gird: found an unknown key; allowed: 'problem', 'args', 'files', "
            "'compare_batch_norm', 'per_layer', 'over_training', 'frames', 'film', 'seeds', "
            "'trajectory', 'train', "
            f"{SECTION_NAMES}. Did you mean 'grid'?",
        ),
        (
            "runs: {a: {grid: {x: [0, 1, 2]}}}",
            f"runs.a.problem: found nothing; allowed: {FUNCTION}",
        ),
        ("figures: 5\n" + a_run(figures="{cmap: magma}"), "figures: found 5; allowed: a mapping"),
        (
            "figures: {scale: exp}\n" + a_run() + "  two: {problem: 'a:b', grid: {x: [0, 1, 2]}}\n",
            "figures.scale: found 'exp'; allowed: 'auto', 'log', 'linear'",
        ),
        (
            "figures: {scale: exp}\n" + a_run(figures="{scale: log}"),
            "figures.scale: found 'exp'; allowed: 'auto', 'log', 'linear'",
        ),
        (
            "directions: {y: {seed: x}}\n" + a_run("{x: [0, 1, 2]}"),
            "directions.y.seed: found 'x'; allowed: a whole number from 0",
        ),
        (
            a_run("{x: [0, 1, 2]}", directions="{x: {seed: 1}, y: {seed: 2}}"),
            "runs.mine.directions.y: found a direction for y; allowed: x alone, since "
            "runs.mine.grid has no y: it is a curve",
        ),
        (
            "directions: {kind: target, model: b.pt}\n" + a_run(directions="{normalize: layer}"),
            "runs.mine.directions.normalize: found 'layer'; allowed: with kind 'random' only; "
            "the kind here is 'target'",
        ),
    ],
)
def test_mistakes_are_told_where_they_were_written(tmp_path, text, message):
    assert mistakes(tmp_path, text) == [message]


def test_every_mistake_is_told_at_once(tmp_path):
    text = a_run("{x: [a, 1, 0]}", figures="{vmin: 2, vmax: 1}", paraview="{lgo: true}")
    assert mistakes(tmp_path, text) == [
        "runs.mine.grid.x[0]: found 'a'; allowed: a number, 'auto'",
        "runs.mine.grid.x[2]: found 0; allowed: a whole number from 1",
        "runs.mine.figures.vmin: found 2; allowed: a number below vmax, which is 1",
        "runs.mine.paraview.lgo: found an unknown key; allowed: 'log', 'zmax', 'interp', 'zscale'."
        " Did you mean 'log'?",
    ]


def test_arguments_are_named_by_strings(tmp_path):
    [line] = mistakes(tmp_path, a_run(args="{5: a}"))
    assert line.endswith("found 5; allowed: a name; put it in quotes")


def test_what_was_found_stays_one_short_line(tmp_path):
    [line] = mistakes(tmp_path, a_run(evaluation='{device: "a\\nb"}'))
    assert "found 'a\\nb'; allowed" in line
    [line] = mistakes(tmp_path, a_run(files="{" + ", ".join(f"k{i}: 1" for i in range(99)) + "}"))
    assert len(line) < 160


_TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None)
@given(section=st.sampled_from([*SECTIONS, "args", "files", "train"]), key=st.text(), value=_TREES)
def test_whatever_is_written_is_read_or_refused_in_our_words(tmp_path_factory, section, key, value):
    model = SECTIONS.get(section, Train)
    for written in (value, {key: value}, {name: value for name in model.model_fields}):
        run = {"problem": "p.py:b", "grid": {"x": [0, 1, 2]}, section: written}
        text = yaml.safe_dump({"runs": {"mine": run}}, allow_unicode=True)
        try:
            found = loaded(tmp_path_factory.getbasetemp(), text).run("mine")
        except InputError as error:
            for line in str(error).splitlines():
                assert re.search(r"c\.yaml: (.*: found .*; allowed: |line \d+, |character )", line)
        else:
            part = "problem" if section in ("args", "files") else section
            json.loads(found.settings(part))


# ---------------------------------------------------------------- files that are no config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it needs 'runs:' with at least one run below it."),
        ("# only a comment\n", "is empty; it needs 'runs:' with at least one run below it."),
        ("- a\n- b\n", "holds no mapping; it needs 'runs:' with at least one run below it."),
        ("runs: {a: [1, 2}\n", "line 1, column 16: while parsing a flow sequence, expected ',' or "
         "']', but got '}'."),
        ("runs:\n\ta: 1\n", "line 2, column 1: while scanning for the next token, found character "
         "'\\t' that cannot start any token."),
        ("runs:\n  a: 1\n  b: 2\n  a: 3\n", "line 4, column 3: the key 'a' comes twice, first in "
         "line 2."),
        ("runs: {a: &a {<<: {x: 1}, x: 2, x: 3}}", "line 1, column 33: the key 'x' comes twice, "
         "first in line 1."),
        ("runs: !!python/object:os.system {}\n", "line 1, column 7: could not determine a "
         "constructor for the tag 'tag:yaml.org,2002:python/object:os.system'."),
        ("runs: !!int five\n", "line 1, column 7: 'five' is not a value of the type "
         "'tag:yaml.org,2002:int'."),
        ("runs: {}\n---\nruns: {}\n", "line 2, column 1: expected a single document in the stream, "
         "but found another document."),
        ("runs: {? [a] : 1}\n", "line 1, column 10: while constructing a mapping, found unhashable "
         "key."),
        ("runs: \x07\n", "character 6 is '\\x07', which YAML does not allow."),
        (a_run(args="&a {again: *a}"), "is nested too deeply, or an alias holds itself."),
        ("[" * 1000, "is nested too deeply, or an alias holds itself."),
    ],
)  # fmt: skip
def test_what_is_no_config_is_refused_in_one_line(tmp_path, text, message):
    assert mistakes(tmp_path, text) == [message]


def test_a_key_may_stand_beside_one_that_is_merged_in(tmp_path):
    text = a_run(args="{<<: {lr: 1, seed: 0}, lr: 2}")
    assert mine(tmp_path, text).args == {"lr": 2, "seed": 0}


def test_a_missing_file_a_folder_and_other_encodings_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: there is no such file; give the path of a"):
        config.load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r": is a folder; give the path of a config file in it\.$"):
        config.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("runs: bär".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml: byte 7 is not UTF-8; save the file as UTF"):
        config.load(tmp_path / "latin.yaml")
    with pytest.raises(InputError, match=r"cannot be read: "):
        config.load(tmp_path / ("n" * 300))


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + a_run().encode())
    assert config.load(str(tmp_path / "bom.yaml")).run("mine").grid.shape == (5, 3)


# ---------------------------------------------------------------- schema and table


def test_the_schema_file_is_up_to_date():
    assert SCHEMA.read_text(encoding="utf-8") == json.dumps(config.schema(), indent=2) + "\n", (
        f"write json.dumps(config.schema(), indent=2) and a line end to {SCHEMA}"
    )


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        a_run(directions="{normalize: layer, x: {kind: target, model: b.pt}, y: }", figures=""),
        "grid: {x: [0, 1, 2]}\nruns: {a: {problem: 'a.b:c', grid: {y: null}}}",
    ],
)
def test_the_schema_accepts_what_is_read(tmp_path, text):
    loaded(tmp_path, text)
    jsonschema.Draft7Validator.check_schema(config.schema())
    jsonschema.validate(yaml.safe_load(text), config.schema(), jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    "text",
    [
        "runs: {}",
        a_run(figures="{cmpa: a}"),
        a_run("{x: [0, 1]}"),
        a_run(directions="{y: {seed: -1}}"),
        a_run(evaluation="{device: gpu}"),
        a_run().replace("mine", "a b"),
        a_run(train="{args: {}}"),
    ],
)
def test_the_schema_marks_common_mistakes(tmp_path, text):
    mistakes(tmp_path, text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), config.schema(), jsonschema.Draft7Validator)


PATHS = {
    "runs.<run>": ProblemSettings,
    "runs.<run>.train": Train,
    **SECTIONS,
    "comparison": ComparisonSettings,
}
# What ``comparison`` has in common with ``figures`` is told once.
ROWS = [
    (path, key)
    for path, model in PATHS.items()
    for key in model.model_fields
    if path != "comparison" or key not in SECTIONS["figures"].model_fields
]


@pytest.mark.parametrize(("path", "key"), ROWS)
def test_the_readme_tells_every_key_with_its_default(path, key):
    field = PATHS[path].model_fields[key]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{path}.{key}` |")
    ]
    assert len(rows) == 1, f"one row for `{path}.{key}` in {README}"
    _, _, default, words, meaning = rows[0]
    if field.is_required():
        assert default == "required"
    else:
        assert yaml.safe_load(default.strip("`")) == json.loads(json.dumps(field.default))
    assert words == allowed(PATHS[path], key).replace("'", "`")
    assert meaning == field.description


def test_the_readme_says_what_becomes_of_biases_trap_9():
    (row,) = (
        line for line in README.read_text().splitlines() if line.startswith("| `directions.ignore`")
    )
    assert "(biases, norm layers) stand still (`biasbn`), move along themselves (`none`" in row
    assert "or along noise of their norm (`scaled`)" in row


def test_the_examples_of_the_readme_are_read(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    whole = [block for block in blocks if "runs:" in block]
    assert len(whole) == 5
    for block in whole:
        text = block if "grid:" in block else "grid: {x: [0, 1, 2]}\n" + block
        assert loaded(tmp_path, text).runs
    [directions] = [block for block in blocks if block.lstrip().startswith("directions:")]
    x, y = mine(tmp_path, a_run() + directions).directions
    assert (x.kind, y.kind, y.normalize) == ("target", "random", "layer")


# ------------------------------------------------------------------------- ends that are found


@pytest.mark.parametrize(
    ("grid", "auto", "shape", "told"),
    [
        ("{x: auto}", ("x",), (51,), {"x": ["auto", "auto", 51]}),
        (
            "{x: [-2, 2, 5], y: [auto, auto, 7]}",
            ("y",),
            (5, 7),
            {"x": [-2.0, 2.0, 5], "y": ["auto", "auto", 7]},
        ),
    ],
)
def test_ends_may_be_left_open(tmp_path, grid, auto, shape, told):
    run = loaded(tmp_path, a_run(grid)).run("mine")
    assert run.auto == auto
    assert run.grid.shape == shape
    assert json.loads(run.settings("grid")) == told


@pytest.mark.parametrize("limits", ["[auto, 1, 5]", "[0, auto, 5]", "[auto, auto, 1]"])
def test_both_ends_are_open_or_none(tmp_path, limits):
    [line] = mistakes(tmp_path, a_run(f"{{x: {limits}}}"))
    assert line.startswith(f"runs.mine.grid.x: found {limits.replace('auto', repr('auto'))}")
    assert line.endswith("allowed: [auto, auto, count] with a count from 2")


def test_ends_towards_another_model_are_to_be_said(tmp_path):
    text = a_run("{x: auto}", directions="{kind: target, model: other.pt}")
    [line] = mistakes(tmp_path, text)
    assert line.startswith("runs.mine.grid.x: found 'auto'; allowed: ends that hold 0 and 1")


def test_an_adaptive_grid_says_so_where_it_counts_and_nowhere_else(tmp_path):
    grid = "{x: [0, 1, 5], y: [0, 1, 4]%s}"
    full = mine(tmp_path, a_run(grid=grid % ""))
    assert full.refinement is None
    assert full.settings("refinement") == "null"
    asked = ", mode: adaptive, tolerance: 0.02, metric: train_loss"
    adaptive = mine(tmp_path, a_run(grid=grid % asked))
    assert adaptive.refinement == Refinement(0.02, "train_loss")
    assert adaptive.settings("grid") == full.settings("grid")
    assert adaptive.settings("refinement") == '{"metric":"train_loss","tolerance":0.02}'


# ------------------------------------------------------------------- files that mean harm


def bomb(depth):
    """Ten aliases of ten aliases of ...: some hundred bytes that stand for 10^depth values."""
    lines = ["l0: &l0 [lol]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, depth)]
    return "\n".join([*lines, f"runs: {{mine: {{args: {{bomb: *l{depth - 1}}}}}}}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(9), "it stands for more than 200,000 values, with its aliases written out"),
        ('runs: {a: "\\0"}', "a text with a character that no file, name or page may hold"),
        ('runs: {a: "\\ud800"}', "a text with a character that no file, name or page may hold"),
        (f"runs: {{a: 0x{'f' * 6000}}}", "is not a value of the type 'tag:yaml.org,2002:int'"),
        ("a: " * 3 + "x" * 2**24, "has more than 16,777,216 bytes, which is no config"),
        (
            "runs: {mine: {problem: 'p.py:b', grid: {x: [0, 1, 1000000000000]}}}",
            "at most 1,000,000 steps",
        ),
    ],
    ids=["aliases", "NUL", "surrogate", "number", "size", "grid"],
)
def test_a_config_that_would_fill_memory_or_no_name_can_hold_is_refused_at_once(
    tmp_path, text, message
):
    (found,) = mistakes(tmp_path, text)
    assert message in found


def test_a_config_is_a_file_and_no_device(tmp_path):
    for path in ("/dev/zero", "/dev/null"):
        with pytest.raises(InputError, match="is a device or a pipe"):
            config.load(path)
