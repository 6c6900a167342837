"""Write one page to explore the landscapes of all of a config's runs with."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Write the page of all runs; return the exit code."""
    parser = cli.parser(__doc__, one_run=False)
    parser.add_argument("--out", type=Path, required=True, help="the file for the page")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.explorer import make_all_explorer

    make_all_explorer(config.load(args.config, args.results), args.out)


if __name__ == "__main__":
    cli.leave(main())
