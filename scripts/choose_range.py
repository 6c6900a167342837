"""Find the ends of the axes that the config leaves open, so that the grid shows the basin."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Choose the range of one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for range.json")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.scan import choose_range

    choose_range(config.load(args.config, args.results).run(args.run), args.out, stops)


if __name__ == "__main__":
    cli.leave(main())
