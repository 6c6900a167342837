"""How an adaptive grid is evaluated in rounds, and becomes a whole surface."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from landscape_lib.adaptive.bounding import CONFIDENCE, COVERED, completed
from landscape_lib.adaptive.choosing import first_round, next_round
from landscape_lib.adaptive.rounds import Round
from landscape_lib.config import Experiment
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Refinement
from landscape_lib.core.surface import Label, Surface, merge
from landscape_lib.steps.dependencies import shard_count
from landscape_lib.steps.extent import with_range
from landscape_lib.steps.report import read_probe, reading
from landscape_lib.steps.shapes import RoundShape, refuse_strange
from landscape_lib.utils.records import read_record, write_record
from landscape_lib.utils.storage import load_shard

RUGGED = 0.8  # of the points evaluated: then it is said that nearly all are needed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """A round as its file has it.

    Attributes:
        number: Which, from 0.
        shards: How many shards its points are cut into; 0 where none is needed any more.
        round: Its points.
    """

    number: int
    shards: int
    round: Round

    def paths(self, folder: Path) -> list[Path]:
        """Return its shards' files."""
        parts = range(self.shards)
        return [folder / f"rounds/{self.number}/{k}-of-{self.shards}.h5" for k in parts]

    def shard(self, number: int, of: int) -> Sequence[int]:
        """Return the flat indices of one shard, coarse to fine.

        Raises:
            InputError: If there is no such shard.
        """
        if of != self.shards or not 0 <= number < of:
            raise InputError(
                f"Shard {number} of {of}; round {self.number} has {self.shards} shards, from 0."
            )
        points = self.round.indices
        return points[number * len(points) // of : (number + 1) * len(points) // of]


def choose_points(experiment: Experiment, number: int, out: Path | str) -> None:
    """Choose the points of a round from what the rounds before it found, and write their file.

    Raises:
        InputError: If the run's grid is not adaptive, or the metric that is to decide is not there.
    """
    refinement = experiment.refinement
    if refinement is None:
        raise InputError(f"{experiment.name}: its grid is not adaptive; it has no rounds.")
    experiment = with_range(experiment)
    report = read_probe(experiment.path("probe.json"))
    labels = {key: Label(**label) for key, label in report["labels"].items()}
    refinement.deciding(report["keys"])  # now: not after the first round
    before = [read_round(experiment.path("rounds", f"{n}.json")) for n in range(number)]
    found: Round | None = first_round(experiment.grid)
    if before:
        values = gathered(experiment, before).values
        rounds = [one.round for one in before]
        found = next_round(experiment.grid, rounds, values, labels, refinement)
    seconds = float(report["seconds_per_point"])
    count = shard_count(experiment, seconds, len(found.indices)) if found else 0
    told = {"number": number, "shards": count, "round": asdict(found) if found else None}
    write_record(out, told)
    what = f"{len(found.indices):,} points, {found.why}" if found else "nothing more is needed"
    log.info("%s: round %d: %s", experiment.name, number, what)


def read_round(path: Path | str) -> Chosen:
    """Read a round's file.

    Raises:
        InputError: If it is missing or damaged.
    """
    with reading(path, "choose_points"):
        told = read_record(path)
        refuse_strange(told, RoundShape)
        found = told["round"] or {"indices": [], "why": ""}
        one = Round(tuple(int(index) for index in found["indices"]), str(found["why"]))
        return Chosen(int(told["number"]), int(told["shards"]), one)


def all_rounds(experiment: Experiment) -> list[Chosen]:
    """Return every round of a run that has points, once it is known that no more is needed."""
    return list(_until_enough(experiment))


def _until_enough(experiment: Experiment) -> Iterator[Chosen]:
    number = 0
    while (found := read_round(experiment.path("rounds", f"{number}.json"))).shards:
        yield found
        number += 1


def gathered(experiment: Experiment, rounds: Sequence[Chosen]) -> Surface:
    """Return the values of all rounds' points, NaN at others.

    Raises:
        DisagreementError: If a point of theirs is missing, or a shard is of another run.
    """
    paths = [path for one in rounds for path in one.paths(experiment.folder)]
    wanted = [index for one in rounds for index in one.round.indices]
    return merge((load_shard(path) for path in paths), wanted)


def completed_surface(
    surface: Surface, rounds: Sequence[Round], refinement: Refinement, name: str
) -> Surface:
    """Return a surface whose points between those of all rounds are interpolated, with errors.

    Args:
        surface: The values of the rounds' points, with its labels.
        rounds: All of them.
        refinement: What was asked for.
        name: What to call it in the log.
    """
    found = {
        key: completed(surface.grid, rounds, surface[key], surface.labels[key])
        for key in surface.keys
    }
    audits = {key: one.audit for key, one in found.items() if one.audit}
    told = {
        **asdict(refinement),
        "rounds": [[one.why, len(one.indices)] for one in rounds],
        "covered": COVERED,
        "confidence": CONFIDENCE,
        "audited": {key: len(audit.missed) for key, audit in audits.items()},
        "beyond": {key: audit.share_beyond(refinement.tolerance) for key, audit in audits.items()},
    }
    whole = replace(
        surface,
        values={key: one.values for key, one in found.items()},
        errors={} if surface.computed is None else {k: one.errors for k, one in found.items()},
        attributes={**surface.attributes, "adaptive": told},
    )
    _tell(whole, told, refinement, name)
    return whole


def _tell(surface: Surface, told: Mapping[str, Any], refinement: Refinement, name: str) -> None:
    share = surface.evaluated / surface.grid.size
    log.info(
        "%s: %s of %s points evaluated (%.0f %%) in %d rounds, the others interpolated.",
        *(name, f"{surface.evaluated:,}", f"{surface.grid.size:,}", 100 * share),
        len(told["rounds"]),
    )
    for key in refinement.deciding(surface.keys):
        if key in told["beyond"]:
            log.info(
                "%s: %s: %.0f %% of %d held-out points were off by more than %g of the range.",
                *(name, key, 100 * told["beyond"][key], told["audited"][key]),
                refinement.tolerance,
            )
    if share >= RUGGED:
        log.warning(
            "%s: nearly every point is needed for this tolerance: at this spacing the surface is "
            "rugged. Take mode 'full', a larger tolerance, or name the metric that is to decide: "
            "accuracies are staircases.",
            name,
        )
