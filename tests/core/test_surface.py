"""Shards make one surface whatever their order, and what does not belong is named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_lib.core.errors import DisagreementError, InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Shard, Surface, merge

GRID = Grid((Axis(-1, 1, 3), Axis(0, 4, 5)))


def shard(indices, shift=0.0, grid=GRID, fingerprint="abc", key="train_loss"):
    return Shard(grid, np.array(indices), {key: np.array(indices) + shift}, fingerprint)


@given(nx=st.integers(1, 7), ny=st.integers(1, 7), hand=st.randoms(use_true_random=False))
def test_sharding_never_changes_the_surface_traps_27_and_28(nx, ny, hand):
    grid = Grid((Axis(0, nx - 1, nx), Axis(0, ny - 1, ny)))
    whole = np.array(
        [hand.choice([hand.gauss(0, 1), float("nan"), -1.0, 0.0]) for _ in range(nx * ny)]
    )
    of = hand.randint(1, grid.size)
    parts = [np.sort(grid.shard(number, of)) for number in range(of)]
    shards = [Shard(grid, part, {"height": whole[part]}) for part in parts]
    shards += hand.sample(shards, hand.randint(0, of))  # the same values twice do no harm
    hand.shuffle(shards)
    assert merge(shards)["height"].tobytes() == whole.reshape(nx, ny).tobytes()


def test_merge_takes_a_generator_and_keeps_fingerprint_and_plans():
    halves = [
        Shard(GRID, np.arange(8), {"a": np.zeros(8)}, "f", ("two", "one")),
        Shard(GRID, np.arange(8, 15), {"a": np.zeros(7)}, "f", ("one",)),
    ]
    surface = merge(half for half in halves)
    assert surface.attributes == {"fingerprint": "f", "plans": ("one", "two")}


def test_merge_names_the_points_that_are_missing_trap_27():
    with pytest.raises(DisagreementError, match=r"2 of 15 points are missing: flat indices 3, 14"):
        merge([shard([0, 1, 2]), shard(range(4, 14))])


def test_merge_names_points_that_came_twice_with_other_values():
    with pytest.raises(DisagreementError, match=r"'train_loss' came twice .* flat indices 5, 6"):
        merge([shard(range(7)), shard(range(5, 15), shift=0.5)])


def test_merge_says_where_and_by_whom_a_point_came_twice_with_other_values():
    one, other = shard(range(7)), shard(range(5, 15), shift=0.5)
    one = replace(one, attributes={"file": "shards/0-of-2.h5", "host": "node0"})
    with pytest.raises(DisagreementError) as refused:
        merge([one, replace(other, attributes={"file": "1-of-2.h5", "host": "node1"})])
    at = GRID.points([5])[0].tolist()
    assert (
        f"At {at} it is 5.0 in shards/0-of-2.h5 (host node0), and 5.5 in 1-of-2.h5 (host node1). "
        "Two kinds of processors differ in the last bits"
    ) in str(refused.value)
    with pytest.raises(DisagreementError, match=r"5\.0 in the shard at point \[0\], and 5\.5 in"):
        merge([shard(range(7)), other])


def test_nan_that_comes_twice_is_the_same_value_and_nan_against_a_number_is_not():
    nan, one = (Shard(GRID, np.array([0]), {"a": np.array([v])}) for v in (np.nan, 1.0))
    rest = Shard(GRID, np.arange(1, 15), {"a": np.zeros(14)})
    assert np.isnan(merge([nan, nan, rest])["a"][0, 0])
    for pair in ([nan, one], [one, nan]):
        with pytest.raises(DisagreementError, match="came twice"):
            merge([*pair, rest])


@pytest.mark.parametrize(
    ("stranger", "what"),
    [
        ({"grid": Grid((Axis(-1, 1, 3), Axis(0, 5, 5)))}, "grid"),
        ({"fingerprint": "other"}, "fingerprint other"),
        ({"key": "test_loss"}, r"metrics \['test_loss'\]"),
    ],
)
def test_merge_refuses_a_stranger_and_says_what_is_strange_about_it(stranger, what):
    with pytest.raises(DisagreementError, match=rf"point \[8\] has the {what}"):
        merge([shard(range(8)), shard(range(8, 15), **stranger)])


def test_merge_of_nothing_is_refused():
    with pytest.raises(DisagreementError, match="No shard was given"):
        merge([])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([3, 1], "ascending"),
        ([1, 1], "ascending"),
        ([14, 15], "its grid has 0 to 14"),
        ([-1, 2], "has 0"),
    ],
)
def test_a_shard_with_wrong_indices_is_refused(indices, message):
    with pytest.raises(InputError, match=message):
        shard(indices)


def test_values_of_the_wrong_shape_are_refused():
    with pytest.raises(InputError, match=r"'a' have shape \(5, 3\), wanted \(3, 5\)"):
        Surface(GRID, {"a": np.zeros((5, 3))})
    with pytest.raises(InputError, match="at least one metric"):
        Surface(GRID, {})


def test_an_unknown_metric_lists_those_there_are():
    surface = Surface(GRID, {"train_loss": np.zeros((3, 5))})
    with pytest.raises(
        InputError, match=r"no metric 'train_los' here; choose one of \['train_loss'\]"
    ):
        surface["train_los"]


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("train_loss", Label("train loss")),
        ("train_acc", Label("train accuracy", "%", "max")),
        ("test_acc", Label("test accuracy", "%", "max")),
        ("train_loss_ce", Label("train ce")),
        ("train_loss_acc", Label("train acc", goal="max")),
        ("train_loss_Top1-Accuracy", Label("train Top1-Accuracy", goal="max")),
        ("train_loss_accuracy_loss", Label("train accuracy_loss")),
        ("height", Label("height value")),
    ],
)
def test_a_key_says_what_it_is_called_measured_in_and_which_end_is_good(key, label):
    assert Label.of(key) == label
    assert Surface(GRID, {key: np.zeros((3, 5))}).labels[key] == label


def test_a_goal_is_min_or_max():
    with pytest.raises(InputError, match="Unknown goal 'up'; choose 'min' or 'max'"):
        Label("x", goal="up")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"computed": np.ones((3, 2))}, r"'computed' has shape \(3, 2\), the grid \(2, 3\)"),
        ({"errors": {"loss": np.ones((2, 3))}}, r"errors of \['loss'\], which are no metrics"),
        ({"errors": {"a": np.ones(3)}}, r"'a' have shape \(3,\), wanted \(2, 3\)"),
    ],
)
def test_what_does_not_fit_a_surface_is_refused(parts, message):
    grid = Grid((Axis(0, 1, 2), Axis(0, 1, 3)))
    with pytest.raises(InputError, match=message):
        Surface(grid, {"a": np.zeros((2, 3))}, **parts)
