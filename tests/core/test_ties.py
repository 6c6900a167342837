"""Tensors in one piece of memory are one entry; those that overlap otherwise are refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_lib.core.curvature import Objective
from landscape_lib.core.description import describe
from landscape_lib.core.direction import create_random_direction, get_states, movable
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import borrowed, lay_out_weights
from landscape_lib.core.perturbation import excursion, set_states
from landscape_lib.core.ties import Tie, ties

GRID = Grid((Axis(-1, 1, 5), Axis(0, 1, 3)))


class Chain(nn.Module):
    """Two layers and a head; ``tie`` says how the second layer's weight is the first's."""

    def __init__(self, tie):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Linear(4, 4, bias=False) for _ in range(2))
        self.head = nn.Linear(4, 3)
        tie(self)

    def forward(self, inputs):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(inputs)))))


def as_one(net):
    net.second.weight = net.first.weight


def by_data(net):
    net.second.weight.data = net.first.weight.data


def turned(net):
    net.second.weight = nn.Parameter(net.first.weight.t())


def data():
    torch.manual_seed(1)
    return torch.randn(30, 4), torch.arange(30) % 3


def heights(net, inputs, targets, directions, point, tie):
    """The loss at a point, the second weight made of the first anew: slow and literal."""
    w = {name: p.detach().clone() for name, p in net.named_parameters()}
    for step, direction in zip(point, directions, strict=True):
        for name, move in zip(direction.names, direction, strict=True):
            w[name] = w[name] + step * move
    second = w["first.weight"].t() if tie is turned else w["first.weight"]
    hidden = torch.tanh(torch.tanh(inputs @ w["first.weight"].t()) @ second.t())
    return F.cross_entropy(hidden @ w["head.weight"].t() + w["head.bias"], targets).item()


@pytest.mark.parametrize("tie", [as_one, by_data, turned], ids=lambda tie: tie.__name__)
@pytest.mark.parametrize("resident", [True, False])
def test_memory_that_two_parameters_share_moves_once(tie, resident, monkeypatch):
    net = Chain(tie)
    monkeypatch.setattr("landscape_lib.core.perturbation.fits", lambda needs: resident)
    ways = [create_random_direction(net, seed=0, axis=axis) for axis in (0, 1)]
    assert ways[0].names == ("first.weight", "head.weight", "head.bias")
    evaluate = Evaluator(net, nn.CrossEntropyLoss(), prepare(data()))
    before = [p.detach().clone() for p in net.parameters()]
    found = measure(net, evaluate, ways, GRID, range(GRID.size)).values["train_loss"]
    wanted = [heights(net, *data(), ways, point, tie) for point in GRID.points().tolist()]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert all(torch.equal(p, was) for p, was in zip(net.parameters(), before, strict=True))
    assert net.first.weight.data_ptr() == net.second.weight.data_ptr()


@pytest.mark.parametrize("tie", [by_data, turned], ids=lambda tie: tie.__name__)
def test_what_is_tied_stays_tied_in_another_type_and_comes_back(tie):
    net = Chain(tie)
    with borrowed(net):
        lay_out_weights(net, "cpu", torch.float64, channels_last=False)
        assert list(movable(net)) == ["first.weight", "head.weight", "head.bias"]
        with excursion(net, [create_random_direction(net, seed=0)]) as trip:
            trip.move((0.5,))
            own = net.first.weight.t() if tie is turned else net.first.weight
            assert torch.equal(net.second.weight, own)
    assert net.second.weight.dtype == torch.float32
    assert net.first.weight.data_ptr() == net.second.weight.data_ptr()


@pytest.mark.parametrize("tie", [by_data, turned], ids=lambda tie: tie.__name__)
def test_a_gradient_is_by_all_places_of_a_shared_memory(tie):
    net = Chain(tie).double()
    tie(net)
    inputs, targets = data()
    samples = prepare((inputs.double(), targets))["train"]
    objective = Objective(net, nn.CrossEntropyLoss(), "train_loss", samples)
    gradient = objective.derivatives().gradient
    way = create_random_direction(net, seed=0)
    along = float(gradient @ objective.flat(way))
    ahead, behind = (
        heights(net, inputs.double(), targets, [way], (step,), tie) for step in (1e-5, -1e-5)
    )
    assert along == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("tie", [as_one, by_data, turned], ids=lambda tie: tie.__name__)
def test_states_a_step_away_are_not_undone_under_another_name(tie):
    net = Chain(tie)
    own, way = get_states(net), create_random_direction(net, "states", seed=0)
    set_states(net, own, way, 0.5)
    torch.testing.assert_close(net.first.weight.detach(), own["first.weight"] + 0.5 * way[0])
    set_states(net, own)
    assert all(torch.equal(entry, own[name]) for name, entry in net.state_dict().items())


def test_the_table_names_what_a_shared_memory_is_also_called():
    net = Chain(by_data)
    lines = describe(net, [create_random_direction(net, seed=0)])
    assert "also second.weight" in next(line for line in lines if "first.weight" in line)


class Weights(nn.Module):
    def __init__(self, *tensors):
        super().__init__()
        self.all = nn.ParameterList(nn.Parameter(tensor) for tensor in tensors)


def beside(flat):
    return flat[:12].view(3, 4), flat[12:].view(4, 2)


def columns(flat):
    return flat.view(4, 5)[:, :2], flat.view(4, 5)[:, 2:]


def rows_and_one_of_them(flat):
    return flat.view(5, 4), flat[4:8]


def overlapping(flat):
    return flat[:12], flat[8:]


def another_shape(flat):
    return flat.view(5, 4), flat


@pytest.mark.parametrize("cut", [beside, columns], ids=lambda cut: cut.__name__)
def test_views_that_lie_beside_each_other_in_one_buffer_move_each(cut):
    flat = torch.arange(20.0)
    net = Weights(*cut(flat))
    assert list(movable(net)) == ["all.0", "all.1"]
    way = create_random_direction(net, seed=0, ignore="scaled")
    wanted = [(w + 0.5 * d).detach() for w, d in zip(net.parameters(), way, strict=True)]
    with excursion(net, [way]) as trip:
        trip.move((0.5,))
        for weight, there in zip(net.parameters(), wanted, strict=True):
            torch.testing.assert_close(weight.detach(), there)
    assert torch.equal(flat, torch.arange(20.0))


@pytest.mark.parametrize(
    "cut", [rows_and_one_of_them, overlapping, another_shape], ids=lambda cut: cut.__name__
)
def test_parameters_that_share_a_part_of_their_memory_are_refused(cut):
    net = Weights(*cut(torch.arange(20.0)))
    with pytest.raises(InputError, match=r"'all\.0' and 'all\.1' share memory in part.*clone"):
        create_random_direction(net, seed=0)


@pytest.mark.parametrize(
    "tensor", [torch.zeros(1).expand(3), torch.eye(3).to_sparse()], ids=["expanded", "sparse"]
)
def test_a_parameter_whose_entries_are_no_numbers_of_their_own_is_refused(tensor):
    with pytest.raises(InputError, match=r"Parameter 'all\.1' is sparse or expanded"):
        create_random_direction(Weights(torch.ones(2), tensor), seed=0)


def test_empty_tensors_share_nothing_and_single_entries_have_no_stride():
    assert ties({"a": torch.empty(0, 3), "b": torch.empty(0, 3)}) == {}
    column = torch.ones(3, 1)
    assert ties({"a": column, "b": column.as_strided((3, 1), (1, 7))}) == {"b": Tie("a", (0, 1))}
