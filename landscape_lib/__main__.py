"""Start a landscape of one's own, learn what it costs, or take one over from another tool."""

import argparse
import sys
import time
from pathlib import Path

from landscape_lib import cli
from landscape_lib.utils import pipeline
from landscape_lib.utils.signals import Stops

BEGAN = time.perf_counter()


def main(argv: list[str] | None = None) -> int:
    """Do what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m landscape_lib", description=__doc__)
    commands = parser.add_subparsers(dest="run", required=True, metavar="COMMAND")
    begin = commands.add_parser("new", help="write a problem, a config and a README that run")
    begin.add_argument("folder", type=Path, help="where; nothing in it is overwritten")
    begin.set_defaults(work=_new)
    look = commands.add_parser(
        "check", help="build, evaluate the centre, say what the grid costs, and stop"
    )
    look.add_argument("place", type=Path, help="a config file, or a folder with a config.yaml")
    look.add_argument("--only", metavar="RUN", help="one run of the config (default: all)")
    look.set_defaults(work=_check)
    take = commands.add_parser("import", help="read a surface of another tool into one of ours")
    take.add_argument("surface", type=Path, help="its file; docs/import.md says of which tools")
    take.add_argument("--out", type=Path, required=True, help="the file for ours; a new one")
    take.add_argument(
        "--directions", type=Path, help="the original program's direction file: for the cosine"
    )
    take.add_argument("--draw", action="store_true", help="also draw everything, beside it")
    take.set_defaults(work=_import)
    where = commands.add_parser(
        "snakefile", help="print where the pipeline lies: for snakemake --snakefile, or a module"
    )
    where.set_defaults(work=_snakefile)
    parser.set_defaults(log=None)
    args = parser.parse_args(argv)
    return cli.execute(args.work, args)


def _new(args: argparse.Namespace, stops: Stops) -> None:
    from landscape_lib.start import new

    written = "\n".join(f"  {path}" for path in new(args.folder))
    sys.stdout.write(
        f"Written:\n{written}\nNext:\n  {pipeline.python()} -m landscape_lib check {args.folder}\n"
        f"{_drawing(args.folder / 'config.yaml')}"
    )


def _check(args: argparse.Namespace, stops: Stops) -> None:
    from landscape_lib.core.errors import InputError

    path = args.place / "config.yaml" if args.place.is_dir() else args.place
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such file. Name a config, or the folder of one; or make one: "
            f"{pipeline.python()} -m landscape_lib new my-landscape"
        )
    from landscape_lib.steps.check import check

    for told in check(path, args.only, BEGAN):
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()
    sys.stdout.write(f"\nTo evaluate and draw it:\n{_drawing(path)}")


def _drawing(config: Path) -> str:
    """Say how a config is drawn: where there is no Snakemake, how to get it first."""
    install = "" if pipeline.has_snakemake() else f"  {pipeline.INSTALL}\n"
    return f"{install}  {pipeline.command(config)}\n"


def _snakefile(args: argparse.Namespace, stops: Stops) -> None:
    sys.stdout.write(f"{pipeline.SNAKEFILE}\n")


def _import(args: argparse.Namespace, stops: Stops) -> None:
    from landscape_lib.steps.importing import draw_all, import_surface

    import_surface(args.surface, args.out, args.directions)
    for path in draw_all(args.out) if args.draw else ():
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    cli.leave(main())
