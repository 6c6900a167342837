"""What pictures there are of a run's metrics, and what their files are called."""

import hashlib
import string
from collections.abc import Iterable

from landscape_lib.core.errors import InputError

PLAIN = frozenset((string.ascii_letters + string.digits + "._-").encode())
LONGEST = 200  # file systems allow 255 bytes; _2dcontourf.pdf and .<8 letters>.tmp come after it
HASH_LENGTH = 16
PERSISTENCE = "persistence"  # the kind of a picture: <key>_persistence
SPECTRUM = "spectrum"  # no metric's picture: those end in their kind
SEEDS = "seeds"  # the ending of pictures of several seeds
LOSS_AND_ACCURACY = "loss_and_accuracy"  # no metric's key: those begin with <split>_loss, _acc


def file_name(key: str) -> str:
    """Spell a metric key so that every file system, shell and workflow takes it for one name.

    Every UTF-8 byte outside ``[A-Za-z0-9._-]`` becomes ``%XX``, so no key reaches out of its
    folder.  A name that would be too long for a file system is cut, and ends in a hash of the
    whole key, so that two keys never share a name.

    Raises:
        InputError: If the key is empty, or no valid Unicode.
    """
    try:
        encoded = key.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The metric key {key!r} is no valid Unicode; rename the metric."
        ) from error
    if not encoded:
        raise InputError("A metric key is empty; name the metric.")
    letters = ["".join(map(_spell, letter.encode())) for letter in key]
    name = "".join(letters)
    if len(name) <= LONGEST:
        return name
    ending = "-" + hashlib.sha256(encoded).hexdigest()[:HASH_LENGTH]
    while sum(map(len, letters)) > LONGEST - len(ending):
        letters.pop()
    return "".join(letters) + ending


def rated_splits(keys: Iterable[str]) -> list[str]:
    """Return the data sets of which both ``<name>_loss`` and ``<name>_acc`` were measured."""
    known = list(keys)
    splits = [key.removesuffix("_loss") for key in known if key.endswith("_loss")]
    return [split for split in splits if f"{split}_acc" in known]


def _spell(byte: int) -> str:
    return chr(byte) if byte in PLAIN else f"%{byte:02X}"
