"""Put the surfaces of a run's seeds into seeds.h5: every member, their mean and spread."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Merge the seeds of one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for mean and spread")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.seeds import merge_seeds

    merge_seeds(config.load(args.config, args.results), args.run, args.out)


if __name__ == "__main__":
    cli.leave(main())
