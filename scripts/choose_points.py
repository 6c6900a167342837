"""Choose which points of a run's adaptive grid are evaluated next."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Choose the points of one round; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--round", type=int, required=True, help="which round, from 0")
    parser.add_argument("--out", type=Path, required=True, help="the file for the points")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.rounds import choose_points

    choose_points(config.load(args.config, args.results).run(args.run), args.round, args.out)


if __name__ == "__main__":
    cli.leave(main())
