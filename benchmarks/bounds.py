"""What this machine can do at most: the bounds that samples per second are shares of."""

import time

import torch

from benchmarks.table import Table
from benchmarks.timing import Settings, interleaved, median

SIZES = (768, 1536, 3072)
COPY_BYTES = 2**28  # far beyond every cache


def matrix_product() -> float:
    """Return GFLOP/s of float32 matrix products on all cores: the best of several sizes."""
    best = 0.0
    for size in SIZES:
        one, other = torch.ones(size, size), torch.ones(size, size)
        out = torch.empty(size, size)
        torch.mm(one, other, out=out)
        for _ in range(3):
            start = time.perf_counter()
            torch.mm(one, other, out=out)
            best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return best


def copy() -> float:
    """Return GB/s that a copy moves, read and written bytes both counted: the best of five."""
    source, target = torch.ones(COPY_BYTES // 4), torch.empty(COPY_BYTES // 4)
    target.copy_(source)
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        best = max(best, 2 * COPY_BYTES / (time.perf_counter() - start) / 1e9)
    return best


def row(settings: Settings) -> list[Table]:
    """Measure both bounds."""
    found = interleaved({"product": matrix_product, "copy": copy}, settings.rounds)
    rows = [
        [name, f"{median(values):.1f}", f"{min(values):.1f}", f"{max(values):.1f}"]
        for name, values in (
            ("float32 matrix product, GFLOP/s", found["product"]),
            ("copy, GB/s (read and written)", found["copy"]),
        )
    ]
    threads = torch.get_num_threads()
    return [Table(f"Bounds, {threads} threads", ("bound", "median", "least", "most"), rows)]
