"""What is written is read back to the last bit, and what is damaged is never believed."""

import errno
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from landscape_lib.core import memory
from landscape_lib.core.direction import Direction, create_random_direction, create_target_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Shard, Surface, Trajectory
from landscape_lib.utils import storage
from landscape_lib.utils.storage import (
    SEAL,
    DamagedFileError,
    content_hash,
    directions_attributes,
    load_directions,
    load_shard,
    load_surface,
    read_list,
    save_directions,
    save_shard,
    save_surface,
    save_trajectory,
    write_list,
)
from tests import reference
from tests.hosts import shim

GRID = Grid((Axis(-1, 1, 3), Axis(0, 0.3, 4)))
ODD = np.array(
    [[np.nan, np.inf, -np.inf, -1.0], [0.0, -0.0, -3.5, 5e-324], [1.0, 1e308, 0.1, -1.0]]
)


def surface(values=ODD, key="train_loss", grid=GRID, **attributes):
    return Surface(grid, {key: values}, attributes, {key: Label("a loss", "nats", "max")})


def bits(values):
    return {key: array.tobytes() for key, array in values.items()}


# --------------------------------------------------------------------------- surfaces


def test_a_trajectory_comes_back_and_changes_nothing_else(tmp_path):
    path = tmp_path / "surface.h5"
    save_surface(path, surface(seed=3, plans=("p",)))
    before = load_surface(path)
    assert before.trajectories == ()
    for way in (Trajectory([0, 0.5, np.nan], [1, 2, 3]), Trajectory([1.0], [2.0])):  # the last wins
        save_trajectory(path, way)
        found = load_surface(path)
        np.testing.assert_array_equal(found.trajectories[0].alpha, way.alpha)
        np.testing.assert_array_equal(found.trajectories[0].beta, way.beta)
    with h5py.File(path) as handle:
        assert handle["trajectory/0/alpha"].dtype == np.float64
        assert handle["trajectory/0/beta"].shape == (1,)
    assert bits(found.values) == bits(before.values)
    assert found.attributes == before.attributes
    assert (found.grid, found.labels) == (before.grid, before.labels)


def test_a_trajectory_goes_into_no_file_of_an_earlier_tool_and_along_no_curve(tmp_path):
    way = Trajectory([0.0, 1.0], [0.0, 1.0])
    path = tmp_path / "old.h5"
    path.write_bytes((reference.DATA / "single_gpu_surface.h5").read_bytes())
    content = path.read_bytes()
    with pytest.raises(InputError, match="a file of an earlier tool, which is left as it is"):
        save_trajectory(path, way)
    assert path.read_bytes() == content
    with pytest.raises(InputError, match="lies in a plane; this grid has one axis"):
        Surface(Grid((GRID.axes[0],)), {"a": np.zeros(3)}, trajectories=(way,))
    with pytest.raises(InputError, match=r"alpha has shape \(2,\), beta \(1,\)"):
        Trajectory([0, 1], [0])
    with pytest.raises(InputError, match="cannot be called 'trajectory' in a file"):
        save_surface(tmp_path / "new.h5", surface(key="trajectory"))


def test_nan_infinity_minus_one_and_zero_come_back_as_they_went_traps_27_and_28(tmp_path):
    save_surface(tmp_path / "surface.h5", surface(seed=3, note="ä", plans=("p",), cosine=0.1))
    found = load_surface(tmp_path / "surface.h5")
    assert bits(found.values) == {"train_loss": ODD.tobytes()}
    assert found.grid == GRID
    assert found.labels == {"train_loss": Label("a loss", "nats", "max")}
    assert found.attributes["axis_order"] == "xy"
    assert [found.attributes[name] for name in ("seed", "note", "plans", "cosine")] == [
        3,
        "ä",
        '["p"]',
        0.1,
    ]


@settings(max_examples=15)
@given(values=hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 4))))
def test_any_surface_comes_back_to_the_last_bit(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "surface.h5"
    grid = Grid(tuple(Axis(0, (n - 1) / 10, n) for n in values.shape))
    save_surface(path, surface(values, grid=grid))
    assert bits(load_surface(path).values) == {"train_loss": values.tobytes()}
    assert load_surface(path).grid == grid


def test_a_curve_has_no_y(tmp_path):
    save_surface(tmp_path / "c.h5", surface(np.arange(3.0), grid=Grid((Axis(-1, 1, 3),))))
    with h5py.File(tmp_path / "c.h5") as file:
        assert "ycoordinates" not in file
        assert file.attrs["axis_order"] == "x"
    assert load_surface(tmp_path / "c.h5")["train_loss"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "key",
    [
        "train_loss_täuschung 損失",
        "train_loss_a b",
        "train_loss_.",
        "train_loss_50% [x]",
        "test_loss_" + "x" * 100,
    ],
)
def test_any_metric_name_is_a_key_of_the_file(key, tmp_path):
    save_surface(tmp_path / "surface.h5", surface(key=key))
    assert bits(load_surface(tmp_path / "surface.h5").values) == {key: ODD.tobytes()}
    save_shard(tmp_path / "shard.h5", Shard(GRID, np.array([2]), {key: np.array([1.0])}))
    assert list(load_shard(tmp_path / "shard.h5").values) == [key]


def test_a_surface_that_was_loaded_and_changed_is_saved_as_it_is_now(tmp_path):
    save_surface(tmp_path / "one.h5", surface(fingerprint="f"))
    one = load_surface(tmp_path / "one.h5")
    grid = Grid((Axis(0, 1, 2), Axis(5, 6, 2)))
    save_surface(
        tmp_path / "two.h5", Surface(grid, {"a": np.eye(2), "b": ODD[:2, :2]}, one.attributes)
    )
    two = load_surface(tmp_path / "two.h5")
    assert two.grid == grid
    assert two.keys == ("a", "b")
    assert two.attributes["fingerprint"] == "f"


def test_a_long_config_fits_into_an_attribute(tmp_path):
    save_surface(tmp_path / "surface.h5", surface(config="x" * 200_000))
    assert len(load_surface(tmp_path / "surface.h5").attributes["config"]) == 200_000


@pytest.mark.parametrize("shape", [(21, 21), (51, 11)])
def test_a_surface_takes_eight_bytes_a_point_trap_34(shape, tmp_path):
    """21 x 21 points: 3.5 KB."""
    grid = Grid(tuple(Axis(0, 1, count) for count in shape))
    save_surface(tmp_path / "surface.h5", surface(np.zeros(shape), grid=grid))
    assert load_surface(tmp_path / "surface.h5")["train_loss"].nbytes == 8 * shape[0] * shape[1]
    with h5py.File(tmp_path / "surface.h5") as file:
        assert file["train_loss"].nbytes == 8 * shape[0] * shape[1]  # before compression


def test_other_peoples_tools_see_named_axes(tmp_path):
    import xarray

    errors = {"standard_error/train_loss": np.full(GRID.shape, 0.5)}
    save_surface(tmp_path / "surface.h5", replace(surface(), beside=errors))
    opened = {"filename_or_obj": tmp_path / "surface.h5", "engine": "h5netcdf"}
    with xarray.open_dataset(**opened, group="standard_error") as found:
        assert found["train_loss"].dims == ("xcoordinates", "ycoordinates")
        np.testing.assert_array_equal(found["train_loss"], 0.5 * np.ones(GRID.shape))
    with xarray.open_dataset(**opened) as found:
        assert found["train_loss"].dims == ("xcoordinates", "ycoordinates")
        np.testing.assert_array_equal(found["train_loss"], ODD)
        np.testing.assert_array_equal(found["xcoordinates"], GRID.axes[0].steps())
        assert found["train_loss"].sel(xcoordinates=1.0, ycoordinates=0.1).item() == 1e308
        assert found["train_loss"].attrs["long_name"] == "a loss"
        assert found["train_loss"].attrs["units"] == "nats"


def test_which_points_were_evaluated_and_what_others_may_be_off_by_are_kept(tmp_path):
    import xarray

    path = tmp_path / "surface.h5"
    save_surface(path, surface())
    assert load_surface(path).computed is None
    computed = np.arange(GRID.size).reshape(GRID.shape) % 3 == 0
    errors = np.where(computed, 0, 0.25)
    partial = replace(surface(), computed=computed, errors={"train_loss": errors})
    save_surface(path, partial)
    found = load_surface(path)
    np.testing.assert_array_equal(found.computed, computed)
    assert found.computed.dtype == bool
    assert list(found.errors) == ["train_loss"]
    np.testing.assert_array_equal(found.errors["train_loss"], errors)
    assert found.keys == partial.keys  # neither of them is a metric
    with xarray.open_dataset(path, engine="h5netcdf") as seen:
        assert seen["computed"].dims == ("xcoordinates", "ycoordinates")
        np.testing.assert_array_equal(seen["computed"], computed)


def test_coordinates_in_the_file_are_the_steps_of_the_axes_trap_4(tmp_path):
    save_surface(tmp_path / "surface.h5", surface())
    with h5py.File(tmp_path / "surface.h5") as file:
        for name, axis in zip(("xcoordinates", "ycoordinates"), GRID.axes, strict=True):
            assert file[name][()].tobytes() == axis.steps().tobytes()


# --------------------------------------------------------------------------- earlier tools


def test_a_surface_of_the_original_program_is_unscrambled_and_minus_one_is_missing_traps_2_and_27(
    caplog,
):
    """There, (ny, nx) values lie in a box declared (nx, ny)."""
    found = load_surface(reference.DATA / "original_surface.h5")
    x, y = (axis.steps() for axis in found.grid.axes)
    assert x.tolist() == [-1, 0, 1]
    assert y.tolist() == [0, 1, 2, 3, 4]
    wanted = 10 * x[:, None] + y[None, :]
    assert np.isnan(found["train_loss"][2, 4])
    wanted[2, 4] = np.nan
    np.testing.assert_array_equal(found["train_loss"], wanted)
    assert "1 points were not computed; shown as missing" in caplog.text


def test_a_surface_of_the_single_gpu_library_is_the_same_function():
    found = load_surface(reference.DATA / "single_gpu_surface.h5")
    x, y = (axis.steps() for axis in found.grid.axes)
    np.testing.assert_array_equal(found["train_loss_height"], 10 * x[:, None] + y[None, :])


def test_a_minus_one_in_one_metric_only_is_a_value_trap_27(tmp_path):
    """A loss of -1 where the accuracy is known was computed."""
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["dir_file"] = "d.h5"
        file["xcoordinates"], file["ycoordinates"] = [0.0, 1.0], [0.0, 1.0, 2.0]
        file["train_loss"] = np.full((2, 3), -1.0)
        file["train_acc"] = np.full((2, 3), 50.0)
    assert (load_surface(tmp_path / "o.h5")["train_loss"] == -1).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"loss": [1.0]},
            r"it holds \['loss'\], which is no surface. Understood are: the original",
        ),
        (
            {"xcoordinates": [0.0, 1.0, 5.0], "train_loss": [1.0, 2, 3]},
            "'xcoordinates': The coordinates are not evenly spaced",
        ),
        ({"xcoordinates": [0.0, 1.0], "train_loss": [1.0, 2, 3]}, r"no values of the shape \(2,\)"),
        ({"xcoordinates": [1.0, 0.0], "train_loss": [1.0, 2]}, "low must be below high"),
    ],
)
def test_a_file_that_is_no_surface_is_refused_by_its_name(content, message, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for name, array in content.items():
            file[name] = array
    with pytest.raises(InputError, match=rf"other\.h5: .*{message}"):
        load_surface(tmp_path / "other.h5")


# --------------------------------------------------------------------------- directions


@pytest.mark.parametrize("dir_type", ["weights", "states"])
def test_directions_come_back_to_the_last_bit_with_their_names_trap_29(dir_type, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(3, 1))
    saved = (
        create_random_direction(model, dir_type, "scaled", seed=2),
        create_target_direction(model, model.state_dict(), dir_type),
    )
    save_directions(tmp_path / "d.h5", saved, {"model": "hash"})
    found = load_directions(tmp_path / "d.h5")
    for ours, theirs in zip(found, saved, strict=True):
        assert ours.names == theirs.names
        assert [(t.dtype, t.numpy().tobytes()) for t in ours] == [
            (t.dtype, t.numpy().tobytes()) for t in theirs
        ]
        assert dict(ours.attributes) == dict(theirs.attributes)
    attributes = directions_attributes(tmp_path / "d.h5")
    assert attributes["content"] == content_hash(saved) == content_hash(found)
    assert attributes["model"] == "hash"
    assert "cosine" in attributes


def test_directions_that_memory_lacks_room_for_are_read_tensor_by_tensor(
    tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    net, path = nn.Linear(3, 2), tmp_path / "directions.h5"
    chord = create_target_direction(net, nn.Linear(3, 2))
    bend = replace(chord, tensors=tuple(tensor / 3 for tensor in chord))
    told = {"curve": "bezier"}
    save_directions(path, [replace(chord, bend=bend, attributes={**chord.attributes, **told})])
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * path.stat().st_size)
    (there,) = load_directions(path)
    assert there.in_memory
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * path.stat().st_size - 1)
    (kept,) = load_directions(path)
    assert not kept.in_memory
    assert not kept.bend.in_memory
    assert "every point reads them from the disk, tensor by tensor" in caplog.text
    path.unlink()  # another may take its name while it is read
    for found, wanted in ((kept, there), (kept.bend, there.bend)):
        assert (found.names, len(found)) == (wanted.names, 2)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert torch.equal(found[-1], wanted[-1])
        assert [t.shape for t in found.tensors[:2]] == [t.shape for t in wanted]
        with pytest.raises(IndexError):
            found[2]
    assert content_hash([kept]) == content_hash([there])


LAYERS, WIDTH = 16, 1024
MEMORY = f"""
import sys
from torch import nn
from landscape_lib.core.memory import forget_peak, peak_memory
from landscape_lib.core.perturbation import excursion
from landscape_lib.utils.storage import load_directions

net = nn.Sequential(*(nn.Linear({WIDTH}, {WIDTH}, bias=False) for _ in range({LAYERS})))
forget_peak()
before = peak_memory()
with excursion(net, load_directions(sys.argv[1], in_memory=False)) as trip:
    trip.move((0.5, -1.0))
    trip.move((1.0, 2.0))
print((peak_memory() - before) / (4 * sum(weight.numel() for weight in net.parameters())))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone forgets a peak of memory")
def test_a_model_needs_its_weights_twice_and_a_tensor_at_a_time(tmp_path):
    """Beside the weights: w0 once, and of the largest tensor a copy and a piece of each direction.

    Of sixteen equal layers: 1 + 3/16 of the weights; two directions in memory would make it 3.
    """
    names = tuple(f"{number}.weight" for number in range(LAYERS))
    direction = Direction(names, (torch.ones(WIDTH, WIDTH),) * LAYERS)
    save_directions(tmp_path / "d.h5", [direction, direction])
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "d.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.9 < float(done.stdout) < 1.5


def test_a_scalar_and_an_empty_parameter_have_a_direction(tmp_path):
    saved = Direction(("a", "b"), (torch.tensor(2.0), torch.zeros(0, 3)))
    save_directions(tmp_path / "d.h5", [saved])
    (found,) = load_directions(tmp_path / "d.h5")
    assert [tuple(tensor.shape) for tensor in found] == [(), (0, 3)]
    assert "cosine" not in directions_attributes(tmp_path / "d.h5")


def test_directions_of_the_original_program_are_accepted():
    x, y = load_directions(reference.DATA / "original_directions.h5", nn.Linear(3, 2))
    assert x.names == y.names == ("weight", "bias")
    assert [tuple(tensor.shape) for tensor in x] == [(2, 3), (2,)]
    with h5py.File(reference.DATA / "original_directions.h5") as file:
        np.testing.assert_array_equal(y[0], file["ydirection/0"][()])
    assert load_directions(reference.DATA / "original_directions.h5")[0].names == ("0", "1")


def test_the_originals_states_leave_counters_out(tmp_path):
    model = nn.BatchNorm1d(2)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for number, entry in enumerate(model.state_dict().values()):
            file[f"xdirection/{number}"] = entry.numpy()
    (x,) = load_directions(tmp_path / "d.h5", model)
    assert x.names == ("weight", "bias", "running_mean", "running_var")
    with pytest.raises(
        InputError, match=r"a direction of 5 tensors; the model has 2 parameters and 2 state"
    ):
        load_directions(tmp_path / "d.h5", nn.Linear(3, 2))


def test_a_direction_with_nan_is_refused_by_the_name_of_its_file(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["xdirection/0"] = np.array([[np.nan]])
    with pytest.raises(InputError, match=r"d\.h5: .*holds NaN"):
        load_directions(tmp_path / "d.h5")


def test_a_file_without_directions_is_refused(tmp_path):
    save_surface(tmp_path / "surface.h5", surface())
    with pytest.raises(InputError, match=r"surface\.h5: there is no group 'xdirection' in it"):
        load_directions(tmp_path / "surface.h5")


def test_a_list_comes_back_to_the_last_bit_in_the_order_of_numbers(tmp_path):
    """By name, "10" would stand before "2"."""
    written = [torch.full((2, number), number / 3) for number in range(12)]
    written += [torch.tensor(7), torch.zeros(0, 3, dtype=torch.float64)]
    with h5py.File(tmp_path / "d.h5", "w") as file:
        write_list(file, "xdirection", written)
        assert file  # still open, and the user's
        assert sorted(file["xdirection"], key=int) == [str(number) for number in range(14)]
    with h5py.File(tmp_path / "d.h5") as file:
        found = read_list(file, "xdirection")
        assert file
    assert [(t.dtype, t.shape, t.numpy().tobytes()) for t in found] == [
        (t.dtype, t.shape, t.numpy().tobytes()) for t in written
    ]


def test_a_list_may_be_of_arrays_parameters_or_a_direction(tmp_path):
    model = nn.Linear(3, 2)
    array = np.arange(6.0)
    array.flags.writeable = False
    direction = create_random_direction(model, seed=0)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        write_list(file, "a", [array, np.float32(2)])
        write_list(file, "b", model.parameters())
        write_list(file, "c/d", direction)
        write_list(file["c"], "e", [torch.tensor([1.5], dtype=torch.bfloat16)])
        write_list(file, "f", [])
        assert [t.tolist() for t in read_list(file, "a")] == [[0, 1, 2, 3, 4, 5], 2]
        assert all(map(torch.equal, read_list(file, "b"), model.parameters()))
        assert all(map(torch.equal, read_list(file, "c/d"), direction))
        assert read_list(file["c"], "e")[0].tolist() == [1.5]
        assert read_list(file, "f") == []


def test_lists_and_direction_files_have_one_layout(tmp_path):
    saved = create_random_direction(nn.Linear(3, 2), seed=0)
    save_directions(tmp_path / "d.h5", [saved])
    with h5py.File(tmp_path / "d.h5") as file:
        assert all(map(torch.equal, read_list(file, "xdirection"), saved))
    with h5py.File(tmp_path / "e.h5", "w") as file:
        write_list(file, "xdirection", saved)
    (found,) = load_directions(tmp_path / "e.h5", nn.Linear(3, 2))
    assert all(map(torch.equal, found, saved))
    with h5py.File(reference.DATA / "original_directions.h5") as file:
        assert [tuple(t.shape) for t in read_list(file, "ydirection")] == [(2, 3), (2,)]


def test_a_list_that_cannot_be_read_or_written_is_said(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        write_list(file, "taken", [np.zeros(2)])
        file["gap/0"], file["gap/2"] = [0.0], [2.0]
        with pytest.raises(InputError, match=r"d\.h5: there is a 'taken' in it already; choose an"):
            write_list(file, "taken", [np.zeros(2)])
        for name in ("none", "taken/0"):
            with pytest.raises(InputError, match=rf"d\.h5: there is no group '{name}' in it"):
                read_list(file, name)
        with pytest.raises(
            InputError, match=r"d\.h5: the group 'gap' holds \['0', '2'\]; wanted d"
        ):
            read_list(file, "gap")


# --------------------------------------------------------------------------- shards


def test_a_shard_comes_back_to_the_last_bit(tmp_path):
    shard = Shard(GRID, np.array([1, 4, 11]), {"b": ODD[0, :3], "a": ODD[1, :3]}, "f", ("p", "q"))
    save_shard(tmp_path / "0-of-2.h5", shard)
    found = load_shard(tmp_path / "0-of-2.h5")
    assert (found.grid, found.fingerprint, found.plans, list(found.values)) == (
        GRID,
        "f",
        ("p", "q"),
        ["b", "a"],
    )
    assert bits(found.values) == bits(shard.values)
    assert found.indices.tolist() == [1, 4, 11]


def test_a_shard_says_which_file_it_is_from_and_which_host_wrote_it(tmp_path):
    values, path = {"a": ODD[0, :2]}, tmp_path / "0-of-2.h5"
    save_shard(path, Shard(GRID, np.array([0, 1]), values, attributes={"host": "node1"}))
    assert load_shard(path).attributes == {"file": str(path), "host": "node1"}
    save_shard(path, Shard(GRID, np.array([0, 1]), values))
    assert load_shard(path).attributes["host"] == ""  # as in older files


# --------------------------------------------------------------------------- all files


def write_shard(path):
    save_shard(
        path, Shard(GRID, np.arange(12), {"train_loss": ODD.ravel()}, "f" * 64, ('{"a": 1}',))
    )


def write_surface(path):
    save_surface(path, surface(fingerprint="f" * 64))


def write_directions(path):
    save_directions(path, [create_random_direction(nn.Linear(3, 2), seed=seed) for seed in (0, 1)])


def read_shard(path):
    found = load_shard(path)
    return found.grid, found.fingerprint, found.plans, found.indices.tobytes(), bits(found.values)


def read_surface(path):
    found = load_surface(path)
    return found.grid, bits(found.values), found.labels, found.attributes.get("fingerprint")


def read_directions(path):
    return content_hash(load_directions(path))


FILES = {
    "shard": (write_shard, read_shard),
    "surface": (write_surface, read_surface),
    "directions": (write_directions, read_directions),
}


LOADED = {
    "shard": (load_shard, lambda shard: [shard.indices, *shard.values.values()], np.ndarray),
    "surface": (load_surface, lambda surface: surface.values.values(), np.ndarray),
    "directions": (load_directions, lambda pair: [*pair[0], *pair[1]], torch.Tensor),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_was_loaded_is_in_memory_and_nobody_holds_the_file_trap_33(kind, tmp_path):
    FILES[kind][0](tmp_path / "a.h5")
    load, arrays, kept = LOADED[kind]
    found = load(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:  # HDF5 refuses where a reader is left
        file.clear()
    assert arrays(found)
    assert all(type(array) is kept for array in arrays(found))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_a_file_system_has_no_locks_files_are_read_all_the_same(number, tmp_path):
    """HDF5 locks what it opens; of a whole file that it could not lock, it would know nothing."""
    write_shard(tmp_path / "a.h5")
    program = (
        "import sys; from landscape_lib.utils.storage import load_shard\n"
        "print(load_shard(sys.argv[1]).indices.size)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.h5")],
        env={**os.environ, "LD_PRELOAD": str(shim(tmp_path)), "FLOCK_ERRNO": str(number)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.stdout, told.stderr) == ("12\n", "")


def test_a_file_that_another_host_replaced_while_it_was_read_is_not_called_damaged(
    tmp_path, monkeypatch
):
    def stale(*arguments, **options):
        raise OSError(errno.ESTALE, "Unable to open file (Stale file handle)")

    write_shard(tmp_path / "a.h5")
    monkeypatch.setattr(h5py, "File", stale)
    with pytest.raises(
        DamagedFileError, match=r"another host replaced it while it was read\. Type"
    ):
        load_shard(tmp_path / "a.h5")


@pytest.mark.parametrize("piece", [1, 7, 32, 33, 64, 4096])
def test_a_seal_is_found_however_a_file_is_read_in_pieces(piece, tmp_path, monkeypatch):
    write_shard(tmp_path / "a.h5")
    wanted = read_shard(tmp_path / "a.h5")
    monkeypatch.setattr(storage, "PIECE", piece)
    assert read_shard(tmp_path / "a.h5") == wanted
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[-200] ^= 1
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(DamagedFileError, match="its content is not what its checksum says"):
        read_shard(tmp_path / "a.h5")


# --------------------------------------------------------------------------- damage


def rewritten(path, **attributes):
    """Give a file other attributes, as another version would have written them."""
    path.write_bytes(path.read_bytes().partition(SEAL)[0])
    with h5py.File(path, "r+") as handle:
        handle.attrs.update(attributes)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_a_newer_format_is_refused_by_its_name(kind, tmp_path):
    write, read = FILES[kind]
    path = tmp_path / f"{kind}.h5"
    write(path)
    rewritten(path, format_version=1, what_we_do_not_know="something that a later version adds")
    read(path)
    rewritten(path, format_version=2)
    message = rf"{kind}\.h5: a landscape \w+ in format 2, .* reads formats up to 1\. Install"
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_named(kind, tmp_path):
    write, read = FILES[kind]
    path = tmp_path / f"{kind}.h5"
    write(path)
    whole = path.read_bytes()
    for length in (0, 1, 8, 100, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            DamagedFileError,
            match=rf"{kind}\.h5: cannot be read, it is damaged .*type the same command again",
        ):
            read(path)


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_is_found_or_does_no_harm(kind, tmp_path):
    """HDF5's own checksums cover the arrays alone; a bit elsewhere can make it read for ever."""
    write, read = FILES[kind]
    path = tmp_path / f"{kind}.h5"
    write(path)
    whole, wanted, found = path.read_bytes(), read(path), 0
    hand = np.random.default_rng(0)
    for place in hand.choice(len(whole), min(400, len(whole)), replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(hand.integers(8))
        path.write_bytes(damaged)
        try:
            assert read(path) == wanted, place
        except (DamagedFileError, InputError) as error:
            assert f"{kind}.h5" in str(error), place  # noqa: PT017
            found += 1
    assert found > 350


def test_a_sealed_file_is_plain_hdf5_that_others_may_change(tmp_path):
    write_surface(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["remark"] = "mine"
    assert load_surface(tmp_path / "a.h5").attributes["remark"] == "mine"


def test_directions_that_others_changed_are_not_those_of_the_checksum_trap_14(tmp_path):
    write_directions(tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        file["xdirection/0"][0, 0] = 7
    with pytest.raises(DamagedFileError, match=r"d\.h5: its content is not what its checksum says"):
        load_directions(tmp_path / "d.h5")


@pytest.mark.parametrize("load", [load_shard, load_surface, load_directions, directions_attributes])
def test_a_file_that_is_not_there_is_the_users_to_find(load, tmp_path):
    with pytest.raises(InputError, match=r"none\.h5: there is no such file"):
        load(tmp_path / "none.h5")


@pytest.mark.parametrize("load", [load_shard, load_surface, load_directions, directions_attributes])
def test_a_text_file_is_no_hdf5(load, tmp_path):
    (tmp_path / "a.h5").write_text("<html>not found</html>")
    with pytest.raises(DamagedFileError, match=r"a\.h5: cannot be read"):
        load(tmp_path / "a.h5")


@pytest.mark.parametrize("kind", FILES)
def test_files_are_never_of_the_latest_format(kind, tmp_path):
    """One kill leaves a file of version 'latest' unreadable: its superblock is version 0 here."""
    FILES[kind][0](tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes()[8] == 0
    with h5py.File(tmp_path / "a.h5") as file:
        boxes = []
        file.visititems(
            lambda name, box: boxes.append(box) if isinstance(box, h5py.Dataset) else None
        )
        assert all(box.fletcher32 for box in boxes)


def test_the_same_shard_is_the_same_file_wherever_it_was_written(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_shard(tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


FULL = """
import json, pathlib, resource, signal, sys
import numpy as np
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.utils.storage import save_surface
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
values = np.random.default_rng(0).normal(size=(100, 90))
try:
    save_surface(sys.argv[1], Surface(Grid((Axis(0, 1, 100), Axis(0, 1, 90))), {"a": values}))
except OSError as error:
    sys.stdout.write(json.dumps([error.errno, error.filename]))
"""


@pytest.mark.parametrize("limit", [1, 1000, 30_000])
def test_a_full_disk_is_said_and_leaves_the_old_file_as_it_was_trap_29(limit, tmp_path):
    path = tmp_path / "surface.h5"
    write_surface(path)
    before = path.read_bytes()
    command = [sys.executable, "-W", "error", "-c", FULL, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [errno.EFBIG, str(path)]
    assert [p.name for p in tmp_path.iterdir()] == ["surface.h5"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("key", ["top1/acc", "../x", "", "..", "xcoordinates"])
def test_a_key_that_would_become_a_group_is_refused_trap_31(key, tmp_path):
    grid = Grid((Axis(0, 1, 3),))
    for save, whole in (
        (save_surface, Surface(grid, {key: np.zeros(3)})),
        (save_shard, Shard(grid, np.arange(3), {key: np.zeros(3)})),
    ):
        with pytest.raises(InputError, match=r"s\.h5: a metric cannot be called"):
            save(tmp_path / "s.h5", whole)
    assert list(tmp_path.iterdir()) == []


def test_what_is_known_of_directions_is_not_computed_again(tmp_path, monkeypatch):
    hashed = "landscape_lib.utils.storage.content_hash"
    monkeypatch.setattr(hashed, lambda _: pytest.fail("hashed again"))
    one = Direction(("w",), (torch.tensor([[1.0, 2.0]]),))
    path = tmp_path / "d.h5"
    save_directions(path, [one, one], {"content": "known", "cosine": 0.25})
    found = directions_attributes(path)
    assert (found["content"], found["cosine"]) == ("known", 0.25)


def test_standard_errors_lie_beside_their_metrics_with_named_axes(tmp_path):
    errors = {"standard_error/train_loss": np.where(np.isfinite(ODD), 0.5, np.nan)}
    label = {"train_loss": Label("a loss", "nats")}
    save_surface(tmp_path / "s.h5", Surface(GRID, {"train_loss": ODD}, {}, label, beside=errors))
    assert bits(load_surface(tmp_path / "s.h5").beside) == bits(errors)
    with h5py.File(tmp_path / "s.h5") as file:
        found = file["standard_error/train_loss"]
        assert found.dims[0].label == "xcoordinates"
        assert dict(found.attrs)["units"] == "nats"
        assert dict(found.attrs)["long_name"] == "standard error of a loss"
        assert json.loads(file.attrs["keys"]) == ["train_loss"]  # which is drawn; errors are not
    shard = Shard(GRID, [1, 5], {"a": [1, 2]}, beside={"standard_error/a": [0.1, np.nan]})
    save_shard(tmp_path / "shard.h5", shard)
    assert bits(load_shard(tmp_path / "shard.h5").beside) == bits(shard.beside)
    with pytest.raises(InputError, match="cannot be called 'standard_error' in a file"):
        save_surface(tmp_path / "new.h5", surface(key="standard_error"))
