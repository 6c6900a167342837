"""How samples get to where they are evaluated: all at once where they fit, else in batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from landscape_lib.core.memory import SHARE, available_memory

GPU_SHARE = 0.8  # of the free memory of a GPU that samples may take


@dataclass(frozen=True)
class Form:
    """What tensors are to be: where, of which type, laid out how.

    Attributes:
        device: Where.
        dtype: Of floating-point tensors; None keeps their own.
        channels_last: Whether images (four dimensions, floating-point) are laid out so.
    """

    device: torch.device
    dtype: torch.dtype | None = None
    channels_last: bool = False

    def __call__(self, leaf: Any, *, non_blocking: bool = False) -> Any:
        """Return a tensor in this form, itself where it is; anything else as it is."""
        if not isinstance(leaf, Tensor):
            return leaf
        if self.device.type == "cuda":  # what is cast there needs no second copy here
            leaf = leaf.to(self.device, non_blocking=non_blocking)
        if not leaf.is_floating_point():
            return leaf.to(self.device)
        layout = torch.channels_last if self._image(leaf) else torch.preserve_format
        return leaf.to(self.device, self.dtype or leaf.dtype, memory_format=layout)

    def fits(self, tensors: Iterable[Tensor]) -> bool:
        """Tell whether there is room for tensors in this form, beside what they are now."""
        tensors = list(tensors)
        new = [self._bytes(t) for t in tensors if not self._is(t)]
        if not new:
            return True
        if self.device.type == "cuda":
            cast = max(t.numel() * t.element_size() for t in tensors)
            return sum(new) + cast <= GPU_SHARE * torch.cuda.mem_get_info(self.device)[0]
        room = available_memory()
        return room is None or sum(new) <= SHARE * room

    def _image(self, tensor: Tensor) -> bool:
        return self.channels_last and tensor.ndim == 4 and tensor.is_floating_point()

    def _is(self, tensor: Tensor) -> bool:
        laid = not self._image(tensor) or tensor.is_contiguous(memory_format=torch.channels_last)
        return laid and self._type(tensor) == tensor.dtype and tensor.device == self.device

    def _type(self, tensor: Tensor) -> torch.dtype:
        return (self.dtype or tensor.dtype) if tensor.is_floating_point() else tensor.dtype

    def _bytes(self, tensor: Tensor) -> int:
        return tensor.numel() * self._type(tensor).itemsize


class Handed(Sequence[Any]):
    """Batches that take their form when they are used, each time."""

    def __init__(self, pieces: Sequence[Any], form: Form) -> None:
        self._pieces, self._form = pieces, form

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Handed(self._pieces[place], self._form)
        return tree_map(self._form, self._pieces[place])

    def __iter__(self) -> Iterator[Any]:
        if self._form.device.type == "cuda":
            return one_ahead(self._pieces, _Sender(self._form))
        return (tree_map(self._form, piece) for piece in self._pieces)


def one_ahead(pieces: Iterable[Any], send: Callable[[Any], Callable[[], Any]]) -> Iterator[Any]:
    """Yield what arrives of each piece, in order; the next is on its way while one is used.

    Args:
        pieces: What to send.
        send: Sets a piece on its way, and returns what receives it.
    """
    receive: Callable[[], Any] | None = None
    for piece in pieces:
        following = send(piece)
        if receive is not None:
            yield receive()
        receive = following
    if receive is not None:
        yield receive()


class _Sender:
    """Sends batches to a GPU through pinned memory, on a stream beside the one that computes."""

    def __init__(self, form: Form) -> None:
        self._form, self._stream = form, torch.cuda.Stream(form.device)

    def __call__(self, piece: Any) -> Callable[[], Any]:
        pinned = tree_map(lambda leaf: leaf.pin_memory() if _here(leaf) else leaf, piece)
        with torch.cuda.stream(self._stream):
            batch = tree_map(lambda leaf: self._form(leaf, non_blocking=True), pinned)
        arrived = self._stream.record_event()

        def receive() -> Any:
            stream = torch.cuda.current_stream(self._form.device)
            stream.wait_event(arrived)
            tree_map(lambda x: x.record_stream(stream) if isinstance(x, Tensor) else None, batch)
            return batch

        return receive


def _here(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.device.type == "cpu"
