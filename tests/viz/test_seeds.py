"""The picture of several seeds shows every member, their mean and how far they spread."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from landscape_lib.core.ensemble import Ensemble
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.viz.seeds import plot_seeds, seeds

LINE = Grid((Axis(-1, 1.5, 11),))
PLANE = Grid((Axis(-1, 1, 7), Axis(0, 1, 5)))


def ensemble(grid, heights=(1.0, 2.0, 6.0)):
    far = np.square(grid.points(range(grid.size))).sum(axis=1).reshape(grid.shape)
    members = {
        f"seed {n}": Surface(grid, {"train_loss": h * (1 + far)}) for n, h in enumerate(heights)
    }
    return Ensemble(members)


def test_curves_have_a_line_for_every_seed_and_the_mean_in_a_band():
    found = ensemble(LINE)
    axes = seeds(found, "train_loss").axes[0]
    lines = {
        kind: [one for one in axes.lines if one.get_gid() == kind] for kind in ("member", "mean")
    }
    for line, values in zip(lines["member"], found.stacked("train_loss"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), values)
    (mean,) = lines["mean"]
    np.testing.assert_allclose(mean.get_ydata(), 3 * found.stacked("train_loss")[0])
    (band,) = [one for one in axes.collections if one.get_gid() == "spread"]
    corners = band.get_paths()[0].vertices
    deviation = np.std([1, 2, 6], ddof=1)
    at = LINE.axes[0].steps()[5]
    heights = corners[np.isclose(corners[:, 0], at), 1]
    np.testing.assert_allclose(
        np.unique(heights.round(9)), (1 + at**2) * (3 + deviation * np.array([-1, 1]))
    )


def test_the_legend_of_curves_stands_above_them():
    figure = seeds(ensemble(LINE), "train_loss")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (legend,) = figure.legends
    frame = legend.get_window_extent()
    assert frame.y0 >= figure.axes[0].title.get_window_extent().y1
    assert 0 <= frame.x0 < frame.x1 <= figure.bbox.x1


def test_surfaces_lie_beside_each_other_with_their_mean_and_spread():
    figure = seeds(ensemble(PLANE), "train_loss")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["seed 0", "seed 1", "seed 2"]
    assert "mean of 3 seeds" in titles
    assert "standard deviation" in titles
    told = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert f"median {100 * np.std([1, 2, 6], ddof=1) / 3:.3g} % of the mean" in told


def test_it_is_drawn_for_any_values_and_equal_seeds_give_equal_bytes(tmp_path):
    for heights in ((1.0, np.nan), (np.nan, np.nan), (0.0, 0.0), (1.0, 1e9), (-1.0, 1.0)):
        plot_seeds(ensemble(LINE, heights), "train_loss", tmp_path / "line.svg")
    plot_seeds(ensemble(PLANE, (np.nan, np.nan)), "train_loss", tmp_path / "plane.svg")
    paths = [tmp_path / f"{n}.svg" for n in range(2)]
    one, other = (plot_seeds(ensemble(PLANE), "train_loss", path) for path in paths)
    assert one.read_bytes() == other.read_bytes()
