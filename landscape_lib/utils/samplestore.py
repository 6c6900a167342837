"""Where prepared samples are kept, so that every shard after the first starts in seconds."""

import errno
import logging
import mmap
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from landscape_lib.core.files import whole_file
from landscape_lib.core.memory import SHARE, available_memory
from landscape_lib.core.samples import Samples
from landscape_lib.utils.fingerprint import hash_samples
from landscape_lib.utils.hashing import canonical, hash_text

log = logging.getLogger(__name__)

PLAIN = (
    Tensor,
    str,
    int,
    float,
    bool,
    type(None),
)  # what ``torch.load`` reads without running code


def store_path(folder: Path, hashes: Mapping[str, str]) -> Path:
    """Return the file of samples whose contents have these hashes, one a split."""
    return folder / f"samples-{hash_text(canonical(dict(hashes)))}.pt"


def store_samples(folder: Path, hashes: Mapping[str, str], data: Mapping[str, Samples]) -> None:
    """Keep samples under the hash of their content, whole or not at all.

    Samples that hold anything but tensors, texts and numbers are not kept, nor those for which
    there is no room: they are read anew.
    """
    path = store_path(folder, hashes)
    leaves = [leaf for samples in data.values() for leaf in tree_leaves(list(samples.batches))]
    if path.exists() or not all(isinstance(leaf, PLAIN) for leaf in leaves):
        return
    content = {
        split: {
            "batches": list(samples.batches),
            "count": samples.count,
            "whole": samples.whole,
            "batch_size": samples.batch_size,
        }
        for split, samples in data.items()
    }
    try:
        _refuse_a_full_disk(folder, sum(t.nbytes for s in data.values() for t in s.tensors()))
        # another host's shards may have mapped the same file: replaced, it would be gone for them
        with whole_file(path, first=True) as temporary, temporary.open("wb") as handle:
            torch.save(content, handle)
    except OSError as error:
        log.warning("%s: the samples are not kept (%s); shards read them anew.", path, error)


def load_samples(
    folder: Path, hashes: Mapping[str, str], datasets: Mapping[str, Any]
) -> dict[str, Samples] | None:
    """Return samples that were kept, mapped into memory: processes on one machine share them.

    Args:
        folder: Where they were kept.
        hashes: Of their contents, one a split; what they hold is checked against it.
        datasets: The user's data sets, for functions that ask a loader for its own.

    Returns:
        None where there are none, or what is there is not what it should be.
    """
    path = store_path(folder, hashes)
    if not path.is_file():
        return None
    try:
        content = _mapped(path)
        data = {split: _samples(content[split], datasets[split]) for split in hashes}
        whole = {split: hash_samples(samples) for split, samples in data.items()} == dict(hashes)
    except Exception:  # whatever torch raises over a damaged file
        whole = False
    if not whole:
        log.warning("%s: it is damaged; the data are read anew.", path)
        return None
    return data


def _refuse_a_full_disk(folder: Path, needed: int) -> None:
    """Check for room first: a write that fails has filled the disk to its last byte.

    Raises:
        OSError: If there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if needed > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _mapped(path: Path) -> Any:
    """Map a file that ``torch.save`` wrote: each process its own copy of what it writes to.

    Of a file larger than memory the kernel promises no process its own copy, so all share it;
    nothing here writes to samples.
    """
    room = available_memory()
    before = torch.serialization.get_default_mmap_options() or mmap.MAP_PRIVATE
    if room is not None and path.stat().st_size > SHARE * room:
        torch.serialization.set_default_mmap_options(mmap.MAP_SHARED)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    finally:
        torch.serialization.set_default_mmap_options(before)


def _samples(content: Mapping[str, Any], dataset: Any) -> Samples:
    return Samples(
        tuple(content["batches"]),
        int(content["count"]),
        bool(content["whole"]),
        content["batch_size"],
        getattr(dataset, "dataset", dataset),
    )
