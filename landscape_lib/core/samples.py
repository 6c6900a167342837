"""The one fixed set of samples on which every point of a landscape is judged."""

import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

from landscape_lib.core.errors import InputError

log = logging.getLogger(__name__)

SAY_EVERY_S = 10.0
_ARRAYS = (Tensor, np.ndarray)
TARGET_NAMES = ("labels", "label", "targets", "target")
DEFAULT_BATCH_SIZE = 128
SEED = 0  # for transforms and samplers that draw random numbers while the samples are gathered


@contextmanager
def fixed_randomness(seed: int = SEED) -> Iterator[None]:
    """Seed the global random states, and give them back as they were."""
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            reseed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002


def reseed(seed: int = SEED) -> None:
    """Set the global random states: python's, numpy's, torch's."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # else torch would write down the call, with its whole stack
        torch.cuda.manual_seed_all(seed)


@dataclass(frozen=True)
class Samples:
    """Batches kept as they came, once: every point sees the same samples in the same order.

    Attributes:
        batches: Nests of tensors.  One batch that holds everything where all tensors of all
            batches could be put together, else the loader's own batches.
        count: Number of samples.
        whole: Whether ``batches`` is one batch that can be cut at will.
        batch_size: The loader's own, None where the data were no loader.
        dataset: The user's data set, for functions that ask for ``loader.dataset``.
    """

    batches: tuple[Any, ...]
    count: int
    whole: bool
    batch_size: int | None
    dataset: Any

    def tensors(self) -> Iterator[Tensor]:
        """Go through every tensor, in order."""
        for batch in self.batches:
            yield from (leaf for leaf in tree_flatten(batch)[0] if isinstance(leaf, Tensor))

    def to(
        self,
        device: torch.device | str,
        dtype: torch.dtype | None = None,
        *,
        channels_last: bool = False,
    ) -> "Samples":
        """Return the samples on a device where they fit, floating-point tensors in ``dtype``.

        Images (four dimensions, floating-point) are laid out channels last where asked.
        """
        wanted = torch.device(device)
        bytes_needed = sum(t.numel() * t.element_size() for t in self.tensors())
        if wanted.type == "cuda" and bytes_needed > 0.8 * torch.cuda.mem_get_info(wanted)[0]:
            wanted = torch.device("cpu")  # handed over batch by batch instead

        def moved(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if not leaf.is_floating_point():
                return leaf.to(wanted)
            image = channels_last and leaf.ndim == 4
            layout = torch.channels_last if image else torch.preserve_format
            return leaf.to(wanted, dtype or leaf.dtype, memory_format=layout)

        batches = tuple(tree_map(moved, batch) for batch in self.batches)
        return Samples(batches, self.count, self.whole, self.batch_size, self.dataset)

    def cut(self, size: int | None) -> list[Any]:
        """Return views of ``size`` samples each, the last one perhaps smaller.

        ``None``, and samples that cannot be cut, give the loader's own batches.
        """
        if not self.whole:
            return list(self.batches)
        size = size or self.batch_size or DEFAULT_BATCH_SIZE
        leaves, shape = tree_flatten(self.batches[0])
        return [
            tree_unflatten([leaf[start : start + size] for leaf in leaves], shape)
            for start in range(0, self.count, size)
        ]


def gather(data: Any, name: str = "data") -> Samples:
    """Read every sample of a data set once and keep it.

    A ``DataLoader`` that shuffles is read in the data set's order, and whole even with
    ``drop_last``; one with a sampler of its own, and any other iterable of batches, is iterated
    once.  Random transforms are drawn once, from a fixed seed, with the global random state put
    back.

    Args:
        data: ``Dataset`` (or a list of samples), ``DataLoader`` or any iterable of batches, or
            tuple of tensors.
        name: What to call the data in messages.

    Raises:
        InputError: If the data are empty or of another kind.
    """
    loader = _loader(data, name)
    dataset = getattr(loader, "dataset", loader)
    if isinstance(dataset, TensorDataset) and not isinstance(data, DataLoader):
        return Samples((list(dataset.tensors),), len(dataset), True, None, dataset)
    with fixed_randomness():
        batches = [_plain(batch) for batch in _said(loader, name)]
    counts = [_batch_count(batch) for batch in batches]
    if not sum(counts):
        raise InputError(f"The {name} data are empty; a landscape needs at least one sample.")
    batch_size = _own_batch_size(data, counts) if _is_loader(data, loader) else None
    regular = batch_size is None or _regular(counts, batch_size)
    whole = _put_together(batches, counts) if regular else None
    if whole is None:
        return Samples(tuple(batches), sum(counts), False, batch_size, dataset)
    return Samples((whole,), sum(counts), True, batch_size, dataset)


class _Batches:
    """Marks what is iterated as batches, though it looks like a list of samples."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.dataset = getattr(batches, "dataset", batches)
        self.batch_size = getattr(batches, "batch_size", None)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


def as_batches(data: Any) -> Any:
    """Take data as a loader is meant: a list, or what is like one, holds batches, not samples."""
    known = isinstance(data, DataLoader | Dataset | str | bytes | Mapping)
    tensors = isinstance(data, tuple | list) and all(isinstance(t, _ARRAYS) for t in data)
    sequence = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    return _Batches(data) if sequence and not (known or tensors) else data


def _said(loader: Any, name: str) -> Iterator[Any]:
    """Go through batches, and say now and then how far it is, and how long it will still take."""
    try:
        total = len(loader)
    except TypeError:  # an iterable that does not know its length
        total = None
    start = said = time.monotonic()
    for number, batch in enumerate(loader, 1):
        yield batch
        now = time.monotonic()
        if now - said >= SAY_EVERY_S:
            said = now
            left = f", {(now - start) / number * (total - number):.0f} s left" if total else ""
            log.info("reading the %s data: %d of %s batches%s", name, number, total or "?", left)


def _is_loader(data: Any, loader: Any) -> bool:
    return isinstance(data, DataLoader) or loader is data


def _own_batch_size(loader: Any, counts: list[int]) -> int:
    size = getattr(loader, "batch_size", None)
    return size if isinstance(size, int) and size > 0 else counts[0]


def _regular(counts: list[int], size: int) -> bool:
    """Tell whether cutting the whole into pieces of one size gives these batches back."""
    return all(count == size for count in counts[:-1]) and counts[-1] <= size


def _loader(data: Any, name: str) -> Any:
    if isinstance(data, DataLoader):
        return _ordered(data)
    if isinstance(data, tuple | list) and data and all(isinstance(t, _ARRAYS) for t in data):
        data = _put_beside(data, name)
    if isinstance(data, IterableDataset):
        return DataLoader(data, DEFAULT_BATCH_SIZE)
    sequence = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if isinstance(data, Dataset) or (sequence and not isinstance(data, Mapping)):
        if not len(data):  # type: ignore[arg-type]
            raise InputError(f"The {name} data are empty; a landscape needs at least one sample.")
        return DataLoader(data, DEFAULT_BATCH_SIZE)
    if hasattr(data, "__iter__") and not isinstance(data, Mapping | str | bytes):
        return data  # a loader of one's own
    raise InputError(
        f"The {name} data are a {type(data).__name__}; wanted a Dataset, a DataLoader or another "
        "iterable of batches, or a tuple of tensors (inputs, targets)."
    )


def _put_beside(arrays: Sequence[Any], name: str) -> TensorDataset:
    tensors = [torch.as_tensor(array) for array in arrays]
    lengths = [len(tensor) if tensor.ndim else 0 for tensor in tensors]
    if len(set(lengths)) != 1:
        raise InputError(f"The {name} tensors hold {lengths} samples; the numbers must agree.")
    return TensorDataset(*tensors)


def _ordered(loader: DataLoader) -> DataLoader:
    own = type(loader).__iter__ is not DataLoader.__iter__  # a loader that does more than load
    plain = isinstance(loader.sampler, RandomSampler | SequentialSampler) and not own
    subset = isinstance(loader.sampler, RandomSampler) and (
        loader.sampler.replacement or loader.sampler.num_samples != len(loader.dataset)  # type: ignore[arg-type]
    )
    if loader.batch_size is None or not plain or subset:
        return loader
    return DataLoader(
        loader.dataset,
        loader.batch_size,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn,
    )


def _plain(batch: Any) -> Any:
    """Turn dict-likes into dicts, so that torch knows how to walk them."""
    if isinstance(batch, Mapping):
        return {name: _plain(item) for name, item in batch.items()}
    if isinstance(batch, tuple | list) and not hasattr(batch, "_fields"):
        return [_plain(item) for item in batch]
    return batch


def _batch_count(batch: Any) -> int:
    for leaf in tree_flatten(batch)[0]:
        if isinstance(leaf, Tensor) and leaf.ndim:
            return len(leaf)
    return 1


def _put_together(batches: list[Any], counts: list[int]) -> Any | None:
    leaves, shapes = zip(*(tree_flatten(batch) for batch in batches), strict=True)
    if any(shape != shapes[0] for shape in shapes):
        return None
    for row, count in zip(leaves, counts, strict=True):
        if not all(isinstance(t, Tensor) and t.ndim and len(t) == count for t in row):
            return None
    columns = list(zip(*leaves, strict=True))
    for column in columns:
        if any(t.shape[1:] != column[0].shape[1:] or t.dtype != column[0].dtype for t in column):
            return None
    return tree_unflatten([torch.cat(column) for column in columns], shapes[0])


class ResidentLoader:
    """Hands a user's own metric function batches that are already on the device.

    Knows ``len()``, ``.dataset`` and ``.batch_size``, and can be iterated again and again.
    """

    def __init__(self, samples: Samples, batch_size: int | None, device: torch.device) -> None:
        self.dataset = samples.dataset
        self.batch_size = batch_size or samples.batch_size or DEFAULT_BATCH_SIZE
        self._batches = samples.cut(self.batch_size)
        self._device = device

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return (copied(on_device(batch, self._device)) for batch in self._batches)


def on_device(batch: Any, device: torch.device) -> Any:
    """Return the batch with its tensors on the device; nothing is copied that is there."""
    return tree_map(
        lambda leaf: leaf.to(device, non_blocking=True) if isinstance(leaf, Tensor) else leaf,
        batch,
    )


def copied(batch: Any) -> Any:
    """Return the batch with copies of its tensors, for code that may write to them."""
    return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, batch)


def split_batch(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """Tell a batch's inputs from its targets: ``model(*args, **kwargs)`` against ``targets``.

    A pair is (inputs, targets); of a longer tuple the last is the targets; a dict's targets are
    called labels, label, targets or target.  Inputs that are a dict become keyword arguments.

    Raises:
        InputError: If no targets can be found.
    """
    if isinstance(batch, dict):
        for name in TARGET_NAMES:
            if name in batch:
                rest = {key: item for key, item in batch.items() if key != name}
                return (), rest, batch[name]
        raise InputError(
            f"A batch is a dict of {sorted(batch)}; its targets must be called one of "
            f"{list(TARGET_NAMES)}."
        )
    if isinstance(batch, tuple | list) and len(batch) >= 2:
        *inputs, targets = batch
        if len(inputs) == 1 and isinstance(inputs[0], dict):
            return (), inputs[0], targets
        if len(inputs) == 1 and isinstance(inputs[0], tuple | list):
            return tuple(inputs[0]), {}, targets
        return tuple(inputs), {}, targets
    raise InputError(
        f"A batch is a {type(batch).__name__}; wanted (inputs, targets), or a dict with one of "
        f"{list(TARGET_NAMES)}."
    )
