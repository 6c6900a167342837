"""``cuda`` means a GPU of one's own; torch is told which."""

from types import SimpleNamespace

import pytest
import torch

from landscape_lib.steps.gpus import own_gpu
from landscape_lib.utils.claims import claimed


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Let torch show three GPUs; return which of them it was told to take."""
    chosen: list[int] = []
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"GPU-{number}")
    )
    return chosen


def test_each_takes_the_next_free_one(gpus):
    with own_gpu("cuda"), own_gpu("cuda"), own_gpu("cuda"):
        assert gpus == [0, 1, 2]
    with claimed(["GPU-0"]), own_gpu("cuda"):
        assert gpus[-1] == 1


@pytest.mark.parametrize("device", ["cpu", "cuda:2"])
def test_the_cpu_and_a_named_gpu_are_left_as_they_are(gpus, device):
    with own_gpu(device):
        assert gpus == []


def test_the_only_one_is_left_as_it_is(gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with own_gpu("cuda"):
        assert gpus == []
