"""Running statistics that are estimated anew are those of the weights of now, nothing else."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_lib.core.batchnorm import BATCH, Reestimation, Reestimator
from landscape_lib.core.direction import Direction, create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import in_eval_mode, reestimate_statistics
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import merge
from tests import reference

CURVE = Grid((Axis(-0.5, 1.5, 5),))


def network(**norm):
    """Two convolutions with norms, whose statistics are not those of the data."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 2, bias=False),
        nn.BatchNorm2d(3, **norm),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(3, 2, 2),
        nn.BatchNorm2d(2, **norm),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    net[1].running_mean.fill_(0.25)
    return net.eval()


def data(count=20):
    torch.manual_seed(2)
    return torch.randn(count, 1, 4, 4), torch.arange(count) % 3


def statistics(net):
    return [
        (norm.running_mean.clone(), norm.running_var.clone())
        for norm in net
        if isinstance(norm, nn.BatchNorm2d)
    ]


def estimated(net, inputs, size):
    with in_eval_mode(net):
        reestimate_statistics(net, [((part,), {}) for part in inputs.split(size)])
        return statistics(net)


def test_equal_batches_give_what_torchs_update_bn_gives_to_the_bit():
    net, (inputs, _) = network(momentum=None), data(24)
    found = estimated(net, inputs, 8)
    torchs = copy.deepcopy(net)
    torchs[3] = nn.Identity()  # update_bn leaves dropout on
    update_bn(inputs.split(8), torchs)
    for one, other in zip(found, statistics(torchs), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_a_smaller_last_batch_counts_by_its_samples():
    net, (inputs, _) = network().double(), data()
    inputs = inputs.double()
    mean, var = reference.estimate_statistics(
        [net[0](part).detach().numpy() for part in inputs.split(8)]
    )
    ((found_mean, found_var), _) = estimated(net, inputs, 8)
    np.testing.assert_allclose(found_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(found_var.numpy(), var, rtol=1e-12)


def test_a_norm_that_is_used_twice_sees_both_and_one_that_is_not_keeps_its_own():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.idle = nn.BatchNorm1d(2), nn.BatchNorm1d(2)

        def forward(self, x):
            return self.norm(x) + self.norm(input=3 * x)

    net, x = Shared().eval(), torch.randn(10, 2)
    net.idle.running_mean.fill_(5)
    with in_eval_mode(net):
        reestimate_statistics(net, [((x,), {})])
        torch.testing.assert_close(net.norm.running_mean, 2 * x.mean(0))
        assert net.idle.running_mean.tolist() == [5, 5]


def test_a_network_that_is_compiled_has_the_same_statistics_and_is_not_compiled_anew():
    net, (inputs, _) = network(), data()
    made = []
    compiled = torch.compile(net, backend=lambda graph, examples: made.append(graph) or graph)
    with torch.no_grad():
        compiled(inputs)
    count = len(made)
    with in_eval_mode(compiled):
        reestimate_statistics(compiled, [((part,), {}) for part in inputs.split(8)])
        found = statistics(net)
    assert count == len(made) > 0
    for one, other in zip(found, estimated(net, inputs, 8), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def values_of(net, grid, directions, plan=None, metrics=None, samples=None, shards=1, count=20):
    evaluate = Evaluator(
        net,
        metrics or nn.CrossEntropyLoss(),
        prepare(data(count)),
        plan,
        Reestimation(samples),
    )
    parts = [measure(net, evaluate, directions, grid, grid.shard(k, shards)) for k in range(shards)]
    return dict(merge(parts).values)


def test_estimating_anew_undoes_a_scaling_of_the_layer_before_and_frozen_statistics_do_not():
    net = network(eps=1e-12).double()
    names = tuple(name for name, _ in net.named_parameters())
    scaling = Direction(  # w (1 + a): the first convolution times 0.5 to 2.5
        names,
        tuple(p.detach() * (name == "0.weight") for name, p in net.named_parameters()),
    )
    plan = Plan(precision="float64")
    found = values_of(net, CURVE, [scaling], plan)["train_loss"]
    np.testing.assert_allclose(found, found[1], rtol=1e-9)
    frozen = Evaluator(net, nn.CrossEntropyLoss(), prepare(data()), plan)
    losses = measure(net, frozen, [scaling], CURVE, range(5)).values["train_loss"]
    assert np.ptp(losses) > 0.01


def own_statistics(net, loader, use_cuda):
    """A metric function that sees what the norms have, and that dropout is off."""
    assert not any(module.training for module in net.modules())
    norm = net[1]
    return {"mean": norm.running_mean.double().sum(), "var": norm.running_var.double().sum()}


def test_at_the_centre_and_off_it_metrics_see_the_statistics_of_a_literal_loop():
    net = network()
    direction = create_random_direction(net, seed=0)
    inputs, _ = data(300)
    found = values_of(net, CURVE, [direction], metrics=own_statistics, count=300)
    for number, step in enumerate(CURVE.axes[0].steps()):
        weight = net[0].weight.detach() + np.float32(step) * direction[0]
        parts = [nn.functional.conv2d(part, weight).numpy() for part in inputs.split(BATCH)]
        mean, var = reference.estimate_statistics(parts)
        assert found["train_loss_mean"][number] == pytest.approx(mean.sum(), rel=1e-5, abs=1e-6)
        assert found["train_loss_var"][number] == pytest.approx(var.sum(), rel=1e-5)


def test_no_bit_depends_on_shards_and_the_model_is_put_back():
    net = network()
    before = copy.deepcopy(net.state_dict())
    direction = create_random_direction(net, seed=0)
    whole, cut = (values_of(net, CURVE, [direction], samples=12, shards=n) for n in (1, 3))
    assert whole["train_loss"].tobytes() == cut["train_loss"].tobytes()
    assert all(torch.equal(entry, before[name]) for name, entry in net.state_dict().items())
    assert [norm.momentum for norm in net if isinstance(norm, nn.BatchNorm2d)] == [0.1, 0.1]
    assert not any(module._forward_pre_hooks for module in net)


def test_a_direct_call_leaves_the_model_as_it_is():
    net = network()
    before = copy.deepcopy(net.state_dict())
    Evaluator(net, nn.CrossEntropyLoss(), prepare(data()), None, Reestimation())(net)
    assert all(torch.equal(entry, before[name]) for name, entry in net.state_dict().items())


@pytest.mark.parametrize(
    "fast", [{"fold": True}, {"points_at_once": 4}, {"batch_size": 3}], ids=str
)
def test_plans_made_for_speed_see_the_new_statistics(fast):
    net = network()
    direction = create_random_direction(net, seed=0)
    plain, found = (values_of(net, CURVE, [direction], plan) for plan in (Plan(), Plan(**fast)))
    np.testing.assert_allclose(found["train_loss"], plain["train_loss"], rtol=1e-5)


def test_samples_are_drawn_once_and_no_sample_is_left_alone_in_a_batch():
    samples = prepare(data(BATCH + 1))["train"]
    few = Reestimation(10).among(samples)
    assert few.count == 10
    assert torch.equal(few.batches[0][0], Reestimation(10).among(samples).batches[0][0])
    assert Reestimation().among(samples) is samples
    assert [len(batch[0]) for batch in Reestimator(network(), samples)._batches] == [BATCH + 1]


@pytest.mark.parametrize(
    ("net", "count", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), 20, "no batch norm that keeps running"),
        (network(), 1, "on one sample, which has no variance"),
    ],
    ids=["no norm", "one sample"],
)
def test_nothing_to_estimate_is_refused(net, count, message):
    with pytest.raises(InputError, match=message):
        Evaluator(net, nn.CrossEntropyLoss(), prepare(data(count)), None, Reestimation())
