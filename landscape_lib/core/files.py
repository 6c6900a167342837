"""How a file is written: whole, or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; what is there at the end becomes ``path``.

    The content is on the disk before the name is: flush, fsync, rename, fsync of the folder.
    After an error the old file is as it was, and the temporary one is gone.

    Raises:
        OSError: If the disk is full, or the file cannot be written; it names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
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
        with suppress(OSError):  # on a disk that takes nothing more, or whose folder is gone
            temporary.unlink()


def _of_the_system(error: BaseException | None) -> OSError | None:
    """Return why the system did not write, also where a library made something else of it.

    Matplotlib ends a PDF that breaks off with an error of zlib, torch a file with one of its own.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error
        error = error.__cause__ or error.__context__
    return None


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
