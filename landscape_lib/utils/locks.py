"""How two processes that want the same shard take turns, and two threads that compute."""

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

log = logging.getLogger(__name__)

_held: set[IO[Any]] = set()
_computing = threading.RLock()


@contextmanager
def not_in_children(handle: IO[Any]) -> Iterator[None]:
    """Keep a lock from living on in children that others' code forks: they let go of it."""
    _held.add(handle)
    try:
        yield
    finally:
        _held.discard(handle)


def _let_go() -> None:
    global _computing  # noqa: PLW0603  (whoever holds it may be no thread of the child)
    _computing = threading.RLock()
    for handle in _held:
        handle.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def turn(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock; wait, and say so, while another living process holds it.

    The kernel drops the lock when its holder dies, however it dies.  Where the file system has
    no locks, the work goes on without one, with a warning.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle, not_in_children(handle):
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("Another process is still at work on %s; waiting for it.", what)
                fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("No file locks here (%s); do not start %s twice.", error.strerror, what)
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Compute while no other thread of this process does; wait for it, and say so.

    What is lent meanwhile belongs to the whole process: random states, output streams, settings
    of torch.
    """
    lock = _computing
    if not lock.acquire(blocking=False):
        log.warning("Another thread of this process is still computing; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
