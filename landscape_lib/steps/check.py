"""What a run would look at and what it would cost, said before it is paid."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from landscape_lib import config as configs
from landscape_lib.config import Config, Experiment
from landscape_lib.core.description import describe
from landscape_lib.core.errors import InputError
from landscape_lib.core.memory import forget_peak, peak_memory
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import said_of
from landscape_lib.steps.bench import set_up
from landscape_lib.steps.dependencies import Dependencies, shard_count
from landscape_lib.steps.directions import directions_of
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.probe import Probed, probed
from landscape_lib.steps.train import train_model
from landscape_lib.utils.pipeline import SNAKEFILE, has_snakemake
from landscape_lib.utils.sharing import lacking
from landscape_lib.utils.signals import Stops

log = logging.getLogger(__name__)

_GROUPS = 2  # of points that are evaluated to see how much memory a shard takes


def check(path: Path, only: str | None, began: float) -> Iterator[str]:
    """Build the runs of a config, evaluate their centres, and yield what is known of each.

    What the probe would find and keep (plan, time of a point) is found and kept by the same
    functions; no result is written.  Models that the pipeline itself trains are trained first, by
    the pipeline; where there is no Snakemake, by this process, those that are not there.

    Args:
        path: The config.
        only: One run; None for all.
        began: When this process did, by ``time.perf_counter``.
    """
    start_s = time.perf_counter() - began  # what any job needs before it reads its problem
    config = configs.load(path)
    for told in lacking(Path.cwd(), Path("results")):
        log.warning("%s", told)
    runs = list(config.runs.values()) if only is None else [config.run(only)]
    _train(config, [run.name for run in runs])
    for run in runs:
        yield _looked_at(run, start_s)


def _train(config: Config, runs: Sequence[str]) -> None:
    """Let the pipeline make what these runs need of it; where all is there, it does nothing.

    Raises:
        InputError: If it fails.
    """
    depends = Dependencies(config)
    wanted = sorted({hashed for run in runs for hashed in depends.files(run)})
    if not wanted:
        return
    if not has_snakemake():
        for run in config.runs.values():
            model = run.path("model.pt")
            if f"{model}.sha256" in wanted and not model.exists():
                train_model(run, model)
        return
    command = [sys.executable, "-m", "snakemake", "--snakefile", os.path.relpath(SNAKEFILE)]
    more = ["--cores", "1", "--resources", "gpu=1", "--quiet", "all"]
    python = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{python}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [*command, *wanted, *more, "--configfile", str(config.path)], env=environment, check=False
    )
    if done.returncode:
        raise InputError(f"{', '.join(wanted)}: could not be made; what went wrong stands above.")


def _looked_at(run: Experiment, start_s: float) -> str:
    begin = time.perf_counter()
    bench = set_up(run)
    start_s += time.perf_counter() - begin
    to_read = peak_memory()
    found = probed(run, bench)
    forget_peak()
    directions = directions_of(_untrained(run), bench.problem.model, bench)
    points = range(min(run.grid.size, _GROUPS * found.plan.points_at_once))
    Work(bench, found.plan, directions, run.grid, Stops()).evaluate(points, run.name)
    lines = [f"{run.name}: {run.problem}", "", *describe(bench.problem.model, directions), ""]
    wide = max(24, *map(len, found.centre))
    lines += [f"{'metric':<{wide}} at the centre"]
    for key, value in found.centre.items():
        note = found.labels[key].note
        lines += [f"{key:<{wide}} {value:.6g}" + (f"  {note}" if note else "")]
    return "\n".join([*lines, "", *_costs(run, found, start_s, max(to_read, peak_memory()))])


def _untrained(run: Experiment) -> Experiment:
    """Leave the bends of paths where training begins: their points cost the same."""
    straight = (one.model_copy(update={"bend_epochs": 0}) for one in run.directions)
    return replace(run, directions=tuple(straight))


def _costs(run: Experiment, found: Probed, start_s: float, memory: int) -> list[str]:
    grid = " x ".join(str(axis.count) for axis in run.grid.axes)
    shards = shard_count(run, found.seconds_per_point)
    points_s, starts_s = run.grid.size * found.seconds_per_point, shards * start_s
    rate = found.bench.samples_per_point / found.seconds_per_point
    counts = [f"{samples.count:,} {split}" for split, samples in found.bench.data.items()]
    table = {
        "weights": _weights(found),
        "samples": ", ".join(counts),
        "plan": _spelled(found.plan),
        "a point": f"{_duration(found.seconds_per_point)}, {rate:,.0f} samples/s",
        "grid": f"{grid} = {run.grid.size:,} points in {shards} shard{'s' if shards > 1 else ''}",
        "evaluating it": f"about {_duration(points_s + starts_s)} on this machine: points "
        f"{_duration(points_s)}, starting {_duration(starts_s)}",
        "memory": f"about {memory / 1e9:.2f} GB",
        "on top": "directions, pictures, explorer, verdict" + (", range" if run.auto else ""),
    }
    return [f"{name:<24} {told}" for name, told in table.items()]


def _weights(found: Probed) -> str:
    """Say in what types the model came, and where it is moved and evaluated in others."""
    own = said_of(found.bench.types)
    if found.plan.precision == "model":
        return f"{own}; moved in float32, evaluated in that"
    return own if own == found.plan.precision else f"{own}, evaluated in {found.plan.precision}"


def _spelled(plan: Plan) -> str:
    batches = (
        "the loader's own batches" if plan.batch_size is None else f"{plan.batch_size} a batch"
    )
    threads = f"{plan.threads} thread{'s' if plan.threads > 1 else ''}"
    chosen = [name for name in ("fold", "channels_last", "compile") if getattr(plan, name)]
    if plan.points_at_once > 1:
        chosen.append(f"{plan.points_at_once} points at once")
    return ", ".join([plan.device, plan.precision, batches, threads, *chosen])


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * length or (unit == "s" and seconds >= 1):
            return f"{seconds / length:.3g} {unit}"
    return f"{1000 * seconds:.3g} ms"
