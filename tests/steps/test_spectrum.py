"""Eigenvalues and traces against those of the matrix itself."""

import numpy as np
import pytest

from landscape_lib.core.curvature import UnmeasurableError
from landscape_lib.steps.spectrum import (
    SEED,
    density,
    eigenvectors,
    extreme_eigenvalues,
    largest_eigenvalues,
    trace,
)


def matrix_of(eigenvalues, seed=0):
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=2 * (len(eigenvalues),)))
    return turn @ np.diag(eigenvalues) @ turn.T


@pytest.mark.parametrize("size", [5, 64, 65, 300])
def test_the_largest_are_the_largest_also_where_negative_ones_are_larger_in_size(size):
    values = np.concatenate([np.linspace(-50, 1, size - 2), [7.0, 4.0]])
    matrix = matrix_of(values)
    found = largest_eigenvalues(matrix.dot, size, 3)
    np.testing.assert_allclose(found.values[:2], [7, 4], rtol=1e-3)
    assert list(found.values) == sorted(found.values, reverse=True)
    assert found.exact == (size <= 64)
    assert found.values == largest_eigenvalues(matrix.dot, size, 3).values


@pytest.mark.parametrize("size", [5, 64, 65, 300])
def test_the_two_ends_of_a_spectrum_come_largest_first(size):
    matrix = matrix_of(np.concatenate([np.linspace(-1, 1, size - 2), [-9.0, 4.0]]))
    found = extreme_eigenvalues(matrix.dot, size)
    np.testing.assert_allclose(found.values, [4, -9], rtol=1e-3)
    assert found.exact == (size <= 64)


def test_more_are_asked_for_than_there_are():
    assert len(largest_eigenvalues(matrix_of([1.0, 2.0]).dot, 2, 3).values) == 2


def test_a_trace_is_exact_when_small_and_has_an_honest_error_when_large():
    small = matrix_of(np.arange(10.0))
    found = trace(small.dot, 10, 8)
    assert (found.value, found.standard_error, found.probes) == (pytest.approx(45), 0, 0)
    errors = []
    for seed in range(12):
        matrix = matrix_of(np.linspace(0, 5, 80), seed)
        found = trace(matrix.dot, 80, 32)
        assert found.probes == 32
        errors.append((found.value - np.trace(matrix)) / found.standard_error)
    assert np.max(np.abs(errors)) < 5
    assert 0.4 < np.std(errors) < 2


def test_a_diagonal_matrix_needs_one_probe():
    found = trace(lambda v: 3.0 * v, 100, 4)
    assert found.value == pytest.approx(300)
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_eigenvalues_that_do_not_converge_are_not_told():
    crowded = -np.linspace(1e-3, 1000, 20_000)  # of which none stands out
    with pytest.raises(UnmeasurableError, match=r"did not find 3 eigenvalues in \d+ products"):
        largest_eigenvalues(lambda v: crowded * v, len(crowded), 3)


def test_an_end_of_the_spectrum_near_zero_is_found_with_products_that_are_rounded():
    """As of a convex loss in float32: relative to itself, -1e-7 could never be found."""
    values = np.concatenate([[-1e-7], np.linspace(0, 1e-3, 297), [3.0, 5.0]])
    matrix = matrix_of(values).astype(np.float32)
    found = extreme_eigenvalues(lambda v: (matrix @ v.astype(np.float32)).astype(float), 300)
    assert found.values[0] == pytest.approx(5, rel=1e-4)
    assert abs(found.values[1]) < 1e-4 * 5
    assert extreme_eigenvalues(np.zeros_like, 300).values == (0, 0)


@pytest.mark.parametrize("size", [6, 300])
@pytest.mark.parametrize("numbers", [(1, 2), (2, 1), (1, -1), (-2, 1), (-1, -2), (3,)], ids=str)
def test_eigenvectors_are_those_of_the_dense_matrix_by_number_from_either_end(size, numbers):
    middle = np.linspace(-1, 1, size - 6) if size > 6 else []
    matrix = matrix_of(np.concatenate([[-9.0, -7.0, -6.0], middle, [5.0, 6.0, 8.0]]))
    values, columns = np.linalg.eigh(matrix)
    found = eigenvectors(matrix.dot, size, numbers)
    again = eigenvectors(matrix.dot, size, numbers)
    for number, value, vector, residual in zip(
        numbers, found.values, found.vectors, found.residuals, strict=True
    ):
        place = -number if number > 0 else -number - 1
        assert value == pytest.approx(values[place], rel=1e-7)
        assert abs(vector @ columns[:, place]) == pytest.approx(1, abs=1e-7)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-14)
        assert vector[np.argmax(np.abs(vector))] > 0
        assert residual == pytest.approx(np.linalg.norm(matrix @ vector - value * vector))
        assert residual < 1e-3 * 9
    assert again.vectors.tobytes() == found.vectors.tobytes()
    assert found.products < 100


def test_eigenvectors_that_are_not_there_are_refused():
    for numbers in ((0, 1), (1, 4), (-4,)):
        with pytest.raises(UnmeasurableError, match="of 3 eigenvectors there is none"):
            eigenvectors(np.eye(3).dot, 3, numbers)


def test_products_that_are_not_finite_end_every_iteration():
    for ask in (extreme_eigenvalues, density, lambda *a: eigenvectors(*a, (1,))):
        for size in (5, 300):
            with pytest.raises(UnmeasurableError, match="not finite"):
                ask(lambda v: v * np.nan, size)


def test_a_density_has_the_moments_of_its_vectors_to_rounding():
    """A rule of m nodes is exact for v'A^k v up to k = 2 m - 1 (Golub and Welsch, 1969)."""
    size, steps = 200, 8
    matrix = matrix_of(np.linspace(-0.3, 1, size))
    found = density(matrix.dot, size, 3, steps)
    stream = np.random.default_rng(SEED)
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        v = stream.choice([-1.0, 1.0], size) / size**0.5
        moments = [v @ np.linalg.matrix_power(matrix, k) @ v for k in range(2 * steps)]
        np.testing.assert_allclose(
            [np.dot(weights, np.power(nodes, k)) for k in range(2 * steps)], moments, rtol=1e-9
        )
    assert not found.exact


def test_a_density_is_that_of_the_dense_eigenvalues():
    stream = np.random.default_rng(1)
    values = np.sort(np.concatenate([stream.normal(0, 0.1, 190), stream.uniform(1, 5, 10)]))
    matrix = matrix_of(values)
    found = density(matrix.dot, 200, 10, 80)
    at = np.linspace(-0.5, 5.5, 61)
    wanted = (values[:, None] <= at).mean(0)
    steps = [
        np.array(weights) @ (np.array(nodes)[:, None] <= at)
        for nodes, weights in zip(found.nodes, found.weights, strict=True)
    ]
    np.testing.assert_allclose(np.mean(steps, 0), wanted, atol=0.03)
    whole = density(matrix.dot, 200, 10, 200)
    assert whole.exact
    np.testing.assert_allclose(whole.nodes[0], values, atol=1e-12)
    assert whole.weights == ((1 / 200,) * 200,)


def test_a_vector_that_sees_three_eigenvalues_has_three_nodes():
    diagonal = np.repeat([-2.0, 0.5, 7.0], 40)
    found = density(lambda v: diagonal * v, 120, 2, 30)
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        np.testing.assert_allclose(nodes, [-2, 0.5, 7], atol=1e-12)
        np.testing.assert_allclose(weights, [1 / 3] * 3)
