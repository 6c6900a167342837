"""How shards become the surface, and what the surface file says of itself."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from landscape_lib.config import Experiment
from landscape_lib.core.errors import DisagreementError
from landscape_lib.core.plan import Plan
from landscape_lib.core.surface import Label, Surface, merge
from landscape_lib.steps.dependencies import film_targets, picture_targets, seeds_targets
from landscape_lib.steps.extent import with_range
from landscape_lib.steps.provenance import run_provenance
from landscape_lib.steps.report import read_probe
from landscape_lib.steps.rounds import all_rounds, completed_surface
from landscape_lib.utils.hashing import points_fingerprint
from landscape_lib.utils.storage import (
    directions_attributes,
    load_shard,
    save_surface,
)

log = logging.getLogger(__name__)

ENDINGS = ("pdf", "png", "svg", "vtp", "gif", "mp4", "pvd")
FOLDERS = (
    "figures",
    "paraview",
    "paraview/trajectory",
    "over_training",
    "paraview/over_training",
)
FILES = ("seeds.h5", "over_training.html")


def shard_paths(experiment: Experiment, of: int) -> list[Path]:
    """Return the files of a run's shards: so many, or those of all rounds of an adaptive grid."""
    if experiment.refinement:
        return [path for one in all_rounds(experiment) for path in one.paths(experiment.folder)]
    return [experiment.path("shards", f"{k}-of-{of}.h5") for k in range(of)]


def merge_shards(experiment: Experiment, shards: Sequence[Path | str], out: Path | str) -> None:
    """Merge a run's shards into its surface file; put pictures of vanished metrics aside.

    What lies between the points of an adaptive grid is interpolated.

    Raises:
        DisagreementError: If a point is missing or came twice with different values, or a shard
            is of another run or grid.
    """
    experiment = with_range(experiment)
    rounds = [one.round for one in all_rounds(experiment)] if experiment.refinement else None
    wanted = None if rounds is None else [index for one in rounds for index in one.indices]
    surface = merge((load_shard(path) for path in shards), wanted)
    if surface.grid != experiment.grid:
        raise DisagreementError(
            f"The shards are of the grid {surface.grid.axes}, the config's is "
            f"{experiment.grid.axes}. Type the same command again."
        )
    surface.grid.warn_of_missed_centre()
    report = read_probe(experiment.path("probe.json"))
    _refuse_other_problem(experiment, surface, report)
    labels = {key: Label(**label) for key, label in report["labels"].items()}
    attributes = {**surface.attributes, **run_provenance(experiment, report), "shards": len(shards)}
    surface = replace(surface, attributes=attributes, labels=labels)
    if experiment.refinement and rounds:
        surface = completed_surface(surface, rounds, experiment.refinement, experiment.name)
    save_surface(out, surface)
    _put_aside(experiment, surface)
    log.info("%s: %d points, %s", experiment.name, surface.grid.size, ", ".join(surface.keys))


def _refuse_other_problem(
    experiment: Experiment, surface: Surface, report: Mapping[str, Any]
) -> None:
    """Refuse shards that an older process wrote for another model, directions or plan.

    Raises:
        DisagreementError: If they are.
    """
    content = str(directions_attributes(experiment.path("directions.h5"))["content"])
    wanted = points_fingerprint(
        report["problem"]["fingerprint"], content, Plan(**report["plan"]).canonical()
    )
    if surface.attributes["fingerprint"] != wanted:
        raise DisagreementError(
            f"{experiment.name}: the shards are of another problem, directions or plan; an older "
            f"process may have written them. rm -r {experiment.path('shards')}, and type the same "
            "command again."
        )


def _put_aside(experiment: Experiment, surface: Surface) -> None:
    """Move to ``stale/`` what shows another surface: a vanished metric, other kinds, formats.

    Likewise seeds and frames of a run that has none any more.
    """
    keys = surface.keys
    targets = [*picture_targets(experiment, keys), *film_targets(experiment, keys)]
    wanted = {Path(target) for target in (*targets, *seeds_targets(experiment))}
    drawn = [path for folder in FOLDERS for path in sorted(experiment.path(folder).glob("*.*"))]
    found = [path for path in drawn if path.suffix[1:] in ENDINGS]
    found += [path for path in map(experiment.path, FILES) if path.exists()]
    for path in found:
        if path not in wanted:
            aside = experiment.path("stale") / path.relative_to(experiment.folder)
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
            log.warning("%s does not belong to this surface; moved to %s.", path, aside)
