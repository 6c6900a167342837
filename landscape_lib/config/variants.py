"""Runs that a run brings along: the same in all but one respect, to be seen beside it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from landscape_lib.config.experiment import Experiment, Frame
from landscape_lib.config.layers import Written
from landscape_lib.config.mistakes import Mistakes
from landscape_lib.config.settings import DirectionSettings, ProblemSettings

_OF_FILMS = ("frames", "film")
_WITH_STATES = ("random", "target")  # kinds of directions that can move running statistics


def with_variants(
    run: Experiment, asked: ProblemSettings, own: Written, mistakes: Mistakes
) -> list[Experiment]:
    """Return a run, and those that one of ``_MAKERS`` asks for beside it.

    A variant is another run in everything that follows: a folder, a journal, pictures of its own.
    The run itself stays what it is, and alone trains its model.
    """
    for name in _OF_FILMS:
        if own[name].value is not None and not asked.over_training:
            wanted = "only beside over_training, the checkpoints to draw"
            mistakes.add(own[name].path, own[name].value, wanted)
    wishes = [name for name in _MAKERS if getattr(asked, name)]
    if len(wishes) > 1:
        told = f"one of {', '.join(_MAKERS)} in a run"
        mistakes.say(own[wishes[-1]].path, f"beside {' and '.join(wishes[:-1])}", told)
        return [run]
    besides = [one for name in wishes for one in _MAKERS[name](run, asked, own[name], mistakes)]
    names = tuple(one.name for one in besides)
    if asked.seeds and names:
        run = replace(run, members=(run.name, *names))
    if asked.over_training:
        run = replace(run, frames=names, film=asked.film)
    return [run, *besides]


def _seeds(
    run: Experiment, wishes: ProblemSettings, asked: Written, mistakes: Mistakes
) -> Iterator[Experiment]:
    """Yield the run with its other seeds: those of its random axes, raised by 1, 2, ..."""
    count = wishes.seeds or 1
    if not any(one.kind == "random" for one in run.directions):
        mistakes.say(asked.path, f"{count} without a random direction", "kind 'random' on an axis")
    elif run.auto:
        mistakes.say(asked.path, f"{count} beside 'auto'", "ends in numbers: all share one grid")
    elif run.refinement:
        wanted = "grid.mode 'full': a mean over seeds takes every seed's value at every point"
        mistakes.say(asked.path, f"{count} beside an adaptive grid", wanted)
    else:
        yield from (_reseeded(run, more) for more in range(1, count))


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


def _ways(
    run: Experiment, wishes: ProblemSettings, asked: Written, mistakes: Mistakes
) -> Iterator[Experiment]:
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
    run: Experiment, wishes: ProblemSettings, asked: Written, mistakes: Mistakes
) -> Iterator[Experiment]:
    if any(one.layers for one in run.directions):
        mistakes.say(asked.path, "a list beside directions.layers", "one of the two")
        return
    for glob in wishes.per_layer or ():
        ending = re.sub(r"[^A-Za-z0-9_.-]+", "-", glob).strip("-.")
        if glob.startswith("!") or not ending:
            mistakes.add(asked.path, glob, "globs that name something, as 'layer3.*'")
        else:
            yield _changed(run, ending, {"layers": (glob,)})


def _frames(
    run: Experiment, wishes: ProblemSettings, asked: Written, mistakes: Mistakes
) -> Iterator[Experiment]:
    """Give each moment of a training a run around its checkpoint, along the film's directions."""
    if any(one.curve != "none" for one in run.directions):
        mistakes.say(asked.path, "checkpoints beside directions.curve", "one of the two")
        return
    digits = max(2, len(str(wishes.frames - 1)))
    along = DirectionSettings(kind="file", path=run.path("directions.h5").as_posix())
    for number in range(wishes.frames):
        yield replace(
            _changed(run, f"t{number:0{digits}d}"),
            directions=tuple(
                along.model_copy(update={"dir_type": one.dir_type}) for one in run.directions
            ),
            trajectory={},
            frame=Frame(run.name, wishes.over_training or (), number, wishes.frames),
        )


_MAKERS: Mapping[
    str, Callable[[Experiment, ProblemSettings, Written, Mistakes], Iterator[Experiment]]
] = {
    "compare_batch_norm": _ways,
    "per_layer": _layers,
    "seeds": _seeds,
    "over_training": _frames,
}
