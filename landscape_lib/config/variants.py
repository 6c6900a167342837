"""Runs that a run brings along: the same in all but one respect, to be seen beside it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from landscape_lib.config.experiment import Experiment
from landscape_lib.config.layers import Written
from landscape_lib.config.mistakes import Mistakes
from landscape_lib.config.settings import ProblemSettings

_ASKS = ("compare_batch_norm", "per_layer", "seeds")  # what brings runs along
_WITH_STATES = ("random", "target")  # kinds of directions that can move running statistics


def with_variants(
    run: Experiment, asked: ProblemSettings, own: Written, mistakes: Mistakes
) -> list[Experiment]:
    """Return a run, and those that ``compare_batch_norm``, ``per_layer``, ``seeds`` ask for.

    A variant is another run in everything that follows: a folder, a journal, pictures of its own.
    The run itself stays what it is, and alone trains its model.
    """
    given = [name for name in _ASKS if getattr(asked, name)]
    if len(given) > 1:
        told = f"one of {', '.join(_ASKS)} in a run"
        mistakes.say(own[given[-1]].path, f"beside {' and '.join(given[:-1])}", told)
        return [run]
    if asked.seeds:
        return _seeds(run, asked.seeds, own["seeds"], mistakes)
    if asked.compare_batch_norm:
        return [run, *_ways(run, own["compare_batch_norm"], mistakes)]
    if asked.per_layer:
        return [run, *_layers(run, asked.per_layer, own["per_layer"], mistakes)]
    return [run]


def _seeds(run: Experiment, count: int, asked: Written, mistakes: Mistakes) -> list[Experiment]:
    """Return the run with each of its seeds: those of its random axes, raised by 0, 1, 2, ..."""
    if not any(one.kind == "random" for one in run.directions):
        mistakes.say(asked.path, f"{count} without a random direction", "kind 'random' on an axis")
        return [run]
    if run.auto:
        mistakes.say(asked.path, f"{count} beside 'auto'", "ends in numbers: all share one grid")
        return [run]
    others = [_reseeded(run, more) for more in range(1, count)]
    return [replace(run, members=(run.name, *(one.name for one in others))), *others]


def _reseeded(run: Experiment, more: int) -> Experiment:
    own = [one.seed for one in run.directions if one.kind == "random"]
    changed = _changed(run, f"seed{own[0] + more}")
    directions = (
        one.model_copy(update={"seed": one.seed + more}) if one.kind == "random" else one
        for one in run.directions
    )
    return replace(changed, directions=tuple(directions))


def _changed(run: Experiment, ending: str, directions: Any = None, **evaluation: Any) -> Experiment:
    return replace(
        run,
        name=f"{run.name}_{ending}",
        train=None,
        directions=tuple(one.model_copy(update=directions or {}) for one in run.directions),
        evaluation=run.evaluation.model_copy(update=evaluation),
    )


def _frozen(run: Experiment) -> Experiment:
    return _changed(run, "frozen", {"dir_type": "weights"}, batch_norm="frozen")


def _reestimated(run: Experiment) -> Experiment:
    return _changed(run, "reestimated", {"dir_type": "weights"}, batch_norm="reestimated")


def _states(run: Experiment) -> Experiment:
    """Move the statistics as well, and nothing else that stood still before."""
    found = _changed(run, "states", {"dir_type": "states"}, batch_norm="frozen")
    moving = {"ignore": "biasbn_parameters"}
    directions = (
        one.model_copy(update=moving) if one.ignore == "biasbn" else one for one in found.directions
    )
    return replace(found, directions=tuple(directions))


_WAYS: dict[str, Callable[[Experiment], Experiment]] = {
    "frozen": _frozen,
    "reestimated": _reestimated,
    "states": _states,
}


def way_of(run: Experiment) -> str:
    """Return what becomes of a run's batch norms: ``frozen``, ``reestimated`` or ``states``."""
    moving = any(one.dir_type == "states" for one in run.directions)
    return "states" if moving else run.evaluation.batch_norm


def _ways(run: Experiment, asked: Written, mistakes: Mistakes) -> Iterator[Experiment]:
    strange = [one.kind for one in run.directions if one.kind not in _WITH_STATES]
    if strange:
        wanted = f"with directions of kind {' and '.join(map(repr, _WITH_STATES))} only"
        mistakes.say(asked.path, f"true beside kind {strange[0]!r}", wanted)
        return
    if run.evaluation.curvature:
        wanted = "one of compare_batch_norm and evaluation.curvature in a run"
        mistakes.say(asked.path, "true beside evaluation.curvature", wanted)
        return
    yield from (make(run) for way, make in _WAYS.items() if way != way_of(run))


def _layers(
    run: Experiment, globs: tuple[str, ...], asked: Written, mistakes: Mistakes
) -> Iterator[Experiment]:
    if any(one.layers for one in run.directions):
        mistakes.say(asked.path, "a list beside directions.layers", "one of the two")
        return
    for glob in globs:
        ending = re.sub(r"[^A-Za-z0-9_.-]+", "-", glob).strip("-.")
        if glob.startswith("!") or not ending:
            mistakes.add(asked.path, glob, "globs that name something, as 'layer3.*'")
        else:
            yield _changed(run, ending, {"layers": (glob,)})
