"""A surface of another tool has its optimum here where it has it there."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from torch import nn

import landscape_lib
from landscape_lib import InputError, LossLandscape, load_surface
from landscape_lib.__main__ import main as command
from landscape_lib.steps.importing import import_surface
from landscape_lib.viz.plot_2d import plot_2d_contour
from scripts import import_surface as script
from tests import reference

# (3, 4) is the centre of both; (w0 - 3.8)^2 + 10 (w1 - 3.6)^2 is what both tools evaluated along
# the two axes, landscaper in 7 steps of 10 / 35 of weight, losscape in 7 of 0.5 by 7 of 0.2.
OPTIMUM = {"landscaper.npz": (6, 2), "losscape_data.h5": (4, 2)}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")


def height(x, y):
    return (x[:, None] - 0.8) ** 2 + 10 * (y[None, :] + 0.4) ** 2


def best(surface):
    values = surface["train_loss"]
    return tuple(int(n) for n in np.unravel_index(np.nanargmin(values), values.shape))


@pytest.mark.parametrize("name", OPTIMUM)
def test_the_optimum_is_where_the_tool_evaluated_it(name, caplog):
    found = import_surface(reference.DATA / name, "ours.h5")
    assert best(found) == OPTIMUM[name]
    x, y = (axis.steps() for axis in found.grid.axes)
    if name == "landscaper.npz":  # 0.2 stands for 3 of its steps
        assert (x[-1], y[-1]) == (0.2, 0.2)
        x, y = (steps / 0.2 * 3 * 10 / 35 for steps in (x, y))
    else:
        assert (x[0], x[-1], y[0], y[-1]) == (-1, 2, -0.8, 0.4)
    wanted, values = height(x, y), found["train_loss"].copy()
    if name == "landscaper.npz":  # it adds noise to the highest value
        values[0, 6] = wanted[0, 6]
    np.testing.assert_allclose(values, wanted, rtol=1e-5)
    again = load_surface("ours.h5")
    assert again["train_loss"].tobytes() == found["train_loss"].tobytes()
    assert again.attributes["imported_from"] == name
    assert re.fullmatch("[0-9a-f]{64}", again.attributes["imported_sha256"])
    where = "(0.2, -0.0666667)" if name == "landscaper.npz" else "(1, -0.4)"
    assert f" at {where}" in caplog.text


def test_a_surface_of_the_original_program_has_its_missing_points_counted(caplog):
    path = reference.DATA / "original_surface.h5"
    assert command(["import", str(path), "--out", "ours.h5"]) == 0
    found = load_surface("ours.h5")
    assert found.grid.shape == (3, 5)
    assert np.isnan(found["train_loss"][2, 4])
    assert found["train_loss"][2, 3] == 13
    assert "original_surface.h5: 1 points were not computed; shown as missing" in caplog.text
    assert "train_loss: best -10 at (-1, 0); 1 points are missing" in caplog.text
    assert script.main([str(path), "--out", "ours.h5"]) == 2
    assert "ours.h5 exists already" in caplog.messages[-1]
    assert script.main(["ours.h5", "--out", "twice.h5"]) == 2
    assert "ours.h5: it is a surface of this library already" in caplog.messages[-1]


def test_a_split_that_was_not_measured_is_missing_and_the_other_is_not():
    with h5py.File("o.h5", "w") as file:
        file["dir_file"] = "d.h5"
        file["xcoordinates"], file["ycoordinates"] = [0.0, 1.0], [0.0, 1.0, 2.0]
        for key, value in {
            "train_loss": 2,
            "train_acc": 50,
            "test_loss": -1,
            "test_acc": -1,
        }.items():
            file[key] = np.full((2, 3), float(value))
    found = load_surface("o.h5")
    assert np.isnan(found["test_loss"]).all()
    assert (found["train_loss"] == 2).all()


def test_the_cosine_is_that_of_the_original_programs_directions():
    directions = reference.DATA / "original_directions.h5"
    surface = reference.DATA / "original_surface.h5"
    found = import_surface(surface, "ours.h5", directions)
    with h5py.File(directions) as file:
        x, y = ([box[()] for box in file[f"{name}direction"].values()] for name in "xy")
    wanted = sum((a * b).sum() for a, b in zip(x, y, strict=True))
    wanted /= np.sqrt(sum((a**2).sum() for a in x) * sum((b**2).sum() for b in y))
    assert found.attributes["cosine"] == pytest.approx(wanted)
    assert load_surface("ours.h5").attributes["cosine"] == found.attributes["cosine"]


def test_what_is_of_no_known_tool_is_refused_with_those_that_are(caplog):
    Path("some.txt").write_text("x,y,loss\n")
    np.savez("other.npz", values=np.zeros((2, 3)))
    np.savez("pickled.npz", loss=np.array([{}], dtype=object), coordinates=np.zeros((1, 1)))
    Path("torn.npz").write_bytes(b"PK\x03\x04torn")
    with h5py.File("other.h5", "w") as file:
        file["values"] = np.zeros((2, 3))
    known = "Understood are: the original program of Li et al. .*losscape.*landscaper"
    for name, what in {
        "some.txt": f"it is neither HDF5 nor npz. {known}",
        "other.npz": rf"it holds \['values'\], which is no surface. {known}",
        "other.h5": rf"it holds \['values'\], which is no surface. {known}",
        "pickled.npz": "it cannot be read as npz: Object arrays cannot be loaded",
        "torn.npz": "it cannot be read as npz",
        "none.h5": "there is no such file",
    }.items():
        assert command(["import", name, "--out", "ours.h5"]) == 2
        assert re.search(f"{re.escape(name)}: {what}", caplog.messages[-1])
    assert not Path("ours.h5").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"loss": np.zeros((2, 2, 2)), "coordinates": np.zeros((3, 2))}, "wanted a curve or a"),
        ({"loss": np.zeros((2, 3)), "coordinates": [[0.0, 1], [0, 1]]}, r"its axes \(2, 2\)"),
        ({"loss": np.zeros((3,)), "coordinates": [[0.0, 1, 5]]}, "not evenly spaced"),
        ({name: np.zeros((2, 3)) for name in ("X", "Y", "losses")}, "'X': .*low must be below"),
        ({"X": np.zeros(3), "Y": np.zeros(3), "losses": np.zeros(3)}, "wanted one of two axes"),
        (
            {"X": np.eye(2), "Y": np.eye(2), "losses": np.eye(2)},
            "wanted what numpy.meshgrid returns",
        ),
    ],
)
def test_what_is_no_grid_is_refused(arrays, message):
    np.savez("own.npz", **arrays)
    with pytest.raises(InputError, match=rf"own\.npz: .*{message}"):
        load_surface("own.npz")


@pytest.mark.parametrize("indexing", ["xy", "ij"])
def test_boxes_of_losscape_may_lie_either_way(indexing):
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 1, 3)
    boxes = np.meshgrid(x, y, indexing=indexing)
    np.savez("own.npz", X=boxes[0], Y=boxes[1], losses=10 * boxes[0] + boxes[1])
    found = load_surface("own.npz")
    assert found.grid.shape == (5, 3)
    np.testing.assert_allclose(found["train_loss"], 10 * x[:, None] + y[None, :])


def test_pictures_the_library_and_the_command_take_what_was_imported(capsys):
    for name in (*OPTIMUM, "single_gpu_surface.h5"):
        shutil.copy(reference.DATA / name, name)
    (contour, *_) = plot_2d_contour("losscape_data.h5").figures  # as it is, too
    (star,) = [line for line in contour.axes[0].lines if line.get_gid() == "best"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == pytest.approx((1, -0.4))
    anyones = LossLandscape(nn.Linear(1, 1), ([], []), surf_file="landscaper.npz")
    assert anyones.basins()[0].minimum == OPTIMUM["landscaper.npz"]
    capsys.readouterr()
    assert command(["import", "single_gpu_surface.h5", "--out", "o.h5", "--draw"]) == 0
    drawn = capsys.readouterr().out.split()
    assert [name.removeprefix("o.h5_train_loss_height_") for name in drawn[:4]] == [
        "2dcontour.pdf",
        "2dcontourf.pdf",
        "2dheat.pdf",
        "3dsurface.pdf",
    ]
    assert drawn[4:] == ["o.h5_train_loss_height.vtp", "o.h5_explorer.html"]
    np.savez("curve.npz", loss=[3.0, 1, 2], coordinates=[[-1.0, 0, 1]])
    assert command(["import", "curve.npz", "--out", "c.h5", "--draw"]) == 0
    assert capsys.readouterr().out.split() == ["c.h5_train_loss_1d.pdf", "c.h5_explorer.html"]


def test_both_are_offered_at_the_top():
    assert landscape_lib.load_surface is load_surface
    assert landscape_lib.import_surface is import_surface
