"""Whether somebody writes to the tensors that he was handed, and others need as well."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from landscape_lib.core.shelf import content

_INSIDE: Callable[[Tensor], Tensor] = getattr(  # from torch 2.8; vmap's wrapper counts no writes
    torch.func, "debug_unwrap", lambda tensor: tensor
)


WRITTEN = "model or metrics write to what others need"


class WrittenError(RuntimeError):
    """Somebody wrote to a batch, or to what the model made of it."""

    def __init__(self) -> None:
        super().__init__(WRITTEN)


def tensors_in(nest: Any) -> list[Tensor]:
    """Return the tensors of a nest, in order."""
    return [leaf for leaf in tree_leaves(nest) if isinstance(leaf, Tensor)]


def counters_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return those tensors that count the writes to all: views count with what they are of."""
    whole = (tensor if tensor._base is None else tensor._base for tensor in tensors)
    return list({id(tensor): tensor for tensor in whole}.values())


def _marks(tensors: Sequence[Tensor]) -> list[int | None]:
    """Return what every write to a tensor changes; no device is waited for.

    Tensors of inference mode count no writes: None.
    """
    inside = map(_INSIDE, tensors)
    return [None if tensor.is_inference() else tensor._version for tensor in inside]


class Written:
    """Whether somebody wrote to the tensors of a nest since: counted, and by what they hold.

    What goes by ``.data`` or numpy is not counted; what changes nothing is.
    """

    def __init__(self, nest: Any) -> None:
        self._nest = nest
        self._before = self._seen()

    def now(self) -> bool:
        """Look at them; what a device was given to do is waited for."""
        return self._seen() != self._before

    def _seen(self) -> Any:
        return _marks(tensors_in(self._nest)), _contents(self._nest)


@contextmanager
def unwritten(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Let nobody write to tensors.

    Raises:
        WrittenError: If somebody did.
    """
    before = _marks(tensors)
    yield
    if _marks(tensors) != before:
        raise WrittenError


@contextmanager
def put_back_if_written(tensors: Sequence[Tensor]) -> Iterator[None]:
    """As ``unwritten``; and give the tensors back what they held, also after an exception.

    Memory: a copy of them.

    Raises:
        WrittenError: If somebody wrote to one.
    """
    kept = [tensor.clone() for tensor in tensors]
    before = _marks(tensors)
    try:
        yield
    finally:
        written = [place for place in zip(tensors, kept, before, strict=True) if _differs(*place)]
        with torch.no_grad():
            for tensor, copy, _ in written:
                tensor.copy_(copy)
    if written:
        raise WrittenError


def _differs(tensor: Tensor, kept: Tensor, before: int | None) -> bool:
    if before is None:
        return _contents([tensor]) != _contents([kept])
    return _marks([tensor]) != [before]


def _contents(nest: Any) -> list[bytes]:
    """Copy what the dense tensors of a nest hold, to see whether somebody writes to it."""
    dense = (t for t in tensors_in(nest) if t.layout == torch.strided)
    return [content(tensor).tobytes() for tensor in dense]
