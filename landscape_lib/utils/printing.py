"""How much others' code may print before it is kept from filling disks and logs."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

MOST = 2**20  # letters that metrics may print while a shard is evaluated, on each stream


class Capped:
    """Stands for a stream; lets so many letters through, and counts the others."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._left = stream, most
        self.dropped = 0

    def write(self, text: str) -> int:
        """Write a text, or the rest of what may be written; return the text's length."""
        if len(text) <= self._left:
            self._left -= len(text)
            self._stream.write(text)
            return len(text)
        if self._left:
            self._stream.write(text[: self._left])
        self.dropped += len(text) - self._left
        self._left = 0
        return len(text)

    def lift(self) -> None:
        """Let everything through from now on: who keeps this stream is no metric any more."""
        self._left = sys.maxsize

    def writelines(self, lines: Any) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def capped_output(what: str, most: int = MOST) -> Iterator[None]:
    """Let others' code print so much and no more; say at the end how much was dropped.

    What C code writes past Python is not seen.  A stream that somebody keeps, as the handler of a
    logger does, lets everything through afterwards.
    """
    before = sys.stdout, sys.stderr
    out, err = (None if stream is None else Capped(stream, most) for stream in before)
    mine = [stream for stream in (out, err) if stream is not None]
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in mine:
            stream.lift()
        dropped = sum(stream.dropped for stream in mine)
        if dropped:
            log.warning(
                "%s: model or metrics printed %s letters more than the %s that are let through; "
                "these were dropped.",
                *(what, f"{dropped:,}", f"{most:,}"),
            )
