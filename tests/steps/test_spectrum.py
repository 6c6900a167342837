"""Eigenvalues and traces against those of the matrix itself."""

import numpy as np
import pytest

from landscape_lib.core.curvature import UnmeasurableError
from landscape_lib.steps.spectrum import extreme_eigenvalues, largest_eigenvalues, trace


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
