"""Made-up surfaces are judged honestly: nothing is claimed that was not measured."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.verdict.evidence import STATES, Check, Evidence
from landscape_lib.verdict.judge import as_json, judge, tell
from landscape_lib.verdict.page import page

GRID = Grid((Axis(-1, 1, 21), Axis(-2, 2, 17)))
X, Y = GRID.axes[0].steps()[:, None], GRID.axes[1].steps()[None, :]
BOWL = 0.1 + X**2 + 2 * Y**2


def centre_of(axes=2, **parts):
    """What a measurement writes, of a model at 0.1 whose outputs of zero have a loss of 2."""
    told = {"kind": "random", "dir_type": "weights", "length": 1.0}
    return {
        "format": "landscape centre",
        "values": {"train_loss": 0.1},
        "loss": "train_loss",
        "precision": "float64",
        "samples": 100,
        "directions": [told] * axes,
        "norms": {"kinds": {}, "batch": 0},
        "indifferent": {"loss": 2.0},
        "spread": {"standard_error": 0.01, "samples": 100},
        "lowest": {"point": [0, 0], "difference": 0.0, "standard_error": 0.0, "samples": 100},
        "bumps": {"unknown": "not here"},
        "statistics": {"points": []},
        "gradient": {
            "loss": 0.1, "norm": 0.0, "along": [0.0] * axes, "downhill_curvature": 1.0,
            "weights_norm": 1.0, "samples": 100,
        },
        "curvature": {"plane": np.diag([2.0, 4.0][:axes]).tolist(), "samples": 100},
        "eigenvalues": {"values": [4.0], "products": 1, "exact": True, "asked": 1, "samples": 100},
        "trace": {"value": 6.0, "standard_error": 0.5, "probes": 32, "samples": 100},
        **parts,
    }  # fmt: skip


def verdict_of(values=BOWL, grid=GRID, centre=None, limits=(None, None), key="train_loss", **more):
    told = {"cosine": 0.01} if len(grid.axes) == 2 else {}
    surface = Surface(grid, {key: np.broadcast_to(values, grid.shape), **more}, told)
    return judge(Evidence("own", surface, centre if centre is not None else {}, limits))


def state(verdict, check):
    return next((c["state"] for c in verdict["checks"] if c["id"] == check), None)


def found(verdict, check):
    return next(c["found"] for c in verdict["checks"] if c["id"] == check)


def number(verdict, name):
    return next(n["value"] for n in verdict["numbers"] if n["name"] == name)


def holes(values, share=0.5):
    where = np.random.default_rng(0).random(values.shape) < share
    return np.where(where & (values > 0.1), np.nan, values)


MADE_UP = {
    "bowl": (BOWL, GRID),
    "constant": (np.full(GRID.shape, 0.1), GRID),
    "zero": (np.zeros(GRID.shape), GRID),
    "all NaN": (np.full(GRID.shape, np.nan), GRID),
    "all infinite": (np.full(GRID.shape, np.inf), GRID),
    "half NaN": (holes(BOWL), GRID),
    "negative": (BOWL - 50, GRID),
    "twelve decades": (10 ** (6 * BOWL / BOWL.max() * 2 - 6), GRID),
    "overflowing": (np.where(BOWL > 3, 1e308, BOWL), GRID),
    "rough": (BOWL + np.random.default_rng(0).normal(scale=0.3, size=GRID.shape), GRID),
    "1 x n": (BOWL[10:11], Grid((Axis(0, 0, 1), Axis(-2, 2, 17)))),
    "n x 1": (BOWL[:, 8:9], Grid((Axis(-1, 1, 21), Axis(0, 0, 1)))),
    "1 x 1": (np.array([[0.1]]), Grid((Axis(0, 0, 1), Axis(0, 0, 1)))),
    "2 x 3": (BOWL[:2, :3], Grid((Axis(-1, 1, 2), Axis(-2, 2, 3)))),
    "curve": (BOWL[:, 8], Grid((Axis(-1, 1, 21),))),
    "curve of one point": (np.array([0.1]), Grid((Axis(0, 0, 1),))),
    "far from the centre": (BOWL, Grid((Axis(3, 5, 21), Axis(3, 5, 17)))),
}


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("name", MADE_UP)
def test_every_surface_gets_a_verdict_that_keeps_the_contract(name, measured):
    values, grid = MADE_UP[name]
    centre = centre_of(axes=len(grid.axes)) if measured else {}
    verdict = verdict_of(values, grid, centre)
    read = strict(as_json(verdict))
    assert read == verdict
    assert (read["format"], read["version"], read["run"]) == ("landscape verdict", 1, "own")
    ids = [check["id"] for check in read["checks"]]
    assert len(set(ids)) == len(ids)
    for check in read["checks"]:
        assert set(check) == {"id", "state", "title", "found", "why", "do"}
        assert check["state"] in STATES
        assert check["found"]
        assert check["why"]
        assert check["title"].endswith("?")
        assert not re.search(r"  |\.\.|None|\{", check["found"] + check["do"])
    for entry in read["numbers"]:
        assert set(entry) == {"name", "value", "definition", "source", "units", "key"}
        assert entry["value"] is None or math.isfinite(entry["value"])
        assert entry["definition"]
        assert entry["source"]
    assert as_json(verdict_of(values, grid, centre)) == as_json(verdict)
    assert name != "bowl" or not measured or {c["state"] for c in read["checks"]} == {"good"}


def test_without_a_measured_centre_nothing_is_claimed_of_it():
    verdict = verdict_of(centre={})
    for check in ("centre", "gradient", "curvature", "norms", "range"):
        assert state(verdict, check) == "unknown"
        assert "nothing was measured at the centre" in found(verdict, check)
    assert "Along x 2 from the grid" in found(verdict, "curvature")
    assert state(verdict, "minimum") == "good"


def test_a_bowls_numbers_are_those_of_its_formula():
    verdict = verdict_of(centre=centre_of())
    assert number(verdict, "sharpness within 0.25 steps") == pytest.approx(2 * 0.25**2)
    assert number(verdict, "sharpness within 1 steps") == pytest.approx(2)
    level = (0.1 + 2.0) / 2 - 0.1
    width = 2 * level**0.5
    assert number(verdict, "basin width along x") == pytest.approx(width, rel=0.01)
    assert number(verdict, "basin width along y") == pytest.approx(width / 2**0.5, rel=0.02)
    assert number(verdict, "second difference along y") == pytest.approx(4)
    assert number(verdict, "Hessian eigenvalue 1") == 4
    assert number(verdict, "Hessian trace") == 6
    told = next(n["definition"] for n in verdict["numbers"] if n["name"] == "Hessian trace")
    assert "32 probes, standard error 0.5" in told
    wanted = verdict["suggested_range"]
    assert wanted["x"][1] == pytest.approx(1.25 * 1.9**0.5, rel=0.05)  # a parabola beyond the grid
    assert wanted["y"][1] == pytest.approx(1.25 * 0.95**0.5, rel=0.05)


def test_nan_at_the_centre_is_no_minimum_and_no_agreement():
    values = BOWL.copy()
    values[10, 8] = np.nan
    verdict = verdict_of(values, centre=centre_of())
    assert state(verdict, "centre") == "warning"
    assert state(verdict, "minimum") == "unknown"
    assert state(verdict, "finite") == "warning"
    assert "1 of 357 points, the nearest 0 steps from the centre" in found(verdict, "finite")


def test_a_centre_that_is_not_the_models_own_is_a_warning():
    verdict = verdict_of(centre=centre_of(values={"train_loss": 0.2}))
    assert state(verdict, "centre") == "warning"
    assert "train_loss is 0.1 at the centre, the model's own 0.2" in found(verdict, "centre")
    near = verdict_of(centre=centre_of(values={"train_loss": 0.1 * (1 + 1e-6)}))
    assert state(near, "centre") == "warning"  # in float64
    near = verdict_of(
        centre=centre_of(values={"train_loss": 0.1 * (1 + 1e-6)}, precision="float32")
    )
    assert state(near, "centre") == "good"


def test_accuracies_are_not_compared_where_there_are_losses():
    own = {"train_loss": 0.1, "train_acc": 50.0}
    verdict = verdict_of(centre=centre_of(values=own), train_acc=100 - BOWL)
    assert state(verdict, "centre") == "good"
    assert "what was compared (train_loss) is" in found(verdict, "centre")
    alone = verdict_of(
        100 - BOWL, centre=centre_of(values={"train_acc": 50.0}, loss=None), key="train_acc"
    )
    assert state(alone, "centre") == "warning"


def test_a_grid_without_the_centre_says_what_the_model_is_worth():
    grid = Grid((Axis(-1, 1, 21), Axis(-2, 2, 16)))
    y = grid.axes[1].steps()[None, :]
    verdict = verdict_of(0.1 + X**2 + 2 * y**2, grid, centre_of())
    assert state(verdict, "centre") == "note"
    assert "No step of y lies at 0" in found(verdict, "centre")
    assert state(verdict, "minimum") == "good"
    assert state(verdict, "curvature") == "unknown"
    assert number(verdict, "value at the centre") == 0.1


@pytest.mark.parametrize(
    ("error", "wanted", "words"),
    [(0.1, "warning", "more than another draw"), (0.6, "note", "might not show it")],
)
def test_a_lower_point_is_a_warning_only_beyond_the_sampling_error(error, wanted, words):
    values = BOWL + 2
    values = values - 1.0 * ((X == X[12]) & (Y == 0))
    told = {"point": [0.2, 0], "difference": -0.96, "standard_error": error, "samples": 100}
    verdict = verdict_of(values, centre=centre_of(values={"train_loss": 2.1}, lowest=told))
    assert state(verdict, "minimum") == wanted
    assert "lowest at (0.2, 0): 1.14, 0.96 below the centre's 2.1" in found(verdict, "minimum")
    assert words in found(verdict, "minimum")


def test_other_losses_are_told_and_accuracies_are_not():
    other = (X - 0.5) ** 2 + Y**2
    verdict = verdict_of(centre=centre_of(), test_loss=other, train_acc=100 - BOWL)
    assert "test_loss is lowest at (0.5, 0): 0, at the centre 0.25" in found(verdict, "minimum")
    assert "train_acc" not in found(verdict, "minimum")
    assert state(verdict, "minimum") == "good"


def test_a_gradient_is_judged_by_what_it_would_gain():
    def with_gradient(norm, curvature, error=0.0001):
        told = {**centre_of()["gradient"], "norm": norm, "downhill_curvature": curvature}
        spread = {"standard_error": error, "samples": 100}
        return verdict_of(centre=centre_of(gradient=told, spread=spread))

    assert state(with_gradient(0.01, 1.0), "gradient") == "good"  # 0.00005 of 0.1
    assert state(with_gradient(0.1, 1.0), "gradient") == "note"  # 0.005
    assert state(with_gradient(0.1, 1.0, error=0.01), "gradient") == "good"
    assert state(with_gradient(1.0, 1.0), "gradient") == "warning"  # 0.5
    assert "about 0.5" in found(with_gradient(1.0, 1.0), "gradient")
    assert "no minimum" in found(with_gradient(0.01, -1.0), "gradient")
    assert state(with_gradient(math.nan, 1.0), "gradient") == "warning"
    assert state(with_gradient(1e-10, -1.0), "gradient") == "good"
    assert "to first order: rounding" in found(with_gradient(1e-10, -1.0), "gradient")


def test_an_error_that_too_few_steps_tell_nothing_of_is_unknown():
    grid = Grid((Axis(-1, 1, 3),))
    verdict = verdict_of(grid.axes[0].steps() ** 2 + 0.1, grid, centre_of(axes=1))
    assert "0 along x (from the grid 0, error unknown)" in found(verdict, "gradient")
    (second,) = (n for n in verdict["numbers"] if n["name"] == "second difference along x")
    assert second["definition"].endswith("error of step size unknown.")


def test_curvature_that_disagrees_is_told_by_how_much():
    def with_curvature(x, y):
        return verdict_of(centre=centre_of(curvature={"plane": [[x, 0], [0, y]], "samples": 100}))

    assert state(with_curvature(2.0, 4.0), "curvature") == "good"
    assert state(with_curvature(1.5, 4.0), "curvature") == "note"
    assert "apart by 25 %" in found(with_curvature(1.5, 4.0), "curvature")
    assert state(with_curvature(0.4, 4.0), "curvature") == "warning"


@pytest.mark.parametrize(("cosine", "wanted"), [(0.0, "good"), (-0.3, "note"), (0.9, "warning")])
def test_an_angle_is_judged_by_its_cosine(cosine, wanted):
    surface = Surface(GRID, {"train_loss": BOWL}, {"cosine": cosine})
    assert state(judge(Evidence("own", surface, {})), "axes") == wanted


def test_limits_of_pictures_that_cut_off_most_are_a_warning():
    assert state(verdict_of(limits=(None, 1.0)), "scale") == "warning"
    assert state(verdict_of(limits=(0.0, 10.0)), "scale") == "good"
    assert "beyond vmin or vmax" in found(verdict_of(limits=(None, 1.0)), "scale")


def test_twelve_decades_are_counted():
    values, _ = MADE_UP["twelve decades"]
    told = found(verdict_of(values), "scale")
    assert f"{math.log10(values.max() / values.min()):.3g} powers of ten" in told


def test_an_axis_that_begins_at_the_centre_has_a_basin_of_one_side():
    grid = Grid((Axis(0, 20, 21), Axis(-2, 2, 17)))
    x = grid.axes[0].steps()[:, None]
    verdict = verdict_of(0.1 + x**2 + 2 * Y**2, grid, centre_of())
    assert state(verdict, "range") == "warning"
    assert "Along x it is 1.3" in found(verdict, "range")


def test_a_flat_surface_is_called_flat_and_not_smooth_or_narrow():
    verdict = verdict_of(np.full(GRID.shape, 0.1), centre=centre_of())
    assert number(verdict, "sharpness within 0.25 steps") == 0
    assert state(verdict, "range") == "warning"
    assert "too narrow" in found(verdict, "range")
    assert "nothing changes on this grid" in found(
        verdict_of(np.full(GRID.shape, 0.1), centre=centre_of(indifferent={"unknown": "so"})),
        "range",
    )


def test_bumps_within_the_sampling_error_are_not_the_networks():
    values, _ = MADE_UP["rough"]
    for residual, words in ((0.5, "the network's, not the sample's"), (0.05, "other bumps")):
        place = {"point": [0, 0], "axis": "x", "residual": residual, "standard_error": 0.1}
        told = {"places": [place, place], "samples": 100}
        verdict = verdict_of(values, centre=centre_of(bumps=told))
        assert state(verdict, "roughness") == "note"
        assert words in found(verdict, "roughness")
    unknown = verdict_of(values, centre=centre_of())
    assert "Its sampling error is unknown: not here" in found(unknown, "roughness")


def test_a_state_that_is_none_is_refused():
    with pytest.raises(ValueError, match="Unknown state 'bad'; choose one of"):
        Check("a", "bad", "b", "c", "d")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.words = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_has_no_script_and_escapes_names():
    key = "train_loss_<script>alert('&')</script>"
    text = page(verdict_of(centre=centre_of(loss=key, values={key: 0.1}), key=key))
    read = Tags()
    read.feed(text)
    assert not read.open
    assert not read.seen & {"script", "link", "img", "iframe"}
    shown = " ".join(read.words)
    assert key in shown
    assert "Is the gradient at the centre near zero?" in shown
    assert "Keskar et al. (2017)" in shown
    assert "http://" not in text
    assert "https://" not in text


def test_the_page_counts_checks_in_the_singular_and_the_plural():
    checks = [
        {"id": f"c{number}", "state": state, "title": "", "found": "", "why": "", "do": ""}
        for number, state in enumerate(["note", "warning", "note", "good", "good"])
    ]
    text = page({"run": "own", "checks": checks, "numbers": []})
    assert "<p>2 good, 2 notes, 1 warning, 0 unknown.</p>" in text


def test_the_page_says_what_was_not_measured():
    assert ">not measured<" in page(verdict_of(centre={}))


def test_the_log_has_warnings_as_warnings(caplog):
    caplog.set_level("INFO")
    tell(verdict_of(centre=centre_of(values={"train_loss": 0.2})))
    levels = {record.getMessage().split()[0]: record.levelname for record in caplog.records}
    assert levels["warning"] == "WARNING"
    assert levels["good"] == "INFO"


def rough_with(error):
    values, _ = MADE_UP["rough"]
    place = {"point": [0, 0], "axis": "x", "residual": 0.5, "standard_error": 0.1}
    centre = centre_of(bumps={"places": [place], "samples": 100}, samples=4000)
    values = np.broadcast_to(values, GRID.shape)
    beside = {"standard_error/train_loss": np.full(GRID.shape, error)}
    surface = Surface(GRID, {"train_loss": values}, {"cosine": 0.01}, beside=beside)
    return judge(Evidence("own", surface, centre))


def test_bumps_beyond_what_sampling_can_do_at_most_are_counted_over_the_whole_grid():
    """Where values have an error e, the rest has 3/35 (1 + 4 + 6 + 4 + 1) e = 48/35 e at most."""
    assert "At 0 % of all points it is more than" in found(rough_with(1e6), "roughness")
    assert "At 100 % of all points it is more than" in found(rough_with(0.0), "roughness")


def test_the_standard_error_at_the_centre_is_the_surfaces_own():
    verdict = rough_with(0.125)
    assert number(verdict, "standard error of the loss") == 0.125
    told = next(n for n in verdict["numbers"] if n["name"] == "standard error of the loss")
    assert "from 4,000 samples" in told["definition"]


def test_a_surface_that_was_interpolated_says_so_and_its_roughness_is_unknown():
    computed = np.arange(GRID.size).reshape(GRID.shape) % 4 == 0
    errors = {"train_loss": np.where(computed, 0.0, 0.025)}
    surface = Surface(GRID, {"train_loss": 1 + BOWL}, {}, computed=computed, errors=errors)
    verdict = judge(Evidence("own", surface, {}))
    assert state(verdict, "interpolated") == "note"
    assert "90 of 357 points were evaluated" in found(verdict, "interpolated")
    said = found(verdict, "interpolated")
    assert "train_loss is off by less than its bound, typically 0.025." in said
    wide = {"train_loss": np.exp(8 * BOWL)}
    off = {"train_loss": np.where(computed, 0.0, 0.03 * wide["train_loss"])}
    surface = Surface(GRID, wide, {}, computed=computed, errors=off)
    assert "typically 3 % of the value." in found(
        judge(Evidence("own", surface, {})), "interpolated"
    )
    assert state(verdict, "roughness") == "unknown"
    assert state(verdict_of(), "interpolated") is None
