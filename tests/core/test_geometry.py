"""What the values on a grid say, against surfaces whose shape is known."""

import numpy as np
import pytest

from landscape_lib.core import geometry
from landscape_lib.core.grid import Axis, Grid

X = Axis(-1, 1, 21).steps()


def test_the_origin_is_found_where_it_is_and_nowhere_else():
    assert geometry.origin(Grid((Axis(-1, 1, 5), Axis(0, 1, 4)))) == (2, 0)
    assert geometry.origin(Grid((Axis(-1, 1, 4), Axis(0, 1, 4)))) is None
    assert geometry.origin(Grid((Axis(0, 0, 1),))) == (0,)


def test_the_lowest_value_is_the_lowest_finite_one():
    values = np.array([[np.nan, 3.0, -np.inf], [2.0, 4.0, np.inf]])
    assert geometry.lowest(values) == (1, 0)
    assert geometry.lowest(np.full((2, 3), np.nan)) is None


def test_differences_of_a_parabola_are_exact_and_say_so():
    second = geometry.second_difference(X, 3 * X**2 - 2 * X + 1)
    assert (second.value, second.step) == (pytest.approx(6), pytest.approx(0.1))
    assert second.error == pytest.approx(0, abs=1e-9)
    first = geometry.first_difference(X, 3 * X**2 - 2 * X + 1)
    assert first.value == pytest.approx(-2)


@pytest.mark.parametrize("function", [np.cos, np.exp, lambda x: np.cosh(2 * x)])
def test_a_second_differences_error_is_about_what_it_says(function):
    found = geometry.second_difference(X, function(X))
    exact = geometry.second_difference(
        Axis(-1, 1, 2001).steps(), function(Axis(-1, 1, 2001).steps())
    )
    assert abs(found.value - exact.value) == pytest.approx(found.error, rel=0.2)


def test_differences_without_neighbours_are_missing_and_without_more_have_no_known_error():
    assert geometry.second_difference(np.array([0.0, 1.0]), np.array([1.0, 2.0])) is None
    assert geometry.second_difference(np.array([-1.5, 0.5]), np.array([1.0, 2.0])) is None
    assert geometry.second_difference(X[9:12], np.array([1.0, np.nan, 1.0])) is None
    assert np.isnan(geometry.second_difference(X[9:12], np.array([1.0, 0.0, 1.0])).error)


def test_how_far_a_basin_reaches_is_exact_for_a_wedge_and_for_a_narrow_parabola():
    wedge = geometry.reach(X, np.where(X < 0, -2 * X, X), 0.33)
    assert (wedge.low, wedge.high) == (pytest.approx(0.165), pytest.approx(0.33))
    assert wedge.width == pytest.approx(0.495)
    narrow = geometry.reach(X, 100 * X**2, 0.25)  # within the first cell
    assert narrow.low == narrow.high == pytest.approx(0.05)


def test_a_rim_that_is_not_on_the_grid_is_nowhere_and_a_hole_is_one():
    found = geometry.reach(X, np.where(X < 0, X**2, 5 * X**2), 2.0)
    assert np.isnan(found.low)
    assert np.isnan(found.width)
    assert 0.6 < found.high < 0.64
    assert geometry.reach(X, np.where(X > 0.45, np.nan, 0.0), 1.0).high == pytest.approx(0.5)
    assert geometry.reach(X, X * np.nan, 1.0).width == 0
    assert np.isnan(geometry.reach(X + 0.03, X**2, 1.0).width)


@pytest.mark.parametrize("shape", [(201,), (30, 21)], ids=str)
def test_noise_is_measured_as_noise(shape):
    values = 7 + np.random.default_rng(0).normal(scale=0.5, size=shape)
    found = geometry.roughness(values)
    assert found.size == pytest.approx(0.5, rel=0.3)
    assert 0.5 < found.growth < 2
    assert found.spread == pytest.approx(2 * 1.645 * 0.5, rel=0.3)


def test_smooth_surfaces_grow_sixteenfold_and_parabolas_leave_nothing():
    x, y = Axis(-1, 1, 41).steps()[:, None], Axis(-1, 1, 31).steps()[None, :]
    assert geometry.roughness(np.cosh(3 * x) * np.cosh(2 * y)).growth == pytest.approx(16, rel=0.2)
    assert geometry.roughness(x**2 + x * y + 3 * y**2).size < 1e-12


def test_many_kinks_grow_less_than_smooth_surfaces_and_more_than_noise():
    x = Axis(-1, 1, 201).steps()
    places = np.random.default_rng(1).uniform(-1.2, 1.2, 4000)
    signs = np.random.default_rng(2).choice([-1, 1], 4000)
    assert 2 < geometry.roughness(np.abs(x[:, None] - places) @ signs).growth < 4


def test_too_few_steps_tell_no_roughness():
    assert geometry.roughness(np.random.default_rng(0).normal(size=(8, 8))) is None
    assert geometry.roughness(np.full((20, 20), np.nan)) is None


def test_a_parabola_through_five_points_is_that_of_least_squares():
    values = np.random.default_rng(0).normal(size=5)
    fit = np.polynomial.polynomial.polyfit(np.arange(-2, 3), values, 2)
    assert geometry.residuals(values, 0) == pytest.approx([values[2] - fit[0]])


def test_a_barrier_is_what_rises_above_the_line_between_the_ends():
    t = Axis(-0.5, 1.5, 41).steps()
    found = geometry.barrier(t, 2 + t + 4 * t * (1 - t))  # outside 0..1 it does not count
    assert found.over_line == pytest.approx(1)
    assert found.step == pytest.approx(0.5)
    assert found.over_mean == pytest.approx(np.max(2 + t + 4 * t * (1 - t)) - 2.5)
    assert geometry.barrier(t, t**2).over_line == pytest.approx(0)
    assert geometry.barrier(t[:20], t[:20]) is None
    assert np.isnan(geometry.barrier(t, np.where(t == 0.5, np.nan, 1.0)).over_line)


def test_the_largest_rise_is_within_the_radius():
    grid = Grid((Axis(-1, 1, 9), Axis(-1, 1, 5)))
    x, y = (axis.steps() for axis in grid.axes)
    values = x[:, None] + 10 * y[None, :] + 3
    assert geometry.largest_rise(grid, values, 0.5) == pytest.approx(5)
    assert geometry.largest_rise(grid, values, 0.49) == pytest.approx(0.25)
    assert np.isnan(geometry.largest_rise(Grid((Axis(1, 2, 3),)), np.arange(3.0), 1))
    values[4, 3] = np.nan
    assert np.isnan(geometry.largest_rise(grid, values, 0.5))


def test_wide_values_are_drawn_as_log10_and_others_as_they_are():
    values, log = geometry.as_drawn(np.array([1.0, np.nan, 1000.0]))
    assert log
    np.testing.assert_allclose(values, [0, np.nan, 3])
    for narrow in ([1.0, 99.0], [-1.0, 1000.0], [0.0, 1000.0], [np.nan, np.inf]):
        values, log = geometry.as_drawn(np.array(narrow))
        assert not log
        np.testing.assert_array_equal(values, narrow)


@pytest.mark.parametrize(("sign", "goal"), [(1, "min"), (-1, "max")])
def test_a_barrier_is_what_gets_worse_whichever_end_is_good(sign, goal):
    t = np.linspace(-0.5, 1.5, 9)
    found = geometry.barrier(t, sign * (1 + t + 2 * t * (1 - t)), goal)
    assert found.over_line == pytest.approx(0.5)
    assert found.step == 0.5
    assert found.over_mean == pytest.approx(0.625)
    better = geometry.barrier(t, -sign * (1 + t + 2 * t * (1 - t)), goal)
    assert better.over_line == 0
