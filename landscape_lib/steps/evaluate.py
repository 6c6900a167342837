"""How one shard of a grid is evaluated so that no finished point is ever evaluated again."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_lib.config import Experiment
from landscape_lib.core.direction import Direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, Point, Values, disagreement, measure
from landscape_lib.core.grid import Grid
from landscape_lib.core.lending import to_eval
from landscape_lib.core.memory import lacks_memory
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import Shard, is_beside, metrics_of
from landscape_lib.steps.bench import Bench, refuse_changed, set_up
from landscape_lib.steps.convexity import WithCurvature, with_curvature
from landscape_lib.steps.extent import with_range
from landscape_lib.steps.gpus import own_gpu
from landscape_lib.steps.report import read_probe
from landscape_lib.steps.rounds import read_round
from landscape_lib.utils.hashing import points_fingerprint
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.locks import turn
from landscape_lib.utils.progress import Progress
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
    """
    experiment = with_range(experiment)
    report = read_probe(experiment.path("probe.json"))
    with own_gpu(str(report["plan"]["device"]), stops.check):
        _evaluate(experiment, report, Part.of(experiment, number, of, points), out, stops)


def _evaluate(
    experiment: Experiment,
    report: Mapping[str, Any],
    part: Part,
    out: Path,
    stops: Stops,
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
        with turn(folder / f"{part.name}.lock", part.what), Journal(folder) as journal:
            shard = work.evaluate(part.indices, part.what, journal, report["keys"])
    except Stopped:
        _show_what_there_is(experiment)
        raise
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
    ) -> Shard:
        """Evaluate the points that the journal lacks; each is in it before the next begins.

        Args:
            indices: Flat row-major indices of the points, in the order of their evaluation.
            what: What to call the work in the log.
            journal: Of this fingerprint; without one nothing is written, and nothing is known.
            keys: The metric keys that are expected; left out, those of the first point.
        """
        known = self._known(journal, keys) if journal else {}
        points = [tuple(point) for point in self.grid.points(indices).tolist()]
        missing = [point for point in points if point not in known]
        found = len(points) - len(missing)
        already = f", {found} of them in the journal" if journal else ""
        log.info("%s: %d points%s", what, len(points), already)
        evaluator = _Shrinking(self.bench, self.plan, self.stops)
        progress = Progress(what, len(missing), self.bench.samples_per_point)

        def record(point: tuple[float, ...], values: Values) -> None:
            with self.stops.shield():
                if journal:
                    journal.append(point, values, evaluator.plan.canonical())
                progress.step()

        try:
            shard = measure(
                self.bench.problem.model,
                evaluator,
                self.directions,
                self.grid,
                indices,
                known=known,
                record=record,
                keys=keys,
            )
        finally:
            progress.close()
        if missing:
            self._check_farthest(shard, evaluator.plan)
        plans = {journal.plans[point] for point in points} if journal else evaluator.plans
        return dataclasses.replace(shard, plans=tuple(sorted(plans)), fingerprint=self.fingerprint)

    def _known(self, journal: Journal, keys: Sequence[str]) -> dict[Point, Values]:
        """Read the journal; standard errors of points that were evaluated without are missing."""
        found = journal.read(keys)
        if not self.bench.standard_error and not self.bench.bootstrap:
            return {point: metrics_of(values) for point, values in found.items()}
        without = sum(not any(map(is_beside, values)) for values in found.values())
        if without:
            log.warning(
                "%d points in the journal were evaluated without standard errors, which are NaN "
                "there. To have them, remove %s, and every point is evaluated again.",
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
        far = int(np.argmax(np.linalg.norm(self.grid.points(shard.indices), axis=1)))
        part = self._part(len(shard.indices))
        found = {key: float(values[far]) for key, values in shard.values.items()}
        if part is not self.bench:
            found = self._values_on(part, used, shard.indices[far])
        wanted = self._values_on(part, plain, shard.indices[far])
        key, apart = disagreement(found, wanted, self.bench.counted(wanted))
        if apart > FAR:
            log.warning(
                "At %s, %s differs by %.1e between this plan and the plain model: so far from the "
                "centre, rounding decides that much. Use 'precision: float64' if it matters.",
                self.grid.points([shard.indices[far]])[0].tolist(),
                key,
                apart,
            )

    def _part(self, points: int) -> Bench:
        """Return the problem on so many of its samples that a point costs 1 % of the shard."""
        each = self.bench.samples_per_point // len(self.bench.data)
        return self.bench.first(max(FEWEST, int(SHARE * points * each)))

    def _values_on(self, bench: Bench, plan: Plan, index: int) -> Values:
        model, evaluator = bench.problem.model, bench.evaluator(plan)
        values = measure(model, evaluator, self.directions, self.grid, [int(index)]).values
        return {key: float(column[0]) for key, column in values.items()}


class _Shrinking:
    """Evaluates with a plan; where memory runs out, goes on with half the batch, and says so."""

    def __init__(self, bench: Bench, plan: Plan, stops: Stops) -> None:
        self._bench, self._stops = bench, stops
        self.plan = plan
        self.plans: set[str] = set()
        self._evaluate = self._evaluator()  # now: it lays the model out, before it is moved about

    def _evaluator(self) -> Evaluator | WithCurvature:
        while True:
            try:
                evaluate = self._bench.evaluator(self.plan)
                return with_curvature(self._bench, evaluate, self._stops.check)
            except (RuntimeError, MemoryError) as error:
                self._shrink(error)

    @property
    def points_at_once(self) -> int:
        return self.plan.points_at_once

    def __call__(self, model: nn.Module) -> Values:
        return self.several(model, [()], lambda point: None)[0]

    def several(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> list[Values]:
        while True:
            try:
                values = self._evaluate.several(model, points, go, self._stops.check)
                self.plans.add(self.plan.canonical())
                return values
            except (RuntimeError, MemoryError) as error:
                self._shrink(error)
                self._evaluate = self._evaluator()
                to_eval(model)  # a metric that was stopped halfway may have changed the mode

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
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _refuse_other_model(path: Path, model: str) -> None:
    found = directions_attributes(path).get("model")
    if found != model:
        raise InputError(
            f"{path}: these directions were made for other weights. Remove the file and type the "
            "same command again."
        )
