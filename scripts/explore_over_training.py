"""Write the page to explore the moments of a training with."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Write the page; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for the page")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.over_training import explore_over_training

    explore_over_training(config.load(args.config, args.results), args.run, args.out)


if __name__ == "__main__":
    cli.leave(main())
