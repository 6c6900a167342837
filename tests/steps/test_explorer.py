"""The scripts that write explorers: one run's with its verdict, all runs' with a menu."""

import json

import numpy as np
import pytest
import yaml

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.utils.storage import save_surface
from tests.pipeline.test_messages import script
from tests.viz.test_explorer import VERDICT, Read

GRID = Grid((Axis(-1, 1, 3), Axis(0, 1, 2)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two runs that are merged, and a config of theirs."""
    monkeypatch.chdir(tmp_path)
    run = {"problem": "p.py:build", "grid": {"x": [-1, 1, 3], "y": [0, 1, 2]}}
    runs = {
        "one": {**run, "figures": {"cmap": "magma"}},
        "two": {**run, "figures": {"cmap": "jet"}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"runs": runs}))
    for number, name in enumerate(runs):
        values = {"train_loss": np.arange(6.0).reshape(3, 2) + number}
        (tmp_path / "results" / name).mkdir(parents=True)
        save_surface(tmp_path / "results" / name / "surface.h5", Surface(GRID, values))
        (tmp_path / "results" / name / "verdict.json").write_text(json.dumps(VERDICT))
    return tmp_path


def call(name, *more):
    return script(name)(["--config", "config.yaml", "--out", "page.html", *more])


def test_a_run_is_written_with_its_verdict_and_its_figures_colours(folder):
    (folder / "verdict.json").write_text(json.dumps(VERDICT))
    assert call("make_explorer", "--run", "one", "--verdict", "verdict.json") == 0
    found = Read((folder / "page.html").read_text())
    assert found.told["cmap"] == "magma"
    assert found.told["runs"][0]["verdict"]["checks"][0]["title"] == "Holes"
    np.testing.assert_array_equal(found.values(0, "train_loss"), [[0, 1], [2, 3], [4, 5]])


def test_a_colour_map_that_is_not_uniform_stays_with_the_figures(folder):
    assert call("make_explorer", "--run", "two") == 0
    assert Read((folder / "page.html").read_text()).told["cmap"] == "viridis"


def test_all_runs_are_in_one_page_in_the_configs_order(folder):
    assert call("make_all_explorer") == 0
    found = Read((folder / "page.html").read_text())
    assert [run["name"] for run in found.told["runs"]] == ["one", "two"]
    assert all(run["verdict"]["checks"] for run in found.told["runs"])
    np.testing.assert_array_equal(found.values(1, "train_loss"), [[1, 2], [3, 4], [5, 6]])


def test_pictures_of_several_runs_that_nobody_asks_for_any_more_are_put_aside(folder):
    """No picture of several runs may be drawn then, which would put them aside itself."""
    place = folder / "results/comparison"
    place.mkdir()
    names = ["train_loss.pdf", "train_loss.png", "train_loss_gone.pdf"]
    for name in names:
        (place / name).write_text("")
    assert call("make_all_explorer") == 0
    assert [path.name for path in place.glob("*.*")] == names[:1]
    assert sorted(path.name for path in (place / "stale").iterdir()) == names[1:]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no verdict can be read from it"),
        ("{", "no verdict can be read from it"),
        ("[]", "wanted a JSON object, found a list"),
        ("{}", "the verdict's format and version are"),
    ],
)
def test_what_is_no_verdict_ends_with_2(folder, capsys, text, message):
    if text is not None:
        (folder / "verdict.json").write_text(text)
    assert call("make_explorer", "--run", "one", "--verdict", "verdict.json") == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not (folder / "page.html").exists()
