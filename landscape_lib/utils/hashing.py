"""What a file or a value is, in 64 hexadecimal digits."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import read_json, unstale, write_text

SILLY = re.compile(r"\.nfs[0-9a-fA-F]{8,}")
CACHE = Path(".snakemake") / "landscape-hashes.json"


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def hash_text(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def points_fingerprint(problem: str, directions: str, plan: str) -> str:
    """Return the fingerprint of points: the problem's, the directions', the plan's."""
    return hash_text(canonical([problem, directions, plan]))


def hash_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        InputError: If it cannot be read.
    """

    def digest() -> str:
        with Path(path).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    try:
        return unstale(digest)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from error


class HashCache:
    """Remembers the hash of a file for as long as inode, size, mtime and ctime stay.

    A folder's hash is that of its files' names and hashes; what NFS leaves for a while of a file
    that was removed while it was open (``.nfs...``) is none of them.  The cache lives in
    ``.snakemake``; a missing, damaged or read-only one costs time, nothing else.
    """

    def __init__(self, path: Path = CACHE) -> None:
        self.path = path
        self._changed = False
        try:
            self._known: dict[str, Any] = read_json(path)
            if not isinstance(self._known, dict):
                self._known = {}
        except (OSError, ValueError):
            self._known = {}

    def hash(self, path: Path | str) -> str:
        """Return the hash of a file or a folder.

        Raises:
            InputError: If it cannot be read.
        """
        path = Path(path)
        if path.is_dir():
            inside = sorted(
                Path(folder) / name
                for folder, _, names in os.walk(path, followlinks=True)
                for name in names
                if not SILLY.fullmatch(name)
            )
            parts = [[p.relative_to(path).as_posix(), self.hash(p)] for p in inside]
            return hash_text(canonical(parts))
        name = os.path.abspath(path)
        try:
            status = unstale(lambda: os.stat(name))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}.") from error
        stamp = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        known = self._known.get(name)
        if not (isinstance(known, dict) and known.get("stamp") == stamp):
            known = {"stamp": stamp, "hash": hash_file(path)}
            self._known[name] = known
            self._changed = True
        return str(known["hash"])

    def save(self) -> None:
        """Keep what was learnt for the next start."""
        if self._changed:
            try:
                write_text(self.path, json.dumps(self._known))
            except OSError:
                return
            self._changed = False
