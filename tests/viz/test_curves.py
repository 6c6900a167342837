"""Several curves in one picture keep their values, and a band is what it says."""

import numpy as np
import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz import Line, plot_curves, plot_loss_and_accuracy
from landscape_lib.viz.curves import curves, loss_and_accuracy
from landscape_lib.viz.names import rated_splits
from landscape_lib.viz.style import Look

GRID = Grid((Axis(-1, 1.5, 11),))
X = GRID.axes[0].steps()
LOSS = Label.of("train_loss")


def curve_of(values, **more):
    return Surface(GRID, {"train_loss": values} | more)


BOTH = curve_of(
    0.1 + X**2, train_acc=100 - 20 * X**2, test_loss=0.2 + X**2, test_acc=90 - 20 * X**2
)


def drawn(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_any_number_of_curves_lie_over_each_other_each_with_its_name():
    lines = [Line(f"run {number}", X, X**2 + number) for number in range(9)]
    axes = curves(lines, LOSS, Look(scale="linear")).axes[0]
    found = drawn(axes)
    for number, line in enumerate(lines):
        np.testing.assert_array_equal(found[line.name], np.column_stack([X, X**2 + number]))
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 9
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(found)


def test_a_band_goes_from_the_lowest_run_to_the_highest_around_their_median():
    runs = [curve_of(X**2 + shift) for shift in (0.0, 0.3, 1.0)]
    line = Line.across("seeds", runs, "train_loss")
    assert line.name == "seeds (3 runs)"
    np.testing.assert_allclose(line.values, X**2 + 0.3)
    axes = curves([line], LOSS, Look(scale="linear")).axes[0]
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    for step, low, high in zip(X, X**2, X**2 + 1, strict=True):
        seen = corners[np.isclose(corners[:, 0], step), 1]
        assert np.isclose(seen, low).any()
        assert np.isclose(seen, high).any()
        assert seen.min() >= low - 1e-12
        assert seen.max() <= high + 1e-12


def test_where_one_run_has_no_value_neither_line_nor_band_has_one():
    holes = X**2
    holes[3], holes[5] = np.nan, np.inf
    line = Line.across("seeds", [curve_of(X**2), curve_of(holes)], "train_loss")
    for found in (line.values, line.low, line.high):
        assert np.flatnonzero(np.isnan(found)).tolist() == [3, 5]


def test_losses_stand_at_the_left_axis_and_accuracies_at_the_right():
    figure = loss_and_accuracy(BOTH, Look(scale="linear"))
    left, right = figure.axes
    assert set(drawn(left)) == {"train loss", "test loss"}
    np.testing.assert_allclose(drawn(left)["test loss"][:, 1], 0.2 + X**2)
    np.testing.assert_allclose(drawn(right)["train accuracy (%)"][:, 1], 100 - 20 * X**2)
    dashes = {line.get_label(): line.get_linestyle() for line in (*left.lines, *right.lines)}
    assert dashes["train loss"] == dashes["train accuracy (%)"] == "-"
    assert dashes["test loss"] == dashes["test accuracy (%)"] == "--"
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 4


def test_a_wide_loss_is_drawn_as_log10_beside_a_linear_accuracy():
    figure = loss_and_accuracy(curve_of(10.0 ** (3 * X), train_acc=50 + X))
    left, right = figure.axes
    np.testing.assert_allclose(drawn(left)["train loss"][:, 1], 3 * X)
    np.testing.assert_allclose(drawn(right)["train accuracy (%)"][:, 1], 50 + X)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.5, -1.0, 1.7e308], ids=str)
def test_both_pictures_are_written_whatever_the_values_are(value, tmp_path):
    flat = curve_of(np.full(11, value), train_acc=np.full(11, value))
    (path,) = plot_loss_and_accuracy(flat, tmp_path)
    assert path == tmp_path / "loss_and_accuracy_1d.pdf"
    lines = [Line.of("a", flat, "train_loss"), Line.of("b", BOTH, "train_loss")]
    assert plot_curves(lines, LOSS, tmp_path / "many.png").stat().st_size > 1000


def test_a_curve_of_one_point_is_seen():
    one = Surface(Grid((Axis(0, 0, 1),)), {"train_loss": [2.0]})
    (line,) = curves([Line.of("one", one, "train_loss")], LOSS).axes[0].lines
    assert line.get_marker() == "."


def test_equal_curves_give_equal_bytes(tmp_path):
    for folder in "ab":
        plot_loss_and_accuracy(BOTH, tmp_path / folder)
    name = "loss_and_accuracy_1d.pdf"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_splits_that_have_both_are_found_and_no_other():
    keys = ["train_loss", "train_acc", "val_loss", "test_acc", "a_loss", "a_acc", "x_loss_ce"]
    assert rated_splits(keys) == ["train", "a"]


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(InputError, match="give at least one"):
        curves([], LOSS)
    with pytest.raises(InputError, match=r"both a loss and an accuracy.*\['train_loss'\]"):
        loss_and_accuracy(curve_of(X))
    other = Surface(Grid((Axis(-1, 1, 11),)), {"train_loss": X})
    with pytest.raises(InputError, match="all of them on one grid"):
        Line.across("seeds", [curve_of(X), other], "train_loss")
    plane = Surface(Grid((Axis(-1, 1, 3), Axis(0, 1, 2))), {"train_loss": np.zeros((3, 2))})
    with pytest.raises(InputError, match="'train_loss' is a surface"):
        Line.of("plane", plane, "train_loss")
    with pytest.raises(InputError, match="Unknown format 'gif'"):
        plot_curves([Line("a", X, X)], LOSS, tmp_path / "a.gif")
