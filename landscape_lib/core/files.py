"""How a file is written: whole, or not at all."""

import contextlib
import errno
import fcntl
import glob
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from landscape_lib.core.errors import DamagedFileError, DisagreementError, InputError

Found = TypeVar("Found")

_OWN = (InputError, DisagreementError, DamagedFileError)
# Of a network file system: the server did it, but its answer was lost, and asked again it says so.
_LOST = {errno.ENOENT, errno.ESTALE}
# Of file systems that write the names of a folder by themselves.
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES}


@contextmanager
def whole_file(path: Path | str, *, first: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; what is there at the end becomes ``path``.

    The content is on the disk before the name is: flush, fsync, rename, fsync of the folder.
    After an error the old file is as it was, and the temporary one is gone.  A writer that was
    killed could not remove its own: the next writer of the same file does.

    Args:
        path: The file.
        first: Whether a file that another process has made meanwhile stays, where there are hard
            links: of files whose name says their content, and which others may have mapped.

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
            status = os.fstat(handle.fileno())
        if not (first and _is_linked(temporary, path)):
            _rename(temporary, path, status)
        sync_folder(path.parent)
    except Exception as error:
        refusal = _of_the_system(error)
        if refusal is None:
            raise
        if refusal.filename in {None, str(temporary)}:  # a full disk does not say where
            refusal.filename, refusal.filename2 = str(path), None
        if refusal is error:
            raise
        raise refusal from None
    finally:
        with contextlib.suppress(OSError):  # a stale one is gone, too
            temporary.unlink(missing_ok=True)
        os.close(lock)


def _of_the_system(error: BaseException | None) -> OSError | None:
    """Return why the system did not write, also where a library made something else of it.

    Matplotlib ends a PDF that breaks off with an error of zlib, torch a file with one of its own.
    What this library itself says of an error stays what it is.
    """
    while error is not None and not isinstance(error, _OWN):
        if isinstance(error, OSError) and error.errno:
            return error
        error = error.__cause__ or error.__context__
    return None


def _is_linked(temporary: Path, path: Path) -> bool:
    """Give a file its name unless that is taken; tell whether this could be done."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return True
    except OSError:  # a file system without hard links
        return False
    return True


def _rename(temporary: Path, path: Path, status: os.stat_result) -> None:
    """Rename; that it was done already, and only the answer was lost, is no error.

    Raises:
        OSError: If it was not done.
    """
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _LOST or temporary.exists() or not path.exists():
            raise
        if not os.path.samestat(path.stat(), status):
            raise


def _beginning(path: Path) -> str:
    """Return how names of temporary files begin here: another host may not see our locks."""
    return f".{path.name}.{uuid.uuid5(uuid.NAMESPACE_DNS, os.uname().nodename).hex[:8]}"


def _claimed(path: Path) -> tuple[Path, int]:
    """Return a new temporary file, and a descriptor that is locked for as long as it is open."""
    while True:
        temporary = path.with_name(f"{_beginning(path)}{uuid.uuid4().hex[:8]}.tmp")
        lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
        with contextlib.suppress(OSError):  # no locks here: nobody removes what is not theirs
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return temporary, lock
        # another writer saw it before it was locked, took it for a dead one's, and removed it
        os.close(lock)


def _remove_what_the_dead_left(path: Path) -> None:
    """Remove temporary files whose writers live no more: the kernel has dropped their locks."""
    for left in path.parent.glob(f"{glob.escape(_beginning(path))}{'[0-9a-f]' * 8}.tmp"):
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
    """Make the names in a folder survive a power loss, where the file system can be asked to.

    Raises:
        OSError: If it can, and fails.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def unstale(read: Callable[[], Found]) -> Found:
    """Read; once more where another host replaced the file meanwhile (ESTALE).

    Raises:
        OSError: If it cannot be read.
    """
    try:
        return read()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return read()


def read_json(path: Path | str) -> Any:
    """Read a JSON file; what cannot be read is a ``ValueError``.

    Raises:
        OSError: If there is no such file.
        ValueError: As ``understood_json``; or if it is not UTF-8.
    """
    return understood_json(unstale(lambda: Path(path).read_text(encoding="utf-8")))


def understood_json(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: If it is not JSON, or nested so deeply that nobody can have meant it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
