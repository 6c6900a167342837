"""Project checkpoints of trainings onto the plane of a run's directions."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Project the checkpoints of one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file for trajectory.json")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.trajectory import project_trajectory

    project_trajectory(config.load(args.config, args.results).run(args.run), args.out)


if __name__ == "__main__":
    cli.leave(main())
