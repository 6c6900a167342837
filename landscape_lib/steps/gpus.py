"""Which GPU a process works on, where there are several."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from landscape_lib.utils.claims import claimed

log = logging.getLogger(__name__)


@contextmanager
def own_gpu(device: str, pause: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let ``cuda`` mean a GPU that no other process of the pipeline has, until the end.

    Among the GPUs that this process sees: ``CUDA_VISIBLE_DEVICES``, parts of a GPU (MIG) and what a
    scheduler assigned are respected, as torch shows no others.  The CPU and a GPU that is named
    by its number are left as they are.

    Args:
        device: As in a plan: ``cpu``, ``cuda`` or ``cuda:N``.
        pause: Called while it waits; may raise to give up.
    """
    if device != "cuda" or torch.cuda.device_count() < 2:
        yield
        return
    with claimed(names_of_gpus(), pause) as number:
        torch.cuda.set_device(number)
        log.info("GPU %d of %d", number, torch.cuda.device_count())
        yield


def names_of_gpus() -> list[str]:
    """Return what each GPU that this process sees is called by all processes: its UUID."""
    return [
        str(torch.cuda.get_device_properties(number).uuid)
        for number in range(torch.cuda.device_count())
    ]
