"""The demo's two networks: repeatable, truly with and without skips, and checked when loaded."""

import hashlib
import logging
import re

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from landscape_lib.core.errors import InputError
from landscape_lib.problems import digits
from landscape_lib.problems.problem import Problem

TINY = {"depth": 8, "width": 4}


@pytest.fixture(scope="module")
def state():
    return digits.train(skip=True, epochs=2, seed=3, **TINY)


@pytest.fixture
def checkpoint(state, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(state, path)
    return str(path)


def same_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_bits(state):
    assert same_bits(state, digits.train(skip=True, epochs=2, seed=3, **TINY))


def test_another_seed_gives_another_network(state):
    other = digits.train(skip=True, epochs=1, seed=4, **TINY)
    assert not torch.equal(state["conv.weight"], other["conv.weight"])


def test_training_and_building_leave_the_global_random_state_alone(checkpoint):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    digits.train(skip=False, epochs=1, seed=0, **TINY)
    digits.build(checkpoint, skip=True, **TINY)
    assert torch.equal(torch_before, torch.get_rng_state())
    np.testing.assert_equal(np.random.get_state(), numpy_before)  # noqa: NPY002


def test_training_gives_the_threads_back():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        digits.train(skip=True, epochs=1, seed=0, depth=4, width=1)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_training_obeys_the_seed_whatever_the_global_random_state(state):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(12345)
        assert same_bits(state, digits.train(skip=True, epochs=2, seed=3, **TINY))


def test_a_few_epochs_learn_the_digits():
    weights = digits.train(skip=True, epochs=5, seed=0, depth=8, width=8)
    net = digits.ResidualNet(skip=True, depth=8, width=8)
    net.load_state_dict(weights)
    _, (inputs, targets) = digits.split()
    with torch.no_grad():
        assert (net.eval()(inputs).argmax(1) == targets).float().mean() > 0.7  # chance is 0.1


def test_training_says_how_far_it_is(caplog):
    with caplog.at_level(logging.INFO, logger="landscape_lib.problems.digits"):
        digits.train(skip=True, epochs=1, seed=0, **TINY)
    assert re.search(
        r"epoch 1 of 1: loss \d\.\d+, held-out accuracy \d+\.\d %, 0 s left", caplog.text
    )


@pytest.mark.parametrize("skip", [True, False])
def test_a_block_that_adds_nothing_passes_its_input_on_only_by_its_skip(skip):
    block = digits.ResidualBlock(4, skip=skip).eval()
    nn.init.zeros_(block.bn2.weight)  # F(x) = 0
    images = torch.rand(2, 4, 8, 8)
    with torch.no_grad():
        assert torch.equal(block(images), images if skip else torch.zeros_like(images))


@pytest.mark.parametrize("skip", [True, False])
def test_no_path_round_a_dead_block_without_skips(skip):
    net = digits.ResidualNet(skip=skip, **TINY).eval()
    nn.init.zeros_(net.blocks[1].bn2.weight)
    with torch.no_grad():
        scores = net(torch.rand(5, 1, 8, 8))
    assert torch.equal(scores, scores[:1].expand_as(scores)) != skip


def test_the_two_networks_differ_only_in_their_skips():
    plain, residual = (digits.ResidualNet(skip=skip, **TINY).state_dict() for skip in (False, True))
    assert {name: entry.shape for name, entry in plain.items()} == {
        name: entry.shape for name, entry in residual.items()
    }


@pytest.mark.parametrize("depth", [4, 8, 38])
def test_depth_counts_the_layers_with_weights(depth):
    net = digits.ResidualNet(skip=True, depth=depth, width=4)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == depth


@pytest.mark.parametrize(("depth", "width"), [(7, 4), (2, 4), (8, 0)])
def test_a_network_that_cannot_be_built_is_refused(depth, width):
    with pytest.raises(InputError, match=f"depth {depth} and width {width}; choose an even depth"):
        digits.ResidualNet(skip=True, depth=depth, width=width)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 1}, {"rate": 0.0}], ids=str)
def test_training_that_cannot_work_is_refused(wrong):
    with pytest.raises(InputError, match="choose epochs of at least 1"):
        digits.train(**{"skip": True, "epochs": 1, "seed": 0, **TINY, **wrong})


def test_the_split_is_whole_disjoint_and_never_changes():
    (inputs, targets), (held_inputs, held_targets) = digits.split()
    assert inputs.shape == (1437, 1, 8, 8)
    assert held_inputs.shape == (360, 1, 8, 8)
    assert inputs.dtype == torch.float32
    assert targets.dtype == torch.int64
    assert (inputs.min(), inputs.max()) == (0, 1)
    seen = {image.numpy().tobytes() for image in inputs}
    assert not seen & {image.numpy().tobytes() for image in held_inputs}  # no image comes twice
    assert min(torch.bincount(held_targets)) > 20
    digest = hashlib.sha256(torch.cat([targets, held_targets]).numpy().tobytes()).hexdigest()
    assert digest.startswith("b9e0755ffe1e919e")


def test_a_trained_state_builds_the_problem_of_the_contract(checkpoint, state):
    problem = digits.build(checkpoint, skip=True, samples=50, **TINY)
    assert isinstance(problem, Problem)
    assert isinstance(problem.metrics, nn.CrossEntropyLoss)
    assert same_bits(dict(problem.model.state_dict()), state)
    assert not problem.model.training
    (inputs, targets), held_out = digits.split()
    assert torch.equal(problem.data[0], inputs[:50])
    assert torch.equal(problem.data[1], targets[:50])
    assert list(problem.splits) == ["test"]
    assert torch.equal(problem.splits["test"][0], held_out[0][:50])


def test_all_images_judge_when_samples_is_left_out(checkpoint):
    problem = digits.build(checkpoint, skip=True, **TINY)
    assert (len(problem.data[1]), len(problem.splits["test"][1])) == (1437, 360)


def test_a_trained_network_is_better_than_a_fresh_one_on_its_own_data(checkpoint):
    problem = digits.build(checkpoint, skip=True, **TINY)
    with torch.no_grad():
        assert functional.cross_entropy(problem.model(problem.data[0]), problem.data[1]) < 2.3


@pytest.mark.parametrize("samples", [0, 361])
def test_more_images_than_there_are_is_refused(checkpoint, samples):
    with pytest.raises(InputError, match=f"samples is {samples}; choose 1 to 360"):
        digits.build(checkpoint, skip=True, samples=samples, **TINY)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pt: there is no such file .*Correct the path"):
        digits.build(str(tmp_path / "nowhere.pt"), skip=True, **TINY)


def test_a_checkpoint_saved_from_a_gpu_is_built_without_one_trap_20(state, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    torch.save(state, tmp_path / "cuda.pt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="deserialize object on a CUDA device"):
        torch.load(tmp_path / "cuda.pt", weights_only=True)
    problem = digits.build(str(tmp_path / "cuda.pt"), skip=True, **TINY)
    assert same_bits(dict(problem.model.state_dict()), state)


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint", b"PK\x03\x04torn", b"\x80\x02}q\x00."], ids=str
)
def test_an_unreadable_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "torn.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"torn\.pt: it (cannot be read as|holds)"):
        digits.build(str(path), skip=True, **TINY)


def test_a_checkpoint_of_something_else_is_named(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match=r"list\.pt: it holds a list; wanted a state_dict"):
        digits.build(str(tmp_path / "list.pt"), skip=True, **TINY)


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"depth": 10}, r"10 missing: blocks\.3\.conv1\.weight, .*, \.\.\.;? ?"),
        ({"depth": 6}, r"12 unexpected: blocks\.2\.conv1\.weight"),
        ({"width": 6}, r"of another shape: conv\.weight \(4, 1, 3, 3\), not \(6, 1, 3, 3\)"),
        ({"skip": False}, r"has_skips is True, not False"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_network_is_told_apart(checkpoint, asked, fault):
    with pytest.raises(
        InputError, match=rf"model\.pt: .*{fault}.*(Build the model|Give build the skip)"
    ):
        digits.build(checkpoint, **{"skip": True, **TINY, **asked})


def test_the_images_are_those_of_load_digits():
    images, labels = load_digits(return_X_y=True)
    table = digits.table()
    np.testing.assert_array_equal(table[:, :64], images)
    np.testing.assert_array_equal(table[:, 64], labels)
