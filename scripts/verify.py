"""Compute random points of a surface anew, and say whether they agree with it."""

import argparse
import sys
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Verify a surface; return the exit code: 0 agrees, 1 does not, 2 cannot be told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surface", type=Path, help="a surface.h5 of the pipeline")
    parser.add_argument("--points", default="5", help="how many, or 'all' (default: 5)")
    parser.add_argument("--seed", type=int, help="what they are drawn with (default: a new one)")
    parser.add_argument(
        "--tolerance",
        type=float,
        help="relative (default: 0 on the machine that computed it, else 1e-5, in float64 1e-10)",
    )
    parser.add_argument("--config", help="a config that names model and data instead of the file")
    parser.add_argument(
        "--run", dest="name", help="which of its runs (default: the one that the file names)"
    )
    parser.set_defaults(run="verify")
    parser.add_argument("--log", help="a file that gets everything the terminal gets")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib.steps.agreement import refuse_disagreement
    from landscape_lib.steps.verify import asked_run, verify

    points = int(args.points) if args.points.isdigit() else args.points
    run = asked_run(args.surface, args.config, args.name)
    found = verify(args.surface, points, args.seed, args.tolerance, run, stops)
    for line in found.lines():
        sys.stdout.write(f"{line}\n")
    refuse_disagreement(found, args.surface)


if __name__ == "__main__":
    cli.leave(main())
