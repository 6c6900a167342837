"""Where the trainings that a run names walked, in the plane of its directions."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from landscape_lib.config import Experiment
from landscape_lib.core.errors import InputError
from landscape_lib.core.trajectory import State, project_snapshots
from landscape_lib.steps.bench import problem_of
from landscape_lib.steps.directions import open_states
from landscape_lib.steps.shown import save_trajectories
from landscape_lib.utils.storage import load_directions

log = logging.getLogger(__name__)

ONLY = "checkpoints"  # what the trajectory is called that is the only one


def project_trajectory(experiment: Experiment, out: Path | str) -> None:
    """Project every checkpoint that a run shows onto the plane of its directions, and write it.

    Raises:
        InputError: If a checkpoint is missing, of another network, or holds NaN or infinity.
    """
    model = problem_of(experiment).model
    directions = load_directions(experiment.path("directions.h5"), model)
    named = experiment.trajectories
    found = [
        project_snapshots(model, directions, open_states(paths, model), name_of(name, len(named)))
        for name, paths in named.items()
    ]
    save_trajectories(out, found)
    for way in found:
        share = (
            "" if way.in_plane is None else f", {100 * way.in_plane:.1f} % of the way in the plane"
        )
        log.info(
            "%s: %s: %d checkpoints%s",
            experiment.name,
            way.name or "trajectory",
            len(way.alpha),
            share,
        )


def states_of(checkpoints: Any, model: nn.Module) -> Mapping[str, State]:
    """Return checkpoints by name, in order: paths, patterns, state_dicts or models, one or a list.

    Raises:
        InputError: If one is something else, cannot be read, or a pattern fits no file.
    """
    several = not isinstance(checkpoints, str | Path | Mapping | nn.Module)
    found: dict[str, State] = {}
    wanted = "a path, a pattern such as 'epochs/*.pt', a state_dict or a model"
    if several and not isinstance(checkpoints, Iterable):
        raise InputError(f"checkpoints={checkpoints!r}; wanted {wanted}, or a list of them.")
    for number, one in enumerate(checkpoints if several else [checkpoints]):
        if isinstance(one, str | Path):
            found |= open_states([str(one)], model)
        elif isinstance(one, Mapping | nn.Module):
            found[f"checkpoint {number}"] = one
        else:
            raise InputError(f"Checkpoint {number} is a {type(one).__name__}; wanted {wanted}.")
    return found


def name_of(name: str, count: int) -> str:
    """Return what a trajectory is called in pictures: nothing, if it is the only one."""
    return "" if name == ONLY and count == 1 else name
