"""How shards become the surface, and what the surface file says of itself."""

import datetime
import logging
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from landscape_lib.config import Experiment
from landscape_lib.core.errors import DisagreementError
from landscape_lib.core.surface import Label, Surface, merge
from landscape_lib.steps.report import read_probe
from landscape_lib.utils.hashing import canonical
from landscape_lib.utils.storage import directions_attributes, load_shard, save_surface
from landscape_lib.viz.names import file_name

log = logging.getLogger(__name__)

PACKAGES = ("landscape-lib", "torch", "numpy", "h5py", "snakemake")
PICTURES = ("_2dcontour", "_2dcontourf", "_2dheat", "_3dsurface", "_1d")


def merge_shards(experiment: Experiment, shards: Sequence[Path | str], out: Path | str) -> None:
    """Merge a run's shards into its surface file; put pictures of vanished metrics aside.

    Raises:
        DisagreementError: If a point is missing or came twice with different values, or a shard
            is of another run or grid.
    """
    surface = merge(load_shard(path) for path in shards)
    if surface.grid != experiment.grid:
        raise DisagreementError(
            f"The shards are of the grid {surface.grid.axes}, the config's is "
            f"{experiment.grid.axes}. Type the same command again."
        )
    report = read_probe(experiment.path("probe.json"))
    labels = {key: Label(**label) for key, label in report["labels"].items()}
    attributes = {**surface.attributes, **_provenance(experiment), "shards": len(shards)}
    save_surface(out, replace(surface, attributes=attributes, labels=labels))
    _put_aside(experiment, surface)
    log.info("%s: %d points, %s", experiment.name, surface.grid.size, ", ".join(surface.keys))


def _provenance(experiment: Experiment) -> dict[str, Any]:
    directions = directions_attributes(experiment.path("directions.h5"))
    config = {
        part: experiment.settings(part) for part in ("problem", "grid", "directions", "evaluation")
    }
    found: dict[str, Any] = {
        "run": experiment.name,
        "config": canonical(config),
        "seed": canonical([settings.seed for settings in experiment.directions]),
        "directions": str(directions.get("content", "")),
        "versions": canonical({name: version(name) for name in PACKAGES}),
        "git_revision": _git_revision(),
        "host": platform.node(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if "cosine" in directions:
        found["cosine"] = float(directions["cosine"])
    return found


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


def _put_aside(experiment: Experiment, surface: Surface) -> None:
    """Move pictures and .vtp of metrics that the surface no longer has to ``stale/``."""
    keys = {file_name(key) for key in surface.keys}
    for folder, endings in (("figures", PICTURES), ("paraview", ("",))):
        for path in sorted(experiment.path(folder).glob("*.*")):
            owners = {path.stem.removesuffix(end) for end in endings if path.stem.endswith(end)}
            if owners and not owners & keys:
                aside = experiment.path("stale", folder, path.name)
                aside.parent.mkdir(parents=True, exist_ok=True)
                path.replace(aside)
                log.warning("%s is of a metric that is gone; moved to %s.", path, aside)
