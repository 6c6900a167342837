"""Where a point of weight space lies in the plane that is drawn."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from landscape_lib.core.direction import Direction
from landscape_lib.core.errors import InputError

log = logging.getLogger(__name__)

# A tensor or an array of any shape, or a list of them (of numbers too), flattened in order.
Vector: TypeAlias = Tensor | np.ndarray | Direction | Sequence[Any]
Pair: TypeAlias = tuple[float, float]

ORTHOGONAL = 1e-6  # cosine: up to here each axis may be taken by itself
PARALLEL = 1e-7  # sine of the angle: float32 rounds a multiple of a vector about so far from it
NO_VARIANCE = 1e-12  # share of the largest component's: less drowns in the Gram matrix's rounding


# ------------------------------------------------------------------------- vectors and lists


def flatten(vector: Vector) -> np.ndarray:
    """Return all entries in one new vector: lists in their order, each part row by row.

    Returns:
        Shape (entries,), float64.

    Raises:
        InputError: If something in it is not real numbers.
    """
    if isinstance(vector, Direction | list | tuple):
        return np.concatenate([np.empty(0), *map(flatten, vector)])
    if isinstance(vector, Tensor):
        vector = vector.detach().cpu()
        vector = vector.numpy() if vector.is_complex() else vector.double().numpy()
    array = np.asarray(vector)
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"Found {type(vector).__name__} of type {array.dtype} where a vector of real numbers "
            "is wanted; give a tensor, an array, a Direction or a list of them."
        )
    return np.array(array, dtype=np.float64).ravel()


def tensorlist_to_tensor(weights: Iterable[Tensor]) -> Tensor:
    """Join tensors into one vector, in their order and in their widest type.

    Returns:
        New tensor, shape (entries,), on the CPU, without gradient.

    Raises:
        InputError: If there is no tensor.
    """
    parts = [torch.as_tensor(weight).detach().cpu().reshape(-1) for weight in weights]
    if not parts:
        raise InputError("Found an empty list where a list of tensors is wanted.")
    return torch.cat(parts)


def nplist_to_tensor(nplist: Sequence[Any]) -> Tensor:
    """Join arrays into one vector, in their order.

    A scalar is one entry, as in ``npvec_to_tensorlist``.  (The older tool left scalars out
    without a word, so that the vector no longer fitted its parameters.)

    Returns:
        New tensor, shape (entries,), float64.

    Raises:
        InputError: If something in the list is not real numbers.
    """
    return torch.from_numpy(flatten(nplist))


def npvec_to_tensorlist(
    vec: Vector, params: Iterable[Tensor] | Mapping[str, Tensor]
) -> list[Tensor]:
    """Cut a vector into tensors of the shapes of the parameters, in their order.

    Args:
        vec: As many entries as all of ``params`` together.
        params: A list of tensors, or a dict (a state_dict) of them; left as they are.

    Returns:
        New tensors on the device and in the type of each parameter; where that is no
        floating-point type (a counter in a state_dict), in float64.

    Raises:
        InputError: If the numbers of entries differ.
    """
    vector = torch.from_numpy(flatten(vec))
    shapes = list(params.values() if isinstance(params, Mapping) else params)
    wanted = sum(parameter.numel() for parameter in shapes)
    if len(vector) != wanted:
        raise InputError(
            f"The vector has {len(vector)} entries, the parameters {wanted}. Give the parameters "
            "of the network that the vector belongs to."
        )
    parts = vector.split([parameter.numel() for parameter in shapes])
    return [
        part.reshape(parameter.shape).to(
            parameter.device,
            parameter.dtype if parameter.is_floating_point() else torch.float64,
            copy=True,  # not a window on the whole vector
        )
        for part, parameter in zip(parts, shapes, strict=True)
    ]


# ---------------------------------------------------------------------- one or two directions


def cal_angle(vec1: Vector, vec2: Vector) -> float:
    """Return the cosine of the angle between two vectors (the name is the older tool's).

    cos = <v1, v2> / (|v1| |v2|),  from -1 to 1.

    Raises:
        InputError: If the lengths differ, or a vector is zero, or holds NaN or infinity.
    """
    one, other = _vectors(vec1=vec1, vec2=vec2)
    _refuse_zero(vec1=one, vec2=other)
    return float(np.clip(_unit(one) @ _unit(other), -1.0, 1.0))


def project_1D(w: Vector, d: Vector) -> float:
    """Return the step a for which a * d is the orthogonal projection of w.

    a = <w, d> / |d|^2,  so that w = 2 d gives 2.  (The older tool divided by |d|: 2 d came out
    as 2 |d|, which is 2 only where d is a unit vector.)

    Raises:
        InputError: If the lengths differ, d is zero, or one holds NaN or infinity.
    """
    point, axis = _vectors(w=w, d=d)
    _refuse_zero(d=axis)
    return float(point @ axis / (axis @ axis))


def project_2D(d: Vector, dx: Vector, dy: Vector, proj_method: str = "lstsq") -> Pair:
    """Return the coordinates (a, b) of a displacement in the plane of two directions.

    ``lstsq``: the least of |d - a dx - b dy|, so that d = 2 dx + 1 dy gives (2, 1), whatever the
    lengths of the directions and the angle between them.  ``cos``: ``project_1D`` onto each axis
    by itself, which is the same for orthogonal directions only; others are warned of.

    Args:
        d: Point minus the weights at the centre.
        dx: Direction of the first axis.
        dy: Direction of the second axis.
        proj_method: One of ``PROJECTIONS``.

    Returns:
        Steps along dx and dy: 1 is one whole direction.

    Raises:
        InputError: If the method is unknown, the lengths differ, a direction is zero, the two
            are parallel, or something holds NaN or infinity.
    """
    if proj_method not in PROJECTIONS:
        raise InputError(
            f"Unknown proj_method {proj_method!r}; choose one of {sorted(PROJECTIONS)}."
        )
    point, x_axis, y_axis = _vectors(d=d, dx=dx, dy=dy)
    _refuse_no_plane(x_axis, y_axis)
    return PROJECTIONS[proj_method](point, x_axis, y_axis)


def _each_axis_by_itself(point: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> Pair:
    cosine = cal_angle(dx, dy)
    if abs(cosine) > ORTHOGONAL:
        log.warning(
            "The directions are not orthogonal (cosine %.6g), so coordinates by 'cos' are not "
            "those of the point in their plane; choose 'lstsq'.",
            cosine,
        )
    return project_1D(point, dx), project_1D(point, dy)


def _least_squares(point: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> Pair:
    x, y = _coordinates(dx, dy) @ point
    return float(x), float(y)


PROJECTIONS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Pair]] = {
    "cos": _each_axis_by_itself,
    "lstsq": _least_squares,
}


# ------------------------------------------------------------------------------- trajectories


def project_trajectory(
    displacements: np.ndarray | Tensor | Sequence[Vector], dx: Vector, dy: Vector
) -> np.ndarray:
    """Return where each snapshot of a training lies in the plane of two directions.

    Row k holds the (a, b) of the least |w_k - w_0 - a dx - b dy|, as ``project_2D``.

    Args:
        displacements: Snapshots minus the final weights, w_k - w_0: an array of shape (n,
            parameters), or n vectors, which are taken one at a time.
        dx: Direction of the first axis.
        dy: Direction of the second axis.

    Returns:
        Shape (n, 2), float64, in steps along dx and dy.

    Raises:
        InputError: If the lengths differ, a direction is zero, the two are parallel, or something
            holds NaN or infinity.
    """
    x_axis, y_axis = _vectors(dx=dx, dy=dy)
    _refuse_no_plane(x_axis, y_axis)
    coordinates = _coordinates(x_axis, y_axis)
    steps = [coordinates @ row for row in _rows(displacements, length=len(x_axis))]
    return np.array(steps).reshape(-1, 2)


def principal_directions(
    displacements: np.ndarray | Tensor | Sequence[Vector], count: int = 2, center: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the directions in which a trajectory is longest (PCA), longest first.

    With X the n displacements as rows and X X^T u = s^2 u (the Gram matrix, n x n: nothing of
    parameters x parameters is ever built), the component is X^T u / s and its ratio
    s^2 / trace(X X^T).

    Args:
        displacements: Snapshots minus the final weights: an array of shape (n, parameters), or n
            vectors.  Needs their memory once in float64.
        count: How many directions.
        center: ``False``: nothing is subtracted, and the plane is, of all that go through the
            final weights, where the picture has its origin, the one nearest to all snapshots.
            ``True``: the mean of the rows is subtracted first, as the original program does
            (scikit-learn's PCA); that plane goes through the mean.

    Returns:
        Components of shape (count, parameters), orthonormal, the largest entry of each (in
        absolute value) positive; and the share of each in the sum of squares, shape (count,),
        which after centring is scikit-learn's ``explained_variance_ratio_``.

    Raises:
        InputError: If the lengths differ, something holds NaN or infinity, or the rows span fewer
            than ``count`` dimensions.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 7.
    """
    if count < 1:
        raise InputError(f"Found count={count}; wanted 1 or more components.")
    rows = _matrix(displacements)
    # Equal rows minus their mean leave rounding, in which no component must be seen.
    rounding = np.finfo(np.float64).eps * np.vdot(rows, rows)
    if center and rows.size:
        rows -= rows.mean(axis=0)
    squares, mixtures = (found[..., ::-1] for found in np.linalg.eigh(rows @ rows.T))
    rank = int((squares > NO_VARIANCE * squares.max(initial=rounding)).sum())
    if count > rank:
        raise InputError(
            f"Found {len(rows)} displacements that span {rank} dimensions"
            f"{' around their mean' if center else ''}; wanted {count} components. Give more "
            "snapshots that differ, or a smaller count."
        )
    # Orthonormal but for rounding, which is large in small components along the large ones.
    components = np.linalg.qr((mixtures[:, :count].T @ rows).T)[0].T
    largest = np.abs(components).argmax(axis=1, keepdims=True)
    components *= np.sign(np.take_along_axis(components, largest, axis=1))
    return components, squares[:count] / squares.sum()


def _matrix(displacements: Any) -> np.ndarray:
    if not isinstance(displacements, Sized):
        displacements = list(displacements)
    matrix = np.empty((0, 0))
    for number, row in enumerate(_rows(displacements)):
        if number == 0:
            matrix = np.empty((len(displacements), len(row)))
        matrix[number] = row
    return matrix


def _rows(displacements: Any, length: int | None = None) -> Iterator[np.ndarray]:
    for number, row in enumerate(displacements):
        vector = _vector(f"displacement {number}", row, length)
        length = len(vector)
        yield vector


def _coordinates(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the (2, entries) matrix that takes a vector to its least-squares coordinates.

    With unit axes in the columns of A = Q R, the coordinates are R^-1 Q^T w.
    """
    axes = np.stack([dx, dy], axis=1)
    lengths = np.linalg.norm(axes, axis=0)
    orthonormal, triangle = np.linalg.qr(axes / lengths)
    return np.linalg.solve(triangle, orthonormal.T) / lengths[:, None]


# ------------------------------------------------------------------------------------- checks


def _vector(name: str, found: Vector, length: int | None = None) -> np.ndarray:
    vector = flatten(found)
    if length is not None and len(vector) != length:
        raise InputError(
            f"{name} has {len(vector)} entries, those before it {length}. Give vectors of one "
            "network, over the same parameters."
        )
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        raise InputError(
            f"{name} holds NaN or infinity in {bad.size} of {len(vector)} entries, first in entry "
            f"{bad[0]}. Leave out weights of a training that diverged."
        )
    return vector


def _vectors(**found: Vector) -> list[np.ndarray]:
    vectors: list[np.ndarray] = []
    for name, vector in found.items():
        vectors.append(_vector(name, vector, len(vectors[0]) if vectors else None))
    return vectors


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _refuse_zero(**vectors: np.ndarray) -> None:
    for name, vector in vectors.items():
        if not vector @ vector:
            raise InputError(
                f"{name} is zero in all of its {len(vector)} entries, so it points nowhere. Choose "
                "another direction."
            )


def _refuse_no_plane(dx: np.ndarray, dy: np.ndarray) -> None:
    _refuse_zero(dx=dx, dy=dy)
    x, y = _unit(dx), _unit(dy)
    sine = np.linalg.norm(y - (x @ y) * x)
    if sine < PARALLEL:
        raise InputError(
            f"dx and dy are parallel (the sine of their angle is {sine:.1g}), so they span no "
            "plane. Choose another seed or target for one of them."
        )
