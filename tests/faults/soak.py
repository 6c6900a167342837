"""A large grid in many shards, disturbed every few seconds for as long as one likes."""

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from landscape_lib.utils.journal import Journal
from tests.faults.kills import PATIENCE_S, SHARD, Kill, Sender, lost
from tests.faults.pipeline import Pipeline, differences

SIDE = 200
POINTS = SIDE * SIDE
SHARDS = 100
AT_ONCE = 4
OPTIONS = ("--cores", f"{AT_ONCE}", "--resources", f"gpu={AT_ONCE}", "--retries", "20")
EVERY_S = (2.0, 6.0)  # between two kills
SHARE = 0.5  # of the time that evaluating would take where nothing is disturbed
MORE_MEMORY, MORE_FILES = 1.1, 8  # what the last third may have more than the first


@dataclass(frozen=True)
class Sample:
    """How much there was at one time.

    Attributes:
        minute: Since the start.
        memory_mb: Of the largest shard, resident.
        head_mb: Of Snakemake, resident.
        files: That the shard with most of them held open.
        journals: Files of writers.
        journal_mb: Bytes in them.
    """

    minute: float
    memory_mb: float
    head_mb: float
    files: int
    journals: int
    journal_mb: float


@dataclass
class Soaked:
    """What came of it."""

    kills: list[Kill] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    starts: int = 0
    again: int = 0
    seconds: float = 0.0
    reading_s: float = 0.0


def soak(minutes: float, seed: int, told: Callable[[str], None] = lambda line: None) -> Soaked:
    """Disturb a run for so many minutes, then let it end; tell what became of it."""
    grid = {"x": [-1, 1, SIDE], "y": [0, 1.5, SIDE]}
    soaked = Soaked()
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        whole = Pipeline.new(Path(place, "whole"), grid | {"shards": 1}, 0, OPTIONS)
        whole.run()
        told(f"{POINTS} points undisturbed: done")
        seconds = SHARE * 60 * minutes * AT_ONCE / POINTS
        pipeline = Pipeline.new(Path(place, "soak"), grid | {"shards": SHARDS}, seconds, OPTIONS)
        _disturb(pipeline, minutes, random.Random(f"{seed} soak"), soaked, told)
        soaked.broken += differences(pipeline, whole, shards=True)
        soaked.again, more = lost(pipeline, POINTS, soaked.kills)
        soaked.broken += more + growth(soaked.samples)
        (folder,) = {path.parent for path in pipeline.journals()}
        start = time.perf_counter()
        Journal(folder).read()
        soaked.reading_s = time.perf_counter() - start
    return soaked


def _disturb(
    pipeline: Pipeline,
    minutes: float,
    draw: random.Random,
    soaked: Soaked,
    told: Callable[[str], None],
) -> None:
    start = time.monotonic()
    end = start + 60 * minutes
    sender = Sender(pipeline, draw)
    code = None
    while code != 0:
        before = len(soaked.kills)
        process = pipeline.start()
        soaked.starts += 1
        while process.poll() is None:
            now = time.monotonic()
            due = now + draw.uniform(*EVERY_S)
            while process.poll() is None and time.monotonic() < due:
                time.sleep(0.2)
            soaked.samples.append(_sample(pipeline, process.pid, start))
            if process.poll() is None and now < end and (sent := sender.send(process.pid)):
                soaked.kills.append(sent)
            if len(soaked.samples) % 20 == 0:
                told(f"{len(soaked.kills)} kills, {soaked.samples[-1]}")
        code = process.returncode
        if code and before == len(soaked.kills) and now >= end + PATIENCE_S:
            said = (pipeline.folder / "said.txt").read_text()
            soaked.broken.append(f"a start that nothing disturbed ended with {code}: {said}")
            break
    soaked.seconds = time.monotonic() - start


def _sample(pipeline: Pipeline, head: int, start: float) -> Sample:
    shards = [found.number for found in pipeline.processes() if found.script == SHARD]
    journals = pipeline.journals()
    return Sample(
        minute=round((time.monotonic() - start) / 60, 2),
        memory_mb=max(map(_resident_mb, shards), default=0),
        head_mb=_resident_mb(head),
        files=max(map(_open_files, shards), default=0),
        journals=len(journals),
        journal_mb=round(sum(path.stat().st_size for path in journals) / 1e6, 2),
    )


def _resident_mb(number: int) -> float:
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0.0
    told = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return round(int(told[0]) / 1024, 1) if told else 0.0


def _open_files(number: int) -> int:
    try:
        return len(list(Path(f"/proc/{number}/fd").iterdir()))
    except OSError:
        return 0


def growth(samples: Sequence[Sample]) -> list[str]:
    """Return what grew from the first third of the time in which shards ran to the last."""
    ours = [sample for sample in samples if sample.memory_mb]
    third = len(ours) // 3
    if not third:
        return ["too short to tell whether anything grows"]
    first, last = ours[:third], ours[-third:]
    broken = []
    for name in ("memory_mb", "head_mb"):
        before, after = (max(getattr(sample, name) for sample in part) for part in (first, last))
        if after > MORE_MEMORY * before:
            broken.append(f"{name} grew from {before} to {after}")
    before, after = (max(sample.files for sample in part) for part in (first, last))
    if after > before + MORE_FILES:
        broken.append(f"open files of a shard grew from {before} to {after}")
    return broken


def table(soaked: Soaked) -> str:
    """Return what there was over time as a table in Markdown, and a sentence."""
    rows = [
        "| minutes | largest shard, MB | Snakemake, MB | open files | journals | MB |",
        "| --- |" + " ---: |" * 5,
    ]
    tenth = max(1, len(soaked.samples) // 10)
    for first in range(0, len(soaked.samples), tenth):
        part = soaked.samples[first : first + tenth]
        rows.append(
            f"| {part[0].minute:.1f} to {part[-1].minute:.1f} "
            f"| {max(s.memory_mb for s in part)} | {max(s.head_mb for s in part)} "
            f"| {max(s.files for s in part)} | {part[-1].journals} | {part[-1].journal_mb} |"
        )
    hit = sum(len(kill.hit) for kill in soaked.kills)
    rows += [
        "",
        f"{POINTS:,} points in {SHARDS} shards, {len(soaked.kills)} kills of {hit} processes in "
        f"{soaked.seconds / 60:.1f} minutes, {soaked.starts} starts of Snakemake; {soaked.again} "
        "points were in flight at a kill and begun again, no other; all journals are read in "
        f"{soaked.reading_s:.2f} s; {len(soaked.broken)} faults.",
    ]
    return "\n".join(rows)
