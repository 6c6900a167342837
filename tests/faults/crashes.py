"""A process ends at any system call that writes, and the power may fail with it.

The child counts what it asks the system to write, flush, rename or remove, and ends at once at one
of these, the write torn in the middle: no ``finally`` is run.  After a power loss, of every file
only what was fsynced is kept, and a rename only where its folder was fsynced after it.
"""

import builtins
import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.world import bits, drop_from, inside, resume

KILLED = 137
CALLS = {"directions.h5": 60, "shards/0-of-2.h5": 40, "surface.h5": 9}  # to the end, about


class System:
    """Stands between a process and the operating system, until the process ends.

    Attributes:
        left: Calls that still succeed.
        losing: Whether the power fails, too.
    """

    def __init__(self, left: int, *, losing: bool) -> None:
        self.left, self.losing = left, losing
        self._synced: dict[str, int] = {}  # bytes of each file that are on the disk
        self._renamed: dict[str, bytes | None] = {}  # what a new name stood for before
        self._real = {name: getattr(os, name) for name in ("write", "fsync", "replace", "unlink")}
        self._open = io.open

    def install(self) -> None:
        """Take the place of the functions that our code writes with."""
        system = self

        class Raw(io.FileIO):
            def write(self, content: Any) -> int:
                system.wrote(str(self.name), bytes(content), super().write)
                return len(content)

        def opened(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            if not isinstance(file, str | os.PathLike) or not set("wax+") & set(mode):
                return system._open(file, mode, *args, **more)
            raw = Raw(os.fspath(file), mode.replace("b", "").replace("t", ""))
            if "b" in mode:
                return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")

        io.open = builtins.open = opened  # type: ignore[assignment]
        os.write = self.write
        os.fsync = self.fsync
        os.replace = self.replace  # type: ignore[assignment]
        os.unlink = self.unlink  # type: ignore[assignment]

    def wrote(self, path: str, content: bytes, write: Callable[[bytes], int]) -> None:
        """Write, or half of it and end."""
        self._synced.setdefault(path, 0)
        if self.left == 0:
            write(content[: len(content) // 2])
            self.end()
        self.left -= 1
        write(content)

    def write(self, descriptor: int, content: bytes) -> int:
        self.wrote(
            _path(descriptor), bytes(content), lambda part: self._real["write"](descriptor, part)
        )
        return len(content)

    def fsync(self, descriptor: int) -> None:
        self.count()
        path = _path(descriptor)
        self._real["fsync"](descriptor)
        if os.path.isdir(path):
            self._renamed = {
                n: old for n, old in self._renamed.items() if os.path.dirname(n) != path
            }
        else:
            self._synced[path] = os.fstat(descriptor).st_size

    def replace(self, source: Any, target: Any) -> None:
        self.count()
        name = os.path.abspath(target)
        old = Path(name).read_bytes() if os.path.exists(name) else None
        self._real["replace"](source, target)
        self._renamed.setdefault(name, old)
        self._synced[name] = self._synced.pop(os.path.abspath(source), 0)

    def unlink(self, path: Any, **more: Any) -> None:
        self.count()
        self._real["unlink"](path, **more)

    def count(self) -> None:
        if self.left == 0:
            self.end()
        self.left -= 1

    def end(self) -> None:
        """End at once; where the power fails, forget what was not brought to the disk."""
        if self.losing:
            for name, length in self._synced.items():
                if os.path.exists(name):
                    os.truncate(name, length)
            for name, old in self._renamed.items():
                self._real["unlink"](name)
                if old is not None:
                    with self._open(name, "wb") as handle:
                        handle.write(old)
        os._exit(KILLED)


def _path(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def interrupted(left: int, *, losing: bool) -> int:
    """Resume the run in a process that ends after so many calls; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            System(left, losing=losing).install()
            code = resume().code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def case(draw: random.Random, folder: Path, truth: tuple[object, ...]) -> str:
    """End a run at a random call, once to three times; it goes on to the true surface."""
    with inside(folder):
        start, calls = draw.choice(list(CALLS.items()))
        drop_from(start)
        if draw.random() < 0.7:
            for path in Path("results/own/journal").glob("*/*.jsonl"):
                path.unlink()
        losing = draw.random() < 0.5
        codes = [
            interrupted(draw.randrange(calls), losing=losing) for _ in range(draw.randint(1, 3))
        ]
        assert set(codes) <= {0, KILLED}, f"from {start}: an interrupted run ended with {codes}"
        done = resume()
        assert done.code == 0, f"from {start}, {codes}: {done.said}"
        assert bits() == truth, f"from {start}, {codes}: another surface without a word"
        if KILLED not in codes:
            return "ended before the call"
        return "power lost, resumed" if losing else "killed, resumed"
