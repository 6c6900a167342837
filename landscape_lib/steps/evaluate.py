"""How one shard of a grid is evaluated so that no finished point is ever evaluated again."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_lib.config import Experiment
from landscape_lib.core.direction import Direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import (
    Evaluator,
    Outcome,
    Point,
    Values,
    disagreement,
    measure,
)
from landscape_lib.core.failures import Failure, sentence
from landscape_lib.core.grid import Grid
from landscape_lib.core.lending import to_eval
from landscape_lib.core.memory import lacks_memory
from landscape_lib.core.pending import Read
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import agreement
from landscape_lib.core.surface import CURVATURE, Shard, is_beside, metrics_of
from landscape_lib.steps.bench import Bench, refuse_changed, set_up
from landscape_lib.steps.convexity import WithCurvature, with_curvature
from landscape_lib.steps.extent import with_range
from landscape_lib.steps.gpus import own_gpu
from landscape_lib.steps.guarding import Guarded, note_crash, who_measures
from landscape_lib.steps.report import read_probe
from landscape_lib.steps.rounds import read_round
from landscape_lib.utils.bucket import Bucket, mirrored
from landscape_lib.utils.flight import Flight
from landscape_lib.utils.growth import Growth
from landscape_lib.utils.hashing import points_fingerprint
from landscape_lib.utils.heartbeat import ENDING, heartbeat
from landscape_lib.utils.hosts import host_name
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.locks import turn
from landscape_lib.utils.printing import capped_output
from landscape_lib.utils.progress import Progress
from landscape_lib.utils.retries import write_retried
from landscape_lib.utils.signals import Stopped, Stops
from landscape_lib.utils.storage import (
    content_hash,
    directions_attributes,
    load_directions,
    save_shard,
)

log = logging.getLogger(__name__)

FEWEST = 24  # samples that check a plan where it is worst
SHARE = 0.01  # of a shard's samples that this check may take, where they are more
FAR = 1e-3  # relative; what a plan may differ by where it is worst, before it is said


@dataclasses.dataclass(frozen=True)
class Part:
    """The points that one program evaluates.

    Attributes:
        name: What its lock is called.
        what: What it is called in the log.
        indices: Flat row-major indices, coarse to fine.
    """

    name: str
    what: str
    indices: Sequence[int] | np.ndarray

    @classmethod
    def of(cls, experiment: Experiment, number: int, of: int, points: Path | None) -> "Part":
        """Return a shard of the whole grid, or of a round of an adaptive one."""
        name, what = f"{number}-of-{of}", f"shard {number + 1} of {of}"
        if points is None:
            return cls(name, f"{experiment.name} {what}", experiment.grid.shard(number, of))
        chosen = read_round(points)
        what = f"{experiment.name} round {chosen.number} {what}"
        return cls(f"round-{chosen.number}-{name}", what, chosen.shard(number, of))


def evaluate_shard(
    experiment: Experiment,
    number: int,
    of: int,
    out: Path,
    stops: Stops,
    points: Path | None = None,
    store: Bucket | None = None,
) -> None:
    """Evaluate the points of a shard that no journal has, and write the shard.

    Every finished point is in the journal before the next one begins; a shard of another number
    or grid, or a second start of this one, finds it there.

    Args:
        experiment: The run.
        number: Which shard, from 0.
        of: How many shards the points are cut into.
        out: The shard's file.
        stops: Told when to end.
        points: File of the round of an adaptive grid whose points they are; None: the whole grid.
        store: Where results lie in object storage; journals are read from there and copied there.
    """
    experiment = with_range(experiment)
    report = read_probe(experiment.path("probe.json"))
    part = Part.of(experiment, number, of, points)
    alive = heartbeat(experiment.path("journal", f"{part.name}{ENDING}"), part.what)
    with own_gpu(str(report["plan"]["device"]), stops.check), alive:
        _evaluate(experiment, report, part, out, stops, store)


def _evaluate(
    experiment: Experiment,
    report: Mapping[str, Any],
    part: Part,
    out: Path,
    stops: Stops,
    store: Bucket | None,
) -> None:
    bench = set_up(experiment, report["problem"])
    refuse_changed(bench.parts, report["problem"], experiment)
    directions_path = experiment.path("directions.h5")
    directions = load_directions(directions_path)
    _refuse_other_model(directions_path, str(bench.parts["model"]))
    plan = Plan(**report["plan"])
    work = Work(bench, plan, directions, experiment.grid, stops)
    folder = experiment.path("journal", work.fingerprint)
    try:
        with (
            turn(folder / f"{part.name}.lock", part.what),
            Journal(folder) as journal,
            mirrored(journal.path, store),
        ):
            if store is not None:
                store.fetch(folder)
            shard = work.evaluate(part.indices, part.what, journal, report["keys"], part.name)
    except Stopped:
        _show_what_there_is(experiment)
        raise
    write_retried(out, experiment.evaluation.on_error, shard.failed.size)
    save_shard(out, shard)


def _show_what_there_is(experiment: Experiment) -> None:
    from landscape_lib.steps.pictures import look_of
    from landscape_lib.steps.preview import evaluated_so_far, leave_preview

    path, look = experiment.path("preview.h5"), look_of(experiment.figures)
    leave_preview(
        lambda: evaluated_so_far(experiment), path, f"{experiment.path('preview')}/", look
    )


@dataclasses.dataclass(frozen=True)
class Work:
    """A problem, how it is evaluated, and where.

    Attributes:
        bench: The problem with its samples.
        plan: How a point is evaluated.
        directions: One an axis of the grid.
        grid: All points, of which some are to be evaluated.
        stops: Told when to end.
    """

    bench: Bench
    plan: Plan
    directions: Sequence[Direction]
    grid: Grid
    stops: Stops

    @cached_property
    def content(self) -> str:
        """The hash of the directions' content."""
        return content_hash(self.directions)

    @cached_property
    def fingerprint(self) -> str:
        """What decides the values: same fingerprint, same numbers."""
        parts = self.bench.parts["fingerprint"], self.content, self.plan.canonical()
        return points_fingerprint(*parts)

    def evaluate(
        self,
        indices: Sequence[int] | np.ndarray,
        what: str,
        journal: Journal | None = None,
        keys: Sequence[str] = (),
        name: str = "0-of-1",
    ) -> Shard:
        """Evaluate the points that the journal lacks; each is in it before the next begins.

        What becomes of points that cannot be evaluated, the problem's ``limits`` say.

        Args:
            indices: Flat row-major indices of the points, in the order of their evaluation.
            what: What to call the work in the log.
            journal: Of this fingerprint; without one nothing is written, and nothing is known.
            keys: The metric keys that are expected; left out, those of the first point.
            name: What the lock is called that is held; no other process works on these points.
        """
        limits = self.bench.limits
        flight = Flight(journal.folder / f"{name}.flight", limits.seconds) if journal else None
        points = [tuple(point) for point in self.grid.points(indices).tolist()]
        known = self._outcomes(journal, flight, points, keys) if journal and flight else {}
        missing = [point for point in points if point not in known]
        found = len(points) - len(missing)
        already = f", {found} of them in the journal" if journal else ""
        log.info("%s: %d points%s", what, len(points), already)
        evaluator = _Shrinking(self.bench, self.plan, self.stops)
        growth = Growth(what, who_measures(self.bench.problem.metrics), len(missing))
        suspects = journal.deaths.keys() if journal else ()
        guarded = Guarded(evaluator, limits, suspects, flight, journal, growth)
        progress = Progress(what, len(missing), self.bench.samples_per_point)

        def record(point: Point, found: Outcome) -> None:
            with self.stops.shield():
                if journal:
                    _write_down(journal, point, found, evaluator.read_of)
                progress.step()

        try:
            with flight or nullcontext(), guarded.watchdog or nullcontext(), capped_output(what):
                shard = measure(
                    self.bench.problem.model,
                    guarded,
                    self.directions,
                    self.grid,
                    indices,
                    known=known,
                    record=record,
                    keys=keys,
                )
        finally:
            progress.close()
        if shard.failed.size:
            told = sentence(shard.failed.size, len(points), shard.failures)
            log.warning("%s: %s 'on_error: stop' evaluates them again.", what, told)
        evaluator.let_go()  # what comes now needs the room for itself
        if missing:
            self._check_farthest(shard, evaluator.plan)
        if missing and journal:
            journal.refuse_other_values()  # of another host that could not be waited for
        used = {journal.plans.get(point, "") for point in points} if journal else evaluator.plans
        plans = (used - {""}) or {self.plan.canonical()}
        return dataclasses.replace(
            shard,
            plans=tuple(sorted(plans)),
            fingerprint=self.fingerprint,
            attributes={"host": host_name()},
        )

    def _outcomes(
        self, journal: Journal, flight: Flight, points: Sequence[Point], keys: Sequence[str]
    ) -> dict[Point, Outcome]:
        """Return what needs no evaluation: values, and failures that would end the process again.

        Other points that failed are tried again.
        """
        limits = self.bench.limits
        known: dict[Point, Outcome] = {**self._known(journal, points, keys)}
        note_crash(flight.crash(), journal, known.keys(), limits)
        return known | {p: why for p, why in journal.failures.items() if why.holds(limits)}

    def _known(
        self, journal: Journal, points: Sequence[Point], keys: Sequence[str]
    ) -> dict[Point, Values]:
        """Read the journal; standard errors of points that were evaluated without are missing."""
        found = journal.read(points, keys)
        if not self.bench.standard_error and not self.bench.bootstrap:
            for point, values in found.items():
                if any(map(is_beside, values)):
                    found[point] = metrics_of(values)
            return found
        without = sum(not any(map(is_beside, values)) for values in found.values())
        if without:
            log.warning(
                "Of the points that the journal has, %d were evaluated without standard errors, "
                "which are NaN there. To have them, remove %s, and every point is evaluated again.",
                without,
                journal.folder,
            )
        return found

    def _check_farthest(self, shard: Shard, used: Plan) -> None:
        """Compare the plan with the plain model where rounding is worst: far from the centre."""
        shrunk = used.batch_size if used != self.plan else None  # a larger one does not fit
        plain = dataclasses.replace(used.plain(), batch_size=shrunk)
        if plain == used:
            return
        lengths = np.linalg.norm(self.grid.points(shard.indices), axis=1)
        lengths[np.isin(shard.indices, shard.failed)] = -1.0  # there is nothing to compare
        far = int(np.argmax(lengths))
        part = self._part(len(shard.indices))
        keys = tuple(key for key in shard.values if key not in CURVATURE)
        found = {key: float(values[far]) for key, values in shard.values.items()}
        if part is not self.bench:
            found = self._values_on(part, used, shard.indices[far], keys)
        wanted = self._values_on(part, plain, shard.indices[far], keys)
        key, apart = disagreement(found, wanted, self.bench.counted(wanted))
        if apart > agreement(used, FAR):
            log.warning(
                "At %s, %s differs by %.1e between this plan and the plain model: so far from the "
                "centre, rounding decides that much, or the plan does not compute what the model "
                "does. If it matters, use 'precision: float64'; where they differ all the same, "
                "'plan: plain'.",
                self.grid.points([shard.indices[far]])[0].tolist(),
                key,
                apart,
            )

    def _part(self, points: int) -> Bench:
        """Return the problem on so many of its samples that a point costs 1 % of the shard."""
        each = self.bench.samples_per_point // len(self.bench.data)
        return self.bench.first(max(FEWEST, int(SHARE * points * each)))

    def _values_on(self, bench: Bench, plan: Plan, index: int, keys: Sequence[str]) -> Values:
        model = bench.problem.model
        guarded = Guarded(bench.evaluator(plan), bench.limits)
        with guarded.watchdog or nullcontext():
            place = (self.directions, self.grid, [int(index)])
            values = measure(model, guarded, *place, keys=keys).values
        return {key: float(column[0]) for key, column in values.items()}


def _write_down(journal: Journal, point: Point, found: Outcome, plan: Plan) -> None:
    if isinstance(found, Failure):
        journal.fail(point, found)
    else:
        journal.append(point, found, plan.canonical())


class _Shrinking:
    """Evaluates with a plan; where memory runs out, goes on with half the batch, and says so."""

    def __init__(self, bench: Bench, plan: Plan, stops: Stops) -> None:
        self._bench, self._stops = bench, stops
        self.plan = self.read_of = plan  # read_of: with which the values read last were evaluated
        self.plans: set[str] = set()
        self._evaluate: Evaluator | WithCurvature | None = None
        self._built()  # now: it lays the model out, before it is moved about

    def _built(self) -> Evaluator | WithCurvature:
        """Return what evaluates with the plan of now; where it was given up, build it anew."""
        if self._evaluate is None:
            self._evaluate = self._evaluator()
        return self._evaluate

    def _evaluator(self) -> Evaluator | WithCurvature:
        while True:
            try:
                evaluate = self._bench.evaluator(self.plan)
                return with_curvature(self._bench, evaluate, self._stops.check)
            except (RuntimeError, MemoryError) as error:
                self._shrink(error)
            self._make_room()

    def let_go(self) -> None:
        """Give back what it holds on the device; asked again, it is built anew."""
        self._evaluate = None
        self._make_room()

    @staticmethod
    def _make_room() -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def points_at_once(self) -> int:
        return self.plan.points_at_once

    @property
    def runs_ahead(self) -> bool:
        return self._evaluate is not None and self._evaluate.runs_ahead

    def __call__(self, model: nn.Module) -> Values:
        return self.launch(model, [()], lambda point: None)()[0]

    def launch(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> Read:
        while True:
            try:
                return self._begun(model, points, go)
            except (RuntimeError, MemoryError) as error:
                self._shrink(error)
            self.let_go()  # what it holds on a GPU is room for the next one
            to_eval(model)  # a metric that was stopped halfway may have changed the mode

    def _begun(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> Read:
        """Begin with points, all that are asked for, in groups of the plan of now."""
        evaluate = self._built()  # may shrink the plan
        size, plan = self.plan.points_at_once, self.plan
        reads = [
            evaluate.launch(model, points[start : start + size], go, self._stops.check)
            for start in range(0, len(points), size)
        ]
        self.plans.add(plan.canonical())

        def read() -> list[Values]:
            self.read_of = plan
            return [values for one in reads for values in one()]

        return read

    def _shrink(self, error: Exception) -> None:
        """Halve the points at once, then the batch; raise again what is no lack of memory."""
        batch, points = self.plan.batch_size or self._bench.batch_size, self.plan.points_at_once
        if not lacks_memory(error) or batch == points == 1:
            raise error
        if points > 1:
            self.plan = dataclasses.replace(self.plan, points_at_once=points // 2)
            log.warning(
                "Out of memory with %d points at once; going on with %d.", points, points // 2
            )
        else:
            self.plan = dataclasses.replace(self.plan, batch_size=batch // 2)
            log.warning("Out of memory with batches of %d; going on with %d.", batch, batch // 2)


def _refuse_other_model(path: Path, model: str) -> None:
    found = directions_attributes(path).get("model")
    if found != model:
        raise InputError(
            f"{path}: these directions were made for other weights. Remove the file and type the "
            "same command again."
        )
