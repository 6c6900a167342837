"""Play a run on many GPUs: how long it takes and what is lost, against GPUs and size of shards.

``python -m benchmarks.simulation --help`` plays a run with numbers of your own.  What is simulated
are shards as the pipeline has them: a shard waits for a GPU, for the scheduler and for a core to
start on; it evaluates its points one after the other, each with a duration of its own; where its
process dies, the point in flight and the start are lost and the shard goes on later.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import simpy

from benchmarks.table import Table

Step = Generator[simpy.Event, Any, None]
HOUR = 3600.0


@dataclass(frozen=True)
class Costs:
    """What things cost, in seconds unless said otherwise: as measured, not as wished.

    Attributes:
        once: Before the first shard: the scheduler's start, directions, the probe.
        once_shard: The same, for each shard: the scheduler's graph of jobs.
        dispatch: Of the scheduler's own time for every job, one job after the other.
        start: A core's time that a shard takes before its first point: imports, problem, check.
        point: Mean duration of a point.
        spread: Standard deviation of points' durations over their mean; they are log-normal.
        read: For a starting shard to read one point from the journals.
        close: After a shard's last point: its file is written and looked at.
        merge: Merging, whatever the number of points.
        merge_shard: Merging, for each shard.
        failures: Deaths of one shard's process, in an hour of its life.
        requeue: From a death until the scheduler has the shard back in its queue.
        sync: For which the file system serves nobody else, a flush of a journal: one in a second
            or in a point, whichever is longer, of every shard.
    """

    once: float = 20.0
    once_shard: float = 0.003
    dispatch: float = 0.1
    start: float = 5.0
    point: float = 1.0
    spread: float = 0.1
    read: float = 0.0
    close: float = 0.5
    merge: float = 2.0
    merge_shard: float = 0.01
    failures: float = 0.0
    requeue: float = 5.0
    sync: float = 0.0


@dataclass(frozen=True)
class Machines:
    """What a run runs on.

    Attributes:
        gpus: How many shards are evaluated at once.
        cores: How many of them can start at once.
    """

    gpus: int = 1
    cores: int = 1


@dataclass(frozen=True)
class Played:
    """How a simulated run went.

    Attributes:
        wall: Seconds from the command to the surface.
        lost: Seconds of GPUs on points that a death threw away, and on the starts after deaths.
        deaths: How often a shard's process died.
        useful: Share of the GPUs' time, from the command to the surface, that went into points
            that were kept.
    """

    wall: float
    lost: float
    deaths: int
    useful: float


def play(points: int, shards: int, costs: Costs, machines: Machines, seed: int = 0) -> Played:
    """Play one run.

    Args:
        points: Of the grid.
        shards: In how many parts of as equal a number of points as can be.
        costs: What things cost.
        machines: On what.
        seed: Of durations and deaths.
    """
    run = _Run(points, costs, machines, np.random.default_rng(seed))
    sizes = [points // shards + (part < points % shards) for part in range(shards)]
    return run.played(sizes)


class _Run:
    def __init__(
        self, points: int, costs: Costs, machines: Machines, chance: np.random.Generator
    ) -> None:
        self.costs, self.machines, self.chance = costs, machines, chance
        self.clock = simpy.Environment()
        self.scheduler = simpy.Resource(self.clock, 1)
        self.gpus = simpy.Resource(self.clock, machines.gpus)
        self.cores = simpy.Resource(self.clock, machines.cores)
        waiting = costs.sync * min(machines.gpus, points) / max(1.0, costs.point)
        self.slowness = max(1.0, waiting)  # more flushes than the file system has time for
        self.finished, self.deaths, self.lost, self.kept = 0, 0, 0.0, 0.0

    def played(self, sizes: Sequence[int]) -> Played:
        self.clock.process(self._whole(sizes))
        self.clock.run()
        wall = self.clock.now
        return Played(wall, self.lost, self.deaths, self.kept / (wall * self.machines.gpus))

    def _whole(self, sizes: Sequence[int]) -> Step:
        yield self.clock.timeout(self.costs.once + self.costs.once_shard * len(sizes))
        yield simpy.AllOf(self.clock, [self.clock.process(self._shard(size)) for size in sizes])
        yield self.clock.timeout(self.costs.merge + self.costs.merge_shard * len(sizes))

    def _shard(self, size: int) -> Step:
        ends = np.cumsum(self._durations(size))
        done = 0
        while True:
            with self.gpus.request() as gpu:
                yield gpu
                with self.scheduler.request() as turn:
                    yield turn
                    yield self.clock.timeout(self.costs.dispatch)
                done, ended = yield self.clock.process(self._attempt(ends, done))
            if ended:
                return
            yield self.clock.timeout(self.costs.requeue)

    def _attempt(self, ends: np.ndarray, done: int) -> Generator[simpy.Event, Any, Any]:
        """Go on after ``done`` points; return how many are done, and whether the shard is."""
        dies = self._next_death()
        starting = self.costs.start + self.costs.read * self.finished
        with self.cores.request() as core:
            yield core
            yield self.clock.timeout(min(starting, dies))
        if dies < starting:
            return self._died(dies, done)
        before = ends[done - 1] if done else 0.0
        took = ends[-1] - before + self.costs.close
        if starting + took <= dies:
            yield self.clock.timeout(took)
            self._keep(ends[-1] - before, len(ends) - done)
            return len(ends), True
        alive = dies - starting
        yield self.clock.timeout(alive)
        kept = int(np.searchsorted(ends, before + alive, side="right"))
        useful = (ends[kept - 1] if kept else 0.0) - before
        self._keep(useful, kept - done)
        return self._died(starting + alive - useful, kept)

    def _keep(self, seconds: float, points: int) -> None:
        self.kept += float(seconds)
        self.finished += points

    def _died(self, lost: float, done: int) -> tuple[int, bool]:
        self.lost += float(lost)
        self.deaths += 1
        return done, False

    def _next_death(self) -> float:
        if not self.costs.failures:
            return math.inf
        return float(self.chance.exponential(HOUR / self.costs.failures))

    def _durations(self, size: int) -> np.ndarray:
        """Draw log-normal durations with the mean and spread asked for."""
        variance = math.log1p(self.costs.spread**2)
        middle = math.log(self.costs.point) - variance / 2
        return self.slowness * self.chance.lognormal(middle, math.sqrt(variance), size)


def often(
    points: int, shards: int, costs: Costs, machines: Machines, times: int = 20
) -> list[Played]:
    """Play a run many times, each with chances of its own."""
    return [play(points, shards, costs, machines, seed) for seed in range(times)]


def typical(plays: Sequence[Played]) -> Played:
    """Return the medians of many plays."""
    found = {f.name: statistics.median(getattr(p, f.name) for p in plays) for f in fields(Played)}
    return replace(plays[0], **found)


def outlook(
    points: int, costs: Costs, gpus: Sequence[int], minutes: Sequence[float], cores: int
) -> Table:
    """Return what to expect, against the number of GPUs and minutes of points a shard."""
    rows = []
    for count in gpus:
        for length in minutes:
            shards = max(1, min(points, round(points * costs.point / (60 * length))))
            found = typical(often(points, shards, costs, Machines(count, cores * count), 5))
            ideal = points * costs.point / count
            rows.append(
                [
                    f"{count:,}",
                    f"{length:g}",
                    f"{shards:,}",
                    clock(ideal),
                    clock(found.wall),
                    f"{100 * found.useful:.0f} %",
                    f"{found.deaths:,.0f}",
                    clock(found.lost),
                ]
            )
    header = (
        *("GPUs", "minutes a shard", "shards", "ideal", "to the surface", "useful"),
        *("deaths", "lost, GPU time"),
    )
    told = ", ".join(f"{field.name} {getattr(costs, field.name):g}" for field in fields(Costs))
    return Table(f"{points:,} points", header, rows, f"{told}; {cores} cores a GPU. Medians of 5.")


def clock(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 600:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours}:{rest:02} h" if hours else f"{rest} min"


def main(argv: list[str] | None = None) -> int:
    """Play runs and print what to expect; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--points", type=int, default=2601, help="of the grid (default: 2601)")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1000])
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 10], help="of a shard")
    parser.add_argument("--cores", type=int, default=4, help="beside each GPU (default: 4)")
    for field in fields(Costs):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=float,
            default=field.default,
            help="see docs/scale.md (default: %(default)s)",
        )
    args = parser.parse_args(argv)
    costs = Costs(**{field.name: getattr(args, field.name) for field in fields(Costs)})
    table = outlook(args.points, costs, args.gpus, args.minutes, args.cores)
    sys.stdout.write(f"{table.markdown()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
