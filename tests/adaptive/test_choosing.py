"""Points are evaluated where they are needed; what is promised of hard surfaces, and what not."""

import numpy as np
import pytest

from landscape_lib.adaptive import choosing
from landscape_lib.adaptive.choosing import first_round, next_round
from landscape_lib.adaptive.rounds import AUDIT, LATTICE, MISSES, computed_in
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid, Refinement
from landscape_lib.core.surface import Label
from tests.adaptive.landscapes import GRID, X, Y, bowl, explored, waves


def around(places, steps=1):
    """Which points lie at most so many steps from such places."""
    padded = np.pad(places, steps)
    width, height = places.shape
    shifts = range(2 * steps + 1)
    return np.logical_or.reduce(
        [padded[i : i + width, j : j + height] for i in shifts for j in shifts]
    )


def test_a_smooth_surface_needs_a_fifth_of_its_points_and_is_exact_to_the_tolerance():
    for values in (bowl(), waves(0)):
        found = explored(values)
        assert found.share < 0.3
        assert found.off.max() < 0.01
        assert found.rounds[0].why == LATTICE


def test_a_smaller_tolerance_takes_more_points_and_keeps_its_word():
    shares = []
    for tolerance in (0.03, 0.01, 0.002):
        found = explored(bowl(), tolerance)
        assert found.off.max() < tolerance
        shares.append(found.share)
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_every_point_within_two_steps_of_the_best_and_of_the_model_is_evaluated():
    for values in (bowl(), waves(0)):
        found = explored(values)
        best = found.truth == found.truth.min()
        assert found.computed[around(best, 2)].all()
        assert found.computed[around((X == 0) & (Y == 0), 2)].all()
    maximum = {"loss": Label("score", goal="max")}
    rounds = [first_round(GRID)]
    seen = np.where(computed_in(GRID, rounds), -waves(0), np.nan)
    chosen = next_round(GRID, rounds, {"loss": seen}, maximum, Refinement(0.5))
    there = computed_in(GRID, [*rounds, chosen])
    assert there[around(seen == np.nanmax(seen), 2)].all()


def test_a_minimum_that_lies_between_the_points_is_looked_for():
    """Many hollows: where a spline goes below the best evaluated point, that is looked at."""
    hollows = 0.4 * np.cos(9.5 * (X - 0.03)) * np.cos(9.5 * (Y - 0.41))
    found = explored(X**2 + 0.3 * Y**2 - hollows, tolerance=0.2)
    assert found.whole.values.min() == found.truth.min()
    assert found.computed[found.truth == found.truth.min()].all()


def test_a_cliff_is_evaluated_all_along_and_nothing_beside_it_is_off():
    found = explored(np.where(X + 0.37 * Y > 0.21, 5.0, 1.0) + 0.1 * X)
    high = found.truth > 3
    edge = around(high) & around(~high)
    assert found.computed[edge].all()
    assert found.off.max() < 0.01
    assert found.share < 0.75


def test_a_checkerboard_needs_nearly_every_point():
    """Every lattice but the finest sees a plane."""
    columns, rows = np.indices(GRID.shape)
    found = explored((columns + rows) % 2 + 0.5)
    assert found.share > 0.99
    assert len(found.rounds) < 24


def test_a_hole_in_a_plateau_is_found_where_the_first_lattice_meets_it():
    deep = np.hypot(X - 0.4, Y - 0.8) < 0.12
    found = explored(np.where(deep, 0.0, 1.0))
    assert found.computed[around(deep) & around(~deep)].all()
    assert found.off.max() < 0.01
    assert found.share < 0.4


def test_a_needle_between_the_points_is_missed_unless_the_audit_draws_it():
    """A promise that cannot be given: what no evaluated point tells of is not seen."""
    plain = explored(waves(1))
    free, drawn = np.argwhere(~plain.computed), np.argwhere(plain.audited)
    values = waves(1)
    values[tuple(free[len(free) // 2])] += 50.0
    assert not explored(values).computed[tuple(free[len(free) // 2])]
    values = waves(1)
    values[tuple(drawn[0])] += 50.0
    found = explored(values)
    needle = np.zeros(GRID.shape, dtype=bool)
    needle[tuple(drawn[0])] = True
    assert found.computed[around(needle)].all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_never_interpolated_nor_painted_over(bad):
    corner = (X > 0.55) & (Y > 0.9)
    found = explored(np.where(corner, bad, waves(2)))
    assert found.computed[around(corner)].all()
    assert np.isfinite(found.whole.values[~corner]).all()
    np.testing.assert_array_equal(found.whole.values[corner], bad)
    assert found.off.max() < 0.01
    assert found.share < 0.5


def test_a_surface_without_any_number_is_evaluated_whole():
    assert explored(np.full(GRID.shape, np.nan)).computed.all()


def test_a_plateau_takes_the_first_lattice_the_best_point_and_an_audit():
    found = explored(np.full(GRID.shape, 3.0))
    assert [one.why for one in found.rounds] == [LATTICE, MISSES, AUDIT]
    np.testing.assert_array_equal(found.whole.values, 3.0)


def test_the_first_lattice_holds_nine_steps_of_each_axis_or_all_there_are():
    for counts in ((49, 41), (51, 51), (201, 12), (9, 5), (1, 60)):
        grid = Grid(tuple(Axis(-1, 1, n) if n > 1 else Axis(0, 0, 1) for n in counts))
        first = computed_in(grid, [first_round(grid)])
        for axis, count in enumerate(counts):
            steps = first.any(axis=1 - axis).sum()
            assert min(9, count) <= steps <= 17 or steps == count


def test_a_grid_too_small_to_be_refined_is_evaluated_whole_in_one_round():
    grid = Grid((Axis(-1, 1, 9), Axis(0, 1, 4)))
    found = explored(np.arange(36.0).reshape(9, 4), grid=grid)
    assert found.computed.all()
    assert len(found.rounds) == 1


def test_the_metric_that_is_named_decides_and_the_others_do_not():
    keys = {"smooth": Label("smooth"), "rough": Label("rough")}
    columns, rows = np.indices(GRID.shape)
    values = {"smooth": waves(1), "rough": np.where((columns + rows) % 3 == 0, 1.0, 0.0)}

    def share(metric):
        rounds = []
        while found := next_round(GRID, rounds, values, keys, Refinement(0.01, metric)):
            rounds.append(found)
        return computed_in(GRID, rounds).mean()

    assert share("smooth") < 0.35
    assert share(None) > 0.9
    with pytest.raises(InputError, match=r"no metric 'loss' .* \['smooth', 'rough'\]"):
        share("loss")


@pytest.mark.parametrize("tolerance", [0, 1, -0.1, float("nan")])
def test_a_tolerance_that_is_no_share_is_refused(tolerance):
    with pytest.raises(InputError, match="between 0 and 1"):
        Refinement(tolerance)


def test_what_was_not_asked_for_decides_nothing():
    """Values that a journal happens to have are no reason to choose other points."""
    found = explored(waves(4))
    labels, rounds = {"loss": Label("loss")}, []
    while chosen := next_round(GRID, rounds, {"loss": found.truth}, labels, Refinement(0.01)):
        rounds.append(chosen)
    assert rounds == found.rounds
    assert choosing.AUDIT_LEAST >= 59  # fewer say nothing of 95 % with 95 % confidence
