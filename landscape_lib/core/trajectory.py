"""Where training walked: the directions in which it went farthest, and its way in a plane."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from landscape_lib.core.direction import Direction, movable, refuse_bent
from landscape_lib.core.errors import InputError
from landscape_lib.core.reading import one_thread
from landscape_lib.core.surface import Trajectory

State = nn.Module | Mapping[str, Tensor]

ENTRIES = 2**23  # in float64 at a time, over all snapshots together: 64 MiB
NO_VARIANCE = 1e-12  # share of the largest component's: less drowns in the Gram matrix's rounding
PARALLEL = 1e-7  # sine of the angle: float32 rounds a multiple of a vector about so far from it


def create_pca_directions(
    model: nn.Module, snapshots: Mapping[str, State], count: int = 2, dir_type: str = "weights"
) -> tuple[Direction, ...]:
    """Find the directions in which a training walked farthest from where it ended (PCA).

    With X the n displacements w_k - w_0 as rows and X X^T u = s^2 u (the Gram matrix, n x n), the
    component is X^T u / s and its explained variance ratio s^2 / trace(X X^T).  No mean is
    subtracted: of all planes through the model's own weights, where the picture has its origin,
    this one is nearest to the snapshots (the original program centres, but draws the plane through
    the final weights).  A few entries of all snapshots are in memory at a time, in float64; what
    is mapped from its file stays there.

    Args:
        model: The network at the weights w_0.
        snapshots: By the name that messages call them: state_dicts, or models, of that network.
        count: How many directions.
        dir_type: ``weights`` or ``states``.

    Returns:
        Unit vectors over all entries together, orthogonal: one step is a distance of 1 in weight
        space.  The largest entry of each (in absolute value) is positive.  Attributes:
        ``component`` (from 1), ``explained_variance_ratio``, ``snapshots`` (how many).

    Raises:
        InputError: If a snapshot is of another network, holds NaN or infinity, or they span fewer
            than ``count`` dimensions around the model's weights.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 7.
    """
    weights = movable(model, dir_type)
    states = _checked(weights, snapshots)
    with one_thread():  # or the last bits would depend on the number of cores
        gram = _gram(weights, states)
        mixtures, ratios = _principal(gram, count)
        found = _mixed(weights, states, mixtures)
        _make_orthonormal(found)
    return tuple(
        Direction(
            tuple(weights),
            tuple(
                _rounded(part, weight) for part, weight in zip(parts, weights.values(), strict=True)
            ),
            {
                "kind": "pca",
                "component": number + 1,
                "explained_variance_ratio": ratios[number],
                "snapshots": len(states),
                "dir_type": dir_type,
            },
        )
        for number, parts in enumerate(found)
    )


def project_snapshots(
    model: nn.Module,
    directions: Sequence[Direction],
    snapshots: Mapping[str, State],
    name: str = "",
) -> Trajectory:
    """Return where snapshots of a training lie in the plane of two directions, and how far off it.

    Row k holds the (a, b) of the least |w_k - w_0 - a d1 - b d2| over the entries that move, and
    that least: for directions of any lengths and angle, w_0 + 2 d1 + 1 d2 gives (2, 1) and 0.
    Along one direction b is 0.  Snapshots are read one at a time, block by block, in float64.

    Args:
        model: The network at the weights w_0.
        directions: One or two.
        snapshots: As for ``create_pca_directions``, in the order of training.
        name: What the trajectory is called beside others.

    Raises:
        InputError: If a snapshot is of another network, or holds NaN or infinity, or the directions
            are zero or parallel.
    """
    entries = movable(model)
    if not entries.keys() >= set(directions[0].names):
        entries = movable(model, "states") | entries
    weights = {entry: entries[entry] for entry in directions[0].names}
    states = _checked(weights, snapshots)
    with one_thread():
        plane = _Plane.through(directions)
        rows = [_projected(weights, {key: state}, plane) for key, state in states.items()]
    steps = np.array([row[0] for row in rows]).reshape(-1, len(directions))
    distance, length = np.array([row[1:] for row in rows]).reshape(-1, 2).T
    beta = steps[:, 1] if len(directions) > 1 else np.zeros(len(steps))
    return Trajectory(steps[:, 0], beta, name, distance, length, tuple(states))


def _checked(
    weights: Mapping[str, Tensor], snapshots: Mapping[str, State]
) -> dict[str, Mapping[str, Tensor]]:
    """Return state_dicts that have every entry that moves.

    Raises:
        InputError: If one lacks an entry, or has it in another shape.
    """
    states: dict[str, Mapping[str, Tensor]] = {}
    for key, snapshot in snapshots.items():
        state = snapshot.state_dict() if isinstance(snapshot, nn.Module) else snapshot
        for entry, weight in weights.items():
            found = state.get(entry)
            if found is None or found.shape != weight.shape:
                shape = "nothing" if found is None else f"shape {tuple(found.shape)}"
                raise InputError(
                    f"{key}: it has {shape} for {entry!r}; the model has shape "
                    f"{tuple(weight.shape)}. A checkpoint must be a state_dict of the same network."
                )
        states[key] = state
    return states


def _displacements(
    weights: Mapping[str, Tensor], states: Mapping[str, Mapping[str, Tensor]]
) -> Iterator[tuple[int, slice, Tensor]]:
    """Yield w_k - w_0 block by block: which tensor, which entries, shape (snapshots, entries).

    Raises:
        InputError: If one holds NaN or infinity.
    """
    size = max(1, ENTRIES // (len(states) + 1))
    for number, (entry, weight) in enumerate(weights.items()):
        here = weight.detach().reshape(-1)
        rows = [state[entry].detach().reshape(-1) for state in states.values()]
        for start in range(0, len(here), size):
            part = slice(start, start + size)
            origin = here[part].to("cpu", torch.float64)
            block = torch.empty(len(rows), len(origin), dtype=torch.float64)
            for found, row in zip(block, rows, strict=True):
                found.copy_(row[part])
            block -= origin
            if not torch.isfinite(block.sum()):
                _refuse_infinite(entry, block, states)
            yield number, part, block


def _refuse_infinite(entry: str, block: Tensor, states: Mapping[str, object]) -> None:
    for key, row in zip(states, block, strict=True):
        if not torch.isfinite(row).all():
            raise InputError(
                f"{key}: {entry!r} holds NaN or infinity there or in the model. Leave out "
                "checkpoints of a training that diverged."
            )


def _gram(weights: Mapping[str, Tensor], states: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
    gram = torch.zeros(len(states), len(states), dtype=torch.float64)
    if states:
        for _, _, block in _displacements(weights, states):
            gram += block @ block.T
    return gram


def _principal(gram: Tensor, count: int) -> tuple[Tensor, list[float]]:
    """Return how snapshots mix into components, shape (count, snapshots), and their ratios.

    Raises:
        InputError: If the snapshots span fewer dimensions.
    """
    squares, vectors = torch.linalg.eigh(gram)
    squares, vectors = squares.flip(0), vectors.flip(1)
    rank = int((squares > NO_VARIANCE * squares[:1].clamp(min=0)).sum()) if len(squares) else 0
    if count > rank:
        raise InputError(
            f"Found {len(gram)} checkpoints that span {rank} dimensions around the model's own "
            f"weights; wanted {count} components. Give more checkpoints that differ, and from the "
            "model."
        )
    mixtures = vectors[:, :count].T / squares[:count, None].sqrt()
    return mixtures, (squares[:count] / gram.trace()).tolist()


def _mixed(
    weights: Mapping[str, Tensor], states: Mapping[str, Mapping[str, Tensor]], mixtures: Tensor
) -> list[list[Tensor]]:
    found = [
        [torch.empty(weight.numel(), dtype=torch.float64) for weight in weights.values()]
        for _ in mixtures
    ]
    for number, part, block in _displacements(weights, states):
        for parts, row in zip(found, mixtures @ block, strict=True):
            parts[number][part] = row
    return found


def _make_orthonormal(vectors: list[list[Tensor]]) -> None:
    """Write in place: rounding is large in small components along the large ones."""
    for number, vector in enumerate(vectors):
        for other in vectors[:number]:
            along = _dot(vector, other)
            for part, of in zip(vector, other, strict=True):
                part.sub_(of, alpha=along)
        length = _dot(vector, vector) ** 0.5
        extremes = [torch.stack([part.max(), part.min()]) for part in vector if len(part)]
        high, low = torch.stack(extremes).T
        sign = 1.0 if high.max() >= -low.min() else -1.0
        for part in vector:
            part.mul_(sign / length)


def _dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    return sum(float(a @ b) for a, b in zip(one, other, strict=True))


def _rounded(part: Tensor, weight: Tensor) -> Tensor:
    dtype = torch.promote_types(weight.dtype, torch.float32)
    return part.to(dtype).reshape(weight.shape)


@dataclass(frozen=True)
class _Plane:
    """One or two directions, the second without what lies along the first: Gram and Schmidt.

    Attributes:
        directions: As they are.
        along: Steps of the first that lie in one step of the second.
        squares: Of the lengths of both orthogonal axes.
    """

    directions: Sequence[Direction]
    along: float
    squares: Tensor

    @classmethod
    def through(cls, directions: Sequence[Direction]) -> "_Plane":
        """Measure the directions.

        Raises:
            InputError: If one is zero or has a bend, or the two are parallel.
        """
        refuse_bent(directions, "have trajectories projected onto it")
        slant = cls(directions, 0.0, torch.ones(len(directions)))
        gram = slant._products()
        for number, square in enumerate(gram.diagonal().tolist()):
            if not square:
                raise InputError(f"Direction {number + 1} is zero everywhere: it points nowhere.")
        if len(directions) == 1:
            return cls(directions, 0.0, gram.diagonal())
        straight = cls(directions, float(gram[0, 1] / gram[0, 0]), slant.squares)
        squares = straight._products().diagonal()
        if not squares[1] > PARALLEL**2 * gram[1, 1]:
            raise InputError(
                "The two directions are parallel, so they span no plane to project onto. Choose "
                "another seed or target for one of them."
            )
        return cls(directions, straight.along, squares)

    def axes(self, number: int, part: slice) -> Tensor:
        """Return some entries of one tensor of the orthogonal axes, shape (axes, entries)."""
        found = torch.stack([d[number].reshape(-1)[part].double() for d in self.directions])
        if len(found) > 1:
            found[1] -= self.along * found[0]
        return found

    def steps(self, inner: Sequence[float]) -> list[float]:
        """Return steps along the directions from steps along the orthogonal axes."""
        return list(inner) if len(inner) == 1 else [inner[0] - self.along * inner[1], inner[1]]

    def _products(self) -> Tensor:
        found = torch.zeros(len(self.directions), len(self.directions), dtype=torch.float64)
        for number, tensor in enumerate(self.directions[0]):
            for start in range(0, tensor.numel(), ENTRIES // 2):
                axes = self.axes(number, slice(start, start + ENTRIES // 2))
                found += axes @ axes.T
        return found


def _projected(
    weights: Mapping[str, Tensor], state: Mapping[str, Mapping[str, Tensor]], plane: _Plane
) -> tuple[list[float], float, float]:
    """Return one snapshot's steps, its distance from the plane, and from the model's weights."""
    products, square = torch.zeros(len(plane.directions), dtype=torch.float64), 0.0
    for number, part, block in _displacements(weights, state):
        products += plane.axes(number, part) @ block[0]
        square += float(block[0] @ block[0])
    inner = products / plane.squares
    rest = 0.0  # summed up by itself: from |w|^2 - |projection|^2 only rounding would be left
    for number, part, block in _displacements(weights, state):
        off = block[0] - inner @ plane.axes(number, part)
        rest += float(off @ off)
    return plane.steps(inner.tolist()), rest**0.5, square**0.5
