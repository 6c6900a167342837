"""Make a run's directions, as its config says, and write directions.h5."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Make the directions of one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for the directions")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.directions import make_directions

    make_directions(config.load(args.config, args.results).run(args.run), args.out, stops.check)


if __name__ == "__main__":
    cli.leave(main())
