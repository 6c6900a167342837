"""Where batches are kept: in memory, or on the disk where they would take too much of it."""

import logging
import math
import mmap
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from landscape_lib.core.errors import InputError
from landscape_lib.core.memory import SHARE, available_memory

log = logging.getLogger(__name__)

Key = tuple[int, torch.dtype]
_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


@dataclass(frozen=True)
class _Piece:
    """A tensor of a batch: so many bytes into the column of its place and type."""

    key: Key
    start: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Row:
    """A batch: how it is built, and its leaves, the tensors as pieces of columns."""

    shape: TreeSpec
    leaves: list[Any]

    @property
    def count(self) -> int:
        """Number of samples: the length of the first tensor that has one."""
        shapes = [leaf.shape for leaf in self.leaves if isinstance(leaf, _Piece | Tensor)]
        return next((shape[0] for shape in shapes if len(shape)), 1)


class Shelf:
    """Takes batches one after the other, and gives them back, without a second copy of any.

    The tensors that have one place in all batches lie behind each other in one column, so that
    the whole needs no putting together.  Columns grow in memory while they take less than half of
    what is available when the reading begins, and lie in files without a name otherwise: the
    kernel reads their pages when they are used, and nothing is left when the process dies.
    """

    def __init__(self, name: str, total: int | None = None, folder: Path | None = None) -> None:
        """Ask how much memory there is.

        Args:
            name: What to call the data in messages.
            total: Number of batches where it is known.
            folder: For files; the system's folder of temporary files where left out.
        """
        self._name, self._total = name, total
        self._folder = folder or Path(tempfile.gettempdir())
        room = available_memory()
        self._limit = math.inf if room is None else SHARE * room
        self._on_disk = False
        self._columns: dict[Key, _InMemory | _OnDisk] = {}
        self._rows: list[_Row] = []
        self._used = 0

    def add(self, batch: Any) -> None:
        """Take a batch; one of no samples is left out, for it decides nothing.

        Raises:
            InputError: If there is room for it neither in memory nor on the disk; where the
                number of batches is known, at the first.  If it holds a nested tensor.
        """
        leaves, shape = tree_flatten(batch)
        _refuse_nested(self._name, leaves)
        size = sum(_size(leaf) for leaf in leaves if _plain(leaf))
        needed = max(self._used + size, 0 if self._rows else size * (self._total or 1))
        try:
            if needed > self._limit and not self._on_disk:
                self._go_to_disk(needed)
            kept = [self._keep(place, leaf) for place, leaf in enumerate(leaves)]
        except OSError as error:
            self._refuse(needed, error)
        row = _Row(shape, kept)
        if row.count:
            self._rows.append(row)
        self._used += size

    @property
    def counts(self) -> list[int]:
        """Number of samples in every batch."""
        return [row.count for row in self._rows]

    def batches(self) -> list[Any]:
        """Return the batches as they came; their tensors share the shelf's memory."""
        stored = {key: column.stored() for key, column in self._columns.items()}

        def found(leaf: Any) -> Any:
            return _tensor(stored, leaf) if isinstance(leaf, _Piece) else leaf

        return [tree_unflatten([found(leaf) for leaf in r.leaves], r.shape) for r in self._rows]

    def whole(self) -> Any | None:
        """Return all batches as one; None where their tensors differ in more than length."""
        first = self._rows[0]
        if not all(_alike(row, first) for row in self._rows):
            return None
        stored = {key: column.stored() for key, column in self._columns.items()}
        count = sum(self.counts)
        leaves = [
            _tensor(stored, _Piece(leaf.key, 0, (count, *leaf.shape[1:]))) for leaf in first.leaves
        ]
        return tree_unflatten(leaves, first.shape)

    def _keep(self, place: int, leaf: Any) -> Any:
        if not _plain(leaf):
            return leaf
        key = (place, leaf.dtype)
        if key not in self._columns:
            expected = _size(leaf) * (self._total or 1)
            self._columns[key] = _OnDisk(self._folder) if self._on_disk else _InMemory(expected)
        start = self._columns[key].write(content(leaf))
        return _Piece(key, start, tuple(leaf.shape))

    def _go_to_disk(self, needed: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if needed > _free(self._folder):
            self._refuse(needed)
        log.info(
            "The %s data take %s or more, and data may fill %s of memory here: they are kept on "
            "the disk, in %s, while they are needed.",
            self._name,
            said(needed),
            said(self._limit),
            self._folder,
        )
        self._on_disk = True
        for key, column in self._columns.items():
            self._columns[key] = _OnDisk(self._folder)
            self._columns[key].write(column.stored())

    def _refuse(self, needed: int, cause: OSError | None = None) -> NoReturn:
        why = f" ({cause.strerror})" if cause else ""
        raise InputError(
            f"The {self._name} data take {said(needed)} or more once they are read. Data may fill "
            f"{said(self._limit)} of memory here (half of what is available), and the disk of "
            f"{self._folder} has room for {said(_free(self._folder))}{why}. Make room on one of "
            "them, or evaluate on fewer samples (torch.utils.data.Subset)."
        ) from cause


class _InMemory:
    """A column that grows without being copied: untouched pages take no memory."""

    def __init__(self, expected: int) -> None:
        self._map = mmap.mmap(-1, max(1, expected), flags=_ANONYMOUS)
        self._used = 0

    def write(self, more: Any) -> int:
        """Append bytes, and return where they begin."""
        start, end = self._used, self._used + len(more)
        if end > len(self._map):
            self._grow(2 * end)
        self._map[start:end] = more
        self._used = end
        return start

    def stored(self) -> Any:
        """Return the column's bytes."""
        return memoryview(self._map)[: self._used]

    def _grow(self, size: int) -> None:
        try:
            self._map.resize(size)  # moves pages, not bytes
        except SystemError:  # not on every system
            old, self._map = self._map, mmap.mmap(-1, size, flags=_ANONYMOUS)
            self._map[: self._used] = memoryview(old)[: self._used]


class _OnDisk:
    """A column in a file that has no name, and so is gone with the process."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)
        self._used = 0

    def __del__(self) -> None:
        self._file.close()  # what is mapped stays

    def write(self, more: Any) -> int:
        """Append bytes, and return where they begin."""
        start, left = self._used, memoryview(more)
        while left:  # the system may take a part only
            left = left[self._file.write(left) :]
        self._used += len(more)
        return start

    def stored(self) -> Any:
        """Return the column's bytes, mapped: they are read from the disk where they are used."""
        if not self._used:
            return memoryview(b"")
        return memoryview(mmap.mmap(self._file.fileno(), self._used))


def said(size: float) -> str:
    """Return a number of bytes as one reads it."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def content(tensor: Tensor) -> np.ndarray:
    """Return the bytes of a tensor in row-major order; a copy only where they lie otherwise."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if not plain.numel():
        return np.empty(0, np.uint8)
    return plain.reshape(-1).view(torch.uint8).numpy()


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # there is no such folder, and none can be made
        return 0


def _plain(leaf: Any) -> bool:
    """Tell whether a leaf is a tensor that is nothing but its bytes."""
    return (
        isinstance(leaf, Tensor)
        and leaf.layout == torch.strided
        and not (leaf.is_quantized or leaf.is_nested)
    )


def _refuse_nested(name: str, leaves: list[Any]) -> None:
    if any(isinstance(leaf, Tensor) and leaf.is_nested for leaf in leaves):
        raise InputError(
            f"A batch of the {name} data holds a nested tensor, which is not kept here; wanted "
            "tensors of one shape. Pad its parts to one length (torch.nn.utils.rnn.pad_sequence) "
            "and give the model their lengths or a mask; or let a batch be a list of tensors."
        )


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _tensor(stored: dict[Key, Any], piece: _Piece) -> Tensor:
    _, dtype = piece.key
    count = math.prod(piece.shape)
    if not count:
        return torch.empty(piece.shape, dtype=dtype)
    flat = torch.frombuffer(stored[piece.key], dtype=dtype, count=count, offset=piece.start)
    return flat.view(piece.shape)


def _alike(row: _Row, first: _Row) -> bool:
    """Tell whether two batches can lie behind each other, each as long as it has samples."""
    return row.shape == first.shape and all(
        isinstance(one, _Piece)
        and isinstance(other, _Piece)
        and one.key == other.key
        and one.shape[:1] == (row.count,)
        and one.shape[1:] == other.shape[1:]
        for one, other in zip(row.leaves, first.leaves, strict=True)
    )
