"""Surfaces that are known everywhere, and an adaptive grid laid over them without any network."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from landscape_lib.adaptive.bounding import Completed, completed
from landscape_lib.adaptive.choosing import next_round
from landscape_lib.adaptive.filling import Space
from landscape_lib.adaptive.rounds import AUDIT, Round, computed_in
from landscape_lib.core.grid import Axis, Grid, Refinement
from landscape_lib.core.surface import Label

GRID = Grid((Axis(-1, 1, 49), Axis(-0.5, 1.5, 41)))  # not square
X, Y = (axis.steps() for axis in GRID.axes)
X, Y = X[:, None], Y[None, :]


@dataclass(frozen=True)
class Found:
    """What became of a surface.

    Attributes:
        truth: Its values, shape ``grid.shape``.
        rounds: In which it was evaluated.
    """

    truth: np.ndarray
    rounds: list[Round]
    grid: Grid = GRID

    @cached_property
    def computed(self) -> np.ndarray:
        return computed_in(self.grid, self.rounds)

    @property
    def share(self) -> float:
        return float(self.computed.mean())

    @cached_property
    def whole(self) -> Completed:
        return completed(self.grid, self.rounds, self.truth, Label("loss"))

    @property
    def off(self) -> np.ndarray:
        """How far each interpolated point is off, as a share of the range."""
        space = Space.of(self.truth)
        free = ~self.computed
        apart = space.into(self.whole.values[free]) - space.into(self.truth[free])
        return np.abs(apart) / space.extent

    @property
    def covered(self) -> float:
        """The share of interpolated points at which the bound holds."""
        free = ~self.computed
        apart = np.abs(self.whole.values[free] - self.truth[free])
        return float((apart <= self.whole.errors[free]).mean())

    @property
    def audited(self) -> np.ndarray:
        drawn = [one for one in self.rounds if one.why == AUDIT]
        return computed_in(self.grid, drawn)


def explored(values, tolerance=0.01, grid=GRID) -> Found:
    """Lay an adaptive grid over values; it sees those alone that it asks for."""
    truth = np.broadcast_to(np.asarray(values, dtype=np.float64), grid.shape)
    labels, rounds = {"loss": Label("loss")}, []
    while True:
        seen = np.where(computed_in(grid, rounds), truth, np.nan)
        found = next_round(grid, rounds, {"loss": seen}, labels, Refinement(tolerance))
        if found is None:
            return Found(truth, rounds, grid)
        assert found.indices
        assert not computed_in(grid, rounds).flat[list(found.indices)].any()
        rounds.append(found)


def bowl() -> np.ndarray:
    """Positive over five powers of ten, as losses are."""
    return 1e-3 + 20 * (X**2 + 0.4 * (Y - 0.1) ** 2 + 0.3 * X * Y) ** 2


def waves(seed: int) -> np.ndarray:
    """A few waves of unlike lengths in random directions."""
    draw = np.random.default_rng(seed)
    parts = zip(draw.normal(size=(5, 2)) * 2.5, draw.uniform(0, 6, 5), strict=True)
    return sum(np.sin(a * X + b * Y + phase) for (a, b), phase in parts) + 3 * X**2
