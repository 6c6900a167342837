"""A model goes exactly where it is told, and comes back to the last bit."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape_lib.core import perturbation
from landscape_lib.core.direction import (
    Direction,
    OnDemand,
    create_random_direction,
    create_target_direction,
    get_states,
    get_weights,
)
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import measure
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.perturbation import (
    _Resident,
    _Streamed,
    excursion,
    set_states,
    set_weights,
)

GRID = Grid((Axis(-1, 1, 3), Axis(0, 1, 2)))


def lived_in_net():
    """Batch norm in eval mode, a frozen bias, a tied weight, gradients, an unsaved buffer."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.Dropout(0.5),
        nn.Linear(6, 4),
        nn.Linear(4, 4, bias=False),
    )
    net[4].weight = nn.Parameter(torch.randn(4, 4))
    net.append(nn.Linear(4, 4))
    net[5].weight = net[4].weight
    net.register_buffer("hidden", torch.randn(2), persistent=False)
    net[3].bias.requires_grad_(False)
    net[1].eval()
    net(torch.randn(8, 4)).square().sum().backward()
    net[0].weight.grad = None
    return net


def everything(net):
    """All of a model and of the world that must come back."""
    tensors = [
        *net.named_parameters(remove_duplicate=False),
        *net.named_buffers(remove_duplicate=False),
    ]
    return {
        "bits": [(n, t.dtype, t.shape, t.detach().numpy().tobytes()) for n, t in tensors],
        "storage": [(id(t), t.data_ptr(), t.stride()) for _, t in tensors],
        "modes": [module.training for module in net.modules()],
        "modules": [id(module) for module in net.modules()],
        "hooks": [len(module._forward_hooks) for module in net.modules()],
        "attributes": [(list(vars(module)), vars(module).get("eps")) for module in net.modules()],
        "flags": [t.requires_grad for _, t in tensors],
        "grads": [
            None if t.grad is None else (id(t.grad), t.grad.numpy().tobytes()) for _, t in tensors
        ],
        "random": (
            random.getstate(),
            np.random.get_state()[1].tobytes(),  # noqa: NPY002
            np.random.get_state()[2:],  # noqa: NPY002
            torch.get_rng_state().numpy().tobytes(),
        ),
    }


def directions(net, dir_type="weights"):
    return [create_random_direction(net, dir_type, "scaled", seed=0, axis=axis) for axis in (0, 1)]


def heights(net):
    with torch.no_grad():
        return {"height": net(torch.ones(3, 4)).sum().item()}


# --------------------------------------------------------------------------- what misbehaves


def trains(net):
    net.train()
    net(torch.randn(5, 4))


def halves(net):
    net.half()


def doubles(net):
    net.double()


def leaves_its_device(net):
    net.to("meta")


def loads_another(net):
    net.load_state_dict({name: entry + 1 for name, entry in net.state_dict().items()})


def assigns_another(net):
    state = {name: entry + 1 for name, entry in net.state_dict().items()}
    net.load_state_dict(state, assign=True)


def replaces_parameters(net):
    net[0].weight = nn.Parameter(torch.zeros(6, 4))
    net[1].running_mean = torch.zeros(6)


def rebinds_storage(net):
    for parameter in net.parameters():
        parameter.data = torch.zeros_like(parameter)


def reshapes(net):
    for parameter in net.parameters():
        parameter.data = parameter.data.flatten()


def writes_in_place(net):
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.zero_()


def goes_backward(net):
    net.requires_grad_(True)
    net(torch.ones(3, 4)).sum().backward()


def zeroes_gradients(net):
    net.zero_grad(set_to_none=False)


def freezes(net):
    net.requires_grad_(False)


def swaps_a_module(net):
    net[3] = nn.Linear(6, 4)


def adds_a_module(net):
    net.append(nn.Tanh())


def hooks_itself_in(net):
    net[0].register_forward_hook(lambda module, given, outputs: 2 * outputs)


def sets_an_attribute(net):
    net[1].eps = 7.0


def registers_a_buffer(net):
    net[0].register_buffer("more", torch.ones(2))


def deletes_a_parameter(net):
    del net[0].bias
    net[0].bias = None


def draws(net):
    random.random()
    np.random.rand()  # noqa: NPY002
    torch.randn(3)


MISDEEDS = [
    trains,
    halves,
    doubles,
    leaves_its_device,
    loads_another,
    assigns_another,
    replaces_parameters,
    rebinds_storage,
    reshapes,
    writes_in_place,
    goes_backward,
    zeroes_gradients,
    freezes,
    swaps_a_module,
    adds_a_module,
    hooks_itself_in,
    sets_an_attribute,
    registers_a_buffer,
    deletes_a_parameter,
    draws,
]


@pytest.mark.parametrize("misdeed", MISDEEDS, ids=lambda deed: deed.__name__)
@pytest.mark.parametrize("dir_type", ["weights", "states"])
def test_a_metric_that_misbehaves_spoils_neither_the_next_point_nor_the_model_traps_16_and_17(
    misdeed, dir_type
):
    net = lived_in_net()
    before = everything(net)

    def metric(net):
        found = heights(net)
        misdeed(net)
        return found

    clean = measure(net, heights, directions(net, dir_type), GRID, range(6))
    found = measure(net, metric, directions(net, dir_type), GRID, range(6))
    assert everything(net) == before
    assert found.values["height"].tobytes() == clean.values["height"].tobytes()


@settings(max_examples=40)
@given(
    ends_at=st.integers(0, 5),
    misdeed=st.sampled_from(MISDEEDS),
    dir_type=st.sampled_from(["weights", "states"]),
)
def test_after_an_exception_at_any_point_everything_is_as_it_was_trap_17(
    ends_at, misdeed, dir_type
):
    net = lived_in_net()
    before = everything(net)
    seen = 0

    def metric(net):
        nonlocal seen
        misdeed(net)
        seen += 1
        if seen > ends_at:
            raise (KeyboardInterrupt if ends_at % 2 else ZeroDivisionError)
        return {"height": 0.0}

    with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
        measure(net, metric, directions(net, dir_type), GRID, range(6))
    assert everything(net) == before


def test_gradients_do_not_pile_up_from_point_to_point():
    def gradient_norm(net):
        net.requires_grad_(True)
        net(torch.ones(3, 4)).square().sum().backward()
        return {"norm": net[0].weight.grad.norm().item()}

    net = lived_in_net()
    forward = measure(net, gradient_norm, directions(net), GRID, range(6))
    alone = [
        measure(net, gradient_norm, directions(net), GRID, [n]).values["norm"][0] for n in range(6)
    ]
    assert forward.values["norm"].tolist() == alone


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_weights_of_any_type_come_back_to_the_last_bit_trap_17(dtype):
    """An earlier tool put float64 weights back through float32."""
    net = nn.Linear(3, 2).to(dtype)
    with torch.no_grad():
        net.weight.div_(3)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    found = measure(
        net,
        lambda net: {"first": net.weight[0, 0].item()},
        [create_random_direction(net, seed=0)],
        Grid((Axis(-1, 1, 3),)),
        range(3),
    )
    assert found.values["first"][1] == before[0][0, 0].item()
    assert found.values["first"][0] != found.values["first"][2]
    for was, parameter in zip(before, net.parameters(), strict=True):
        assert torch.equal(was, parameter)
        assert parameter.dtype == dtype


# --------------------------------------------------------------------------- how it gets there


class Assorted(nn.Module):
    """Layouts and types beside each other: channels last, turned, a view, a number, counters."""

    def __init__(self, dtype):
        super().__init__()
        draw = torch.Generator().manual_seed(1)

        def drawn(*shape):
            return torch.randn(shape, generator=draw).to(dtype)

        self.images = nn.Parameter(drawn(3, 2, 3, 3).contiguous(memory_format=torch.channels_last))
        self.turned = nn.Parameter(drawn(5, 7).t())
        self.view = nn.Parameter(drawn(6, 9)[:, ::2])
        self.number = nn.Parameter(drawn())
        self.nothing = nn.Parameter(drawn(0, 3))
        self.wide = nn.Parameter(drawn(4, 3).double())
        self.norm = nn.BatchNorm1d(3, dtype=dtype)


def entries(net):
    tensors = [*net.named_parameters(), *net.named_buffers()]
    return [(n, t.detach().contiguous().view(-1).view(torch.uint8).tolist()) for n, t in tensors]


def on_demand(direction):
    """Let the tensors of a direction be fetched each time, as from a disk."""
    tensors = direction.tensors
    fetched = OnDemand(lambda number: tensors[number].clone(), len(tensors))
    return replace(direction, tensors=fetched)


@given(
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
    dir_type=st.sampled_from(["weights", "states"]),
    kinds=st.lists(st.sampled_from(["random", "target"]), min_size=1, max_size=2),
    steps=st.lists(st.tuples(*[st.floats(-3, 3)] * 2), min_size=1, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_weights_streamed_tensor_by_tensor_have_the_same_bits(dtype, dir_type, kinds, steps):
    made = {
        "random": lambda net, axis: create_random_direction(net, dir_type, "scaled", seed=axis),
        "target": lambda net, axis: create_target_direction(
            net, {name: 3 * entry for name, entry in net.state_dict().items()}, dir_type
        ),
    }
    found = []
    for resident in (True, False, None):
        net = Assorted(dtype)
        there = [made[kind](net, axis) for axis, kind in enumerate(kinds)]
        if resident is None:
            there = [on_demand(direction) for direction in there]
        states = [entries(net)]
        with excursion(net, there, resident=resident) as trip:
            assert isinstance(trip._steps, _Resident if resident else _Streamed)
            for point in steps:
                trip.move(point[: len(there)])
                states.append(entries(net))
        states.append(entries(net))
        assert states[-1] == states[0]
        found.append((states, trip.clamped))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("misdeed", MISDEEDS, ids=lambda deed: deed.__name__)
def test_a_metric_that_misbehaves_spoils_no_streamed_point_either(misdeed, monkeypatch):
    net = lived_in_net()
    before = everything(net)
    there = directions(net, "states")
    clean = measure(net, heights, there, GRID, range(6)).values["height"].tobytes()
    monkeypatch.setattr(perturbation, "fits", lambda _: False)

    def metric(net):
        found = heights(net)
        misdeed(net)
        return found

    assert measure(net, metric, there, GRID, range(6)).values["height"].tobytes() == clean
    assert everything(net) == before


# --------------------------------------------------------------------------- where it goes


def test_every_point_starts_from_the_centre_and_not_from_its_neighbour_trap_4():
    net = nn.Linear(3, 2)
    one, other = (
        create_random_direction(net, seed=0, axis=axis, ignore="scaled") for axis in (0, 1)
    )
    with torch.no_grad(), excursion(net, [one, other]) as trip:
        trip.move((0.3, -0.7))
        straight = net.weight.clone()
        for steps in ((5.0, 5.0), (-1e6, 2.0), (0.3, -0.7)):
            trip.move(steps)
        assert torch.equal(net.weight, straight)
        trip.move((0.0, 0.0))
        centre = net.weight.clone()
    assert torch.equal(net.weight, centre)


@given(
    w=st.floats(-100, 100, width=32),
    d=st.floats(-100, 100, width=32),
    e=st.floats(-100, 100, width=32),
    a=st.floats(-2, 2),
    b=st.floats(-2, 2),
)
def test_the_point_is_the_formula_in_float64(w, d, e, a, b):
    net = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(net.weight, w)
    there = [Direction(("weight",), (torch.tensor([[v]], dtype=torch.float64),)) for v in (d, e)]
    with excursion(net, there) as trip:
        trip.move((a, b))
        assert net.weight.item() == pytest.approx(w + a * d + b * e, rel=1e-14, abs=1e-11)


@given(
    pairs=st.lists(
        st.tuples(*[st.floats(-1e3, 1e3, width=32).filter(lambda v: v == 0 or abs(v) > 1e-4)] * 2),
        min_size=1,
    )
)
def test_step_1_towards_another_model_is_that_model_to_the_last_bit(pairs):
    """For weights of usual sizes: below 2^-29 of the weight it comes from, a float32 gets lost."""
    here, there = nn.Linear(len(pairs), 1, bias=False), nn.Linear(len(pairs), 1, bias=False)
    for net, column in ((here, 0), (there, 1)):
        net.weight.data = torch.tensor([[pair[column] for pair in pairs]])
    with excursion(here, [create_target_direction(here, there)]) as trip:
        trip.move((1.0,))
        assert torch.equal(here.weight, there.weight)
        trip.move((0.0,))
        assert here.weight.tolist() == [[pair[0] for pair in pairs]]


@pytest.mark.parametrize("dir_type", ["weights", "states"])
def test_two_trained_networks_are_the_two_ends_of_the_walk_to_the_last_bit(dir_type):
    from tests import reference

    here, there = reference.digits_model("model_a"), reference.digits_state("model_b")
    direction = create_target_direction(here, there, dir_type)
    with excursion(here, [direction]) as trip:
        trip.move((1.0,))
        state = here.state_dict()
        for name in direction.names:
            assert state[name].numpy().tobytes() == there[name].numpy().tobytes(), name


def test_variances_are_held_at_zero_on_extrapolation_and_it_is_said_traps_8_and_23(caplog):
    """A negative running variance is NaN without a word."""
    here, there = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    there.running_var.copy_(torch.tensor([0.5, 2.0, 0.25]))
    there.num_batches_tracked.fill_(1000)
    lowest = []

    def metric(net):
        lowest.append(net.running_var.min().item())
        return {"out": net(torch.ones(1, 3)).sum().item(), "count": int(net.num_batches_tracked)}

    towards = create_target_direction(here, there, "states")
    shard = measure(here, metric, [towards], Grid((Axis(0, 4, 5),)), range(5))
    assert lowest == [1, 0.25, 0, 0, 0]
    assert np.isfinite(shard.values["out"]).all()
    assert "running variances became negative and were held at zero" in caplog.text
    assert caplog.text.startswith("WARNING")
    assert len(caplog.records) == 1  # not one a point
    assert shard.values["count"].tolist() == [0] * 5  # integer buffers get no float steps
    assert here.num_batches_tracked.dtype == torch.int64
    assert here.running_var.tolist() == [1, 1, 1]


def test_a_warning_comes_once_and_not_for_every_parameter_and_point_trap_23(caplog):
    here, there = (nn.Sequential(*(nn.BatchNorm1d(2) for _ in range(3))) for _ in range(2))
    for norm in there:
        norm.running_var.fill_(0.5)
    towards = create_target_direction(here, there, "states")
    measure(here, lambda net: {"a": 0.0}, [towards], Grid((Axis(3, 9, 7),)), range(7))
    assert [record.getMessage() for record in caplog.records] == [
        "42 running variances became negative and were held at zero."
    ]


def test_a_tied_weight_moves_in_both_its_places_trap_11():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    direction = Direction(("0.weight",), (torch.ones(2, 2),))
    with excursion(net, [direction]) as trip:
        centre = net[0].weight.detach().clone()
        trip.move((2.0,))
        assert net[1].weight is net[0].weight
        torch.testing.assert_close(net[1].weight.detach(), centre + 2, rtol=0, atol=0)


def test_training_on_does_not_move_the_centre_of_a_walk_trap_17():
    """Weights kept by reference."""
    net = nn.Linear(2, 1, bias=False)
    direction = create_random_direction(net, seed=0)
    with excursion(net, [direction]) as trip:
        trip.move((0.0,))
        centre = net.weight.detach().clone()
        torch.optim.SGD(net.parameters(), 0.1).step(lambda: net(torch.ones(1, 2)).backward())
        trip.move((0.0,))
        assert torch.equal(net.weight, centre)


# --------------------------------------------------------------------------- what does not fit


def test_directions_of_another_network_are_refused():
    net = nn.Linear(3, 2)
    with (
        pytest.raises(InputError, match="belong to another network"),
        excursion(net, [Direction(("w",), (torch.ones(1),))]),
    ):
        pass
    wrong = Direction(("weight", "bias"), (torch.ones(3, 2), torch.ones(2)))
    with (
        pytest.raises(InputError, match=r"'weight' has shape \(3, 2\), the model's \(2, 3\)"),
        excursion(net, [wrong]),
    ):
        pass


def test_two_directions_of_different_types_are_refused():
    net = nn.BatchNorm1d(2)
    mixed = [create_random_direction(net, dir_type, seed=0) for dir_type in ("weights", "states")]
    with pytest.raises(InputError, match="use one dir_type"), excursion(net, mixed):
        pass


def test_the_number_of_steps_directions_and_axes_must_agree():
    net = nn.Linear(2, 1)
    direction = create_random_direction(net, seed=0)
    with pytest.raises(InputError, match="No direction was given"), excursion(net, []):
        pass
    with (
        pytest.raises(InputError, match="2 steps for 1 directions"),
        excursion(net, [direction]) as trip,
    ):
        trip.move((1.0, 2.0))
    with pytest.raises(InputError, match="1 directions for a grid of 2 axes"):
        measure(net, heights, [direction], GRID, range(6))


# --------------------------------------------------------------------------- written by hand


def moved_by_the_excursion(net, directions, steps):
    with excursion(net, directions) as trip:
        trip.move(steps)
        return {name: entry.clone() for name, entry in net.state_dict().items()}


def batch_norm_net():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    net[1].running_mean.normal_()
    net[1].num_batches_tracked.fill_(7)
    return net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dir_type", ["weights", "states"])
@pytest.mark.parametrize("count", [1, 2])
def test_weights_set_by_hand_are_those_of_a_sweep_to_the_last_bit(dtype, dir_type, count):
    net = batch_norm_net().to(dtype)
    directions = [
        create_random_direction(net, dir_type, "scaled", seed=0, axis=axis) for axis in range(count)
    ]
    steps = (0.3, -0.7)[:count]
    wanted = moved_by_the_excursion(net, directions, steps)
    storages = [tensor.data_ptr() for tensor in net.state_dict().values()]
    write, base = (
        (set_weights, get_weights(net)) if dir_type == "weights" else (set_states, get_states(net))
    )
    write(net, base, directions, list(steps))
    for name, entry in net.state_dict().items():
        assert torch.equal(entry, wanted[name]), name
    write(net, base)
    for name, entry in batch_norm_net().to(dtype).state_dict().items():
        assert torch.equal(net.state_dict()[name], entry), name
    assert [tensor.data_ptr() for tensor in net.state_dict().values()] == storages


def test_a_step_is_a_number_for_one_direction_and_a_pair_for_two():
    net = nn.Linear(2, 1, bias=False)
    weights = get_weights(net)
    east, north = (Direction(("weight",), (torch.tensor([t]),)) for t in ([1.0, 0], [0, 1.0]))
    for directions in (east, [east], list(east), [list(east)], (east,)):
        for step in (0.5, [0.5], np.float64(0.5), torch.tensor(0.5), np.array([0.5])):
            set_weights(net, weights, directions, step)
            assert torch.equal(net.weight.detach(), weights[0] + torch.tensor([[0.5, 0]]))
    for directions in ([east, north], (list(east), north)):
        set_weights(net, weights, directions, step=(0.5, -2))
        assert torch.equal(net.weight.detach(), weights[0] + torch.tensor([[0.5, -2.0]]))


def test_states_take_lists_with_a_tensor_for_every_entry_as_the_original_wrote_them_trap_8():
    net = batch_norm_net()
    direction = create_random_direction(net, "states", "scaled", seed=0)
    by_name = dict(zip(direction.names, direction, strict=True))
    every = [by_name.get(name, torch.ones(())) for name in net.state_dict()]
    wanted = moved_by_the_excursion(net, [direction], (0.5,))
    set_states(net, get_states(net), [every], 0.5)
    for name, entry in net.state_dict().items():
        assert torch.equal(entry, wanted[name]), name
    assert net[1].num_batches_tracked == 7


def test_states_set_by_hand_hold_variances_at_zero_and_say_so_trap_8(caplog):
    net = batch_norm_net()
    direction = create_random_direction(net, "states", "scaled", seed=0)
    states = get_states(net)
    set_states(net, states, direction, 1e3)
    assert net[1].running_var.min() == 0
    assert "running variances became negative and were held at zero" in caplog.text
    set_states(net, states)
    assert torch.equal(net[1].running_var, states["1.running_var"])


def test_what_cannot_be_set_is_refused_and_nothing_is_written():
    net = nn.Linear(2, 1)
    weights, direction = get_weights(net), create_random_direction(net, seed=0)
    before = net.weight.detach().clone()
    for arguments, message in [
        ((weights[:1],), "weights has 1 tensors; the model has 2"),
        (([w[..., :1] for w in weights],), r"weights of 'weight' has shape \(1, 1\)"),
        ((weights, direction), "0 steps for 1 directions"),
        ((weights, None, 0.5), "1 steps for 0 directions"),
        ((weights, [direction, direction], 0.5), "1 steps for 2 directions"),
        ((weights, [direction] * 3, [1, 2, 3]), "one number for one direction, a pair for two"),
        ((weights, direction[0], 0.5), "direction has 1 tensors; the model has 2"),
    ]:
        with pytest.raises(InputError, match=message):
            set_weights(net, *arguments)
        assert torch.equal(net.weight.detach(), before)
    with pytest.raises(InputError, match="do not fit the model"):
        set_states(net, {"other": weights[0]})
