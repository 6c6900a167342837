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


def test_a_gpu_is_asked_and_what_evaluating_needed_is_left_to_it(monkeypatch):
    told = SimpleNamespace(
        memory_allocated=lambda _: 30,
        memory_reserved=lambda _: 50,  # torch keeps 20 that it can use again
        max_memory_allocated=lambda _: 45,  # a batch took 15
        mem_get_info=lambda _: (100, 200),
    )
    monkeypatch.setattr(torch, "cuda", told)
    assert room.room_on(torch.device("cuda", 1)) == 100 + 20 - 15


def test_a_cpu_has_half_of_what_is_available_where_the_system_says_it(monkeypatch):
    monkeypatch.setattr(room, "available_memory", lambda: 100)
    assert room.fits({CPU: 50})
    assert not room.fits({CPU: 51})
    monkeypatch.setattr(room, "available_memory", lambda: None)
    assert room.fits({CPU: 2**60})
    assert room.room_on(torch.device("meta")) == float("inf")  # of others nothing is known
