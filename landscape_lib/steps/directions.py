"""Which way a run walks: its directions drawn once from the seed, and kept."""

import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape_lib.between.matching import align as align_units
from landscape_lib.config import DirectionSettings, Experiment
from landscape_lib.config.checkpoints import files_of
from landscape_lib.core.description import describe, standing_still
from landscape_lib.core.direction import (
    Direction,
    cosine,
    create_random_direction,
    create_target_direction,
    only_in_layers,
    orthogonalize,
)
from landscape_lib.core.errors import InputError
from landscape_lib.core.files import write_text
from landscape_lib.core.plan import Plan, choose_device
from landscape_lib.core.trajectory import create_pca_directions
from landscape_lib.problems.build import build_problem
from landscape_lib.steps.bench import set_up
from landscape_lib.steps.eigendirections import hessian_directions
from landscape_lib.utils.fingerprint import hash_model
from landscape_lib.utils.storage import content_hash, load_directions, save_directions

log = logging.getLogger(__name__)


def make_directions(
    experiment: Experiment, out: Path | str, pause: Callable[[], None] = lambda: None
) -> None:
    """Make one direction an axis, write them, and beside them their content's hash and a table.

    ``directions.txt`` says of every parameter by what rule it moves, |w| and |d|; see ``describe``.

    Args:
        experiment: The run.
        out: The file.
        pause: Called now and then during long work; may raise to abandon it.
    """
    curved = {a: s for a, s in enumerate(experiment.directions) if s.kind == "hessian"}
    model, ready = (
        _of_hessian(experiment, curved, pause)
        if curved
        else (build_problem(experiment.problem, experiment.args).model, {})
    )
    ready |= _components(model, experiment.directions)
    directions = [
        _made(model, settings, axis, ready.get(axis))
        for axis, settings in enumerate(experiment.directions)
    ]
    directions = _orthogonal(directions, experiment.directions)
    table = describe(model, directions)
    for line in table:
        log.info("%s", line)
    still = standing_still(model, directions)
    if still:
        log.warning(
            "All zero, so that noise of its norm is zero and it stands still: %s. "
            "'normalize: dfilter' or 'dlayer' moves it, by filters or tensors of norm 1.",
            ", ".join(still[:4]) + (f" and {len(still) - 4} more" if len(still) > 4 else ""),
        )
    about: dict[str, Any] = {"model": hash_model(model), "content": content_hash(directions)}
    if len(directions) > 1:
        about["cosine"] = cosine(*directions)
        log.info("cosine between the directions: %.4g", about["cosine"])
    save_directions(out, directions, about)
    write_text(Path(out).with_suffix(".txt"), "\n".join([*table, ""]))
    write_text(f"{out}.sha256", f"{about['content']}  {Path(out).name}\n")


def _made(
    model: nn.Module, settings: DirectionSettings, axis: int, ready: Direction | None
) -> Direction:
    direction = _MAKERS[settings.kind](model, settings, axis) if ready is None else ready
    return only_in_layers(direction, settings.layers) if settings.layers else direction


def _of_hessian(
    experiment: Experiment, curved: Mapping[int, DirectionSettings], pause: Callable[[], None]
) -> tuple[nn.Module, dict[int, Direction]]:
    """Return a run's model, and the axes that are eigenvectors, all from one iteration.

    Raises:
        InputError: If a direction is to move more than weights.
    """
    if any(settings.dir_type != "weights" for settings in curved.values()):
        raise InputError("Directions of kind 'hessian' move weights: say dir_type: weights.")
    bench = set_up(experiment)
    wishes = experiment.evaluation
    size = None if wishes.batch_size == "auto" else int(wishes.batch_size)
    device = choose_device(wishes.device)
    plan = Plan(device, wishes.precision, size, torch.get_num_threads())
    numbers = {axis: settings.eigenvector or axis + 1 for axis, settings in curved.items()}
    samples = next(iter(curved.values())).samples
    return bench.problem.model, hessian_directions(bench, plan, numbers, samples, pause)


def _orthogonal(
    directions: list[Direction], settings: Sequence[DirectionSettings]
) -> list[Direction]:
    asked = [number for number, one in enumerate(settings) if one.orthogonal]
    if len(directions) < 2 or not asked:
        return directions
    changed = asked[-1]
    directions[changed] = orthogonalize(directions[changed], to=directions[1 - changed])
    return directions


def _random(model: nn.Module, settings: DirectionSettings, axis: int) -> Direction:
    return create_random_direction(
        model, settings.dir_type, settings.ignore, settings.normalize, settings.seed, axis
    )


def _target(model: nn.Module, settings: DirectionSettings, axis: int) -> Direction:
    path = str(settings.model)
    state = load_state(path)
    name = "/".join(Path(path).parts[-2:])  # model.pt alone would say little
    return toward(model, state, settings.dir_type, align=settings.align, name=name)


def toward(
    model: nn.Module,
    target: nn.Module | Mapping[str, Tensor],
    dir_type: str,
    *,
    align: str,
    name: str,
) -> Direction:
    """Point to another model, permuted before where that is asked.

    Args:
        model: The network at its trained weights.
        target: The other one.
        dir_type: ``weights`` or ``states``.
        align: ``none``, or ``permutation``: see ``landscape_lib.between.matching.align``.
        name: What pictures call the other one.

    Raises:
        InputError: If ``align`` is unknown, or the two are not of one network.
    """
    if align not in ALIGNS:
        raise InputError(f"Unknown align {align!r}; choose one of {sorted(ALIGNS)}.")
    found = create_target_direction(model, ALIGNS[align](model, target), dir_type)
    return replace(found, attributes={**found.attributes, "model": name, "align": align})


def _file(model: nn.Module, settings: DirectionSettings, axis: int) -> Direction:
    directions = load_directions(str(settings.path), model)
    if axis >= len(directions):
        raise InputError(f"{settings.path}: it holds one direction, but the grid has two axes.")
    found = directions[axis]  # it may have been made orthogonal to what is no axis here
    told = {name: entry for name, entry in found.attributes.items() if name != "along"}
    return replace(found, attributes=told)


def _components(model: nn.Module, settings: Sequence[DirectionSettings]) -> dict[int, Direction]:
    """Return the directions of axes of kind ``pca``, by their axis.

    The n-th axis with the same checkpoints has their n-th component.
    """
    axes_of: dict[tuple[str, ...], list[int]] = {}
    for axis, one in enumerate(settings):
        if one.kind == "pca" and one.checkpoints is not None:
            axes_of.setdefault(one.checkpoints, []).append(axis)
    found: dict[int, Direction] = {}
    for checkpoints, axes in axes_of.items():
        states = open_states(checkpoints)
        made = create_pca_directions(model, states, len(axes), settings[axes[0]].dir_type)
        found |= dict(zip(axes, made, strict=True))
    return found


ALIGNS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "none": lambda model, target: target,
    "permutation": align_units,
}
_MAKERS = {"random": _random, "target": _target, "file": _file}


def load_state(path: str, *, mapped: bool = False) -> dict[str, Tensor]:
    """Read a state_dict onto the CPU, wherever its tensors were saved from.

    A checkpoint that holds one under ``state_dict`` or ``model`` gives that one.

    Args:
        path: The file.
        mapped: Leave the numbers in the file until they are used, and only then; the file must
            stay as it is meanwhile.  One that torch wrote before version 1.6 is read whole.

    Raises:
        InputError: If the file is missing, cannot be read, or holds no state_dict.
    """
    try:
        mmap = mapped and zipfile.is_zipfile(path)
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file.") from error
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a state_dict: {error}") from None
    for name in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict) or not any(torch.is_tensor(t) for t in found.values()):
        raise InputError(
            f"{path}: it holds a {type(found).__name__}; wanted a state_dict of the same network."
        )
    return found


def open_states(named: Sequence[str]) -> Mapping[str, Mapping[str, Tensor]]:
    """Map the state_dicts of checkpoints into memory, by their paths in the order of training.

    Raises:
        InputError: If one cannot be read, or a pattern fits no file.
    """
    return {path: load_state(path, mapped=True) for path in files_of(named)}
