"""How a data set is read: the same samples whoever reads them, by as many processes as pay."""

import logging
import operator
import os
import shutil
import signal
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)

from landscape_lib.core.memory import available_memory
from landscape_lib.core.randomness import SEED, reseed
from landscape_lib.core.shelf import content

log = logging.getLogger(__name__)

WORTH_WORKERS_S = 5.0  # of reading that is left; to start workers takes some tenths of a second
MOST_WORKERS = 16
BATCHES_A_WORKER = 4  # that it makes, holds and waits with; they share a quarter of the memory
PATIENCE_S = 60.0  # and 20 times the slowest batch; a worker that needs longer hangs
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (asked how much is free; nothing is written)


class Reading:
    """The batches of a loader over a data set with indices, always in the same order.

    A loader that shuffles is read in the data set's order, and whole even with ``drop_last``; one
    with a sampler of its own as that says, asked once.  Random transforms draw from a seed that
    belongs to the sample's index.  So neither the number of processes nor the machine changes a
    bit: what takes long is read by worker processes, unless they read another thing.
    """

    def __init__(self, loader: DataLoader, name: str) -> None:
        self._loader, self._name = loader, name
        self._order = _order(loader)
        self._dataset = _Seeded(loader.dataset)
        self._first: Any = None  # batch, to hold against what workers make of it
        self._slowest = 0.0

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Any]:
        done = 0
        for read in (self._while_quick, self._by_workers, self._here):
            for batch in read(done) if done < len(self) else ():
                yield batch
                done += 1

    def _here(self, done: int) -> Iterator[Any]:
        return iter(self._part(self._order[done:]))

    def _while_quick(self, _: int) -> Iterator[Any]:
        """Read in this process, until what is left would take long and workers can be had."""
        if self._loader.num_workers:  # the user's own
            return
        total, begin = 0.0, time.monotonic()
        for number, batch in enumerate(self._here(0)):
            took = time.monotonic() - begin
            self._slowest = max(self._slowest, took)
            yield batch
            left = len(self) - number - 1
            if number == 0:
                self._first = batch  # it imports and opens what the others find there
            else:
                total += took
                if total / number * left > WORTH_WORKERS_S and self._workers(left) > 1:
                    return
            begin = time.monotonic()

    def _by_workers(self, done: int) -> Iterator[Any]:
        """Read in worker processes; stop where that fails, for whatever reason."""
        batches = self._from_workers(done)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except Exception as error:  # the user's own comes again, in this process
                self._go_on_here(f"a worker failed: {type(error).__name__}")
                log.debug("what the worker said:", exc_info=error)
                return
            yield batch

    def _from_workers(self, done: int) -> Iterator[Any]:
        left = self._order[done:]
        own = self._loader.num_workers
        if own:
            context = self._loader.multiprocessing_context
            yield from self._start(left, own, context, self._loader.timeout)
            return
        if sys.platform != "linux":
            self._go_on_here("this system has no safe way to start workers")
            return
        count = self._workers(len(left))
        log.info("reading the %s data: with %d worker processes", self._name, count)
        patience = PATIENCE_S + 20 * self._slowest
        batches = self._start([self._order[0], *left], count, "fork", patience)
        if not _same(next(batches), self._first):
            self._go_on_here("its samples depend on what was read before, or can't be compared")
            return
        yield from batches

    def _go_on_here(self, why: str) -> None:
        log.info("reading the %s data: on without workers (%s)", self._name, why)

    def _workers(self, left: int) -> int:
        """Return how many processes there are cores, batches and memory for."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        size = sum(t.nbytes for t in tree_flatten(self._first)[0] if isinstance(t, Tensor))
        rooms = [available_memory()]
        if SHARED_MEMORY.is_dir():
            rooms.append(shutil.disk_usage(SHARED_MEMORY).free)
        room = min((room for room in rooms if room is not None), default=sys.maxsize)
        return min(cores or 1, MOST_WORKERS, left, room // (4 * BATCHES_A_WORKER * max(1, size)))

    def _start(
        self, order: Sequence[Any], count: int, context: Any, patience: float
    ) -> Iterator[Any]:
        with warnings.catch_warnings():  # of more workers than cores, of threads beside a fork
            warnings.simplefilter("ignore")
            return iter(
                self._part(
                    order,
                    num_workers=count,
                    multiprocessing_context=context,
                    prefetch_factor=self._loader.prefetch_factor,
                    worker_init_fn=_Start(self._loader.worker_init_fn),
                    timeout=patience,
                )
            )

    def _part(self, order: Sequence[Any], **settings: Any) -> DataLoader:
        settings["collate_fn"] = self._loader.collate_fn
        if self._loader.batch_sampler is None:  # indices one by one, without batches
            return DataLoader(self._dataset, batch_size=None, sampler=order, **settings)
        lists: Any = (list(part) if isinstance(part, range) else part for part in order)
        return DataLoader(self._dataset, batch_sampler=lists, **settings)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread, as it does in worker processes: sums round alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Seeded(Dataset):
    """A data set whose random transforms draw what belongs to the index, whoever asks and when.

    To seed all three takes 6 µs a sample, a transform of a small image 40.  In everything else it
    is the user's own: a ``worker_init_fn`` finds and sets its attributes.
    """

    def __init__(self, dataset: Any) -> None:
        self.__dict__["_dataset"] = dataset

    def __getitem__(self, index: Any) -> Any:
        reseed(_seed(index))
        return self._dataset[index]

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        if _reads_lists(self._dataset):
            reseed(_seed(indices[0]))
            return self._dataset.__getitems__(indices)
        if type(self._dataset) is TensorDataset:  # draws nothing, though what follows may
            reseed(_seed(indices[0]))
            return [self._dataset[index] for index in indices]
        return [self[index] for index in indices]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_dataset"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._dataset, name, value)

    def __reduce__(self) -> Any:
        return _Seeded, (self._dataset,)


class _Start:
    """Makes a worker end when it is told to, whatever this process does with signals."""

    def __init__(self, own: Callable[[int], None] | None) -> None:
        self._own = own

    def __call__(self, number: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
        if self._own is not None:
            self._own(number)


def _order(loader: DataLoader) -> Sequence[Any]:
    """Return the indices of every batch; of every sample where there are no batches."""
    sampler, size = loader.sampler, loader.batch_size
    if size is None or not _each_once(sampler, loader.dataset):
        return list(sampler if loader.batch_sampler is None else loader.batch_sampler)
    count = len(loader.dataset)  # type: ignore[arg-type]
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _each_once(sampler: Any, dataset: Any) -> bool:
    """Tell whether a sampler is torch's own and comes by every sample once."""
    if isinstance(sampler, RandomSampler):
        return not sampler.replacement and sampler.num_samples == len(dataset)
    return isinstance(sampler, SequentialSampler)


def _reads_lists(dataset: Any) -> bool:
    """Tell whether a data set has a way of its own to read several samples in one go."""
    if type(dataset) is Subset:  # has one for the sake of what it is a part of
        return _reads_lists(dataset.dataset)
    return bool(getattr(dataset, "__getitems__", None))


def _seed(index: Any) -> int:
    """Spread the indices over all seeds of 32 bits, each its own."""
    try:
        number = operator.index(index)
    except TypeError:  # a name, a list
        number = zlib.crc32(repr(index).encode())
    return (SEED + 0x9E3779B1 * number) % 2**32


def _same(found: Any, wanted: Any) -> bool:
    """Tell whether two batches are the same to the last bit; in doubt they are not."""
    one, shape = tree_flatten(found)
    other, wanted_shape = tree_flatten(wanted)
    return shape == wanted_shape and all(map(_same_leaf, one, other))


def _same_leaf(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        plain = one.layout == other.layout == torch.strided
        alike = plain and one.shape == other.shape and one.dtype == other.dtype
        return alike and np.array_equal(content(one), content(other))
    if isinstance(one, np.ndarray):
        alike = one.shape == other.shape and one.dtype == other.dtype and not one.dtype.hasobject
        return alike and one.tobytes() == other.tobytes()
    return isinstance(one, str | bytes | int | float | None) and repr(one) == repr(other)
