"""The explorer's page holds every value at its point, no script of a stranger, and no request."""

import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
from html import unescape

import numpy as np
import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Surface, Trajectory
from landscape_lib.utils.storage import save_surface
from landscape_lib.viz import explorer
from landscape_lib.viz.explorer import CMAPS, Entry, explore, explorer_page, write_explorer

GRID = Grid((Axis(-1, 2, 7), Axis(-0.5, 0.5, 5)))
X, Y = (axis.steps() for axis in GRID.axes)
PLANE = 10 * X[:, None] + Y[None, :]
BOWL = (X[:, None] - 1.5) ** 2 + 3 * (Y[None, :] + 0.25) ** 2 + 0.5
EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'`$&amp;"
VERDICT = {
    "format": "landscape verdict",
    "version": 1,
    "run": "one",
    "checks": [
        {"id": "a", "state": "warning", "title": "Holes", "found": "Two.", "why": "", "do": "Look."}
    ],
    "numbers": [
        {
            "name": "sharpness",
            "key": "train_loss",
            "value": 1.5,
            "units": "",
            "definition": "steepest rise",
            "source": "here",
        },
        {"name": "depth", "key": None, "value": float("nan"), "units": "m", "definition": ""},
    ],
}


class Read:
    """What a browser finds in a page."""

    def __init__(self, page):
        self.page = page
        scripts = re.findall(r'<script type="([^"]*)"([^>]*)>(.*?)</script>', page, re.DOTALL)
        self.blocks = {re.search(r'id="([^"]+)"', a)[1]: b for _, a, b in scripts if a}
        (self.script,) = (text for kind, _, text in scripts if kind == "module")
        self.told = json.loads(self.blocks["data"])
        self.title = unescape(re.search(r"<title>(.*?)</title>", page)[1])
        self.policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]

    def values(self, run, key):
        run = self.told["runs"][run]
        (metric,) = (metric for metric in run["metrics"] if metric["key"] == key)
        content = gzip.decompress(base64.b64decode(self.blocks[metric["block"]]))
        numbers = np.frombuffer(content, "<f4" if metric["single"] else "<f8")
        return numbers.reshape([len(axis) for axis in run["axes"]])


def read(surface, **more):
    return Read(explorer_page([Entry("one", surface, **more)]))


def surface(grid=GRID, attributes=None, **values):
    return Surface(grid, values, attributes or {})


def test_every_value_is_at_its_point_to_the_last_bit():
    holes = BOWL.copy()
    holes[2, 1], holes[0, 4], holes[6, 0] = np.nan, np.inf, -np.inf
    found = read(surface(train_loss=holes, train_acc=PLANE))
    np.testing.assert_array_equal(found.values(0, "train_loss"), holes)
    np.testing.assert_array_equal(found.values(0, "train_acc"), PLANE)
    np.testing.assert_array_equal(found.told["runs"][0]["axes"][0], X)
    np.testing.assert_array_equal(found.told["runs"][0]["axes"][1], Y)


def test_the_best_point_is_the_lowest_loss_and_the_highest_accuracy_trap_1():
    metrics = read(surface(train_loss=BOWL, train_acc=PLANE)).told["runs"][0]["metrics"]
    assert [metric["best"]["point"] for metric in metrics] == [[1.5, -0.25], [2.0, 0.5]]
    assert [metric["best"]["value"] for metric in metrics] == [0.5, 20.5]
    assert [metric["goal"] for metric in metrics] == ["min", "max"]
    constant = read(surface(train_loss=np.full((7, 5), 2.5)))
    assert constant.told["runs"][0]["metrics"][0]["best"] is None


def test_scale_and_clip_begin_as_the_figures_have_them():
    wide = np.exp(4 * BOWL)
    tail = BOWL.copy()
    tail[0, 0] = 1e6
    told = read(surface(train_loss=wide, test_loss=np.clip(BOWL, 1, 3), train_acc=PLANE)).told
    assert [metric["log"] for metric in told["runs"][0]["metrics"]] == [True, False, False]
    grid = Grid((Axis(-1, 1, 41), Axis(-1, 1, 31)))
    values = np.tile(np.linspace(1, 2, 31), (41, 1))
    values[0, 0] = -1e6  # not positive: linear
    values[0, 1] = 1e6
    (metric,) = read(surface(grid, train_loss=values)).told["runs"][0]["metrics"]
    assert not metric["log"]
    assert 2 < metric["clip"] < 1e6


def test_values_whose_differences_would_overflow_are_shown_in_units_of_their_own():
    values = np.where(BOWL > 3, 1.5e308, -1e308)
    found = read(surface(train_loss=values, test_loss=BOWL))
    np.testing.assert_allclose(found.values(0, "train_loss"), values / 1e308)
    np.testing.assert_array_equal(found.values(0, "test_loss"), BOWL)
    names = [metric["name"] for metric in found.told["runs"][0]["metrics"]]
    assert names[0].endswith(" / 10\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT ZERO}\N{SUPERSCRIPT EIGHT}")
    entries = [Entry("calm", surface(train_loss=BOWL)), Entry("wild", surface(train_loss=values))]
    for series, unit in (("", 1.0), ("training", 1e308)):
        found = Read(explorer_page(entries, series=series))
        np.testing.assert_allclose(found.values(0, "train_loss"), BOWL / unit)


def test_a_curve_and_several_runs_are_in_one_page():
    curve = Surface(Grid((Axis(0, 1, 3),)), {"train_loss": np.array([3.0, np.nan, 1.0])})
    found = Read(explorer_page([Entry("a", surface(train_loss=BOWL)), Entry("b", curve)]))
    assert [run["name"] for run in found.told["runs"]] == ["a", "b"]
    assert found.told["runs"][1]["axes"] == [[0.0, 0.5, 1.0]]
    np.testing.assert_array_equal(found.values(1, "train_loss"), [3, np.nan, 1])
    assert found.title == "a, b – loss landscape"


def test_names_of_a_stranger_are_text_and_nothing_else():
    labels = {EVIL: Label(EVIL, EVIL)}
    evil = Surface(GRID, {EVIL: BOWL}, {EVIL: EVIL, "config": f'{{"a": "{EVIL}"'}, labels)
    page = explorer_page([Entry(EVIL, evil)])
    plain = explorer_page([Entry("one", surface(train_loss=BOWL))])
    for mark in ("<script", "</script", "<img"):
        assert page.count(mark) == plain.count(mark)
    found = Read(page)
    assert found.told["runs"][0]["metrics"][0]["key"] == EVIL
    assert found.told["runs"][0]["provenance"][1] == [EVIL, EVIL]
    assert found.title == f"{EVIL} – loss landscape"
    assert not set("<>&") & set(found.blocks["data"])


def test_a_name_that_looks_like_a_part_of_the_template_stays_a_name():
    found = read(surface(train_loss=BOWL, attributes={"{{script}}": "{{data}}"}))
    assert found.told["runs"][0]["provenance"] == [["{{script}}", "{{data}}"]]


def test_half_a_surrogate_pair_in_a_name_can_be_written(tmp_path):
    path = write_explorer([Entry("a\udc80", surface(train_loss=BOWL))], tmp_path / "page.html")
    assert Read(path.read_text("utf-8")).title == "a? – loss landscape"


def test_the_policy_allows_this_script_and_no_request():
    found = read(surface(train_loss=BOWL))
    own = base64.b64encode(hashlib.sha256(found.script.encode()).digest()).decode()
    allowed = dict(part.split(" ", 1) for part in found.policy.split("; "))
    assert allowed == {
        "default-src": "'none'",
        "script-src": f"'sha256-{own}' blob:",
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "http" not in found.script
    assert "innerHTML" not in found.script
    assert not re.search(r'(src|href)="', found.page.replace(found.blocks["data"], ""))


def test_plotly_js_is_packed_inside():
    packed = read(surface(train_loss=BOWL)).blocks["plotly"]
    assert "plotly.js v" in gzip.decompress(base64.b64decode(packed))[:200].decode()
    assert len(packed) < 2_300_000


def test_equal_data_give_equal_bytes_also_in_another_process(tmp_path):
    save_surface(tmp_path / "surface.h5", surface(train_loss=BOWL, attributes={"run": "mine"}))
    page = explore(tmp_path / "surface.h5").read_bytes()
    code = (
        "import sys; from landscape_lib.viz import explore; explore(*sys.argv[1:2], prefix='again')"
    )
    command = [sys.executable, "-c", code, "surface.h5"]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert (tmp_path / "again_explorer.html").read_bytes() == page


def test_many_values_are_float32_and_more_leave_out_steps(monkeypatch):
    values = np.random.default_rng(0).normal(size=(7, 5))
    values[3, 2], values[1, 1] = np.nan, np.inf
    monkeypatch.setattr(explorer, "EXACT_VALUES", 34)
    found = read(surface(train_loss=values))
    np.testing.assert_array_equal(found.values(0, "train_loss"), values.astype(np.float32))
    monkeypatch.setattr(explorer, "MOST_VALUES", 20)
    found = read(surface(train_loss=values))
    run = found.told["runs"][0]
    assert run["measured"] == [7, 5]
    np.testing.assert_array_equal(run["axes"][0], X[[0, 2, 4, 6]])
    np.testing.assert_array_equal(
        found.values(0, "train_loss"), values[::2, ::2].astype(np.float32)
    )


@pytest.mark.parametrize("beyond", [1e300, -1e300, 1e-300])
def test_what_float32_cannot_hold_is_kept_as_float64(monkeypatch, beyond):
    values = BOWL.copy()
    values[3, 2] = beyond
    monkeypatch.setattr(explorer, "EXACT_VALUES", 0)
    found = read(surface(train_loss=values, test_loss=BOWL))
    assert [metric["single"] for metric in found.told["runs"][0]["metrics"]] == [False, True]
    np.testing.assert_array_equal(found.values(0, "train_loss"), values)


def test_a_million_points_of_three_metrics_stay_under_25_mb():
    grid = Grid((Axis(-1, 1, 1001), Axis(-1, 1, 1001)))
    noise = np.random.default_rng(0).lognormal(size=(3, 1001, 1001))
    values = dict(zip(("train_loss", "train_acc", "test_loss"), noise, strict=True))
    page = explorer_page([Entry("big", Surface(grid, values))])
    assert len(page) < 25_000_000


def test_provenance_is_shown_what_matters_first():
    attributes = {"zeta": 1, "cosine": 0.25, "seed": "[0,1]", "plans": ("b", "a"), "host": b"x"}
    told = read(surface(train_loss=BOWL, attributes=attributes)).told["runs"][0]["provenance"]
    assert told == [
        ["seed", "[0,1]"],
        ["cosine", "0.25"],
        ["host", "x"],
        ["plans", '["b", "a"]'],
        ["zeta", "1"],
    ]


def test_a_verdict_and_a_trajectory_are_taken_along():
    walked = Trajectory(np.array([0.0, 1.0, 1.5, np.nan]), np.array([0.1, -0.2, -0.25, np.inf]))
    run = read(Surface(GRID, {"train_loss": BOWL}, trajectories=(walked,)), verdict=VERDICT).told[
        "runs"
    ][0]
    assert run["trajectories"] == [
        {"name": "", "steps": [[0.0, 0.1], [1.0, -0.2], [1.5, -0.25]], "off": None}
    ]
    check = {"state": "warning", "title": "Holes", "found": "Two.", "why": "", "do": "Look."}
    assert run["verdict"]["checks"] == [check]
    assert [number["value"] for number in run["verdict"]["numbers"]] == [1.5, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "format and version are"),
        ({"checks": [{"state": "bad", "title": "x"}]}, r"has the states \['bad'\]"),
        ({"checks": "none"}, "'checks' of the verdict must be a list"),
        ({"numbers": [{"name": "x"}]}, r"'numbers' of the verdict .* \['name', 'value'\]"),
    ],
)
def test_what_is_no_verdict_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        Entry("one", surface(train_loss=BOWL), {**VERDICT, **change})


def test_a_page_needs_runs_of_different_names_and_uniform_colours():
    one = Entry("one", surface(train_loss=BOWL))
    for entries in ([], [one, one]):
        with pytest.raises(InputError, match="wanted at least one, each with its own name"):
            explorer_page(entries)
    with pytest.raises(InputError, match=r"Unknown colour map 'jet'; choose one of \['viridis'"):
        explorer_page([one], "jet")


def test_the_colours_are_matplotlibs():
    import matplotlib
    from matplotlib.colors import to_hex

    told = read(surface(train_loss=BOWL)).told
    assert tuple(told["cmaps"]) == CMAPS
    for name, colours in told["cmaps"].items():
        ends = [to_hex(matplotlib.colormaps[name](end)) for end in (0.0, 1.0)]
        assert [colours[0], colours[-1]] == ends


def test_the_page_says_which_points_were_evaluated_and_how_exact_the_others_are():
    computed = np.arange(35).reshape(7, 5) % 2 == 0
    errors = {"train_loss": np.where(computed, 0.0, 0.125)}
    partial = Surface(GRID, {"train_loss": BOWL}, computed=computed, errors=errors)
    count, off = read(partial).told["runs"][0]["evaluated"]
    assert count == "18 of 35 points were evaluated, the others are interpolated"
    assert off == "train loss: interpolated to ±0.12 at a typical point"
    assert read(surface(train_loss=BOWL)).told["runs"][0]["evaluated"] == []


def test_of_a_long_curve_the_page_has_what_shows_its_shape(monkeypatch):
    monkeypatch.setattr(explorer, "LONGEST_CURVE", 100)
    values = np.random.default_rng(0).normal(size=1001)
    values[333], values[777], values[100] = 50, -50, np.nan
    curve = Surface(Grid((Axis(-1, 1, 1001),)), {"train_loss": values})
    found = read(curve)
    steps = np.array(found.told["runs"][0]["axes"][0])
    at = np.flatnonzero(np.isin(curve.grid.axes[0].steps(), steps))
    np.testing.assert_array_equal(found.values(0, "train_loss").ravel(), values[at])
    assert {0, 100, 333, 500, 777, 1000} <= set(at.tolist())
    assert len(steps) <= 100
