"""A GPU is asked what it has room for; what does not fit is streamed, and that is said once."""

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from landscape_lib.core import room
from landscape_lib.core.direction import create_random_direction, create_target_direction
from landscape_lib.core.perturbation import _Resident, _Streamed, excursion

CPU = torch.device("cpu")


@pytest.fixture
def has(monkeypatch):
    """Let the CPU have so much room, as a GPU would."""
    monkeypatch.setattr(room, "_said", set())
    return lambda left: monkeypatch.setattr(room, "room_on", lambda device: left)


def test_a_copy_and_two_directions_are_needed_and_more_where_these_are_wider():
    weight = torch.zeros(5, 3)
    needed = room.needs([weight, torch.zeros(2)], [weight], [torch.float32], 2)
    assert needed == {CPU: 4 * (15 + 2 + 2 * 15)}
    needed = room.needs([weight], [weight], [torch.float64], 1)
    assert needed == {CPU: 4 * 15 + 8 * 15 * 3}


@pytest.mark.parametrize("wide", [False, True])
def test_what_does_not_fit_by_one_byte_is_streamed_and_it_is_said_once(has, caplog, wide):
    net = nn.Linear(3, 5)
    there = create_target_direction(net, nn.Linear(3, 5)) if wide else create_random_direction(net)
    needed = 4 * 20 + (8 * 20 * 3 if wide else 4 * 20)
    caplog.set_level(logging.INFO)
    for left, how in ((needed, _Resident), (needed - 1, _Streamed), (needed - 1, _Streamed)):
        has(left)
        with excursion(net, [there]) as trip:
            assert isinstance(trip._steps, how)
    assert caplog.text.count("streamed tensor by tensor") == 1


class Gpu:
    """A GPU of 200 bytes, of which others have some."""

    def __init__(self, monkeypatch, others=0):
        self.held = self.most = 0
        told = SimpleNamespace(
            memory_allocated=lambda _: self.held,
            memory_reserved=lambda _: self.held + 20,  # torch keeps 20 that it can use again
            max_memory_allocated=lambda _: self.most,
            mem_get_info=lambda _: (200 - others - self.held - 20, 200),
            reset_peak_memory_stats=lambda _: setattr(self, "most", self.held),
            current_device=lambda: 1,
        )
        monkeypatch.setattr(torch, "cuda", told)
        monkeypatch.setattr(room, "_batch", {})

    def take(self, size):
        self.held += size
        self.most = max(self.most, self.held)


def test_a_gpu_is_asked_and_what_a_batch_takes_is_left_to_it(monkeypatch):
    gpu, device = Gpu(monkeypatch, others=50), torch.device("cuda", 1)
    gpu.take(30)
    assert room.room_on(device) == 200 - 50 - 30
    with room.watched(torch.device("cuda")):  # the current one is the same
        gpu.take(15)
        gpu.take(-15)
    assert room.room_on(device) == 200 - 50 - 30 - 15
    with room.watched(CPU):
        pass
    assert room._batch == {1: 15}


@pytest.mark.parametrize(("size", "fits"), [(45, True), (46, False)])
def test_what_an_earlier_excursion_had_is_no_reason_to_stream(monkeypatch, size, fits):
    """Model, copy and two directions need four times the model, and a batch 20: 4 x 45 + 20.

    Until a batch's need was told from an earlier excursion's, a model above a sixth was streamed.
    """
    gpu, device = Gpu(monkeypatch), torch.device("cuda", 1)
    gpu.take(size)
    with room.watched(device):
        gpu.take(20)
        gpu.take(-20)
    gpu.take(2 * size)  # the excursion that tried a plan: a copy, one direction
    gpu.take(-2 * size)
    assert room.fits({device: 3 * size}) is fits


def test_a_cpu_has_half_of_what_is_available_where_the_system_says_it(monkeypatch):
    monkeypatch.setattr(room, "available_memory", lambda: 100)
    assert room.fits({CPU: 50})
    assert not room.fits({CPU: 51})
    monkeypatch.setattr(room, "available_memory", lambda: None)
    assert room.fits({CPU: 2**60})
    assert room.room_on(torch.device("meta")) == float("inf")  # of others nothing is known
