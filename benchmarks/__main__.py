"""Measure how fast it is beside the textbook loop and the machine's bounds; print ratios.

Rows run one after the other; contenders of a row run in turns.  What is measured is written to
benchmarks/RESULTS.md, each row over its own older section.
"""

import argparse
import shlex
import sys
import time
import traceback
from pathlib import Path

from benchmarks import library
from benchmarks.rows import ROWS
from benchmarks.table import REPO, keep, machine, section
from benchmarks.timing import Settings

RESULTS = REPO / "benchmarks" / "RESULTS.md"
QUICK = Settings(rounds=2, seconds=1.0, quick=True)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    listed = "\n".join(f"  {name:<12} {what}" for name, (what, _) in ROWS.items())
    found = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"rows:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--only", metavar="ROW[,ROW]", help="these rows only")
    found.add_argument(
        "--quick", action="store_true", help="two short rounds: does everything work? No file"
    )
    found.add_argument("--rounds", type=int, help="rounds of every row (default: 5; quick: 2)")
    found.add_argument(
        "--with-peers",
        action="store_true",
        help="measure other libraries, too: installs each, with torch, in a throw-away environment",
    )
    found.add_argument(
        "--out", type=Path, help=f"the file (default: {RESULTS.relative_to(REPO)}; quick: none)"
    )
    return found


def chosen(only: str | None, with_peers: bool) -> list[str]:
    """Return the rows to run; peers only where they are asked for.

    Raises:
        SystemExit: If a row is unknown.
    """
    if only is None:
        return [name for name in ROWS if name != "peers" or with_peers]
    names = only.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise SystemExit(f"Unknown row {unknown[0]!r}; choose of {', '.join(ROWS)}.")
    return names


def main(argv: list[str] | None = None) -> int:
    """Run the rows; return the exit code: 1 where a row could not be measured."""
    words = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(words)
    settings = _settings(args)
    about = machine()
    say(about)
    command = shlex.join(["uv", "run", "python", "-m", "benchmarks", *words])
    out = args.out or (None if args.quick else RESULTS)
    failed = []
    for name in chosen(args.only, args.with_peers):
        start = time.perf_counter()
        try:
            with library.quiet():
                tables = ROWS[name][1](settings)
        except Exception as error:  # the other rows are measured all the same
            failed.append(name)
            traceback.print_exc()
            say(f"{name} could not be measured: {type(error).__name__}: {error}")
            continue
        took = time.perf_counter() - start
        told = section(name, tables, command, took, about)
        say("\n".join([f"## {name}: {took:.0f} s", "", *(t.markdown() for t in tables)]).rstrip())
        if out:
            keep(out, {name: told}, list(ROWS))
    return 1 if failed else 0


def _settings(args: argparse.Namespace) -> Settings:
    base = QUICK if args.quick else Settings()
    return Settings(args.rounds or base.rounds, base.seconds, base.quick, args.with_peers)


def say(text: str) -> None:
    """Tell it at once."""
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
