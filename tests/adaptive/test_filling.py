"""Between evaluated points stands the cubic spline through them, and nothing is invented."""

import numpy as np
import pytest

from landscape_lib.adaptive.filling import Space, fill
from landscape_lib.core.grid import Axis, Grid
from tests.adaptive.landscapes import GRID, X, Y


def lattice(depth, grid=GRID):
    return grid.depths() <= depth


def test_a_cubic_is_found_again_from_its_coarsest_lattice():
    """The spline is not-a-knot: it is exact for polynomials of degree 3 along each axis."""
    cubic = (1 + X - 2 * X**3) * (Y**3 - Y**2 + 0.5)
    inside = 0.25 + 0.5 * (cubic - cubic.min()) / np.ptp(cubic)
    whole = np.where(lattice(1), inside, np.nan)
    whole[24, 0], whole[24, 40] = 0.0, 1.0  # what is held within the range has room there
    there = lattice(1)
    found = fill(GRID, np.where(there, inside, np.nan), there, 1.0)
    held = np.clip(inside, inside[there].min(), inside[there].max())
    np.testing.assert_allclose(found.heights, held, atol=1e-12)
    np.testing.assert_array_equal(found.heights[there], inside[there])
    assert found.misses.max() < 1e-12


def test_misses_are_what_the_coarser_lattice_did_not_foresee():
    heights = np.zeros(GRID.shape)
    there = lattice(1)
    place = tuple(np.argwhere(GRID.depths() == 1)[7])
    heights[place] = 0.5
    found = fill(GRID, heights, there, extent=2.0)
    assert found.misses[place] == 0.25
    assert found.misses.sum() == 0.25


def test_nothing_is_interpolated_beyond_the_evaluated_range():
    step = np.where(X > 0.01, 1.0, 0.0) + 0 * Y
    found = fill(GRID, step, lattice(1), 1.0)
    assert found.heights.min() == 0
    assert found.heights.max() == 1


def test_what_is_unknown_on_the_coarsest_lattice_stays_a_hole_around():
    there = lattice(1)
    heights = np.where(there, 1.0, np.nan)
    corner = np.zeros(GRID.shape, dtype=bool)
    corner[:24, :20] = True
    found = fill(GRID, heights, there & ~corner, 1.0).heights
    assert np.isnan(found[:16, :12]).all()
    assert (found[30:, 26:] == 1).all()
    assert np.isnan(fill(GRID, heights, np.zeros(GRID.shape, dtype=bool), 1.0).heights).all()


def test_a_curve_is_filled_like_a_surface():
    grid = Grid((Axis(-1, 2, 31),))
    steps = grid.axes[0].steps()
    found = fill(grid, steps**2, grid.depths() <= 1, 4.0).heights
    np.testing.assert_allclose(found, np.maximum(steps**2, found.min()), atol=1e-12)


@pytest.mark.parametrize(
    ("values", "units", "log"),
    [
        ([1e-3, 1.0], "", True),
        ([1.0, 40.0], "", False),
        ([0.0, 1e3], "", False),
        ([1.0, 100.0], "%", False),
        ([1e-3, np.nan, 1.0], "", True),
    ],
)
def test_positive_wide_values_are_interpolated_as_logarithms(values, units, log):
    values = np.array(values)
    space = Space.of(values, units)
    assert space.log is log
    finite = values[np.isfinite(values)]
    np.testing.assert_allclose(space.back(space.into(finite)), finite, rtol=1e-14)
    assert space.extent == pytest.approx(np.ptp(space.into(finite)))


def test_values_whose_differences_would_overflow_are_no_numbers_to_a_spline():
    space = Space.of(np.array([1e308, -1e308, 1.0, 3.0]))
    assert space == Space(log=False, extent=2.0)
    np.testing.assert_array_equal(space.into(np.array([-1e308, 3.0])), [np.nan, 3.0])
    assert Space.of(np.array([1e308, -1e308])).extent == 1
    grid = Grid((Axis(-1, 1, 9), Axis(-1, 1, 5)))
    values = np.where(np.arange(45).reshape(9, 5) % 7 == 0, 1e308, -1e308)
    values[::3] = 2.0
    space = Space.of(values)
    found = fill(grid, space.into(values), grid.depths() <= 1, space.extent)
    assert np.isinf(found.misses[values != 2][grid.depths()[values != 2] <= 1]).all()


def test_a_constant_has_an_extent_to_divide_by():
    assert Space.of(np.full(3, 2.5)).extent == 1
    assert Space.of(np.full(3, np.nan)).extent == 1
