"""Write the ways of trainings over one metric's surface for ParaView."""

import argparse

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Export one metric; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--key", required=True, help="the metric, as train_loss")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.pictures import export_trajectory

    export_trajectory(config.load(args.config, args.results).run(args.run), args.key)


if __name__ == "__main__":
    cli.leave(main())
