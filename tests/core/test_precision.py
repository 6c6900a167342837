"""Half precision: moved in float32, evaluated exactly, or in the model's own type where asked."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib import InputError, LossLandscape
from landscape_lib.core.batchnorm import Reestimation
from landscape_lib.core.direction import Direction, create_target_direction
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import lay_out_weights
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import coarsest, own_types, said_of

HALVES = (torch.bfloat16, torch.float16)
ROUNDOFF = {torch.bfloat16: 2**-8, torch.float16: 2**-11}  # half a unit in the last place
RANGES = {"xrange": (-1, 1, 5), "yrange": (-1, 0.5, 4)}
OWN = Plan(precision="model")


def network(dtype):
    torch.manual_seed(3)
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
    return nn.Sequential(*layers).to(dtype).eval()


def data():
    draw = torch.Generator().manual_seed(5)
    return torch.randn(11, 4, generator=draw), torch.arange(11) % 3


def content(model):
    return [(name, t.dtype, t.detach().clone()) for name, t in model.state_dict().items()]


def same(found, wanted):
    return all(
        a[:2] == b[:2] and torch.equal(a[2], b[2]) for a, b in zip(found, wanted, strict=True)
    )


def along(model, weight, steps, plan=OWN, metrics=None, values=None):
    """Evaluate along a direction that moves every entry of the weight alike."""
    still = {name: torch.zeros(t.shape) for name, t in model.named_parameters()}
    there = {**still, weight: torch.ones_like(still[weight])}
    direction = Direction(tuple(there), tuple(there.values()))
    grid = Grid((Axis(steps[0], steps[-1], len(steps)),))
    samples = prepare(values or data())
    evaluate = Evaluator(model, metrics or nn.CrossEntropyLoss(), samples, plan)
    return measure(model, evaluate, [direction], grid, range(grid.size)).values


# ------------------------------------------------------------------------------ exact, by default


@pytest.mark.parametrize("dir_type", ["weights", "states"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_checkpoint_in_half_precision_has_the_surface_of_its_float32_copy(dtype, dir_type):
    model = network(dtype)
    other = network(torch.float32).to(dtype)
    with torch.no_grad():
        other[0].weight.mul_(1.5)
    found = []
    for twin, target in ((model, other), (copy.deepcopy(model).float(), other.float())):
        before = content(twin)
        landscape = LossLandscape(twin, data())
        random = landscape.compute_2d(**RANGES, dir_type=dir_type, seed=2, save=False)
        between = landscape.compute_1d("target", (-0.5, 1.5, 5), target_model=target, save=False)
        found.append([random["losses"], random["accuracies"], between["losses"]])
        assert same(content(twin), before)
    for one, copied in zip(*found, strict=True):
        assert one.tobytes() == copied.tobytes()
    assert np.unique(found[0][0]).size == 20


def test_a_target_in_half_precision_is_reached_exactly():
    model, other = network(torch.bfloat16), network(torch.bfloat16)
    with torch.no_grad():
        other[3].weight.div_(3)
    direction = create_target_direction(model, other)
    assert {tensor.dtype for tensor in direction} == {torch.float64}
    lay_out_weights(model, "cpu", torch.float32, channels_last=False)
    seen = []
    measure(
        model,
        lambda net: seen.append(net[3].weight.detach().clone()) or {"height": 0.0},
        [direction],
        Grid((Axis(1, 1, 1),)),
        [0],
    )
    assert torch.equal(seen[0], other[3].weight.float())


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_step_below_the_spacing_of_half_precision_still_moves_the_loss(dtype):
    """Tools that write  w + a d  into the model's own tensors find the same weights again."""
    model = network(torch.float32)
    nn.init.constant_(model[3].bias, 1.0)
    model.to(dtype)
    step = ROUNDOFF[dtype] / 4  # an eighth of the spacing at 1
    naive = model[3].bias.detach() + step
    assert torch.equal(naive, model[3].bias)  # the trap
    lay_out_weights(model, "cpu", torch.float32, channels_last=False)
    mean = {"mean": lambda outputs, targets: outputs.mean(1)}
    values = along(model, "3.bias", np.linspace(0, step, 3), Plan(), mean)["train_loss_mean"]
    np.testing.assert_allclose(np.diff(values), step / 2, rtol=1e-2)


# ------------------------------------------------------------------- in its own type, where asked


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_own_type_differs_from_float32_by_no_more_than_its_rounding(dtype):
    """A sum of products, of inputs that half precision holds: weights and output are rounded.

    |found - wanted| <= (2 u + u^2) sum |w_i x_i|  for each sample, with room for float32's own.
    """
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randint(-8, 9, (7, 16), generator=draw) / 4
    model = nn.Linear(16, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.rand(1, 16, generator=draw) + 0.5)
    model.to(dtype)
    metrics = {"out": lambda outputs, targets: outputs.squeeze(1)}
    steps = np.linspace(-0.3, 0.4, 5)

    def outputs(net, plan, sample):
        values = inputs[sample : sample + 1], torch.zeros(1)
        return along(net, "weight", steps, plan, metrics, values)["train_loss_out"]

    u, differences = ROUNDOFF[dtype], []
    for sample, row in enumerate(inputs):
        wide = outputs(copy.deepcopy(model).float(), Plan(), sample)
        found = outputs(model, OWN, sample)
        sizes = [float((model.weight.detach().float() + s).abs() @ row.abs()) for s in steps]
        bound = (2 * u + u**2 + 32 * 2**-24) * np.array(sizes)
        assert (np.abs(found - wide) <= bound).all()
        differences.append(np.abs(found - wide).max())
    assert max(differences) > 0


def test_rounding_never_piles_up_from_point_to_point():
    """Evaluated alone or after a thousand steps too small for bfloat16, a point is the same."""
    model = network(torch.bfloat16)
    nn.init.constant_(model[3].bias, 1.0)
    walked = along(model, "3.bias", np.linspace(0, 0.25, 1001))["train_loss"]
    assert walked[-1] == along(model, "3.bias", [0.25, 0.25][:1])["train_loss"][0]
    assert 1 < np.unique(walked).size < 100  # a staircase


@pytest.mark.parametrize("precision", [None, "float32", "float64", "model"])
@pytest.mark.parametrize("dtype", [*HALVES, torch.float32, torch.float64], ids=str)
def test_weights_come_back_bit_for_bit_whatever_they_are_evaluated_in(dtype, precision):
    model = network(dtype)
    before, storages = content(model), [t.data_ptr() for t in model.state_dict().values()]
    landscape = LossLandscape(model, data(), precision=precision)
    landscape.compute_2d(**RANGES, dir_type="states", save=False)
    assert same(content(model), before)
    assert [t.data_ptr() for t in model.state_dict().values()] == storages


def test_losses_of_outputs_in_half_precision_are_taken_in_float32():
    seen = []

    def kinds(outputs, targets):
        seen.append((outputs.dtype, targets.dtype))
        return outputs.sum(1)

    targets = torch.full((11,), 1.0 + 2**-12)  # no number of bfloat16
    along(network(torch.bfloat16), "3.bias", [0.0], OWN, {"kinds": kinds}, (data()[0], targets))
    assert set(seen) == {(torch.float32, torch.float32)}


def test_every_tensor_keeps_its_own_type_and_gets_it_back():
    model = network(torch.bfloat16)
    model[1].float()  # as many networks keep their norms
    types = own_types(model)
    before = content(model)
    lay_out_weights(model, "cpu", torch.float64, channels_last=False)
    assert set(own_types(model).values()) == {torch.float64}
    lay_out_weights(model, "cpu", types, channels_last=False)
    assert same(content(model), before)
    assert said_of(types) == "bfloat16, float32"
    assert (coarsest(types), coarsest({})) == ("bfloat16", "float32")


@pytest.mark.parametrize("together", [1, 3])
def test_estimated_norms_and_points_at_once_have_the_bits_of_one_point_alone(together):
    model, plan = network(torch.bfloat16), replace(OWN, points_at_once=together)
    samples = prepare(data())
    evaluate = Evaluator(model, nn.CrossEntropyLoss(), samples, plan, Reestimation())
    direction = create_target_direction(model, network(torch.bfloat16).apply(_zeroed))
    grid = Grid((Axis(0, 1, 4),))
    whole = measure(model, evaluate, [direction], grid, range(4)).values["train_loss"]
    alone = [
        measure(model, evaluate, [direction], grid, [n]).values["train_loss"] for n in range(4)
    ]
    assert whole.tobytes() == np.concatenate(alone).tobytes()
    assert np.isfinite(whole).all()


# ------------------------------------------------------------------------------- bf16, where asked

BF16 = Plan(precision="bf16")


def test_bf16_moves_in_float32_and_rounds_once():
    """The sum of w0 + a d is rounded, not w0 and then the sum: a step that w0 alone loses counts.

    With w0 = 1 + 2^-8, between two numbers of bfloat16, and a step of 2^-8: 1 + 2^-7 exactly.
    """
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1 + 2**-8)
    out = {"out": lambda outputs, targets: outputs.squeeze(1)}
    values = (torch.ones(3, 1), torch.zeros(3))
    found = along(model, "weight", [0.0, 2**-8], BF16, out, values)["train_loss_out"]
    assert found.tolist() == [1.0, 1 + 2**-7]  # a tie to even; no tie
    assert model.weight.item() == 1 + 2**-8


@pytest.mark.parametrize(
    "plan",
    [BF16, replace(BF16, fold=True), replace(BF16, fold=True, points_at_once=2)],
    ids=["plain", "folded", "together"],
)
def test_bf16_differs_from_float32_by_its_rounding_and_by_no_more(plan):
    """Two layers of bfloat16 against one evaluation in float64; outputs of a few units at most."""
    model = network(torch.float32)
    steps = np.linspace(-0.5, 0.5, 5)
    wide = along(copy.deepcopy(model).double(), "0.weight", steps, Plan(precision="float64"))
    wide = wide["train_loss"]
    found = along(model, "0.weight", steps, plan)["train_loss"]
    exact = along(model, "0.weight", steps, Plan())["train_loss"]
    assert np.abs(found / wide - 1).max() < 8 * 2**-8
    assert np.abs(found / wide - 1).max() > 100 * np.abs(exact / wide - 1).max()


def test_norms_losses_and_targets_of_bf16_are_float32():
    seen = {}

    def kinds(outputs, targets):
        seen["metric"] = (outputs.dtype, targets.dtype)
        return outputs.sum(1)

    model = network(torch.float32)
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, outputs: seen.__setitem__(
                type(layer).__name__, (inputs[0].dtype, layer.weight.dtype)
            )
        )
        for layer in (model[0], model[1])
    ]
    along(model, "0.weight", [0.0], BF16, {"kinds": kinds}, (data()[0], torch.ones(11)))
    assert seen == {
        "metric": (torch.float32, torch.float32),
        "Linear": (torch.bfloat16, torch.bfloat16),
        "BatchNorm1d": (torch.bfloat16, torch.float32),
    }
    assert {t.dtype for t in model.parameters()} == {torch.float32}
    assert hooks


def test_bf16_has_the_derivatives_of_float32_and_the_same_centre_for_reestimated_norms():
    model = network(torch.float32)
    before = content(model)
    landscape = LossLandscape(model, data(), precision="bf16", batch_norm="reestimated")
    landscape.compute_1d("random", (-1, 1, 3), save=False)
    plain = LossLandscape(model, data(), precision="bf16")
    surface = plain.compute_2d((-1, 1, 3), (0, 1, 2), save=False, curvature=True)
    exact = LossLandscape(model, data())
    wanted = exact.compute_2d((-1, 1, 3), (0, 1, 2), save=False, curvature=True)
    for key in ("hessian_min", "hessian_max"):
        np.testing.assert_array_equal(plain.surface[key], exact.surface[key])
    assert (surface["losses"] != wanted["losses"]).all()
    assert same(content(model), before)


def test_what_bf16_changes_is_kept_with_the_surface():
    landscape = LossLandscape(network(torch.float32), data(), precision="bf16")
    landscape.compute_2d((-1, 1, 3), (0, 1.5, 2), save=False)
    told = json.loads(landscape.surface.attributes["rounding"])
    assert (told["precision"], told["against"], told["distances"]) == ("bf16", "float32", [0, 1.5])
    here, far = told["errors"]["train_loss"]
    centre = LossLandscape(network(torch.float32), data())
    centre.compute_2d((-1, 1, 3), (0, 1.5, 2), save=False)
    exact, found = (one.surface["train_loss"][1, 0] for one in (centre, landscape))
    assert here == pytest.approx(abs(found - exact) / max(found, exact), rel=1e-12)
    assert 0 < here < 0.05
    assert 0 < far < 0.05
    assert "rounding" not in centre.surface.attributes


def test_a_loop_of_ones_own_is_told_what_to_do_instead_of_bf16():
    with pytest.raises(
        InputError, match=r"calls the model itself. Say 'precision: float32' and us"
    ):
        along(network(torch.float32), "0.weight", [0.0], BF16, lambda net, loader, cuda: {"a": 1.0})


def test_tf32_is_refused_on_a_cpu():
    with pytest.raises(InputError, match=r"precision is 'tf32'; wanted 'float32' on a CPU"):
        LossLandscape(network(torch.float32), data(), precision="tf32")


def _zeroed(module):
    for parameter in module.parameters(recurse=False):
        nn.init.zeros_(parameter)


def test_a_precision_that_there_is_not_names_the_right_ones():
    with pytest.raises(InputError, match=r"precision is 'bfloat16'; wanted 'float32', .*'model'"):
        LossLandscape(network(torch.bfloat16), data(), precision="bfloat16")


def test_a_loop_of_ones_own_gets_the_data_as_they_are():
    model, seen = network(torch.bfloat16), []

    def loop(net, loader, use_cuda):
        seen.extend(inputs.dtype for inputs, _ in loader)
        return {"out": float(net(next(iter(loader))[0].bfloat16()).detach().sum())}

    values = (data()[0].double(), data()[1])
    along(model, "3.bias", [0.0], OWN, loop, values)
    assert set(seen) == {torch.float64}
