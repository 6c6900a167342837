"""How a point that takes too long is ended, also where it never returns to Python."""

import ctypes
import faulthandler
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Self, TypeVar

from landscape_lib.utils.signals import alarm_lent

Found = TypeVar("Found")

GRACE_S = 5.0  # that code gets, and at least as long as a point, to return to Python
LONGEST_S = threading.TIMEOUT_MAX / 10  # some decades; beyond, no clock of the system goes
AGAIN_S = 1.0  # after which it is raised once more, where somebody swallowed it


class TooLong(BaseException):
    """Carry the end of a point's time up to us; no ``except Exception`` catches it."""


class Watchdog:
    """Raises ``TooLong`` in work that takes longer than it may; ends the process where it can't.

    The time is up in three ways.  Python code, and calls that a signal interrupts, get ``TooLong``
    from the handler of SIGALRM, or, outside the main thread, from Python itself, and again every
    second.  C code that never returns to Python but lets other threads run (a kernel of torch, a
    lock) is ended with its process by a thread, after ``last_words``.  C code that holds Python's
    lock all the time is ended by ``faulthandler``, which needs no Python; it writes where the
    process was to stderr and to a file.  Both give ``GRACE_S`` beyond the limit, or as long again;
    ``faulthandler`` up to twice as much, since arming it for every point would cost too much.

    Args:
        seconds: How long ``watched`` work may take.
        last_words: Called in another thread just before the process ends with code 1.
        trace: The file that gets what ``faulthandler`` has to say; None: stderr alone.
    """

    def __init__(
        self, seconds: float, last_words: Callable[[], None], trace: os.PathLike[str] | None = None
    ) -> None:
        self.seconds, self._last_words, self._trace = seconds, last_words, trace
        self._thread = threading.current_thread()
        self._turn = threading.Condition()
        self._started: float | None = None  # when the watched work began; None: there is none
        self._allowed = seconds
        self._armed, self._armed_for = -math.inf, 0.0
        self._closed = False
        self._watcher = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._alarm = ExitStack()
        self._tee: subprocess.Popen[bytes] | None = None

    @property
    def _in_main(self) -> bool:
        return self._thread is threading.main_thread()

    def __enter__(self) -> Self:
        if self._in_main:
            self._alarm.enter_context(alarm_lent(self._late))
        if self._trace is not None and (tee := shutil.which("tee")):
            command = [tee, "-a", os.fspath(self._trace)]
            with suppress(OSError):
                self._tee = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=_stderr(), start_new_session=True
                )
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._closed, self._started = True, None
            self._turn.notify()
        faulthandler.cancel_dump_traceback_later()
        self._alarm.close()
        self._watcher.join()
        if self._tee is not None and self._tee.stdin is not None:
            self._tee.stdin.close()
            self._tee.wait()

    def watch(self, work: Callable[[], Found], points: int = 1, more: float = 0.0) -> Found:
        """Do some work, and return what it returns.

        Args:
            work: What is watched over.
            points: How many points it is.
            more: Seconds that it may take beside theirs.

        Raises:
            TooLong: In the work itself, when its time is up.
        """
        try:
            self._begin(min(self.seconds * points + more, LONGEST_S))
            try:
                return work()
            finally:
                self._rest()
        except TooLong:
            self._rest()  # it may have come while that rest was on its way
            raise

    def _begin(self, allowed: float) -> None:
        with self._turn:
            self._started, self._allowed = time.monotonic(), allowed
            self._turn.notify()
        self._arm(allowed)
        if self._in_main:
            signal.setitimer(signal.ITIMER_REAL, allowed, AGAIN_S)

    def _rest(self) -> None:
        self._started = None  # first: from now on nothing is raised
        if self._in_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
        with self._turn:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident or 0), None
            )

    def _arm(self, allowed: float) -> None:
        """Let ``faulthandler`` wait for this work; it costs a thread, so not anew for each."""
        now = time.monotonic()
        if now - self._armed < self._armed_for / 2 and allowed <= self._armed_for:
            return
        self._armed, self._armed_for = now, allowed
        seconds = 1.5 * allowed + 2 * _grace(allowed)
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)

    @property
    def _file(self) -> int:
        there = self._tee is not None and self._tee.stdin is not None
        return self._tee.stdin.fileno() if there else _stderr()  # type: ignore[union-attr]

    def _late(self, number: int, frame: FrameType | None) -> None:
        if self._started is not None:
            raise TooLong

    def _watch(self) -> None:
        with self._turn:
            while not self._closed:
                self._turn.wait(self._wait())
                if self._started is None or self._closed:
                    continue
                over = time.monotonic() - self._started - self._allowed
                if over > _grace(self._allowed):
                    self._last_words()
                    os._exit(1)
                if over > (0 if not self._in_main else AGAIN_S):
                    _raise_in(self._thread)

    def _wait(self) -> float | None:
        if self._started is None:
            return None
        left = self._started + self._allowed - time.monotonic()
        return left + 0.01 if left > 0 else min(AGAIN_S, _grace(self._allowed)) / 2


def _grace(allowed: float) -> float:
    return max(GRACE_S, allowed)


def _stderr() -> int:
    """Return the file that the process has as stderr, whatever stands for it in Python."""
    with suppress(AttributeError, OSError, ValueError):
        return sys.__stderr__.fileno()  # type: ignore[union-attr]
    return 2


def _raise_in(thread: threading.Thread) -> None:
    """Let a thread meet ``TooLong`` at its next step in Python."""
    kind = ctypes.py_object(TooLong)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), kind)
