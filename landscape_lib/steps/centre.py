"""What can be measured at the centre of a landscape with the model at hand, beside its values."""

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape_lib.config import Experiment, VerdictSettings
from landscape_lib.core import geometry
from landscape_lib.core.curvature import Objective, Spread, UnmeasurableError, combined, drawn
from landscape_lib.core.direction import Direction
from landscape_lib.core.evaluator import Evaluator, Values
from landscape_lib.core.lending import batch_norms, in_eval_mode, with_batch_statistics
from landscape_lib.core.perturbation import excursion
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import coarsest
from landscape_lib.core.randomness import fixed_randomness, reseed
from landscape_lib.core.samples import Samples
from landscape_lib.core.surface import Surface, metrics_of
from landscape_lib.steps.bench import Bench, refuse_changed, set_up
from landscape_lib.steps.derivatives import AtCentre
from landscape_lib.steps.gpus import own_gpu
from landscape_lib.steps.hessian import Hessian
from landscape_lib.steps.objective import (
    Found,
    has_derivative,
    loss_of,
    objective_of,
    refuse_reestimation,
    train_losses,
    tried,
)
from landscape_lib.steps.report import read_probe
from landscape_lib.utils.records import write_record
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_directions, load_surface

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
SPREAD_SAMPLES = 1024  # whose losses are looked at one by one: their spread is known to 2 %
NORM_SAMPLES = 512  # of one batch, where norms use its statistics
PLACES = 2  # along each axis, where bumps are compared with their sampling error


def measure_centre(experiment: Experiment, out: Path | str, stops: Stops) -> None:
    """Measure a run's centre, and write what was found as JSON."""
    report = read_probe(experiment.path("probe.json"))
    with own_gpu(str(report["plan"]["device"]), stops.check):
        found = _measured(experiment, report, stops)
    write_record(out, found)


def _measured(experiment: Experiment, report: Mapping[str, Any], stops: Stops) -> dict[str, Any]:
    bench = set_up(experiment, report["problem"])
    refuse_changed(bench.parts, report["problem"], experiment)
    centre = Centre(
        bench,
        Plan(**report["plan"]),
        load_directions(experiment.path("directions.h5")),
        load_surface(experiment.path("surface.h5")),
        experiment.verdict,
        stops,
        seconds_per_point=float(report["seconds_per_point"]),
    )
    return centre.measured()


@dataclass(frozen=True)
class Centre:
    """A problem at its centre, and the landscape around it.

    Attributes:
        bench: The problem with its samples.
        plan: How the surface was evaluated.
        directions: One an axis of the surface.
        surface: What was computed.
        wishes: What the settings ask for.
        stops: Told when to end.
        seconds_per_point: What a point of the surface cost.
    """

    bench: Bench
    plan: Plan
    directions: Sequence[Direction]
    surface: Surface
    wishes: VerdictSettings
    stops: Stops
    seconds_per_point: float = 0.0

    def measured(self) -> Found:
        """Return everything that was measured, part by part.

        A part that cannot be measured here is ``{"unknown": reason}``.
        """
        start = time.perf_counter()
        found: Found = {
            "format": "landscape centre",
            "format_version": FORMAT_VERSION,
            "values": self._own_values(),
            "loss": self._key,
            "precision": self._precision,
            "derivatives": self._plain.precision,
            "device": torch.device(self.plan.device).type,
            "samples": self.bench.data["train"].count,
            "directions": [self._told(direction) for direction in self.directions],
            "norms": self._norms(),
        }
        for name, measure in (
            ("indifferent", self._indifferent),
            ("spread", self._spread),
            ("lowest", self._lowest),
            ("bumps", self._bumps),
            ("statistics", self._statistics),
        ):
            found[name] = tried(name, measure)
        found |= self._derivatives().measured()
        log.info("The centre was measured in %.1f s.", time.perf_counter() - start)
        return found

    @cached_property
    def _plain(self) -> Plan:
        plain = replace(self.plan.plain(), batch_size=self.plan.batch_size)  # what fits in memory
        return self.bench.exact(plain)

    @property
    def _precision(self) -> str:
        """The type that decides how exact values of the surface are."""
        known = {"model": coarsest(self.bench.types), "bf16": "bfloat16"}
        return known.get(self.plan.precision, self.plan.precision)

    @cached_property
    def _key(self) -> str | None:
        """The loss that derivatives and spread are of: the first that torch differentiates."""
        losses = train_losses(self.surface.labels)
        known = [] if self.bench.own_loop else losses
        smooth = (key for key in known if has_derivative(self.bench, key, self._samples))
        return next(smooth, losses[0] if losses else None)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return self.bench.evaluator(self._plain)

    @property
    def _samples(self) -> Samples:
        return self._evaluator.data["train"]

    def _own_values(self) -> Values:
        """Evaluate the model as it is: no direction, no step, no plan made for speed."""
        model = self.bench.problem.model
        plan = replace(self._plain, precision=self.plan.precision)
        evaluate = self._evaluator if plan == self._plain else self.bench.evaluator(plan)
        with in_eval_mode(model), fixed_randomness():
            return metrics_of(evaluate(model, self.stops.check))

    def _told(self, direction: Direction) -> Found:
        squares = sum(float(t.double().square().sum()) for t in direction)
        kept = ("kind", "dir_type", "normalize", "ignore", "orthogonal", "curve")
        about = {
            name: str(direction.attributes[name]) for name in kept if name in direction.attributes
        }
        return {"kind": "file", "dir_type": "weights", **about, "length": math.sqrt(squares)}

    def _norms(self) -> Found:
        model = self.bench.problem.model
        names = [type(m).__name__ for m in model.modules() if "Norm" in type(m).__name__]
        found = {"kinds": dict(sorted(Counter(names).items())), "batch": len(batch_norms(model))}
        return found if self.bench.reestimation is None else {**found, "reestimated": True}

    def _loss(self) -> str:
        """Return the key of the loss, of which more than values can be had."""
        return loss_of(self.bench, self._key)

    def _objective(self, samples: Samples) -> Objective:
        return objective_of(self.bench, self._key, samples, self.plan.batch_size)

    @cached_property
    def _few(self) -> Objective:
        return self._objective(drawn(self._samples, SPREAD_SAMPLES))

    def _derivatives(self) -> AtCentre:
        most = self.wishes.samples
        hessian = Hessian(
            self.bench,
            self._key,
            drawn(self._samples, most) if most else self._samples,
            self.plan.batch_size or self.bench.batch_size,
            self.stops.check,
        )
        run_s = self.seconds_per_point * self.surface.grid.size
        return AtCentre(hessian, self.directions, self.wishes, run_s)

    # -------------------------------------------------------------- differences between samples

    def _spreads(self, points: Sequence[Sequence[float]]) -> list[Spread]:
        """Return the samples' losses at points; the model is put back.

        Raises:
            UnmeasurableError: If batch norms are estimated anew at every point.
        """
        refuse_reestimation(self.bench)
        found = []
        few = self._few
        with excursion(self.bench.problem.model, self.directions) as trip:
            for point in points:
                trip.move([float(step) for step in point])
                found.append(few.spread(self.stops.check))
        return found

    def _spread(self) -> Found:
        (here,) = self._spreads([[0.0] * len(self.directions)])
        return {"standard_error": here.standard_error(), "samples": len(here.totals)}

    def _lowest(self) -> Found:
        """Compare the grid's lowest point with the centre, sample by sample.

        Raises:
            UnmeasurableError: If no value is finite.
        """
        values = self.surface[self._loss()]
        place = geometry.lowest(values)
        if place is None:
            raise UnmeasurableError("no value is finite")
        point = self._point(place)
        spreads = self._spreads([point, [0.0] * len(point)])
        below = combined(spreads, [1.0, -1.0])
        return {
            "point": point,
            "difference": below.mean(),
            "standard_error": below.standard_error(),
            "samples": len(below.totals),
        }

    def _bumps(self) -> Found:
        """Compare the rest that parabolas leave with its sampling error, at a few places.

        Raises:
            UnmeasurableError: If the surface is not rough.
        """
        values, _ = geometry.as_drawn(self.surface[self._loss()])
        rest = geometry.roughness(values)
        if rest is None or not rest.rough:
            raise UnmeasurableError("the surface is not rough at this spacing")
        found = [
            self._bump(axis, place)
            for axis, count in enumerate(values.shape)
            if count >= geometry.FEWEST
            for place in _places(values.shape, axis)
        ]
        return {"places": found, "samples": self._few.samples.count}

    def _bump(self, axis: int, place: tuple[int, ...]) -> Found:
        around = [tuple(n + d * (k == axis) for k, n in enumerate(place)) for d in range(-2, 3)]
        spreads = self._spreads([self._point(p) for p in around])
        factors = geometry.SHARE * geometry.STENCIL
        losses = np.array([spread.mean() for spread in spreads])
        if geometry.as_drawn(self.surface[self._loss()])[1]:
            slopes, losses = 1 / (losses * math.log(10)), np.log10(losses)
        else:
            slopes = np.ones(len(losses))
        return {
            "point": self._point(place),
            "axis": "xy"[axis],
            "residual": float(factors @ losses),
            # of a function of means, to first order: that of the means times its slopes
            "standard_error": combined(spreads, (factors * slopes).tolist()).standard_error(),
        }

    def _point(self, place: tuple[int, ...]) -> list[float]:
        axes = self.surface.grid.axes
        return [float(axis.steps()[n]) for axis, n in zip(axes, place, strict=True)]

    # ----------------------------------------------------------------------- single evaluations

    def _indifferent(self) -> Found:
        """Return the loss of a model whose outputs are all zero: of class scores, chance."""
        objective = self._objective(self._samples)
        return {"loss": objective.value_of_zero(self.stops.check)}

    def _statistics(self) -> Found:
        """Evaluate with the running statistics and with the batch's own, at a few points.

        Raises:
            UnmeasurableError: If the samples make no batch.
        """
        model = self.bench.problem.model
        if not batch_norms(model):
            return {"points": []}
        key = self._loss()
        few = drawn(self._samples, NORM_SAMPLES)
        plan = replace(self._plain, batch_size=few.count)
        if not few.whole:
            raise UnmeasurableError("the samples cannot be put into one batch")
        evaluate = self.bench.evaluator_on({"train": few}, plan)
        found = []
        with excursion(model, self.directions) as trip, fixed_randomness():
            for point in self._halfway():
                trip.move(point)
                reseed()
                fixed = evaluate(model, self.stops.check)[key]
                with with_batch_statistics(model):
                    reseed()
                    fresh = evaluate(model, self.stops.check)[key]
                found.append({"point": point, "fixed": fixed, "fresh": fresh})
        return {"points": found, "samples": few.count}

    def _halfway(self) -> list[list[float]]:
        """Return the centre, and the grid's points nearest to half-way out along every axis."""
        zero = [0.0] * len(self.directions)
        found = [zero]
        for number, axis in enumerate(self.surface.grid.axes):
            steps = axis.steps()
            step = float(steps[int(np.argmin(np.abs(steps - steps[-1] / 2)))])
            found.append([step if k == number else 0.0 for k in range(len(zero))])
        return found


def _places(shape: tuple[int, ...], axis: int) -> list[tuple[int, ...]]:
    """Return places spread over the grid, two steps from either end of an axis."""
    found = set()
    for number in range(PLACES):
        share = (number + 1) / (PLACES + 1)
        place = [round(share * (count - 1)) for count in shape]
        place[axis] = min(max(place[axis], 2), shape[axis] - 3)
        found.add(tuple(place))
    return sorted(found)
