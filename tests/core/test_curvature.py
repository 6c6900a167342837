"""Derivatives and sampling errors against dense matrices, formulas, and samples drawn again."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_lib.core.curvature import Objective, Spread, UnmeasurableError, combined, drawn
from landscape_lib.core.direction import movable
from landscape_lib.core.evaluator import Evaluator
from landscape_lib.core.plan import Plan
from landscape_lib.core.samples import Samples, gather

DOUBLE = Plan(precision="float64")


class Quadratic(nn.Module):
    """Outputs  (w - m)' A (w - m) / 2  for every sample's own factor."""

    def __init__(self, matrix, middle):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(middle), dtype=torch.float64))
        self.register_buffer("matrix", torch.as_tensor(matrix))
        self.register_buffer("middle", torch.as_tensor(middle))

    def forward(self, factors):
        apart = self.weight - self.middle
        return factors[:, 0] * (apart @ self.matrix @ apart) / 2


def mean_of(outputs, targets):
    return outputs


def objective(model, data, metrics, key="train_loss", batch_size=None, of=None):
    samples = gather(data).to("cpu", torch.float64)
    return Objective(model.double(), metrics, key, samples, batch_size, of)


def dense_hessian(model, loss):
    """Torch's own Hessian of a function of all parameters, as one matrix."""
    moving = movable(model)

    def of(flat):
        parts = flat.split([w.numel() for w in moving.values()])
        weights = {n: p.view(w.shape) for (n, w), p in zip(moving.items(), parts, strict=True)}
        return loss(torch.func.functional_call(model, weights, (DATA[0].double(),)))

    start = torch.cat([w.detach().flatten() for w in moving.values()])
    return torch.autograd.functional.hessian(of, start), torch.autograd.functional.jacobian(
        of, start
    )


torch.manual_seed(0)
DATA = (torch.randn(37, 5), torch.randint(4, (37,)))


def network(activation=nn.Tanh):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 16), activation(), nn.Linear(16, 4)).double()


def test_a_quadratics_gradient_and_products_are_those_of_its_matrix():
    stream = np.random.default_rng(0)
    half = stream.normal(size=(6, 6))
    matrix, middle = half @ half.T, stream.normal(size=6)
    factors = torch.tensor([[0.5], [1.5], [1.0]])
    vectors = stream.normal(size=(2, 6))
    found = objective(
        Quadratic(matrix, middle), (factors, factors), {"own": mean_of}, "train_loss_own", 2
    ).derivatives([torch.from_numpy(v) for v in vectors])
    assert found.value == pytest.approx(middle @ matrix @ middle / 2)
    np.testing.assert_allclose(found.gradient, -matrix @ middle)
    np.testing.assert_allclose(torch.stack(found.products), vectors @ matrix)


LOSSES = {
    "mean": nn.CrossEntropyLoss(),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "weights": nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0, 0.5]), ignore_index=2),
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    "squares": nn.MSELoss(),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch_size", [None, 8])
def test_products_are_those_of_the_dense_hessian_of_the_loss_on_all_data_trap_26(name, batch_size):
    model, loss = network(), LOSSES[name].double()
    targets = DATA[1]
    wanted = functional.one_hot(targets, 4).double() if name == "squares" else targets
    hessian, gradient = dense_hessian(model, lambda outputs: loss(outputs, wanted))
    size = len(gradient)
    assert size > 150
    vectors = torch.randn(3, size, dtype=torch.float64)
    found = objective(model, DATA, loss, batch_size=batch_size).derivatives(list(vectors))
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-9, atol=1e-12)
    for vector, product in zip(vectors, found.products, strict=True):
        np.testing.assert_allclose(product, hessian @ vector, rtol=1e-9, atol=1e-11)
    value = Evaluator(model, loss, {"train": gather(DATA)}, DOUBLE)(model)["train_loss"]
    assert found.value == pytest.approx(value, rel=1e-12)


def test_softmax_regression_has_the_hessian_of_its_formula():
    """H = mean of (diag(p) - p p') (x) x x'  for logits W x."""
    torch.manual_seed(2)
    model = nn.Linear(5, 4, bias=False).double()
    inputs = DATA[0].double()
    p = model(inputs).softmax(1).detach().numpy()
    x = inputs.numpy()
    wanted = np.mean(
        [np.kron(np.diag(q) - np.outer(q, q), np.outer(z, z)) for q, z in zip(p, x, strict=True)],
        axis=0,
    )
    vectors = torch.eye(20, dtype=torch.float64)
    found = objective(model, DATA, nn.CrossEntropyLoss()).derivatives(list(vectors))
    np.testing.assert_allclose(torch.stack(found.products), wanted, atol=1e-14)


def test_nothing_of_the_model_changes_not_even_what_its_forward_writes():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 4))
    model.double()
    model[0].weight.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    ours = objective(model, DATA, nn.CrossEntropyLoss(), batch_size=10)
    ours.derivatives([torch.ones(ours.size, dtype=torch.float64)])
    ours.spread()
    assert all(torch.equal(before[name], entry) for name, entry in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert not model[0].weight.requires_grad
    assert model[0].weight.grad.eq(1).all()
    assert model[3].weight.grad is None


def test_attention_goes_through_a_kernel_that_can_be_differentiated_twice_trap_26():
    torch.manual_seed(4)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).double()
    data = (torch.randn(6, 3, 8), torch.randn(6, 3, 8))
    ours = objective(layer, data, nn.MSELoss())
    vector = torch.randn(ours.size, dtype=torch.float64)
    (product,) = ours.derivatives([vector]).products
    moved = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(
                torch.nn.utils.parameters_to_vector(layer.parameters()) + step * vector,
                layer.parameters(),
            )
            moved.append(ours.derivatives().gradient)
            torch.nn.utils.vector_to_parameters(
                torch.nn.utils.parameters_to_vector(layer.parameters()) - step * vector,
                layer.parameters(),
            )
    np.testing.assert_allclose(product, (moved[0] - moved[1]) / 2e-5, rtol=1e-4, atol=1e-6)


def test_attention_written_by_hand_is_differentiated_twice_trap_26():
    class Attention(nn.Linear):
        def forward(self, inputs):
            q, k, v = super().forward(inputs).chunk(3, -1)
            return functional.scaled_dot_product_attention(q, k, v, dropout_p=0.0).mean(1)

    torch.manual_seed(6)
    model, inputs = Attention(4, 12), torch.randn(5, 3, 4)
    ours = objective(model, (inputs, torch.randn(5, 4)), nn.MSELoss(), batch_size=2)
    products = ours.derivatives(list(torch.eye(ours.size, dtype=torch.float64))).products
    matrix = torch.stack(products)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert matrix.abs().max() > 1e-3


def test_parameters_that_the_loss_does_not_use_have_derivative_zero_trap_26():
    class Spare(nn.Sequential):
        def __init__(self, *layers):
            super().__init__(*layers)
            self.unused = nn.Linear(2, 3)

        def forward(self, inputs):
            return self[0](inputs)

    torch.manual_seed(7)
    ours = objective(Spare(nn.Linear(5, 4)), DATA, nn.CrossEntropyLoss())
    places = np.repeat([name.startswith("unused") for name in ours.names], [20, 4, 6, 3])
    found = ours.derivatives([torch.randn(33, dtype=torch.float64)])
    assert found.gradient[places].eq(0).all()
    assert found.products[0][places].eq(0).all()
    assert found.products[0][~places].abs().max() > 1e-3


def test_norms_and_dropout_are_those_of_eval_mode_trap_26():
    """A batch norm in eval mode is a scale and a shift: whatever the batches, one Hessian."""
    torch.manual_seed(8)
    norm = nn.BatchNorm1d(5)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(norm, nn.Dropout(0.5), nn.Linear(5, 4)).double()
    loss = nn.CrossEntropyLoss()
    hessian, _ = dense_hessian(model.eval(), lambda outputs: loss(outputs, DATA[1]))
    model.train()
    vector = torch.randn(len(hessian), dtype=torch.float64)
    for size in (None, 8, 1):
        (product,) = objective(model, DATA, loss, batch_size=size).derivatives([vector]).products
        np.testing.assert_allclose(product, hessian @ vector, rtol=1e-9, atol=1e-11)
    assert model.training


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        (lambda outputs, targets: (outputs.argmax(1) != targets).double(), "through autograd"),
        (lambda outputs, targets: outputs.detach().sum(1), "through autograd"),
    ],
)
def test_what_has_no_derivative_is_said_and_not_zero(metric, why):
    with pytest.raises(UnmeasurableError, match=why):
        objective(network(), DATA, {"own": metric}, "train_loss_own").derivatives()


def test_a_metric_that_counts_has_no_derivative():
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = torchmetrics.MeanSquaredError()
    with pytest.raises(UnmeasurableError, match="counted, not averaged"):
        objective(nn.Linear(5, 1), (DATA[0], DATA[0][:, :1]), {"m": metric}, "train_loss_m")


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    ours = objective(
        nn.Linear(5, 1), (DATA[0], DATA[0][:, :1]), {"m": lambda o, t: o.mean(1)}, "train_loss_m"
    )
    (product,) = ours.derivatives([torch.ones(6, dtype=torch.float64)]).products
    assert product.eq(0).all()


def test_the_standard_error_of_a_mean_is_that_of_the_textbook():
    model = network()
    spread = objective(model, DATA, nn.CrossEntropyLoss(), batch_size=8).spread()
    losses = functional.cross_entropy(model(DATA[0].double()), DATA[1], reduction="none").detach()
    np.testing.assert_allclose(spread.totals, losses, rtol=1e-12)
    assert spread.standard_error() == pytest.approx(float(losses.std() / 37**0.5), rel=1e-10)
    few = Spread(spread.totals, spread.weights, 4 * 37)
    assert few.standard_error() == pytest.approx(spread.standard_error() / 2)
    assert np.isnan(Spread(spread.totals[:1], spread.weights[:1], 9).standard_error())


def test_the_standard_error_of_a_weighted_loss_is_what_new_samples_show():
    """Of class weights, by drawing the samples again, 4000 times."""
    model, loss = network(), LOSSES["weights"].double()
    spread = objective(model, DATA, loss).spread()
    stream = np.random.default_rng(0)
    t, w = spread.totals.numpy(), spread.weights.numpy()
    again = stream.integers(37, size=(4000, 37))
    means = t[again].sum(1) / w[again].sum(1)
    assert spread.mean() == pytest.approx(float(loss(model(DATA[0].double()), DATA[1]).detach()))
    assert spread.standard_error() == pytest.approx(means.std(), rel=0.08)


def test_a_sum_is_spread_as_a_sum():
    spread = objective(network(), DATA, LOSSES["sum"]).spread()
    each = spread.totals.numpy()
    assert spread.mean() == pytest.approx(each.sum())
    assert spread.standard_error() == pytest.approx(37 * each.std(ddof=1) / 37**0.5)


def test_errors_of_differences_are_paired():
    one = Spread(torch.tensor([1.0, 5.0, 9.0]).double(), torch.ones(3).double(), 3)
    other = Spread(torch.tensor([1.1, 5.1, 9.1], dtype=torch.float64), torch.ones(3).double(), 3)
    below = combined([other, one], [1, -1])
    assert below.mean() == pytest.approx(0.1)
    assert below.standard_error() == pytest.approx(0, abs=1e-12)
    assert one.standard_error() > 2


def test_a_loss_of_the_batch_has_no_sampling_error():
    class OfBatch(nn.Module):
        def forward(self, outputs, targets):
            return outputs.std()

    with pytest.raises(UnmeasurableError, match="not the mean over its samples"):
        objective(network(), DATA, OfBatch()).spread()


class Kept(nn.Module):
    """The mean over what is not ignored, as users write it."""

    reduction = "mean"

    def forward(self, outputs, targets):
        losses = functional.cross_entropy(outputs, targets, reduction="none", ignore_index=-100)
        return losses.sum() / (targets != -100).sum() if self.reduction == "mean" else losses


def test_a_loss_that_leaves_targets_of_a_later_batch_out_is_the_evaluators():
    model, targets = network().double(), DATA[1].clone()
    targets[20:25] = -100
    data = (DATA[0].double(), targets)
    found = objective(model, data, Kept(), batch_size=10).derivatives()
    evaluator = Evaluator(
        model, Kept(), {"train": gather(data)}, Plan(batch_size=10, precision="float64")
    )
    assert evaluator.notes
    assert found.value == pytest.approx(evaluator(model)["train_loss"])


def test_outputs_of_zero_are_a_guess():
    ours = objective(network(), DATA, nn.CrossEntropyLoss(), batch_size=8)
    assert ours.value_of_zero() == pytest.approx(np.log(4))
    squares = objective(nn.Linear(5, 1), (DATA[0], DATA[0][:, :1]), nn.MSELoss())
    assert squares.value_of_zero() == pytest.approx(float(DATA[0][:, 0].double().square().mean()))


def test_few_samples_are_drawn_once_and_for_all():
    samples = gather((torch.arange(50.0)[:, None], torch.arange(50)))
    few = drawn(samples, 7)
    assert few.count == 7
    assert few.batches[0][0][:, 0].tolist() == few.batches[0][1].tolist()
    assert few.batches[0][1].tolist() == drawn(samples, 7).batches[0][1].tolist()
    assert few.batches[0][1].tolist() != list(range(7))
    assert drawn(samples, 50) is samples
    batches = [[torch.zeros(n, 2), torch.zeros(n)] for n in (3, 5, 2)]
    uneven = Samples(tuple(batches), 10, False, 3, None)
    assert [len(batch[0]) for batch in drawn(uneven, 4).batches] == [3, 5]
    assert drawn(uneven, 4).count == 8


@pytest.mark.parametrize(
    ("loss", "last"), [(nn.NLLLoss(), nn.LogSoftmax(1)), (nn.BCELoss(), nn.Sigmoid())], ids=str
)
def test_zero_is_no_guess_where_outputs_are_probabilities(loss, last):
    targets = DATA[1] if isinstance(loss, nn.NLLLoss) else torch.rand(37, 4)
    ours = objective(nn.Sequential(nn.Linear(5, 4), last), (DATA[0], targets), loss)
    with pytest.raises(UnmeasurableError, match="of which zero is no guess"):
        ours.value_of_zero()


def test_outputs_that_are_no_tensors_have_no_zero():
    class Own(nn.Linear):
        def forward(self, inputs):
            return Wrapped(super().forward(inputs))

    class Wrapped:
        def __init__(self, scores):
            self.scores = scores

    def loss(outputs, targets):
        return functional.cross_entropy(outputs.scores, targets, reduction="none")

    ours = objective(Own(5, 4), DATA, {"ce": loss}, "train_loss_ce")
    assert ours.derivatives().value > 0
    with pytest.raises(UnmeasurableError, match="no tensors that could be set to zero"):
        ours.value_of_zero()


def test_a_module_that_is_registered_twice_keeps_its_own_tensors():
    torch.manual_seed(1)
    block = nn.Linear(5, 5)
    net = nn.Sequential(block, block, nn.Tanh(), block, nn.Linear(5, 4)).double()
    before = [id(parameter) for parameter in net.parameters()]
    found = objective(net, DATA, nn.CrossEntropyLoss()).derivatives()
    loss = functional.cross_entropy(net(DATA[0].double()), DATA[1])
    wanted = torch.autograd.grad(loss, list(net.parameters()))
    torch.testing.assert_close(found.gradient, torch.cat([g.flatten() for g in wanted]))
    assert [id(parameter) for parameter in net.parameters()] == before
