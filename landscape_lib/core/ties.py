"""Which tensors of a model are one piece of memory, so that they move as one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from landscape_lib.core.errors import InputError


class Tie(NamedTuple):
    """A tensor that is another one's memory, whole, its dimensions perhaps in another order.

    Attributes:
        name: The tensor that it is tied to, which comes first.
        order: For each dimension the other's, as ``Tensor.permute`` takes them.
    """

    name: str
    order: tuple[int, ...]

    def of(self, tensor: Tensor) -> Tensor:
        """Return what a tensor in the place of the first is in this one's place."""
        return tensor.permute(self.order)


def ties(tensors: Mapping[str, Tensor]) -> dict[str, Tie]:
    """Return what is tied to a tensor that comes before it, by name.

    It need not be the same object: ``b.weight.data = a.weight.data`` ties as well, and so does
    ``decoder.weight = nn.Parameter(encoder.weight.t())``.
    """
    first: dict[tuple[object, ...], str] = {}
    found: dict[str, Tie] = {}
    for name, tensor in tensors.items():
        if not _has_memory(tensor):
            continue
        shape = sorted(_dimensions(tensor))
        mark = (tensor.get_device(), tensor.data_ptr(), tensor.dtype, *shape)
        before = first.setdefault(mark, name)
        if before != name:
            found[name] = Tie(before, _order(tensors[before], tensor))
    return found


def refuse_overlaps(tensors: Mapping[str, Tensor]) -> None:
    """Raise where tensors that are to move share memory in part: moving one would move the other.

    Views of one buffer that lie beside each other in it share nothing.

    Args:
        tensors: None of them tied to another.

    Raises:
        InputError: If two do.
    """
    spans = sorted(
        (tensor.get_device(), tensor.data_ptr(), _length(tensor), name)
        for name, tensor in tensors.items()
        if _has_memory(tensor)
    )
    for names in _clusters(spans):
        _refuse_if_they_overlap({name: tensors[name] for name in names})


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.numel() > 0 and tensor.data_ptr() != 0


def _dimensions(tensor: Tensor) -> list[tuple[int, int]]:
    """Return size and stride of each dimension; a single entry's stride says nothing."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return [(size, stride if size > 1 else 0) for size, stride in pairs]


def _order(first: Tensor, other: Tensor) -> tuple[int, ...]:
    """Return the dimension of the first that each dimension of the other is."""
    left = list(enumerate(_dimensions(first)))
    found = []
    for dimension in _dimensions(other):
        place = next(entry for entry in left if entry[1] == dimension)
        left.remove(place)
        found.append(place[0])
    return tuple(found)


def _length(tensor: Tensor) -> int:
    """Return how many bytes lie between a tensor's first and its last, both included."""
    steps = sum((size - 1) * stride for size, stride in _dimensions(tensor))
    return (steps + 1) * tensor.element_size()


def _clusters(spans: Sequence[tuple[int, int, int, str]]) -> Iterator[list[str]]:
    """Yield the names of tensors whose first and last bytes enclose some of each other's."""
    names: list[str] = []
    device, end = -1, 0
    for where, start, length, name in spans:
        if where != device or start >= end:
            if len(names) > 1:
                yield names
            names, device, end = [], where, 0
        names.append(name)
        end = max(end, start + length)
    if len(names) > 1:
        yield names


def _refuse_if_they_overlap(tensors: Mapping[str, Tensor]) -> None:
    """Mark every byte of each tensor, and refuse one that finds a mark.

    Raises:
        InputError: If one does.
    """
    start = min(tensor.data_ptr() for tensor in tensors.values())
    end = max(tensor.data_ptr() + _length(tensor) for tensor in tensors.values())
    marks = torch.zeros(end - start, dtype=torch.int16)  # by byte, the number of its tensor
    names = list(tensors)
    for number, (name, tensor) in enumerate(tensors.items(), start=1):
        size = tensor.element_size()
        strides = [stride * size for stride in tensor.stride()]
        own = marks.as_strided((*tensor.shape, size), (*strides, 1), tensor.data_ptr() - start)
        if other := int(own.max()):
            raise InputError(
                f"{names[other - 1]!r} and {name!r} share memory in part, so that moving one would "
                "move the other. Give one of them memory of its own, as nn.Parameter("
                "weight.detach().clone()); or make them one parameter, of which forward takes "
                "views."
            )
        own.fill_(number)
