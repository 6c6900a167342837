"""Which way a run walks: its directions drawn once from the seed, and kept."""

import logging
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
    movable,
    only_in_layers,
    orthogonalize,
    refuse_bent,
)
from landscape_lib.core.errors import InputError
from landscape_lib.core.files import write_text
from landscape_lib.core.plan import Plan, choose_device
from landscape_lib.core.trajectory import create_pca_directions
from landscape_lib.problems.checkpoint import named_like, read_state
from landscape_lib.steps.bench import Bench, problem_of, set_up
from landscape_lib.steps.bending import bent
from landscape_lib.steps.eigendirections import hessian_directions
from landscape_lib.steps.gpus import own_gpu
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
    if _needs_data(experiment):
        with own_gpu(choose_device(experiment.evaluation.device), pause):
            bench = set_up(experiment)
            model = bench.problem.model
            directions = directions_of(experiment, model, bench, pause)
    else:
        model = problem_of(experiment).model
        directions = directions_of(experiment, model)
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


def directions_of(
    experiment: Experiment,
    model: nn.Module,
    bench: Bench | None = None,
    pause: Callable[[], None] = lambda: None,
) -> list[Direction]:
    """Return one direction an axis, as the run asks for them.

    Args:
        experiment: The run.
        model: At its trained weights.
        bench: The model's problem with its samples; only eigenvectors of the Hessian and bends of
            paths need it.
        pause: Called now and then during long work; may raise to abandon it.

    Raises:
        InputError: If one cannot be made.
    """
    ready = _eigenvectors(experiment, bench, pause) if bench else {}
    ready |= _components(model, experiment.directions)
    directions = [
        _made(model, settings, axis, ready.get(axis))
        for axis, settings in enumerate(experiment.directions)
    ]
    if bench is not None and _bends(experiment.directions[0]):
        plan, folder = bench.exact(_plan(experiment)), experiment.path("journal")
        directions = [bent(bench, plan, directions[0], experiment.directions[0], folder, pause)]
    if len(directions) > 1:
        refuse_bent(directions, "be an axis of a plane")  # it may come from a file
    return _orthogonal(directions, experiment.directions)


def _made(
    model: nn.Module, settings: DirectionSettings, axis: int, ready: Direction | None
) -> Direction:
    direction = _MAKERS[settings.kind](model, settings, axis) if ready is None else ready
    return only_in_layers(direction, settings.layers) if settings.layers else direction


def _needs_data(experiment: Experiment) -> bool:
    return any(one.kind == "hessian" or _bends(one) for one in experiment.directions)


def _bends(settings: DirectionSettings) -> bool:
    return settings.kind == "target" and settings.curve != "none"


def _plan(experiment: Experiment) -> Plan:
    """Return where and how derivatives are taken."""
    wishes = experiment.evaluation
    size = None if wishes.batch_size == "auto" else int(wishes.batch_size)
    device = choose_device(wishes.device)
    return Plan(device, wishes.precision, size, torch.get_num_threads())


def _eigenvectors(
    experiment: Experiment, bench: Bench, pause: Callable[[], None]
) -> dict[int, Direction]:
    """Return the axes that are eigenvectors of the Hessian, all from one iteration.

    Raises:
        InputError: If a direction is to move more than weights.
    """
    curved = {a: s for a, s in enumerate(experiment.directions) if s.kind == "hessian"}
    if not curved:
        return {}
    if any(settings.dir_type != "weights" for settings in curved.values()):
        raise InputError("Directions of kind 'hessian' move weights: say dir_type: weights.")
    numbers = {axis: settings.eigenvector or axis + 1 for axis, settings in curved.items()}
    samples = next(iter(curved.values())).samples
    return hessian_directions(bench, bench.exact(_plan(experiment)), numbers, samples, pause)


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
    state = named_like(read_state(path), movable(model, settings.dir_type), path)
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
    _refuse_unfitting(model, directions[axis], settings)
    found = directions[axis]  # it may have been made orthogonal to what is no axis here
    told = {name: entry for name, entry in found.attributes.items() if name != "along"}
    return replace(found, attributes=told)


def _refuse_unfitting(model: nn.Module, found: Direction, settings: DirectionSettings) -> None:
    """Refuse a direction that was made for another network: what it moves must be there.

    Raises:
        InputError: If a tensor has another shape than the model's, or the model has none.
    """
    known = movable(model)
    if not known.keys() >= set(found.names):
        known = known | movable(model, "states")
    there = {name: tuple(tensor.shape) for name, tensor in known.items()}
    for name, tensor in zip(found.names, found, strict=True):
        if there.get(name) != tuple(tensor.shape):
            raise InputError(
                f"{settings.path}: its tensor {name!r} has the shape {tuple(tensor.shape)}; the "
                f"model's has {there.get(name, 'none of that name')}. It belongs to another "
                "network."
            )
        if not tensor.is_floating_point():
            raise InputError(
                f"{settings.path}: its tensor {name!r} holds {tensor.dtype}; wanted floating-point "
                "numbers."
            )


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
        states = open_states(checkpoints, model)
        made = create_pca_directions(model, states, len(axes), settings[axes[0]].dir_type)
        found |= dict(zip(axes, made, strict=True))
    return found


ALIGNS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "none": lambda model, target: target,
    "permutation": align_units,
}
_MAKERS = {"random": _random, "target": _target, "file": _file}


def open_states(named: Sequence[str], model: nn.Module) -> Mapping[str, Mapping[str, Tensor]]:
    """Map the state_dicts of checkpoints into memory, by their paths in the order of training.

    Names come without the prefix that training programs put before the model's own.

    Raises:
        InputError: If one cannot be read, or a pattern fits no file.
    """
    wanted = movable(model)
    return {
        path: named_like(read_state(path, mapped=True), wanted, path) for path in files_of(named)
    }
