"""Counts nonsense through every door: ``python -m tests.faults.gate --cases 10000 --seed 0``.

Cases run in this process; so many as ``--spawned`` says, in processes of their own.  Exit code 0
where every case ended as it should: done, or exit code 2 with one message.
"""

import argparse
import faulthandler
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.doors import DOORS, enter, spawned
from tests.faults.world import copied, new_world

WALL_S = 600  # of the clock on the wall: a case that waits for ever ends the campaign
MEMORY = 4 * 2**30  # more than what the process has at the start


def main(argv: list[str] | None = None) -> int:
    """Run the cases; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.gate", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="in this process (10000)")
    parser.add_argument("--spawned", type=int, default=200, help="in processes of their own (200)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (default: 0)")
    args = parser.parse_args(argv)
    outcomes: Counter[str] = Counter()
    broken: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gate-") as place:
        world, folder = Path(place, "world"), Path(place, "case")
        new_world(world)
        _limit_memory()
        for number in range(args.cases + args.spawned):
            draw = random.Random(f"{args.seed} {number}")
            inner = number < args.cases
            faulthandler.dump_traceback_later(WALL_S, exit=True)
            try:
                copied(world, folder)
                told = enter(draw.choice(DOORS), draw, folder) if inner else spawned(draw, folder)
                outcomes[told] += 1
            except Exception as error:  # what the campaign looks for
                broken.append(f"case {number}: {type(error).__name__}: {str(error)[-2000:]}")
                sys.stderr.write(f"{broken[-1]}\n")
            faulthandler.cancel_dump_traceback_later()
            if number % 500 == 499:
                sys.stderr.write(f"{number + 1} cases, {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(f"{table(outcomes)}\n{len(broken)} of {args.cases + args.spawned} broke.\n")
    return 1 if broken else 0


def table(outcomes: Counter[str]) -> str:
    """Return the counts as a table in Markdown, one row a door."""
    doors = sorted({told.rpartition(": ")[0] for told in outcomes})
    rows = ["| door | cases | done | refused |", "| --- | --- | --- | --- |"]
    for door in doors:
        done, refused = (outcomes[f"{door}: {what}"] for what in ("done", "refused"))
        rows.append(f"| {door} | {done + refused:,} | {done:,} | {refused:,} |")
    return "\n".join(rows)


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = used * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
