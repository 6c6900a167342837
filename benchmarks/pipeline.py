"""What the pipeline costs around the evaluation: starting, hashing, merging, drawing."""

import json
import re
import sys
import time
from pathlib import Path

import torch

from benchmarks import library
from benchmarks.children import child
from benchmarks.problems import CASES, metrics
from benchmarks.project import RUN, project, run
from benchmarks.table import REPO, Table
from benchmarks.timing import Settings, enough, odd
from landscape_lib.steps.bench import settings_kept

SECONDS, QUICK_SECONDS = 300.0, 30.0  # of evaluation
LINE = re.compile(r"(\d+) of (\d+) points, ([\d,]+) samples/s")
CENTRE = re.compile(r"The centre was measured in ([\d.]+) s")
SIDE = 21


def evaluating(log: str, samples_per_point: int) -> float:
    """Read from a shard's log how many seconds it spent on its points.

    Raises:
        ValueError: If the log does not tell.
    """
    told = LINE.findall(log)
    if not told:
        raise ValueError(f"The log of a shard does not tell its rate: {log[-300:]!r}")
    done, _, rate = told[-1]
    return int(done) * samples_per_point / int(rate.replace(",", ""))


def row(settings: Settings) -> list[Table]:
    """Run the pipeline once on the small CNN, with shards as it chooses itself."""
    wanted = QUICK_SECONDS if settings.quick else SECONDS
    case = CASES["cnn"](None)
    with settings_kept():
        torch.set_num_threads(1)  # as the pipeline has with one core
        points = enough(lambda points: library.run(case, metrics(), points), 1, wanted / 10)
    across = odd(10 * points / SIDE)
    grid = {"x": [-1, 1, SIDE], "y": [-1, 1, across], "shards": "auto"}
    with project("build", args={"name": "cnn"}, grid=grid) as folder:
        start = time.time()
        run(folder, _command())
        wall = time.time() - start
        results = folder / "results" / RUN
        merged = (results / "surface.h5").stat().st_mtime - start
        samples = json.loads((results / "probe.json").read_text("utf-8"))["samples_per_point"]
        logs = sorted(Path(folder, "logs", RUN, "evaluate_shard").glob("*.log"))
        spent = sum(evaluating(log.read_text("utf-8"), samples) for log in logs)
        centre = Path(folder, "logs", RUN, "measure_centre.log").read_text("utf-8")
        measuring = float(CENTRE.findall(centre)[-1])
    building = child("benchmarks.one_process", task="build", name="cnn")["seconds"]
    builds = len(logs) + len(("make_directions", "probe", "measure_centre"))
    line = [
        f"{SIDE} x {across}",
        str(len(logs)),
        f"{wall:.1f}",
        f"{spent:.1f}",
        f"{measuring:.1f}",
        f"{wall - spent - measuring:.1f}",
        f"{builds * building:.1f}",
        f"{100 * (merged - spent) / spent:.1f} %",
        f"{100 * (wall - merged - measuring) / spent:.1f} %",
        f"{100 * (wall - spent - measuring) / spent:.1f} %",
    ]
    header = (
        *("points", "shards", "wall, s", "evaluating, s", "at the centre, s", "around, s"),
        "of it the problem, s",
        *("around, to the surface", "pictures, pages, verdict", "around, in all"),
    )
    note = (
        "`snakemake --cores 1` from an empty folder: probe, directions, shards, merge, then for 3 "
        "metrics 12 pictures and 4 ParaView files, the verdict, the explorer. `evaluating` is what "
        "the shards' logs say, and percents are of it; `at the centre` is what the verdict "
        "measures of the model: gradient, Hessian products, eigenvalues, trace. `around` is all "
        "the rest; `of it the problem` what the user's own code takes to build network and data "
        f"in {builds} processes, torch's import not counted. One run, not a median."
    )
    return [Table("Pipeline: cnn, 1,797 samples, 3 metrics", header, [line], note)]


def _command() -> list[str]:
    snakefile = str(REPO / "workflow" / "Snakefile")
    return [
        *(sys.executable, "-m", "snakemake", "-s", snakefile, "--cores", "1"),
        *("--configfile", "config.yaml", "--resources", "gpu=1"),
    ]
