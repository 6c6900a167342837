"""How a whole landscape is computed in one process: the pipeline with one shard."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from landscape_lib.adaptive.choosing import first_round, next_round
from landscape_lib.config import EvaluationSettings, VerdictSettings
from landscape_lib.core.curvature import UnmeasurableError
from landscape_lib.core.direction import Direction, cosine
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Grid, Refinement
from landscape_lib.core.keys import labels_for
from landscape_lib.core.lending import borrowed
from landscape_lib.core.plan import Plan, plain_plan
from landscape_lib.core.precision import said_of
from landscape_lib.core.surface import Surface, merge
from landscape_lib.steps.bench import Bench, settings_kept
from landscape_lib.steps.centre import Centre
from landscape_lib.steps.derivatives import AtCentre
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.hessian import Hessian
from landscape_lib.steps.planning import settled_plan
from landscape_lib.steps.preview import leave_preview, partial_surface
from landscape_lib.steps.provenance import provenance
from landscape_lib.steps.recorded import recorded_plans
from landscape_lib.steps.rounding import measured_rounding, told_rounding
from landscape_lib.steps.rounds import completed_surface
from landscape_lib.utils.hashing import canonical
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.locks import turn
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import (
    load_surface,
    save_directions,
    save_surface,
)
from landscape_lib.verdict.evidence import Evidence
from landscape_lib.verdict.judge import Verdict, judge, tell

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where a landscape is kept: three names beside each other.

    Attributes:
        surface: The surface file.
    """

    surface: Path

    @property
    def directions(self) -> Path:
        """The file of its directions."""
        return self.surface.with_name(f"{self.surface.name}.directions.h5")

    @property
    def journal(self) -> Path:
        """The folder with every finished point."""
        return self.surface.with_name(f"{self.surface.name}.journal")

    def what_is_there(self) -> Surface | None:
        """Return the surface that lies there; None where there is no file.

        Raises:
            InputError: If what lies there is no surface: it must not be overwritten.
        """
        if not self.surface.exists():
            return None
        try:
            return load_surface(self.surface)
        except (InputError, RuntimeError) as error:
            found = "is a folder" if self.surface.is_dir() else f"is no surface file ({error})"
            raise InputError(
                f"{self.surface} {found}. Move it away, or choose another surf_file."
            ) from None

    def make_room(self, axes: int) -> None:
        """Put aside a surface of another number of axes, or one that an earlier tool made."""
        there = self.what_is_there()
        if there is None:
            return
        if len(there.grid.axes) != axes or "fingerprint" not in there.attributes:
            self.put_aside(len(there.grid.axes))

    def put_aside(self, axes: int) -> None:
        """Rename surface and directions that have so many axes, and say so."""
        kind = {1: "a curve", 2: "a surface"}[axes]
        name, ending = self.surface.stem, self.surface.suffix
        mores = chain([""], (f"-{number}" for number in count(2)))
        paths = (self.surface.with_name(f"{name}.{axes}d{more}{ending}") for more in mores)
        aside = Place(next(path for path in paths if not path.exists() or self._is_also(path)))
        log.warning("%s holds %s; it is kept as %s.", self.surface, kind, aside.surface)
        if self.directions.exists():
            self.directions.replace(aside.directions)
        self.surface.replace(aside.surface)

    def _is_also(self, path: Path) -> bool:
        """Tell whether another file holds the same landscape: then it may be replaced."""
        try:
            one, other = load_surface(self.surface), load_surface(path)
        except (InputError, RuntimeError):
            return False
        mark = one.attributes.get("fingerprint")
        same = mark is not None and mark == other.attributes.get("fingerprint")
        return same and one.grid == other.grid


def compute(
    bench: Callable[[], Bench],
    wishes: EvaluationSettings,
    directions: Sequence[Direction],
    grid: Grid,
    place: Place | None = None,
    refinement: Refinement | None = None,
) -> Surface:
    """Evaluate a grid, and keep what comes out where a place is given.

    With a place, every finished point is in its journal before the next one begins, and the same
    call after an interruption goes on from there; surface and directions are written at the end,
    each whole or not at all.  The model, the global random state and torch's settings are
    afterwards what they were, also after an exception or Ctrl-C.

    Args:
        bench: Lays out the problem: reads its data and takes its fingerprint.
        wishes: How points are to be evaluated.
        directions: One an axis of the grid.
        grid: Where on the landscape we look.
        place: Where to keep the surface; None writes nothing.
        refinement: How exact points must be that are not evaluated; None evaluates all.

    Returns:
        The surface, with its provenance as attributes.
    """
    if place:
        place.what_is_there()  # refuses now what must not be overwritten later
    grid.warn_of_missed_centre()
    problem = bench()
    what = place.surface.name if place else "landscape"
    with borrowed(problem.problem.model), settings_kept():
        plan = settled_plan(problem, wishes, grid, place.journal if place else None)
        rounding = measured_rounding(problem, plan, grid)
        notes = problem.first(problem.batch_size).evaluator(plan.plain()).notes
        work = Work(problem, plan, directions, grid, Stops())
        with _kept_points(place, work, what) as journal:
            surface = _evaluated(work, what, journal, refinement, notes)
    about = _about(what, work)
    rounded = {name: canonical(found) for name, found in told_rounding(rounding).items()}
    attributes = {**surface.attributes, **_told(what, work, about), **rounded, "shards": 1}
    surface = replace(surface, attributes=attributes)
    if place:
        place.make_room(len(grid.axes))
        save_directions(place.directions, directions, {**about, "model": problem.parts["model"]})
        save_surface(place.surface, surface)
        log.info("%s: %d points, %s", place.surface, grid.size, ", ".join(surface.keys))
    return surface


def _evaluated(
    work: Work,
    what: str,
    journal: Journal | None,
    refinement: Refinement | None,
    notes: Mapping[str, str],
) -> Surface:
    """Return the surface of all points, or of those that an adaptive grid needs, and the others."""
    metrics = work.bench.problem.metrics
    if refinement is None:
        surface = merge([work.evaluate(work.grid.order(), what, journal)])
        return replace(surface, labels=labels_for(metrics, surface.keys, notes))
    rounds = [first_round(work.grid)]
    shards = []
    while True:
        chosen = rounds[-1]
        shards.append(work.evaluate(chosen.indices, f"{what} round {len(rounds) - 1}", journal))
        wanted = [index for one in rounds for index in one.indices]
        surface = merge(shards, wanted)
        surface = replace(surface, labels=labels_for(metrics, surface.keys, notes))
        found = next_round(work.grid, rounds, surface.values, surface.labels, refinement)
        if found is None:
            return completed_surface(surface, rounds, refinement, what)
        rounds.append(found)


@contextmanager
def _kept_points(place: Place | None, work: Work, what: str) -> Iterator[Journal | None]:
    if place is None:
        yield None
        return
    folder = place.journal / work.fingerprint
    with turn(folder / "0-of-1.lock", what), Journal(folder) as journal:
        try:
            yield journal
        except KeyboardInterrupt:
            journal.close()
            log.warning(
                "%s: interrupted; %d of %d points are kept, and the same call goes on from there.",
                what,
                sum(tuple(point) in journal.plans for point in work.grid.points().tolist()),
                work.grid.size,
            )
            _show_what_there_is(place, work, journal)
            raise


def _show_what_there_is(place: Place, work: Work, journal: Journal) -> None:
    from landscape_lib.viz.style import PLAIN_LOOK

    name = f"{place.surface}.preview"
    leave_preview(
        lambda: partial_surface(work.grid, journal.read()),
        Path(f"{name}.h5"),
        f"{name}_",
        PLAIN_LOOK,
    )


def judged(
    bench: Callable[[], Bench],
    wishes: VerdictSettings,
    directions: Sequence[Direction],
    surface: Surface,
    name: str,
) -> Verdict:
    """Measure the model at the centre of its surface, and judge the surface.

    The model, the global random state and torch's settings are afterwards what they were.

    Args:
        bench: Lays out the problem: reads its data and takes its fingerprint.
        wishes: What is to be measured.
        directions: Those of the surface.
        surface: What was computed.
        name: What to call it.
    """
    problem = bench()
    model = problem.problem.model
    with borrowed(model), settings_kept():
        plan = next(iter(recorded_plans(surface)), plain_plan(model, "cpu"))
        centre = Centre(problem, plan, directions, surface, wishes, Stops()).measured()
    verdict = judge(Evidence(name, surface, centre))
    tell(verdict)
    return verdict


def spectrum(
    bench: Callable[[], Bench], wishes: VerdictSettings, plan: Plan
) -> dict[str, dict[str, Any]]:
    """Measure the Hessian's spectrum at the model's weights as they are now.

    The model, the global random state and torch's settings are afterwards what they were.

    Args:
        bench: Lays out the problem: reads its data and takes its fingerprint.
        wishes: What is to be measured, and on how many samples.
        plan: Where, in which precision and batches derivatives are taken.

    Returns:
        ``eigenvalues``, ``trace`` and ``density``, as ``centre.json`` has them.

    Raises:
        InputError: If torch differentiates no loss of the problem, or products are not finite.
    """
    problem = bench()
    with borrowed(problem.problem.model), settings_kept():
        try:
            hessian = Hessian.of(problem, problem.evaluator(plan), wishes.samples, Stops().check)
        except UnmeasurableError as error:
            raise InputError(f"There is no spectrum: {error}.") from error
        found = AtCentre(hessian, (), wishes, 0.0).measured()
    parts = {name: found[name] for name in ("eigenvalues", "trace", "density")}
    if "unknown" in parts["density"]:
        raise InputError(f"There is no spectrum: {parts['density']['unknown']}.")
    return parts


def _about(what: str, work: Work) -> dict[str, Any]:
    """Return what is said of the directions, in their own file and in the surface's."""
    if len(work.directions) < 2:
        return {"content": work.content}
    found = cosine(*work.directions)
    log.info("%s: cosine between the directions: %.4g", what, found)
    return {"content": work.content, "cosine": found}


def _told(what: str, work: Work, about: dict[str, Any]) -> dict[str, Any]:
    directions = work.directions
    config = {
        "grid": [[axis.low, axis.high, axis.count] for axis in work.grid.axes],
        "directions": [dict(direction.attributes) for direction in directions],
        "evaluation": dict(work.bench.parts["evaluation"]),
        "plan": work.plan.canonical(),
    }
    seeds = [direction.attributes.get("seed") for direction in directions]
    axes = [direction.attributes for direction in directions]
    return provenance(what, config, seeds, about, axes, work.bench.parts, said_of(work.bench.types))
