"""What becomes of a process that others' code forks, and that comes back into ours."""

import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

log = logging.getLogger(__name__)


@contextmanager
def children_ended() -> Iterator[None]:
    """Run others' code; end at once whatever process comes out of it that did not go in.

    A child that is forked in there would evaluate, and write, everything a second time.  It ends
    with the code that it wanted to end with, else with 0, or 1 after an exception.  What it had in
    its buffers is not written: they hold what its parent had, too.
    """
    here, told = os.getpid(), _told()
    try:
        yield
    except BaseException as error:
        wanted = error.code if isinstance(error, SystemExit) else 1
        _end_elsewhere(here, told, wanted if isinstance(wanted, int) else 1)
        raise
    _end_elsewhere(here, told, 0)


@cache
def _told() -> mmap.mmap:
    """Return a byte that all children share with their parent: whether one of them spoke."""
    return mmap.mmap(-1, 1)


def _end_elsewhere(here: int, told: mmap.mmap, code: int) -> None:
    if os.getpid() == here:
        return
    if told[0] == 0:
        told[0] = 1
        log.warning(
            "Model or metrics forked a process (%d) that came back into the evaluation; it is "
            "ended there, as are others like it. A child has to end by itself, with os._exit().",
            os.getpid(),
        )
    os._exit(code)
