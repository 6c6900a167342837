"""What the chip can do at most, measured on it: a copy, and matrix products in every precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.cases import Case
from benchmarks.gpu.scale import Scale, best_of
from benchmarks.table import Table
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import round_as, rounding_kept

HEADER = ("bound", "measured", "worst error against float64")
NOTE = (
    "A copy counts bytes read and written. Matrix products are of square matrices of normally "
    "distributed numbers, {size:,} a side; the error is that of {part} of the entries, relative to "
    "the largest, with factors of random numbers drawn anew at every run (seed {seed})."
)
ROUNDS = 5


def copy_bytes_a_second(scale: Scale) -> float:
    """Return how many bytes a second a copy reads and writes."""
    count = scale.of(2**30, 2**16)  # numbers of four bytes, far beyond every cache
    source = torch.ones(count, device=scale.device)
    target = torch.empty_like(source)
    return 8 * count / best_of(scale.device, ROUNDS, partial(target.copy_, source))


@contextmanager
def rounding(precision: str, device: str) -> Iterator[torch.dtype]:
    """Let matrix products be in a precision; yield the type of their factors."""
    with rounding_kept():
        round_as(Plan(device, precision))
        kinds = {"bf16": torch.bfloat16, "float64": torch.float64}
        yield kinds.get(precision, torch.float32)


def product_rate(scale: Scale, precision: str) -> tuple[float, float]:
    """Return operations a second of a matrix product, and its worst error against float64."""
    size, rows = scale.of(8192, 64), scale.of(64, 8)
    one, other = (
        torch.randn(size, size, generator=scale.generator()).to(scale.device) for _ in range(2)
    )
    exact = one[:rows].double() @ other.double()
    with rounding(precision, scale.device) as kind:
        factors = one.to(kind), other.to(kind)
        out = torch.empty(size, size, dtype=kind, device=scale.device)
        seconds = best_of(scale.device, ROUNDS, partial(torch.mm, *factors, out=out))
    return 2 * size**3 / seconds, _error(out[:rows], exact)


def samples_that_memory_allows(case: Case, precision: str, copied: float) -> float:
    """Return the samples a second at which activations are written and read once, and no more.

    Args:
        case: The network.
        precision: In which it is evaluated.
        copied: Bytes a second that a copy reads and writes.
    """
    size = 2 if precision == "bf16" else 4
    return copied / (2 * size * case.activations())


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).abs().max() / exact.abs().max())


def row(scale: Scale) -> list[Table]:
    """Measure all bounds."""
    lines = [["copy", f"{copy_bytes_a_second(scale) / 1e9:,.1f} GB/s", "none"]]
    for precision in scale.precisions:
        rate, error = product_rate(scale, precision)
        name = f"matrix product, {precision}"
        lines.append([name, f"{rate / 1e12:,.4g} TFLOP/s", f"{error:.1e}"])
    size, rows = scale.of(8192, 64), scale.of(64, 8)
    note = NOTE.format(size=size, part=f"{rows} rows", seed=scale.seed)
    return [Table("Bounds of this chip", HEADER, lines, note)]
