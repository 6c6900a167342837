"""Real runs with 1, 2 and 4 shards at once, and with deaths, beside what was foretold."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from benchmarks.brought import SECONDS, SPREAD
from benchmarks.children import environment
from benchmarks.project import RUN, project, run
from benchmarks.simulation import HOUR, Costs, Machines, Played, often, outlook
from benchmarks.table import REPO, Table
from benchmarks.timing import Settings

CORES = 2  # of this machine that shards start on
FAILURES = 240.0  # deaths in an hour of a shard's life
LOOK = 0.1  # seconds between two looks for a shard to kill
JOBS = 60
TIMES = 200  # plays for each prediction


def row(settings: Settings) -> list[Table]:
    """Measure costs in one run, foretell others, and run them."""
    small, large = ((4, 3, 2), (5, 4, 4)) if settings.quick else ((10, 4, 4), (16, 15, 12))
    costs = measured(*small)
    lines = []
    for gpus, failures in ((1, 0.0), (2, 0.0), (4, 0.0), (4, FAILURES)):
        x, y, shards = large
        foretold = often(
            x * y, shards, _with(costs, failures), Machines(gpus, min(CORES, gpus)), TIMES
        )
        wall, deaths, _ = real(x, y, shards, gpus, failures)
        lines.append(_line(gpus, x * y, shards, foretold, wall, deaths))
    header = (
        *("at once", "points", "shards", "foretold, s", "90 % within", "measured, s"),
        *("measured / foretold", "deaths foretold", "deaths"),
    )
    note = (
        f"Every point sleeps, {SECONDS:g} s on average with a spread of {SPREAD:g}, so that "
        f"processes on {CORES} cores stand for GPUs; starting a shard is real work. Costs, "
        f"measured in another run of {small[0]} x {small[1]} points in {small[2]} shards, and "
        f"{JOBS} empty jobs: {_told(costs)}. In the last row every shard's process is killed "
        f"(`kill -9`) at {FAILURES:g} an hour, and started again by Snakemake. Wall time is to "
        "`surface.h5`."
    )
    checked = Table("Foretold and measured", header, lines, note)
    return [checked, *_outlooks(costs, settings.quick)]


def measured(x: int, y: int, shards: int) -> Costs:
    """Take the costs from a run of one shard at a time, and one of empty jobs."""
    dispatch = _dispatch()
    _, _, (begin, ends, merged) = real(x, y, shards, 1, 0.0, spread=0.0)
    cycles = np.diff(ends)
    start = float(median(cycles)) - dispatch - SECONDS * x * y / shards
    return Costs(
        once=ends[0] - begin - float(median(cycles)),
        once_shard=0.0,
        dispatch=dispatch,
        start=max(0.0, start),
        point=SECONDS,
        spread=SPREAD,
        close=0.0,
        merge=merged - ends[-1],
        merge_shard=0.0,
        requeue=0.0,
    )


def real(
    x: int, y: int, shards: int, gpus: int, failures: float, spread: float = SPREAD
) -> tuple[float, int, tuple[float, list[float], float]]:
    """Run it to its surface; return seconds, deaths, and when it began, its shards and it ended.

    Raises:
        RuntimeError: If Snakemake fails.
    """
    grid = {"x": [-1, 1, x], "y": [-1, 1, y], "shards": shards}
    evaluation = {"plan": {"threads": 1}, "device": "cpu"}
    args = {"seconds": SECONDS, "spread": spread}
    with project("sleepy", args=args, grid=grid, evaluation=evaluation) as folder:
        surface = folder / "results" / RUN / "surface.h5"
        command = [
            *(sys.executable, "-m", "snakemake", str(surface.relative_to(folder))),
            *("-s", str(REPO / "workflow" / "Snakefile"), "--configfile", "config.yaml"),
            *("--cores", str(gpus), "--resources", f"gpu={gpus}", "--retries", "50"),
        ]
        begin = time.time()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deaths = _killed(child, failures)
        if child.wait():
            raise RuntimeError(f"snakemake failed with {child.returncode}.")
        files = sorted((folder / "results" / RUN / "shards").glob("*.h5"), key=_written)
        merged = _written(surface)
        return merged - begin, deaths(), (begin, [_written(path) for path in files], merged)


def _killed(child: subprocess.Popen[bytes], failures: float) -> Callable[[], int]:
    """Kill the shards of a run now and then, each as often; return what tells how many were."""
    found: list[int] = []

    def watch() -> None:
        chance = np.random.default_rng(0)
        whole, before = psutil.Process(child.pid), time.monotonic()
        while child.poll() is None:
            time.sleep(LOOK)
            now = time.monotonic()
            for process in _shards(whole):
                if chance.random() < failures * (now - before) / HOUR:
                    process.kill()
                    found.append(process.pid)
            before = now

    watching = threading.Thread(target=watch, daemon=True)
    if failures:
        watching.start()
    return lambda: len(found)


def _shards(whole: psutil.Process) -> list[psutil.Process]:
    found = []
    try:
        for process in whole.children(recursive=True):
            words = process.cmdline()
            if "python" in words[0] and any(word.endswith("evaluate_shard.py") for word in words):
                found.append(process)
    except (psutil.NoSuchProcess, IndexError):
        return found  # one has just ended: the next look finds the others
    return found


def _dispatch() -> float:
    """Return Snakemake's own seconds for a job that does nothing."""
    with project("sleepy") as folder:
        (folder / "Snakefile").write_text(
            "rule all:\n    input: expand('done/{n}', n=range(int(config['jobs'])))\n"
            "rule one:\n    output: 'done/{n}'\n    shell: ': > {output}'\n",
            encoding="utf-8",
        )
        took = []
        for jobs in (1, 1 + JOBS):
            start = time.perf_counter()
            words = ["--cores", "1", "--config", f"jobs={jobs}", "--forceall"]
            run(folder, [sys.executable, "-m", "snakemake", *words])
            took.append(time.perf_counter() - start)
    return max(0.0, (took[1] - took[0]) / JOBS)


def _written(path: Path) -> float:
    return path.stat().st_mtime


def _with(costs: Costs, failures: float) -> Costs:
    return replace(costs, failures=failures)


def _line(
    gpus: int, points: int, shards: int, foretold: list[Played], wall: float, deaths: int
) -> list[str]:
    walls = [played.wall for played in foretold]
    low, middle, high = np.percentile(walls, [5, 50, 95])
    return [
        str(gpus),
        str(points),
        str(shards),
        f"{middle:.1f}",
        f"{low:.1f} to {high:.1f}",
        f"{wall:.1f}",
        f"{wall / middle:.2f}",
        f"{median(played.deaths for played in foretold):.0f}",
        str(deaths),
    ]


def _told(costs: Costs) -> str:
    names = ("once", "dispatch", "start", "merge")
    return ", ".join(f"{name} {getattr(costs, name):.2f} s" for name in names)


def _outlooks(costs: Costs, quick: bool) -> list[Table]:
    """Return what the measured costs mean for clusters, at points of a second."""
    wide = replace(costs, point=1.0, spread=0.1, requeue=30.0)
    if quick:
        return [outlook(60, wide, [1, 2], [0.5], 2)]
    failing = _with(wide, 0.05)
    return [
        outlook(2601, failing, [1, 4, 16, 64], [1, 5], 4),
        outlook(1_000_000, failing, [16, 64, 256, 1000], [5, 15, 60], 4),
    ]
