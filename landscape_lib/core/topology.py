"""How many basins a surface has, how deep each is, and over which pass it joins a deeper one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from landscape_lib.core.errors import InputError
from landscape_lib.core.geometry import as_drawn
from landscape_lib.core.surface import Surface

SHARE = 0.01  # of what a picture spans: without errors, shallower basins are not counted
SIGMAS = 2.0  # standard errors, as in every other line of the verdict


@dataclass(frozen=True)
class Basin:
    """A minimum, and the pass over which its basin joins that of a deeper one.

    Of a metric that is to be high: a maximum, and the pass between it and a higher one.

    Attributes:
        minimum: Where it is lowest, one index an axis; the first point of a plateau.
        birth: The value there.
        saddle: The highest point of the lowest way to a deeper minimum; None where there is none.
        death: The value there; infinite (to be high: minus infinity) where there is none.
        joins: The deeper minimum that it joins; None where there is none.
        on_border: Whether its minimum lies at an end of an axis, beyond which the surface may go on
            falling.
    """

    minimum: tuple[int, ...]
    birth: float
    saddle: tuple[int, ...] | None
    death: float
    joins: tuple[int, ...] | None
    on_border: bool

    @property
    def persistence(self) -> float:
        """How far one must climb to leave it for a deeper one:  |death - birth|."""
        return abs(self.death - self.birth)


def merge_tree(values: np.ndarray, goal: str = "min") -> tuple[Basin, ...]:
    """Return every basin of a curve or surface, the most persistent first: its merge tree.

    Water rises from below.  A basin is born where the first of its points is under water, and
    dies where it meets a deeper one (of equal depth, the first in row-major order): pairs of the
    0-dimensional persistent homology of the sublevel sets, on the graph in which a point's
    neighbours are the two beside it on a curve, the eight around it on a surface.  Exact: births
    and deaths are values of the grid.  A plateau is one minimum, and one that overflows at once
    is none.

    Args:
        values: Shape (nx,) or (nx, ny).  Points that are not finite are walls: no basin has
            them, and none is joined through them, so that a walled-off part has a basin that
            joins no other.
        goal: ``"max"``: peaks instead, sinking water.

    Returns:
        With births ascending (of peaks descending) among equally persistent ones.

    Raises:
        InputError: If ``goal`` is something else, or there are more axes than two.

    Source:
        Edelsbrunner, Letscher, Zomorodian (2002), Topological Persistence and Simplification;
        Edelsbrunner, Harer (2010), Computational Topology, section VII.1.
    """
    if goal not in {"min", "max"}:
        raise InputError(f"Unknown goal {goal!r}; choose 'min' or 'max'.")
    found = np.asarray(values, dtype=np.float64)
    if found.ndim not in {1, 2}:
        raise InputError(f"Values have shape {found.shape}; wanted (nx,) or (nx, ny).")
    heights = found if goal == "min" else -found
    places = _from_below(heights)  # of the points, by rank; ranks are what is computed with
    basin_of, edges = _descend(heights.shape, places)
    levels = heights.ravel()[places]
    deaths = _joined(edges)
    never = np.inf if goal == "min" else -np.inf
    basins = [
        _basin(found, places, rank, deaths.get(rank), never)
        for rank in np.unique(basin_of).tolist()
        if rank not in deaths or levels[deaths[rank][0]] > levels[rank]
    ]
    return tuple(sorted(basins, key=lambda basin: -basin.persistence))  # stable: births ascend


def _from_below(heights: np.ndarray) -> np.ndarray:
    """Return the flat indices of the finite points, lowest first, of equals the first first."""
    order = np.argsort(heights, axis=None, kind="stable")
    return order[np.isfinite(heights.ravel()[order])]


def _descend(shape: tuple[int, ...], places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow every point down to its minimum, always to the lowest neighbour.

    Returns:
        The rank of the minimum that each rank leads to, shape (points,); and where basins touch:
        two minima and the rank at which both are under water, shape (edges, 3), by the latter.
    """
    wall = len(places)
    ranks = np.full(shape, wall, dtype=np.int64)
    ranks.flat[places] = np.arange(wall)
    padded = np.pad(ranks, 1, constant_values=wall)
    ways = [way for way in product((-1, 0, 1), repeat=len(shape)) if any(way)]
    around = [_moved(padded, way, shape).ravel()[places] for way in ways]
    down = np.minimum.reduce([np.arange(wall), *around])
    while not np.array_equal(down[down], down):
        down = down[down]
    return down, _first_touches(down, around)


def _first_touches(down: np.ndarray, around: Sequence[np.ndarray]) -> np.ndarray:
    """Return for every two basins that touch where they first do, the lowest first.

    Args:
        down: The minimum that each point leads to, all of them as ranks, shape (points,).
        around: Each point's neighbours, way by way.
    """
    touching = []
    for there in around:
        here = np.flatnonzero(there < np.arange(len(down)))  # each pair once, from the higher
        touching.append(np.stack([down[here], down[there[here]], here], axis=1))
    edges = np.concatenate(touching)
    edges = edges[edges[:, 0] != edges[:, 1]]
    edges[:, :2].sort(axis=1)
    edges = edges[np.argsort(edges[:, 2], kind="stable")]
    _, first = np.unique(edges[:, :2], axis=0, return_index=True)
    return edges[np.sort(first)]


def _moved(padded: np.ndarray, way: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Return every point's neighbour that way."""
    return padded[tuple(slice(1 + d, 1 + d + n) for d, n in zip(way, shape, strict=True))]


def _joined(edges: np.ndarray) -> dict[int, tuple[int, int]]:
    """Let the basins join over the edges, lowest first; the shallower one dies.

    Returns:
        For the rank of every minimum that dies, the saddle's, and that of the one it joins.
    """
    parent: dict[int, int] = {}
    deaths: dict[int, tuple[int, int]] = {}

    def deepest(rank: int) -> int:
        while (above := parent.setdefault(rank, rank)) != rank:
            parent[rank] = parent[above]  # shorter ways next time
            rank = above
        return rank

    for one, other, saddle in edges.tolist():
        elder, younger = sorted((deepest(one), deepest(other)))
        if elder != younger:
            parent[younger] = elder
            deaths[younger] = (saddle, elder)
    return deaths


def _basin(
    values: np.ndarray, places: np.ndarray, rank: int, death: tuple[int, int] | None, never: float
) -> Basin:
    minimum, *pass_and_elder = (
        tuple(int(n) for n in np.unravel_index(int(places[of]), values.shape))
        for of in (rank, *(death or ()))
    )
    saddle, joins = pass_and_elder or (None, None)
    border = any(n in {0, size - 1} for n, size in zip(minimum, values.shape, strict=True))
    birth, height = float(values[minimum]), never if saddle is None else float(values[saddle])
    return Basin(minimum, birth, saddle, height, joins, border)


def is_clear(basin: Basin, values: np.ndarray, errors: np.ndarray | None = None) -> bool:
    """Tell whether a basin is deeper than what sampling error makes of a surface without it.

    Where standard errors are known:  persistence > 2 (e[minimum] + e[saddle]).  A standard error
    of the difference of two values is at most the sum of theirs, however they are correlated; and
    no pair of a diagram moves farther than the values do (stability), so a surface without this
    basin is two standard errors away.  Where they are not: the persistence is at least 1 % of what
    a picture of the surface spans (its finite values, or their log10 from two powers of ten on).
    A basin that joins no other is always clear.

    Args:
        basin: Of ``merge_tree(values)``.
        values: Shape (nx,) or (nx, ny).
        errors: Standard error of each value, of the same shape; NaN where it is not known.

    Source:
        Cohen-Steiner, Edelsbrunner, Harer (2007), Stability of Persistence Diagrams; Fasy et al.
        (2014), Confidence Sets for Persistence Diagrams.
    """
    return _clearness(values, errors)(basin)


def _clearness(values: np.ndarray, errors: np.ndarray | None) -> Callable[[Basin], bool]:
    """Return what tells whether a basin is clear; what all of them are held against, found once.

    A rough surface of a million points has a hundred thousand basins.
    """
    drawn, _ = as_drawn(values)
    finite = drawn[np.isfinite(drawn)]
    least = SHARE * float(finite.max() - finite.min()) if finite.size else 0.0

    def clear(basin: Basin) -> bool:
        if basin.saddle is None:
            return True
        if errors is not None:
            noise = float(errors[basin.minimum] + errors[basin.saddle])
            if np.isfinite(noise):
                return basin.persistence > SIGMAS * noise
        return abs(float(drawn[basin.saddle] - drawn[basin.minimum])) >= least

    return clear


def basins_of(surface: Surface, key: str) -> tuple[list[Basin], list[Basin]]:
    """Return the basins of a metric, the most persistent first: the clear ones, and the others.

    Raises:
        InputError: If there is no such metric.
    """
    values, errors = surface[key], surface.standard_error(key)
    found = merge_tree(values, surface.labels[key].goal)
    tell = _clearness(values, errors)
    clear: list[Basin] = []
    others: list[Basin] = []
    for basin in found:
        (clear if tell(basin) else others).append(basin)
    return clear, others


def criterion(surface: Surface, key: str) -> str:
    """Say what a clear basin of a metric has."""
    if np.isfinite(surface.standard_error(key)).any():
        return f"a persistence above {SIGMAS:g} standard errors"
    _, log = as_drawn(surface[key])
    return f"a persistence of at least {100 * SHARE:g} % of the {'log10 ' * log}range"
