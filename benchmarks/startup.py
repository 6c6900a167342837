"""How long a script takes to get to work."""

import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.brought import FIRST_POINT
from benchmarks.project import project, run, script
from benchmarks.table import REPO, Table
from benchmarks.timing import Settings, interleaved, median, median_ratio, seconds

GRID = {"x": [-1, 1, 3], "y": [-1, 1, 3]}
NOTE = (
    "`first point`: from the start of the process to the first evaluation of a metric, on a "
    "problem that costs nothing. `import torch` is the yardstick: `python -c 'import torch'`."
)


def row(settings: Settings) -> list[Table]:
    """Start everything several times, in turns."""
    scripts = sorted(path.stem for path in (REPO / "scripts").glob("*.py"))
    with project("trivial", grid=GRID) as folder:
        results = folder / "results" / "own"
        results.mkdir(parents=True)
        script(folder, "probe", "--out", "results/own/probe.json")
        script(folder, "make_directions", "--out", "results/own/directions.h5")
        plain: dict[str, Callable[[], float]] = {
            "python -c 'import torch'": partial(_run, folder, ["-c", "import torch"]),
            "evaluate_shard.py, first point": partial(_first_point, folder),
            "evaluate_shard.py, whole": partial(_shard, folder),
        }
        helps: dict[str, Callable[[], float]] = {
            f"{name}.py --help": partial(
                _run, folder, [str(REPO / "scripts" / f"{name}.py"), "--help"]
            )
            for name in scripts
        }
        found = interleaved({**plain, **helps}, settings.rounds)
    torch = found["python -c 'import torch'"]
    rows = [
        [name, f"{median(times):.2f}", f"{median_ratio(times, torch):.2f}"]
        for name, times in found.items()
    ]
    return [Table("Start-up", ("what", "s", "times import torch"), rows, NOTE)]


def _run(folder: Path, words: list[str]) -> float:
    return seconds(lambda: run(folder, [sys.executable, *words]))


def _shard(folder: Path) -> float:
    for name in ("journal", "shards"):
        shutil.rmtree(folder / "results" / "own" / name, ignore_errors=True)
    (folder / "results" / "own" / "shards").mkdir()
    out = "results/own/shards/0-of-1.h5"
    return seconds(
        lambda: script(folder, "evaluate_shard", "--shard", "0", "--of", "1", "--out", out)
    )


def _first_point(folder: Path) -> float:
    note = folder / FIRST_POINT
    note.unlink(missing_ok=True)
    start = time.time()
    _shard(folder)
    return float(note.read_text(encoding="utf-8")) - start
