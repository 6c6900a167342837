"""Draw how far a metric of other data is above that of the training data."""

import argparse

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Draw one metric; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--key", required=True, help="the metric of the other data, as test_loss")
    cli.add_format(parser)
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.pictures import draw_gap

    draw_gap(config.load(args.config, args.results).run(args.run), args.key, args.format)


if __name__ == "__main__":
    cli.leave(main())
