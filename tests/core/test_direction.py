"""Directions are the original's, number by number, and drawn from the seed alone."""

import copy
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape_lib.core.direction import (
    IGNORES,
    NORMALIZERS,
    Direction,
    cosine,
    create_random_direction,
    create_target_direction,
    get_states,
    get_weights,
    match_filter_norms,
    movable,
    normalize_direction,
    orthogonalize,
)
from landscape_lib.core.errors import InputError
from tests import reference


def batch_norm_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))


def bits(direction):
    return [tensor.numpy().tobytes() for tensor in direction]


# --------------------------------------------------------------------------- against references


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("ignore", ["biasbn", "none"])
@pytest.mark.parametrize("normalize", sorted(NORMALIZERS))
def test_directions_are_those_of_the_original_program_traps_9_and_10(normalize, ignore, axis):
    noise = reference.digits_tensors(f"raw_direction/{axis}")
    wanted = reference.digits_tensors(f"direction/{normalize}_{ignore}/{axis}")
    weights = list(reference.digits_model().parameters())
    found = normalize_direction(noise, weights, normalize, ignore)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize("shape", [(4, 3), (1, 7), (8, 3, 5, 5)], ids=str)
@pytest.mark.parametrize("normalize", sorted(NORMALIZERS))
def test_norms_match_the_literal_formulas_trap_10(normalize, shape):
    noise, weight = np.random.default_rng(0).normal(size=(2, *shape))
    found = NORMALIZERS[normalize](torch.tensor(noise), torch.tensor(weight))
    np.testing.assert_allclose(found, reference.NORMALIZERS[normalize](noise, weight), rtol=1e-9)


def test_a_filter_is_a_row_of_dimension_zero_and_not_the_whole_tensor_trap_10():
    weight = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    found = match_filter_norms(
        torch.randn(3, 2, generator=torch.Generator().manual_seed(0)), weight
    )
    np.testing.assert_allclose(torch.linalg.vector_norm(found, dim=1), [5, 1, 0], rtol=1e-6)


def test_the_noise_is_gaussian_and_not_uniform_trap_10():
    direction = create_random_direction(nn.Linear(200, 500), norm="dlayer", seed=0)
    noise = direction[0].flatten().double()
    kurtosis = (noise**4).mean() / (noise**2).mean() ** 2
    assert abs(float(kurtosis) - 3) < 0.1  # a uniform's is 1.8
    assert abs(float(noise.mean() / noise.std())) < 0.01


# --------------------------------------------------------------------------- without filters


def test_biasbn_leaves_biases_and_norms_where_they_are():
    direction = create_random_direction(batch_norm_net(), seed=0)
    still = {
        name for name, tensor in zip(direction.names, direction, strict=True) if not tensor.any()
    }
    assert still == {"0.bias", "1.weight", "1.bias", "3.bias"}


@pytest.mark.parametrize("ignore", ["none", None, ""])
def test_none_is_the_originals_and_gives_both_axes_the_weight_itself_trap_9(ignore):
    """Known, and kept under its name."""
    model = batch_norm_net()
    for axis in (0, 1):
        direction = create_random_direction(model, ignore=ignore, seed=0, axis=axis)
        assert torch.equal(direction[1], model[0].bias)
        assert direction.attributes["ignore"] == "none"


def test_scaled_is_an_independent_draw_with_the_norm_of_the_parameter_trap_9():
    """What we offer in its place."""
    model = batch_norm_net()
    x, y = (create_random_direction(model, ignore="scaled", seed=0, axis=axis) for axis in (0, 1))
    for name, one, other, weight in zip(x.names, x, y, get_weights(model), strict=True):
        if weight.ndim <= 1:
            for found in (one, other):
                assert float(found.norm()) == pytest.approx(float(weight.norm()), rel=1e-6), name
            assert weight.norm() == 0 or not torch.equal(one, other), name


# --------------------------------------------------------------------------- choices


@pytest.mark.parametrize("wrong", ["filtre", "Filter", "", None])
def test_a_misspelt_normalize_names_the_right_ones_trap_7(wrong):
    with pytest.raises(
        InputError, match=r"Unknown normalize .*'dfilter', 'dlayer', 'filter', 'layer', 'weight'"
    ):
        create_random_direction(nn.Linear(2, 2), norm=wrong, seed=0)


def test_a_misspelt_ignore_names_the_right_ones_trap_7():
    with pytest.raises(InputError, match=r"Unknown ignore 'bias'.*'biasbn', 'none', 'scaled'"):
        create_random_direction(nn.Linear(2, 2), ignore="bias", seed=0)


def test_a_misspelt_dir_type_names_the_right_ones_trap_7():
    with pytest.raises(InputError, match=r"Unknown dir_type 'state'.*'states', 'weights'"):
        create_random_direction(nn.Linear(2, 2), dir_type="state", seed=0)


# --------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("dir_type", ["weights", "states"])
@pytest.mark.parametrize("ignore", sorted(IGNORES))
@pytest.mark.parametrize("norm", sorted(NORMALIZERS))
def test_one_seed_is_one_direction_to_the_last_bit(norm, ignore, dir_type):
    one, again = (
        create_random_direction(batch_norm_net(), dir_type, ignore, norm, seed=7) for _ in range(2)
    )
    assert bits(one) == bits(again)
    assert one.names == again.names


def test_ten_seeds_are_ten_directions_trap_13():
    """The seed fixed inside the program made ten repeats one."""
    model = nn.Linear(30, 40)
    drawn = [create_random_direction(model, seed=seed) for seed in range(10)]
    assert len({bits(direction)[0] for direction in drawn}) == 10
    assert max(abs(cosine(drawn[0], other)) for other in drawn[1:]) < 0.15


def test_x_and_y_of_one_seed_are_independent_and_no_other_seeds_axes():
    model = nn.Linear(30, 40)
    drawn = [
        create_random_direction(model, seed=seed, axis=axis) for seed in (0, 1) for axis in (0, 1)
    ]
    assert len({bits(direction)[0] for direction in drawn}) == 4
    assert abs(cosine(drawn[0], drawn[1])) < 0.15


def test_without_a_seed_the_direction_is_fresh_and_says_its_seed_trap_13():
    model = nn.Linear(3, 2)
    one, other = (create_random_direction(model) for _ in range(2))
    assert bits(one) != bits(other)
    assert bits(create_random_direction(model, seed=one.attributes["seed"])) == bits(one)


def test_drawing_leaves_the_global_random_states_alone():
    model = batch_norm_net()
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    create_random_direction(model, "states", seed=0)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tobytes() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_direction_says_how_it_came_about():
    direction = create_random_direction(
        nn.Linear(3, 2), ignore="scaled", norm="layer", seed=3, axis=1
    )
    assert direction.attributes == {
        "kind": "random",
        "seed": 3,
        "axis": 1,
        "dir_type": "weights",
        "normalize": "layer",
        "ignore": "scaled",
    }


# --------------------------------------------------------------------------- what moves


def test_states_move_running_statistics_and_leave_counters_trap_8():
    """``randn`` of an integer tensor raises."""
    direction = create_random_direction(batch_norm_net(), "states", seed=0)
    assert "1.running_mean" in direction.names
    assert "1.running_var" in direction.names
    assert "1.num_batches_tracked" not in direction.names
    states = get_states(batch_norm_net())
    assert len(direction) == sum(entry.is_floating_point() for entry in states.values()) == 8
    assert len(get_weights(batch_norm_net())) == 6


def test_a_tied_weight_moves_once_trap_11():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    for dir_type in ("weights", "states"):
        assert tuple(movable(model, dir_type)) == ("0.weight", "0.bias")


def test_half_precision_weights_get_float32_directions():
    direction = create_random_direction(nn.Linear(3, 2).to(torch.bfloat16), seed=0)
    assert {tensor.dtype for tensor in direction} == {torch.float32}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 2, dtype=torch.complex64), "'weight' is complex"),
        (nn.Flatten(), "no floating-point parameter"),
    ],
)
def test_a_model_that_cannot_move_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        movable(model)


def test_a_lazy_parameter_is_refused():
    with pytest.raises(InputError, match="'weight' has no shape yet; run the model once first"):
        movable(nn.LazyLinear(2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_direction_that_is_not_finite_is_refused(bad):
    with pytest.raises(InputError, match="direction of 'b' holds NaN or infinity"):
        Direction(("a", "b"), (torch.zeros(2), torch.tensor([0, bad])))


def test_a_direction_whose_sum_overflows_is_finite_all_the_same():
    large = torch.full((3, 2), 3e38)
    assert bits(Direction(("w",), (large,))) == bits([large])


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("normalize", sorted(NORMALIZERS))
@given(
    shape=st.sampled_from([(1, 9), (2, 70_000), (3, 7), (5, 1), (4, 0), (17, 3, 2, 2), (400, 101)]),
    block=st.sampled_from([1, 8, 300, 40_000]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    turned=st.booleans(),
    still=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_large_tensors_are_normalized_in_blocks_with_the_same_bits(
    normalize, threads, shape, block, dtype, turned, still
):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(shape, generator=generator) * (not still)
    weight = torch.randn(shape, generator=generator).to(dtype)
    if turned:
        weight = weight.transpose(0, -1).contiguous().transpose(0, -1)
    torch.set_num_threads(threads)
    try:
        with pytest.MonkeyPatch.context() as patch:
            found = []
            for size in (block, noise.numel() + 1):
                patch.setattr("landscape_lib.core.direction.BLOCK", size)
                found.append(normalize_direction(noise, weight, normalize))
    finally:
        torch.set_num_threads(1)
    assert found[0].dtype == torch.promote_types(dtype, torch.float32)
    assert bits(found[:1]) == bits(found[1:])


def test_names_and_tensors_go_together():
    with pytest.raises(InputError, match="1 names for 2 tensors"):
        Direction(("a",), (torch.zeros(1), torch.zeros(1)))


def test_noise_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"Noise has shape \(2, 3\), weight \(3, 2\)"):
        normalize_direction([torch.zeros(2, 3)], [torch.zeros(3, 2)])
    with pytest.raises(InputError, match="1 tensors of noise for 2 weights"):
        normalize_direction([torch.zeros(2)], [torch.zeros(2), torch.zeros(2)])


def test_one_tensor_is_normalized_as_in_a_list():
    noise, weight = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    (wanted,) = normalize_direction([noise], [weight], "layer")
    assert torch.equal(normalize_direction(noise, weight, norm="layer"), wanted)


def test_copies_of_weights_and_states_stay_when_the_model_moves_on_trap_17():
    model = batch_norm_net()
    weights, states = get_weights(model), get_states(model)
    before = [w.clone() for w in weights], copy.deepcopy(states)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(a, b) for a, b in zip(weights, before[0], strict=True))
    assert all(torch.equal(states[name], before[1][name]) for name in states)
    assert not any(tensor.requires_grad for tensor in [*weights, *states.values()])


def test_orthogonalized_directions_have_cosine_zero_and_span_the_same_plane_trap_12():
    """Random directions of 12 numbers are far from orthogonal."""
    model = nn.Linear(4, 3, bias=False)
    x, y = (create_random_direction(model, seed=1, axis=axis) for axis in (0, 1))
    assert abs(cosine(x, y)) > 0.01
    found = orthogonalize(y, to=x)
    assert abs(cosine(x, found)) < 1e-7
    taken_out = (y[0] - found[0]).flatten()
    assert abs(torch.cosine_similarity(taken_out, x[0].flatten(), dim=0)) > 1 - 1e-6
    assert found.attributes["orthogonal"] is True
    assert found.attributes["seed"] == 1


def test_parallel_directions_cannot_be_made_orthogonal():
    model = nn.Linear(4, 3, bias=False)
    x = create_random_direction(model, seed=1)
    double = Direction(x.names, tuple(2 * tensor for tensor in x))
    with pytest.raises(InputError, match="parallel: nothing of the second is orthogonal"):
        orthogonalize(double, to=x)
    other = Direction(("another",), x.tensors)
    with pytest.raises(InputError, match="move different parameters"):
        orthogonalize(other, to=x)


# --------------------------------------------------------------------------- targets, cosine


@pytest.mark.parametrize("change", ["gone", "reshaped"])
def test_a_target_of_another_network_is_refused(change):
    model, state = nn.Linear(3, 2), nn.Linear(3, 2).state_dict()
    state["bias"] = torch.zeros(5)
    if change == "gone":
        del state["bias"]
    shape = "nothing" if change == "gone" else r"shape \(5,\)"
    with pytest.raises(InputError, match=rf"has {shape} for 'bias'; this model has shape \(2,\)"):
        create_target_direction(model, state)


def test_a_target_that_lacks_running_statistics_is_refused_for_states():
    state = {n: t for n, t in batch_norm_net().state_dict().items() if "running" not in n}
    create_target_direction(batch_norm_net(), state, "weights")
    with pytest.raises(InputError, match=r"nothing for '1.running_mean'"):
        create_target_direction(batch_norm_net(), state, "states")


@given(angle=st.floats(0, 3.14), length=st.floats(1e-3, 1e3))
def test_the_cosine_is_over_all_entries_together_trap_12(angle, length):
    """A cosine of 0.9999 must be seen."""
    names = ("a", "b")
    east = Direction(
        names, (torch.tensor([1.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    )
    north = torch.tensor([np.sin(angle) * length, 0], dtype=torch.float64)
    other = Direction(names, (torch.tensor([np.cos(angle) * length], dtype=torch.float64), north))
    assert cosine(east, other) == pytest.approx(np.cos(angle), abs=1e-9)


def test_the_cosine_of_large_tensors_is_added_up_in_blocks(monkeypatch):
    one, other = (create_random_direction(batch_norm_net(), seed=seed) for seed in (0, 1))
    whole = cosine(one, other)
    monkeypatch.setattr("landscape_lib.core.direction.BLOCK", 5)
    assert cosine(one, other) == pytest.approx(whole, rel=1e-13)
    assert cosine(one, one) == pytest.approx(1, rel=1e-13)


def test_the_cosine_with_nothing_is_not_a_number():
    zero, one = (Direction(("a",), (torch.full((2,), v),)) for v in (0.0, 1.0))
    assert np.isnan(cosine(zero, one))


@pytest.mark.parametrize("seed", [-1, 1.5, "a", 2**63, True])
def test_a_seed_that_is_none_is_refused_before_anything_is_drawn(seed):
    with pytest.raises(InputError, match=r"seed is .*; wanted a whole number from 0, below 2\^63"):
        create_random_direction(nn.Linear(1, 1), seed=seed)


def test_a_target_that_is_no_model_is_refused():
    with pytest.raises(InputError, match="The target is a str; wanted a model"):
        create_target_direction(nn.Linear(1, 1), "other.pt")


@pytest.mark.parametrize("ignore", [False, 0, "bias"])
def test_only_none_and_nothing_mean_none(ignore):
    with pytest.raises(InputError, match="Unknown ignore"):
        create_random_direction(nn.Linear(1, 1), ignore=ignore, seed=0)
