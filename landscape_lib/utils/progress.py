"""How far long work has come, and how long it will still take."""

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger(__name__)

LOG_EVERY_S = 10.0


class Progress:
    """Shows points done, samples a second and time left: a bar on a terminal, lines in the log.

    Args:
        what: What is being worked on, as ``digits shard 2 of 4``.
        total: Points to evaluate now.
        samples_per_point: Samples that one point costs.
        unit: What is counted in place of points.
    """

    def __init__(self, what: str, total: int, samples_per_point: int, unit: str = "point") -> None:
        self.what = what
        self._unit = unit
        self.total = total
        self.done = 0
        self._samples = samples_per_point
        self._start = self._said = time.monotonic()
        self._bar = tqdm(
            total=total,
            desc=what,
            unit=unit,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            leave=False,
        )

    def step(self) -> None:
        """Count one finished point."""
        self.done += 1
        self._bar.update()
        self._bar.set_postfix_str(f"{self._rate():,.0f} samples/s", refresh=False)
        now = time.monotonic()
        if now - self._said >= LOG_EVERY_S or self.done == self.total:
            self._said = now
            left = (now - self._start) / self.done * (self.total - self.done)
            log.info(
                "%s: %d of %d %ss, %s samples/s, %s left",
                self.what,
                self.done,
                self.total,
                self._unit,
                f"{self._rate():,.0f}",
                clock(left),
            )

    def close(self) -> None:
        """Take the bar from the terminal."""
        self._bar.close()

    def _rate(self) -> float:
        return self.done * self._samples / max(time.monotonic() - self._start, 1e-9)


def clock(seconds: float) -> str:
    """Return a duration as people read it: 0:07, 12:30, 1:05:00."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
