"""What a device has room for, beside the model and what evaluating it needs."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from landscape_lib.core.memory import SHARE, available_memory

log = logging.getLogger(__name__)

_said: set[torch.device] = set()
_batch: dict[int, int] = {}  # by GPU, the bytes that a batch took of late, beside what was there


def needs(
    data: Sequence[Tensor], targets: Sequence[Tensor], types: Sequence[torch.dtype], axes: int
) -> Counter[torch.device]:
    """Return the bytes that an excursion would keep on each device beside the model itself."""
    found: Counter[torch.device] = Counter()
    for tensor in data:
        found[tensor.device] += tensor.numel() * tensor.element_size()
    for target, wanted in zip(targets, types, strict=True):
        copies = axes + (2 if target.dtype != wanted else 0)  # a base and a working copy
        found[target.device] += copies * target.numel() * wanted.itemsize
    return found


def fits(wanted: Mapping[torch.device, int]) -> bool:
    """Tell whether every device has the room, and log the first time that one has not."""
    room = {device: room_on(device) for device in wanted}
    short = [device for device, needed in wanted.items() if needed > room[device]]
    for device in short:
        _say_streamed(device, wanted[device] / 2**30, room[device] / 2**30)
    return not short


def room_on(device: torch.device) -> float:
    """Return the bytes that a device has left.

    Of a GPU beside what a batch takes; of the CPU half of what is available.
    """
    if device.type != "cuda":
        available = available_memory() if device.type == "cpu" else None
        return math.inf if available is None else SHARE * available
    held = torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - held
    return free - _batch.get(_number(device), 0)


@contextmanager
def watched(device: torch.device) -> Iterator[None]:
    """Take note of what is needed on a GPU meanwhile, and no longer: what a batch takes.

    What an earlier excursion had there, copies of weights and directions, is none of it.
    """
    if device.type != "cuda":
        yield
        return
    torch.cuda.reset_peak_memory_stats(device)
    held = torch.cuda.memory_allocated(device)
    yield
    _batch[_number(device)] = torch.cuda.max_memory_allocated(device) - held


def _number(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def _say_streamed(device: torch.device, needed: float, room: float) -> None:
    if device in _said:
        return
    _said.add(device)
    log.info(
        "%s has room for %.2f GiB beside the model and its batches; weights and directions need "
        "%.2f GiB. They stay in the CPU's memory and are streamed tensor by tensor.",
        device,
        room,
        needed,
    )
