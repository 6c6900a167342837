"""Where every finished point is written down, so that nothing computed is lost."""

import hashlib
import json
import logging
import os
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from landscape_lib.core.failures import Failure
from landscape_lib.core.files import sync_folder

log = logging.getLogger(__name__)

SYNC_EVERY_S = 1.0
LINES = re.compile(rb'\n|(?={"sum":")')  # also where the end of the line before was damaged
EVENTS = ("failed", "died")
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


def _event(kind: str, body: Mapping[str, Any]) -> bytes:
    """Return one line of what is no point's values: ``failed`` or ``died``."""
    text = json.dumps(body, separators=(",", ":"))
    return f'{{"sum":"{_checksum(text)}","{kind}":{text}}}\n'.encode()


def _decode_event(line: bytes) -> tuple[str, Point, Failure | None] | None:
    """Return kind, point and failure of such a line, or None where it is torn or damaged."""
    try:
        text = line.decode("ascii")
        start = len('{"sum":"') + 16
        kind = next(kind for kind in EVENTS if text.startswith(f'","{kind}":', start))
        body = text[start + len(f'","{kind}":') : -1]
        if text != f'{{"sum":"{_checksum(body)}","{kind}":{body}}}':
            return None
        told = json.loads(body)
        failure = Failure(**told["error"]) if kind == "failed" else None
        return kind, tuple(float(step) for step in told["at"]), failure
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode("ascii", "replace")).hexdigest()[:16]


class Journal:
    """All points of one fingerprint: those read at the start, and those appended since.

    Every writer has a file of its own, named by a uuid, so that nobody ever appends to a line
    that another left torn.  Lines are written unbuffered, and fsynced within a second.

    Attributes:
        plans: With which plan each point was evaluated.
        failures: The points that have no values, since evaluating them failed, and why.
        deaths: How often a process died in a point that has no values.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.plans: dict[Point, str] = {}
        self.failures: dict[Point, Failure] = {}
        self.deaths: Counter[Point] = Counter()
        self._descriptor: int | None = None
        self._path = self.folder / f"{uuid.uuid4().hex}.jsonl"
        self._unsynced = False
        self._closing = threading.Event()
        self._syncer: threading.Thread | None = None

    def read(self) -> dict[Point, Values]:
        """Read every line of every writer; the first of equal points counts.

        A damaged line is dropped, and only that; how many were is logged.  A point that failed is
        no value: it stands in ``failures`` until there is one.
        """
        known: dict[Point, Values] = {}
        dropped: dict[str, int] = {}
        self.failures, self.deaths = {}, Counter()
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in filter(None, LINES.split(path.read_bytes())):
                entry = decode(line)
                if entry is None:
                    dropped[path.name] = dropped.get(path.name, 0) + (not self._took(line))
                elif entry[0] not in known:
                    known[entry[0]] = entry[1]
                    self.plans[entry[0]] = entry[2]
        self.failures = {p: why for p, why in self.failures.items() if p not in known}
        self.deaths = Counter({p: n for p, n in self.deaths.items() if p not in known})
        for name, count in dropped.items():
            if count:
                log.warning(
                    "%s: %d damaged line%s dropped; what they held is evaluated again.",
                    self.folder / name,
                    count,
                    "" if count == 1 else "s",
                )
        return known

    def _took(self, line: bytes) -> bool:
        """Take over what a line says of a point without values; tell whether it is such a line."""
        found = _decode_event(line)
        if found is None:
            return False
        _, point, failure = found
        if failure is None:
            self.deaths[point] += 1
        else:
            self.failures[point] = failure
        return True

    def append(self, point: Point, values: Values, plan: str) -> None:
        """Write one finished point; it is with the operating system when this returns."""
        self._write(encode(point, values, plan))
        self.plans[point] = plan
        self.failures.pop(point, None)

    def fail(self, point: Point, failure: Failure) -> None:
        """Write down that a point has no values, and why."""
        self._write(_event("failed", {"at": list(point), "error": failure.plain()}))
        self.failures[point] = failure

    def die(self, point: Point) -> None:
        """Write down that a process died while it evaluated a point."""
        self._write(_event("died", {"at": list(point)}))
        self.deaths[point] += 1

    def _write(self, line: bytes) -> None:
        descriptor = self._open() if self._descriptor is None else self._descriptor
        while line:
            line = line[os.write(descriptor, line) :]
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
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._descriptor = descriptor = os.open(self._path, flags, 0o666)  # less the umask
        sync_folder(self.folder)
        self._syncer = threading.Thread(target=self._sync, name="journal", daemon=True)
        self._syncer.start()
        return descriptor

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
