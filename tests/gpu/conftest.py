"""Runs these tests on a GPU; where there is none, on one that is pretended."""

import pytest
import torch

from tests.pretended_gpu import pretended_gpu


@pytest.fixture(autouse=True)
def gpu():
    """The pretended GPU; None where there is a real one."""
    if torch.cuda.is_available():
        yield None
        return
    with pretended_gpu() as gpu:
        yield gpu
