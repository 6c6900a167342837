"""Which points a process was evaluating when it died, for the next one to know."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

Point = tuple[float, ...]


@dataclass(frozen=True)
class Crash:
    """What a process left that ended without a word, or was ended where it never came back.

    Attributes:
        points: Those that it was evaluating, one or one group of the plan.
        seconds: That a point might take, where there was a limit.
        trace: Where it was, as ``faulthandler`` has it, where it took longer than that.
    """

    points: tuple[Point, ...]
    seconds: float | None
    trace: str


class Flight:
    """A file that names the points in flight as long as a process evaluates; else there is none.

    Whoever holds the lock of the shard may read it: then no living process writes it.  One write
    of a few dozen bytes a group of points, which the kernel keeps whatever becomes of the process.

    Args:
        path: The file.
    """

    def __init__(self, path: Path, seconds: float | None = None) -> None:
        self._path, self._seconds = path, seconds
        self.trace = path.with_suffix(".trace")
        self._descriptor: int | None = None
        self._length = 0

    def crash(self) -> Crash | None:
        """Return what an earlier process left; None where it ended as it should."""
        try:
            told = json.loads(self._path.read_text(encoding="ascii"))
            points = tuple(tuple(map(float, point)) for point in told["points"])
            seconds = None if told["seconds"] is None else float(told["seconds"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        try:
            trace = self.trace.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            trace = ""
        return Crash(points, seconds, trace)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._forget()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)  # less the umask
        return self

    def __exit__(self, *_: object) -> None:
        self.land()

    def take_off(self, points: Sequence[Point]) -> None:
        """Name the points that are evaluated from now on."""
        if self._descriptor is None:
            return
        told = json.dumps({"points": points, "seconds": self._seconds}).encode()
        os.pwrite(self._descriptor, told.ljust(self._length), 0)
        self._length = max(self._length, len(told))

    def land(self) -> None:
        """Leave no file: this process knows what became of its points."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
            self._forget()

    def _forget(self) -> None:
        self._path.unlink(missing_ok=True)
        self.trace.unlink(missing_ok=True)
