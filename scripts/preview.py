"""Show what is evaluated so far, of one run or all, also while they are at work."""

import argparse

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Write previews; return the exit code."""
    parser = cli.parser(__doc__, one_run=False)
    parser.add_argument("--run", help="which of the config's runs (default: all)")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.preview import preview, preview_all

    found = config.load(args.config, args.results)
    if args.run == cli.ALL_RUNS:
        preview_all(found)
    else:
        preview(found.run(args.run))


if __name__ == "__main__":
    cli.leave(main())
