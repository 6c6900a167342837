"""In which rounds the points of an adaptive grid are evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_lib.core.grid import Grid

LATTICE, MISSES, AUDIT = "lattice", "misses", "audit"


@dataclass(frozen=True)
class Round:
    """Points that are evaluated together, since none of them decides about another.

    Attributes:
        indices: Flat row-major indices, coarse to fine.
        why: ``lattice``: the first ones; ``misses``: beside misses, beside what is not finite, or
            around the model or the best point; ``audit``: drawn from those that would be
            interpolated.
    """

    indices: tuple[int, ...]
    why: str

    @classmethod
    def of(cls, grid: Grid, places: np.ndarray, why: str) -> "Round":
        """Return the round of all points that are true, shape ``grid.shape``."""
        order = grid.order()
        return cls(tuple(order[places.ravel()[order]].tolist()), why)


def computed_in(grid: Grid, rounds: Sequence[Round]) -> np.ndarray:
    """Return which points the rounds hold, shape ``grid.shape``."""
    found = np.zeros(grid.size, dtype=bool)
    for one in rounds:
        found[list(one.indices)] = True
    return found.reshape(grid.shape)


def last_audit(rounds: Sequence[Round]) -> tuple[Sequence[Round], Round] | None:
    """Return the rounds before the last audit, and the audit; None where there is none."""
    places = [number for number, one in enumerate(rounds) if one.why == AUDIT]
    return (rounds[: places[-1]], rounds[places[-1]]) if places else None
