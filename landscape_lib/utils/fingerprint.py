"""What decides a value: same fingerprint, same numbers."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from landscape_lib.core import EVALUATION_VERSION
from landscape_lib.core.samples import Samples
from landscape_lib.core.shelf import content
from landscape_lib.utils.hashing import canonical, hash_file, hash_text

PIECE = 2**26  # bytes that are hashed at once


def hash_tensor(tensor: Tensor) -> str:
    """Return the SHA-256 over type, shape and bytes of a tensor."""
    if tensor.layout != torch.strided:
        return hash_text(canonical([str(tensor.layout), list(tensor.shape), *_parts(tensor)]))
    digest = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    for piece in _pieces(tensor):
        digest.update(content(piece).data)
    return digest.hexdigest()


def _pieces(tensor: Tensor) -> Iterable[Tensor]:
    """Cut a tensor into rows that may be copied without filling the memory."""
    if not tensor.ndim or not tensor.numel():
        return [tensor]
    row = tensor.numel() // len(tensor) * tensor.element_size()
    return tensor.split(max(1, PIECE // row))


def _parts(sparse: Tensor) -> list[str]:
    """Hash what a sparse tensor is made of."""
    if sparse.layout == torch.sparse_coo:
        whole = sparse.detach().coalesce()
        return [hash_tensor(whole.indices()), hash_tensor(whole.values())]
    return [hash_tensor(sparse.detach().to_dense())]


def hash_model(model: nn.Module) -> str:
    """Return the SHA-256 over a model's architecture as it prints itself, and all its tensors.

    Also those that a model leaves out of its state_dict: buffers that are not persistent.
    """
    every = {**model.state_dict(), **dict(model.named_parameters()), **dict(model.named_buffers())}
    state = {
        name: hash_tensor(entry) if isinstance(entry, Tensor) else _spelled(entry)
        for name, entry in every.items()
    }
    return hash_text(canonical([_spelled(model), list(state.items())]))


def _spelled(thing: Any) -> str:
    """Return how something prints itself, without where in memory it is."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def hash_samples(samples: Samples) -> str:
    """Return the SHA-256 over everything in the samples, in order."""
    leaves = [_hash_leaf(leaf) for batch in samples.batches for leaf in tree_leaves(batch)]
    return hash_text(canonical([samples.count, samples.batch_size, leaves]))


def _hash_leaf(leaf: Any) -> str:
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc":
        leaf = torch.from_numpy(leaf)
    if isinstance(leaf, Tensor):
        return hash_tensor(leaf)
    if isinstance(leaf, str | bytes | int | float | None):
        return repr(leaf)
    held = {name: [_hash_leaf(x) for x in tree_leaves(v)] for name, v in _attributes(leaf).items()}
    return hash_text(canonical([type(leaf).__qualname__, held]))  # a repr may hold an address


def _attributes(thing: Any) -> dict[str, Any]:
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return {**getattr(thing, "__dict__", {}), **{n: getattr(thing, n, None) for n in slots}}


def by_content(value: Any) -> Any:
    """Replace every path to a file inside a value by the hash of the file's content."""
    if isinstance(value, Mapping):
        return {str(key): by_content(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [by_content(item) for item in value]
    if isinstance(value, str) and value and os.path.isfile(value):
        return hash_file(value)
    return value


def hash_metrics(metrics: Any) -> str:
    """Return the SHA-256 over what metric modules hold: class weights, settings, networks."""
    named = metrics if isinstance(metrics, Mapping) else {"": metrics}
    held = {
        str(name): [
            hash_model(metric),
            type(metric).__qualname__,
            {
                key: value
                for key, value in sorted(vars(metric).items())
                if key != "training" and isinstance(value, int | float | str | None)
            },
        ]
        for name, metric in named.items()
        if isinstance(metric, nn.Module)
    }
    return hash_text(canonical(held))


def problem_fingerprint(
    model: nn.Module,
    data: Mapping[str, Samples],
    *,
    code: str,
    args: Any,
    evaluation: Any,
    metrics: Any = None,
    hashes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what decides a problem's values, part by part, and the hash of it all.

    Args:
        model: At its trained weights.
        data: The gathered samples of every split.
        code: Hash of the code that builds model and metrics.
        args: What the code was called with.
        evaluation: Settings that change values (precision).
        metrics: As ``Problem.metrics``; what modules among them hold counts.
        hashes: Of the samples, where they are known already.

    Returns:
        ``model``, ``data``, ``metrics``, ``code``, ``args``, ``evaluation``, ``version``, and
        ``fingerprint`` over them.
    """
    parts: dict[str, Any] = {
        "model": hash_model(model),
        "data": dict(hashes or {n: hash_samples(samples) for n, samples in data.items()}),
        "metrics": hash_metrics(metrics),
        "code": code,
        "args": hash_text(canonical(by_content(args))),
        "evaluation": evaluation,
        "version": EVALUATION_VERSION,
    }
    return {**parts, "fingerprint": hash_text(canonical(parts))}
