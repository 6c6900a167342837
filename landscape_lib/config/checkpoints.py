"""Which files a name of checkpoints means, in the order of training, and how they are called."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from landscape_lib.core.errors import InputError


def files_of(named: Sequence[str]) -> tuple[str, ...]:
    """Return the files that paths and patterns mean: patterns with ``*``, ``?``, ``[``.

    A pattern's files are in the order of the numbers in their names: ``epoch_2`` before
    ``epoch_10``.  A path that exists is itself, whatever characters it has.

    Raises:
        InputError: If a pattern fits no file, or the same file comes twice.
    """
    found = [path for name in named for path in _files(name)]
    twice = sorted({path for path in found if found.count(path) > 1})
    if twice:
        raise InputError(f"{twice[0]}: this checkpoint is named twice; name each once.")
    return tuple(found)


def _files(name: str) -> list[str]:
    if not is_pattern(name):
        return [name]
    found = sorted(glob.glob(name, recursive=True), key=_by_numbers)
    if not found:
        raise InputError(f"{name}: no file fits this pattern (looked in {Path.cwd()}).")
    return found


def is_pattern(name: str) -> bool:
    """Tell whether a name stands for the files that fit it."""
    return glob.has_magic(name) and not Path(name).exists()


def _by_numbers(path: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", path)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def moment_of(checkpoint: str) -> str:
    """Return what pictures call a moment of a training: its checkpoint's file, without ending."""
    stem = Path(checkpoint).stem
    return f"checkpoint {int(stem)}" if stem.isdecimal() else stem
