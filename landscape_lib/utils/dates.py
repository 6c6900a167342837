"""Dates of files that lie in the future, as of a clock that was ahead and was then set right."""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

TOLERATED_S = 1.0  # file systems round, and may cache


def end_tomorrow(folder: Path | str, now: float) -> int:
    """Date files of the future to now, and say how many there were.

    Snakemake lets no job end whose output is older than its input, so a date of the future would
    stop every run until then.  Content decides what runs again, so nothing is lost with the date.

    Args:
        folder: All results.
        now: The time by the clock of its file system, which is a file server's own.
    """
    ahead = [
        path
        for base, _, names in os.walk(folder)
        for path in (os.path.join(base, name) for name in names)
        if _date(path) > now + TOLERATED_S
    ]
    for path in ahead:
        try:
            os.utime(path, (now, now))
        except OSError as error:
            log.warning("%s: its date lies in the future, and stays: %s.", path, error.strerror)
    if ahead:
        log.warning(
            "%d files below %s had dates of the future, as of a clock that was set back; they are "
            "dated to now.",
            *(len(ahead), folder),
        )
    return len(ahead)


def _date(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0  # it has just gone
