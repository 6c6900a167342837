"""Who writes to what others need as well is found out, and nothing is lost by it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from landscape_lib.core import handing
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.writes import WrittenError, put_back_if_written, unwritten

GRID = Grid((Axis(-1, 1, 5),))
INPUTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).abs() + 0.1
INPUTS[20:] *= -1  # in the last two of six batches
CLASSES = torch.arange(30) % 3
CLASSES[:15] = 0


class Writes(nn.Module):
    """Writes to its inputs where some are negative."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, inputs):
        if (inputs < 0).any():
            inputs.add_(1)
        return self.layer(inputs)


class WritesToACopy(Writes):
    def forward(self, inputs):
        return super().forward(inputs.clone())


def writing_metric(outputs, targets):
    return (outputs.zero_() if (targets == 2).any() else outputs).mean(1)


def model_of(kind):
    torch.manual_seed(0)
    return kind()


def losses(model, metrics, data, plan):
    direction = create_random_direction(model, seed=0)
    evaluator = Evaluator(model, metrics, prepare(data), plan)
    shard = measure(model, evaluator, [direction], GRID, range(GRID.size))
    return {key: values.tolist() for key, values in shard.values.items()}


@pytest.mark.parametrize("send", [False, True], ids=["resident", "batch by batch"])
@pytest.mark.parametrize("kind", ["tensors", "loader"])
def test_a_model_that_writes_to_a_later_batch_only_has_its_own_values(kind, send, monkeypatch):
    if send:
        monkeypatch.setattr(handing, "available_memory", lambda: 0)
    inputs = INPUTS.double() if send else INPUTS.clone()
    before = inputs.clone()
    data = (inputs, CLASSES)
    if kind == "loader":
        data = DataLoader(TensorDataset(*data), 5)
    found, wanted = (
        losses(model_of(kind), nn.CrossEntropyLoss(), data, Plan(batch_size=5))
        for kind in (Writes, WritesToACopy)
    )
    assert found == wanted
    assert torch.equal(inputs, before)


def test_nor_is_the_data_of_a_point_that_failed_what_the_model_wrote():
    class Fails(Writes):
        def forward(self, inputs):
            outputs = super().forward(inputs)
            if (inputs < 0).any():
                raise RuntimeError("what is it?")
            return outputs

    inputs = INPUTS.clone()
    model = model_of(Fails)
    evaluator = Evaluator(
        model, nn.CrossEntropyLoss(), prepare((inputs, CLASSES)), Plan(batch_size=5)
    )
    with pytest.raises(RuntimeError, match="what is it"):
        evaluator(model)
    assert torch.equal(inputs, INPUTS)


def test_a_metric_that_writes_in_a_later_batch_only_spoils_no_other():
    metrics = {"first": writing_metric, "ce": nn.CrossEntropyLoss()}
    model = nn.Linear(4, 3)
    data = prepare((INPUTS, CLASSES))
    evaluator = Evaluator(model, metrics, data, Plan(batch_size=5))
    wanted = functional.cross_entropy(model(INPUTS), CLASSES).item()
    for _ in range(2):
        assert evaluator(model)["train_loss_ce"] == pytest.approx(wanted)


@pytest.mark.parametrize("who", ["model", "metric"])
def test_points_at_once_are_refused_where_somebody_writes_in_a_later_batch(who):
    model = model_of(Writes if who == "model" else WritesToACopy)
    metrics = {"first": writing_metric, "ce": nn.CrossEntropyLoss()}
    metrics = metrics if who == "metric" else nn.CrossEntropyLoss()
    inputs = INPUTS.clone() if who == "model" else INPUTS.abs()
    before = inputs.clone()
    evaluator = Evaluator(
        model, metrics, prepare((inputs, CLASSES)), Plan(batch_size=5, points_at_once=2)
    )
    if who == "metric" and not hasattr(torch.func, "debug_unwrap"):
        pytest.skip("this torch does not say what vmap writes to")
    with pytest.raises(InputError, match="write to what others need"):
        evaluator(model)
    assert torch.equal(inputs, before)


def test_writing_from_a_later_point_on_is_an_error_there_and_at_every_point_after_it():
    class Later(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, inputs):
            self.calls += 1
            if self.calls > 15:
                inputs.add_(1)
            return self.layer(inputs)

    model = Later()
    evaluator = Evaluator(
        model, nn.CrossEntropyLoss(), prepare((INPUTS.clone(), CLASSES)), Plan(batch_size=5)
    )
    assert evaluator(model) == evaluator(model)
    for _ in range(2):
        with pytest.raises(InputError, match="at this point, and to none of them at the first one"):
            evaluator(model)


def test_tensors_of_inference_mode_are_put_back_too():
    with torch.inference_mode():
        inputs = INPUTS.clone()
        model = model_of(Writes)
        data = prepare((inputs, CLASSES))
        found = Evaluator(model, nn.CrossEntropyLoss(), data, Plan(batch_size=5))(model)
        assert torch.equal(inputs, INPUTS)
    written = torch.cat([INPUTS[:20], INPUTS[20:] + 1])
    wanted = functional.cross_entropy(model.layer(written), CLASSES).item()
    assert found["train_loss"] == pytest.approx(wanted)


@pytest.mark.parametrize("watch", [unwritten, put_back_if_written])
def test_a_write_through_a_view_is_seen(watch):
    tensor = torch.zeros(3, 2)
    with pytest.raises(WrittenError), watch([tensor]):
        tensor[1].fill_(1)
    assert bool(tensor.any()) == (watch is unwritten)


def test_sparse_inputs_are_evaluated_as_dense_ones_are():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, inputs, neighbours):
            return neighbours @ self.layer(inputs)

    dense = (torch.arange(36).reshape(6, 6) % 5 == 0).float()
    found = [
        losses(model_of(Graph), nn.CrossEntropyLoss(), batches, Plan(batch_size=None))["train_loss"]
        for batches in (
            iter([(INPUTS[:6], dense, CLASSES[12:18])]),
            iter([(INPUTS[:6], dense.to_sparse(), CLASSES[12:18])]),
            iter([(INPUTS[:6], _rows(dense), CLASSES[12:18])]),
        )
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)


def _rows(dense):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this layout is in beta state
        return dense.to_sparse_csr()
