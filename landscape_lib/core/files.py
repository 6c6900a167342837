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
    except OSError as error:
        if error.errno and error.filename in {None, str(temporary)}:  # a full disk says no name
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # on a disk that takes nothing more, or whose folder is gone
            temporary.unlink()


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
