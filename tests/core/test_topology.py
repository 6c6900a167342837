"""Basins of functions whose minima and passes are known; and what must hold for any function."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landscape_lib.core import topology
from landscape_lib.core.errors import InputError
from landscape_lib.core.geometry import as_drawn
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.core.topology import is_clear, merge_tree
from tests import reference

X, Y = np.linspace(-1, 1, 41), np.linspace(-1, 1, 25)
ROUGH = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 5)) | st.tuples(st.integers(1, 9)),
    elements=st.integers(-4, 4).map(float) | st.just(np.nan),
)


def pairs(values, goal="min"):
    return sorted((basin.birth, basin.death) for basin in merge_tree(values, goal))


def test_two_wells_join_over_the_saddle_between_them():
    """(x^2 - 1)^2 + x / 10 + y^2: the pass lies at the curve's highest point between the wells."""
    x, y = np.linspace(-1.5, 1.5, 61), np.linspace(-1, 1, 21)
    along = np.square(x**2 - 1) + x / 10
    deep, shallow = merge_tree(along[:, None] + y[None, :] ** 2)
    left, right = int(np.argmin(along)), 30 + int(np.argmin(along[30:]))
    top = left + int(np.argmax(along[left:right]))
    assert (deep.minimum, deep.birth) == ((left, 10), along[left])
    assert (deep.saddle, deep.death, deep.joins) == (None, np.inf, None)
    assert (shallow.minimum, shallow.birth) == ((right, 10), along[right])
    assert (shallow.saddle, shallow.death) == ((top, 10), along[top])
    assert shallow.joins == deep.minimum
    assert shallow.persistence == along[top] - along[right]
    assert not deep.on_border


@pytest.mark.parametrize(("across", "up"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_a_sum_of_cosines_has_as_many_minima_as_periods(across, up):
    x, y = (np.linspace(0, periods, 20 * periods + 1) for periods in (across, up))
    values = np.cos(2 * np.pi * x)[:, None] + np.cos(2 * np.pi * y)[None, :]
    found = merge_tree(values + 1e-3 * x[:, None] + 1e-4 * y[None, :])
    assert len(found) == across * up
    np.testing.assert_allclose([basin.birth for basin in found], -2, atol=0.01)
    np.testing.assert_allclose([basin.death for basin in found[1:]], 0, atol=0.01)  # 1 + -1
    assert len(merge_tree(values, "max")) == (across + 1) * (up + 1)


def test_a_curve_has_the_minima_that_one_sees():
    found = merge_tree(np.array([3.0, 1.0, 2.0, 0.0, 5.0, 4.0]))
    assert [(b.minimum, b.birth, b.saddle, b.death, b.joins, b.on_border) for b in found] == [
        ((3,), 0, None, np.inf, None, False),
        ((1,), 1, (2,), 2, (3,), False),
        ((5,), 4, (4,), 5, (3,), True),
    ]
    peaks = merge_tree(np.array([3.0, 1.0, 2.0, 0.0, 5.0, 4.0]), "max")
    assert [(b.birth, b.death) for b in peaks] == [(5, -np.inf), (3, 0), (2, 1)]


def test_flat_ramps_and_empty_surfaces():
    assert pairs(np.full((4, 3), 2.5)) == [(2.5, np.inf)]
    assert pairs(X[:, None] + Y[None, :]) == [(-2, np.inf)]
    assert merge_tree(np.full((4, 3), np.nan)) == ()
    assert pairs(np.array([[7.0]])) == [(7, np.inf)]


def test_a_plateau_is_one_minimum_and_one_that_overflows_is_none():
    bent = np.array([[0.0, 1, 0], [0, 1, 0], [0, 0, 0], [3, 3, 3]])  # a U, its arms apart
    assert pairs(bent) == [(0, np.inf)]
    steps = np.array([5.0, 3, 3, 3, 1, 2])
    assert pairs(steps) == [(1, np.inf)]


def test_a_wall_of_missing_points_parts_what_is_on_its_sides():
    bowls = np.abs(X[:, None]) + Y[None, :] ** 2
    walled = bowls.copy()
    walled[20] = np.nan
    one, other = merge_tree(walled)
    assert one.death == other.death == np.inf
    assert {one.minimum, other.minimum} == {(19, 12), (21, 12)}
    walled[20, 3] = np.inf  # as little a way through as NaN
    assert len(merge_tree(walled)) == 2
    walled[20, 3] = bowls[20, 3]
    _, shallow = merge_tree(walled)
    assert (shallow.saddle, shallow.death) == ((20, 3), bowls[20, 3])


@given(values=ROUGH)
@settings(max_examples=150, deadline=None)
def test_basins_are_those_of_the_definition(values):
    """Flood level by level and count: slow, literal, without a union-find."""
    assert pairs(values) == reference.persistence_pairs(values)


@given(values=ROUGH, shift=st.integers(-5, 5))
@settings(max_examples=60, deadline=None)
def test_turning_shifting_and_relabelling_keep_the_pairs(values, shift):
    wanted = pairs(values)
    assert pairs(values.T) == pairs(np.flip(values)) == wanted
    assert pairs(values + shift) == [(birth + shift, death + shift) for birth, death in wanted]
    with np.errstate(over="ignore"):
        assert pairs(np.exp(values)) == [(np.exp(b), np.exp(d)) for b, d in wanted]
    peaks = [(-birth, -death) for birth, death in wanted]
    assert pairs(-values, "max") == sorted(peaks)


@given(values=ROUGH, data=st.data(), noise=st.floats(0, 0.2))
@settings(max_examples=60, deadline=None)
def test_small_noise_moves_the_pairs_by_no_more_than_itself(values, data, noise):
    """Stability: whole numbers die a whole number later, and noise makes no more than 0.4."""
    unit = hnp.arrays(np.float64, values.shape, elements=st.floats(-1, 1))
    shaken = pairs(values + noise * data.draw(unit))
    lasting = np.array([pair for pair in shaken if pair[1] - pair[0] > 0.5]).reshape(-1, 2)
    whole = np.array(pairs(values)).reshape(-1, 2)
    assert sorted(np.round(lasting).tolist()) == whole.tolist()
    finite = lasting[np.isfinite(lasting)]
    assert np.abs(finite - np.round(finite)).max(initial=0) <= noise + 1e-12


def test_a_basin_is_clear_beyond_its_errors_or_else_from_a_hundredth_on():
    values = np.array([9.0, 0.0, 5.0, 4.0, 10.0])
    deep, shallow = merge_tree(values)
    assert is_clear(deep, values, np.full(5, 100.0))  # joins none
    assert is_clear(shallow, values, np.full(5, 0.249))
    assert not is_clear(shallow, values, np.full(5, 0.25))  # 2 (e + e) = 1, its persistence
    errors = np.array([99.0, 99.0, 0.3, 0.19, 99.0])  # those of others don't matter
    assert is_clear(shallow, values, errors)
    assert is_clear(shallow, values, np.full(5, np.nan))  # not known
    assert is_clear(shallow, values)
    for depth, clear in ((0.11, True), (0.09, False)):
        values[3] = 5 - depth
        assert is_clear(merge_tree(values)[1], values) is clear


def test_over_powers_of_ten_a_basin_is_measured_in_decades():
    values = np.array([1000.0, 1.0, 1.2, 1.0, 1000.0])
    _, shallow = merge_tree(values)
    assert is_clear(shallow, values)  # 0.08 of 3 decades; of 999 it would be nothing
    values = np.array([1000.0, 1.0, 1.05, 1.0, 1000.0])
    assert not is_clear(merge_tree(values)[1], values)


def test_what_is_no_surface_is_refused():
    with pytest.raises(InputError, match=r"shape \(2, 2, 2\); wanted \(nx,\) or \(nx, ny\)"):
        merge_tree(np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="Unknown goal 'low'; choose 'min' or 'max'"):
        merge_tree(np.zeros(3), "low")


def test_what_all_basins_of_a_rough_surface_are_held_against_is_found_once(monkeypatch):
    values = np.random.default_rng(0).normal(size=(40, 30))
    asked = []
    monkeypatch.setattr(topology, "as_drawn", lambda v: asked.append(1) or as_drawn(v))
    surface = Surface(Grid((Axis(0, 1, 40), Axis(0, 1, 30))), {"train_loss": values})
    clear, others = topology.basins_of(surface, "train_loss")
    assert len(asked) == 1
    assert len(clear) > 50
    assert all(is_clear(basin, values) for basin in clear)
    assert not any(is_clear(basin, values) for basin in others)
