"""Batches replayed as CUDA graphs: hundreds of kernels started by one call.

What a function does for the first batch of a shape is recorded once.  Every later batch of that
shape, at every point, is copied to where the first one lay, and the record is replayed: the same
kernels on the same addresses, hence the same bits, without Python in between.  Weights are read
where they lay, so they must be rewritten in place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from landscape_lib.core.errors import InputError

WARM_UPS = 2  # libraries are loaded, and choose how they compute, before anything is recorded


class UnrecordableError(Exception):
    """What cannot be recorded, with the reason."""


class Recorder(Protocol):
    """Records work on a device."""

    def record(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Return what does the work again, and its results, which that writes into."""


class CudaRecorder:
    """Records what a GPU is given to do.

    It is warmed up on the stream on which it is then captured: libraries keep handles and work
    space by stream.  The last warm-up refuses to wait for the GPU, so that what cannot be captured
    is met before a capture has begun.  All graphs share one pool of memory, which is right because
    results are copied out before the next one is replayed.  They also share what a library keeps
    for this stream, which the end of one may take from the others: they must end together.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()
        self._pool: Any = None

    def record(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Capture the work as a CUDA graph; return its ``replay``, and its results."""
        with torch.cuda.device(self._device):
            self._warm_up(work)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=self._stream,
                capture_error_mode="thread_local",  # what other threads do is none of its business
            ):
                results = work()
            self._pool = graph.pool()
        return graph.replay, results

    def _warm_up(self, work: Callable[[], Any]) -> None:
        here = torch.cuda.current_stream()
        self._stream.wait_stream(here)
        mode = torch.cuda.get_sync_debug_mode()
        with torch.cuda.stream(self._stream):
            try:
                for strict in [False] * WARM_UPS + [True]:
                    torch.cuda.set_sync_debug_mode("error" if strict else mode)
                    work()
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        here.wait_stream(self._stream)


RECORDERS: dict[str, Callable[[torch.device], Recorder]] = {"cuda": CudaRecorder}


@dataclass(frozen=True)
class _Recording:
    given: list[Tensor]
    replay: Callable[[], None]
    results: Any


class Replays:
    """Does work on batches by replaying what was recorded for the first batch of each shape.

    Memory: a copy of one batch of each shape, and what the work takes.

    Args:
        device: Where the batches and the weights are.

    Raises:
        InputError: If nothing can be recorded there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._recorder = recorder_for(device)
        self._recordings: dict[Any, _Recording] = {}
        self._weights: tuple[int, ...] = ()

    def reading(self, weights: tuple[int, ...]) -> None:
        """Say where the weights lie now; what was recorded of others is forgotten."""
        if weights != self._weights:
            if self._recordings:
                self._recordings.clear()
                self._recorder = recorder_for(self._device)  # whose graphs have all ended
            self._weights = weights

    def __call__(self, name: str, given: Any, work: Callable[[Any], Any]) -> Any:
        """Return ``work(given)``: tensors of one's own in the same nest.

        Args:
            name: Of the work; by it and by what is given the recording is known.
            given: A nest whose tensors may differ from call to call, and nothing else.
            work: From the nest to a nest of tensors and of what shapes decide.

        Raises:
            UnrecordableError: If the work waits for the device, or does what cannot be replayed.
        """
        leaves, shape = tree_flatten(given)
        key = (name, str(shape), tuple(map(_kind, leaves)))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if key not in self._recordings:
            self._recordings[key] = self._recorded(leaves, shape, work)
        found = self._recordings[key]
        for mine, tensor in zip(found.given, tensors, strict=True):
            mine.copy_(tensor, non_blocking=True)
        found.replay()
        return tree_map(_own, found.results)

    def _recorded(self, leaves: list[Any], shape: Any, work: Callable[[Any], Any]) -> _Recording:
        mine = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        given = tree_unflatten(mine, shape)
        try:
            replay, results = self._recorder.record(lambda: work(given))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever others' code does that cannot be captured
            said = str(error).partition("\n")[0]
            raise UnrecordableError(f"{type(error).__name__}: {said}") from error
        return _Recording([leaf for leaf in mine if isinstance(leaf, Tensor)], replay, results)


def recorder_for(device: torch.device) -> Recorder:
    """Return what records on a device.

    Raises:
        InputError: If nothing does.
    """
    if device.type not in RECORDERS:
        raise InputError(
            f"The plan replays CUDA graphs, which need an NVIDIA GPU, and is for {str(device)!r}. "
            "Set graph: false in evaluation.plan."
        )
    return RECORDERS[device.type](device)


def _kind(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.shape, leaf.stride(), leaf.dtype, leaf.device
    return repr(leaf)


def _own(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf
