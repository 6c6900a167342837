"""Where every finished point is written down, so that nothing computed is lost."""

import hashlib
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from landscape_lib.core.files import sync_folder

log = logging.getLogger(__name__)

SYNC_EVERY_S = 1.0
LINES = re.compile(rb'\n|(?={"sum":")')  # also where the end of the line before was damaged
Point = tuple[float, ...]
Values = dict[str, float]


def encode(point: Point, values: Values, plan: str) -> bytes:
    """Return one journal line: coordinates, values, plan, and a checksum over them."""
    body = json.dumps({"at": list(point), "values": values, "plan": plan}, separators=(",", ":"))
    return f'{{"sum":"{_checksum(body)}","point":{body}}}\n'.encode()


def decode(line: bytes) -> tuple[Point, Values, str] | None:
    """Return what a journal line says, or None where it is torn or damaged."""
    try:
        text = line.decode("ascii")
        body = text[len('{"sum":"') + 16 + len('","point":') : -1]
        if text != f'{{"sum":"{_checksum(body)}","point":{body}}}':
            return None
        point = json.loads(body)
        values = {str(key): float(value) for key, value in point["values"].items()}
        return tuple(float(step) for step in point["at"]), values, str(point["plan"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(descriptor: int, content: bytes) -> None:
    while content:  # the system may take a part only
        content = content[os.write(descriptor, content) :]


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode("ascii", "replace")).hexdigest()[:16]


class Journal:
    """All points of one fingerprint: those read at the start, and those appended since.

    Every writer has a file of its own, named by a uuid, so that nobody ever appends to a line
    that another left torn.  Lines are written unbuffered, and fsynced within a second.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.plans: dict[Point, str] = {}
        self._descriptor: int | None = None
        self._path = self.folder / f"{uuid.uuid4().hex}.jsonl"
        self._unsynced = False
        self._closing = threading.Event()
        self._syncer: threading.Thread | None = None

    def read(self) -> dict[Point, Values]:
        """Read every line of every writer; the first of equal points counts.

        A damaged line is dropped, and only that; how many were is logged.
        """
        known: dict[Point, Values] = {}
        dropped: dict[str, int] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in LINES.split(path.read_bytes()):
                if not line:
                    continue
                entry = decode(line)
                if entry is None:
                    dropped[path.name] = dropped.get(path.name, 0) + 1
                elif entry[0] not in known:
                    known[entry[0]] = entry[1]
                    self.plans[entry[0]] = entry[2]
        for name, count in dropped.items():
            log.warning(
                "%s: %d damaged line%s dropped; what they held is evaluated again.",
                self.folder / name,
                count,
                "" if count == 1 else "s",
            )
        return known

    def append(self, point: Point, values: Values, plan: str) -> None:
        """Write one finished point; it is with the operating system when this returns.

        Where somebody removed the file, all that it held goes into a new one first.

        Raises:
            OSError: If it cannot be written; it names the journal.
        """
        with self._named():
            descriptor = self._open() if self._descriptor is None else self._descriptor
            if self._is_removed(descriptor):
                descriptor = self._move(descriptor)
            _write(descriptor, encode(point, values, plan))
        self.plans[point] = plan
        self._unsynced = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Bring everything to the disk, and end."""
        self._closing.set()
        if self._syncer is not None:
            self._syncer.join()
        if self._descriptor is not None:
            with self._named():
                if self._is_removed(self._descriptor):
                    self._move(self._descriptor)
                descriptor, self._descriptor = self._descriptor, None
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _open(self) -> int:
        self._descriptor = descriptor = self._new_file()
        self._syncer = threading.Thread(target=self._sync, name="journal", daemon=True)
        self._syncer.start()
        return descriptor

    def _new_file(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(self._path, flags, 0o666)  # less the umask
        sync_folder(self.folder)
        return descriptor

    def _is_removed(self, descriptor: int) -> bool:
        return not os.fstat(descriptor).st_nlink and not self._path.exists()

    def _move(self, removed: int) -> int:
        """Write what a removed file held, which lives as long as it is open, into a new one."""
        log.warning("%s was removed; what this process evaluated is written anew.", self._path)
        content = os.pread(removed, os.fstat(removed).st_size, 0)
        self._path = self.folder / f"{uuid.uuid4().hex}.jsonl"
        descriptor = self._new_file()
        _write(descriptor, content)
        os.dup2(descriptor, removed, inheritable=False)  # what the syncer syncs from now on
        os.close(descriptor)
        return removed

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno and not error.filename:  # a full disk does not say where
                error.filename = str(self._path)
            raise

    def _sync(self) -> None:
        while not self._closing.wait(SYNC_EVERY_S):
            descriptor = self._descriptor
            if self._unsynced and descriptor is not None:
                self._unsynced = False
                try:
                    os.fsync(descriptor)
                except OSError as error:
                    log.warning("%s: cannot be synced: %s", self._path, error.strerror)
                    self._unsynced = True
                    time.sleep(SYNC_EVERY_S)
