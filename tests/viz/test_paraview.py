"""A .vtp has every value at its point, no invented one, and says where it comes from."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface, Trajectory
from landscape_lib.viz.interpolation import interpolate
from landscape_lib.viz.paraview import (
    Height,
    export_flat_vtp,
    export_trajectory_vtp,
    export_vtp,
)

GRID = Grid((Axis(-1, 2, 7), Axis(-0.5, 0.5, 5)))
X, Y = (axis.steps() for axis in GRID.axes)
PLANE = 10 * X[:, None] + Y[None, :]
BOWL = (X[:, None] - 1.5) ** 2 + 3 * (Y[None, :] + 0.25) ** 2 + 0.5


class Read:
    """What a reader of the .vtp finds."""

    def __init__(self, path):
        reader = vtkXMLPolyDataReader()
        reader.SetFileName(str(path))
        reader.Update()
        data = self.data = reader.GetOutput()
        self.points = vtk_to_numpy(data.GetPoints().GetData())
        self.arrays = self._arrays(data.GetPointData())
        self.averages = self._arrays(data.GetCellData()).get("averaged_zvalue")
        cells = vtk_to_numpy(data.GetPolys().GetConnectivityArray())
        self.quads = cells.reshape(-1, 4)
        field = data.GetFieldData()
        self.told = {
            field.GetAbstractArray(n).GetName(): field.GetAbstractArray(n).GetValue(0)
            for n in range(field.GetNumberOfArrays())
        }

    @staticmethod
    def _arrays(found):
        count = found.GetNumberOfArrays()
        return {found.GetArrayName(n): vtk_to_numpy(found.GetArray(n)) for n in range(count)}


def test_a_way_lies_on_the_sheet_and_says_how_far_off_the_plane_it_was(tmp_path):
    grid = Grid((Axis(-1, 1, 5), Axis(0, 3, 4)))
    x, y = (axis.steps() for axis in grid.axes)
    values = 10 * x[:, None] + y[None, :] + 20
    values[0, 0] = np.nan
    ways = (
        Trajectory([-0.5, 1.0], [1.0, 2.5], "SGD", [0.0, 2.0], [3.0, 4.0]),
        Trajectory([0.0, 0.5, 5.0], [0.0, 1.0, 1.0], "Adam"),  # the last lies outside
        Trajectory([-1.0, -0.9], [0.0, 0.1], "beside the hole"),
    )
    surface = Surface(grid, {"train_loss": values}, trajectories=ways)
    path = export_trajectory_vtp(surface, "train_loss", tmp_path / "way.vtp", Height(zscale=0.5))
    found = Read(path)
    alpha, beta, height = found.points.T
    np.testing.assert_allclose(found.arrays["zvalue"], 10 * alpha + beta + 20)
    np.testing.assert_allclose(height, 0.5 * found.arrays["zvalue"])
    assert set(found.arrays["trajectory"]) == {0, 1}
    ends = np.isin(found.arrays["step"], [0, 1]) & (found.arrays["trajectory"] == 0)
    np.testing.assert_array_equal(alpha[ends], ways[0].alpha)
    np.testing.assert_array_equal(found.arrays["distance"][ends], [0, 2])
    assert np.isnan(found.arrays["distance"][found.arrays["trajectory"] == 1]).all()
    lines = vtk_to_numpy(found.data.GetLines().GetConnectivityArray()).reshape(-1, 2)
    joined = np.abs(np.diff(found.points[lines], axis=1))[:, 0, :2]
    assert (joined <= np.array([0.25, 0.5]) + 1e-12).all()  # half a cell
    assert (np.diff(found.arrays["trajectory"][lines], axis=1) == 0).all()
    assert json.loads(found.told["trajectories"]) == ["SGD", "Adam", "beside the hole"]
    assert json.loads(found.told["options"])["zscale"] == 0.5
    again = export_trajectory_vtp(surface, "train_loss", tmp_path / "b.vtp", Height(zscale=0.5))
    assert path.read_bytes() == again.read_bytes()
    far = replace(surface, trajectories=(Trajectory([9.0], [9.0]),))
    assert not Read(export_trajectory_vtp(far, "train_loss", tmp_path / "far.vtp")).points.size
    with pytest.raises(InputError, match="the surface has no trajectory"):
        export_trajectory_vtp(Surface(grid, {"a": values}), "a", tmp_path / "none.vtp")


def written(path, values, height=Height(), key="train_loss", grid=GRID, **others):  # noqa: B008
    surface = Surface(grid, {key: values, **others}, {"seed": 7, "fingerprint": "abc"})
    return Read(export_vtp(surface, key, path / "sheet.vtp", height))


def test_every_value_is_at_its_point_for_nx_other_than_ny_traps_1_and_2(tmp_path):
    found = written(tmp_path, PLANE, test_acc=BOWL)
    x, y, z = found.points.T
    np.testing.assert_allclose(10 * x + y, z)
    np.testing.assert_array_equal(found.arrays["zvalue"], z)
    np.testing.assert_array_equal(found.arrays["train_loss"], z)
    np.testing.assert_array_equal(found.arrays["alpha"], x)
    np.testing.assert_array_equal(found.arrays["beta"], y)
    best = np.argmin(found.arrays["test_acc"])
    assert (x[best], y[best]) == (1.5, -0.25)
    assert found.quads.shape == (6 * 4, 4)
    assert len(found.points) == 35


def test_quads_are_cells_of_the_grid_and_face_up(tmp_path):
    found = written(tmp_path, PLANE)
    corners = found.points[found.quads]
    np.testing.assert_allclose(np.ptp(corners[..., 0], axis=1), 0.5)
    np.testing.assert_allclose(np.ptp(corners[..., 1], axis=1), 0.25)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0])
    assert (across[:, 2] > 0).all()
    np.testing.assert_allclose(found.averages, corners[..., 2].mean(axis=1))


def test_log10_of_every_metric_is_there_where_positive_trap_37(tmp_path):
    found = written(tmp_path, PLANE, tiny=np.full(GRID.shape, 4e-7))
    logs = found.arrays["train_loss_log10"]
    positive = PLANE.ravel() > 0
    np.testing.assert_allclose(logs[positive], np.log10(PLANE.ravel()[positive]))
    assert np.isnan(logs[~positive]).all()
    np.testing.assert_array_equal(found.arrays["tiny"], 4e-7)
    measured = written(tmp_path, PLANE, train_loss_log10=BOWL)
    np.testing.assert_array_equal(measured.arrays["train_loss_log10"], BOWL.ravel())


def test_no_infinite_value_no_nan_vertex_and_no_quad_there_trap_38(tmp_path):
    values = BOWL.copy()
    values[0, 0], values[3, 2], values[6, 4] = np.nan, np.inf, -np.inf
    found = written(tmp_path, values)
    assert np.isfinite(found.points).all()
    assert found.points[:, 2].min() == np.nanmin(np.where(np.isfinite(values), values, np.nan))
    for array in found.arrays.values():
        assert not np.isinf(array).any()
    assert len(found.quads) == 24 - 1 - 4 - 1
    assert np.isfinite(found.averages).all()
    assert set(found.quads.ravel()).isdisjoint({0, 3 * 5 + 2, 34})


def test_zmax_clips_and_brings_inf_back_then_log_is_taken(tmp_path):
    values = 10**BOWL
    values[3, 2], values[0, 0] = np.inf, np.nan
    found = written(tmp_path, values, Height(zmax=100, log=True))
    zvalue = found.arrays["zvalue"].reshape(GRID.shape)
    assert zvalue[3, 2] == 2
    assert np.nanmax(zvalue) == 2
    low = values < 100
    np.testing.assert_allclose(zvalue[low], np.log10(values[low]))
    assert np.isnan(found.arrays["train_loss"][3 * 5 + 2])
    assert len(found.quads) == 23


def test_log_leaves_out_what_is_not_positive_trap_37(tmp_path):
    found = written(tmp_path, PLANE, Height(log=True))
    assert np.isnan(found.arrays["zvalue"][PLANE.ravel() <= 0]).all()
    assert 0 < len(found.quads) < 24


def test_zscale_auto_spans_half_the_extent_and_is_told_trap_38(tmp_path):
    found = written(tmp_path, PLANE * 100, Height(zscale="auto"))
    assert np.ptp(found.points[:, 2]) == pytest.approx(1.5)
    np.testing.assert_allclose(found.arrays["zvalue"], PLANE.ravel() * 100)
    assert found.told["zscale"] == pytest.approx(1.5 / np.ptp(PLANE * 100))
    assert written(tmp_path, PLANE, Height(zscale=0.5)).told["zscale"] == 0.5


def test_the_file_tells_where_it_comes_from_trap_37(tmp_path):
    told = written(tmp_path, PLANE, Height(zmax=3, interp=9)).told
    assert told["metric"] == "train_loss"
    assert json.loads(told["provenance"]) == {"fingerprint": "abc", "seed": 7}
    options = json.loads(told["options"])
    assert options == {
        "interp": 9, "interpolation": "cubic", "log": False, "zmax": 3, "zscale": 1,
    }  # fmt: skip
    assert json.loads(told["label"])["goal"] == "min"
    assert json.loads(told["axes"])[0] == {"low": -1, "high": 2, "count": 7}


def test_attributes_of_any_kind_can_be_told(tmp_path):
    attributes = {
        "plans": ("a", "b"), "n": np.int64(3), "steps": np.arange(2), "raw": b"x",
        "config": {"lr": None}, "names": {"b", "a"}, "path": tmp_path,
    }  # fmt: skip
    surface = Surface(GRID, {"loss": PLANE}, attributes)
    told = Read(export_vtp(surface, "loss", tmp_path / "a.vtp")).told["provenance"]
    assert json.loads(told) == {
        "plans": ["a", "b"], "n": 3, "steps": [0, 1], "raw": "x",
        "config": {"lr": None}, "names": ["a", "b"], "path": str(tmp_path),
    }  # fmt: skip


def test_interpolation_keeps_the_plane_and_the_axes_for_nx_other_than_ny_trap_36(tmp_path):
    found = written(tmp_path, PLANE, Height(interp=13))
    x, y, z = found.points.T
    assert len(z) == 13 * 13
    np.testing.assert_allclose(10 * x + y, z, atol=1e-9)
    assert (x.min(), x.max(), y.min(), y.max()) == (-1, 2, -0.5, 0.5)
    assert len(found.quads) == 144


def test_interpolating_a_wide_loss_never_goes_below_its_minimum_trap_36():
    """Cubic in linear space made -12 of a loss whose true minimum is 0.1."""
    x, y = np.linspace(-1, 1, 21), np.linspace(-1, 1, 19)
    values = 0.1 + 1e4 * (x[:, None] ** 2 + y[None, :] ** 2) ** 3
    fine = np.linspace(-1, 1, 101)
    found, how = interpolate(x, y, values, fine, fine)
    assert how == "cubic in log space"
    assert found.min() == pytest.approx(values.min(), rel=1e-9)
    assert found.max() <= values.max() * (1 + 1e-12)
    true = 0.1 + 1e4 * (fine[:, None] ** 2 + fine[None, :] ** 2) ** 3
    assert np.abs(np.log(found / true)).max() < 0.3


@given(hand=st.integers(0, 2**32 - 1), nx=st.integers(2, 6), ny=st.integers(2, 6))
@settings(max_examples=80, deadline=None)
def test_interpolation_stays_in_range_and_between_four_finite_corners_trap_36(hand, nx, ny):
    rng = np.random.default_rng(hand)
    values = rng.lognormal(sigma=3, size=(nx, ny))
    values[rng.random(values.shape) < 0.15] = np.nan
    x, y = np.linspace(0, 1, nx), np.linspace(-1, 2, ny)
    parts = 4
    found, _ = interpolate(
        x,
        y,
        values,
        np.linspace(0, 1, parts * (nx - 1) + 1),
        np.linspace(-1, 2, parts * (ny - 1) + 1),
    )
    np.testing.assert_allclose(found[::parts, ::parts], values, rtol=1e-6)
    known = found[np.isfinite(found)]
    if known.size:
        assert np.nanmin(values) <= known.min() <= known.max() <= np.nanmax(values)
    for i in range(nx - 1):
        for j in range(ny - 1):
            whole = np.isfinite(values[i : i + 2, j : j + 2]).all()
            inside = found[parts * i + 1 : parts * (i + 1), parts * j + 1 : parts * (j + 1)]
            assert np.isfinite(inside).all() if whole else np.isnan(inside).all()


def test_infinity_spreads_to_the_points_beside_it_and_zmax_clips_it(tmp_path):
    values = BOWL.copy()
    values[3, 2] = np.inf
    fine_x, fine_y = np.linspace(-1, 2, 13), np.linspace(-0.5, 0.5, 9)
    found, how = interpolate(X, Y, values, fine_x, fine_y)
    assert how == "linear"
    assert np.argwhere(np.isposinf(found)).tolist() == [
        [i, j] for i in (5, 6, 7) for j in (3, 4, 5)
    ]
    sheet = written(tmp_path, values, Height(zmax=9, interp=13))
    assert np.isfinite(sheet.arrays["zvalue"]).all()
    assert len(sheet.quads) == 144


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        (np.full(GRID.shape, np.nan), GRID),
        (BOWL[:1], Grid((Axis(0, 0, 1), GRID.axes[1]))),
        (BOWL[:, :1], Grid((GRID.axes[0], Axis(0, 0, 1)))),
        (BOWL[:1, :1], Grid((Axis(0, 0, 1), Axis(0, 0, 1)))),
    ],
    ids=["all NaN", "1 x n", "n x 1", "1 x 1"],
)
@pytest.mark.parametrize("height", [Height(), Height(True, 5, 6, "auto")], ids=["plain", "all"])
def test_a_file_without_a_cell_is_still_valid(values, grid, height, tmp_path):
    found = written(tmp_path, values, height, grid=grid)
    assert found.quads.shape == (0, 4)
    assert np.isfinite(found.points).all()
    assert found.data.GetNumberOfCells() == 0


def test_a_constant_surface_is_flat(tmp_path):
    found = written(tmp_path, np.full(GRID.shape, 2.5), Height(zscale="auto", interp=5))
    np.testing.assert_allclose(found.points[:, 2], 2.5)


def test_equal_surfaces_give_equal_bytes_and_nothing_else_in_the_folder(tmp_path):
    for folder in "ab":
        written(tmp_path / folder, BOWL, Height(interp=20, zscale="auto"))
    assert (tmp_path / "a/sheet.vtp").read_bytes() == (tmp_path / "b/sheet.vtp").read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["sheet.vtp"]


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    written(tmp_path, BOWL)
    before = (tmp_path / "sheet.vtp").read_bytes()

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        written(tmp_path, PLANE)
    assert (tmp_path / "sheet.vtp").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.vtp"]


def test_the_name_given_is_the_name_written_trap_32(tmp_path):
    surface = Surface(GRID, {"loss": PLANE})
    path = tmp_path / "surface.h5.loss.vtp"
    assert export_vtp(surface, "loss", path) == path
    assert [found.name for found in tmp_path.iterdir()] == ["surface.h5.loss.vtp"]
    data = tmp_path / "surface.hdf5"
    data.write_text("precious")
    with pytest.raises(InputError, match=r"does not end in \.vtp"):
        export_vtp(surface, "loss", data)
    assert data.read_text() == "precious"


def test_metric_names_with_any_character_are_kept(tmp_path):
    key = 'train_loss_<a&"b"> café/损失'
    found = written(tmp_path, PLANE, key=key)
    assert {key, f"{key}_log10"} <= set(found.arrays)
    assert found.told["metric"] == key


def test_curves_and_reserved_names_are_refused(tmp_path):
    curve = Surface(Grid((Axis(-1, 1, 5),)), {"loss": np.arange(5.0)})
    with pytest.raises(InputError, match=r"is a curve: .*plot_curve\(\)"):
        export_vtp(curve, "loss", tmp_path / "a.vtp")
    with pytest.raises(InputError, match=r"may not be called \['alpha'\] in a \.vtp"):
        export_vtp(Surface(GRID, {"alpha": PLANE}), "alpha", tmp_path / "a.vtp")
    with pytest.raises(InputError, match="no metric 'x' here"):
        export_vtp(Surface(GRID, {"loss": PLANE}), "x", tmp_path / "a.vtp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"zmax": float("inf")}, "zmax is inf; it must be a finite number"),
        ({"zmax": -1, "log": True}, "with log it must be above 0"),
        ({"interp": 1}, "interp is 1; it must be a number of points an axis, at least 2"),
        ({"interp": 2.5}, "interp is 2.5"),
        ({"zscale": "automatic"}, "Unknown zscale 'automatic'; choose 'auto' or a number"),
        ({"zscale": None}, "Unknown zscale None"),
        ({"zscale": 0}, "zscale is 0; it must be above 0"),
        ({"zscale": float("nan")}, "zscale is nan"),
    ],
)
def test_a_wrong_height_names_the_right_ones(wrong, message):
    with pytest.raises(InputError, match=message):
        Height(**wrong)


def test_the_flat_file_has_every_metric_at_its_point_and_height_zero(tmp_path):
    holes = BOWL.copy()
    holes[2, 3], holes[4, 1] = np.nan, np.inf
    surface = Surface(GRID, {"train_loss": PLANE, "test_acc": holes}, {"seed": 7})
    path = export_flat_vtp(surface, tmp_path / "flat.vtp")
    found = Read(path)
    x, y, z = found.points.T
    np.testing.assert_array_equal(z, 0)
    np.testing.assert_allclose(found.arrays["train_loss"], 10 * x + y, atol=1e-12)
    shown = np.where(np.isfinite(holes), holes, np.nan)
    np.testing.assert_array_equal(found.arrays["test_acc"], shown.ravel())
    assert (
        next(iter(found.arrays)) == found.data.GetPointData().GetScalars().GetName() == "train_loss"
    )
    assert {"train_loss_log10", "test_acc_log10", "alpha", "beta"} <= set(found.arrays)
    assert found.quads.shape == (24, 4)  # a hole of one metric is none of another's
    assert json.loads(found.told["labels"])["test_acc"]["goal"] == "max"
    assert json.loads(found.told["provenance"]) == {"seed": 7}
    again = export_flat_vtp(surface, tmp_path / "again.vtp")
    assert again.read_bytes() == path.read_bytes()


def test_the_flat_file_is_interpolated_where_asked_for_and_refuses_what_the_others_refuse(tmp_path):
    surface = Surface(GRID, {"train_loss": PLANE})
    found = Read(export_flat_vtp(surface, tmp_path / "flat.vtp", 13))
    x, y, _ = found.points.T
    np.testing.assert_allclose(found.arrays["train_loss"], 10 * x + y, atol=1e-9)
    assert len(x) == 169
    with pytest.raises(InputError, match="interp is 1"):
        export_flat_vtp(surface, tmp_path / "a.vtp", 1)
    curve = Surface(Grid((GRID.axes[0],)), {"train_loss": X})
    with pytest.raises(InputError, match="is a curve"):
        export_flat_vtp(curve, tmp_path / "a.vtp")


WEIRD = {
    "constant": np.full(GRID.shape, 2.5),
    "half NaN": np.where(np.arange(35).reshape(7, 5) % 2, np.nan, BOWL),
    "negative": -BOWL,
    "wide": 10 ** (12 * (BOWL - 0.5) / np.ptp(BOWL) - 6),
    "the largest": np.where(BOWL > 3, 1, -1) * np.finfo(float).max,
    "the smallest": np.round(BOWL * 16) * 5e-324,
}


@pytest.mark.parametrize("name", WEIRD)
@pytest.mark.parametrize("zscale", [1, "auto"])
def test_any_values_make_a_file_that_reads_back(name, zscale, tmp_path):
    values = WEIRD[name]
    found = written(tmp_path, values, Height(zscale=zscale))
    np.testing.assert_array_equal(found.arrays["train_loss"], values.ravel())
    assert np.isfinite(found.points).all()
    assert found.told["zscale"] > 0
    if zscale == "auto" and name not in {"constant", "half NaN", "the smallest"}:
        assert np.ptp(found.points[:, 2]) == pytest.approx(1.5)


def test_only_the_writer_and_its_data_model_are_imported():
    code = (
        "import sys, landscape_lib.viz.paraview\n"
        "print(sorted(m for m in sys.modules if 'Rendering' in m or 'vtkGUI' in m or 'h5py' in m"
        " or m in ('torch', 'scipy')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
