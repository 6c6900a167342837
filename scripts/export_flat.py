"""Write every metric of a run into one flat file for ParaView, and a program that opens it."""

import argparse

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Export all metrics; return the exit code."""
    return cli.execute(work, cli.parser(__doc__).parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.pictures import export_all

    export_all(config.load(args.config, args.results).run(args.run))


if __name__ == "__main__":
    cli.leave(main())
