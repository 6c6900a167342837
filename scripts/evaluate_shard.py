"""Evaluate one shard of a run's points; those that the journal has are not evaluated again."""

import argparse
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils.signals import Stops


def main(argv: list[str] | None = None) -> int:
    """Evaluate one shard; return the exit code."""
    parser = cli.parser(__doc__)
    parser.add_argument("--shard", type=int, required=True, help="which shard, from 0")
    parser.add_argument("--of", type=int, required=True, help="how many shards there are")
    parser.add_argument(
        "--points", type=Path, help="the round of an adaptive grid that is cut into them"
    )
    parser.add_argument("--out", type=Path, required=True, help="the file for the shard")
    return cli.execute(work, parser.parse_args(argv))


def work(args: argparse.Namespace, stops: Stops) -> None:
    """Do it."""
    from landscape_lib import config
    from landscape_lib.steps.evaluate import evaluate_shard

    experiment = config.load(args.config, args.results).run(args.run)
    store = cli.store_of(args)
    evaluate_shard(experiment, args.shard, args.of, args.out, stops, args.points, store)


if __name__ == "__main__":
    cli.leave(main())
