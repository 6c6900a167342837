"""Read a surface of another tool into one of ours: ``python -m landscape_lib import``."""

import sys

from landscape_lib import cli
from landscape_lib.__main__ import main as command


def main(argv: list[str] | None = None) -> int:
    """Import a surface; return the exit code."""
    return command(["import", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    cli.leave(main())
