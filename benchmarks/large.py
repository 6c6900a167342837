"""What large grids cost: a real run of many points, and the steps after a million of them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.children import environment
from benchmarks.project import RUN, project, script
from benchmarks.table import REPO, Table
from benchmarks.timing import Settings
from landscape_lib import config
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import Shard
from landscape_lib.steps.report import read_probe
from landscape_lib.utils.hashing import points_fingerprint
from landscape_lib.utils.journal import encode
from landscape_lib.utils.storage import directions_attributes, save_shard

REAL, MADE_UP = (400, 250), (1000, 1000)  # points of the run, and of what is forged
SHARDS = 1000
QUICK_REAL, QUICK_MADE_UP, QUICK_SHARDS = (20, 15), (60, 50), 12
JOBS = (10, 100, 1000, 3000)

# Between us and what is measured, since a process's peak begins with what its parent held.
MEASURE = """
import json, resource, subprocess, sys, time
start = time.time()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
found = {"wall": time.time() - start, "cpu": used.ru_utime + used.ru_stime}
found |= {"peak": used.ru_maxrss / 1024, "code": done.returncode, "said": done.stderr[-500:]}
print(json.dumps(found))
"""
HEADER = ("what", "wall, s", "processor, s", "largest process, MiB", "files, MB")


def row(settings: Settings) -> list[Table]:
    """Run the pipeline once, and every step of a forged surface once."""
    real, made_up, shards = REAL, MADE_UP, SHARDS
    if settings.quick:
        real, made_up, shards = QUICK_REAL, QUICK_MADE_UP, QUICK_SHARDS
    return [_real(real), _steps(made_up, shards), _planning(JOBS[:2] if settings.quick else JOBS)]


def _grid(shape: tuple[int, int], shards: int | str) -> dict[str, object]:
    return {"x": [-1, 1, shape[0]], "y": [-1, 1, shape[1]], "shards": shards}


def _snakemake(*words: str) -> list[str]:
    snakefile = str(REPO / "workflow" / "Snakefile")
    return [
        *(sys.executable, "-m", "snakemake", "-s", snakefile, "--cores", "2", *words),
        *("--configfile", "config.yaml", "--resources", "gpu=2"),
    ]


def _measured(folder: Path, command: list[str]) -> dict[str, float]:
    """Run a command; return its seconds and its largest process.

    Raises:
        RuntimeError: If it fails, with what it said last.
    """
    words = [sys.executable, "-c", MEASURE, *command]
    done = subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    if found["code"]:
        raise RuntimeError(f"{command[1:]} failed: {found['said']}")
    return found


def _line(name: str, found: dict[str, float], size: float | None = None) -> list[str]:
    told = "" if size is None else f"{size / 1e6:.1f}"
    return [name, f"{found['wall']:.1f}", f"{found['cpu']:.1f}", f"{found['peak']:.0f}", told]


def _size(folder: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def _real(shape: tuple[int, int]) -> Table:
    with project("cheap", grid=_grid(shape, "auto")) as folder:
        results = folder / "results" / RUN
        lines = [
            _line("the whole run", _measured(folder, _snakemake()), _size(results, "**/*")),
            _line("the same command again", _measured(folder, _snakemake())),
        ]
        shards = len(list(results.glob("shards/*.h5")))
    note = (
        f"{shape[0]} x {shape[1]} points of a linear model, 5 metrics, `--cores 2`, {shards} "
        "shards as `auto` chooses: from an empty folder to the last picture."
    )
    return Table("A real run", HEADER, lines, note)


def _steps(shape: tuple[int, int], shards: int) -> Table:
    with project("cheap", grid=_grid(shape, shards)) as folder:
        results = folder / "results" / RUN
        script(folder, "make_directions", "--out", f"results/{RUN}/directions.h5")
        script(folder, "probe", "--out", f"results/{RUN}/probe.json")
        keys = forge(folder, shards)
        lines = [
            _line(name, _measured(folder, command), _size(results, pattern))
            for name, command, pattern in _commands(keys, shards)
        ]
    note = (
        f"{shape[0]} x {shape[1]} points, 5 metrics, {shards:,} shards with made-up values; "
        "'rough' is white noise, the worst case. Each line is one program, with Python's start. "
        "The shard finds all of its points among those in the journals."
    )
    return Table("Each step of a million points", HEADER, lines, note)


def _commands(keys: list[str], shards: int) -> Iterator[tuple[str, list[str], str]]:
    def command(name: str, *words: str) -> list[str]:
        path = str(REPO / "scripts" / f"{name}.py")
        return [sys.executable, path, "--config", "config.yaml", "--run", RUN, *words]

    own = f"results/{RUN}"
    smooth, rough = keys[0], keys[3]
    out = f"{own}/shards/{shards - 1}-of-{shards}.h5"
    again = ("--shard", str(shards - 1), "--of", str(shards), "--out", out)
    yield "a shard that is started again", command("evaluate_shard", *again), "journal/*/*.jsonl"
    merge = ("--of", str(shards), "--out", f"{own}/surface.h5")
    yield "merge", command("merge_shards", *merge), "surface.h5"
    yield "centre", command("measure_centre", "--out", f"{own}/centre.json"), "centre.json"
    verdict = ("--out", f"{own}/verdict.json", "--page", f"{own}/verdict.html")
    yield "verdict", command("make_verdict", *verdict), "verdict.*"
    for name, key in (("smooth", smooth), ("rough", rough)):
        words = ("--key", key, "--format", "pdf")
        yield f"four pictures, {name}", command("plot_surface", *words), f"figures/{key}_[23]d*"
        basins = command("plot_persistence", *words)
        yield f"basins, {name}", basins, f"figures/{key}_persistence.pdf"
    yield "ParaView", command("export_vtp", "--key", smooth), f"paraview/{smooth}.vtp"
    yield "ParaView, flat", command("export_flat"), "paraview/flat.vtp"
    page = ("--verdict", f"{own}/verdict.json", "--out", f"{own}/explorer.html")
    yield "explorer", command("make_explorer", *page), "explorer.html"


def forge(folder: Path, shards: int) -> list[str]:
    """Write the shards and journals of a probed project, with made-up values; return the keys."""
    experiment = config.load(folder / "config.yaml", folder / "results").run(RUN)
    report = read_probe(experiment.path("probe.json"))
    content = str(directions_attributes(experiment.path("directions.h5"))["content"])
    plan = Plan(**report["plan"]).canonical()
    problem = report["problem"]["fingerprint"]
    fingerprint = points_fingerprint(problem, content, plan)
    x, y = (axis.steps() for axis in experiment.grid.axes)
    square = 2 * x[:, None] ** 2 + y**2
    noise = np.random.default_rng(0).normal(size=square.shape)
    made_up = (10**square, square * (1 + 0.02 * noise), 100 * np.exp(-square).round(2), noise)
    columns = zip(report["keys"], (*made_up, square), strict=True)
    values = {key: column.ravel() for key, column in columns}
    points = [tuple(point) for point in experiment.grid.points().tolist()]
    journal = experiment.path("journal", fingerprint)
    for path in (journal, experiment.path("shards")):
        path.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        own = np.sort(experiment.grid.shard(number, shards))
        part = {key: column[own] for key, column in values.items()}
        path = experiment.path("shards", f"{number}-of-{shards}.h5")
        save_shard(path, Shard(experiment.grid, own, part, fingerprint, (plan,)))
        lines = (
            encode(points[i], {key: float(column[i]) for key, column in values.items()}, plan)
            for i in own
        )
        (journal / f"{number:032x}.jsonl").write_bytes(b"".join(lines))
    return list(values)


def _planning(jobs: tuple[int, ...]) -> Table:
    """Time ``snakemake -n`` over so many shards, none of which is there."""
    lines = []
    for count in jobs:
        with project("cheap", grid=_grid((100, max(count // 50, 10)), count)) as folder:
            script(folder, "make_directions", "--out", f"results/{RUN}/directions.h5")
            script(folder, "probe", "--out", f"results/{RUN}/probe.json")
            lines.append(_line(f"{count:,} shards", _measured(folder, _snakemake("-n"))))
    return Table("snakemake -n", HEADER, lines, "Directions and probe are there, no shard is.")
