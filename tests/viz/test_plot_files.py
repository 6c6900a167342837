"""Plot functions draw what was asked for, from a file or from memory, and say where it went."""

import base64
import logging
import sys
import types
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from landscape_lib import viz
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.utils.storage import save_surface
from landscape_lib.viz.asked import keys_of, looks_of
from landscape_lib.viz.paraview import h5_to_vtp
from landscape_lib.viz.plot_1d import plot_1d_loss
from landscape_lib.viz.plot_2d import plot_2d_contour, plot_2d_surface
from landscape_lib.viz.showing import Pictures, show_figures
from landscape_lib.viz.style import Look
from landscape_lib.viz.stylesheet import SETTINGS
from tests import reference

GRID = Grid((Axis(-1, 2, 7), Axis(-0.5, 0.5, 5)))  # not square, not symmetric
X, Y = (axis.steps() for axis in GRID.axes)
BOWL = (X[:, None] - 1.5) ** 2 + 3 * (Y[None, :] + 0.25) ** 2 + 0.5
CURVE = Surface(Grid((Axis(-1, 2, 7),)), {"train_loss": X**2, "train_acc": 50 + 10 * X})
SURFACE = Surface(GRID, {"train_loss": BOWL, "train_acc": 100 - BOWL})
LEVELS = {"vmin": 0.1, "vmax": 10.0, "vlevel": 0.5}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "savefig.dpi", 40)


def names(pictures):
    return [path.name for path in pictures]


def levels_of(figure):
    (lines,) = (c for c in figure.axes[0].collections if hasattr(c, "levels") and c.get_zorder())
    return lines.levels


# ------------------------------------------------------------------------------ where it comes from


@pytest.mark.parametrize("source", ["memory", "file", "text"])
def test_a_surface_or_its_file_give_the_same_pictures(source):
    save_surface("s.h5", SURFACE)
    given = {"memory": SURFACE, "file": Path("s.h5"), "text": "s.h5"}[source]
    stem = "loss_surface.h5" if source == "memory" else "s.h5"
    assert names(plot_2d_contour(given)) == [
        f"{stem}_train_loss_{kind}.pdf" for kind in ("2dcontour", "2dcontourf", "2dheat")
    ]
    assert names(plot_2d_surface(given, "auto", prefix="own")) == [
        "own_train_loss_3dsurface.pdf",
        "own_train_acc_3dsurface.pdf",
    ]
    assert names(h5_to_vtp(given, "train_acc")) == [f"{stem}_train_acc.vtp"]


def test_files_of_both_earlier_tools_are_drawn_alike_traps_1_and_2():
    """z = 10 x + y on 3 x 5 points, stored (ny, nx) by the one and [ix, iy] by the other."""
    stars = []
    for name, key in (("original_surface", "train_loss"), ("single_gpu_surface", "auto")):
        pictures = plot_2d_surface(reference.DATA / f"{name}.h5", key, prefix=name)
        lines = pictures.figures[0].axes[0].lines
        (star,) = (line for line in lines if line.get_gid() == "best")
        stars.append([float(part[0]) for part in star.get_data_3d()][:2])
    assert stars == [[-1, 0], [-1, 0]]


def test_curves_are_no_surfaces_and_surfaces_no_curves():
    with pytest.raises(InputError, match=r"memory holds a curve \(one axis\); wanted a surface"):
        plot_2d_contour(CURVE)
    save_surface("s.h5", SURFACE)
    with pytest.raises(InputError, match=r"s.h5 holds a surface .*plot_2d_contour\(\) and"):
        plot_1d_loss("s.h5")
    with pytest.raises(InputError, match="there is no such file"):
        plot_1d_loss("none.h5")


def test_a_curve_has_a_picture_for_every_metric_and_may_go_elsewhere():
    save_surface("c.h5", CURVE)
    assert names(plot_1d_loss("c.h5")) == ["c.h5_train_loss_1d.pdf", "c.h5_train_acc_1d.pdf"]
    assert plot_1d_loss("c.h5", save_dir="sub")[0] == Path("sub/c.h5_train_loss_1d.pdf")


# --------------------------------------------------------------------------------- which metrics


def test_the_default_metric_means_every_one_where_it_is_missing(caplog):
    custom = Surface(GRID, {"train_loss_a": BOWL, "train_loss_b": -BOWL})
    with caplog.at_level(logging.INFO):
        assert keys_of(custom, "train_loss") == ("train_loss_a", "train_loss_b")
    assert caplog.messages == [
        "There is no 'train_loss' here; drawing every metric: train_loss_a, train_loss_b."
    ]
    assert keys_of(SURFACE, "train_loss") == ("train_loss",)
    assert keys_of(SURFACE, "auto") == ("train_loss", "train_acc")
    with pytest.raises(InputError, match=r"no metric 'a'.*\['train_loss_a', 'train_loss_b'\]"):
        keys_of(custom, "a")


def test_one_output_is_for_one_metric():
    with pytest.raises(InputError, match=r"names one file, a.vtp, for the metrics"):
        h5_to_vtp(SURFACE, "auto", output="a.vtp")
    assert names(h5_to_vtp(SURFACE, output="a.vtp")) == ["a.vtp"]


# ---------------------------------------------------------------------------------- which levels


@pytest.mark.parametrize(
    ("values", "asked", "wanted"),
    [
        # 0.1 to 10 by 0.5 where at least 90 % of the values lie between
        (np.linspace(0.1, 10, 35), LEVELS, Look("viridis", "auto", 0.1, 10, 0.5)),
        (np.r_[np.linspace(1, 4, 32), 50, 60, 70], LEVELS, Look(vmin=0.1, vmax=10, vlevel=0.5)),
        (np.r_[np.linspace(1, 4, 31), 50, 60, 70, 80], LEVELS, Look()),  # 31 of 35: 89 %
        # inside, but between two levels: a blank picture
        (np.linspace(0.2, 0.5, 35), LEVELS, Look()),
        (np.full(35, 80.0), LEVELS, Look()),
        (np.full(35, np.nan), LEVELS, Look()),
        # what differs from its default always wins
        (np.full(35, 80.0), LEVELS | {"vmax": 20.0}, Look(vmax=20)),
        (np.linspace(1, 9, 35), LEVELS | {"vmax": 20.0}, Look(vmin=0.1, vmax=20, vlevel=0.5)),
        (np.full(35, 5.0), LEVELS | {"vlevel": None}, Look(vmin=0.1, vmax=10)),
        (np.full(35, 80.0), LEVELS | {"vlevel": 5.0}, Look(vlevel=5)),
        # half a million contours are no picture
        (np.linspace(1, 9e5, 35), LEVELS | {"vmax": 1e6}, Look(vmax=1e6)),
    ],
)
def test_default_levels_hold_where_they_fit_and_what_is_given_wins_trap_35(values, asked, wanted):
    surface = Surface(GRID, {"a": values.reshape(7, 5)})
    assert looks_of(surface, ["a"], asked, LEVELS)["a"] == wanted


def test_one_line_says_for_which_metrics_levels_were_chosen(caplog):
    wide = Surface(GRID, {"train_loss": BOWL, "b": 100 * BOWL, "train_acc": 50 + BOWL})
    with caplog.at_level(logging.INFO):
        plot_2d_contour(wide, "auto")
    assert [m for m in caplog.messages if "levels" in m] == [
        "The default levels don't fit; chosen by themselves for b, train_acc."
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        plot_2d_contour(wide, "b", vmin=1, vmax=900, vlevel=100)
    assert caplog.messages == []


def test_contours_are_drawn_at_the_levels_that_were_asked_for():
    figure = plot_2d_contour(SURFACE, vmin=0.5, vmax=4, vlevel=0.25).figures[0]
    np.testing.assert_allclose(np.diff(levels_of(figure)), 0.25)
    default = plot_2d_contour(SURFACE).figures[0]
    np.testing.assert_allclose(levels_of(default)[:3], [0.6, 1.1, 1.6])


def test_an_accuracy_is_not_blank_with_the_default_levels_trap_35():
    figure = plot_2d_contour(SURFACE, "train_acc").figures[0]
    assert len(levels_of(figure)) >= 5


def test_zero_is_a_bound_and_not_nothing_trap_5():
    figure = plot_1d_loss(CURVE, xmin=0).figures[0]
    (line,) = (line for line in figure.axes[0].lines if line.get_gid() == "curve")
    np.testing.assert_array_equal(line.get_xdata(), [0, 0.5, 1, 1.5, 2])
    whole = plot_1d_loss(CURVE).figures[0]  # -1 and 1, the defaults, leave out nothing
    (line,) = (line for line in whole.axes[0].lines if line.get_gid() == "curve")
    np.testing.assert_array_equal(line.get_xdata(), X)
    with pytest.raises(InputError, match=r"no step between xmin 5 and xmax inf; .* from -1 to 2"):
        plot_1d_loss(CURVE, xmin=5)


def test_the_value_axis_of_a_curve_ends_where_it_should():
    def top(**options):
        return plot_1d_loss(CURVE, **options).figures[0].axes[0].get_ylim()[1]

    assert top() == 5  # X ** 2 is below 5
    assert top(loss_max=2) == 2
    flat = Surface(CURVE.grid, {"train_loss": 0.01 * X**2})
    assert plot_1d_loss(flat).figures[0].axes[0].get_ylim()[1] == pytest.approx(0.04)
    steep = Surface(CURVE.grid, {"train_loss": 100 + X})
    assert 102 <= plot_1d_loss(steep).figures[0].axes[0].get_ylim()[1] < 110
    log = plot_1d_loss(Surface(CURVE.grid, {"a": 10.0**X}), log=True).figures[0].axes[0]
    (line,) = (line for line in log.lines if line.get_gid() == "curve")
    np.testing.assert_allclose(line.get_ydata(), X)  # log10


def test_what_is_said_of_losses_says_nothing_of_accuracies():
    rate = plot_1d_loss(CURVE, loss_max=2, log=True).figures[1].axes[0]
    (line,) = (line for line in rate.lines if line.get_gid() == "curve")
    np.testing.assert_array_equal(line.get_ydata(), 50 + 10 * X)
    low, high = rate.get_ylim()
    assert low <= 40
    assert high >= 70


# ------------------------------------------------------------------------------- from bare arrays


def test_arrays_are_drawn_without_any_file():
    figure, axes = viz.plot_1d(X**2, X, "my loss", loss_max=3)
    assert axes is figure.axes[0]
    assert axes.get_ylim()[1] == 3
    relief = viz.plot_2d(BOWL, X, Y, "bowl")
    (star,) = (line for line in relief.axes[0].lines if line.get_gid() == "best")
    assert [float(part[0]) for part in star.get_data_3d()][:2] == [1.5, -0.25]
    assert list(Path().iterdir()) == []
    with pytest.raises(InputError, match=r"shape \(5, 7\), wanted \(7, 5\)"):
        viz.plot_2d(BOWL.T, X, Y)


def test_names_that_were_functions_and_modules_are_both():
    assert viz.plot_1d.plot_1d_loss is plot_1d_loss
    assert viz.plot_2d.plot_2d_contour is plot_2d_contour
    assert isinstance(sys.modules["landscape_lib.viz.plot_1d"], types.ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'plot_3d'"):
        viz.plot_3d  # noqa: B018


# -------------------------------------------------------------------------------------- on screen


def test_a_notebook_shows_the_pictures_themselves():
    pictures = plot_2d_surface(SURFACE)
    assert isinstance(pictures, Pictures)
    assert pictures[0] == Path("loss_surface.h5_train_loss_3dsurface.pdf")
    assert list(pictures[:1]) == list(pictures)
    assert "3dsurface.pdf" in repr(pictures)
    html = pictures._repr_html_()
    assert html.count("<img") == 1
    image = base64.b64decode(html.split("base64,")[1].split('"')[0])
    assert image.startswith(b"\x89PNG")


@pytest.fixture
def windows(monkeypatch):
    """A backend of matplotlib that opens no windows, and remembers what it would have shown."""
    from matplotlib._pylab_helpers import Gcf
    from matplotlib.backend_bases import FigureManagerBase

    backend = types.ModuleType("windows_backend")
    backend.shown = ()

    class Manager(FigureManagerBase):
        @classmethod
        def pyplot_show(cls, *, block=None):
            backend.shown = [manager.canvas.figure for manager in Gcf.get_all_fig_managers()]

    class Canvas(FigureCanvasAgg):
        manager_class = Manager

    backend.FigureCanvas = Canvas
    monkeypatch.setitem(sys.modules, "windows_backend", backend)
    before = matplotlib.get_backend()
    pyplot.switch_backend("module://windows_backend")
    yield backend
    pyplot.switch_backend(before)


def test_show_shows_the_figures_while_they_are_open_and_closes_them_trap_39(windows):
    pictures = plot_2d_contour(SURFACE, show=True)
    assert tuple(windows.shown) == pictures.figures
    assert len(pictures.figures) == 3
    assert pyplot.get_fignums() == []
    assert all(path.stat().st_size > 1000 for path in pictures)
    assert pictures._repr_html_().count("<img") == 3  # still there after their windows closed
    windows.shown = ()
    plot_1d_loss(CURVE)
    assert windows.shown == ()


def test_without_a_screen_show_says_where_the_pictures_are(caplog):
    assert matplotlib.get_backend().lower() == "agg"
    show_figures(plot_1d_loss(CURVE).figures)
    assert caplog.text.count("There is no screen to show pictures on") == 1
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("zmax", [-1, None, 2])
def test_paraview_options_of_old_mean_nothing_by_minus_one(zmax):
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    (path,) = h5_to_vtp(SURFACE, zmax=zmax, interp=9 if zmax == 2 else -1)
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    heights = vtk_to_numpy(reader.GetOutput().GetPointData().GetArray("zvalue"))
    assert heights.size == (81 if zmax == 2 else 35)
    assert heights.max() == (2 if zmax == 2 else BOWL.max())
