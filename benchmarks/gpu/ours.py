"""Ours on a GPU: the plan that a run finds, and what evaluating with it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from benchmarks.gpu.cases import Case, metrics
from benchmarks.gpu.scale import Scale, timed
from landscape_lib import Axis, Grid, Problem
from landscape_lib.config import EvaluationSettings
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.lending import borrowed
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import Shard
from landscape_lib.steps.bench import Bench, lay_out, settings_kept
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.planning import choose_plan
from landscape_lib.utils.signals import Stops

SHARE = 0.6  # of the time that is left for a row, which one measurement may take


@dataclass(frozen=True)
class Measured:
    """What evaluating some points took.

    Attributes:
        plan: How they were evaluated.
        search_s: Finding it.
        points: How many there were.
        seconds: From the plan to the values: moving the samples there, recording, all points.
        samples: Of a point.
        peak: Most bytes on the GPU meanwhile, the samples aside; 0 where there is none.
        shard: The values.
    """

    plan: Plan
    search_s: float
    points: int
    seconds: float
    samples: int
    peak: int
    shard: Shard

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.points * self.samples / self.seconds

    def spelled(self) -> str:
        """Say how points were evaluated, in words."""
        chosen = [n for n in ("fold", "channels_last", "compile", "graph") if vars(self.plan)[n]]
        batch = f"{self.plan.batch_size or 'own'} a batch"
        together = f"{self.plan.points_at_once} at once" if self.plan.points_at_once > 1 else ""
        return ", ".join(filter(None, [batch, *chosen, together]))


def square(count: int, reach: float = 1.0) -> Grid:
    """Return a grid around the centre."""
    return Grid((Axis(-reach, reach, count), Axis(-reach, reach, count)))


@dataclass(frozen=True)
class Ours:
    """A case that is evaluated in a precision.

    Attributes:
        case: The network with its samples.
        precision: As in the settings.
        grid: All points.
        scale: Where.
    """

    case: Case
    precision: str
    grid: Grid
    scale: Scale

    @cached_property
    def wishes(self) -> EvaluationSettings:
        """What the settings would say."""
        told = {"device": self.scale.device, "precision": self.precision}
        return EvaluationSettings.model_validate(told)

    @cached_property
    def bench(self) -> Bench:
        """The problem with its samples."""
        problem = Problem(self.case.net, (self.case.inputs, self.case.targets), metrics())
        return lay_out(self.case.name, problem, code="", args={}, wishes=self.wishes)

    def work(self, plan: Plan) -> Work:
        """Return what evaluates points by a plan."""
        net = self.case.net
        directions = [create_random_direction(net, seed=0, axis=axis) for axis in (0, 1)]
        return Work(self.bench, plan, directions, self.grid, Stops())

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the network; it is back on the CPU afterwards."""
        with borrowed(self.case.net), settings_kept():
            yield

    def plan(self) -> Plan:
        """Find the plan of a run over the whole grid."""
        return choose_plan(self.bench, self.wishes, self.grid)

    def measured(self, most: int | None = None, plan: Plan | None = None) -> Measured:
        """Find the plan, evaluate points, and say what that took.

        As many as are asked for, or as there is time for: a few are timed first.

        Args:
            most: How many points; None: the whole grid.
            plan: Instead of the one that is found.
        """
        bench = self.bench
        with self.lent():
            with timed(self.scale.device) as search:
                plan = plan or self.plan()
            work, order = self.work(plan), self.grid.order()
            few = order[: 4 * plan.points_at_once]
            with timed(self.scale.device) as first:
                work.evaluate(few, self.case.name)
            fitting = len(few) * SHARE * self.scale.left() / first[0]
            points = max(len(few), int(min(most or len(order), fitting)))
            _forget_peak(self.scale.device)
            with timed(self.scale.device) as seconds:
                shard = work.evaluate(order[:points], self.case.name)
            peak = _peak(self.scale.device, self.case.bytes_on(self.precision))
        count = len(shard.indices)
        return Measured(plan, search[0], count, seconds[0], bench.samples_per_point, peak, shard)

    def exactly(self, indices: np.ndarray) -> Shard:
        """Evaluate points in float64, as the plain model, whatever the precision."""
        plan = Plan(self.scale.device, "float64", None, torch.get_num_threads())
        batch = None if self.scale.tiny else 512
        with self.lent():
            return self.work(replace(plan, batch_size=batch)).evaluate(indices, "float64")


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str, samples: int) -> int:
    return torch.cuda.max_memory_allocated() - samples if device == "cuda" else 0
