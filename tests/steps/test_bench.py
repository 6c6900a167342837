"""Torch's own settings are borrowed like everything else."""

import torch

from landscape_lib.steps.bench import _rounding, settings_kept


def test_rounding_and_threads_are_given_back(monkeypatch):
    """The switches exist without a GPU, too; they are only touched where there is one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    switches = _rounding()
    before = [getattr(place, name) for place, name, _ in switches]
    threads = torch.get_num_threads()
    with settings_kept():
        for place, name, exact in switches:
            setattr(place, name, exact)
            assert getattr(place, name) == exact
        torch.set_num_threads(threads + 1)
    assert [getattr(place, name) for place, name, _ in switches] == before
    assert torch.get_num_threads() == threads
    torch.get_float32_matmul_precision()  # raises where both kinds of switches were used
