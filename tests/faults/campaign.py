"""Runs cases of every fault, counts them, and tells what held in a table."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import crashes, damage, doors
from tests.faults.world import copied, new_world

Case = Callable[[random.Random, Path, tuple[object, ...]], str]
FAULTS: dict[str, tuple[Case, str]] = {
    "damage": (
        damage.case,
        "A file with flipped bits, cut short or zeroed in part is refused by its name, and the "
        "remedy in the message leads to the true surface; or the damage is harmless.",
    ),
    "crash": (
        crashes.case,
        "A process that ends at any write, flush, rename or removal, the write torn and, in half "
        "of the cases, all lost that was not fsynced: the same command goes on to the same bytes.",
    ),
    "nonsense": (
        doors.case,
        "Configs, direction and surface files, command lines and names of problems that make no "
        "sense: done, or one message; no traceback, no file outside of the results folder.",
    ),
}


IN_A_TURN = {"nonsense": 10}  # cases, where they are quick; one of the others


@dataclass
class Tally:
    """What became of the cases of one fault."""

    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.outcomes.total() + len(self.broken)


def run(seed: int, wanted: Callable[[str, Tally], bool]) -> dict[str, Tally]:
    """Run the faults by turns, case after case, for as long as ``wanted`` says.

    Case n of a fault is the same for the same seed, whatever ran before it.
    """
    tallies = {name: Tally() for name in FAULTS}
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        world, folder = Path(place, "world"), Path(place, "case")
        truth = new_world(world)
        while due := [name for name, tally in tallies.items() if wanted(name, tally)]:
            for name in [again for again in due for _ in range(IN_A_TURN.get(again, 1))]:
                tally = tallies[name]
                draw = random.Random(f"{seed} {name} {tally.cases}")
                try:
                    tally.outcomes[FAULTS[name][0](draw, copied(world, folder), truth)] += 1
                except Exception as error:  # a case that breaks is what the campaign looks for
                    tally.broken.append(f"{name} {tally.cases}: {type(error).__name__}: {error}")
    return tallies


def until(minutes: float) -> Callable[[str, Tally], bool]:
    """Go on for so long."""
    end = time.monotonic() + 60 * minutes
    return lambda name, tally: time.monotonic() < end


def table(tallies: dict[str, Tally]) -> str:
    """Return the counts as a table in Markdown."""
    rows = [
        "| fault | what is promised | cases | held | what happened |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, tally in tallies.items():
        told = ", ".join(f"{count:,} {what}" for what, count in sorted(tally.outcomes.items()))
        held = tally.outcomes.total()
        rows.append(f"| {name} | {FAULTS[name][1]} | {tally.cases:,} | {held:,} | {told} |")
    return "\n".join(rows)
