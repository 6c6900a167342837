"""Judge a run's surface: is the picture right, and which numbers may be quoted?"""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Judge one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for verdict.json")
    parser.add_argument("--page", type=Path, required=True, help="the file for the readable page")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.verdict import make_verdict

    make_verdict(config.load(args.config, args.results).run(args.run), args.out, args.page)


if __name__ == "__main__":
    cli.leave(main())
