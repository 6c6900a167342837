"""Measure what a run's verdict needs the model for: gradient, curvature, sampling errors."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Measure the centre of one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for centre.json")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.centre import measure_centre

    measure_centre(config.load(args.config, args.results).run(args.run), args.out, stops)


if __name__ == "__main__":
    cli.leave(main())
