"""Does a surface hold what its model gives: points computed anew, and compared bit by bit."""

import json
import logging
import math
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape_lib import config
from landscape_lib.config import Experiment
from landscape_lib.core import geometry
from landscape_lib.core.direction import Direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.lending import borrowed
from landscape_lib.core.surface import Shard, Surface
from landscape_lib.steps.agreement import TOLERANCE, Row, Verification
from landscape_lib.steps.bench import Bench, set_up, settings_kept
from landscape_lib.steps.directions import directions_of
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.gpus import own_gpu
from landscape_lib.steps.recorded import recorded_plans, recorded_problem, recorded_run
from landscape_lib.utils.hashing import points_fingerprint
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import content_hash, is_a_container, load_directions, load_surface

log = logging.getLogger(__name__)

STEPS = 2  # of an accuracy, each one sample, that rounding may move elsewhere
DECIDES = ("torch", "numpy")  # packages whose versions may change the last bits
SHOWN = 12  # digits of a hash
DRAWN = ("random", "target", "file", "pca")  # kinds of directions that are made without data


def verify(
    path: Path | str,
    points: int | str = 5,
    seed: int | None = None,
    tolerance: float | None = None,
    experiment: Experiment | None = None,
    stops: Stops | None = None,
) -> Verification:
    """Compute random points of a surface anew, from what its file says, and compare them.

    The model, data and code must be what they were, by their fingerprints.  Directions are those
    beside the surface, or drawn again from their seed; their content must be what it was.  Nothing
    is written, and no journal is read.

    Args:
        path: A surface of the pipeline's.
        points: How many, the centre besides where the grid has it; ``"all"``.
        seed: What they are drawn with; None: another one each time.
        tolerance: Relative; None: 0 where the surface was computed on this machine, with the same
            versions of torch and numpy; elsewhere 1e-5, in float64 1e-10, and two samples of an
            accuracy.
        experiment: The run, where another one is meant than the file names, as when paths moved.
        stops: Told when to end.

    Raises:
        InputError: If it cannot be told: the problem or its directions are no longer what they
            were, or the file does not say what they were; or an option makes no sense.
    """
    path = Path(path)
    if not is_a_container(path):
        raise InputError(f"{path}: it is no surface file; wanted a surface.h5 of the pipeline.")
    surface = load_surface(path)
    run = experiment or recorded_run(surface, path)
    indices = chosen(surface, points, seed)
    plans, listener = recorded_plans(surface), stops or Stops()
    if not plans:
        raise InputError(f"{path}: it does not say how its points were evaluated.")
    with own_gpu(plans[0].device, listener.check):
        bench = set_up(run, probed={})  # nothing kept is used: the data are read anew
        refuse_another_problem(bench.parts, recorded_problem(surface, path), path)
        directions = _directions(run, bench, surface, path)
        work = Work(bench, plans[0], directions, surface.grid, listener)
        return compared(work, surface, indices, tolerance)


def asked_run(path: Path | str, config_path: str | None, name: str | None) -> Experiment | None:
    """Return the run of a config that a surface is to be verified with; None: its file's own.

    Raises:
        InputError: If there is no such config or run.
    """
    if config_path is None and name is None:
        return None
    name = name or str(load_surface(path).attributes.get("run"))
    return config.load(config_path or "config/config.yaml").run(name)


def refuse_another_problem(
    found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path | str
) -> None:
    """Raise unless a problem is the one that a surface is of.

    Raises:
        InputError: If a part differs; the message names each, with both fingerprints.
    """
    changed = [
        f"{part}: {_short(wanted[part])} then, {_short(found.get(part))} now"
        for part in wanted
        if part != "fingerprint" and found.get(part) != wanted[part]
    ]
    if changed:
        raise InputError(
            f"{path}: cannot be verified, the problem is not the one that it was computed from:\n  "
            + "\n  ".join(changed)
        )


def _short(part: Any) -> str:
    if isinstance(part, Mapping):
        return ", ".join(f"{name} {_short(value)}" for name, value in part.items())
    return str(part)[:SHOWN]


def _directions(run: Experiment, bench: Bench, surface: Surface, path: Path) -> Sequence[Direction]:
    """Return the directions of a surface: those beside it, else made again.

    Raises:
        InputError: If neither are the surface's.
    """
    wanted = str(surface.attributes["directions"])
    beside = path.with_name("directions.h5")
    found: Sequence[Direction] = load_directions(beside) if beside.exists() else ()
    content = content_hash(found)
    if content == wanted:
        return found
    kinds = {settings.kind if settings.curve == "none" else "curve" for settings in run.directions}
    if kinds <= set(DRAWN):
        log.info("%s: its directions are not beside it; they are made again.", path)
        found = directions_of(run, bench.problem.model)
        if content_hash(found) == wanted:
            return found
    raise InputError(
        f"{path}: cannot be verified, its directions are gone: their content is {_short(wanted)}, "
        f"that of {beside} is {_short(content) if beside.exists() else 'missing'}."
    )


def compared(
    work: Work, surface: Surface, indices: Sequence[int], tolerance: float | None = None
) -> Verification:
    """Compute points of a surface anew and compare them; nothing is written.

    Args:
        work: The problem, with the plan and the directions of the surface.
        surface: What was recorded.
        indices: Flat row-major indices of the points, ascending.
        tolerance: As for ``verify``.

    Raises:
        InputError: If an older surface, which does not say what its problem was part by part, is
            of another one, or the tolerance is none.
    """
    plan = work.plan
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise InputError(f"tolerance is {tolerance}; wanted a number from 0.")
    if "problem" not in surface.attributes and not _has_fingerprint(work, surface):
        raise InputError(
            "The surface cannot be verified: model, data, code, settings or directions are not "
            "what they were. Which, it does not say: it is of an older version."
        )
    if plan.device.startswith("cuda") and not torch.cuda.is_available():
        log.info("The surface was computed on %s; there is none here.", plan.device)
        alike = "float32" if plan.precision == "tf32" else plan.precision
        work = replace(work, plan=replace(plan, device="cpu", precision=alike, graph=False))
    if tolerance is None:
        same_plan = work.plan == plan and len(recorded_plans(surface)) == 1
        here = same_plan and _is_this_machine(surface)
        tolerance = 0.0 if here else TOLERANCE[plan.precision]
    with borrowed(work.bench.problem.model), settings_kept():
        shard = work.evaluate(indices, "verify", keys=surface.keys)
    step = 100 / min(samples.count for samples in work.bench.data.values())
    return Verification(tuple(_rows(surface, shard, tolerance, STEPS * step)), tolerance)


def _rows(surface: Surface, shard: Shard, tolerance: float, percent: float) -> Iterator[Row]:
    """Set recomputed values beside recorded ones, with what they may differ by.

    Args:
        surface: What was recorded.
        shard: What was recomputed.
        tolerance: Relative; 0: not at all.
        percent: By how much an accuracy may differ, where anything may.
    """
    for place, point in enumerate(surface.grid.points(shard.indices).tolist()):
        for key in surface.keys:
            recorded = float(surface[key].flat[shard.indices[place]])
            least = percent if tolerance and surface.labels[key].units == "%" else 0.0
            allowed = max(tolerance * abs(recorded), least)
            yield Row(tuple(point), key, recorded, float(shard.values[key][place]), allowed)


def _has_fingerprint(work: Work, surface: Surface) -> bool:
    parts = work.bench.parts["fingerprint"], work.content
    plans = recorded_plans(surface)
    found = [points_fingerprint(*parts, plan.canonical()) for plan in plans]
    return str(surface.attributes.get("fingerprint")) in found


def chosen(surface: Surface, points: int | str, seed: int | None = None) -> list[int]:
    """Return the flat indices of evaluated points drawn at random, ascending, and of the centre.

    Interpolated points are left out: their values are none of the model's; so are points that
    failed, which have none.  A seed that is not
    given is drawn, and logged.

    Raises:
        InputError: If ``points`` is neither a number from 1 nor ``"all"``, or no point has values.
    """
    grid, computed = surface.grid, surface.computed
    there = np.arange(grid.size) if computed is None else np.flatnonzero(computed)
    if surface.failed is not None:
        there = there[~surface.failed.flat[there]]
        log.info(
            "%d points failed when the surface was made; they are left out.", surface.failed.sum()
        )
    if not there.size:
        raise InputError("Every point of this surface failed; there is nothing to verify.")
    if points == "all":
        return there.tolist()
    if not isinstance(points, int) or isinstance(points, bool) or points < 1:
        raise InputError(f"points is {points!r}; wanted a whole number from 1, or 'all'.")
    seed = secrets.randbelow(2**32) if seed is None else seed
    count = min(points, there.size)
    log.info("%d of %d points, drawn with the seed %d", count, there.size, seed)
    found = set(np.random.default_rng(seed).choice(there, count, replace=False).tolist())
    origin = geometry.origin(grid)
    centre = -1 if origin is None else int(np.ravel_multi_index(origin, grid.shape))
    return sorted(found | ({centre} & set(there.tolist())))


def _is_this_machine(surface: Surface) -> bool:
    """Tell whether a surface says that it was computed here, with the same torch and numpy."""
    versions = json.loads(surface.attributes.get("versions", "{}"))
    same = all(versions.get(name) == version(name) for name in DECIDES)
    return same and surface.attributes.get("host") == platform.node()
