"""How a run's own keys and the defaults for all runs become one experiment."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from landscape_lib.config.directions import directions, split
from landscape_lib.config.experiment import Experiment
from landscape_lib.config.layers import Layer, Written, build, layer, merged
from landscape_lib.config.metrics import metrics
from landscape_lib.config.mistakes import Mistakes, below, spelled
from landscape_lib.config.settings import (
    AXES,
    NAME,
    SECTIONS,
    ComparisonSettings,
    DirectionSettings,
    EvaluationSettings,
    FigureSettings,
    GridSettings,
    ParaviewSettings,
    ProblemSettings,
    Train,
    VerdictSettings,
)
from landscape_lib.config.variants import with_variants

ONLY_IN_RUNS = (*ProblemSettings.model_fields, "train")
_RUNS = "a mapping with at least one run"
_NAMES = "up to 100 of A-Z a-z 0-9 . _ -, not starting with . or -"


def assemble(tree: Mapping[Any, Any], mistakes: Mistakes) -> dict[str, Experiment]:
    """Return every run of a config that is right; ``mistakes`` grows by what is wrong."""
    _check_keys(tree, mistakes)
    whole = Written(tree, "")
    _check_defaults(whole, mistakes)
    named = tree.get("runs")
    if "runs" not in tree:
        mistakes.missing("runs", _RUNS)
    elif not isinstance(named, dict) or not named:
        mistakes.add("runs", named, _RUNS)
    if not isinstance(named, dict):
        return {}
    _check_names(list(named), mistakes)
    runs: dict[str, Experiment] = {}
    for name in named:
        for run in _runs(name, whole["runs"][name], whole, mistakes):
            if run.name != name:
                _check_variant(run.name, [*named, *runs], whole["runs"][name], mistakes)
            runs[run.name] = run
    return runs


def _check_variant(name: str, others: Sequence[Any], own: Written, mistakes: Mistakes) -> None:
    """Refuse the name of a variant that another run has, or that makes no folder."""
    taken = name.lower() in [str(other).lower() for other in others]
    if taken or not re.fullmatch(NAME, name):
        told = f"a run besides, called {spelled(name)}"
        mistakes.say(own.path, told, "a name that no other run has" if taken else _NAMES)


def _check_keys(tree: Mapping[Any, Any], mistakes: Mistakes) -> None:
    known = ("runs", *SECTIONS, "metrics", "comparison")
    for key in tree:
        if key in ONLY_IN_RUNS:
            mistakes.say(key, "a key that only a run has", "below the name of a run")
        elif key not in known:
            mistakes.unknown("", key, known)


def _check_defaults(whole: Written, mistakes: Mistakes) -> None:
    """Check the defaults by themselves, too: the runs may hide what is wrong with them."""
    for name, model in SECTIONS.items():
        if model is DirectionSettings:
            parts = list((split(whole[name], mistakes) or {}).values())
        else:
            parts = [layer(whole[name], tuple(model.model_fields), mistakes) or {}]
        for part in parts:
            build(model, part, mistakes)
    metrics(whole["metrics"], mistakes)


def _check_names(names: Sequence[Any], mistakes: Mistakes) -> None:
    folded: dict[str, str] = {}
    for name in names:
        path, found = below("runs", name), f"the name {spelled(name)}"
        if not isinstance(name, str):
            mistakes.say(path, found, "a string; put it in quotes")
        elif not re.fullmatch(NAME, name):
            mistakes.say(path, found, _NAMES)
        elif name.lower() == "comparison":
            mistakes.say(path, found, "another name: the pictures of all runs have that one")
        elif folded.setdefault(name.lower(), name) != name:
            other = folded[name.lower()]
            mistakes.say(path, found, f"names that differ from {other!r} in more than case")


def _runs(name: str, own: Written, whole: Written, mistakes: Mistakes) -> list[Experiment]:
    """Return a run, and those that it brings along; none where something is wrong."""
    known = layer(own, (*ONLY_IN_RUNS, *SECTIONS, "metrics"), mistakes)
    if known is None:
        return []
    head = {key: entry for key, entry in known.items() if key in ProblemSettings.model_fields}
    problem = build(ProblemSettings, head, mistakes, own.path)
    train = _train(own["train"], mistakes)
    grid = _grid(own, whole, mistakes)
    axes = AXES[:1] if grid is not None and grid.y is None else AXES
    found = directions(whole["directions"], own["directions"], axes, mistakes)
    _refuse_auto_targets(grid, found, own, mistakes)
    evaluation, _ = merged(EvaluationSettings, whole["evaluation"], own["evaluation"], mistakes)
    figures = _figures(own, whole, mistakes)
    paraview, _ = merged(ParaviewSettings, whole["paraview"], own["paraview"], mistakes)
    asked = metrics(own["metrics"] if "metrics" in known else whole["metrics"], mistakes)
    verdict, _ = merged(VerdictSettings, whole["verdict"], own["verdict"], mistakes)
    if not (problem and grid and found and evaluation and figures and paraview and verdict):
        return []
    _refuse_two_ways(found, evaluation, own, mistakes)
    run = Experiment(
        name=name,
        problem=problem.problem,
        grid=grid.grid,
        args=problem.args,
        files=problem.files,
        trajectory=problem.trajectory,
        train=train,
        shards=grid.shards,
        directions=found,
        evaluation=evaluation,
        figures=figures,
        paraview=paraview,
        verdict=verdict,
        auto=grid.auto,
        metrics=asked,
        refinement=grid.refinement,
    )
    return with_variants(run, problem, own, mistakes)


def _refuse_two_ways(
    found: Sequence[DirectionSettings],
    evaluation: EvaluationSettings,
    own: Written,
    mistakes: Mistakes,
) -> None:
    """Refuse statistics that are estimated anew, where they move or hold still by another wish."""
    if evaluation.batch_norm == "frozen":
        return
    reasons = []
    if any(one.dir_type == "states" for one in found):
        reasons.append("where dir_type is 'states': it moves the same running statistics")
    if evaluation.curvature or any(one.kind == "hessian" for one in found):
        reasons.append("beside curvature and kind 'hessian': derivatives hold statistics")
    for reason in reasons:
        place = own["evaluation"]["batch_norm"].path
        mistakes.add(place, evaluation.batch_norm, f"'frozen' {reason}")


def comparison_of(
    tree: Mapping[Any, Any], runs: Sequence[str], mistakes: Mistakes
) -> ComparisonSettings | None:
    """Return how runs are compared: what ``figures`` says for all, under ``comparison``'s own.

    Args:
        tree: The whole config.
        runs: Names of the runs that are right, with those that are brought along.
        mistakes: Grows by what is wrong.
    """
    whole = Written(tree, "")
    own = whole["comparison"]
    figures = layer(whole["figures"], tuple(FigureSettings.model_fields), Mistakes()) or {}
    shared = Written({key: entry.value for key, entry in figures.items()}, "figures")
    found, told = merged(ComparisonSettings, shared, own, mistakes)
    if found is None:
        return None
    _check_bounds(found, told, mistakes)
    named = tree.get("runs")
    written = [str(name) for name in named] if isinstance(named, dict) else []
    known = list(dict.fromkeys([*written, *runs]))
    for entry, names in [
        (own["runs"], found.runs or ()),
        *((own["groups"][group], names) for group, names in found.groups.items()),
    ]:
        for name in names:
            if name not in known or names.count(name) > 1:
                mistakes.add(entry.path, name, f"names of runs, each once: {', '.join(known)}")
    return found


def _train(own: Written, mistakes: Mistakes) -> Train | None:
    if own.value is None:
        return None
    return merged(Train, Written(None, own.path), own, mistakes)[0]


def _grid(own: Written, whole: Written, mistakes: Mistakes) -> GridSettings | None:
    grid, written = merged(GridSettings, whole["grid"], own["grid"], mistakes)
    if grid is None:
        return None
    size = grid.grid.size
    if grid.shards != "auto" and grid.shards > size:
        allowed = f"'auto', 1 to {size}, the number of points of {own.path}"
        mistakes.add(written["shards"].path, grid.shards, allowed)
    if grid.y is None and grid.mode == "adaptive":
        allowed = f"'full', since {own.path} has no y: a curve is evaluated whole"
        mistakes.add(written["mode"].path, grid.mode, allowed)
    if grid.y is None and own["directions"]["y"].value is not None:
        mistakes.say(
            own["directions"]["y"].path,
            "a direction for y",
            f"x alone, since {own['grid'].path} has no y: it is a curve",
        )
    return grid


def _refuse_auto_targets(
    grid: GridSettings | None,
    found: Sequence[DirectionSettings] | None,
    own: Written,
    mistakes: Mistakes,
) -> None:
    """Refuse ends that are found by themselves on the way to another model: it lies at 1."""
    if grid is None or found is None:
        return
    for name, direction in zip(AXES, found, strict=False):
        if name in grid.auto and direction.kind == "target":
            mistakes.add(
                own["grid"][name].path,
                "auto",
                "ends that hold 0 and 1, such as [-0.5, 1.5, 41], since the direction leads to "
                "another model",
            )


def _figures(own: Written, whole: Written, mistakes: Mistakes) -> FigureSettings | None:
    figures, written = merged(FigureSettings, whole["figures"], own["figures"], mistakes)
    if figures is not None:
        _check_bounds(figures, written, mistakes)
    return figures


def _check_bounds(figures: FigureSettings, written: Layer, mistakes: Mistakes) -> None:
    low, high = figures.vmin, figures.vmax
    if low is not None and high is not None and not low < high:
        entry = written["vmin"]
        mistakes.add(entry.path, entry.value, f"a number below vmax, which is {high:g}")
