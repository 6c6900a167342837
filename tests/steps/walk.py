"""The way of one run through the scripts, in this process, as the pipeline takes it."""

from pathlib import Path

from landscape_lib.core.surface import Surface
from landscape_lib.utils.storage import load_surface
from scripts import evaluate_shard, make_directions, merge_shards, probe


def to_surface(run: str = "own", shards: int = 2, config: str = "c.yaml") -> Surface:
    """Take a run to its surface, in so many shards, and return it."""
    folder = Path("results") / run

    def step(script, out, *arguments):
        told = ["--config", config, "--run", run, *map(str, arguments), "--out", str(folder / out)]
        assert script.main(told) == 0

    step(make_directions, "directions.h5")
    step(probe, "probe.json")
    for k in range(shards):
        step(evaluate_shard, f"shards/{k}-of-{shards}.h5", "--shard", k, "--of", shards)
    step(merge_shards, "surface.h5", "--of", shards)
    return load_surface(folder / "surface.h5")
