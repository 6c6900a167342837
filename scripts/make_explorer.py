"""Write the page to explore a run's landscape with: one HTML file."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Write one run's page; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--verdict", type=Path, help="the run's verdict.json, to be shown")
    parser.add_argument("--out", type=Path, required=True, help="the file for the page")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.explorer import make_explorer

    make_explorer(config.load(args.config, args.results).run(args.run), args.out, args.verdict)


if __name__ == "__main__":
    cli.leave(main())
