"""What a matrix that is known by its products with vectors says: largest eigenvalues, trace."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landscape_lib.core.curvature import UnmeasurableError

DENSE = 64  # rows up to which the whole matrix is computed, column by column
TOLERANCE = 1e-4  # relative, of the eigenvalues
SEED = 0

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


def largest_eigenvalues(product: Product, size: int, count: int) -> Eigenvalues:
    """Return the algebraically largest eigenvalues, by Lanczos iteration.

    ARPACK through SciPy, to a relative 1e-4, from a fixed first vector.  Up to 64 rows the matrix
    is computed whole.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.
        count: How many eigenvalues; at most ``size``.

    Raises:
        UnmeasurableError: If the iteration does not converge.

    Source:
        Lehoucq, Sorensen, Yang (1998), ARPACK Users' Guide, chapter 4.
    """
    count = min(count, size)
    if size <= DENSE:
        found = np.linalg.eigvalsh(whole(product, size))
        return Eigenvalues(tuple(found[::-1][:count].tolist()), size, exact=True)
    return _lanczos(product, size, count, "LA")


def extreme_eigenvalues(product: Product, size: int) -> Eigenvalues:
    """Return the largest eigenvalue and the smallest one, in this order, from one iteration.

    As ``largest_eigenvalues`` otherwise.

    Args:
        product: Returns the symmetric matrix times a vector of shape (size,).
        size: Rows of the matrix.

    Raises:
        UnmeasurableError: If the iteration does not converge.

    Source:
        Lehoucq, Sorensen, Yang (1998), ARPACK Users' Guide, chapter 4.
    """
    if size <= DENSE:
        found = np.linalg.eigvalsh(whole(product, size))
        return Eigenvalues((float(found[-1]), float(found[0])), size, exact=True)
    return _lanczos(product, size, 2, "BE")


def _lanczos(product: Product, size: int, count: int, which: str) -> Eigenvalues:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    calls = 0

    def counted(vector: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return product(vector.reshape(-1))

    operator = LinearOperator((size, size), matvec=counted, dtype=np.float64)
    start = np.random.default_rng(SEED).standard_normal(size)
    steps = min(size, max(2 * count + 1, 20))
    try:
        values = eigsh(
            operator, count, which=which, v0=start, ncv=steps, tol=TOLERANCE,
            maxiter=20, return_eigenvectors=False,
        )  # fmt: skip
    except ArpackNoConvergence:  # some did, but nobody says that they are the ones asked for
        raise UnmeasurableError(
            f"Lanczos iteration did not find {count} eigenvalues in {calls} products with the "
            "Hessian"
        ) from None
    return Eigenvalues(tuple(np.sort(values)[::-1].tolist()), calls, exact=False)


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
