"""How surfaces, shards and directions lie on disk: the only place that reads and writes HDF5."""

import errno
import hashlib
import io
import json
import logging
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import h5py
import numpy as np

from landscape_lib.core.ensemble import Ensemble
from landscape_lib.core.errors import DamagedFileError, InputError
from landscape_lib.core.files import unstale, whole_file
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import (
    BOOTSTRAP_ERROR,
    STANDARD_ERROR,
    Label,
    Shard,
    Surface,
    Trajectory,
)
from landscape_lib.utils.foreign import COORDINATES, surface_of_arrays
from landscape_lib.utils.guard import refuse_dense, refuse_foreign

if TYPE_CHECKING:  # torch is imported where directions are: pictures need none of it
    from torch import Tensor, nn

    from landscape_lib.core.direction import Direction, OnDemand

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
SURFACE_FORMAT = "landscape surface"
SEEDS_FORMAT = "landscape seeds"
LIBVER = ("earliest", "v110")  # never "latest": one kill leaves such a file unreadable
GROUPS = ("xdirection", "ydirection")
BENDS = ("xbend", "ybend")  # of directions that are paths with a bend
TRAJECTORY = "trajectory"
COMPUTED, ERROR = "computed", "error"  # of surfaces some points of which were not evaluated
FAILED = "failed"  # of those some points of which could not be
ERRORS = (STANDARD_ERROR.rstrip("/"), BOOTSTRAP_ERROR.rstrip("/"))  # groups beside the metrics
RESERVED = {"", ".", "..", TRAJECTORY, COMPUTED, ERROR, FAILED, *ERRORS, *COORDINATES}
STEPS = ("alpha", "beta", "distance", "length")  # of a trajectory, one number a step
SEAL = b"\nSHA-256 of all before this line: "
# Datasets are read whole.  Files are whole, too, so HDF5 need not lock them, which some file
# systems cannot: it would not read a file there that is as good as any.
READING: dict[str, Any] = {"rdcc_nbytes": 0, "locking": False}
PIECE = 2**22  # bytes that are hashed at a time
DAMAGED_NPZ = (  # what zipfile and numpy raise over bytes that are none, or changed ones
    *(OSError, ValueError, TypeError, LookupError, EOFError, RuntimeError, MemoryError),
    *(struct.error, zlib.error, zipfile.BadZipFile, SyntaxError),
)
MAGIC = {"HDF5": b"\x89HDF\r\n\x1a\n", "npz": b"PK\x03\x04"}  # how their files begin


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
    end, after = handle.seek(0, os.SEEK_END), b""
    while end:  # from there, where it is; never mapped: what another host replaces would kill us
        start = max(0, end - PIECE)
        handle.seek(start)
        content = handle.read(end - start) + after[: len(SEAL) - 1]
        place = content.rfind(SEAL)
        if place >= 0:
            handle.seek(0)
            return start + place
        end, after = start, content
    return None


@contextmanager
def _reading(path: Path | str, remedy: str) -> Iterator[h5py.File]:
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    unstale(lambda: _refuse_damage(path, remedy))
    try:
        with h5py.File(path, "r", **READING) as handle:
            refuse_foreign(handle, path)
            _refuse_newer(handle, path)
            yield handle
    except DamagedFileError:
        raise
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        if getattr(error, "errno", None) == errno.ESTALE:
            raise DamagedFileError(
                f"{path}: another host replaced it while it was read. Type the same command again."
            ) from error
        raise DamagedFileError(f"{path}: cannot be read, it is damaged ({error}). {remedy}") from (
            error
        )


def _refuse_newer(handle: h5py.File, path: Path | str) -> None:
    """Refuse a file of ours in a format that this version does not know: it may mean other things.

    Raises:
        InputError: If it is one.
    """
    kind = str(_native(handle.attrs.get("format", "")))
    if kind.startswith("landscape ") and handle.attrs["format_version"] > FORMAT_VERSION:
        raise InputError(
            f"{path}: a {kind} in format {handle.attrs['format_version']}, which a newer version "
            f"of this program wrote; this one reads formats up to {FORMAT_VERSION}. Install the "
            "newer version, or remove the file and type the same command again."
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
    if "/" in key or key in RESERVED:
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
        for key, values in shard.beside.items():
            _put(handle, key, values)
        if "host" in shard.attributes:
            handle.attrs["host"] = str(shard.attributes["host"])
        if shard.failed.size:
            _put(handle, FAILED, shard.failed)
            handle.attrs["failures"] = json.dumps(list(shard.failures))


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
            {"file": str(path), "host": str(handle.attrs.get("host", ""))},
            beside=_beside(handle),
            failed=handle[FAILED][()] if FAILED in handle else np.zeros(0, dtype=np.int64),
            failures=tuple(json.loads(handle.attrs.get("failures", "[]"))),
        )


def _beside(handle: h5py.File) -> dict[str, np.ndarray]:
    """Read what is known beside the metrics; nothing in files that were written without."""
    groups = {name: handle[name] for name in ERRORS if name in handle}
    return {f"{name}/{key}": group[key][()] for name, group in groups.items() for key in group}


# ---------------------------------------------------------------------------------- surfaces


def save_surface(path: Path | str, surface: Surface) -> None:
    """Write a surface: ``value[i, j]`` at ``xcoordinates[i], ycoordinates[j]``, whole or not.

    Coordinates are HDF5 dimension scales, so that xarray shows named axes.  Trajectories become
    groups ``0``, ``1``, ... of the group ``trajectory``, each with its name, and the datasets
    ``alpha`` and ``beta``, ``distance`` and ``length`` where they are known, shape (steps,).
    Sampling errors are the datasets ``standard_error/<key>`` and ``bootstrap_error/<key>``, each of
    its metric's shape and unit.

    Where not all points were evaluated, ``computed`` says which were (1, else 0), and the group
    ``error`` holds what interpolated values may be off by, under the metric's key.  Where points
    failed, ``failed`` says which (1, else 0), and the attribute ``failures`` why the first did.
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
            dataset = _put_on_axes(handle, _one_name(key, path), surface[key])
            label = surface.labels[key]
            dataset.attrs["long_name"] = label.long_name
            dataset.attrs["units"] = label.units
            dataset.attrs["goal"] = label.goal
            if label.note:
                dataset.attrs["note"] = label.note
        _put_errors(handle, surface)
        for number, way in enumerate(surface.trajectories):
            _put_trajectory(handle.require_group(TRAJECTORY).create_group(str(number)), way)


def _put_errors(handle: h5py.File, surface: Surface) -> None:
    for key, values in surface.beside.items():
        kind, _, metric = key.partition("/")
        label = surface.labels[metric]
        dataset = _put_on_axes(handle, key, values)
        dataset.attrs["long_name"] = f"{kind.replace('_', ' ')} of {label.long_name}"
        dataset.attrs["units"] = label.units
    if surface.computed is not None:
        _put_on_axes(handle, COMPUTED, surface.computed.astype(np.uint8))
    if surface.failed is not None:
        _put_on_axes(handle, FAILED, surface.failed.astype(np.uint8))
    for key, errors in surface.errors.items():
        dataset = _put_on_axes(handle, f"{ERROR}/{key}", errors)
        dataset.attrs["units"] = surface.labels[key].units


def _put_on_axes(handle: h5py.File, name: str, values: np.ndarray) -> h5py.Dataset:
    dataset = _put(handle, name, values)
    for number, axis in enumerate(COORDINATES[: values.ndim]):
        dataset.dims[number].label = axis
        dataset.dims[number].attach_scale(handle[axis])
    return dataset


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
    """Read a surface of ours or of another tool.

    The original program (Li et al., 2018; a ``dir_file`` is present) stores (ny, nx) values in a
    box declared (nx, ny), and -1 in every metric of a point that was not computed, which becomes
    NaN here.  The single-GPU library stores (nx, ny).  ``losscape``'s ``data.h5`` and
    ``landscaper``'s npz have one loss, ``train_loss`` here: see ``docs/import.md``.

    Raises:
        DamagedFileError: If the file is torn, or its checksums do not hold.
        InputError: If there is none, or it is no surface.
    """
    if Path(path).is_file() and _begins_as(path, "npz"):
        return surface_of_arrays(_npz(path), path)
    remedy = "Remove it and type the same command again."
    with _reading(path, remedy) as handle:
        attributes = {name: _native(value) for name, value in handle.attrs.items()}
        if attributes.get("format") != SURFACE_FORMAT:
            return surface_of_arrays(_root(handle), path)
        grid = _grid(handle, attributes, path)
        keys = json.loads(attributes["keys"])
        values = {key: handle[key][()] for key in keys}
        labels = {key: _label(handle[key].attrs) for key in keys}
        computed = handle[COMPUTED][()] if COMPUTED in handle else None
        off = handle.get(ERROR, {})
        return Surface(
            grid,
            values,
            attributes,
            labels,
            _trajectories(handle),
            _beside(handle),
            computed,
            {key: off[key][()] for key in keys if key in off},
            handle[FAILED][()] if FAILED in handle else None,
        )


def _label(attributes: Any) -> Label:
    names = ("long_name", "units", "goal", *(["note"] if "note" in attributes else []))
    return Label(*(str(_native(attributes[name])) for name in names))


def is_a_container(path: Path | str) -> bool:
    """Tell whether a file begins as HDF5 and npz do.

    Raises:
        InputError: If there is none.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file.")
    return any(_begins_as(path, kind) for kind in MAGIC)


def _begins_as(path: Path | str, kind: str) -> bool:
    with Path(path).open("rb") as handle:
        return handle.read(len(MAGIC[kind])) == MAGIC[kind]


def _root(handle: h5py.File) -> dict[str, np.ndarray]:
    """Return every dataset at the root of another tool's file."""
    return {
        name: np.asarray(entry[()])
        for name, entry in handle.items()
        if isinstance(entry, h5py.Dataset)
    }


def _npz(path: Path | str) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_dense(archive, path)
        with Path(path).open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            return dict(arrays)  # no pickles: they run code
    except InputError:
        raise
    except DAMAGED_NPZ as error:
        raise InputError(f"{path}: it cannot be read as npz: {error}.") from error


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
    grid = Grid(tuple(Axis(*axis) for axis in json.loads(attributes["axes"])))
    for axis, found in zip(grid.axes, steps.values(), strict=True):
        if len(found) != axis.count or not np.allclose(found, axis.steps(), rtol=1e-6, atol=1e-9):
            raise InputError(f"{path}: its coordinates are not those of its axes.")
    return grid


# ----------------------------------------------------------------------------------- seeds


def save_ensemble(path: Path | str, ensemble: Ensemble) -> None:
    """Write what several seeds gave: ``mean/<key>``, ``spread/<key>``, ``members/<key>``.

    ``members/<key>[r, i, j]`` is that of the r-th member, whose names are the attribute
    ``members``, at ``xcoordinates[i], ycoordinates[j]``.
    """
    with _writing(path) as handle:
        handle.attrs["format"] = SEEDS_FORMAT
        handle.attrs["format_version"] = FORMAT_VERSION
        handle.attrs["axes"] = _axes(ensemble.grid)
        handle.attrs["keys"] = json.dumps(list(ensemble.keys))
        handle.attrs["members"] = json.dumps(list(ensemble.members))
        told = [dict(member.attributes) for member in ensemble.members.values()]
        marks = ("fingerprint", "seed", "date")
        handle.attrs["told"] = json.dumps([{m: one.get(m) for m in marks} for one in told])
        labels = {key: vars(label) for key, label in ensemble.first.labels.items()}
        handle.attrs["labels"] = json.dumps(labels)
        for name, axis in zip(COORDINATES, ensemble.grid.axes, strict=False):
            _put(handle, name, axis.steps()).make_scale(name)
        for key in ensemble.keys:
            _one_name(key, path)
            for kind, surface in (("mean", ensemble.mean), ("spread", ensemble.spread)):
                dataset = _put_on_axes(handle, f"{kind}/{key}", surface[key])
                dataset.attrs["long_name"] = surface.labels[key].long_name
                dataset.attrs["units"] = surface.labels[key].units
            _put(handle, f"members/{key}", ensemble.stacked(key))


def load_ensemble(path: Path | str) -> Ensemble:
    """Read what several seeds gave.

    Raises:
        DamagedFileError: If the file is torn, or its checksums do not hold.
        InputError: If there is none, or it is another kind of file.
    """
    with _reading(path, "Remove it and type the same command again.") as handle:
        if handle.attrs.get("format") != SEEDS_FORMAT:
            raise InputError(f"{path}: this is no file of several seeds.")
        grid = Grid(tuple(Axis(*axis) for axis in json.loads(handle.attrs["axes"])))
        keys = json.loads(handle.attrs["keys"])
        labels = {k: Label(**told) for k, told in json.loads(handle.attrs["labels"]).items()}
        values = {key: handle[f"members/{key}"][()] for key in keys}
        told = json.loads(handle.attrs["told"])
        return Ensemble(
            {
                name: Surface(grid, {key: values[key][n] for key in keys}, told[n], labels)
                for n, name in enumerate(json.loads(handle.attrs["members"]))
            }
        )


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


def load_directions(
    path: Path | str, model: "nn.Module | None" = None, *, in_memory: bool | None = None
) -> "tuple[Direction, ...]":
    """Read the directions of ours or of the original program.

    Args:
        path: The file.
        model: Names the tensors of a file that has no names, by their order.
        in_memory: Whether tensors are read now, or one by one each time they are asked for (of a
            file with names); None: now, where half of the available memory holds them.  A file
            that is read later must stay, but another may take its name.

    Raises:
        DamagedFileError: If the file is torn, or its content is not what its hash says.
        InputError: If there is none, or it does not fit the model.
    """
    with _reading(path, "Remove it and type the same command again.") as handle:
        groups = [handle[name] for name in GROUPS if name in handle]
        if not groups:
            raise InputError(f"{path}: there is no group 'xdirection' in it.")
        now = _fits(path) if in_memory is None else in_memory
        straight = tuple(_direction(group, model, path, now) for group in groups)
        directions = tuple(
            replace(one, bend=_direction(handle[bend], model, path, now)) if bend in handle else one
            for one, bend in zip(straight, BENDS, strict=False)
        )
        if handle.attrs.get("content", content := content_hash(directions)) != content:
            raise DamagedFileError(
                f"{path}: its content is not what its checksum says. Remove it and type the same "
                "command again."
            )
    return directions


def _fits(path: Path | str) -> bool:
    """Tell whether memory has room for a file of directions, and log where it has not."""
    from landscape_lib.core.memory import SHARE, available_memory

    size, room = os.path.getsize(path), available_memory()
    if room is None or size <= SHARE * room:
        return True
    log.info(
        "%s: %.2f GiB, and %.2f GiB of memory are left: every point reads them from the disk, "
        "tensor by tensor.",
        path,
        size / 2**30,
        room / 2**30,
    )
    return False


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


def _direction(
    group: h5py.Group, model: "nn.Module | None", path: Path | str, now: bool
) -> "Direction":
    from landscape_lib.core.direction import Direction

    boxes = [group[str(number)] for number in range(len(group))]
    tensors: Sequence[Tensor]
    attributes = {name: _native(value) for name, value in group.attrs.items()}
    if boxes and "name" in boxes[0].attrs:
        names = tuple(box.attrs["name"] for box in boxes)
        tensors = [_tensor(box) for box in boxes] if now else _on_disk(path, str(group.name))
        return Direction(names, tensors, attributes)
    tensors = [_tensor(box) for box in boxes]
    if model is None:
        names = tuple(str(number) for number in range(len(tensors)))
        return Direction(names, tensors, {"kind": "file"})
    return _named_by(model, tensors, path)


def _tensor(box: h5py.Dataset) -> "Tensor":
    import torch

    return torch.from_numpy(np.asarray(box[()]))


def _on_disk(path: Path | str, name: str) -> "OnDemand":
    """Return the tensors of a group of a file, read when they are asked for."""
    from landscape_lib.core.direction import OnDemand

    handle = h5py.File(path, "r", **READING)  # open for as long as somebody may ask
    return OnDemand(lambda number: _tensor(handle[name][str(number)]), len(handle[name]))


def _named_by(model: "nn.Module", tensors: "Sequence[Tensor]", path: Path | str) -> "Direction":
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
