"""Write the list of files that lets ParaView play the moments of a training."""

import argparse

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Write the list of one metric's files; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--key", required=True, help="the metric, as train_loss")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.over_training import export_over_training

    export_over_training(config.load(args.config, args.results), args.run, args.key)


if __name__ == "__main__":
    cli.leave(main())
