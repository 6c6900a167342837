"""What interpolated values may be off by, and that it holds for 95 % of them."""

import math

import numpy as np
import pytest

from landscape_lib.adaptive.bounding import Audit, completed
from landscape_lib.adaptive.rounds import Round, computed_in
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label
from tests.adaptive.landscapes import GRID, X, Y, bowl, explored, waves


@pytest.mark.parametrize(
    "values",
    [bowl(), *(waves(seed) for seed in range(5)), np.abs(X - 0.13) + 0.3 * Y, np.exp(5 * X * Y)],
    ids=["bowl", *(f"waves {seed}" for seed in range(5)), "kink", "exponential"],
)
def test_the_bound_holds_for_95_per_cent_of_the_interpolated_points(values):
    found = explored(values)
    assert found.covered >= 0.95
    assert (found.whole.errors[found.computed] == 0).all()
    assert (found.whole.errors[~found.computed] > 0).all()


def test_evaluated_values_stay_what_they_are_bit_for_bit():
    found = explored(bowl())
    there = found.computed
    assert found.whole.values[there].tobytes() == found.truth[there].tobytes()


@pytest.mark.parametrize(("count", "rank"), [(59, 59), (93, 92), (124, 122)])
def test_the_factor_is_wilks_order_statistic(count, rank):
    """Of 59 the largest covers 95 % with 95 % confidence, of 93 the second, of 124 the third."""
    missed = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert Audit(missed, np.ones(count)).factor == rank


def test_too_few_held_out_points_bound_nothing_and_what_is_expected_is_never_narrowed():
    assert Audit(np.ones(58), np.ones(58)).factor == math.inf
    assert Audit(np.full(59, 1e-9), np.ones(59)).factor == 1.0
    assert Audit(np.full(59, np.inf), np.full(59, np.inf)).factor == math.inf
    assert Audit(np.array([0.0, 0.02, np.inf, 0.004]), np.ones(4)).share_beyond(0.01) == 0.5


def test_a_metric_that_did_not_decide_is_unknown_beside_its_holes():
    grid = Grid((Axis(-1, 1, 17), Axis(-1, 1, 17)))
    (first,) = [Round.of(grid, grid.depths() <= 1, "lattice")]
    values = np.ones(grid.shape)
    values[8, 8] = np.nan
    found = completed(grid, [first], values, Label("loss"))
    there = computed_in(grid, [first])
    assert np.isnan(found.values[8, 7:10]).all()
    assert found.errors[8, 7] == np.inf
    assert np.isfinite(found.values[:6]).all()
    assert there[8, 8]
    assert found.audit is None


def test_errors_are_in_the_metrics_own_unit():
    linear, wide = explored(1000 * waves(6)), explored(bowl())
    scale = np.ptp(linear.truth)
    assert 1e-6 * scale < np.median(linear.whole.errors[~linear.computed]) < 0.02 * scale
    relative = (wide.whole.errors / wide.whole.values)[~wide.computed]
    assert relative.max() < np.expm1(0.1 * np.log(wide.truth.max() / wide.truth.min()))
    assert GRID.shape == wide.whole.errors.shape
