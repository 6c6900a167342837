"""Where every finished point is written down, so that nothing computed is lost."""

import hashlib
import json
import logging
import os
import re
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from landscape_lib.core.errors import DamagedFileError, DisagreementError
from landscape_lib.core.failures import Failure
from landscape_lib.core.files import sync_folder, understood_json, unstale
from landscape_lib.utils.hosts import name_for_files

log = logging.getLogger(__name__)

SYNC_EVERY_S = 1.0
SHOWN = 8  # points with different values that a message names
LINES = re.compile(rb'\n|(?={"sum":")')  # also where the end of the line before was damaged
EVENTS = ("failed", "died")
HEAD = re.compile(rb'{"sum":"[0-9a-f]{16}","(?:point|failed|died)":{"at":\[([^\]\n]*)\]')
PIECE = 2**24  # bytes that are read at a time
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
        point = understood_json(body)
        values = {sys.intern(key): float(value) for key, value in point["values"].items()}
        return tuple(float(step) for step in point["at"]), values, str(point["plan"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
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
        told = understood_json(body)
        failure = Failure(**told["error"]) if kind == "failed" else None
        return kind, tuple(float(step) for step in told["at"]), failure
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, StopIteration):
        return None


def _write(descriptor: int, content: bytes) -> None:
    while content:  # the system may take a part only
        content = content[os.write(descriptor, content) :]


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode("ascii", "replace")).hexdigest()[:16]


def _spelled(point: Point) -> bytes:
    """Return the coordinates of a point as a line has them."""
    return json.dumps(list(point), separators=(",", ":"))[1:-1].encode()


def _lines(piece: bytes, wanted: Container[bytes] | None) -> Iterator[bytes]:
    """Yield lines; only those that begin with wanted coordinates, where some are wanted."""
    if wanted is None:
        yield from filter(None, LINES.split(piece))
        return
    heads = 0
    for heads, head in enumerate(HEAD.finditer(piece), 1):  # noqa: B007 - counted
        if head[1] in wanted:
            end = LINES.search(piece, head.end())
            yield piece[head.start() : end.start() if end else len(piece)]
    if heads != piece.count(b"\n") or not piece.endswith(b"\n"):  # some are damaged: tell
        yield from (line for line in LINES.split(piece) if line and not HEAD.match(line))


def _content(path: Path, start: int) -> bytes:
    with path.open("rb") as handle:
        handle.seek(start)
        return handle.read(PIECE)


@dataclass(frozen=True)
class _Twice:
    """A point that two writers have different values of."""

    point: Point
    key: str
    value: float
    writer: Path
    other_value: float
    other_writer: Path

    def __str__(self) -> str:
        return (
            f"At {list(self.point)} {self.key} is {self.value!r} in {self.writer.name} and "
            f"{self.other_value!r} in {self.other_writer.name}"
        )


def _differing(one: Values, other: Values) -> str | None:
    """Return a key of both whose values differ in any bit; NaN is NaN."""
    return next((key for key in one if key in other and one[key].hex() != other[key].hex()), None)


def _told_of(found: list[_Twice], folder: Path) -> str:
    points = sorted({one.point for one in found})
    first = min(found, key=lambda one: one.point)
    named = ", ".join(str(list(point)) for point in points[:SHOWN])
    more = "" if len(points) <= SHOWN else f" and {len(points) - SHOWN} more"
    return (
        f"{folder}: {len(points)} point{'s have' if len(points) > 1 else ' has'} different values "
        f"by two writers: {named}{more}. {first}. Names of files begin with the host that wrote "
        "them. Two kinds of processors differ in the last bits, and so do plans where memory ran "
        "out; a metric may also depend on chance. Keep one of both: remove the other file, such as "
        f"{first.other_writer}, and type the same command again; what only that file held is "
        "evaluated again."
    )


class Journal:
    """All points of one fingerprint: those read at the start, and those appended since.

    Every writer has a file of its own, named by its host and a uuid, so that nobody ever appends
    to a line that another left torn.  Lines are written unbuffered, and fsynced within a second.

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
        self._known: dict[Point, tuple[Values, Path]] = {}
        self._plan_names: dict[str, str] = {}  # one string for all points of a plan
        self._wanted: set[bytes] | None = None
        self._keys: frozenset[str] = frozenset()
        self._read: dict[Path, int] = {}  # bytes of whole lines
        self._descriptor: int | None = None
        self.path = self._new_path()
        self._unsynced = False
        self._closing = threading.Event()
        self._syncer: threading.Thread | None = None

    def read(
        self, points: Iterable[Point] | None = None, keys: Collection[str] = ()
    ) -> dict[Point, Values]:
        """Read the lines of every writer.

        A damaged line is dropped, and only that; how many were is logged.  A point that failed is
        no value: it stands in ``failures`` until there is one.

        Args:
            points: Those that are wanted.  Lines of others are told by their coordinates, and
                passed over unread: each shard of a large grid meets the points of all shards
                before it.  None: all that there are.
            keys: The metric keys that are evaluated: a line without one of them is damaged, too,
                whatever its checksum says.  Left out: any.

        Raises:
            DamagedFileError: If one writer has different values of one point.
            DisagreementError: If two writers have.
        """
        self._wanted = None if points is None else {_spelled(point) for point in points}
        self._keys = frozenset(keys)
        self._known, self._read = {}, {}
        self.failures, self.deaths = {}, Counter()
        for path, dropped in self._look().items():
            log.warning(
                "%s: %d damaged line%s dropped; what they held is evaluated again.",
                path,
                dropped,
                "" if dropped == 1 else "s",
            )
        self.failures = {p: why for p, why in self.failures.items() if p not in self._known}
        self.deaths = Counter({p: n for p, n in self.deaths.items() if p not in self._known})
        return {point: values for point, (values, _) in self._known.items()}

    def refuse_other_values(self) -> None:
        """See what other writers have written since it was read; equal values are welcome.

        Raises:
            DamagedFileError: If one writer has different values of one point.
            DisagreementError: If two writers have.
        """
        self._look()

    def _look(self) -> dict[Path, int]:
        """Read what is new of every writer's lines; return how many were damaged, by file.

        Raises:
            DamagedFileError: If one writer has different values of one point.
            DisagreementError: If two writers have.
        """
        dropped: dict[Path, int] = {}
        other: list[_Twice] = []
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in self._new(path):
                entry = decode(line)
                if entry is None or not self._keys <= entry[1].keys():
                    dropped[path] = dropped.get(path, 0) + (not self._took(line))
                    continue
                point, values, plan = entry
                before, writer = self._known.setdefault(point, (values, path))
                self.plans.setdefault(point, self._plan_names.setdefault(plan, plan))
                if key := _differing(before, values):
                    other.append(_Twice(point, key, before[key], writer, values[key], path))
        for one in other:
            if one.writer == one.other_writer:  # which writes a point once
                raise DamagedFileError(
                    f"{one.writer}: it is damaged: it has two values of {one.key} at "
                    f"{list(one.point)}. Remove it and type the same command again."
                )
        if other:
            raise DisagreementError(_told_of(other, self.folder))
        return {path: count for path, count in dropped.items() if count}

    def _new(self, path: Path) -> Iterator[bytes]:
        """Yield the lines that a file has got since it was read, of points that are wanted.

        It is read in pieces, since that of a long run may be larger than memory.  Of a line, all
        or nothing is counted: one that ends nowhere may be at work.
        """
        start, rest = self._read.get(path, 0), b""
        while True:
            try:
                content = unstale(partial(_content, path, start + len(rest)))
            except OSError as error:  # removed since the folder was listed, or the server is gone
                log.warning(
                    "%s: cannot be read (%s); its points are not known.", path, error.strerror
                )
                return
            if not content:
                break
            whole, newline, rest = (rest + content).rpartition(b"\n")
            start += len(whole) + len(newline)
            self._read[path] = start
            yield from _lines(whole + newline, self._wanted)
        yield from _lines(rest, self._wanted)

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
        """Write one finished point; it is with the operating system when this returns.

        Where somebody removed the file, all that it held goes into a new one first.

        Raises:
            OSError: If it cannot be written; it names the journal.
        """
        self._append(encode(point, values, plan))
        self.plans[point] = plan
        self.failures.pop(point, None)

    def fail(self, point: Point, failure: Failure) -> None:
        """Write down that a point has no values, and why."""
        self._append(_event("failed", {"at": list(point), "error": failure.plain()}))
        self.failures[point] = failure

    def die(self, point: Point) -> None:
        """Write down that a process died while it evaluated a point."""
        self._append(_event("died", {"at": list(point)}))
        self.deaths[point] += 1

    def _append(self, line: bytes) -> None:
        with self._named():
            descriptor = self._open() if self._descriptor is None else self._descriptor
            if self._is_removed(descriptor):
                descriptor = self._move(descriptor)
            _write(descriptor, line)
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

    def _new_path(self) -> Path:
        return self.folder / f"{name_for_files()}-{uuid.uuid4().hex}.jsonl"

    def _new_file(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(self.path, flags, 0o666)  # less the umask
        sync_folder(self.folder)
        return descriptor

    def _is_removed(self, descriptor: int) -> bool:
        return not os.fstat(descriptor).st_nlink and not self.path.exists()

    def _move(self, removed: int) -> int:
        """Write what a removed file held, which lives as long as it is open, into a new one."""
        log.warning("%s was removed; what this process evaluated is written anew.", self.path)
        content = os.pread(removed, os.fstat(removed).st_size, 0)
        self.path = self._new_path()
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
                error.filename = str(self.path)
            raise

    def _sync(self) -> None:
        while not self._closing.wait(SYNC_EVERY_S):
            descriptor = self._descriptor
            if self._unsynced and descriptor is not None:
                self._unsynced = False
                try:
                    os.fsync(descriptor)
                except OSError as error:
                    log.warning("%s: cannot be synced: %s", self.path, error.strerror)
                    self._unsynced = True
                    time.sleep(SYNC_EVERY_S)
