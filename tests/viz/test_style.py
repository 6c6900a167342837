"""Scale, levels and words follow the values, and the user wins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Surface
from landscape_lib.viz.figures import best_place, best_text, name_of, notes
from landscape_lib.viz.style import Look, choose_scale, is_wide, number_text

LOSS, ACCURACY, SCORE = Label("loss"), Label("accuracy", "%", "max"), Label("score", "", "max")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": "logarithmic"}, r"'logarithmic'; choose one of \['auto', 'log', 'linear'\]"),
        ({"cmap": "virdis"}, r"'virdis'; choose one of \['viridis'"),
        ({"cmap": "qqqqq"}, "'qqqqq'; choose one of .*'cividis'"),
        ({"vmin": 2, "vmax": 2}, "vmin must be below vmax"),
        ({"vlevel": 0}, "must be above 0"),
        ({"vmin": float("nan")}, "must be a finite number"),
        ({"vmax": "1"}, "must be a finite number"),
        ({"scale": "log", "vmin": 0}, "vmin is 0; a log scale needs it above 0"),
        ({"scale": "log", "vmax": -1}, "vmax is -1; a log scale needs it above 0"),
    ],
)
def test_a_wrong_choice_names_the_right_ones(wrong, message):
    with pytest.raises(InputError, match=message):
        Look(**wrong)


@pytest.mark.parametrize(
    ("values", "label", "log"),
    [
        ([0.1, 5.0], LOSS, True),
        ([0.1, 4.9], LOSS, False),
        ([0.0, 500.0], LOSS, False),
        ([-1.0, 500.0], LOSS, False),
        ([0.1, 99.0], ACCURACY, False),
        ([0.1, np.nan, np.inf, 5.0], LOSS, True),
    ],
)
def test_the_scale_is_log_for_positive_wide_values_that_are_no_percentages(values, label, log):
    values = np.array(values)
    assert choose_scale(values, Look(), label).log is log
    assert is_wide(values, label.units) is log
    assert choose_scale(values, Look(scale="linear"), label).log is False


@given(low=st.floats(1e-12, 1e12), wide=st.floats(50, 1e25))
@settings(max_examples=200, deadline=None)
def test_log_levels_are_about_twelve_and_cover_the_values(low, wide):
    scale = choose_scale(np.array([low, low * wide]), Look(), LOSS)
    assert scale.log
    assert 6 <= len(scale.levels) <= 19
    assert scale.levels[0] <= low
    assert scale.levels[-1] >= low * wide
    assert scale.extend == "neither"
    assert 2 <= len(scale.ticks) <= 9


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
@settings(max_examples=200, deadline=None)
def test_linear_levels_are_about_twelve_and_cover_the_values(low, span):
    scale = choose_scale(np.array([low, low + span]), Look(scale="linear"), LOSS)
    assert 5 <= len(scale.levels) <= 14
    assert scale.levels[0] <= low
    assert scale.levels[-1] >= low + span


def test_log_levels_are_round_numbers():
    decades = choose_scale(np.array([1e-5, 1e6]), Look(), LOSS)
    np.testing.assert_allclose(decades.levels, 10.0 ** np.arange(-5, 7))
    assert decades.text(1e-5) == "10⁻⁵"
    few = choose_scale(np.array([0.2, 11.0]), Look(), LOSS)
    np.testing.assert_allclose(few.levels, [0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15])
    assert [few.text(tick) for tick in few.ticks] == ["0.2", "0.5", "1", "2", "5", "10"]


def test_accuracy_and_wide_losses_are_not_blank_trap_35():
    """Levels fixed at 0.1 to 10 left accuracies blank, and wide losses half blank."""
    accuracy = choose_scale(np.linspace(11, 97, 50), Look(), ACCURACY)
    assert sum(11 < level < 97 for level in accuracy.levels) >= 7
    loss = choose_scale(np.geomspace(0.02, 8000, 50), Look(), LOSS)
    assert sum(10 < level < 8000 for level in loss.levels) >= 4


def test_a_linear_tail_is_cut_at_the_bad_end_only():
    values = np.concatenate([np.linspace(-1, 1, 999), [1000.0]])
    loss = choose_scale(values, Look(), LOSS)
    assert loss.levels[-1] < 5
    assert loss.extend == "max"
    score = choose_scale(values, Look(), SCORE)
    assert score.levels[-1] >= 1000
    assert score.extend == "neither"
    low_score = choose_scale(-values, Look(), SCORE)
    assert low_score.levels[0] > -5
    assert low_score.extend == "min"
    percent = np.concatenate([np.full(500, 10.0), np.linspace(10, 11, 499), [97.0]])
    assert choose_scale(percent, Look(), ACCURACY).extend == "neither"


def test_the_users_bounds_and_spacing_win():
    values = np.geomspace(0.01, 1e4, 30)
    scale = choose_scale(values, Look(vmin=0.1, vmax=10, vlevel=0.5), LOSS)
    np.testing.assert_allclose(scale.levels, [*np.arange(0.1, 10, 0.5), 10])
    assert scale.log is False
    assert scale.extend == "both"
    decades = choose_scale(values, Look(scale="log", vmin=0.1, vmax=10, vlevel=0.5), LOSS)
    np.testing.assert_allclose(decades.levels, 10.0 ** np.arange(-1, 1.1, 0.5))
    bounds = choose_scale(values, Look(vmin=0.3, vmax=700), LOSS)
    assert bounds.log
    assert (bounds.levels[0], bounds.levels[-1]) == (0.3, 700)


def test_a_bound_of_zero_is_a_bound_trap_5():
    assert choose_scale(np.array([3.0, 5.0]), Look(vmin=0), LOSS).levels[0] == 0
    assert choose_scale(np.array([-5.0, -3.0]), Look(vmax=0), LOSS).levels[-1] == 0


def test_too_many_levels_are_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"makes \d+ levels .* Choose a larger vlevel, bounds"):
        choose_scale(np.array([0.0, 1e5]), Look(vlevel=0.5), LOSS)


def test_log_of_what_is_not_positive_is_missing_and_said_trap_37():
    values = np.array([-1.0, 0.0, 1.0, 100.0])
    look = Look(scale="log")
    scale = choose_scale(values, look, LOSS)
    np.testing.assert_array_equal(scale.shown(values).mask, [True, True, False, False])
    np.testing.assert_allclose(scale.shown(values).compressed(), [0, 2])
    assert "2 of 4 points are not positive: missing on the log scale" in notes(values, scale, look)
    nothing = choose_scale(-values[3:], look, LOSS)
    assert notes(-values[3:], nothing, look) == ["no positive value: a log scale shows nothing"]


@pytest.mark.parametrize(
    ("values", "look", "said"),
    [
        ([2.5, 2.5], Look(), ["constant 2.5"]),
        ([np.nan, np.inf], Look(), ["no finite value"]),
        ([1.0, np.nan, 2.0], Look(), ["1 of 3 points are not finite"]),
        ([1.0, 2.0], Look(vmin=5), ["every value is below 5"]),
        ([1.0, 2.0], Look(vmax=0.5), ["every value is above 0.5"]),
        ([1.0, 2.0], Look(), []),
    ],
)
def test_notes_say_what_a_reader_would_have_to_guess(values, look, said):
    values = np.array(values)
    assert notes(values, choose_scale(values, look, LOSS), look) == said


def test_the_best_point_follows_the_goal_and_is_nearest_the_origin_among_equals():
    grid = Grid((Axis(-1, 1, 5), Axis(0, 2, 3)))
    x, y = (axis.steps() for axis in grid.axes)
    tilted = 10 * x[:, None] + y[None, :]
    plateau = np.full(grid.shape, 100.0)
    plateau[0, :] = 3
    holes = tilted.copy()
    holes[0, 0], holes[0, 1] = -np.inf, np.nan
    surface = Surface(
        grid,
        {
            "train_loss": tilted,
            "train_acc": tilted,
            "test_acc": plateau,
            "test_loss": holes,
            "flat": 0 * tilted + 1,
            "none": tilted * np.nan,
        },
    )
    assert best_place(surface, "train_loss") == (0, 0)
    assert best_place(surface, "train_acc") == (4, 2)
    assert best_place(surface, "test_acc") == (2, 0)
    assert best_place(surface, "test_loss") == (0, 2)
    assert best_place(surface, "flat") is None
    assert best_place(surface, "none") is None
    assert best_text(surface, "train_acc") == ["best 12 at (1, 2)"]
    assert best_text(surface, "none") == []


def test_numbers_keep_their_small_digits_trap_37():
    assert number_text(4e-7) == "4e\N{MINUS SIGN}7"
    assert number_text(-1500) == "\N{MINUS SIGN}1500"
    assert number_text(1e12) == "1e12"


def test_a_character_without_a_glyph_is_spelled():
    assert name_of(Label("café 损")) == "café \\u635f"
