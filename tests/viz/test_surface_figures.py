"""The pictures of a surface show every value where it was measured, whatever the values are."""

import gc
import json
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from pypdf import PdfReader

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface, Trajectory
from landscape_lib.viz import relief as relief_module
from landscape_lib.viz.curve import curve as draw_curve
from landscape_lib.viz.figures import MISSING
from landscape_lib.viz.flat import contour, filled_contour, heat_map
from landscape_lib.viz.plot_2d import KINDS, plot_surface
from landscape_lib.viz.relief import chosen, relief
from landscape_lib.viz.style import Look
from landscape_lib.viz.stylesheet import SETTINGS

GRID = Grid((Axis(-1, 2, 7), Axis(-0.5, 0.5, 5)))  # not square, not symmetric
X, Y = (axis.steps() for axis in GRID.axes)
PLANE = 10 * X[:, None] + Y[None, :]
BOWL = (X[:, None] - 1.5) ** 2 + 3 * (Y[None, :] + 0.25) ** 2 + 0.5  # lowest at (1.5, -0.25)
FACES = {"contour": contour, "filled": filled_contour, "heat": heat_map, "relief": relief}


@pytest.fixture
def coarse(monkeypatch):
    """Few pixels: what these tests ask doesn't depend on their number."""
    monkeypatch.setitem(SETTINGS, "savefig.dpi", 40)


def surface_of(values, key="train_loss", grid=GRID):
    return Surface(grid, {key: values})


def marks(figure, kind):
    axes = figure.axes[0]
    lines = [line for line in axes.lines if line.get_gid() == kind]
    get = "get_data_3d" if hasattr(axes, "get_zlim") else "get_data"
    return [tuple(float(part[0]) for part in getattr(line, get)()) for line in lines]


def words(figure):
    axes = figure.axes[0]
    small = " ".join(text.get_text().replace("\n", " ") for text in axes.texts)  # long ones wrap
    return axes.get_title() + "\n" + small


@pytest.mark.parametrize("draw", FACES.values(), ids=FACES)
def test_the_star_is_at_the_optimum_and_the_plus_at_the_origin_trap_1(draw):
    figure = draw(surface_of(BOWL), "train_loss")
    assert marks(figure, "best")[0][:2] == (1.5, -0.25)
    assert marks(figure, "origin")[0][:2] == (0, 0)
    assert marks(draw(surface_of(BOWL, "test_acc"), "test_acc"), "best")[0][:2] == (-1, 0.5)
    assert "best 0.5 at (1.5, \N{MINUS SIGN}0.25)" in words(figure)


def test_the_pdf_names_the_optimum_where_the_file_has_it_trap_1(tmp_path):
    minus = "\N{MINUS SIGN}"
    for path in plot_surface(surface_of(BOWL), "train_loss", tmp_path):
        text = PdfReader(path).pages[0].extract_text()
        assert f"best 0.5 at (1.5, {minus}0.25)" in text, path.name


@pytest.mark.parametrize("draw", FACES.values(), ids=FACES)
def test_the_way_that_training_took_is_drawn_where_it_was(draw):
    alpha, beta = np.array([-1.5, -0.5, 1.0, 1.5]), np.array([0.5, 0.25, 0.0, -0.25])
    way = Surface(GRID, {"train_loss": BOWL}, trajectories=(Trajectory(alpha, beta),))
    figure = draw(way, "train_loss")
    (line,) = (drawn for drawn in figure.axes[0].lines if drawn.get_gid() == "trajectory")
    x, y = (line.get_data_3d() if hasattr(line, "get_data_3d") else line.get_data())[:2]
    np.testing.assert_array_equal(x, [np.nan, -0.5, 1.0, 1.5])  # the first lies outside
    np.testing.assert_array_equal(y, [np.nan, 0.25, 0.0, -0.25])
    assert "line: 4 steps of training, 1 outside the picture" in words(figure)
    assert not marks(draw(surface_of(BOWL), "train_loss"), "trajectory")


def test_on_the_relief_the_way_has_the_heights_of_the_surface():
    way = Trajectory(X[[0, 3]], Y[[4, 2]])
    surface = Surface(GRID, {"train_loss": PLANE}, trajectories=(way,))
    figure = relief(surface, "train_loss", Look(scale="linear"))
    (line,) = (d for d in figure.axes[0].lines if d.get_gid() == "on the surface")
    alpha, beta, height = line.get_data_3d()
    np.testing.assert_allclose(height, 10 * alpha + beta)
    assert len(alpha) == 1 + 2 * 3  # half a cell apart, so that it follows the surface
    ends = [[alpha[0], alpha[-1]], [beta[0], beta[-1]]]
    np.testing.assert_array_equal(ends, [way.alpha, way.beta])


@pytest.mark.parametrize("draw", FACES.values(), ids=FACES)
def test_several_trainings_are_told_apart_by_colour_line_and_name(draw):
    steps = [0.0, 3.0, 4.0]
    ways = [
        Trajectory([-0.5, 1.0, 1.5], [0.25, 0.0, -0.25], name, [0, 0, far], steps)
        for name, far in (("SGD", 3.0), ("Adam", 0.0))
    ]
    figure = draw(Surface(GRID, {"train_loss": BOWL}, trajectories=tuple(ways)), "train_loss")
    lines = [drawn for drawn in figure.axes[0].lines if drawn.get_gid() == "trajectory"]
    assert len({line.get_color() for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["SGD", "Adam"]
    said = words(figure)
    assert "SGD: 3 steps of training, 64.0 % in the plane" in said  # 1 - 9 / 25
    assert "Adam: 3 steps of training, 100.0 % in the plane" in said


@pytest.mark.parametrize("draw", FACES.values(), ids=FACES)
def test_axes_that_are_principal_components_say_what_they_explain(draw):
    told = [
        {"kind": "pca", "component": n, "explained_variance_ratio": share}
        for n, share in ((1, 0.931), (2, 0.05))
    ]
    for spelling in (told, json.dumps(told)):  # in memory, and as a file has it
        figure = draw(
            Surface(GRID, {"train_loss": BOWL}, {"axis_directions": spelling}), "train_loss"
        )
        axes = figure.axes[0]
        short = hasattr(axes, "get_zlim")
        x = "PC 1 (93 %)" if short else "PC 1 (93.1 % of the variance)"
        y = "PC 2 (5 %)" if short else "PC 2 (5.0 % of the variance)"
        assert axes.get_xlabel().split(": ")[-1] == x
        assert axes.get_ylabel().split(": ")[-1] == y
    curve = Surface(Grid(GRID.axes[:1]), {"a": BOWL[:, 0]}, {"axis_directions": told})
    label = draw_curve(curve, "a").axes[0].get_xlabel()
    assert label.endswith("PC 1 (93.1 % of the variance)")


def test_contour_lines_of_a_plane_are_where_the_plane_says_trap_1():
    """f = 10 x + y: on the line of level c every vertex has 10 x + y = c; transposed it has not."""
    figure = contour(surface_of(PLANE), "train_loss")
    (lines,) = [drawn for drawn in figure.axes[0].collections if drawn.get_zorder() == 2]
    seen = 0
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        x, y = path.vertices.T
        np.testing.assert_allclose(10 * x + y, level, atol=1e-9)
        seen += len(x)
    assert seen > 20


def test_the_heat_map_has_every_value_in_its_cell_and_y_upwards_traps_1_and_3():
    figure = heat_map(surface_of(PLANE), "train_loss")
    axes = figure.axes[0]
    (mesh,) = [drawn for drawn in axes.collections if isinstance(drawn, QuadMesh)]
    corners = mesh.get_coordinates()
    middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    np.testing.assert_allclose(10 * middle[..., 0] + middle[..., 1], mesh.get_array())
    for draw in (contour, filled_contour, heat_map):
        axes = draw(surface_of(PLANE), "train_loss").axes[0]
        assert axes.get_ylim()[0] < axes.get_ylim()[1]
        assert axes.get_xlim()[0] < axes.get_xlim()[1]


def test_the_facets_of_the_relief_lie_on_the_plane_trap_1():
    figure = relief(surface_of(PLANE), "train_loss", Look(scale="linear"))
    facets = surface_facets(figure)
    assert facets.shape == (6 * 4, 4, 3)
    np.testing.assert_allclose(10 * facets[..., 0] + facets[..., 1], facets[..., 2])


def surface_facets(figure):
    found = [c for c in figure.axes[0].collections if type(c) is Poly3DCollection]
    (facets,) = [np.array(c._faces) for c in found if c.get_zorder() == 3]
    return facets


def test_numbers_at_the_front_corner_of_a_relief_do_not_touch():
    grid = Grid((Axis(-1, 1, 7), Axis(-1, 1, 5)))  # square ends: both axes end at the corner
    figure = relief(surface_of(BOWL, grid=grid), "train_loss")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    x, y = ([tick.label1 for tick in axis.majorTicks] for axis in (axes.xaxis, axes.yaxis))
    last, first = x[-1], y[0]
    assert (last.get_text(), first.get_text()) == ("1", "\N{MINUS SIGN}1")
    beyond = first.get_window_extent().x0 - last.get_window_extent().x1
    assert beyond > 0.02 * figure.dpi
    name = axes.yaxis.label.get_window_extent()
    assert not any(name.overlaps(text.get_window_extent()) for text in y)


def test_the_relief_can_be_seen_trap_39():
    """With today's matplotlib, an earlier tool's 3-D axes stayed empty."""

    def coloured(values):
        figure = relief(surface_of(values), "train_loss")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        frame = figure.axes[0].get_window_extent()
        image = np.asarray(canvas.buffer_rgba())[::-1, :, :3].astype(int)
        inside = image[int(frame.y0) : int(frame.y1), int(frame.x0) : int(frame.x1)]
        return np.mean(np.ptp(inside, axis=-1) > 30)

    assert coloured(BOWL) > 0.2
    assert coloured(BOWL * np.nan) == 0


def test_pixels_of_heat_map_and_filled_contour_agree_about_up_and_right_trap_3():
    """Of 10 x + 60 y, darkest lower left, then lower right, upper left, upper right."""
    values = 10 * X[:, None] + 60 * Y[None, :]
    for draw in (heat_map, filled_contour):
        figure = draw(surface_of(values), "train_loss")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        image = np.asarray(canvas.buffer_rgba())[::-1]  # row 0 at the bottom, as in transAxes
        corners = [(0.05, 0.05), (0.95, 0.05), (0.05, 0.95), (0.95, 0.95)]
        places = figure.axes[0].transAxes.transform(corners).astype(int)
        green = [int(image[row, column, 1]) for column, row in places]
        assert green == sorted(green)
        assert len(set(green)) == 4


WEIRD = {
    "constant": (np.full(GRID.shape, 2.5), GRID, "constant 2.5"),
    "all NaN": (np.full(GRID.shape, np.nan), GRID, "no finite value"),
    "infinite": (np.full(GRID.shape, np.inf), GRID, "no finite value"),
    "negative": (-BOWL, GRID, "best"),
    "holes": (np.where(BOWL > 4, np.nan, BOWL), GRID, "points are not finite"),
    "lone point": (np.where(BOWL > 0.5, np.nan, BOWL), GRID, "34 of 35 points are not finite"),
    "1 x n": (BOWL[:1], Grid((Axis(0, 0, 1), GRID.axes[1])), "one step along"),
    "n x 1": (BOWL[:, :1], Grid((GRID.axes[0], Axis(0, 0, 1))), "one step along"),
    "1 x 1": (BOWL[:1, :1], Grid((Axis(0, 0, 1), Axis(3, 3, 1))), "one step along"),
    "1 x n NaN": (BOWL[:1] * np.nan, Grid((Axis(0, 0, 1), GRID.axes[1])), "no finite value"),
    "2 x 2": (BOWL[:2, :2], Grid((Axis(0, 1, 2), Axis(5, 7, 2))), "best"),
    "huge": (BOWL * 1e300, GRID, "best"),
    "tiny": (BOWL * 1e-300, GRID, "best"),
    "the largest": (np.where(BOWL > 3, 1, -0.5) * np.finfo(float).max, GRID, "/ 10³⁰⁸"),
    "constant and the largest": (np.full(GRID.shape, np.finfo(float).max), GRID, "constant 1.79"),
    "the smallest": (np.round(BOWL * 16) * 5e-324, GRID, "best"),
    "from end to end": (10 ** (-323 + 631 * (BOWL - 0.5) / np.ptp(BOWL)), GRID, "best"),
    "wide": (10 ** (3 * BOWL), GRID, "best"),
    "nearly constant": (1 + 1e-9 * BOWL, GRID, "best"),
}


@pytest.mark.parametrize("name", WEIRD)
def test_all_four_files_are_written_and_say_what_they_show_traps_2_and_35(name, tmp_path, coarse):
    values, grid, said = WEIRD[name]
    surface = surface_of(values, grid=grid)
    paths = plot_surface(surface, "train_loss", tmp_path, format="png")
    assert [path.name for path in paths] == [
        f"train_loss_{kind}.png" for kind in ("2dcontour", "2dcontourf", "2dheat", "3dsurface")
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for kind, draw in KINDS.items():
        told = words(draw(surface, "train_loss", Look()))
        assert "train loss" in told
        if said != "one step along" or kind != "2dheat":
            assert said in told


@pytest.mark.parametrize("factor", [1e300, 1e-320], ids=str)
def test_values_near_the_ends_of_float64_are_drawn_on_a_log_scale_too(factor, tmp_path, coarse):
    values = np.ceil(BOWL * 1e6) * factor
    paths = plot_surface(surface_of(values), "train_loss", tmp_path, Look(scale="log"), "png")
    assert len(paths) == 4
    shown = words(heat_map(surface_of(values), "train_loss", Look(scale="log")))
    assert "train loss / 10" in shown


def test_bounds_and_levels_go_with_the_units_of_values_near_the_end():
    look = Look(vmin=1e307, vmax=5e307, vlevel=1e307)
    mesh = heat_map(surface_of(BOWL * 1e307), "train_loss", look).axes[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == pytest.approx((1, 5))
    np.testing.assert_allclose(mesh.get_array(), BOWL.T)


def test_missing_cells_are_grey_and_never_filled_in_trap_28():
    values = BOWL.copy()
    values[2, 3], values[4, 1] = np.nan, np.inf
    figure = heat_map(surface_of(values), "train_loss")
    (mesh,) = figure.axes[0].collections
    assert np.argwhere(np.ma.getmaskarray(mesh.get_array())).tolist() == [[1, 4], [3, 2]]
    np.testing.assert_allclose(mesh.cmap.get_bad(), to_rgba(MISSING))
    facets = surface_facets(relief(surface_of(values), "train_loss"))
    assert len(facets) == 6 * 4 - 8
    for i, j in ((2, 3), (4, 1)):
        assert not np.isclose(facets[..., :2], [X[i], Y[j]]).all(axis=-1).any()


def test_colour_bar_axes_and_title_say_what_is_drawn(tmp_path):
    paths = plot_surface(surface_of(BOWL * 8, "test_acc"), "test_acc", tmp_path)
    for path in paths:
        text = PdfReader(path).pages[0].extract_text()
        for word in ("test accuracy (%)", "α", "β", "best"):
            assert word in text, (path.name, word)


def test_log_heights_of_the_relief_have_powers_of_ten_at_their_axis():
    values = 10 ** (BOWL - 2)
    figure = relief(surface_of(values), "train_loss")
    labels = [label.get_text() for label in figure.axes[0].get_zticklabels()]
    assert "10⁰" in labels
    assert "10²" in labels
    facets = surface_facets(figure)
    np.testing.assert_allclose(facets[0, 0, 2], np.log10(values[0, 0]))


def test_bounds_cut_heights_and_colours():
    figure = relief(surface_of(PLANE), "train_loss", Look(vmin=-2, vmax=5))
    heights = surface_facets(figure)[..., 2]
    assert (heights.min(), heights.max()) == (-2, 5)
    mesh = heat_map(surface_of(PLANE), "train_loss", Look(vmin=-2, vmax=5)).axes[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-2, 5)
    flat = contour(surface_of(PLANE), "train_loss", Look(vmin=100))
    assert "every value is below 100" in words(flat)
    assert "no contours" in words(flat)


@pytest.mark.parametrize("format", ["pdf", "png", "svg"])
def test_equal_surfaces_give_equal_bytes(format, tmp_path, monkeypatch):
    if format != "pdf":  # the four pictures differ in what they draw, not in how they are saved
        few = {kind: KINDS[kind] for kind in ("2dcontour", "3dsurface")}
        monkeypatch.setattr("landscape_lib.viz.plot_2d.KINDS", few)  # whole: their order counts
    first = plot_surface(surface_of(BOWL), "train_loss", tmp_path / "a", format=format)
    with matplotlib.rc_context({"font.size": 20, "savefig.dpi": 20, "svg.hashsalt": "other"}):
        again = plot_surface(surface_of(BOWL), "train_loss", tmp_path / "b", format=format)
        assert matplotlib.rcParams["font.size"] == 20
    for one, other in zip(first, again, strict=True):
        assert one.suffix == f".{format}"
        assert one.read_bytes() == other.read_bytes()


def test_nothing_global_is_touched_and_no_figure_stays_open_trap_39(tmp_path, coarse):
    before = dict(matplotlib.rcParams)
    plot_surface(surface_of(BOWL), "train_loss", tmp_path, format="png")
    assert dict(matplotlib.rcParams) == before
    gc.collect()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, coarse):
    paths = plot_surface(surface_of(BOWL), "train_loss", tmp_path, format="png")
    before = paths[0].read_bytes()

    def fail(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_surface(surface_of(PLANE), "train_loss", tmp_path, format="png")
    assert paths[0].read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize("name", ["../x", "a$b$", "café", "损失", "x" * 90])
def test_any_metric_name_gives_its_four_files_trap_31(name, tmp_path, coarse):
    key = f"train_loss_{name}"
    paths = plot_surface(surface_of(BOWL, key), key, tmp_path / "figures", format="png")
    assert len(paths) == 4
    assert sorted((tmp_path / "figures").iterdir()) == sorted(paths)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_large_grid_is_thinned_in_the_relief_only_and_says_so(monkeypatch):
    monkeypatch.setattr(relief_module, "MOST_FACETS", 3)
    figure = relief(surface_of(PLANE), "train_loss")
    facets = surface_facets(figure)
    assert len(facets) == 9
    np.testing.assert_allclose(10 * facets[..., 0] + facets[..., 1], facets[..., 2])
    assert {facets[..., 0].min(), facets[..., 0].max()} == {-1, 2}
    assert {facets[..., 1].min(), facets[..., 1].max()} == {-0.5, 0.5}
    assert "4 × 4 of 7 × 5 points are drawn, none interpolated" in words(figure)
    values = PLANE.copy()
    values[1, 2] = np.nan  # between the points drawn: its facet is left out all the same
    assert len(surface_facets(relief(surface_of(values), "train_loss"))) == 8


def test_thinning_keeps_both_ends():
    for count in (2, 200, 201, 202, 1001):
        steps = chosen(count)
        assert (steps[0], steps[-1]) == (0, count - 1)
        assert len(steps) == min(count, 201)


def test_each_pdf_of_a_million_points_stays_under_a_megabyte(tmp_path):
    grid = Grid((Axis(-1, 1, 1001), Axis(-1, 1, 1001)))
    x, y = (axis.steps() for axis in grid.axes)
    values = 10 ** (3 * (x[:, None] - 0.2) ** 2 + 2 * y**2 - 1)
    for path in plot_surface(surface_of(values, grid=grid), "train_loss", tmp_path):
        assert path.stat().st_size < 1e6


def test_a_curve_and_wrong_names_are_refused_with_the_right_ones(tmp_path):
    curve = Surface(Grid((Axis(-1, 1, 5),)), {"train_loss": np.arange(5.0)})
    with pytest.raises(InputError, match=r"is a curve: .* Draw it with plot_curve\(\)"):
        plot_surface(curve, "train_loss", tmp_path)
    with pytest.raises(InputError, match=r"choose one of \['pdf', 'png', 'svg'\]"):
        plot_surface(surface_of(BOWL), "train_loss", tmp_path, format="gif")
    with pytest.raises(InputError, match=r"no metric 'loss' here; choose one of \['train_loss'\]"):
        plot_surface(surface_of(BOWL), "loss", tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_models_are_marked_where_they_lie_and_the_axes_say_what_leads_there():
    grid = Grid((Axis(-1, 2, 7), Axis(-1, 1, 5)))
    c = {"model": "c.pt", "align": "permutation", "orthogonal": "True", "along": 0.25}
    told = [{"kind": "target", "model": "b.pt"}, {"kind": "target", **c}]
    values = np.arange(35.0).reshape(7, 5)
    figure = contour(Surface(grid, {"train_loss": values}, directions(told)), "train_loss")
    axes = figure.axes[0]
    rings = [drawn.get_xydata()[0] for drawn in axes.lines if drawn.get_gid() == "model"]
    np.testing.assert_allclose(rings, [[1, 0], [0.25, 1]])
    names = [text.get_text() for text in axes.texts]
    assert {"b.pt", "c.pt"} <= set(names)
    assert axes.get_xlabel() == "α: toward b.pt"
    said = "β: toward c.pt, permutation-aligned, orthogonalized"
    assert axes.get_ylabel().split() == said.split()
    c["along"] = 5.0  # beyond the picture
    told[1] |= c
    figure = contour(Surface(grid, {"train_loss": values}, directions(told)), "train_loss")
    assert "c.pt" not in [text.get_text() for text in figure.axes[0].texts]


def directions(told):
    return {"axis_directions": json.dumps(told)}


@pytest.mark.parametrize("draw", [contour, filled_contour, heat_map])
def test_dots_show_on_request_which_points_were_evaluated_and_a_note_counts_them(draw):
    computed = np.zeros(GRID.shape, dtype=bool)
    computed[::3, ::2] = True
    surface = Surface(GRID, {"train_loss": BOWL}, computed=computed)
    figure = draw(surface, "train_loss", Look(computed=True))
    (dots,) = [line for line in figure.axes[0].lines if line.get_gid() == "computed"]
    found = set(zip(*dots.get_data(), strict=True))
    assert found == {(x, y) for x in X[::3] for y in Y[::2]}
    assert "9 of 35 points evaluated, others interpolated" in words(figure)
    plain = draw(surface, "train_loss", Look())
    assert not [line for line in plain.axes[0].lines if line.get_gid() == "computed"]
    holes = Surface(GRID, {"train_loss": np.where(X[:, None] > 1, np.nan, BOWL)}, computed=computed)
    assert "9 of 35 points evaluated, 19 interpolated, 7 missing" in words(
        draw(holes, "train_loss")
    )


def test_an_interpolated_value_is_not_the_best_one():
    computed = np.ones(GRID.shape, dtype=bool)
    computed[5, 1] = False  # where the bowl is lowest
    surface = Surface(GRID, {"train_loss": BOWL}, computed=computed)
    assert marks(contour(surface, "train_loss"), "best") != [(1.5, -0.25)]
