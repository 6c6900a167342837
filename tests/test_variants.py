"""A run may bring others along: its batch norms treated otherwise, or one layer alone moving."""

import pytest
import yaml

from landscape_lib import config
from landscape_lib.config.variants import way_of
from landscape_lib.core.errors import InputError


def loaded(folder, text="", **run):
    grid = {"x": [-1, 1, 3]}
    runs = {"mine": {"problem": "own.py:build", "grid": grid, **run}}
    (folder / "c.yaml").write_text(yaml.safe_dump({"runs": runs}) + text)
    return config.load(folder / "c.yaml")


def test_a_comparison_of_batch_norms_brings_the_two_other_ways_along(tmp_path):
    train = {"function": "own.py:train"}
    found = loaded(tmp_path, compare_batch_norm=True, directions={"seed": 7}, train=train)
    assert {name: way_of(run) for name, run in found.runs.items()} == {
        "mine": "frozen",
        "mine_reestimated": "reestimated",
        "mine_states": "states",
    }
    assert found.compared == ("mine", "mine_reestimated", "mine_states")
    assert [run.directions[0].seed for run in found.runs.values()] == [7, 7, 7]
    assert [run.directions[0].ignore for run in found.runs.values()] == [
        "biasbn",
        "biasbn",
        "biasbn_parameters",
    ]
    assert [run.train is None for run in found.runs.values()] == [False, True, True]
    plain = loaded(tmp_path, directions={"seed": 7}, train=train)
    assert found.run("mine") == plain.run("mine")  # nothing that was computed is lost


@pytest.mark.parametrize(
    ("own", "names"),
    [
        ({"directions": {"dir_type": "states"}}, ["mine", "mine_frozen", "mine_reestimated"]),
        ({"evaluation": {"batch_norm": "reestimated"}}, ["mine", "mine_frozen", "mine_states"]),
    ],
    ids=str,
)
def test_a_run_is_compared_with_the_ways_that_are_not_its_own(tmp_path, own, names):
    found = loaded(tmp_path, compare_batch_norm=True, **own)
    assert list(found.runs) == names
    ways = {way_of(run) for run in found.runs.values()}
    assert ways == {"frozen", "reestimated", "states"}


def test_frozen_norms_leave_no_trace_in_what_results_depend_on(tmp_path):
    here = loaded(tmp_path).run("mine").settings("evaluation")
    on_few = loaded(tmp_path, evaluation={"batch_norm_samples": 5}).run("mine")
    anew = loaded(tmp_path, evaluation={"batch_norm": "reestimated"}).run("mine")
    assert "batch_norm" not in here
    assert on_few.settings("evaluation") == here
    assert '"batch_norm":"reestimated","batch_norm_samples":null' in anew.settings("evaluation")


def test_every_layer_named_is_a_run_of_its_own(tmp_path):
    globs = ["layer1.*", "layer2.?.conv*", "fc"]
    text = "comparison: {runs: [mine_fc, mine_layer1]}\n"
    found = loaded(tmp_path, text, per_layer=globs)
    assert {name: run.directions[0].layers for name, run in found.runs.items()} == {
        "mine": None,
        "mine_layer1": ("layer1.*",),
        "mine_layer2.-.conv": ("layer2.?.conv*",),
        "mine_fc": ("fc",),
    }
    assert found.compared == ("mine_fc", "mine_layer1")
    assert "layers" not in found.run("mine").settings("directions")
    assert '"layers":["fc"]' in found.run("mine_fc").settings("directions")


def test_a_layer_is_one_glob_or_a_list_of_them(tmp_path):
    for written, found in (("a.*", ("a.*",)), (["a", "!*.bias"], ("a", "!*.bias")), (None, None)):
        run = loaded(tmp_path, directions={"layers": written}).run("mine")
        assert run.directions[0].layers == found


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            {"compare_batch_norm": True, "per_layer": ["a"]},
            "runs.mine.per_layer: found beside compare_batch_norm; allowed: one of "
            "compare_batch_norm, per_layer, seeds, over_training in a run",
        ),
        (
            {"compare_batch_norm": True, "directions": {"kind": "file", "path": "d.h5"}},
            "runs.mine.compare_batch_norm: found true beside kind 'file'; allowed: with directions "
            "of kind 'random' and 'target' only",
        ),
        (
            {"per_layer": ["a"], "directions": {"layers": "b"}},
            "runs.mine.per_layer: found a list beside directions.layers; allowed: one of the two",
        ),
        (
            {"per_layer": ["a.*", "a"]},
            "runs.mine: found a run besides, called 'mine_a'; allowed: a name that no other",
        ),
        (
            {"per_layer": ["a" * 100]},
            "allowed: up to 100 of A-Z a-z 0-9 . _ -",
        ),
        (
            {"per_layer": ["*"]},
            "runs.mine.per_layer: found '*'; allowed: globs that name",
        ),
        ({"per_layer": True}, "runs.mine.per_layer: found true; allowed: a list of globs on names"),
        ({"per_layer": []}, "runs.mine.per_layer: found []; allowed: a list of globs on names"),
        (
            {"directions": {"layers": ["a", "a"]}},
            "runs.mine.directions.layers: found ['a', 'a']; allowed: a list of globs on names",
        ),
        (
            {"evaluation": {"batch_norm": "reestimated"}, "directions": {"dir_type": "states"}},
            "runs.mine.evaluation.batch_norm: found 'reestimated'; allowed: 'frozen' where",
        ),
        (
            {"evaluation": {"batch_norm": "live"}},
            "runs.mine.evaluation.batch_norm: found 'live'; allowed: 'frozen', 'reestimated'",
        ),
        (
            {"evaluation": {"batch_norm": "reestimated", "curvature": True}},
            "runs.mine.evaluation.batch_norm: found 'reestimated'; allowed: 'frozen' beside",
        ),
        (
            {"evaluation": {"batch_norm": "reestimated"}, "directions": {"kind": "hessian"}},
            "runs.mine.evaluation.batch_norm: found 'reestimated'; allowed: 'frozen' beside",
        ),
        (
            {"compare_batch_norm": True, "evaluation": {"curvature": 5}},
            "one of compare_batch_norm and evaluation.curvature in a run",
        ),
        ({"frames": 6}, "runs.mine.frames: found 6; allowed: only beside over_training"),
        ({"film": "mp4"}, "runs.mine.film: found 'mp4'; allowed: only beside over_training"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(tmp_path, own, message):
    with pytest.raises(InputError) as refused:
        loaded(tmp_path, **own)
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_another_run_may_not_have_the_name_of_one_that_is_brought_along(tmp_path):
    text = "  Mine_States: {problem: 'own.py:build', grid: {x: [0, 1, 2]}}\n"
    with pytest.raises(InputError, match="found a run besides, called 'mine_states'"):
        loaded(tmp_path, text, compare_batch_norm=True)
