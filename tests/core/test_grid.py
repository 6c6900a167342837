"""Points lie where the config's decimals say, and shards part them without gap or overlap."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid

decimals = st.decimals(-50, 50, places=3).map(float)


def test_a_wider_axis_on_the_same_spacing_shares_all_51_points_to_the_last_bit():
    near, far = Axis(-1, 1, 51).steps(), Axis(-2, 2, 101).steps()
    np.testing.assert_array_equal(near, far[25:76])
    assert len(set(near.tolist()) & set(far.tolist())) == 51


@given(low=decimals, width=st.decimals("0.001", 20, places=3).map(float), count=st.integers(2, 40))
def test_a_refined_axis_keeps_every_point_it_had(low, width, count):
    high = float(Fraction(repr(low)) + Fraction(repr(width)))
    coarse, fine = Axis(low, high, count).steps(), Axis(low, high, 2 * count - 1).steps()
    np.testing.assert_array_equal(coarse, fine[::2])


@given(low=decimals, width=st.decimals("0.001", 20, places=3).map(float), count=st.integers(2, 60))
def test_steps_are_the_exact_values_rounded_once(low, width, count):
    high = low + width
    steps = Axis(low, high, count).steps()
    first, last = Fraction(repr(low)), Fraction(repr(high))
    for number, step in enumerate(steps):
        assert step == float(first + (last - first) * number / (count - 1))
    assert steps[0] == low
    assert steps[-1] == high
    assert (np.diff(steps) > 0).all()


def test_an_even_number_of_steps_misses_the_centre_and_an_odd_one_hits_it_trap_4():
    assert 0.0 in Axis(-1, 1, 5).steps()
    assert 0.0 not in Axis(-1, 1, 4).steps()
    assert Axis(-1, 1, 4).steps().dtype == np.float64


def test_an_axis_that_begins_at_zero_begins_at_zero_trap_5():
    """``xmin or -1`` reads 0 as 'not given'."""
    np.testing.assert_array_equal(Axis(0, 1, 3).steps(), [0, 0.5, 1])
    np.testing.assert_array_equal(Axis(-1, 0, 3).steps(), [-1, -0.5, 0])


def test_an_axis_of_one_step_stands_still():
    np.testing.assert_array_equal(Axis(0.25, 0.25, 1).steps(), [0.25])


@pytest.mark.parametrize(
    ("low", "high", "count", "message"),
    [
        (1, -1, 5, "low must be below high"),
        (1, 1, 5, "low must be below high"),
        (-1, 1, 1, "low must equal high"),
        (-1, 1, 0, "needs at least 1"),
        (-1, 1, -3, "needs at least 1"),
        (float("nan"), 1, 3, "must be finite"),
        (0, float("inf"), 3, "must be finite"),
    ],
)
def test_an_axis_that_makes_no_sense_is_refused_at_birth(low, high, count, message):
    with pytest.raises(InputError, match=message):
        Axis(low, high, count)


@pytest.mark.parametrize("axes", [0, 3])
def test_a_grid_has_one_or_two_axes(axes):
    with pytest.raises(InputError, match=f"has {axes} axes; it needs one or two"):
        Grid((Axis(-1, 1, 3),) * axes)


def test_points_run_row_by_row_with_y_fastest():
    grid = Grid((Axis(-1, 1, 2), Axis(0, 2, 3)))
    assert grid.shape == (2, 3)
    assert grid.size == 6
    np.testing.assert_array_equal(
        grid.points(), [[-1, 0], [-1, 1], [-1, 2], [1, 0], [1, 1], [1, 2]]
    )
    np.testing.assert_array_equal(grid.points([1, 5]), [[-1, 1], [1, 2]])
    np.testing.assert_array_equal(Grid((Axis(0, 2, 3),)).points(), [[0], [1], [2]])


@given(nx=st.integers(1, 9), ny=st.integers(1, 9), data=st.data())
def test_shards_part_the_grid_without_gap_overlap_or_favour(nx, ny, data):
    grid = Grid((Axis(0, nx - 1, nx), Axis(0, ny - 1, ny)))
    of = data.draw(st.integers(1, grid.size))
    parts = [grid.shard(number, of) for number in range(of)]
    assert [index for part in parts for index in part] == grid.order().tolist()
    assert sorted(grid.order()) == list(range(grid.size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert min(map(len, parts)) >= 1


@given(low=st.integers(-60, 10), above=st.integers(0, 90))
def test_each_lattice_holds_both_ends_and_the_model_and_is_about_evenly_spaced(low, above):
    axis = Axis(low, low + above, above + 1)
    depths = axis.depths()
    assert depths.min() == 0
    assert set(depths) == set(range(depths.max() + 1))
    nearest = int(np.argmin(np.abs(axis.steps())))
    assert depths[0] == depths[-1] == depths[nearest] == 0
    for depth in range(depths.max() + 1):
        spacing = 2 ** (depths.max() - depth)
        gaps = np.diff(np.flatnonzero(depths <= depth))
        assert set(gaps[2:-2]) <= {spacing}
        assert (gaps <= 1.5 * spacing).all()
    assert (depths == 0).sum() >= min(5, axis.count)


def test_points_come_coarse_to_fine_and_the_first_shard_is_the_coarse_picture():
    grid = Grid((Axis(-1, 1, 51), Axis(-0.5, 1, 31)))
    depths = grid.depths().ravel()
    assert (np.diff(depths[grid.order()]) >= 0).all()
    first = grid.shard(0, of=16)
    whole = np.flatnonzero(depths < depths[first].max())
    assert len(whole) > 25
    assert set(whole) <= set(first)
    assert grid.depths()[25, 10] == 0  # the model itself
    small = Grid((Axis(-1, 1, 5), Axis(0, 3, 4)))
    assert small.order().tolist() == list(range(20))


@pytest.mark.parametrize(
    ("number", "of", "message"),
    [
        (0, 0, "choose 1 to 6 shards"),
        (0, 7, "choose 1 to 6 shards"),
        (2, 2, "choose 0 to 1"),
        (-1, 2, "choose 0 to 1"),
    ],
)
def test_a_shard_that_does_not_exist_is_refused(number, of, message):
    with pytest.raises(InputError, match=message):
        Grid((Axis(-1, 1, 3), Axis(0, 1, 2))).shard(number, of)


def test_an_axis_is_found_through_its_steps_but_for_rounding():
    assert Axis.through(np.linspace(-1, 2, 7)) == Axis(-1, 2, 7)
    assert Axis.through([0.5]) == Axis(0.5, 0.5, 1)
    assert Axis.through(np.linspace(-1, 1, 51, dtype=np.float32)).count == 51


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([0, 1, 5], "not evenly spaced"),
        ([], r"shape \(0,\); wanted a row of numbers"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([1, 0], "low must be below high"),
    ],
)
def test_coordinates_that_are_no_axis_are_refused(steps, message):
    with pytest.raises(InputError, match=message):
        Axis.through(steps)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ((Axis(-1, 1, 50), Axis(-1, 1, 51)), ["x"]),
        ((Axis(-1, 2, 3), Axis(-1, 1, 4)), ["x", "y"]),
        ((Axis(0, 1, 4), Axis(-1, 2, 4)), []),
        ((Axis(0.5, 1, 4),), []),
    ],
)
def test_a_grid_that_misses_the_trained_model_says_so_trap_4(axes, said, caplog):
    Grid(axes).warn_of_missed_centre()
    assert [message.split()[3] for message in caplog.messages] == said
    assert all("the trained model itself is no point of this grid" in m for m in caplog.messages)


def test_steps_that_are_remembered_cannot_be_spoilt_by_who_got_them():
    Axis(-1, 1, 7).steps()[:] = 5
    np.testing.assert_array_equal(Axis(-1, 1, 7).steps()[[0, 3, 6]], [-1, 0, 1])
