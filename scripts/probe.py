"""Evaluate a run's centre: learn its metric keys, choose the plan, time a point."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Probe one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for probe.json")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.probe import probe

    probe(config.load(args.config, args.results).run(args.run), args.out, cli.store_of(args))


if __name__ == "__main__":
    cli.leave(main())
