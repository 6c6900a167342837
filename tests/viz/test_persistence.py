"""Basins in pictures: the diagram has every birth and death, maps the places."""

import numpy as np
import pytest

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.curve import curve
from landscape_lib.viz.flat import contour, heat_map
from landscape_lib.viz.persistence import persistence, plot_persistence, plot_topology
from landscape_lib.viz.style import Look

GRID = Grid((Axis(-1, 1, 5), Axis(0, 2, 3)))
WELLS = np.full((5, 3), 9.0)
WELLS[:, 1] = [1, 4, 3.95, 6, 2]  # deep, a dent that is not clear, and shallow
WELLS = Surface(GRID, {"train_loss": WELLS, "test_acc": 10 - WELLS})
SHORT = Surface(Grid((Axis(0, 4, 5),)), {"train_loss": WELLS["train_loss"][:, 1]})


def drawn(figure, name):
    """The points of every line of that name, as pairs."""
    lines = [line for line in figure.axes[0].lines if line.get_gid() == name]
    return [tuple(map(float, p)) for line in lines for p in zip(*line.get_data(), strict=True)]


def words(figure):
    (axes, *_) = figure.axes
    return f"{axes.get_title()}: {' '.join(t.get_text() for t in axes.texts)}".replace("\n", " ")


def test_the_diagram_has_a_point_for_every_basin():
    figure = persistence(WELLS, "train_loss")
    assert drawn(figure, "basins") == [(3.95, 4), (2, 6)]  # the faint ones lie below
    ((birth, top),) = drawn(figure, "never")
    assert birth == 1
    assert top == figure.axes[0].get_ylim()[1]
    faint, clear = (n for n in figure.axes[0].lines if n.get_gid() == "basins")
    assert (faint.get_markerfacecolor(), clear.get_markerfacecolor()) == ("none", "#2a5d8a")
    told = words(figure)
    assert told.startswith("basins of train loss: 3 minima, 2 of them clear (filled)")
    assert "clear: a persistence of at least 1 % of the range" in told
    assert "2 of the clear ones at the border of the grid" in told


def test_of_what_is_to_be_high_it_shows_the_peaks():
    figure = persistence(WELLS, "test_acc")
    assert drawn(figure, "basins")[-1] == (8, 4)
    ((birth, end),) = drawn(figure, "never")
    assert (birth, end) == (9, figure.axes[0].get_ylim()[0])
    assert words(figure).startswith("peaks of test accuracy (%): 3 maxima")


def test_wide_values_are_drawn_in_powers_of_ten():
    wide = Surface(GRID, {"train_loss": 10 ** WELLS["train_loss"]})
    figure = persistence(wide, "train_loss")
    assert drawn(figure, "basins")[-1] == pytest.approx((2, 6))
    assert "at least 1 % of the log10 range" in words(figure)


@pytest.mark.parametrize("values", [np.nan, np.inf, 2.5, -3.0, 0.0, 1e308, 5e-324])
def test_any_values_are_drawn(values, tmp_path):
    flat = Surface(GRID, {"train_loss": np.full((5, 3), values)})
    for look in (Look(), Look(scale="log"), Look(vmin=0.1, vmax=3.0, vlevel=0.5)):
        path = plot_persistence(flat, "train_loss", tmp_path, look, "png")
        assert path.stat().st_size > 1000


def test_maps_mark_minima_and_passes_where_they_are():
    look = Look(topology=True)
    for draw in (contour, heat_map):
        figure = draw(WELLS, "train_loss", look)
        assert drawn(figure, "minima") == [(-1, 1), (1, 1)]
        assert drawn(figure, "passes") == [(0.5, 1)]
        assert "dots: 2 minima; crosses: the passes between them" in words(figure)
        assert drawn(draw(WELLS, "train_loss"), "minima") == []
    figure = contour(WELLS, "test_acc", look)
    assert drawn(figure, "minima") == [(-1, 1), (1, 1)]
    assert "dots: 2 maxima" in words(figure)


def test_curves_mark_them_on_the_line_and_gaps_have_none():
    figure = curve(SHORT, "train_loss", Look(topology=True))
    assert drawn(figure, "minima") == [(0, 1), (4, 2)]
    assert drawn(figure, "passes") == [(3, 6)]
    one = Surface(SHORT.grid, {"train_loss": np.array([3.0, 2, 1, 2, 3])})
    assert "dots: 1 minimum" in words(curve(one, "train_loss", Look(topology=True)))
    none = Surface(SHORT.grid, {"train_loss": np.full(5, np.nan)})
    assert "dots" not in words(curve(none, "train_loss", Look(topology=True)))


def test_equal_surfaces_give_equal_bytes_and_names_follow_the_file(tmp_path):
    one, other = (plot_persistence(WELLS, "train_loss", tmp_path / name) for name in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert one.name == "train_loss_persistence.pdf"
    named = Surface(GRID, {"a/b": WELLS["train_loss"]}, labels={"a/b": Label("own")})
    assert [path.name for path in plot_topology(named, "auto", prefix=tmp_path / "s.h5")] == [
        "s.h5_a%2Fb_persistence.pdf"
    ]
