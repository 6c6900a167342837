"""What is done to a model to look at it is undone, and does no more than it says."""

import pytest
import torch
from torch import nn

from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import in_eval_mode, lay_out_weights
from landscape_lib.core.perturbation import excursion


class Merging(nn.Module):
    """An adapter that is merged into the weight in eval mode, as some libraries do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.adapter = nn.Parameter(torch.full((2, 2), 0.1))
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if self.merged == mode:
            self.weight.data += -self.adapter if self.merged else self.adapter
            self.merged = not mode
        return self

    def forward(self, x):
        return x @ (self.weight if self.merged else self.weight + self.adapter)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x):
        self.calls += 1
        self.last = x.mean(0)
        return self.linear(x)


DATA = (torch.ones(4, 2), torch.zeros(4, 2))
GRID = Grid((Axis(-1, 1, 3),))


def losses(model):
    evaluate = Evaluator(model, nn.MSELoss(), prepare(DATA))
    direction = create_random_direction(model, seed=0)
    return measure(model, evaluate, [direction], GRID, range(3)).values["train_loss"]


def test_a_module_that_merges_an_adapter_in_eval_mode_is_not_made_to():
    model = Merging()
    found = losses(model)
    assert (model.merged, model.training) == (False, True)
    assert torch.equal(model.weight, torch.ones(2, 2))
    assert found[1] == pytest.approx(2.2**2, rel=1e-6)  # the centre: weight and adapter
    model.adapter.data.zero_()
    assert (losses(model) != found).all()  # the adapter is alive


def test_buffers_that_a_forward_writes_are_put_back():
    model = Counting()
    buffers = {name: (id(b), b.clone()) for name, b in model.named_buffers()}
    losses(model)
    with in_eval_mode(model):
        model(DATA[0])
    for name, buffer in model.named_buffers():
        assert (id(buffer), buffer.tolist()) == (buffers[name][0], buffers[name][1].tolist())


class Rotating(nn.Module):
    """Holds what cannot, or must not, be cast: complex numbers, expanded and sparse tensors."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("turn", torch.polar(torch.ones(2), torch.tensor([0.5, 1.0])))
        self.register_buffer("same", torch.ones(1, 1).expand(1, 3))
        self.register_buffer("graph", torch.eye(2).to_sparse())

    def to(self, device):  # takes less than torch's own
        return super().to(device)

    def forward(self, x):
        turned = (self.linear(x).to(torch.complex64) * self.turn).real
        return torch.sparse.mm(self.graph, turned.T).T + self.same.sum()


def test_complex_expanded_and_sparse_buffers_stay_what_they_are():
    torch.manual_seed(0)
    model = Rotating()
    wanted = nn.functional.mse_loss(model(DATA[0]), DATA[1]).item()
    lay_out_weights(model, "cpu", torch.float32, channels_last=False)
    assert model.turn.dtype == torch.complex64
    assert losses(model)[1] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:FutureWarning")
def test_torchscript_modules_are_moved_and_put_back():
    model = torch.jit.trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), DATA[0])
    before = [p.detach().clone() for p in model.parameters()]
    found = losses(model)
    assert len(set(found)) == 3
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("cache", [True, False])
def test_the_callers_autocast_does_not_freeze_the_landscape(cache):
    model = nn.Linear(2, 2)
    wanted = losses(model)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cache):
        found = losses(model)
    assert found.tobytes() == wanted.tobytes()
    assert len(set(found)) == 3


def test_looking_does_not_run_train_of_a_modules_own():
    model = Merging()
    with in_eval_mode(model):
        assert not model.training
        assert not model.merged
    with excursion(model, [create_random_direction(model, seed=0)]) as trip:
        trip.move((0.0,))
        assert not model.merged
