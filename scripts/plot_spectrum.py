"""Draw the density of the Hessian's eigenvalues at the centre."""

import argparse

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Draw it; return the exit code."""
    parser = cli.parser(__doc__)
    cli.add_format(parser)
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.pictures import draw_spectrum

    draw_spectrum(config.load(args.config, args.results).run(args.run), args.format)


if __name__ == "__main__":
    cli.leave(main())
