"""Signals to the pipeline at random moments, again and again, until it ends by itself.

A round is a run in a folder of its own, from the first job to the last picture.  Moments, signals and
targets are drawn from the seed; where each program is at such a moment, no seed decides.
"""

import contextlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from tests.faults.pipeline import Pipeline, Process, differences

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TARGETS = {"one job": 12, "Snakemake": 3, "the process group": 3, "every process": 2}  # how often
GRID = {"x": [-1, 1, 9], "y": [0, 1.5, 8], "shards": 6}
POINTS = 9 * 8
OPTIONS = ("--cores", "3", "--resources", "gpu=3", "--retries", "2")
SECONDS = 0.4  # that a point takes
SPARED_AFTER = 2  # times that a script other than a shard's is hit in a round, so that it ends
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Kill:
    """What is done, to whom, and while which scripts ran.

    Attributes:
        number: The signal.
        target: One of ``TARGETS``.
        hit: Ids of the processes that got it.
        during: The scripts that were alive; ``starting`` where there was none.
    """

    number: signal.Signals
    target: str
    hit: frozenset[int]
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


def campaign(kills: int, seed: int, told: Callable[[str], None] = lambda line: None) -> Tally:
    """Play rounds until so many signals were sent; the last round is played to its end."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        whole = Pipeline.new(Path(place, "whole"), GRID, 0, OPTIONS)
        whole.run()
        while len(tally.kills) < kills:
            draw = random.Random(f"{seed} kills {tally.rounds}")
            pipeline = Pipeline.new(Path(place, f"round-{tally.rounds}"), GRID, SECONDS, OPTIONS)
            left = kills - len(tally.kills)
            played = Round(pipeline, draw, most=left)
            broken = played.play() + played.lost(whole)
            tally.broken += [f"round {tally.rounds}: {what}" for what in broken]
            tally.rounds += 1
            tally.points += POINTS
            tally.again += played.again
            tally.starts += played.starts
            tally.kills += played.kills
            told(f"{len(tally.kills)} kills in {tally.rounds} rounds, {len(tally.broken)} faults")
    return tally


class Round:
    """One run that is interrupted until it ends by itself.

    Args:
        pipeline: In a fresh folder.
        draw: Decides about moments, signals and targets.
        most: After so many kills it is left alone.
    """

    def __init__(self, pipeline: Pipeline, draw: random.Random, most: int) -> None:
        self.pipeline, self.draw, self.most = pipeline, draw, most
        self.kills: list[Kill] = []
        self.again = self.starts = 0
        self._spared: Counter[str] = Counter()
        self._seen: set[int] = set()

    def play(self) -> list[str]:
        """Type the command again and again, until it ends with 0; return what went wrong."""
        while True:
            before = len(self.kills)
            orphans = [process for process in self.pipeline.processes() if process.script]
            process = self.pipeline.start()
            self.starts += 1
            try:
                while self._next_moment(process):
                    self._kill(process)
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
        wanted = len(self.pipeline.evaluations()) + self.draw.randint(1, 12)
        end = time.monotonic() + self.draw.uniform(1, 8)
        late = self.draw.uniform(0, 1.5)
        while process.poll() is None and time.monotonic() < end:
            new = {found.number for found in self._jobs()} - self._seen
            if new or len(self.pipeline.evaluations()) >= wanted:
                self._seen |= new
                break
            time.sleep(0.05)
        end = time.monotonic() + late
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        return process.poll() is None

    def _jobs(self) -> list[Process]:
        """Return the jobs that may be hit: each script but a shard's a few times only."""
        return [
            found
            for found in self.pipeline.processes()
            if found.script not in {"", "snakemake"} and self._spared[found.script] < SPARED_AFTER
        ]

    def _kill(self, process: Popen[bytes]) -> None:
        number = self.draw.choice(SIGNALS)
        target = self.draw.choices(list(TARGETS), list(TARGETS.values()))[0]
        alive, jobs = self.pipeline.processes(), self._jobs()
        working = {found.script for found in alive} - {"", "snakemake"}
        if any(self._spared[script] >= SPARED_AFTER for script in working):
            return
        if target == "one job":
            if not jobs:
                return
            hit = {self.draw.choice(jobs).number}
        elif target == "Snakemake":
            hit = {process.pid}
        elif target == "every process":
            hit = {found.number for found in alive}
        else:
            hit = {found.number for found in alive if _group(found.number) == process.pid}
        scripts = {found.script for found in alive if found.number in hit}
        self._spared.update(scripts - {"", "snakemake", "evaluate_shard"})
        if target == "the process group":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            for one in self.draw.sample(sorted(hit), len(hit)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, number)
        during = frozenset(working) or frozenset({"starting"})
        self.kills.append(Kill(number, target, frozenset(hit), during))

    def _left_alive(self) -> list[str]:
        """Wait for jobs that outlive a Snakemake of before; none may be stuck."""
        end = time.monotonic() + PATIENCE_S
        while left := self.pipeline.processes():
            if time.monotonic() > end:
                return [f"{len(left)} processes are still alive: {left}"]
            time.sleep(0.1)
        return []

    def lost(self, whole: Pipeline) -> list[str]:
        """Return what is not as after a run that nothing disturbed; count the points done again.

        A point may be evaluated again only where each evaluation before the last was the last one
        of a process that was hit: that point was in flight.
        """
        broken = list(differences(self.pipeline, whole))
        evaluations = self.pipeline.evaluations()
        last = {process: point for process, point in evaluations}  # of each process
        final = {point: process for process, point in evaluations}  # of each point
        hit = frozenset().union(*(kill.hit for kill in self.kills))
        for process, point in evaluations:
            if final[point] != process:
                self.again += 1
                if last[process] != point or process not in hit:
                    broken.append(f"process {process} had finished {point}, which came again")
        if len(final) != POINTS:
            broken.append(f"{len(final)} points were evaluated, and not {POINTS}")
        lines = self.pipeline.lines()
        if len(lines) != POINTS or set(lines.values()) != {1} or None in lines:
            broken.append(f"the journals hold {lines}")
        return broken


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
        f"{len(tally.kills)} kills of {hit} processes in {tally.rounds} rounds of {POINTS} points, "
        f"{tally.starts} starts of Snakemake; {tally.points} points evaluated once, of which "
        f"{tally.again} were in flight at a kill and begun again; {len(tally.broken)} faults.",
    ]
    return "\n".join(rows)
