"""How the pipeline makes a model itself, where a run asks for it."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from landscape_lib.config import Experiment
from landscape_lib.core.errors import InputError
from landscape_lib.core.files import whole_file, write_text
from landscape_lib.problems.build import call
from landscape_lib.utils.hashing import hash_file

log = logging.getLogger(__name__)


def train_model(experiment: Experiment, out: Path | str) -> None:
    """Call the run's training function and keep the state_dict it returns, with its hash beside.

    Raises:
        InputError: If the run has no ``train:``, or the function returns no state_dict.
    """
    if experiment.train is None:
        raise InputError(f"{experiment.name}: this run has no 'train:' in the config.")
    state = call(experiment.train.function, experiment.train.args)
    if not isinstance(state, Mapping) or not all(torch.is_tensor(t) for t in state.values()):
        raise InputError(
            f"{experiment.train.function} returned a {type(state).__name__}; it must return a "
            "state_dict, as model.state_dict() does."
        )
    # through a handle: given a path, torch writes the path's name into the file
    with whole_file(out) as temporary, temporary.open("wb") as handle:
        torch.save(dict(state), handle)
    write_text(f"{out}.sha256", f"{hash_file(out)}  {Path(out).name}\n")
    log.info("%s: trained, %s written.", experiment.name, out)
