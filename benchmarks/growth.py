"""How time and memory grow with points, samples, shards and parameters."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import library
from benchmarks.children import child
from benchmarks.problems import CASES, Case, metrics
from benchmarks.project import RUN, project
from benchmarks.table import Table
from benchmarks.timing import Settings, cost, enough, interleaved, median, median_ratio, seconds

FACTORS = (1, 4, 16)
SHARDS = (1, 4, 16, 64)
FEWEST_POINTS = 101
FEWEST_SAMPLES = 449  # a quarter of the digits
MILLIONS = (0.1, 1, 10, 100)
FURTHER = (
    "`further` is the difference quotient to the line before, round by round: what is paid once is "
    "not in it."
)
HIDDEN = 4  # layers of the growing network


def points_row(settings: Settings) -> list[Table]:
    """Grow the grid: everything is kept on disk, as a user's call does."""
    case = CASES["mlp"](None)
    found = interleaved(
        {str(n): partial(_kept, case, n) for n in FACTORS},
        settings.rounds,
    )
    rows = _growth(found, [FEWEST_POINTS * factor for factor in FACTORS])
    note = (
        "`LossLandscape(...).compute_2d(...)` with its journal and files, from a fresh object on. "
        f"{FURTHER}"
    )
    return [Table("Points: mlp, 1,797 samples", _header("point"), rows, note)]


def _kept(case: Case, factor: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        here = library.landscape(case, metrics())
        here.surf_file = str(Path(folder) / "surface.h5")
        return seconds(
            lambda: here.compute_2d(library.steps(FEWEST_POINTS), _upwards(factor), save=True)
        )


def _upwards(count: int) -> tuple[float, float, int]:
    return (0.0, 1.0, count) if count > 1 else (0.0, 0.0, 1)


def _header(what: str) -> Sequence[str]:
    return (
        *(f"{what}s", "s", f"s a {what}", "times the first"),
        *(f"s a further {what}", "times the first further"),
    )


def _growth(found: dict[str, list[float]], sizes: Sequence[int]) -> list[list[str]]:
    """Return lines of size, time, time per unit, time per further unit, both against the first's.

    A further unit's time is (t_this - t_before) / (n_this - n_before): what is paid once is not
    in it, so it is the same on every line where time grows as it should.
    """
    times = list(found.values())
    each = [[t / size for t in column] for column, size in zip(times, sizes, strict=True)]
    further = [
        [(long - short) / (n - m) for short, long in zip(*pair, strict=True)]
        for pair, (m, n) in zip(pairwise(times), pairwise(sizes), strict=True)
    ]
    more = [["", ""], *([_short(m), _ratio(m, further[0])] for m in further)]
    return [
        [f"{size:,}", _short(column), _short(one), _ratio(one, each[0]), *rest]
        for size, column, one, rest in zip(sizes, times, each, more, strict=True)
    ]


def _short(numbers: Sequence[float]) -> str:
    return f"{median(numbers):.3g}"


def _ratio(above: Sequence[float], below: Sequence[float]) -> str:
    return f"{median_ratio(above, below):.2f}"


def samples_row(settings: Settings) -> list[Table]:
    """Grow the data set."""
    sizes = [FEWEST_SAMPLES * factor for factor in FACTORS]
    contenders: dict[str, Callable[[], float]] = {}
    for size in sizes:
        case = CASES["cnn"](size)
        many = enough(partial(_evaluated, case), 1, settings.seconds)
        contenders[str(size)] = partial(_point, case, 1, many)
    rows = _growth(interleaved(contenders, settings.rounds), sizes)
    note = f"`s` is the time of one point, the difference quotient of two runs. {FURTHER}"
    return [Table("Samples: cnn", _header("sample"), rows, note)]


def _point(case: Case, few: int, many: int) -> float:
    return cost(partial(_evaluated, case), few, many).each


def _evaluated(case: Case, points: int) -> None:
    library.run(case, metrics(), points)


def shards_row(settings: Settings) -> list[Table]:
    """Cut one grid into more and more shards; the steps of the pipeline, in this process."""
    side = 17 if settings.quick else 33
    grid = {"x": [-1, 1, side], "y": [-1, 1, side]}
    with project("build", args={"name": "mlp"}, grid=grid) as folder, contextlib.chdir(folder):
        experiment = _prepared()
        contenders = {str(of): partial(_in_shards, experiment, of) for of in SHARDS}
        found = interleaved(contenders, settings.rounds)
    first = found[str(SHARDS[0])]
    rows = [_shards_line(of, found[str(of)], first) for of in SHARDS]
    note = (
        f"{side * side} points of mlp; `evaluate_shard` for every shard and `merge_shards`, called "
        "one after the other in one process, hence without starting Python (see startup)."
    )
    return [Table("Shards", ("shards", "s", "times one shard", "ms a further shard"), rows, note)]


def _shards_line(of: int, times: Sequence[float], first: Sequence[float]) -> list[str]:
    more = median(times) - median(first)
    further = f"{1000 * more / (of - 1):.0f}" if of > 1 else ""
    return [
        str(of),
        f"{median(times):.2f}",
        f"{median_ratio(times, first):.2f}",
        further,
    ]


def _prepared() -> Any:
    from landscape_lib import config
    from landscape_lib.steps.directions import make_directions
    from landscape_lib.steps.probe import probe

    experiment = config.load("config.yaml").run(RUN)
    experiment.folder.mkdir(parents=True)
    probe(experiment, experiment.path("probe.json"))
    make_directions(experiment, experiment.path("directions.h5"))
    return experiment


def _in_shards(experiment: Any, of: int) -> float:
    from landscape_lib.steps.evaluate import evaluate_shard
    from landscape_lib.steps.merge import merge_shards
    from landscape_lib.utils.signals import Stops

    for name in ("journal", "shards"):
        shutil.rmtree(experiment.path(name), ignore_errors=True)
    experiment.path("shards").mkdir()
    paths = [experiment.path("shards", f"{number}-of-{of}.h5") for number in range(of)]

    def work() -> None:
        for number, path in enumerate(paths):
            evaluate_shard(experiment, number, of, path, Stops())
        merge_shards(experiment, paths, experiment.path("surface.h5"))

    return seconds(work)


def width_of(parameters: float) -> int:
    """Return the width of an MLP with so many parameters: (HIDDEN - 1) w^2 + 74 w."""
    a, b = HIDDEN - 1, 64 + 10
    return round(((b * b + 4 * a * parameters) ** 0.5 - b) / (2 * a))


def parameters_row(settings: Settings) -> list[Table]:
    """Grow the network; each run in a process of its own."""
    sizes = MILLIONS[:2] if settings.quick else MILLIONS
    contenders = {
        f"{size} {who}": partial(
            child, "benchmarks.one_process", task=who, width=width_of(size * 1e6)
        )
        for size in sizes
        for who in ("ours", "textbook")
    }
    found = interleaved(contenders, settings.rounds)
    rows = [
        _parameters_line(size, found[f"{size} ours"], found[f"{size} textbook"]) for size in sizes
    ]
    note = (
        "MLPs of 4 hidden layers, 256 digits. Memory is the process's peak above what it was "
        "before the network was built, in multiples of the weights' bytes: both hold "
        "the network, a copy and two directions, 4 in all."
    )
    header = (
        *("M parameters", "ours, s a point", "textbook, s a point", "times the textbook"),
        *("ours, s once", "ours, memory in weights", "textbook's", "ours / textbook's"),
    )
    return [Table("Parameters", header, rows, note)]


def _parameters_line(
    size: float, ours: Sequence[dict[str, float]], textbook: Sequence[dict[str, float]]
) -> list[str]:
    def column(found: Sequence[dict[str, float]], name: str) -> list[float]:
        return [one[name] for one in found]

    each = [column(found, "each") for found in (ours, textbook)]
    memory = [column(found, "peak") for found in (ours, textbook)]
    weights = ours[0]["weights"]
    return [
        f"{size:g}",
        *(f"{median(one):.3g}" for one in each),
        f"{median_ratio(each[1], each[0]):.2f}",
        f"{median(column(ours, 'once')):.2g}",
        *(f"{median(one) / weights:.1f}" for one in memory),
        f"{median_ratio(*memory):.2f}",
    ]
