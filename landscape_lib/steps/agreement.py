"""Do values that were computed anew agree with those of a surface?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from landscape_lib.core.errors import DisagreementError

TOLERANCE = {  # relative, on another machine
    "float32": 1e-5,
    "float64": 1e-10,
    "tf32": 1e-3,
    "bf16": 1e-2,
    "model": 1e-2,  # of which half precision rounds most
}


@dataclass(frozen=True)
class Row:
    """One value of a surface, and what it is now.

    Attributes:
        point: The coordinates, one an axis.
        key: The metric.
        recorded: The surface's value.
        recomputed: The model's.
        allowed: By how much the two may differ.
    """

    point: tuple[float, ...]
    key: str
    recorded: float
    recomputed: float
    allowed: float = 0.0

    @property
    def same(self) -> bool:
        """Whether both are one number, or both NaN."""
        both_nan = math.isnan(self.recorded) and math.isnan(self.recomputed)
        return both_nan or self.recorded == self.recomputed

    @property
    def difference(self) -> float:
        """|recorded - recomputed| / max(|recorded|, |recomputed|); infinite beside NaN and inf."""
        if self.same:
            return 0.0
        if not (math.isfinite(self.recorded) and math.isfinite(self.recomputed)):
            return math.inf
        largest = max(abs(self.recorded), abs(self.recomputed))
        return abs(self.recorded / largest - self.recomputed / largest)

    @property
    def agrees(self) -> bool:
        """Whether they are the same, or as near as is allowed."""
        near = abs(self.recorded - self.recomputed) <= self.allowed
        return self.same or (near and math.isfinite(self.difference))


@dataclass(frozen=True)
class Verification:
    """What came out when points of a surface were computed anew.

    Attributes:
        rows: Every point and metric that was compared.
        tolerance: By how much values may differ, relatively; 0: not at all.
    """

    rows: tuple[Row, ...]
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether every row does."""
        return all(row.agrees for row in self.rows)

    def lines(self) -> Iterator[str]:
        """Tell it as a table, a line a row, and what follows from it."""
        yield (
            f"{'point':>20}  {'metric':24} {'recorded':>23} {'recomputed':>23}  relative difference"
        )
        for row in self.rows:
            point = "(" + ", ".join(f"{step:.6g}" for step in row.point) + ")"
            mark = "" if row.agrees else "  differs"
            yield (
                f"{point:>20}  {row.key:24} {row.recorded!r:>23} {row.recomputed!r:>23}  "
                f"{row.difference:.3g}{mark}"
            )
        yield self.conclusion()

    def conclusion(self) -> str:
        """Tell in one sentence whether they agree."""
        points = len({row.point for row in self.rows})
        told = f"{points} points, {len(self.rows)} values: "
        wrong = [row for row in self.rows if not row.agrees]
        if wrong:
            return f"{told}{len(wrong)} do not agree with the surface."
        if all(row.same for row in self.rows):
            return f"{told}all agree, bit for bit."
        return f"{told}all agree, to a relative {self.tolerance:g}."


def refuse_disagreement(found: Verification, path: Path | str) -> None:
    """Raise where values disagree.

    Raises:
        DisagreementError: If one does; the message says what that may mean.
    """
    if found.agrees:
        return
    worst = max(row.difference for row in found.rows if not row.agrees)
    told = f"{path}: {found.conclusion()}"
    if worst <= max(TOLERANCE.values()):
        told += (
            f" They differ by no more than {worst:.1e}, as another processor would make them: "
            "where the surface was computed on one, say --tolerance 1e-5."
        )
    raise DisagreementError(told)
