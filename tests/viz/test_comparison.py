"""Runs beside each other share levels and colours, and differences are what they say."""

import json
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from pypdf import PdfReader

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.viz.comparison import comparison, plot_comparison
from landscape_lib.viz.style import Look

GRID = Grid((Axis(-1, 2, 7), Axis(-0.5, 0.5, 5)))  # not square, not symmetric
X, Y = (axis.steps() for axis in GRID.axes)
BOWL = (X[:, None] - 1.5) ** 2 + 3 * (Y[None, :] + 0.25) ** 2 + 0.5
CUT = Grid((Axis(-1, 2, 7),))


def plane(values, key="train_loss", grid=GRID):
    return Surface(grid, {key: values})


def cut(values, key="train_loss"):
    return Surface(CUT, {key: values})


def panels(figure):
    """Axes by their title: one of every run and difference."""
    found = {}
    for part in (*figure.subfigs, figure):
        found |= {axes.get_title(): axes for axes in part.axes if axes.get_title()}
    return found


def bands(axes):
    (filled,) = (drawn for drawn in axes.collections if getattr(drawn, "filled", False))
    return filled


def cells(axes):
    (mesh,) = (drawn for drawn in axes.collections if isinstance(drawn, QuadMesh))
    return mesh


def notes(axes):
    return " ".join(text.get_text().replace("\n", " ") for text in axes.texts)


def test_equal_values_have_equal_colours_in_every_panel():
    runs = {"low": plane(BOWL), "high": plane(3 * BOWL + 5)}
    found = panels(comparison(runs, "train_loss", Look(scale="linear")))
    low, high = bands(found["low"]), bands(found["high"])
    np.testing.assert_array_equal(low.levels, high.levels)
    assert (low.norm.vmin, low.norm.vmax) == (high.norm.vmin, high.norm.vmax)
    assert low.levels[0] <= BOWL.min()
    assert low.levels[-1] >= (3 * BOWL + 5).max()
    np.testing.assert_array_equal(low.get_facecolor(), high.get_facecolor())


def test_the_difference_is_the_run_less_the_first_where_it_was_measured():
    """10 x + y less zero, each value in its cell; zero is white, and both sides reach as far."""
    tilt = 10 * X[:, None] + Y[None, :]
    found = panels(comparison({"a": plane(BOWL), "b": plane(BOWL + tilt)}, "train_loss"))
    mesh = cells(found["b − a"])
    np.testing.assert_allclose(mesh.get_array(), tilt.T, atol=1e-12)
    corners = mesh.get_coordinates()
    middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    np.testing.assert_allclose(10 * middle[..., 0] + middle[..., 1], mesh.get_array(), atol=1e-9)
    assert mesh.norm.vmin == -mesh.norm.vmax
    assert min(mesh.cmap(mesh.norm(0.0))[:3]) > 0.95
    assert "lower at 12 of 35 points" in notes(found["b − a"])


def test_on_a_log_scale_the_difference_is_log10_of_the_ratio():
    wide = 10 ** (BOWL - 2)
    found = panels(comparison({"a": plane(wide), "b": plane(100 * wide)}, "train_loss"))
    np.testing.assert_allclose(cells(found["b / a"]).get_array(), 2)


def test_equal_runs_differ_nowhere_and_holes_stay_holes():
    holes = BOWL.copy()
    holes[2, 3] = np.nan
    found = panels(
        comparison({"a": plane(BOWL), "b": plane(BOWL), "c": plane(holes)}, "train_loss")
    )
    assert notes(found["b − a"]) == "equal everywhere"
    mask = np.ma.getmaskarray(cells(found["c − a"]).get_array())
    assert np.argwhere(mask).tolist() == [[3, 2]]
    assert "1 of 35 are missing in one" in notes(found["c − a"])


def test_runs_on_another_grid_stand_beside_the_others_without_a_difference():
    other = Grid((Axis(0, 1, 3), Axis(0, 2, 4)))
    figure = comparison({"a": plane(BOWL), "b": plane(np.ones((3, 4)), grid=other)}, "train_loss")
    assert set(panels(figure)) == {"a", "b"}


def test_runs_of_unlike_dimension_are_grouped_surfaces_above_curves_below():
    runs = {"c1": cut(X**2), "p": plane(BOWL), "c2": cut(X**2 + 1), "q": plane(BOWL + 1)}
    figure = comparison(runs, "train_loss")
    assert len(figure.subfigs) == 2
    assert set(panels(figure)) == {"p", "q", "q − p"}
    (axes,) = figure.subfigs[1].axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_array_equal(drawn["c1"], X**2)
    np.testing.assert_array_equal(drawn["c2"], X**2 + 1)


def test_curves_of_a_group_are_one_line_in_a_band():
    runs = {"s1": cut(X**2), "s2": cut(X**2 + 1), "s3": cut(X**2 + 3), "alone": cut(X**2 + 9)}
    figure = comparison(runs, "train_loss", groups={"seeds": ["s1", "s2", "s3"]})
    (axes,) = figure.subfigs[0].axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(drawn) == ["seeds (3 runs)", "alone"]
    np.testing.assert_array_equal(drawn["seeds (3 runs)"], X**2 + 1)


def test_runs_without_the_metric_are_left_out_and_one_alone_is_refused():
    runs = {"a": plane(BOWL), "b": plane(BOWL, "test_acc"), "c": plane(BOWL + 1)}
    assert set(panels(comparison(runs, "train_loss"))) == {"a", "c", "c − a"}
    with pytest.raises(InputError, match=r"'test_acc' is measured by \['b'\]; a comparison needs"):
        comparison(runs, "test_acc")
    with pytest.raises(InputError, match="is measured by no run"):
        comparison(runs, "nothing")


WEIRD = {
    "constant": np.full(GRID.shape, 2.5),
    "all NaN": np.full(GRID.shape, np.nan),
    "half NaN": np.where(np.arange(35).reshape(7, 5) % 2, np.nan, BOWL),
    "negative": -BOWL,
    "wide": 10 ** (12 * (BOWL - BOWL.min()) / np.ptp(BOWL)),
    "the largest": np.where(BOWL > 3, np.finfo(float).max, -np.finfo(float).max),
}


@pytest.mark.parametrize("name", WEIRD)
def test_any_values_can_be_compared(name, tmp_path):
    runs = {"a": plane(BOWL), "b": plane(WEIRD[name]), "curve": cut(WEIRD[name][:, 2])}
    path = plot_comparison(runs, "train_loss", tmp_path / "c.pdf", Look(cmap="cividis"))
    text = PdfReader(path).pages[0].extract_text()
    assert "train loss" in text
    said = {"constant": "constant 2.5", "all NaN": "no finite value", "half NaN": "17 of 35"}
    assert said.get(name, "best") in text


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 1)], ids=str)
def test_a_lone_step_along_an_axis_can_be_compared(shape, tmp_path):
    axes = [Axis(0, 0, 1) if n == 1 else axis for n, axis in zip(shape, GRID.axes, strict=True)]
    runs = {name: plane(BOWL[: shape[0], : shape[1]], grid=Grid(tuple(axes))) for name in "ab"}
    FigureCanvasAgg(comparison(runs, "train_loss")).draw()


def test_equal_runs_give_equal_bytes_whatever_their_names(tmp_path):
    runs = {"_a$b$": plane(BOWL), "损" * 30: plane(BOWL + 1)}
    first, second = (plot_comparison(runs, "train_loss", tmp_path / f"{n}.pdf") for n in "12")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["b.pt", "b.pt"], "α: toward b.pt"),
        (["b.pt", "c.pt"], "α (direction 1)"),
    ],
)
def test_curves_along_one_direction_say_which(names, said):
    runs = {
        str(number): Surface(CUT, {"train_loss": np.arange(7.0)}, {"axis_directions": told})
        for number, told in enumerate(
            json.dumps([{"kind": "target", "model": name}]) for name in names
        )
    }
    (axes,) = comparison(runs, "train_loss").subfigs[-1].axes
    assert axes.get_xlabel() == said


NAMED = json.dumps(
    [{"kind": "random", "normalize": "filter", "seed": seed} for seed in (0, 1)]
)  # names of two lines below panels that are as high as they are wide


def named_axes(first, second):
    square = Grid((Axis(-1, 1, 7), Axis(-1, 1, 5)))
    told = [{"axis_directions": axes} for axes in (first, second)]
    return {
        name: Surface(square, {"train_loss": BOWL + number}, attributes)
        for number, (name, attributes) in enumerate(zip(("one", "two"), told, strict=True))
    }


def test_the_title_stands_above_the_names_of_the_panels():
    figure = comparison(named_axes(NAMED, NAMED), "train_loss")
    FigureCanvasAgg(figure).draw()
    below = figure._suptitle.get_window_extent().y0
    assert all(axes.title.get_window_extent().y1 < below for axes in panels(figure).values())


def test_the_axes_of_a_difference_are_named_where_both_runs_have_the_same():
    for others, said in ((NAMED, "random, filter-normalized"), ("[]", "direction 1")):
        *_, difference = panels(comparison(named_axes(NAMED, others), "train_loss")).values()
        assert said in unfolded(difference.get_xlabel())


def unfolded(label):
    return label.replace("-\n", "-").replace("\n", " ")


@pytest.mark.parametrize(
    ("norms", "wanted"),
    [
        (["filter", "layer", "weight"], ["filter", "layer", "weight"]),
        (["filter", "filter", "layer"], ["filter", "filter", "layer"]),
        (["filter", "filter", "filter"], ["filter", None, None]),
    ],
)
def test_a_row_names_its_vertical_axes_once_where_all_are_the_same_and_else_each(norms, wanted):
    runs = {}
    for number, norm in enumerate(norms):
        told = json.dumps([{"kind": "random", "normalize": norm, "seed": 0}] * 2)
        runs[f"run {number}"] = Surface(
            GRID, {"train_loss": BOWL}, attributes={"axis_directions": told}
        )
    found = panels(comparison(runs, "train_loss", differences=False)).values()
    names = [f"β: random, {norm}-normalized, seed 0" if norm else "" for norm in wanted]
    assert [unfolded(axes.get_ylabel()) for axes in found] == names


def test_an_eigenvalue_stays_on_one_line():
    told = [{"kind": "hessian", "eigenvector": n, "eigenvalue": 93.5} for n in (1, 2)]
    attributes = {"axis_directions": json.dumps(told)}
    run = Surface(GRID, {"train_loss": BOWL}, attributes=attributes)
    first, _ = panels(comparison({"a": run, "b": run}, "train_loss", differences=False)).values()
    assert first.get_ylabel() == "β: eigenvector 2,\nλ\xa0=\xa093.5"


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_the_title_and_the_names_of_panels_do_not_touch(runs):
    shown = {f"run {n}": plane(BOWL + n) for n in range(runs)}
    figure = comparison(shown, "train_loss")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (title,) = (text for text in figure.texts if text.get_text() == "train loss")
    lowest = title.get_window_extent(canvas.get_renderer()).y0
    names = [axes.title.get_window_extent().y1 for axes in panels(figure).values()]
    assert lowest - max(names) > 0.04 * figure.dpi


def test_the_numbers_of_a_narrow_colour_bar_do_not_touch():
    tilt = 1e-3 * (X[:, None] + Y[None, :])
    figure = comparison({"a": plane(BOWL), "b": plane(BOWL + tilt)}, "train_loss")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    bars = [a for part in figure.subfigs for a in part.axes if a.get_label() == "<colorbar>"]
    assert len(bars) == 2
    for bar in bars:
        places = [text.get_window_extent() for text in bar.get_xticklabels() if text.get_text()]
        assert len(places) >= 3
        assert all(one.x1 + 2 < other.x0 for one, other in pairwise(places))
    assert "0" in [text.get_text() for text in bars[1].get_xticklabels()]


def test_a_single_curve_beside_planes_has_a_name():
    figure = comparison({"flat": plane(BOWL), "line": cut(X**2)}, "train_loss")
    (legend,) = (a.get_legend() for part in figure.subfigs for a in part.axes if a.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == ["line"]


@pytest.mark.parametrize("runs", [2, 5])
@pytest.mark.parametrize("width", [0.5, 2, 4])
def test_no_name_lies_under_a_colour_bar_whatever_the_planes_shape(width, runs):
    grid = Grid((Axis(-width, width, 7), Axis(-1, 1, 5)))
    told = {
        "axis_directions": json.dumps(
            [{"kind": "random", "normalize": "filter", "seed": 0, "ignore": "biasbn"}] * 2
        )
    }
    shown = {
        f"run {n}": Surface(grid, {"train_loss": BOWL + n}, attributes=told) for n in range(runs)
    }
    figure = comparison(shown, "train_loss", Look(topology=True))
    FigureCanvasAgg(figure).draw()
    pictures = [axes for part in figure.subfigs for axes in part.axes]
    bars = [axes for axes in pictures if axes.get_label() == "<colorbar>"]
    planes = [axes for axes in pictures if axes not in bars]
    assert bars
    assert len(planes) == 2 * runs - 1
    for axes in planes:
        name = axes.xaxis.label.get_window_extent()
        assert name.y0 >= 0
        assert not any(name.overlaps(bar.get_window_extent()) for bar in bars)


def test_a_corner_far_beyond_the_rest_does_not_make_it_white():
    """Nine of ten differences are told apart, and the bar shows that some lie beyond."""
    far = BOWL + 1 + X[:, None] / 10
    far[-1, -1] += 1e6
    for runs, reach, extend in (
        ({"low": plane(BOWL), "high": plane(far)}, 1.25, "max"),
        ({"low": plane(far), "high": plane(BOWL)}, 1.25, "min"),
        ({"low": plane(BOWL), "high": plane(BOWL + np.linspace(0, 2, 7)[:, None])}, 2, "neither"),
    ):
        figure = comparison(runs, "train_loss", Look(scale="linear"))
        shown = cells(panels(figure)[f"high {chr(0x2212)} low"])
        bars = [a for part in figure.subfigs for a in part.axes if a.get_label() == "<colorbar>"]
        assert shown.norm.vmax == -shown.norm.vmin == reach
        assert bars[-1]._colorbar.extend == extend
