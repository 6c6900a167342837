"""How surfaces, shards and directions lie on disk: the only place that knows HDF5."""

import hashlib
import io
import json
import logging
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import h5py
import numpy as np

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import whole_file
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Shard, Surface, Trajectory

if TYPE_CHECKING:  # torch is imported where directions are: pictures need none of it
    from torch import Tensor, nn

    from landscape_lib.core.direction import Direction

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
SURFACE_FORMAT = "landscape surface"
LIBVER = ("earliest", "v110")  # never "latest": one kill leaves such a file unreadable
COORDINATES = ("xcoordinates", "ycoordinates")
GROUPS = ("xdirection", "ydirection")
BENDS = ("xbend", "ybend")  # of directions that are paths with a bend
TRAJECTORY = "trajectory"
COMPUTED, ERRORS = "computed", "error"  # of surfaces some points of which were not evaluated
STEPS = ("alpha", "beta", "distance", "length")  # of a trajectory, one number a step
SEAL = b"\nSHA-256 of all before this line: "
PIECE = 2**22  # bytes that are hashed at a time
NOT_COMPUTED = -1.0  # the original program's mark


class DamagedFileError(RuntimeError):
    """Say that a file cannot be trusted, and what to do."""


@contextmanager
def _writing(path: Path | str) -> Iterator[h5py.File]:
    image = io.BytesIO()  # in memory: a full disk under HDF5 itself ends the process with SIGBUS
    with h5py.File(image, "w", libver=LIBVER) as handle:
        yield handle
    with whole_file(path) as temporary, temporary.open("wb") as out:
        content = image.getbuffer()  # not copied: a surface may be large
        out.write(content)
        out.write(_seal(content))


def _seal(content: bytes | memoryview) -> bytes:
    """Return a last line that HDF5 passes over: its own checksums cover the arrays alone."""
    return SEAL + hashlib.sha256(content).hexdigest().encode()


def _refuse_damage(path: Path | str, remedy: str) -> None:
    """Refuse before HDF5 reads: a flipped bit can make it read for ever.

    Raises:
        DamagedFileError: If the seal does not fit; files of earlier tools have none.
    """
    with Path(path).open("rb") as handle:
        length = _length_before_seal(handle)
        if length is None:
            return
        digest = hashlib.sha256()
        while left := length - handle.tell():  # in pieces: a direction may be larger than memory
            digest.update(handle.read(min(left, PIECE)))
        whole = handle.read() == SEAL + digest.hexdigest().encode()
    if not whole:
        raise DamagedFileError(
            f"{path}: cannot be read, it is damaged (its content is not what its checksum says). "
            f"{remedy}"
        )


def _length_before_seal(handle: BinaryIO) -> int | None:
    """Return the length of what the last seal stands for; None where there is no seal."""
    if not os.fstat(handle.fileno()).st_size:
        return None
    with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.rfind(SEAL)  # from the end, where it is
    return None if place < 0 else place


@contextmanager
def _reading(path: Path | str, remedy: str) -> Iterator[h5py.File]:
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    _refuse_damage(path, remedy)
    try:
        with h5py.File(path, "r") as handle:
            yield handle
    except DamagedFileError:
        raise
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path}: cannot be read, it is damaged ({error}). {remedy}") from (
            error
        )


def _put(group: h5py.Group, name: str, array: np.ndarray, *, gzip: bool = True) -> h5py.Dataset:
    if not array.size or not array.ndim:
        return group.create_dataset(name, data=array)
    packing = {"compression": "gzip", "shuffle": True} if gzip else {}
    return group.create_dataset(name, data=array, fletcher32=True, chunks=True, **packing)


def _one_name(key: str, path: Path | str) -> str:
    """Refuse a key that HDF5 would take for a group in a group, or for the file itself.

    Raises:
        InputError: If it does.
    """
    if "/" in key or key in {"", ".", "..", TRAJECTORY, COMPUTED, ERRORS, *COORDINATES}:
        raise InputError(f"{path}: a metric cannot be called {key!r} in a file; rename it.")
    return key


def _axes(grid: Grid) -> str:
    return json.dumps([[float(axis.low), float(axis.high), axis.count] for axis in grid.axes])


# ---------------------------------------------------------------------------------- shards


def save_shard(path: Path | str, shard: Shard) -> None:
    """Write a shard, whole or not at all."""
    with _writing(path) as handle:
        handle.attrs["format"] = "landscape shard"
        handle.attrs["format_version"] = FORMAT_VERSION
        handle.attrs["grid"] = _axes(shard.grid)
        handle.attrs["fingerprint"] = shard.fingerprint
        handle.attrs["plans"] = json.dumps(shard.plans)
        handle.attrs["keys"] = json.dumps(list(shard.values))
        _put(handle, "indices", shard.indices)
        for key, values in shard.values.items():
            _put(handle.require_group("values"), _one_name(key, path), values)


def load_shard(path: Path | str) -> Shard:
    """Read a shard.

    Raises:
        DamagedFileError: If the file is torn, or its checksums do not hold.
        InputError: If there is none.
    """
    with _reading(path, "Remove it and type the same command again.") as handle:
        axes = tuple(Axis(*axis) for axis in json.loads(handle.attrs["grid"]))
        values = {key: handle["values"][key][()] for key in json.loads(handle.attrs["keys"])}
        return Shard(
            Grid(axes),
            handle["indices"][()],
            values,
            str(handle.attrs["fingerprint"]),
            tuple(json.loads(handle.attrs["plans"])),
        )


# ---------------------------------------------------------------------------------- surfaces


def save_surface(path: Path | str, surface: Surface) -> None:
    """Write a surface: ``value[i, j]`` at ``xcoordinates[i], ycoordinates[j]``, whole or not.

    Coordinates are HDF5 dimension scales, so that xarray shows named axes.  Trajectories become
    groups ``0``, ``1``, ... of the group ``trajectory``, each with its name, and the datasets
    ``alpha`` and ``beta``, ``distance`` and ``length`` where they are known, shape (steps,).
    Where not all points were evaluated, ``computed`` says which were (1, else 0), and the group
    ``error`` holds what interpolated values may be off by, under the metric's key.
    """
    with _writing(path) as handle:
        for name, value in surface.attributes.items():
            plain = isinstance(value, str | int | float)
            handle.attrs[name] = value if plain else json.dumps(value, sort_keys=True)
        handle.attrs["format"] = SURFACE_FORMAT  # these last: a surface that was loaded,
        handle.attrs["format_version"] = FORMAT_VERSION  # and changed, has attributes of its file
        handle.attrs["axis_order"] = "xy"[: len(surface.grid.axes)]
        handle.attrs["axes"] = _axes(surface.grid)
        handle.attrs["keys"] = json.dumps(list(surface.keys))
        for name, axis in zip(COORDINATES, surface.grid.axes, strict=False):
            _put(handle, name, axis.steps()).make_scale(name)
        for key in surface.keys:
            dataset = _put(handle, _one_name(key, path), surface[key])
            label = surface.labels[key]
            dataset.attrs["long_name"] = label.long_name
            dataset.attrs["units"] = label.units
            dataset.attrs["goal"] = label.goal
            _name_axes(dataset, handle)
        if surface.computed is not None:
            _name_axes(_put(handle, COMPUTED, surface.computed.astype(np.uint8)), handle)
        for key, errors in surface.errors.items():
            dataset = _put(handle.require_group(ERRORS), key, errors)
            dataset.attrs["units"] = surface.labels[key].units
            _name_axes(dataset, handle)
        for number, way in enumerate(surface.trajectories):
            _put_trajectory(handle.require_group(TRAJECTORY).create_group(str(number)), way)


def _name_axes(dataset: h5py.Dataset, handle: h5py.File) -> None:
    for number, name in enumerate(COORDINATES[: dataset.ndim]):
        dataset.dims[number].label = name
        dataset.dims[number].attach_scale(handle[name])


def _put_trajectory(group: h5py.Group, way: Trajectory) -> None:
    group.attrs["name"] = way.name
    if way.labels is not None:
        group.attrs["labels"] = json.dumps(way.labels)
    for name in STEPS:
        if getattr(way, name) is not None:
            _put(group, name, getattr(way, name))


def save_trajectory(path: Path | str, *trajectories: Trajectory) -> None:
    """Put trajectories into a surface file of ours, in place of those that are there.

    Raises:
        InputError: If the file is none of ours, or holds a curve.
    """
    surface = load_surface(path)
    if surface.attributes.get("format") != SURFACE_FORMAT:
        raise InputError(
            f"{path}: a file of an earlier tool, which is left as it is. Save it anew with "
            "save_surface()."
        )
    save_surface(path, replace(surface, trajectories=trajectories))


def load_surface(path: Path | str) -> Surface:
    """Read a surface of ours or of an earlier tool.

    The original program (Li et al., 2018; a ``dir_file`` is present) stores (ny, nx) values in a
    box declared (nx, ny), and -1 in every metric of a point that was not computed, which becomes
    NaN here.  The single-GPU library stores (nx, ny).

    Raises:
        DamagedFileError: If the file is torn, or its checksums do not hold.
        InputError: If there is none, or it is no surface.
    """
    remedy = "Remove it and type the same command again."
    with _reading(path, remedy) as handle:
        if "xcoordinates" not in handle:
            raise InputError(f"{path}: there are no 'xcoordinates' in it; wanted a surface file.")
        attributes = {name: _native(value) for name, value in handle.attrs.items()}
        grid = _grid(handle, attributes, path)
        if attributes.get("format") != SURFACE_FORMAT:
            return _earlier_surface(handle, grid, path)
        keys = json.loads(attributes["keys"])
        values = {key: handle[key][()] for key in keys}
        labels = {
            key: Label(
                *(str(_native(handle[key].attrs[n])) for n in ("long_name", "units", "goal"))
            )
            for key in keys
        }
        computed = handle[COMPUTED][()] if COMPUTED in handle else None
        off = handle.get(ERRORS, {})
        errors = {key: off[key][()] for key in keys if key in off}
        return Surface(grid, values, attributes, labels, _trajectories(handle), computed, errors)


def _trajectories(handle: h5py.File) -> tuple[Trajectory, ...]:
    groups = handle.get(TRAJECTORY, {})
    return tuple(_trajectory(groups[str(number)]) for number in range(len(groups)))


def _trajectory(group: h5py.Group) -> Trajectory:
    steps = {name: group[name][()] for name in STEPS if name in group}
    labels = tuple(json.loads(group.attrs["labels"])) if "labels" in group.attrs else None
    return Trajectory(**steps, name=str(group.attrs["name"]), labels=labels)


def _native(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _grid(handle: h5py.File, attributes: Mapping[str, Any], path: Path | str) -> Grid:
    steps = {name: handle[name][()] for name in COORDINATES if name in handle}
    if "axes" not in attributes:
        return Grid(tuple(_axis_through(name, found, path) for name, found in steps.items()))
    grid = Grid(tuple(Axis(*axis) for axis in json.loads(attributes["axes"])))
    for axis, found in zip(grid.axes, steps.values(), strict=True):
        if len(found) != axis.count or not np.allclose(found, axis.steps(), rtol=1e-6, atol=1e-9):
            raise InputError(f"{path}: its coordinates are not those of its axes.")
    return grid


def _axis_through(name: str, steps: np.ndarray, path: Path | str) -> Axis:
    try:
        return Axis.through(steps)
    except InputError as error:
        raise InputError(f"{path}: {name!r}: {error}") from error


def _earlier_surface(handle: h5py.File, grid: Grid, path: Path | str) -> Surface:
    original = "dir_file" in handle
    boxes = {
        key: np.asarray(handle[key][()], dtype=np.float64)
        for key in handle
        if key not in (*COORDINATES, "dir_file") and getattr(handle[key], "shape", 0) == grid.shape
    }
    if not boxes:
        raise InputError(f"{path}: no values of the shape {grid.shape} of its coordinates in it.")
    if original:
        boxes = {key: box.ravel().reshape(grid.shape[::-1]).T.copy() for key, box in boxes.items()}
        missing = np.logical_and.reduce([box == NOT_COMPUTED for box in boxes.values()])
        if missing.any():
            log.warning("%s: %d points were not computed; shown as missing.", path, missing.sum())
            boxes = {key: np.where(missing, np.nan, box) for key, box in boxes.items()}
    return Surface(grid, boxes, {"source": "original" if original else "single-GPU library"})


# -------------------------------------------------------------------------------- directions


def content_hash(directions: Sequence["Direction"]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of directions, bends among them."""
    from landscape_lib.core.bend import straightened

    digest = hashlib.sha256()
    for direction in straightened(directions):
        digest.update(b"direction")
        for name, tensor in zip(direction.names, direction.tensors, strict=True):
            digest.update(f"{name}\0{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().reshape(-1).numpy().data)
    for direction in directions:
        if direction.bend is not None:
            digest.update(f"along {direction.attributes['curve']}".encode())
    return digest.hexdigest()


def save_directions(
    path: Path | str, directions: Sequence["Direction"], attributes: Mapping[str, Any] | None = None
) -> None:
    """Write one or two directions in the original program's layout, with names and a hash.

    The bend of a path is a group beside its direction: ``xbend``.

    Args:
        path: The file.
        directions: One or two.
        attributes: What else to say of them; ``content`` and ``cosine`` are computed only where
            they are not among these.
    """
    from landscape_lib.core.direction import cosine

    with _writing(path) as handle:
        handle.attrs["format"] = "landscape directions"
        handle.attrs["format_version"] = FORMAT_VERSION
        told = dict(attributes or {})
        handle.attrs["content"] = told.pop("content", None) or content_hash(directions)
        if len(directions) > 1 and "cosine" not in told:
            told["cosine"] = cosine(*directions)
        handle.attrs.update(_told(told))
        for group_name, bend_name, direction in zip(GROUPS, BENDS, directions, strict=False):
            _put_direction(handle.create_group(group_name), direction)
            if direction.bend is not None:
                _put_direction(handle.create_group(bend_name), direction.bend)


def _put_direction(group: h5py.Group, direction: "Direction") -> None:
    group.attrs.update(_told(direction.attributes))
    for number, (name, tensor) in enumerate(zip(direction.names, direction, strict=True)):
        dataset = _put(group, str(number), tensor.numpy(), gzip=False)
        dataset.attrs["name"] = name


def _told(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what HDF5 has no word for."""
    return {name: value for name, value in attributes.items() if value is not None}


def load_directions(path: Path | str, model: "nn.Module | None" = None) -> "tuple[Direction, ...]":
    """Read the directions of ours or of the original program.

    Args:
        path: The file.
        model: Names the tensors of a file that has no names, by their order.

    Raises:
        DamagedFileError: If the file is torn, or its content is not what its hash says.
        InputError: If there is none, or it does not fit the model.
    """
    with _reading(path, "Remove it and type the same command again.") as handle:
        groups = [handle[name] for name in GROUPS if name in handle]
        if not groups:
            raise InputError(f"{path}: there is no group 'xdirection' in it.")
        straight = tuple(_direction(group, model, path) for group in groups)
        directions = tuple(
            replace(one, bend=_direction(handle[bend], model, path)) if bend in handle else one
            for one, bend in zip(straight, BENDS, strict=False)
        )
        if handle.attrs.get("content", content := content_hash(directions)) != content:
            raise DamagedFileError(
                f"{path}: its content is not what its checksum says. Remove it and type the same "
                "command again."
            )
    return directions


def directions_attributes(path: Path | str) -> dict[str, Any]:
    """Read what a direction file says of itself: content hash, cosine, the model's hash."""
    with _reading(path, "Remove it and type the same command again.") as handle:
        return {name: _native(value) for name, value in handle.attrs.items()}


def axes_attributes(path: Path | str) -> list[dict[str, Any]]:
    """Read what a direction file says of each direction: kind, seed, what it explains."""
    with _reading(path, "Remove it and type the same command again.") as handle:
        groups = [handle[name] for name in GROUPS if name in handle]
        return [{n: _native(value) for n, value in group.attrs.items()} for group in groups]


def write_list(f: h5py.File, name: str, direction: "Iterable[Tensor | np.ndarray]") -> None:
    """Write a list of tensors into an open file: datasets "0", "1", ... of a new group.

    The file stays open, and its keeper's.  What has bfloat16, which numpy lacks, becomes float32.

    Raises:
        InputError: If the name is taken.
    """
    if name in f:
        raise InputError(f"{f.file.filename}: there is a {name!r} in it already; choose another.")
    arrays = [_array(tensor) for tensor in direction]
    group = f.create_group(name)
    for number, array in enumerate(arrays):
        _put(group, str(number), array, gzip=False)


def _array(tensor: "Tensor | np.ndarray") -> np.ndarray:
    import torch

    if not isinstance(tensor, torch.Tensor):
        return np.asarray(tensor)
    plain = tensor.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def read_list(f: h5py.File, name: str) -> "list[Tensor]":
    """Read the datasets "0", "1", ... of a group of an open file, in the order of numbers.

    Returns:
        New tensors on the CPU; the file may be closed.

    Raises:
        InputError: If there is no such group, or it holds something else.
    """
    import torch

    group = f.get(name)
    if not isinstance(group, h5py.Group):
        raise InputError(f"{f.file.filename}: there is no group {name!r} in it.")
    numbers = [str(number) for number in range(len(group))]
    if set(numbers) != set(group):
        raise InputError(
            f"{f.file.filename}: the group {name!r} holds {sorted(group)}; wanted datasets "
            '"0", "1", ... without a gap.'
        )
    return [torch.from_numpy(np.asarray(group[number][()])) for number in numbers]


def _direction(group: h5py.Group, model: "nn.Module | None", path: Path | str) -> "Direction":
    import torch

    from landscape_lib.core.direction import Direction

    boxes = [group[str(number)] for number in range(len(group))]
    tensors = [torch.from_numpy(np.asarray(box[()])) for box in boxes]
    attributes = {name: _native(value) for name, value in group.attrs.items()}
    if boxes and "name" in boxes[0].attrs:
        return Direction(tuple(box.attrs["name"] for box in boxes), tuple(tensors), attributes)
    if model is None:
        names = [str(number) for number in range(len(tensors))]
        return Direction(tuple(names), tuple(tensors), {"kind": "file"})
    return _named_by(model, tensors, path)


def _named_by(model: "nn.Module", tensors: "list[Tensor]", path: Path | str) -> "Direction":
    from landscape_lib.core.direction import Direction, movable

    weights, states = movable(model), model.state_dict()
    if len(tensors) == len(weights):
        return Direction(tuple(weights), tuple(tensors), {"kind": "file", "dir_type": "weights"})
    if len(tensors) == len(states):
        moving = movable(model, "states")
        chosen = {n: t for n, t in zip(states, tensors, strict=True) if n in moving}
        found = tuple(chosen.values())
        return Direction(tuple(chosen), found, {"kind": "file", "dir_type": "states"})
    raise InputError(
        f"{path}: a direction of {len(tensors)} tensors; the model has {len(weights)} parameters "
        f"and {len(states)} state entries. It belongs to another network."
    )
