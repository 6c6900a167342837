"""How a file is written: whole, or not at all."""

import contextlib
import fcntl
import glob
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; what is there at the end becomes ``path``.

    The content is on the disk before the name is: flush, fsync, rename, fsync of the folder.
    After an error the old file is as it was, and the temporary one is gone.  A writer that was
    killed could not remove its own: the next writer of the same file does.

    Raises:
        OSError: If the disk is full, or the file cannot be written; it names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_what_the_dead_left(path)
    temporary, lock = _claimed(path)
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno and not error.filename:  # a full disk does not say where
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(lock)


def _claimed(path: Path) -> tuple[Path, int]:
    """Return a new temporary file, and a descriptor that is locked for as long as it is open."""
    while True:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
        with contextlib.suppress(OSError):  # no locks here: nobody removes what is not theirs
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return temporary, lock
        # another writer saw it before it was locked, took it for a dead one's, and removed it
        os.close(lock)


def _remove_what_the_dead_left(path: Path) -> None:
    """Remove temporary files whose writers live no more: the kernel has dropped their locks."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.tmp"):
        try:
            lock = os.open(left, os.O_RDWR)
        except OSError:
            continue  # its writer has just ended, or is another user
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink(missing_ok=True)
        except OSError:
            continue  # its writer lives, or there are no locks here
        finally:
            os.close(lock)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
