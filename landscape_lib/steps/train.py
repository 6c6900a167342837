"""How the pipeline makes a model itself, where a run asks for it."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from inspect import isgenerator
from pathlib import Path
from typing import Any

import torch

from landscape_lib.config import Experiment
from landscape_lib.core.errors import InputError
from landscape_lib.core.files import whole_file, write_text
from landscape_lib.problems.build import call
from landscape_lib.utils.hashing import hash_file

CHECKPOINTS = "checkpoints"  # the folder, beside the model

log = logging.getLogger(__name__)


def train_model(experiment: Experiment, out: Path | str) -> None:
    """Call the run's training function and keep the state_dict it returns, with its hash beside.

    A function that yields state_dicts along the way (a generator) leaves each of them beside the
    model, as ``checkpoints/0000.pt`` and so on; the last is the model.

    Raises:
        InputError: If the run has no ``train:``, or the function returns no state_dict.
    """
    if experiment.train is None:
        raise InputError(f"{experiment.name}: this run has no 'train:' in the config.")
    out = Path(out)
    for old in out.with_name(CHECKPOINTS).glob("[0-9]*.pt"):  # of a training before this one
        old.unlink()
    found = call(experiment.train.function, experiment.train.args)
    if isgenerator(found):
        _keep_all(out, found, experiment.train.function)
    else:
        _save(out, found, experiment.train.function)
    write_text(f"{out}.sha256", f"{hash_file(out)}  {Path(out).name}\n")
    log.info("%s: trained, %s written.", experiment.name, out)


def _keep_all(out: Path, states: Iterator[Any], function: str) -> None:
    """Write every state as it comes: they may be the same tensors, trained on.

    Raises:
        InputError: If there is none.
    """
    last = None
    for number, state in enumerate(states):
        last = out.with_name(CHECKPOINTS) / f"{number:04d}.pt"
        _save(last, state, function)
    if last is None:
        raise InputError(f"{function} yielded nothing; it must yield at least one state_dict.")
    with whole_file(out) as temporary:
        shutil.copyfile(last, temporary)
    log.info("%d checkpoints written, the last is the model.", number + 1)


def _save(path: Path, state: Any, function: str) -> None:
    if not isinstance(state, Mapping) or not all(torch.is_tensor(t) for t in state.values()):
        raise InputError(
            f"{function} returned a {type(state).__name__}; it must return a "
            "state_dict, as model.state_dict() does."
        )
    # through a handle: given a path, torch writes the path's name into the file
    with whole_file(path) as temporary, temporary.open("wb") as handle:
        torch.save(dict(state), handle)
