"""What a surface file says of how it came about."""

import datetime
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from landscape_lib.config import Experiment
from landscape_lib.utils.hashing import canonical
from landscape_lib.utils.storage import axes_attributes, directions_attributes

PARTS = ("problem", "grid", "directions", "evaluation")
PACKAGES = ("landscape-lib", "torch", "numpy", "h5py", "snakemake")


def provenance(
    run: str,
    config: Mapping[str, Any],
    seeds: Sequence[Any],
    directions: Mapping[str, Any],
    axes: Sequence[Mapping[str, Any]],
    problem: Mapping[str, Any],
    weights: str,
) -> dict[str, Any]:
    """Return the attributes of a surface that say where it comes from.

    Args:
        run: The run's name.
        config: What was asked for, part by part.
        seeds: Of the directions, one an axis; None where an axis has none.
        directions: What the direction file says of itself: ``content`` and ``cosine``.
        axes: What each direction says of itself: its kind, what it explains.
        problem: What decided the values beside directions and plan, part by part.
        weights: The types in which the model came, as ``bfloat16``.
    """
    found: dict[str, Any] = {
        "run": run,
        "config": canonical(config),
        "seed": canonical(list(seeds)),
        "directions": str(directions.get("content", "")),
        "axis_directions": canonical([dict(axis) for axis in axes]),
        "problem": canonical(problem),
        "weights": weights,
        "versions": canonical({name: _version(name) for name in PACKAGES}),
        "git_revision": _git_revision(),
        "host": platform.node(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if "cosine" in directions:
        found["cosine"] = float(directions["cosine"])
    return found


def run_provenance(experiment: Experiment, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same of a run of a config, whose directions are made.

    Args:
        experiment: The run.
        report: What its probe found.
    """
    path, frame = experiment.path("directions.h5"), experiment.frame
    parts = (*PARTS, "metrics") if experiment.metrics else PARTS
    moment = {} if frame is None else {"checkpoint": frame.checkpoint}
    rounding = {"rounding": canonical(report["rounding"])} if "rounding" in report else {}
    return (
        moment
        | rounding
        | provenance(
            experiment.name,
            {part: experiment.settings(part) for part in parts},
            [settings.seed for settings in experiment.directions],
            directions_attributes(path),
            axes_attributes(path),
            report["problem"],
            str(report.get("weights", "")),  # of a probe of an earlier version nothing is known
        )
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a clone on the path, not installed
        return ""


def _git_revision() -> str:
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
    ]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
