"""Measure on one GPU: whole landscapes beside the textbook loop and the chip's bounds.

At most eight minutes. What is measured is written to benchmarks/RESULTS-gpu.md row by row, each
over its own older section; a row that fails, or runs out of its time, leaves the others.
"""

import argparse
import datetime
import logging
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch

from benchmarks import library
from benchmarks.children import environment
from benchmarks.gpu import bounds, exactness, goals, idle, memory, real, rows
from benchmarks.gpu.scale import Scale
from benchmarks.table import REPO, Table, keep, machine, section, sections_of
from landscape_lib.utils.signals import alarm_lent

RESULTS = REPO / "benchmarks" / "RESULTS-gpu.md"
TITLE = "# What was measured on a GPU"
TOLD = (
    "One run of `uv run python -m benchmarks.gpu`; single measurements, no medians. Goals and\n"
    "yardsticks stand beside what was measured. Nothing here is asserted by a test."
)
WHOLE_S = 480.0
TESTS, TESTS_S = "tests", 180.0
GOALS = "goals"

Row = Callable[[Scale], list[Table]]
ROWS: dict[str, tuple[str, float, Row]] = {  # what it is, and the seconds it may take
    "bounds": ("copy, and matrix products in float32, TF32, bf16", 20, bounds.row),
    "first-look": ("ResNet-56, 5,000 images, 11 x 11, beside the textbook", 85, rows.first_look),
    "paper": ("ResNet-56, 50,000 images, a part of 51 x 51", 110, rows.papers_surface),
    "resnet50": ("ResNet-50, 2,000 images of 224 x 224, bf16", 45, rows.resnet50),
    "transformer": ("an encoder of 86 M parameters, bf16", 50, rows.transformer),
    "small": ("MLP and small CNN on digits: points a minute", 40, rows.small_networks),
    "idle": ("how long the GPU waits, by torch's profiler", 40, idle.row),
    "errors": ("float32, TF32, bf16 against float64 over a grid", 40, exactness.row),
    "memory": ("the most memory that a model takes", 20, memory.row),
    "real": ("a network trained on Fashion-MNIST, its surface", 35, real.row),
}


class OutOfTimeError(BaseException):
    """A row that took longer than it may; nobody who catches what a model raises catches it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stop what is inside where it takes longer, at the next line of Python."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError(f"stopped after {seconds:.0f} s")

    with alarm_lent(stop):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    listed = "\n".join(f"  {name:<12} {what} ({s:.0f} s)" for name, (what, s, _) in ROWS.items())
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        epilog=f"rows, and what each may take:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--only", metavar="ROW[,ROW]", help="these rows only")
    found.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    found.add_argument(
        "--tiny", action="store_true", help="toy sizes: does everything work? On a CPU, too"
    )
    found.add_argument(
        "--out", type=Path, help=f"the file (default: {RESULTS.relative_to(REPO)}; tiny: none)"
    )
    found.add_argument(
        "--tests", action="store_true", help="first the tests that only a GPU can run (two minutes)"
    )
    found.add_argument(
        "--data",
        type=Path,
        default=REPO / "data",
        help="the folder with FashionMNIST/raw (default: data)",
    )
    found.add_argument("--seconds", type=float, default=WHOLE_S, help="for all rows together")
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the rows; return the exit code: 1 where a row could not be measured, 2 without a GPU."""
    words = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(words)
    refused = refusal(args)
    if refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    logging.captureWarnings(True)
    about = chip(args.device)
    say(about)
    command = shlex.join(["uv", "run", "python", "-m", "benchmarks.gpu", *words])
    out = args.out or (None if args.tiny else RESULTS)
    scale = Scale(
        args.device,
        args.tiny,
        secrets.randbelow(2**31),
        data=args.data,
        picture=out.with_suffix(".png") if out else None,
    )
    failed = tested(out, command, about) if args.tests else 0
    end = time.monotonic() + args.seconds
    names = args.only.split(",") if args.only else list(ROWS)
    sections: dict[str, str] = {}
    for number, name in enumerate(names):
        start = time.perf_counter()
        tables, reason = measured(name, replace(scale, until=until(name, end)))
        failed += bool(reason)
        told = section(name, tables, command, time.perf_counter() - start, about)
        told += f"\n**Not measured:** {reason}\n" if reason else ""
        say(told.rstrip())
        sections[name] = told
        _keep(out, {name: told})
        if reason and args.device == "cuda" and not works():
            again(names[number + 1 :], args, end - time.monotonic())
            break
    _tell_goals(out, sections)
    return 1 if failed else 0


def _keep(out: Path | None, sections: dict[str, str]) -> None:
    if out:
        keep(out, sections, [GOALS, TESTS, *ROWS], TITLE, TOLD)


def _tell_goals(out: Path | None, sections: dict[str, str]) -> None:
    """Put the goals of all rows into one table: of those measured now, and of those kept."""
    kept = sections_of(out) if out else {}
    every = {**kept, **sections}
    table = goals.together(every[name] for name in ROWS if name in every)
    say(table.markdown().rstrip())
    _keep(out, {GOALS: f"## {GOALS}\n\n{table.markdown()}"})


def tested(out: Path | None, command: str, about: str) -> int:
    """Run the tests that only a GPU can run, and keep what they say; return 1 where one fails."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-W", "default", "tests/gpu"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        try:
            done = subprocess.run(
                words,
                cwd=REPO,
                env=environment(),
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=TESTS_S,
            )
            code, late = done.returncode, []
        except subprocess.TimeoutExpired:
            code, late = 1, [f"stopped after {TESTS_S:.0f} s"]
        said.seek(0)
        lines = said.read().strip().splitlines() + late
    say("\n".join(lines))
    failed = [line for line in lines[:-1] if line.startswith(("FAILED", "ERROR"))]
    body = section(TESTS, [], command, time.perf_counter() - start, about)
    told = "\n".join([body, "```", *failed, *lines[-1:], "```", ""])
    _keep(out, {TESTS: told})
    return int(code != 0)


def works() -> bool:
    """Tell whether the GPU still answers this process: some errors are for good."""
    try:
        torch.cuda.empty_cache()
        torch.ones(1, device="cuda").item()
    except RuntimeError:
        return False
    return True


def again(names: list[str], args: argparse.Namespace, left_s: float) -> None:
    """Run what is left of the rows in a process of its own."""
    if names and left_s > 1:
        words = ["--only", ",".join(names), "--seconds", f"{left_s:.0f}"]
        words += ["--tiny"] if args.tiny else []
        words += ["--out", str(args.out)] if args.out else []
        words += ["--data", str(args.data)]
        command = [sys.executable, "-m", "benchmarks.gpu", *words]
        subprocess.run(command, cwd=REPO, env=environment(), check=False)


def refusal(args: argparse.Namespace) -> str:
    """Return what is wrong with the command; empty where nothing is."""
    unknown = [n for n in args.only.split(",") if n not in ROWS] if args.only else []
    if unknown:
        return f"Unknown row {unknown[0]!r}; choose of {', '.join(ROWS)}."
    if args.device == "cuda" and not torch.cuda.is_available():
        return "There is no CUDA here. --device cpu --tiny runs every row at a toy's size."
    if args.device == "cpu" and not args.tiny:
        return "--device cpu is for seeing that everything works; say --tiny as well."
    if args.out and args.out.resolve() == RESULTS and (args.tiny or args.device == "cpu"):
        return f"{args.out} is for what was measured on a GPU; name another file."
    return ""


def until(name: str, end: float) -> float:
    """Return when a row must be done: after its own time, or when all of it is used up."""
    return min(end, time.monotonic() + ROWS[name][1])


def measured(name: str, scale: Scale) -> tuple[list[Table], str]:
    """Return a row's tables, or why there are none."""
    if scale.left() <= 1:
        return [], "no time was left"
    try:
        with library.quiet(), at_most(scale.left()):
            return ROWS[name][2](scale), ""
    except (Exception, OutOfTimeError) as error:  # the other rows are measured all the same
        traceback.print_exc()
        return [], f"{type(error).__name__}: {error}".partition("\n")[0]


def chip(device: str) -> str:
    """Describe machine, chip and versions, without a name or path of either."""
    if device == "cpu":
        return f"* device: the CPU; a check that everything works, no measurement\n{machine()}"
    about = torch.cuda.get_device_properties(0)
    told = {
        "GPU": f"{about.name}, {about.total_memory / 2**30:.0f} GiB, "
        f"{about.multi_processor_count} multiprocessors",
        "CUDA": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
    }
    return "\n".join([*(f"* {name}: {value}" for name, value in told.items()), machine()])


def say(text: str) -> None:
    """Tell it at once."""
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
