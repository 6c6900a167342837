"""How points are evaluated that may raise, hang, or take their process with them."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from torch import nn

from landscape_lib.core.blame import is_a_points
from landscape_lib.core.errors import PointTooSlowError
from landscape_lib.core.evaluator import Outcome, Point, Reading, Values
from landscape_lib.core.failures import DIED, Failure, Limits, cut
from landscape_lib.core.pending import Read
from landscape_lib.core.plan import Plan
from landscape_lib.utils.flight import Crash, Flight
from landscape_lib.utils.frames import users_place
from landscape_lib.utils.growth import Growth
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.watchdog import TooLong, Watchdog

log = logging.getLogger(__name__)

COMPILING_S = 300.0  # more for the first points of a plan that compiles the network
DEATHS = 2  # at one point, after which it is taken for the reason


class Evaluates(Protocol):
    """Evaluates the model at points, as many at once as its plan says."""

    plan: Plan

    @property
    def points_at_once(self) -> int:
        """How many points it is best asked for at once."""

    @property
    def runs_ahead(self) -> bool:
        """Whether the next points may be begun before the values of some are read."""

    def launch(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> Read:
        """Begin to evaluate the model at points; return what waits for their values."""


class Guarded:
    """Evaluates points as something else does, within limits.

    With ``on_error: nan``, a point that raises, or takes too long, comes out as a ``Failure``; of
    several points at once each is then evaluated by itself, so that only the guilty one fails.
    With ``stop`` the exception goes up, and says at which point it came.  Input that is wrong, a
    lack of memory, a failing GPU and the end of the program go up in any case.

    Args:
        evaluate: What evaluates.
        limits: What becomes of points that cannot be evaluated.
        suspects: Points in which a process died: each is evaluated by itself.
        flight: Gets the points that are being evaluated.
        journal: Gets what is to be known of a point with which the process must be ended.
        growth: Gets how many points are done.
    """

    def __init__(
        self,
        evaluate: Evaluates,
        limits: Limits,
        suspects: Collection[Point] = (),
        flight: Flight | None = None,
        journal: Journal | None = None,
        growth: Growth | None = None,
    ) -> None:
        self._evaluate, self._limits, self._suspects = evaluate, limits, suspects
        self._flight, self._journal, self._growth = flight, journal, growth
        self._points: Sequence[Point] = ()
        self._begun: list[Point] = []  # and not read: more than those where it runs ahead
        self._first = True
        self._said = False
        self.watchdog: Watchdog | None = None
        if limits.seconds is not None:
            trace = None if flight is None else flight.trace
            self.watchdog = Watchdog(limits.seconds, self._last_words, trace)

    @property
    def points_at_once(self) -> int:
        """How many points it is best asked for at once."""
        return self._evaluate.points_at_once

    @property
    def runs_ahead(self) -> bool:
        """Whether the next points may be begun before some are read: not where these have a limit.

        Whoever waits for a point's values waits for the point.
        """
        return self.watchdog is None and self._evaluate.runs_ahead

    def launch(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> Reading:
        """Begin to evaluate the model at points.

        Returns:
            What waits for values, or for why there are none, point by point.

        Raises:
            PointTooSlowError: With ``stop``, if one took longer than it may.
        """
        if len(points) > 1 and any(point in self._suspects for point in points):
            return self._one_by_one(model, points, go)
        try:
            read = self._watched(model, points, go)
        except Exception as error:
            if self._limits.on_error == "stop" or not is_a_points(error):
                if is_a_points(error) and not isinstance(error, PointTooSlowError):
                    error.add_note(f"At {_said(points)}.")
                raise
            if len(points) > 1:
                return self._one_by_one(model, points, go)
            failure = self._failure(points[0], error)
            return lambda: self._landed(points, [failure])
        return lambda: self._landed(points, read())

    def _one_by_one(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> Reading:
        found = [outcome for point in points for outcome in self.launch(model, [point], go)()]
        return lambda: found

    def _landed(self, points: Sequence[Point], found: Sequence[Outcome]) -> Sequence[Outcome]:
        self._begun = [point for point in self._begun if point not in points]
        if self._growth is not None:
            self._growth.step(len(points))
        return found

    def _watched(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> Read:
        self._points = points
        self._begun = list(dict.fromkeys([*self._begun, *points]))
        if self._flight is not None:
            self._flight.take_off(self._begun)
        if self.watchdog is None:
            return self._evaluate.launch(model, points, go)
        more = COMPILING_S if self._first and self._evaluate.plan.compile else 0.0

        def evaluate() -> list[Values]:
            return self._evaluate.launch(model, points, go)()

        try:
            found = self.watchdog.watch(evaluate, len(points), more)
        except TooLong as late:
            raise PointTooSlowError(self._too_slow()) from late
        self._first = False
        return lambda: found

    def _failure(self, point: Point, error: Exception) -> Failure:
        if isinstance(error, PointTooSlowError):
            where, seconds = users_place(error.__cause__ or error), self._limits.seconds
            told = f"it took longer than {seconds:g} s"
            failure = Failure(type(error).__name__, told, where, seconds=seconds)
        else:
            failure = Failure(type(error).__name__, cut(str(error)), users_place(error))
        if not self._said:
            self._said = True
            log.warning(
                "The point %s failed: %s. Its values are NaN (on_error: nan); it goes on.",
                *(list(point), failure),
            )
        return failure

    def _too_slow(self) -> str:
        return (
            f"{_said(self._points).capitalize()} took longer than seconds_per_point allows, "
            f"{self._limits.seconds:g} s a point. Everything finished is kept. Allow more time, "
            "mend the metric, or say 'on_error: nan' to go on without such points; then the same "
            "again goes on."
        )

    def _last_words(self) -> None:
        """Say what is to be known before the process is ended, in a thread of the watchdog's."""
        log.error(
            "Error: %s It never came back to Python, so that this process must be ended.",
            self._too_slow(),
        )
        if self._journal is not None and self._limits.on_error == "nan":
            if len(self._points) == 1:
                self._journal.fail(self._points[0], _hung(self._limits.seconds))
            else:
                for point in self._points:  # which of them, the next start finds out
                    self._journal.die(point)
        if self._flight is not None:
            self._flight.land()
        if self._journal is not None:
            self._journal.close()


def note_crash(
    crash: Crash | None, journal: Journal, done: Collection[Point], limits: Limits
) -> None:
    """Write down, and say, at which points a process ended without a word.

    Args:
        crash: What that process left.
        journal: Gets it.
        done: Points that are known all the same.
        limits: With ``nan``, a point at which processes died twice counts as failed.
    """
    points = [point for point in crash.points if point not in done] if crash else []
    if crash is None or not points:
        return
    hung = f" It took longer than {crash.seconds:g} s: {crash.trace}" if crash.trace else ""
    log.warning(
        "An earlier process ended without a word while it evaluated %s: killed, out of memory, or "
        "crashed there.%s",
        *(_said(points), hung),
    )
    for point in points:
        journal.die(point)
        if crash.trace and len(points) == 1:
            _give_up(point, journal, limits, _hung(crash.seconds))
        elif journal.deaths[point] >= DEATHS:
            died = Failure(DIED, f"the process died {journal.deaths[point]} times", ended=True)
            log.warning("The process died %d times at %s.", journal.deaths[point], list(point))
            _give_up(point, journal, limits, died)


def _give_up(point: Point, journal: Journal, limits: Limits, failure: Failure) -> None:
    if limits.on_error == "nan":
        journal.fail(point, failure)
    else:
        log.warning(
            "It is evaluated once more. If it ends the process again: mend the metric, or say "
            "'on_error: nan' to go on without it."
        )


def who_measures(metrics: Any) -> str:
    """Say what metrics are called, at the beginning of a sentence."""
    if isinstance(metrics, Mapping):
        names = ", ".join(map(str, metrics))
        return f"The metric {names}" if len(metrics) == 1 else f"One of the metrics {names}"
    name = getattr(metrics, "__qualname__", type(metrics).__name__)
    return f"The {'loss' if isinstance(metrics, nn.Module) else 'metric function'} {name}"


def _hung(seconds: float | None) -> Failure:
    told = f"it took longer than {seconds:g} s, and never came back to Python"
    return Failure(PointTooSlowError.__name__, told, ended=True, seconds=seconds)


def _said(points: Sequence[Point]) -> str:
    if len(points) == 1:
        return f"the point {list(points[0])}"
    return f"one of the {len(points)} points {', '.join(str(list(p)) for p in points)}"
