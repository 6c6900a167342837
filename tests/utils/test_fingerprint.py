"""The fingerprint changes with what decides a value, and with nothing else."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from landscape_lib.core.samples import gather
from landscape_lib.utils.fingerprint import (
    by_content,
    hash_metrics,
    hash_model,
    hash_samples,
    hash_tensor,
    problem_fingerprint,
)
from landscape_lib.utils.hashing import points_fingerprint


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


INPUTS, TARGETS = torch.arange(10.0).reshape(5, 2), torch.arange(5)


def fingerprint(net=None, inputs=INPUTS, code="c", args=None, evaluation="float32"):
    data = {"train": gather((inputs, TARGETS))}
    found = problem_fingerprint(
        net or model(), data, code=code, args=args or {}, evaluation=evaluation
    )
    return found["fingerprint"]


def test_the_same_problem_has_the_same_fingerprint():
    assert fingerprint() == fingerprint()


def last_bit(net):
    with torch.no_grad():
        net[0].weight[0, 0] = torch.nextafter(net[0].weight[0, 0], torch.tensor(9.0))


def running_mean(net):
    net[1].running_mean[0] = 0.5


def activation(net):
    net.append(nn.ReLU())


@pytest.mark.parametrize("change", [last_bit, running_mean, activation, nn.Module.double])
def test_another_model_has_another_fingerprint(change):
    net = model()
    change(net)
    assert fingerprint(net) != fingerprint()


def test_modes_and_gradients_are_no_part_of_a_model():
    net = model().eval().requires_grad_(False)
    assert hash_model(net) == hash_model(model())


def test_other_data_code_settings_have_another_fingerprint():
    changed = INPUTS.clone()
    changed[4, 1] += 1e-6
    found = {
        fingerprint(),
        fingerprint(inputs=changed),
        fingerprint(inputs=INPUTS.flip(0)),
        fingerprint(code="d"),
        fingerprint(evaluation="float64"),
        fingerprint(args={"width": 3}),
    }
    assert len(found) == 6


def test_a_checkpoints_content_counts_and_its_name_does_not(tmp_path):
    for name, content in (("a.pt", b"1"), ("b.pt", b"1"), ("c.pt", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (
        fingerprint(args={"nest": [{"checkpoint": str(tmp_path / name)}]})
        for name in ("a.pt", "b.pt", "c.pt")
    )
    assert a == b != c


@pytest.mark.parametrize(
    "text", ["x" * 300, "x" * 5000, "a\0b", "", "no/such/file", "a" * 300 + "/b"]
)
def test_an_argument_that_is_no_file_counts_as_it_is(text):
    assert by_content({"prompt": text}) == {"prompt": text}


def test_type_and_shape_of_a_tensor_count():
    zeros = [
        torch.zeros(4),
        torch.zeros(2, 2),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(0),
        torch.zeros(0, 3),
    ]
    assert len({hash_tensor(tensor) for tensor in zeros}) == 5
    assert hash_tensor(torch.ones(2, 3).T) == hash_tensor(torch.ones(3, 2))
    assert hash_tensor(torch.tensor(1.0, dtype=torch.bfloat16)) != hash_tensor(
        torch.tensor(1.0, dtype=torch.float16)
    )


def test_the_loaders_batch_size_counts_because_sums_follow_it():
    pairs = TensorDataset(INPUTS, TARGETS)
    assert hash_samples(gather(DataLoader(pairs, 2))) != hash_samples(gather(DataLoader(pairs, 3)))


@pytest.mark.parametrize("kind", ["text", "array"])
def test_what_is_no_tensor_in_a_batch_counts_as_well(kind):
    def samples(word):
        extra = word if kind == "text" else np.arange(2000) + len(word)
        return gather(
            DataLoader(
                [(torch.ones(2), extra, torch.tensor(1))], 1, collate_fn=lambda rows: rows[0]
            )
        )

    assert hash_samples(samples("good")) == hash_samples(samples("good"))
    assert hash_samples(samples("good")) != hash_samples(samples("bad"))


def test_points_depend_on_problem_directions_and_plan():
    assert (
        len(
            {
                points_fingerprint(*three)
                for three in (("a", "b", "c"), ("b", "a", "c"), ("a", "b", "d"), ("ab", "", "c"))
            }
        )
        == 4
    )


def test_what_a_metric_holds_counts_also_where_no_code_and_no_argument_shows_it():
    """Class weights read inside build, a setting that repr does not show, a teacher's weights."""
    weights = [torch.tensor([1.0, 1.0, w]) for w in (1.0, 5.0)]
    losses = [
        *(nn.CrossEntropyLoss(weight=w) for w in weights),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(),
        {"a": nn.CrossEntropyLoss()},
    ]
    assert len({hash_metrics(loss) for loss in losses}) == len(losses)
    assert hash_metrics(nn.CrossEntropyLoss().eval()) == hash_metrics(nn.CrossEntropyLoss())
    assert hash_metrics(lambda net, loader, use_cuda: {}) == hash_metrics(None)


def test_a_model_that_prints_where_it_lies_in_memory_has_one_hash():
    class Odd(nn.Linear):
        def extra_repr(self):
            return f"{object()!r}"

    net = Odd(2, 3)
    assert hash_model(net) == hash_model(net)
