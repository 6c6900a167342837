"""What a surface's file says of how it came about, as what can be computed with again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape_lib.config import DirectionSettings, EvaluationSettings, Experiment, Frame
from landscape_lib.core.errors import InputError
from landscape_lib.core.plan import Plan
from landscape_lib.core.spec import recorded
from landscape_lib.core.surface import Surface
from landscape_lib.steps.report import read_probe


def recorded_run(surface: Surface, path: Path | str) -> Experiment:
    """Return the run that a surface of the pipeline is of, as its file has it.

    Raises:
        InputError: If it is no surface of the pipeline's.
    """
    told = json.loads(surface.attributes.get("config", "{}"))
    if "problem" not in told:
        kind = "the library" if told else "another tool"
        raise InputError(
            f"{path}: a surface of {kind}, which names no function that builds its model. "
            "LossLandscape(model, data, ..., surf_file=...).verify() verifies the library's; those "
            "of other tools do not say what they are of."
        )
    problem, evaluation, directions = (
        json.loads(told[part]) for part in ("problem", "evaluation", "directions")
    )
    name, checkpoint = str(surface.attributes["run"]), surface.attributes.get("checkpoint")
    return Experiment(
        name=name,
        problem=problem["problem"],
        grid=surface.grid,
        args=problem["args"],
        files=tuple(problem["files"]),
        directions=tuple(DirectionSettings.model_validate(one) for one in directions.values()),
        evaluation=EvaluationSettings.model_validate(evaluation),
        metrics=recorded(json.loads(told["metrics"])) if "metrics" in told else None,
        frame=None if checkpoint is None else Frame(name, (str(checkpoint),), 0, 1),
    )


def recorded_plans(surface: Surface) -> list[Plan]:
    """Return the plans that a surface says it was evaluated with; none of other tools' files."""
    plans = surface.attributes.get("plans") or ()
    told = json.loads(plans) if isinstance(plans, str) else plans
    return [Plan(**json.loads(plan)) for plan in told]


def recorded_problem(surface: Surface, path: Path | None = None) -> Mapping[str, Any]:
    """Return what the problem was, part by part, as ``problem_fingerprint`` has it.

    Args:
        surface: A surface.
        path: Its file, beside which an older one has it, in ``probe.json``.

    Returns:
        Nothing where neither says.
    """
    found = surface.attributes.get("problem")
    if found is not None:
        return dict(json.loads(found) if isinstance(found, str) else found)
    probe = path.with_name("probe.json") if path else None
    return dict(read_probe(probe)["problem"]) if probe and probe.exists() else {}
