"""What it costs to put many shards together."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.children import child
from benchmarks.table import Table
from benchmarks.timing import Settings, interleaved, median, median_ratio
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Shard
from landscape_lib.utils.storage import save_shard

POINTS = 1000  # of a shard
KEYS = ("train_loss", "train_acc", "test_loss", "test_acc", "train_loss_own")


def write_shards(folder: Path, count: int, points: int = POINTS) -> None:
    """Write the shards of a grid, one row of it each, with values that do not pack."""
    grid = Grid((Axis(-1, 1, count), Axis(-1, 1, points)))
    noise = np.random.default_rng(0)
    for number in range(count):
        values = {key: noise.normal(size=points) for key in KEYS}
        shard = Shard(grid, np.sort(grid.shard(number, count)), values, "made up", ("{}",))
        save_shard(folder / f"{number:04d}.h5", shard)


def row(settings: Settings) -> list[Table]:
    """Merge few and many shards, each in a process of its own."""
    counts = (10, 100) if settings.quick else (100, 1000)
    with tempfile.TemporaryDirectory() as name:
        contenders = {}
        for count in counts:
            folder = Path(name) / str(count)
            (folder / "surface").mkdir(parents=True)
            write_shards(folder, count)
            contenders[str(count)] = partial(
                child, "benchmarks.one_process", task="merge", folder=str(folder), count=count
            )
        found = interleaved(contenders, settings.rounds)
    each = {count: [one["seconds"] / count for one in found[str(count)]] for count in counts}
    rows = [
        [
            f"{count:,}",
            f"{median(one['seconds'] for one in found[str(count)]):.2f}",
            f"{1000 * median(each[count]):.2f}",
            f"{median_ratio(each[count], each[counts[0]]):.2f}",
            f"{median(one['peak'] for one in found[str(count)]):.0f}",
            f"{count * POINTS * len(KEYS) * 8 / 2**20:.1f}",
        ]
        for count in counts
    ]
    note = (
        f"Shards of {POINTS:,} points and {len(KEYS)} metrics: `merge` over a generator of "
        "`load_shard`, and `save_surface`. Memory is the peak above what it was after the imports."
    )
    header = ("shards", "s", "ms a shard", "times the first", "memory, MiB", "the surface, MiB")
    return [Table("Merge", header, rows, note)]
