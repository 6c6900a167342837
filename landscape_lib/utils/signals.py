"""How a program ends when it is told to, and how the alarm is lent."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SOON_S = 1e-3


class Stopped(BaseException):
    """Carry a signal up to where the program ends; no ``except Exception`` catches it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


class Stops:
    """Turns stop signals into ``Stopped``, at once, but never while a line is being written."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._shields = 0

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        first = self.number is None
        self.number = self.number or number
        if first and not self._shields:  # a second one must not break the clean-up of the first
            raise Stopped(self.number)

    def check(self) -> None:
        """Raise if a stop has come, also one that the user's code has swallowed.

        Raises:
            Stopped: If a signal came.
        """
        if self.number is not None:
            raise Stopped(self.number)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Hold signals back while something is written; they come at the end."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        self.check()


@contextmanager
def stops() -> Iterator[Stops]:
    """Listen to SIGTERM, SIGINT and SIGHUP; put the old handlers back.

    A signal that is ignored, as SIGHUP is under ``nohup``, stays ignored.
    """
    listener = Stops()
    heard = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, listener._arrive) for number in heard}
    try:
        yield listener
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def alarm_lent(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle SIGALRM; give handler and timer back, the timer with what is left of its time.

    Whoever set it is not rung meanwhile: if its time is up, then right afterwards.
    """
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    began, before = time.monotonic(), signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            left -= time.monotonic() - began
            signal.setitimer(signal.ITIMER_REAL, max(left, SOON_S), interval)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` in what takes longer; without a limit outside the main thread.

    It is raised again a second later: where it comes while Python frees memory, it is lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {seconds:g} s")

    with alarm_lent(late):
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        yield


def exit_code(number: int) -> int:
    """Return the exit code of a program that a signal ended."""
    return 128 + number
