"""How a run that died without cleaning up is told from one that is alive, here or elsewhere."""

import atexit
import datetime
import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from landscape_lib.utils.hosts import Process, up_s
from landscape_lib.utils.records import read_record, write_record
from landscape_lib.utils.sharing import Reach, Shared, looked_at

log = logging.getLogger(__name__)

BEAT_S = 20.0  # between two signs of life
SILENT_S = 300.0  # without one: a run may be dead; file systems show dates a minute late
NOBODY = Process("a host that is not known", "", "", "", 0, "")  # of a record that is not readable
CERTAIN = {Reach.DISK, Reach.ALL}
ROOM = 2**14  # bytes; locks and records of a few jobs take less


@dataclass(frozen=True)
class Run:
    """What a run says of itself in its record.

    Attributes:
        process: The main process.
        since: When it began, by its own clock.
        reach: Who sees the locks that it holds, as far as it knows.
        path: The record.
        silent_s: Seconds since its last sign of life, by the file system's clock.
    """

    process: Process
    since: str
    reach: Reach
    path: Path
    silent_s: float = 0.0

    def is_over(self, here: Process, reach: Reach) -> bool:
        """Tell whether it is certain that the run has ended, where nobody holds the lock here.

        Args:
            here: This process.
            reach: Who sees locks, as far as this host knows.
        """
        if here.same_kernel(self.process):  # whose lock would have been seen, or the process is
            return reach is not Reach.NONE or here.sees_end_of(self.process)
        if here.rebooted(self.process):  # unless it was seen since: another machine of that name
            return self.silent_s > up_s()
        return reach == self.reach and reach in CERTAIN

    def __str__(self) -> str:
        one = self.process
        told = f"on {one.host} (process {one.pid}, since {self.since})"
        return "".join(letter if letter.isprintable() else "?" for letter in told)


class RunLock:
    """The mark that a run is alive: a lock, and a record with a sign of life every few seconds.

    It is taken away by ``close``, and at the end of the process; the lock by the kernel, too.
    """

    def __init__(self, handle: IO[str], path: Path, reach: Reach) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")
        self._handle, self._path = handle, path
        self._told = {**asdict(Process.this()), "since": now, "reach": reach.value}
        self._over = threading.Event()
        self._say()
        self._heart = threading.Thread(target=self._beat, name="run lock", daemon=True)
        self._heart.start()
        atexit.register(self.close)

    def now(self) -> float:
        """Return the time by the file system's clock, which all hosts share."""
        try:
            os.utime(self._path)
            return self._path.stat().st_mtime
        except OSError:  # a full disk: no record could be written
            return time.time()

    def close(self) -> None:
        """End being marked as alive."""
        if self._over.is_set():
            return
        self._over.set()
        self._heart.join()
        _remove(self._path)
        self._handle.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                os.utime(self._path)
            except OSError:  # somebody took it away, or the server was restarted
                self._say()

    def _say(self) -> None:
        try:
            write_record(self._path, self._told)
        except OSError as error:
            log.debug("%s: no sign of life could be left: %s", self._path, error)


def drop_stale_lock(
    folder: Path = Path(".snakemake"),
    *,
    ours: bool = True,
    unlocking: bool = False,
    results: Path | None = None,
) -> RunLock:
    """Remove Snakemake's own lock where no run is alive, and mark this one as alive.

    Snakemake's lock is a list of file names without an owner: after ``kill -9`` or a power loss
    it stays, and every later run refuses to start.  The kernel drops an flock when its owner
    dies.  So every live run holds a shared one, and whoever can take it exclusively knows that
    no run is alive on any host that sees the lock.  Which hosts do is a matter of the file system,
    so every run also leaves a record: its host and process, and a sign of life.  A run on another
    host that may be alive is named, and its lock stays: then Snakemake refuses to start.

    Args:
        folder: Snakemake's own, below the working directory.
        ours: Whether all runs in this directory are this pipeline's.  Where it is a module of
            another workflow, a run without the module may be alive and hold no flock, so
            Snakemake's lock is left alone.
        unlocking: Whether the user has just said that no run is alive, with ``--unlock``.
        results: Where results lie; what is missing there is told, too.

    Returns:
        What marks this run: keep it for the life of the process.

    Raises:
        OSError: If the folder cannot be written, or its disk has no room for what Snakemake
            writes there; it names the file.
    """
    folder.mkdir(exist_ok=True)
    _refuse_a_full_disk(folder / "run.flock")
    shared = looked_at(folder)
    _tell(shared, folder, results)
    handle = (folder / "run.flock").open("a+")  # close-on-exec: jobs do not inherit it
    alone, reach = _taken(handle), shared.reach
    if alone is None:
        reach = Reach.NONE
    mine = RunLock(handle, folder / "runs" / f"{uuid.uuid4().hex}.json", reach)
    others = list(_others(mine, folder / "runs"))
    if unlocking:
        for run in others:
            _remove(run.path)
    elif alone is False:  # a live run: Snakemake's own lock decides
        _name_the_living([run for run in others if run.silent_s <= SILENT_S], folder)
    else:
        _drop(folder, reach, others, ours=ours)
    _share(handle)
    return mine


def _tell(shared: Shared, folder: Path, results: Path | None) -> None:
    told = [*shared.lacks]
    if results and results.is_dir() and results.stat().st_dev != folder.stat().st_dev:
        told += looked_at(results).lacks
    for one in told:
        log.warning("%s", one)


def _taken(handle: IO[str]) -> bool | None:
    """Take the lock exclusively; False where another has it, None where there are no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _share(handle: IO[str]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)  # others hold it exclusively for an instant only
    except OSError as error:
        log.debug("The run's lock could not be shared: %s.", error.strerror)


def _others(mine: RunLock, folder: Path) -> Iterator[Run]:
    now = mine.now()
    for path in sorted(folder.glob("*.json")):
        if path == mine._path:
            continue
        silent = 0.0
        try:
            with path.open("rb") as handle:  # opening makes a network file system look again
                silent = now - os.fstat(handle.fileno()).st_mtime
            told = read_record(path)
            since, reach = str(told.pop("since")), Reach(told.pop("reach"))
            yield Run(Process(**told), since, reach, path, silent)
        except FileNotFoundError:  # it has just ended
            continue
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("%s: cannot be read: %s", path, error)
            yield Run(NOBODY, "a time that is not known", Reach.DISK, path, silent)


def _drop(folder: Path, reach: Reach, others: list[Run], *, ours: bool) -> None:
    here = Process.this()
    over = [run for run in others if run.is_over(here, reach)]
    alive = [run for run in others if run not in over]
    locks = sorted((folder / "locks").glob("*.lock"))
    if not locks:  # who is silent and holds none is gone
        over += [run for run in alive if run.silent_s > SILENT_S]
    for run in over:
        _remove(run.path)
    if not locks or not ours:
        return
    if alive:
        _name_the_living(alive, folder)
    elif over or reach in CERTAIN:
        log.warning("The last run here died without cleaning up; removing its stale lock.")
        for path in locks:
            _remove(path)
    else:
        log.warning(
            "There is a lock of a run that left no record. If no run is alive in this folder, on "
            "any host, type the same command with --unlock added, and then the same command."
        )


def _name_the_living(runs: list[Run], folder: Path) -> None:
    if not any((folder / "locks").glob("*.lock")):
        return
    for run in runs:
        silent = _said(max(0.0, run.silent_s))
        if run.silent_s <= SILENT_S:
            log.warning(
                "A run is alive in this folder %s; its last sign of life was %s ago. Wait for it, "
                "or end it there. If that host is gone for good, type the same command with "
                "--unlock added, and then the same command.",
                *(run, silent),
            )
        else:
            log.warning(
                "A run in this folder %s has left its lock, and from here it cannot be told that "
                "it has ended; its last sign of life was %s ago. If it has, type the same command "
                "with --unlock added, and then the same command.",
                *(run, silent),
            )


def _said(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # such as ESTALE: it is no longer there
        log.debug("%s: cannot be removed: %s", path, error)


def _refuse_a_full_disk(path: Path) -> None:
    """Write a little, and take it back: of a full disk Snakemake itself gives only tracebacks.

    Raises:
        OSError: If it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)  # less the umask
    try:
        left = bytes(ROOM)
        while left:  # the system may take a part only
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
