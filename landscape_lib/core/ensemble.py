"""What landscapes have in common that differ in a seed alone, and how far they spread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Grid
from landscape_lib.core.surface import Surface


@dataclass(frozen=True)
class Ensemble:
    """Surfaces, or curves, on one grid with the same metrics.

    Attributes:
        members: By name, in the order of their seeds; two or more.
    """

    members: Mapping[str, Surface]

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise InputError(f"A spread takes two members or more; there are {list(self.members)}.")
        first_name, first = next(iter(self.members.items()))
        for name, surface in self.members.items():
            if surface.grid != first.grid or set(surface.keys) != set(first.keys):
                raise InputError(
                    f"{name} has the grid {surface.grid.axes} and the metrics {surface.keys}, "
                    f"{first_name} {first.grid.axes} and {first.keys}; members have the same."
                )

    @property
    def first(self) -> Surface:
        """The member of the first seed."""
        return next(iter(self.members.values()))

    @property
    def grid(self) -> Grid:
        """Where the values belong."""
        return self.first.grid

    @property
    def keys(self) -> tuple[str, ...]:
        """The metric keys."""
        return self.first.keys

    def stacked(self, key: str) -> np.ndarray:
        """Return one metric of every member, shape (members, *grid.shape)."""
        return np.stack([surface[key] for surface in self.members.values()])

    @cached_property
    def mean(self) -> Surface:
        """The arithmetic mean over members at every point; not finite where one of them is not."""
        return self._surface(lambda values: values.mean(axis=0), "mean {}")

    @cached_property
    def spread(self) -> Surface:
        """The standard deviation over members, with R - 1 below; NaN where one is not finite."""
        return self._surface(lambda values: values.std(axis=0, ddof=1), "standard deviation of {}")

    def _surface(self, reduced: Callable[[np.ndarray], np.ndarray], name: str) -> Surface:
        with np.errstate(invalid="ignore", over="ignore"):
            values = {key: reduced(self.stacked(key)) for key in self.keys}
        labels = {
            key: replace(label, long_name=name.format(label.long_name))
            for key, label in self.first.labels.items()
        }
        return Surface(self.grid, values, {"members": len(self.members)}, labels)
