"""Run the campaign from a terminal: exit code 0 where every case held, else 1."""

import argparse
import logging
import os
import sys

from tests.faults.campaign import run, table, until


def main(argv: list[str] | None = None) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=["disk"], help="disk: every write fails, and real full disks"
    )
    parser.add_argument("--minutes", type=float, default=5, help="how long (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (default: 0)")
    args = parser.parse_args(argv)
    logging.disable(logging.NOTSET)
    os.environ["OMP_NUM_THREADS"] = "1"
    if args.what == "disk":
        from tests.faults import disk

        told, broken = disk.campaign(args.seed)
        sys.stdout.write("\n".join([told, *broken, ""]))
        return 1 if broken else 0
    tallies = run(args.seed, until(args.minutes))
    broken = [told for tally in tallies.values() for told in tally.broken]
    sys.stdout.write("\n".join([table(tallies), *broken, ""]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
