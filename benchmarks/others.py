"""Ours beside other libraries, each in a throw-away environment."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from benchmarks import library
from benchmarks.children import environment
from benchmarks.problems import CASES, Case
from benchmarks.table import Table
from benchmarks.timing import (
    Cost,
    Settings,
    cost,
    enough,
    interleaved,
    median,
    median_ratio,
    odd,
    seconds,
)

PEERS = {
    "loss-landscapes": "loss_landscapes",
    "landscaper": "landscaper",
    "loss-landscape-3d": "loss_landscape_3d",
    "losscape": "losscape",
    "pylandscape": "pylandscape",
    "gradfield": "gradfield",
    "loss-landscape": "loss_landscape",
}
INSTALL_S, RUN_S = 900, 300
NOTE = (
    "Each evaluates one cross entropy a point, on the same network, samples (tensors), number of "
    "points and threads; only its evaluation is timed, inside its own environment, with its own "
    "choice of batches. `ours, whole` is one call of compute_2d from a fresh object on: reading, "
    "choosing the plan and checking it included; `ours, a point` leaves out what is paid once."
)


class Peer:
    """A process that evaluates with another library whenever it is told to."""

    def __init__(self, python: Path, module: str, problem: Path) -> None:
        command = [str(python), "-m", "benchmarks.peers.worker", module, str(problem)]
        self._process = subprocess.Popen(
            command,
            cwd=problem.parent,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(problem.parent / f"{module}.err").open("w", encoding="utf-8"),
            text=True,
        )
        self._errors = problem.parent / f"{module}.err"

    def __call__(self) -> dict[str, Any]:
        """Evaluate once.

        Raises:
            RuntimeError: If it died, with the last line of what it said.
        """
        try:
            _of(self._process.stdin).write("\n")
            _of(self._process.stdin).flush()
            return json.loads(_of(self._process.stdout).readline())
        except (OSError, ValueError):
            self.close()
            raise RuntimeError(_last(self._errors.read_text(encoding="utf-8"))) from None

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def _of(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("The process has no pipe.")
    return stream


def _last(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it ended without a word"


def install(name: str, folder: Path) -> Path:
    """Install the newest of a library, and our torch where it brings none; return its Python.

    Raises:
        RuntimeError: If it cannot be installed, with the first line that says why.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv is not here, which makes the environment")
    place = folder / name
    _quietly([uv, "venv", "--quiet", "--python", sys.executable, str(place)])
    python = place / "bin" / "python"
    ours = importlib.metadata.version("torch").split("+")[0]
    into = [uv, "pip", "install", "--quiet", "--python", str(python)]
    _quietly([*into, name])  # first: with a torch beside it, a very old one might be chosen
    try:
        _quietly([str(python), "-c", "import torch"])
    except RuntimeError:
        _quietly([*into, f"torch=={ours}"])
    return python


def _quietly(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError((lines or ["it cannot be installed"])[0].strip()[:160])


@contextmanager
def _running(folder: Path, problem: Path, told: dict[str, str]) -> Iterator[dict[str, Peer]]:
    """Install and try every peer; of those that fail, tell why."""
    with ExitStack() as stack:
        found = {}
        for name, module in PEERS.items():
            try:
                python = install(name, folder)
                peer = Peer(python, module, problem)
                stack.callback(peer.close)
                peer()
                found[name] = peer
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                told[name] = str(error).splitlines()[0]
        yield found


def row(settings: Settings) -> list[Table]:
    """Measure on the small CNN, and on ResNet-56 at few points where there is time."""
    tables = [_against("cnn", None, settings, settings.seconds)]
    if not settings.quick:
        tables.append(_against("resnet56", 128, settings, settings.seconds))
    return tables


def _against(name: str, count: int | None, settings: Settings, target: float) -> Table:
    case = CASES[name](count)
    data, told = case.tensors(), dict[str, str]()
    side = min(odd(enough(partial(_ours, case, across=1, data=data), 1, target) ** 0.5), 15)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
        problem = Path(place) / "problem.pt"
        _write(problem, name, case, data, side)
        with _running(Path(place), problem, told) as peers:
            contenders: dict[str, Callable[[], Any]] = {
                "whole": lambda: seconds(lambda: _ours(case, side, side, data)),
                "each": lambda: _each(case, side, data),
                **peers,
            }
            found = interleaved(contenders, settings.rounds)
    whole, each = found.pop("whole"), [one.each * side * side for one in found.pop("each")]
    lines = [["ours, whole", *_line(whole, whole, each, side)]]
    lines += [["ours, a point", *_line(each, whole, each, side)]]
    for peer, runs in found.items():
        times = [one["seconds"] for one in runs]
        remark = "" if runs[-1]["whole"] else "its values are the same at all points"
        lines.append([peer, *_line(times, whole, each, side, remark)])
    lines += [[peer, "", "", "", f"does not run: {why}"] for peer, why in told.items()]
    header = ("who", "s a point", "times ours, whole", "times ours, a point", "remark")
    title = f"{name}, {len(case.dataset):,} samples, {side} x {side} points, 1 metric"
    return Table(title, header, lines, NOTE)


def _line(
    times: list[float], whole: list[float], each: list[float], side: int, remark: str = ""
) -> list[str]:
    return [
        f"{median(times) / side**2:.3g}",
        f"{median_ratio(times, whole):.2f}",
        f"{median_ratio(times, each):.2f}",
        remark,
    ]


def _ours(case: Case, points: int, across: int, data: Any) -> None:
    library.run(case, {"ce": nn.CrossEntropyLoss()}, points, across=across, data=data)


def _each(case: Case, side: int, data: Any) -> Cost:
    return cost(partial(_ours, case, across=1, data=data), 1, odd(side * side))


def _write(path: Path, name: str, case: Case, data: Any, side: int) -> None:
    inputs, targets = data
    given = {
        "network": name,
        "state": case.net.state_dict(),
        "inputs": inputs,
        "targets": targets,
        "side": side,
        "threads": torch.get_num_threads(),
    }
    torch.save(given, path)
