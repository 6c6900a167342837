"""Signals to the pipeline at random moments, again and again, until it ends by itself.

A round is a run in a folder of its own, from the first job to the last picture.  Moments, signals
and targets are drawn from the seed; where each program is at such a moment, no seed decides.
"""

import contextlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.faults.pipeline import Pipeline, Process, differences

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TARGETS = {"one job": 12, "Snakemake": 3, "the process group": 3, "every process": 2}  # how often
GRID = {"x": [-1, 1, 9], "y": [0, 1.5, 8], "shards": 6}
OPTIONS = ("--cores", "3", "--resources", "gpu=3", "--retries", "2")
SECONDS = 0.4  # that a point takes
SPARED_AFTER = 3  # times that a script other than a shard's is hit in a round, so that it ends
PATIENCE_S = 180.0
SHARD = "evaluate_shard"
NO_JOBS = {"", "snakemake"}


@dataclass(frozen=True)
class Kill:
    """What is done, to whom, and while which scripts ran.

    Attributes:
        number: The signal.
        target: One of ``TARGETS``.
        hit: Names of the processes that got it.
        during: The scripts that were alive; ``starting`` where there was none.
    """

    number: signal.Signals
    target: str
    hit: frozenset[str]
    during: frozenset[str]


@dataclass
class Tally:
    """What was done in all rounds, and what was lost by it."""

    rounds: int = 0
    points: int = 0
    again: int = 0
    starts: int = 0
    kills: list[Kill] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def campaign(
    kills: int,
    seed: int,
    told: Callable[[str], None] = lambda line: None,
    grid: Mapping[str, Any] = GRID,
    targets: Sequence[str] = (),
) -> Tally:
    """Play rounds until so many signals were sent; the last round is played to its end.

    Args:
        kills: How many signals.
        seed: Decides about moments, signals and targets.
        told: Hears of each round.
        grid: Of the run, as the config has it.
        targets: The files to make; everything where none is named.
    """
    tally = Tally()
    points = int(grid["x"][2] * grid["y"][2])
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        whole = Pipeline.new(Path(place, "whole"), grid, 0, OPTIONS)
        whole.run(*targets)
        while len(tally.kills) < kills:
            draw = random.Random(f"{seed} kills {tally.rounds}")
            pipeline = Pipeline.new(Path(place, f"round-{tally.rounds}"), grid, SECONDS, OPTIONS)
            left = kills - len(tally.kills)
            played = Round(pipeline, draw, left, targets)
            broken = played.play() + differences(pipeline, whole)
            again, more = lost(pipeline, points, played.kills)
            tally.broken += [f"round {tally.rounds}: {what}" for what in broken + more]
            tally.rounds += 1
            tally.points += points
            tally.again += again
            tally.starts += played.starts
            tally.kills += played.kills
            told(f"{len(tally.kills)} kills in {tally.rounds} rounds, {len(tally.broken)} faults")
    return tally


@dataclass
class Sender:
    """Draws signals and targets, and sends them.

    Attributes:
        pipeline: Whose processes get them.
        draw: Decides.
        spared: How often each script but a shard's was hit: after a few times no more, so that
            the run comes to an end.
    """

    pipeline: Pipeline
    draw: random.Random
    spared: Counter[str] = field(default_factory=Counter)

    def jobs(self) -> list[Process]:
        """Return the jobs that may be hit."""
        return [found for found in self.pipeline.processes() if self._may_be_hit(found)]

    def _may_be_hit(self, found: Process) -> bool:
        return found.script not in NO_JOBS and self.spared[found.script] < SPARED_AFTER

    def send(self, snakemake: int) -> Kill | None:
        """Send a signal; None where what was drawn would hit a job that is spared by now."""
        number = self.draw.choice(SIGNALS)
        target = self.draw.choices(list(TARGETS), list(TARGETS.values()))[0]
        alive = self.pipeline.processes()
        jobs = [found for found in alive if found.script not in NO_JOBS]
        may = [found for found in jobs if self._may_be_hit(found)]
        if (target == "one job" and not may) or (target != "one job" and may != jobs):
            return None
        hit = {
            "one job": lambda: [self.draw.choice(may)],
            "Snakemake": lambda: [found for found in alive if found.number == snakemake],
            "the process group": lambda: [f for f in alive if _group(f.number) == snakemake],
            "every process": lambda: self.draw.sample(alive, len(alive)),
        }[target]()
        self.spared.update({found.script for found in hit} - NO_JOBS - {SHARD})
        if target == "the process group":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(snakemake, number)
        else:
            for found in hit:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found.number, number)
        during = frozenset(found.script for found in jobs) or frozenset({"starting"})
        return Kill(number, target, frozenset(found.name for found in hit), during)


class Round:
    """One run that is interrupted until it ends by itself.

    Args:
        pipeline: In a fresh folder.
        draw: Decides about moments, signals and targets.
        most: After so many kills it is left alone.
        targets: The files to make.
    """

    def __init__(
        self, pipeline: Pipeline, draw: random.Random, most: int, targets: Sequence[str]
    ) -> None:
        self.pipeline, self.draw, self.most, self.targets = pipeline, draw, most, targets
        self.kills: list[Kill] = []
        self.starts = 0
        self._sender = Sender(pipeline, draw)
        self._seen: set[int] = set()

    def play(self) -> list[str]:
        """Type the command again and again, until it ends with 0; return what went wrong."""
        while True:
            before = len(self.kills)
            orphans = [process for process in self.pipeline.processes() if process.script]
            process = self.pipeline.start(*self.targets)
            self.starts += 1
            try:
                while self._next_moment(process):
                    if sent := self._sender.send(process.pid):
                        self.kills.append(sent)
                code = process.wait(timeout=PATIENCE_S)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            if code == 0:
                return self._left_alive()
            if len(self.kills) == before and not orphans:
                said = (self.pipeline.folder / "said.txt").read_text()
                return [f"a start that nothing disturbed ended with {code}: {said[-2000:]}"]

    def _next_moment(self, process: Popen[bytes]) -> bool:
        """Wait for the next kill; false where the run ends before, or is left alone."""
        if len(self.kills) >= self.most:
            return False
        wanted = len(self.pipeline.evaluations()) + self.draw.randint(2, 20)
        end = time.monotonic() + self.draw.uniform(1, 8)
        late = self.draw.uniform(0, self.draw.choice([0.3, 1.5]))  # some scripts are short
        while process.poll() is None and time.monotonic() < end:
            new = {found.number for found in self._sender.jobs()} - self._seen
            if new or len(self.pipeline.evaluations()) >= wanted:
                self._seen |= new
                break
            time.sleep(0.05)
        end = time.monotonic() + late
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        return process.poll() is None

    def _left_alive(self) -> list[str]:
        """Wait for jobs that outlive a Snakemake of before; none may be stuck."""
        end = time.monotonic() + PATIENCE_S
        while left := self.pipeline.processes():
            if time.monotonic() > end:
                return [f"{len(left)} processes are still alive: {left}"]
            time.sleep(0.1)
        return []


def lost(pipeline: Pipeline, points: int, kills: Sequence[Kill]) -> tuple[int, list[str]]:
    """Return how many points were begun again, and each that should not have been.

    A point may be evaluated again only where each evaluation before the last was the last one
    of a process that was hit: that point was in flight.
    """
    evaluations, broken, again = pipeline.evaluations(), [], 0
    last = {process: point for process, point in evaluations}  # of each process
    final = {point: process for process, point in evaluations}  # of each point
    hit = frozenset().union(*(kill.hit for kill in kills))
    for process, point in evaluations:
        if final[point] != process:
            again += 1
            if last[process] != point or process not in hit:
                broken.append(f"process {process} had finished {point}, which came again")
    if len(final) != points:
        broken.append(f"{len(final)} points were evaluated, and not {points}")
    lines = pipeline.lines()
    if len(lines) != points or set(lines.values()) != {1} or None in lines:
        odd = {point: count for point, count in lines.items() if count > 1 or point is None}
        broken.append(f"the journals hold {len(lines)} points; more than once or damaged: {odd}")
    return again, broken


def _group(number: int) -> int | None:
    try:
        return os.getpgid(number)
    except ProcessLookupError:
        return None


def table(tally: Tally) -> str:
    """Return the counts as two tables in Markdown, and a sentence."""
    names = [number.name for number in SIGNALS]
    rows = [f"| signal | {' | '.join(TARGETS)} | all |", "| --- |" + " ---: |" * (len(TARGETS) + 1)]
    for number in SIGNALS:
        ours = [kill for kill in tally.kills if kill.number == number]
        counts = [sum(kill.target == target for kill in ours) for target in TARGETS]
        rows.append(f"| {number.name} | {' | '.join(map(str, [*counts, len(ours)]))} |")
    rows += ["", f"| while this ran | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for script in sorted({script for kill in tally.kills for script in kill.during}):
        during = [kill for kill in tally.kills if script in kill.during]
        counts = [sum(kill.number == number for kill in during) for number in SIGNALS]
        rows.append(f"| {script} | {' | '.join(map(str, counts))} |")
    hit = sum(len(kill.hit) for kill in tally.kills)
    rows += [
        "",
        f"{len(tally.kills)} kills of {hit} processes in {tally.rounds} rounds, "
        f"{tally.starts} starts of Snakemake; {tally.points} points evaluated once, of which "
        f"{tally.again} were in flight at a kill and begun again; {len(tally.broken)} faults.",
    ]
    return "\n".join(rows)
