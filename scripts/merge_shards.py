"""Merge a run's shards into surface.h5; refuse gaps, repeats and strangers."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Merge the shards of one run; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--of", type=int, required=True, help="how many shards there are")
    parser.add_argument("--out", type=Path, required=True, help="the file for the surface")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.merge import merge_shards, shard_paths

    experiment = config.load(args.config, args.results).run(args.run)
    merge_shards(experiment, shard_paths(experiment, args.of), args.out)


if __name__ == "__main__":
    cli.leave(main())
