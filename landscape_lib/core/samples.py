"""The one fixed set of samples on which every point of a landscape is judged."""

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from landscape_lib.core.errors import InputError
from landscape_lib.core.handing import Form, Handed
from landscape_lib.core.randomness import fixed_randomness, generators_kept
from landscape_lib.core.reading import Reading, one_thread
from landscape_lib.core.shelf import Shelf

log = logging.getLogger(__name__)

SAY_EVERY_S = 10.0
_ARRAYS = (Tensor, np.ndarray)
_NO_DATA = (Mapping, str, bytes)  # though they can be iterated
TARGET_NAMES = ("labels", "label", "targets", "target")
DEFAULT_BATCH_SIZE = 128


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
        form: What batches turn into when they are used; None where they are it already.
    """

    batches: tuple[Any, ...]
    count: int
    whole: bool
    batch_size: int | None
    dataset: Any
    form: Form | None = None

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
        """Return the samples on a device, floating-point tensors in ``dtype``.

        Images (four dimensions, floating-point) are laid out channels last where asked.  What
        there is no room for takes that form batch by batch instead, whenever it is used.
        """
        form = Form(torch.device(device), dtype, channels_last)
        if not form.fits(self.tensors()):
            return replace(self, form=form)
        batches = tuple(tree_map(form, batch) for batch in self.batches)
        return replace(self, batches=batches)

    def cut(self, size: int | None) -> Sequence[Any]:
        """Return batches of ``size`` samples each, the last one perhaps smaller.

        ``None``, and samples that cannot be cut, give the loader's own batches.
        """
        pieces = self._views(size) if self.whole else list(self.batches)
        return pieces if self.form is None else Handed(pieces, self.form)

    def first(self, count: int) -> "Samples":
        """Return the first ``count`` samples; all where there are no more, or none can be cut."""
        if not self.whole or count >= self.count:
            return self
        leaves, shape = tree_flatten(self.batches[0])
        few = tree_unflatten([leaf[:count] for leaf in leaves], shape)
        return replace(self, batches=(few,), count=count)

    def _views(self, size: int | None) -> list[Any]:
        size = size or self.batch_size or DEFAULT_BATCH_SIZE
        leaves, shape = tree_flatten(self.batches[0])
        return [
            tree_unflatten([leaf[start : start + size] for leaf in leaves], shape)
            for start in range(0, self.count, size)
        ]


def gather(data: Any, name: str = "data", folder: Path | None = None) -> Samples:
    """Read every sample of a data set once and keep it.

    A ``DataLoader`` that shuffles is read in the data set's order, and whole even with
    ``drop_last``; one with a sampler of its own, and any other iterable of batches, is iterated
    once.  Random transforms are drawn once, from fixed seeds, one a sample where samples have
    indices, with the global random state put back.  Data that would take more than half of the
    available memory lie on the disk and are mapped.

    Args:
        data: ``Dataset`` (or a list of samples), ``DataLoader`` or any iterable of batches, or
            tuple of tensors.
        name: What to call the data in messages.
        folder: For data larger than memory; the system's for temporary files where left out.

    Raises:
        InputError: If the data are empty or of another kind, or there is no room for them.
    """
    loader = _loader(data, name)
    dataset = getattr(loader, "dataset", loader)
    if isinstance(dataset, TensorDataset) and not isinstance(data, DataLoader):
        return Samples((list(dataset.tensors),), len(dataset), True, None, dataset)
    shelf = _read(loader, name, folder)
    counts = shelf.counts
    if not sum(counts):
        raise InputError(f"The {name} data are empty; a landscape needs at least one sample.")
    batch_size = _own_batch_size(data, counts) if _is_loader(data, loader) else None
    regular = batch_size is None or _regular(counts, batch_size)
    whole = shelf.whole() if regular else None
    if whole is None:
        return Samples(tuple(shelf.batches()), sum(counts), False, batch_size, dataset)
    return Samples((whole,), sum(counts), True, batch_size, dataset)


def _read(loader: Any, name: str, folder: Path | None) -> Shelf:
    with fixed_randomness(), generators_kept(loader), ExitStack() as stack:
        if isinstance(loader, DataLoader) and _has_indices(loader):
            stack.enter_context(one_thread())
            loader = Reading(loader, name)
        shelf = Shelf(name, _length(loader), folder)
        batches = stack.enter_context(closing(_said(loader, name)))
        try:
            for batch in batches:
                shelf.add(_plain(batch))
        except (TypeError, RuntimeError) as error:
            _refuse_uncollated(error, name)
            raise
    return shelf


def _refuse_uncollated(error: Exception, name: str) -> None:
    """Say what to do where samples do not make a batch; anything else stays what it is.

    Raises:
        InputError: If torch's own collating raised.
    """
    said = str(error)
    if "default_collate: batch must contain" in said:
        kind = said.rpartition("found ")[2].removeprefix("<class '").rstrip("'>")
        image = "PIL" in kind
        advice = (
            "Give the data set transform=torchvision.transforms.ToTensor()"
            if image
            else "Let its samples be tensors, arrays and numbers"
        )
        raise InputError(
            f"The samples of the {name} data hold a {kind}, of which no batch can be made; wanted "
            f"tensors. {advice}, or bring a DataLoader with a collate_fn."
        ) from None
    if "stack expects each tensor to be equal size" in said:
        raise InputError(
            f"The samples of the {name} data have different shapes, so no batch can be made of "
            f"them ({said.partition('expects ')[2]}). Give the data set transforms that make them "
            "alike, as Resize and CenterCrop for images, or bring a DataLoader whose collate_fn "
            "pads them."
        ) from None


def _has_indices(loader: DataLoader) -> bool:
    own = type(loader).__iter__ is not DataLoader.__iter__  # a loader that does more than load
    return not (own or isinstance(loader.dataset, IterableDataset))


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:  # an iterable that does not know its length
        return None


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


def _said(loader: Any, name: str) -> Generator[Any, None, None]:
    """Go through batches, and say now and then how far it is, and how long it will still take."""
    total = _length(loader)
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
        return data
    if isinstance(data, tuple | list) and data and all(isinstance(t, _ARRAYS) for t in data):
        data = _put_beside(data, name)
    if isinstance(data, IterableDataset):
        return DataLoader(data, DEFAULT_BATCH_SIZE)
    sequence = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if isinstance(data, Dataset) or (sequence and not isinstance(data, _NO_DATA)):
        if not _samples_in(data, name):
            raise InputError(f"The {name} data are empty; a landscape needs at least one sample.")
        return DataLoader(data, DEFAULT_BATCH_SIZE)
    if hasattr(data, "__iter__") and not isinstance(data, _NO_DATA):
        return data  # a loader of one's own
    read = ", which is to be read first" if isinstance(data, str | bytes | PurePath) else ""
    raise InputError(
        f"The {name} data are a {type(data).__name__}{read}; wanted a Dataset, a DataLoader or "
        "another iterable of batches, or a tuple of tensors (inputs, targets)."
    )


def _samples_in(data: Any, name: str) -> int:
    if not hasattr(data, "__len__"):
        raise InputError(
            f"The {name} data, a {type(data).__name__}, do not say how many samples they have. "
            "Give the class a __len__; or let it be an IterableDataset, with __iter__."
        )
    return len(data)


def _put_beside(arrays: Sequence[Any], name: str) -> TensorDataset:
    tensors = [torch.as_tensor(array) for array in arrays]
    lengths = [len(tensor) if tensor.ndim else 0 for tensor in tensors]
    if len(set(lengths)) != 1:
        raise InputError(f"The {name} tensors hold {lengths} samples; the numbers must agree.")
    return TensorDataset(*tensors)


def _plain(batch: Any) -> Any:
    """Turn dict-likes into dicts, so that torch knows how to walk them."""
    if isinstance(batch, Mapping):
        return {name: _plain(item) for name, item in batch.items()}
    if isinstance(batch, tuple | list) and not hasattr(batch, "_fields"):
        return [_plain(item) for item in batch]
    return batch


class ResidentLoader:
    """Hands a user's own metric function batches that are already on the device.

    Knows ``len()``, ``.dataset`` and ``.batch_size``, and can be iterated again and again.
    """

    def __init__(self, samples: Samples, batch_size: int | None) -> None:
        self.dataset = samples.dataset
        self.batch_size = batch_size or samples.batch_size or DEFAULT_BATCH_SIZE
        self._batches = samples.cut(self.batch_size)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return map(copied, self._batches)


def copied(batch: Any) -> Any:
    """Return the batch with copies of its tensors, for code that may write to them."""
    return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, batch)


def split_batch(
    batch: Any, half: torch.dtype | None = None
) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """Tell a batch's inputs from its targets: ``model(*args, **kwargs)`` against ``targets``.

    A pair is (inputs, targets); of a longer tuple the last is the targets; a dict's targets are
    called labels, label, targets or target.  Inputs that are a dict become keyword arguments.

    Args:
        batch: A nest of tensors.
        half: What floating-point inputs become; None keeps their type.

    Raises:
        InputError: If no targets can be found.
    """
    inputs, named, targets = _split(batch)
    if half is not None:
        inputs, named = (tree_map(partial(_narrowed, half), nest) for nest in (inputs, named))
    return inputs, named, targets


def _narrowed(half: torch.dtype, leaf: Any) -> Any:
    return leaf.to(half) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


def _split(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
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
