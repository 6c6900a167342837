"""Random states, the global ones and those of samplers: lent, and given back."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

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


GENERATORS: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    torch.Generator: (torch.Generator.get_state, torch.Generator.set_state),
    np.random.Generator: (
        lambda generator: generator.bit_generator.state,
        lambda generator, state: setattr(generator.bit_generator, "state", state),
    ),
    random.Random: (random.Random.getstate, random.Random.setstate),  # noqa: S311  (nothing is drawn)
}


@contextmanager
def generators_kept(loader: Any) -> Iterator[None]:
    """Give the generators of a loader and its samplers, if it has any, back as they were.

    Whoever reads it next gets the same order.
    """
    kept = [
        (generator, read(generator), write)
        for generator in _generators(loader)
        for kind, (read, write) in GENERATORS.items()
        if isinstance(generator, kind)
    ]
    try:
        yield
    finally:
        for generator, state, write in kept:
            write(generator, state)


def _generators(loader: Any) -> list[Any]:
    """Return the generators that a loader holds, and its samplers, and samplers in these."""
    owners, found = [loader], []
    for owner in owners:
        for name, value in getattr(owner, "__dict__", {}).items():
            if isinstance(value, tuple(GENERATORS)):
                found.append(value)
            elif isinstance(value, Sampler) or name in {"sampler", "batch_sampler"}:
                owners += [value] if all(value is not other for other in owners) else []
    return found
