"""What a matrix that is known by its products says: eigenvalues, eigenvectors, trace, density."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape_lib.core.curvature import UnmeasurableError
from landscape_lib.utils.progress import LOG_EVERY_S, clock

DENSE = 64  # rows up to which the whole matrix is computed, column by column
TOLERANCE = 1e-4  # relative, of the eigenvalues
RESTARTS = 20  # of Lanczos iteration, each some 20 products
PATIENCE, FINE = 200, 1e-5  # restarts and tolerance where eigenvectors are asked for by number
GUESSES = 4  # products that tell the scale of a spectrum
VECTORS, STEPS = 10, 80  # of a density: random vectors, and products from each
SEED = 0

log = logging.getLogger(__name__)

Product = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Eigenvalues:
    """The largest eigenvalues of a symmetric matrix, largest first.

    Attributes:
        values: The eigenvalues.
        products: How many products with a vector it took.
        exact: Whether the whole matrix was computed.
    """

    values: tuple[float, ...]
    products: int
    exact: bool


@dataclass(frozen=True)
class Trace:
    """A trace, and how well it is known.

    Attributes:
        value: The trace, or its estimate.
        standard_error: Of the estimate; 0 where the whole matrix was computed.
        probes: How many random vectors it took; 0 where the whole matrix was computed.
    """

    value: float
    standard_error: float
    probes: int


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvectors of a symmetric matrix, as they were asked for.

    Attributes:
        values: The eigenvalues: v'Av of each vector.
        vectors: Shape (how many, size), float64, each of length 1; the entry that is largest in
            size is positive.
        residuals: |Av - value v| of each: how far it is from an eigenvector.
        products: How many products with a vector it took.
    """

    values: tuple[float, ...]
    vectors: np.ndarray
    residuals: tuple[float, ...]
    products: int


@dataclass(frozen=True)
class Quadrature:
    """A spectrum as random vectors see it: for each a rule of nodes and weights.

    The mean over the rows of  sum_i weights[i] f(nodes[i])  estimates the mean of f over all
    eigenvalues.  A row is exact for v'f(A)v, v its vector of length 1, for every polynomial f of
    degree up to 2 steps - 1.

    Attributes:
        nodes: For every vector its nodes, ascending.
        weights: The same number of weights a row; each row's sum is 1.
        exact: Whether there is one row, of all eigenvalues.
    """

    nodes: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    exact: bool


class _Counted:
    """Counts products, and refuses those that are not finite: no iteration gets over one.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.
        total: How many products there will be; None where nobody knows.
    """

    def __init__(self, product: Product, size: int, total: int | None = None) -> None:
        self.product, self.size, self.total, self.calls = product, size, total, 0
        self._start = self._said = time.monotonic()

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        self._say()
        self.calls += 1
        found = self.product(vector.reshape(-1))
        if not np.isfinite(found).all():
            raise UnmeasurableError("a product with the Hessian is not finite")
        return found

    def _say(self) -> None:
        """Tell now and then how far it is, and, where that is known, how long it will take."""
        now = time.monotonic()
        if self.calls and now - self._said >= LOG_EVERY_S:
            self._said = now
            told = f"{self.calls} products with the Hessian"
            if self.total:
                left = (now - self._start) / self.calls * (self.total - self.calls)
                told = f"{self.calls} of {self.total} products with the Hessian, {clock(left)} left"
            log.info("%s", told)


def largest_eigenvalues(product: Product, size: int, count: int) -> Eigenvalues:
    """Return the algebraically largest eigenvalues, by Lanczos iteration.

    ARPACK through SciPy, to a relative 1e-4, from a fixed first vector.  Up to 64 rows the matrix
    is computed whole.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.
        count: How many eigenvalues; at most ``size``.

    Raises:
        UnmeasurableError: If the iteration does not converge, or a product is not finite.

    Source:
        Lehoucq, Sorensen, Yang (1998), ARPACK Users' Guide, chapter 4.
    """
    count, counted = min(count, size), _Counted(product, size)
    if size <= DENSE:
        found = np.linalg.eigvalsh(whole(counted, size))
        return Eigenvalues(tuple(found[::-1][:count].tolist()), size, exact=True)
    values = _lanczos(counted, count, "LA", return_eigenvectors=False)
    return Eigenvalues(tuple(np.sort(values)[::-1].tolist()), counted.calls, exact=False)


def extreme_eigenvalues(product: Product, size: int) -> Eigenvalues:
    """Return the largest eigenvalue and the smallest one, in this order, from one iteration.

    Both to some 1e-4 of the one that is larger in size: relative to itself, an end of the spectrum
    near zero could not be found by products that are rounded.  As ``largest_eigenvalues``
    otherwise.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.

    Raises:
        UnmeasurableError: If the iteration does not converge, or a product is not finite.

    Source:
        Lehoucq, Sorensen, Yang (1998), ARPACK Users' Guide, chapter 4.
    """
    counted = _Counted(product, size)
    if size <= DENSE:
        found = np.linalg.eigvalsh(whole(counted, size))
        return Eigenvalues((float(found[-1]), float(found[0])), size, exact=True)
    shift = _scale(counted)
    if not shift:
        return Eigenvalues((0.0, 0.0), counted.calls, exact=True)
    values = _lanczos(counted, 2, "BE", shift, return_eigenvectors=False) - shift
    return Eigenvalues((float(values.max()), float(values.min())), counted.calls, exact=False)


def _scale(product: _Counted) -> float:
    """Return about the size of the eigenvalue that is largest in size, by the power method."""
    vector, length = _start(product.size), 0.0
    for _ in range(GUESSES):
        vector = product(vector / np.linalg.norm(vector))
        length = float(np.linalg.norm(vector))
        if not length:
            return 0.0
    return 2 * length


def eigenvectors(product: Product, size: int, numbers: Sequence[int]) -> Eigenpairs:
    """Return eigenvectors by their number: 1 of the largest eigenvalue, -1 of the smallest.

    All from one Lanczos iteration with a fixed first vector, ARPACK through SciPy; up to 64 rows
    from the whole matrix.  Residuals are at most 1e-5 of the eigenvalue; where one from the lower
    end is asked for, some 1e-5 of the one that is largest in size.  Of eigenvalues that come
    several times, fewer may be found.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.
        numbers: Which: 1, 2, ... from the largest, -1, -2, ... from the smallest, by sign.

    Raises:
        UnmeasurableError: If there are not so many, the iteration does not converge, or a product
            is not finite.

    Source:
        Lehoucq, Sorensen, Yang (1998), ARPACK Users' Guide, chapter 4.
    """
    if max(map(abs, numbers)) > size or 0 in numbers:
        raise UnmeasurableError(f"of {size} eigenvectors there is none with number {numbers}")
    counted = _Counted(product, size)
    top, bottom = max(0, *numbers), -min(0, *numbers)
    both = 2 * max(top, bottom) if top and bottom else max(top, bottom)
    if size <= max(DENSE, both + 1):
        _, columns = np.linalg.eigh(whole(counted, size))
    else:
        which = ("BE" if bottom else "LA") if top else "SA"
        shift = _scale(counted) if bottom else 0.0
        values, columns = _lanczos(counted, both, which, shift, tol=FINE, maxiter=PATIENCE)
        columns = columns[:, np.argsort(values)]
    vectors = np.stack([_signed(columns[:, -n if n > 0 else -n - 1]) for n in numbers])
    images = np.stack([counted(vector) for vector in vectors])
    values = np.sum(vectors * images, axis=1)
    rest = np.linalg.norm(images - values[:, None] * vectors, axis=1)
    return Eigenpairs(tuple(values.tolist()), vectors, tuple(rest.tolist()), counted.calls)


def _signed(vector: np.ndarray) -> np.ndarray:
    """Return a vector of length 1 whose largest entry in size is positive."""
    return vector * (np.sign(vector[np.argmax(np.abs(vector))]) / np.linalg.norm(vector))


def _start(size: int) -> np.ndarray:
    return np.random.default_rng(SEED).standard_normal(size)


def _lanczos(
    product: _Counted,
    count: int,
    which: str,
    shift: float = 0.0,
    **asked: Any,
) -> Any:
    """Return what SciPy's ``eigsh`` finds of the matrix with ``shift`` added to its diagonal.

    Raises:
        UnmeasurableError: If it does not converge.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    size = product.size
    operator = LinearOperator(
        (size, size), matvec=lambda v: product(v) + shift * v.reshape(-1), dtype=np.float64
    )
    steps = min(size, max(2 * count + 1, 20))
    try:
        return eigsh(
            operator, count, which=which, v0=_start(size), ncv=steps,
            rng=np.random.default_rng(SEED), **{"tol": TOLERANCE, "maxiter": RESTARTS} | asked,
        )  # fmt: skip
    except ArpackNoConvergence:  # some did, but nobody says that they are the ones asked for
        raise UnmeasurableError(
            f"Lanczos iteration did not find {count} eigenvalues in {product.calls} products with "
            "the Hessian"
        ) from None


def density(product: Product, size: int, vectors: int = VECTORS, steps: int = STEPS) -> Quadrature:
    """Return the density of the eigenvalues, by stochastic Lanczos quadrature.

    From each of some random vectors of signs, Lanczos iteration (with every vector made orthogonal
    to all before it, twice) makes a tridiagonal matrix T.  Its eigenvalues are the nodes, the
    squares of its eigenvectors' first entries the weights.  Up to 64 rows, or steps, the matrix is
    computed whole.

    Memory: one vector of float64 a step.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.
        vectors: How many random vectors.
        steps: Of each Lanczos iteration.

    Raises:
        UnmeasurableError: If a product is not finite.

    Source:
        Golub and Welsch (1969), Calculation of Gauss Quadrature Rules; Ghorbani, Krishnan, Xiao
        (2019), An Investigation into Neural Net Optimization via Hessian Eigenvalue Density; Yao et
        al. (2020), PyHessian.
    """
    if size <= max(DENSE, steps):
        values = np.linalg.eigvalsh(whole(_Counted(product, size, size), size))
        return Quadrature((tuple(values.tolist()),), ((1 / size,) * size,), exact=True)
    counted = _Counted(product, size, vectors * steps)
    stream = np.random.default_rng(SEED)
    rules = []
    for _ in range(vectors):
        signs = stream.choice([-1.0, 1.0], size)
        rules.append(_rule(*_tridiagonal(counted, signs, steps)))
    nodes, weights = zip(*rules, strict=True)
    return Quadrature(nodes, weights, exact=False)


def _tridiagonal(
    product: Product, start: np.ndarray, steps: int
) -> tuple[list[float], list[float]]:
    """Return the diagonal and what stands beside it of the matrix that Lanczos iteration makes."""
    basis = np.empty((steps, len(start)))
    diagonal: list[float] = []
    beside: list[float] = []
    vector = start / np.linalg.norm(start)
    for step in range(steps):
        basis[step] = vector
        rest = product(vector)
        diagonal.append(float(vector @ rest))
        for _ in range(2):  # once leaves what rounding made of nearly parallel vectors
            rest = rest - basis[: step + 1].T @ (basis[: step + 1] @ rest)
        length = float(np.linalg.norm(rest))
        if length <= 1e-10 * max(map(abs, [*diagonal, *beside])):
            break  # the vectors so far span all that this start can see
        beside.append(length)
        vector = rest / length
    return diagonal, beside[: len(diagonal) - 1]


def _rule(
    diagonal: Sequence[float], beside: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from scipy.linalg import eigh_tridiagonal

    nodes, columns = eigh_tridiagonal(diagonal, beside)
    return tuple(nodes.tolist()), tuple(np.square(columns[0]).tolist())


def trace(product: Product, size: int, probes: int) -> Trace:
    """Return the trace: the mean of v'Av over random signs v, with its standard error.

    Up to 64 rows the matrix is computed whole.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.
        probes: How many vectors of signs; at least 2.

    Source:
        Hutchinson (1990), A Stochastic Estimator of the Trace of the Influence Matrix for
        Laplacian Smoothing Splines.
    """
    if size <= DENSE:
        return Trace(float(np.trace(whole(product, size))), 0.0, 0)
    stream = np.random.default_rng(SEED)
    found = []
    for _ in range(probes):
        signs = stream.choice([-1.0, 1.0], size)
        found.append(float(signs @ product(signs)))
    return Trace(float(np.mean(found)), float(np.std(found, ddof=1) / probes**0.5), probes)


def whole(product: Product, size: int) -> np.ndarray:
    """Return the matrix, from its products with unit vectors, symmetric to the last bit."""
    matrix = np.stack([product(row) for row in np.eye(size)], axis=1)
    return (matrix + matrix.T) / 2
