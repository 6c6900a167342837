"""What a process notes of itself, so that the next one can say how the last was killed."""

import fcntl
import json
import logging
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from landscape_lib.core.memory import (
    available_memory,
    boot,
    ended_for_memory,
    memory_limit,
    peak_memory,
)
from landscape_lib.utils.locks import not_in_children

log = logging.getLogger(__name__)

EVERY_S = 1.0
NEAR = 0.8  # of the limit; memory that comes so near to it may have run out within a second
ENDING = ".alive"
HELPS = (
    "a smaller evaluation.batch_size, an evaluation.plan with fewer points_at_once, fewer jobs at "
    "once (--cores, --resources gpu=1), or more memory"
)
MACHINE = "proc/vmstat"  # counts what ended for lack of memory anywhere on the machine


@dataclass(frozen=True)
class Beat:
    """What is known of a process at one moment.

    Attributes:
        what: What it is at work on.
        host: Its machine.
        boot: Names the machine's last start; empty where the system doesn't say.
        pid: Its process id.
        at: The moment, UTC.
        peak: The most bytes of memory that it had at once.
        left: Bytes that could still be taken; None where the system doesn't say.
        limit: Bytes of the machine or of the smallest memory group; None likewise.
        ended: How many processes the kernel had ended for lack of memory when this one began, by
            the file that counts them.
    """

    what: str
    host: str
    boot: str
    pid: int
    at: str
    peak: int
    left: int | None
    limit: int | None
    ended: dict[str, int]

    @property
    def near(self) -> bool:
        """Whether memory was so near its limit that it may have run out since."""
        if self.limit is None:
            return False
        used = 0 if self.left is None else self.limit - self.left
        return max(self.peak, used) >= NEAR * self.limit


@contextmanager
def heartbeat(path: Path, what: str) -> Iterator[None]:
    """Note every second that this process lives and what memory it takes, until the block ends.

    A file that is there was left by a process that could not end its own block: ``kill -9``, the
    kernel where memory ran out, a power loss.  Then it is first said what is known of that.
    Nothing else depends on it: where it can't be written, or another process holds it, there is
    none.

    Args:
        path: The file; it is gone after the block.
        what: What the work is called in messages.
    """
    handle = _take(path)
    if handle is None:
        yield
        return
    descriptor = handle.fileno()
    over = threading.Event()
    began = ended_for_memory()

    def beats() -> None:
        while not over.wait(EVERY_S):
            _write(descriptor, _now(what, began))

    thread = threading.Thread(target=beats, name="heartbeat", daemon=True)
    try:
        tell(_parse(os.pread(descriptor, 65536, 0)))
        _write(descriptor, _now(what, began))
        thread.start()
        with not_in_children(handle):
            yield
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()
        with suppress(OSError):
            path.unlink()
        handle.close()


def tell_of_killed(folder: Path) -> None:
    """Say what is known of every process that was killed at work in a folder; nothing changes."""
    for path in sorted(folder.glob(f"*{ENDING}")):
        with suppress(OSError), path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # else it is at work
            tell(_parse(handle.read()))


def tell(beat: Beat | None) -> None:
    """Say what is known of a process that left this beat as its last, and what is a guess."""
    if beat is None:
        return
    here = beat.host == platform.node()
    if here and beat.boot != boot():
        log.info(
            "%s: the last process at it, heard until %s, ended with its machine, which was started "
            "anew since. What it finished is kept.",
            beat.what,
            beat.at,
        )
        return
    more = _ended_since(beat) if here else {}
    said = _memory(beat)
    in_group = {file: count for file, count in more.items() if not file.endswith(MACHINE)}
    if in_group:
        log.warning(
            "%s Memory ran out: since it began, the kernel ended %s of its memory group for lack "
            "of memory (%s). What helps: %s.",
            *(said, _processes(in_group), ", ".join(in_group), HELPS),
        )
    elif more:
        log.warning(
            "%s Since it began, the kernel ended %s on this machine for lack of memory; this may "
            "be one. If so, what helps: %s.",
            *(said, _processes(more), HELPS),
        )
    elif beat.near:
        log.warning(
            "%s That is near the limit. Whether memory ran out is not known: the kernel %s. If it "
            "did, what helps: %s.",
            said,
            "tells of no process that it ended" if here else f"of {beat.host} can't be asked",
            HELPS,
        )
    else:
        log.info(
            "%s: the last process at it, heard until %s, was killed (kill -9, a scheduler); memory "
            "was far from its limit. What it finished is kept.",
            beat.what,
            beat.at,
        )


def _memory(beat: Beat) -> str:
    limit = "" if beat.limit is None else f" of {_mib(beat.limit)}"
    left = "" if beat.left is None else f"; {_mib(beat.left)}{limit} were left"
    return (
        f"{beat.what}: the last process at it ({beat.host}, process {beat.pid}) was killed by the "
        f"kernel or kill -9. It was last heard at {beat.at}, when it had had up to "
        f"{_mib(beat.peak)} of memory{left}. What it finished is kept."
    )


def _processes(counted: dict[str, int]) -> str:
    count = sum(counted.values())
    return f"{count} process{'' if count == 1 else 'es'}"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _ended_since(beat: Beat) -> dict[str, int]:
    """Return by how many the counters have risen that are still there."""
    now = ended_for_memory(files=list(beat.ended))
    return {file: now[file] - n for file, n in beat.ended.items() if now.get(file, 0) > n}


def _now(what: str, ended: dict[str, int]) -> Beat:
    return Beat(
        what,
        platform.node(),
        boot(),
        os.getpid(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        peak_memory(),
        available_memory(),
        memory_limit(),
        ended,
    )


def _take(path: Path) -> IO[bytes] | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # less the umask
    except OSError:
        return None
    handle = os.fdopen(descriptor, "r+b", buffering=0)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process is at it, or there are no locks
        handle.close()
        return None
    return handle


def _write(descriptor: int, beat: Beat) -> None:
    content = f"{json.dumps(asdict(beat))}\n".encode()
    with suppress(OSError):  # a full disk keeps nobody from working
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))


def _parse(content: bytes) -> Beat | None:
    """Return the beat that was written; None where there is none, or it is damaged."""
    try:
        beat = Beat(**json.loads(content.partition(b"\n")[0]))
        numbers = [beat.pid, beat.peak, *beat.ended.values()]
        known = [number for number in (beat.left, beat.limit) if number is not None]
    except (ValueError, TypeError, AttributeError):
        return None
    return beat if all(isinstance(number, int) for number in [*numbers, *known]) else None
