"""What a file of arrays may not do, whoever wrote it: lead elsewhere, or exhaust memory."""

import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape_lib.core.errors import InputError

FILTERS = {  # of HDF5 itself and of h5py, so that no plugin is loaded to read a file
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_NBIT,
    h5py.h5z.FILTER_SCALEOFFSET,
    h5py.h5z.FILTER_LZF,
}
DENSEST = 1100  # bytes out of one that is stored: deflate packs no more than 1032 into one
MOST_TEXT = 2**28  # bytes that entries of no fixed length may come to
MEANT = "The file is damaged, or it was made to exhaust memory."
FREE = 2**16  # bytes that may be asked for although nothing is stored: fill values of small arrays


def refuse_foreign(handle: h5py.File, path: Path | str) -> None:
    """Refuse a file whose reading would read another, load code, or take memory for nothing.

    Looks at every object before any is read, at headers alone.

    Raises:
        InputError: If there is a soft or external link, a virtual or external data set, a filter
            that a plugin would be loaded for, or a data set that claims more than it can hold.
    """
    for name, link in _links(handle):
        if not isinstance(link, h5py.HardLink):
            target = (
                f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else link.path
            )
            raise InputError(
                f"{path}: {name!r} is a link to {target!r}; a file must hold what it shows. Copy "
                "what is meant into one file, for example with h5repack or h5py's copy()."
            )
        found = handle[name]
        if isinstance(found, h5py.Dataset):
            _refuse_dataset(found, name, path)


def _links(handle: h5py.File) -> Iterator[tuple[str, Any]]:
    """Yield every link of a file by its path; each group is looked into once."""
    waiting, seen = [""], {h5py.h5o.get_info(handle.id).addr}
    while waiting:
        place = waiting.pop()
        group = handle[place or "/"]
        for name in group:
            link = group.get(name, getlink=True)
            yield f"{place}/{name}", link
            if isinstance(link, h5py.HardLink) and isinstance(group[name], h5py.Group):
                address = h5py.h5o.get_info(group[name].id).addr
                if address not in seen:
                    seen.add(address)
                    waiting.append(f"{place}/{name}")


def _refuse_dataset(dataset: h5py.Dataset, name: str, path: Path | str) -> None:
    if dataset.is_virtual or dataset.external:
        raise InputError(
            f"{path}: the numbers of {name!r} lie in another file; a file must hold what it shows. "
            "Copy them into one file, for example with h5repack."
        )
    how = dataset.id.get_create_plist()
    filters = {how.get_filter(number)[0] for number in range(how.get_nfilters())}
    if not filters <= FILTERS:
        raise InputError(
            f"{path}: {name!r} is packed with the HDF5 filters {sorted(filters - FILTERS)}, which "
            "need a plugin. Save it packed with gzip, or not at all: h5repack -f NONE."
        )
    stored = dataset.id.get_storage_size()
    room = DENSEST * stored + FREE
    if dataset.nbytes > room:
        raise InputError(
            f"{path}: {name!r} claims {dataset.nbytes:,} bytes, but {stored:,} are stored, which "
            f"cannot hold them. {MEANT}"
        )
    chunk = (
        math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    )  # of 1 byte where there is none
    if chunk > max(room, dataset.nbytes):
        raise InputError(
            f"{path}: {name!r} is stored in pieces of {chunk:,} bytes, each read whole, but "
            f"{stored:,} are stored in all. {MEANT}"
        )
    if dataset.dtype.hasobject and dataset.size * os.path.getsize(path) > MOST_TEXT:
        raise InputError(
            f"{path}: {name!r} holds {dataset.size:,} texts or lists of any length, each of which "
            f"may be as long as the file. {MEANT}"
        )


def refuse_dense(archive: zipfile.ZipFile, path: Path | str) -> None:
    """Refuse an npz file whose arrays claim more than what is stored could hold.

    Members that share what is stored count together: a file holds no more than its own size
    unpacks to.

    Raises:
        InputError: If one does.
    """
    total = 0
    for member in archive.infolist():
        claimed = max(member.file_size, _claimed(archive, member))
        if claimed > DENSEST * member.compress_size + FREE or claimed > member.file_size + FREE:
            raise InputError(
                f"{path}: {member.filename!r} claims {claimed:,} bytes, but "
                f"{member.compress_size:,} are stored, which cannot hold them. {MEANT}"
            )
        total += claimed
    size = os.path.getsize(path)
    if total > DENSEST * size + FREE:
        raise InputError(
            f"{path}: its members claim {total:,} bytes together, but the file has {size:,}, which "
            f"cannot hold them. {MEANT}"
        )


def _claimed(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return the bytes of the array that a member's header promises; 0 where it is no array."""
    if not member.filename.endswith(".npy"):
        return 0
    with archive.open(member) as handle:
        version = np.lib.format.read_magic(handle)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(handle)
    return math.prod(shape) * int(dtype.itemsize)
