"""What the file of a metric's picture is called."""

import string
from urllib.parse import unquote

from landscape_lib.core.errors import InputError

PLAIN = frozenset((string.ascii_letters + string.digits + "._-").encode())
LONGEST = 220  # file systems allow 255 bytes; _2dcontourf.pdf and .<8 letters>.tmp come after it


def file_name(key: str) -> str:
    """Spell a metric key so that every file system, shell and workflow takes it for one name.

    Every UTF-8 byte outside ``[A-Za-z0-9._-]`` becomes ``%XX``.  So no key reaches out of its
    folder, and ``key_of`` finds the key again.

    Raises:
        InputError: If the key is empty, no valid Unicode, or its spelling is too long.
    """
    try:
        name = "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in key.encode())
    except UnicodeEncodeError as error:
        raise InputError(
            f"The metric key {key!r} is no valid Unicode; rename the metric."
        ) from error
    if not 1 <= len(name) <= LONGEST:
        raise InputError(
            f"The metric key {key!r} makes a file name of {len(name)} characters; "
            f"choose a metric name that makes 1 to {LONGEST}."
        )
    return name


def key_of(name: str) -> str:
    """Read the metric key back from the name that ``file_name`` gave it.

    Raises:
        InputError: If ``file_name`` never gives such a name.
    """
    key = unquote(name, errors="replace")
    if not key or file_name(key) != name:
        raise InputError(
            f"{name!r} is no file name of a metric key; wanted one that file_name() makes, "
            "with everything outside [A-Za-z0-9._-] spelled %XX."
        )
    return key
