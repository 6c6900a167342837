"""What is measured in a process of its own: time and peak memory of one task."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.children import peak, tell
from benchmarks.timing import Cost, cost, enough, seconds

SAMPLES = 256
FEW, MANY = 3, 9
SECONDS = 1.0  # of evaluation


def parameters(width: int, run: Callable[[Any, int, float], Cost]) -> dict[str, float]:
    """Evaluate an MLP of some width; memory of imports and data is taken off."""
    from benchmarks.growth import HIDDEN
    from benchmarks.networks import mlp
    from benchmarks.problems import Case, digits

    dataset = digits(SAMPLES)
    run(Case("warm-up", mlp(8, HIDDEN).eval(), dataset), FEW, 0.0)
    before = peak()
    net = mlp(width, HIDDEN).eval()
    found = run(Case("mlp", net, dataset), MANY, SECONDS)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in net.parameters()) / 2**20
    return {**vars(found), "peak": peak() - before, "weights": weights}


def ours(width: int) -> dict[str, float]:
    """Evaluate it with the library."""
    from benchmarks import library
    from benchmarks.problems import metrics

    def run(case: Any, points: int, target: float) -> Cost:
        def evaluate(count: int) -> None:
            library.run(case, metrics(), count)

        found = cost(evaluate, 1, points)
        if found.each * (points - 1) >= target:
            return found
        return cost(evaluate, 1, max(points, enough(evaluate, 1, target)))

    with library.quiet():
        return parameters(width, run)


def textbook(width: int) -> dict[str, float]:
    """Evaluate it with the textbook loop and directions of its own."""
    from benchmarks.problems import three_metrics
    from benchmarks.textbook import random_direction, walk

    def run(case: Any, points: int, target: float) -> Cost:
        directions = [random_direction(case.net) for _ in range(2)]
        places = [(n / points, 0.0) for n in range(points)]
        took = seconds(lambda: walk(case.net, case.loader(), directions, places, three_metrics))
        return Cost(0.0, took / points)

    return parameters(width, run)


def merge(folder: str, count: int) -> dict[str, float]:
    """Merge so many shards of a folder and write the surface."""
    from landscape_lib.core.surface import merge as merged
    from landscape_lib.utils.storage import load_shard, save_surface

    paths = sorted(Path(folder).glob("*.h5"))[:count]
    out = Path(folder) / "surface" / f"{count}.h5"
    load_shard(paths[0])
    before = peak()

    def work() -> None:
        save_surface(out, merged(load_shard(path) for path in paths))

    took = seconds(work)
    return {"seconds": took, "peak": peak() - before}


def build(name: str) -> dict[str, float]:
    """Build one of the problems, once torch is there."""
    from benchmarks import brought

    return {"seconds": seconds(lambda: brought.build(name))}


TASKS: dict[str, Callable[..., dict[str, float]]] = {
    "ours": ours,
    "textbook": textbook,
    "merge": merge,
    "build": build,
}

if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    tell(TASKS[options.pop("task")](**options))
