"""Does the memory of this process grow from point to point, and will it be enough?"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from landscape_lib.core.memory import available_memory

log = logging.getLogger(__name__)

EVERY_S = 1.0  # between two looks
WARM_UP = 8  # points, and looks, in which memory may grow for good: caches, allocators, imports
LOOKS = 4  # in a row at which it must have grown
LEAST = 2**25  # bytes that it must have grown by since it was warm


def resident_memory(statm: Path = Path("/proc/self/statm")) -> int | None:
    """Return the bytes that this process has for itself; None where the system doesn't say.

    Pages of files, as of samples that are mapped, are none of them: the kernel gives them up.

    Source:
        Linux, Documentation/filesystems/proc.rst (statm).
    """
    try:
        _, resident, shared, *_ = statm.read_text(encoding="ascii").split()
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


class Growth:
    """Says once that memory grows from point to point so that the points left will not fit.

    Looked at every second at most.  Growth counts from when eight points are done and eight looks
    were taken, must go on at four looks in a row, come to 32 MiB, and, at the mean rate a point
    since then, exceed what is available before all points are done.

    Args:
        what: What to call the work in the log.
        who: What to call the metrics.
        total: Points to be evaluated.
        resident: Returns the memory of this process.
        available: Returns the memory that it may still take.
        clock: Returns seconds.
    """

    def __init__(
        self,
        what: str,
        who: str,
        total: int,
        resident: Callable[[], int | None] = resident_memory,
        available: Callable[[], int | None] = available_memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._who, self._total = what, who, total
        self._resident, self._available, self._clock = resident, available, clock
        self._done = self._looks = self._grown = 0
        self._last, self._next = 0, -float("inf")
        self._warm: tuple[int, int] | None = None  # points done, bytes
        self._said = False

    def step(self, points: int = 1) -> None:
        """Count finished points, and look where it is time to."""
        self._done += points
        now = self._clock()
        if self._said or now < self._next:
            return
        self._next = now + EVERY_S
        here = self._resident()
        if here is not None:
            self._look(here)

    def _look(self, here: int) -> None:
        self._looks += 1
        self._grown = self._grown + 1 if here > self._last else 0
        self._last = here
        if self._warm is None:
            if self._done >= WARM_UP and self._looks >= WARM_UP:
                self._warm = self._done, here
            return
        points, more = self._done - self._warm[0], here - self._warm[1]
        if points < 1 or more < LEAST or self._grown < LOOKS:
            return
        rate, left = more / points, self._total - self._done
        room = self._available()
        if room is not None and rate * left > room:
            self._say(rate, left, int(room / rate))

    def _say(self, rate: float, left: int, enough: int) -> None:
        self._said = True
        log.warning(
            "%s: memory grows by %.3g MB a point, and is enough for about %s of the %s points "
            "that are left. %s keeps something from point to point: a list of tensors with their "
            "graphs, a cache, a figure. Keep numbers (loss.item()), or detached copies.",
            *(self._what, rate / 1e6, f"{enough:,}", f"{left:,}", self._who),
        )
