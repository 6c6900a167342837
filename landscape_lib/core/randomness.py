"""The global random states: seeded while others' code runs, and given back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SEED = 0  # for transforms and samplers that draw random numbers while the samples are gathered


@contextmanager
def fixed_randomness(seed: int = SEED) -> Iterator[None]:
    """Seed the global random states, and give them back as they were."""
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            reseed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002


def reseed(seed: int = SEED) -> None:
    """Set the global random states: python's, numpy's, torch's."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # else torch would write down the call, with its whole stack
        torch.cuda.manual_seed_all(seed)
