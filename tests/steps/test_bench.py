"""Torch's own settings are borrowed like everything else."""

import pytest
import torch
from torch import nn

from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import eval_loss
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import _switches, round_as
from landscape_lib.steps.bench import settings_kept


@pytest.fixture
def gpu(monkeypatch):
    """The switches exist without a GPU, too; they are only touched where there is one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    capability = [(9, 0)]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability[0])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old one")
    return capability


def switched():
    return [getattr(place, name) for place, name, *_ in _switches()]


def test_rounding_and_threads_are_given_back(gpu):
    before, threads = switched(), torch.get_num_threads()
    with settings_kept():
        round_as(Plan("cuda"))
        assert switched() == [exact for *_, exact, _ in _switches()]
        round_as(Plan("cuda", "tf32"))
        assert switched() == [rounded for *_, rounded in _switches()]
        for plan in (Plan("cuda", "bf16"), Plan("cuda:1", "float64")):
            round_as(plan)
            assert switched() == [exact for *_, exact, _ in _switches()]
        torch.set_num_threads(threads + 1)
    assert switched() == before
    assert torch.get_num_threads() == threads
    torch.get_float32_matmul_precision()  # raises where both kinds of switches were used


def test_a_cpus_plan_touches_nothing(gpu):
    with settings_kept():
        round_as(Plan("cuda", "tf32"))
        there = switched()
        round_as(Plan("cpu"))
        assert switched() == there


def test_tf32_is_refused_by_a_gpu_that_has_none(gpu):
    gpu[0] = (7, 5)
    with (
        settings_kept(),
        pytest.raises(InputError, match=r"an old one multiplies no TF32, as"),
    ):
        round_as(Plan("cuda", "tf32"))


def test_eval_loss_gives_the_switches_back(gpu, monkeypatch):
    """Torch rounds convolutions to TF32 by itself; a loss in float32 is one in float32."""
    before = switched()
    seen = []
    net = nn.Linear(2, 3)
    net.register_forward_hook(lambda *_: seen.append(switched()))
    monkeypatch.setattr(
        "landscape_lib.core.evaluator.round_as", lambda plan: round_as(Plan("cuda"))
    )
    eval_loss(net, nn.CrossEntropyLoss(), (torch.ones(4, 2), torch.arange(4) % 3))
    assert switched() == before
    assert seen
    assert all(found == [exact for *_, exact, _ in _switches()] for found in seen)
