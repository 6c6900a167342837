"""The picture of a curve shows every value at its step, with gaps where there is none."""

import json

import numpy as np
import pytest
from pypdf import PdfReader

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.viz.curve import curve
from landscape_lib.viz.plot_1d import plot_curve
from landscape_lib.viz.style import Look

GRID = Grid((Axis(-1, 1.5, 11),))
X = GRID.axes[0].steps()


def curve_of(values, key="train_loss"):
    return Surface(GRID, {key: values})


def line(figure, kind="curve"):
    return [drawn.get_xydata() for drawn in figure.axes[0].lines if drawn.get_gid() == kind]


def words(figure):
    axes = figure.axes[0]
    return axes.get_title() + "\n" + "\n".join(text.get_text() for text in axes.texts)


def test_the_line_goes_through_the_measured_points():
    figure = curve(curve_of((X - 0.5) ** 2), "train_loss")
    np.testing.assert_allclose(line(figure)[0], np.column_stack([X, (X - 0.5) ** 2]))
    np.testing.assert_allclose(line(figure, "best"), [[[0.5, 0]]])
    np.testing.assert_allclose(line(figure, "origin"), [[[0, 0.25]]], atol=1e-15)
    best = line(curve(curve_of((X - 0.5) ** 2, "test_acc"), "test_acc"), "best")
    np.testing.assert_allclose(best, [[[-1, 2.25]]])


def test_wide_positive_values_get_a_log_axis():
    values = 10 ** (2 * X)
    figure = curve(curve_of(values), "train_loss")
    np.testing.assert_allclose(line(figure)[0][:, 1], 2 * X, atol=1e-12)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "10²" in labels
    linear = curve(curve_of(values), "train_loss", Look(scale="linear"))
    np.testing.assert_allclose(line(linear)[0][:, 1], values)


def test_missing_values_are_gaps_and_a_point_alone_is_still_seen_trap_28():
    values = X**2
    values[[2, 4]], values[7] = np.nan, np.inf
    figure = curve(curve_of(values), "train_loss")
    heights = line(figure)[0][:, 1]
    assert np.flatnonzero(np.isnan(heights)).tolist() == [2, 4, 7]
    dots = next(drawn for drawn in figure.axes[0].lines if drawn.get_marker() == ".")
    assert X[3] in dots.get_xdata()
    assert "3 of 11 points are not finite" in words(figure)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full(11, 2.5), "constant 2.5"),
        (np.full(11, np.nan), "no finite value"),
        (-(X**2), "best"),
    ],
)
def test_a_picture_is_written_whatever_the_values_are_trap_35(values, said, tmp_path):
    (path,) = plot_curve(curve_of(values), "train_loss", tmp_path)
    assert path == tmp_path / "train_loss_1d.pdf"
    text = PdfReader(path).pages[0].extract_text()
    assert said in text
    assert "α (direction 1)" in text
    assert list(tmp_path.iterdir()) == [path]


def test_a_curve_of_one_point_is_drawn(tmp_path):
    surface = Surface(Grid((Axis(3, 3, 1),)), {"train_loss": np.array([2.0])})
    assert plot_curve(surface, "train_loss", tmp_path, format="png")[0].exists()


def test_what_the_users_bounds_cut_off_is_said_and_marks_stay_inside():
    figure = curve(curve_of(X), "train_loss", Look(vmin=-0.6, vmax=0.8))
    assert figure.axes[0].get_ylim() == (-0.6, 0.8)
    assert not line(figure, "best")
    assert "5 of 11 points lie beyond the picture" in words(figure)


@pytest.mark.parametrize("format", ["pdf", "png", "svg"])
def test_equal_curves_give_equal_bytes(format, tmp_path):
    paths = [
        plot_curve(curve_of(X**2), "train_loss", tmp_path / folder, format=format)[0]
        for folder in "ab"
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_surface_is_refused_with_the_function_to_use(tmp_path):
    surface = Surface(Grid((Axis(0, 1, 2), Axis(0, 1, 3))), {"train_loss": np.zeros((2, 3))})
    with pytest.raises(InputError, match=r"is a surface: .* Draw it with plot_surface\(\)"):
        plot_curve(surface, "train_loss", tmp_path)
    with pytest.raises(InputError, match="Unknown format 'jpg'"):
        plot_curve(curve_of(X), "train_loss", tmp_path, format="jpg")
    with pytest.raises(InputError, match="no metric 'acc' here"):
        plot_curve(curve_of(X), "acc", tmp_path)


def between(values, key="train_loss", **more):
    grid = Grid((Axis(-0.5, 1.5, 9),))
    about = {"kind": "target", "model": "other.pt", **more}
    told = {"axis_directions": json.dumps([about])}
    return curve(Surface(grid, {key: values(grid.axes[0].steps())}, told), key)


def test_a_curve_to_another_model_says_so_and_shows_its_barrier():
    figure = between(lambda t: 1 + t + 2 * t * (1 - t))
    assert figure.axes[0].get_xlabel() == "α: toward other.pt"
    assert "barrier 0.5 at α = 0.5" in words(figure)
    (chord,) = line(figure, "chord")
    np.testing.assert_allclose(chord[:, 1], 1 + chord[:, 0])
    fallen = between(lambda t: 80 - 40 * t * (1 - t), "test_acc")
    assert "barrier 10 at α = 0.5" in words(fallen)
    assert "barrier 0\n" in words(between(lambda t: 1 + t**2)) + "\n"


def test_a_curve_to_no_model_shows_no_barrier():
    figure = between(lambda t: 1 + 2 * t * (1 - t), orthogonal=True)
    assert not line(figure, "chord")
    assert "barrier" not in words(figure)


def band(figure):
    (found,) = [drawn for drawn in figure.axes[0].collections if drawn.get_gid() == "band"]
    return found.get_paths()[0].vertices


def with_errors(values, errors):
    return Surface(GRID, {"train_loss": values}, beside={"standard_error/train_loss": errors})


def test_the_band_covers_two_standard_errors_on_either_side():
    figure = curve(with_errors((X - 0.5) ** 2 + 1, np.full(11, 0.25)), "train_loss")
    corners = band(figure)
    for step, value in zip(X, (X - 0.5) ** 2 + 1, strict=True):
        heights = corners[np.isclose(corners[:, 0], step), 1]
        bottom, top = figure.axes[0].get_ylim()
        assert heights.min() == pytest.approx(max(value - 0.5, bottom))
        assert heights.max() == pytest.approx(min(value + 0.5, top))
    assert "band: two standard errors on either side" in words(figure)


def test_a_band_that_reaches_below_zero_ends_at_the_border_of_a_log_scale():
    figure = curve(with_errors(10 ** (2 * X), 10 ** (2 * X)), "train_loss")
    assert band(figure)[:, 1].min() == figure.axes[0].get_ylim()[0]


def test_without_standard_errors_there_is_no_band():
    for surface in (curve_of(X**2), with_errors(X**2, np.full(11, np.nan))):
        figure = curve(surface, "train_loss")
        assert not [one for one in figure.axes[0].collections if one.get_gid() == "band"]
        assert "band" not in words(figure)
