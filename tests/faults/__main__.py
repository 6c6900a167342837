"""Run the campaign from a terminal: exit code 0 where every case held, else 1.

Without a word, faults of all kinds, case after case.  ``kills``: the real pipeline gets signals at
random moments, until so many were sent.  ``soak``: one large grid is disturbed every few seconds.
"""

import argparse
import logging
import os
import sys

from tests.faults import disk, kills, soak
from tests.faults.campaign import run, table, until


def main(argv: list[str] | None = None) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=["cases", "kills", "soak", "disk"], default="cases"
    )
    parser.add_argument("--minutes", type=float, default=5, help="how long (default: 5)")
    parser.add_argument("--kills", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (default: 0)")
    args = parser.parse_args(argv)
    logging.disable(logging.NOTSET)
    os.environ["OMP_NUM_THREADS"] = "1"
    if args.what == "kills":
        tally = kills.campaign(args.kills, args.seed, _say)
        _say("\n".join([kills.table(tally), *tally.broken]))
        return 1 if tally.broken else 0
    if args.what == "soak":
        soaked = soak.soak(args.minutes, args.seed, _say)
        _say("\n".join([soak.table(soaked), *soaked.broken]))
        return 1 if soaked.broken else 0
    if args.what == "disk":
        told, broken = disk.campaign(args.seed)
        _say("\n".join([told, *broken]))
        return 1 if broken else 0
    tallies = run(args.seed, until(args.minutes))
    broken = [told for tally in tallies.values() for told in tally.broken]
    _say("\n".join([table(tallies), *broken]))
    return 1 if broken else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
