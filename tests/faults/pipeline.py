"""The real pipeline in a folder of its own, with a metric that notes down whatever it evaluates."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
import yaml

from landscape_lib.utils.journal import LINES, _decode_event, decode

REPO = Path(__file__).resolve().parents[2]
FREE = {"date", "host", "versions"}  # of a surface's attributes: what another run may say
REFERENCES = {
    "DIMENSION_LIST",
    "REFERENCE_LIST",
}  # of an axis to its values, by address in the file
PROBLEM = """\
import os
import sys
import time

import torch
from torch import nn

from landscape_lib import Problem

BORN = open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]  # ids of processes come again
SHARD = sys.argv[0].endswith("evaluate_shard.py")
SECONDS = float(os.environ.get("METRIC_SECONDS", "0"))


def build(checkpoint):
    net = nn.Linear(2, 1, bias=False)
    net.load_state_dict(torch.load(checkpoint, weights_only=True))
    return Problem(net, (torch.zeros(3, 2), torch.zeros(3, 1)), metrics=metric)


def metric(net, loader, use_cuda):
    east, north = net.weight.detach().flatten().tolist()
    if SHARD:
        with open("evaluations.txt", "a") as log:
            log.write(f"{os.getpid()}-{BORN} {east.hex()} {north.hex()}\\n")
        time.sleep(SECONDS)
    return {"height": 10 * east + north, "bowl": east * east + north * north}
"""


class Process(NamedTuple):
    """A living process that works in the folder.

    Attributes:
        number: Its id.
        script: Which of our scripts it runs, ``snakemake``, or nothing where it is a shell.
        name: Its id and when it was born: ids come round again.
    """

    number: int
    script: str
    name: str


@dataclass
class Pipeline:
    """A folder with a config of one run, and the command that a user types in it."""

    folder: Path
    options: tuple[str, ...] = ()
    seconds: float = 0.0  # that a point takes
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(
        cls, folder: Path, grid: Mapping[str, Any], seconds: float, options: tuple[str, ...] = ()
    ) -> "Pipeline":
        """Write the project."""
        folder.mkdir(parents=True)
        (folder / "counted.py").write_text(PROBLEM)
        torch.save({"weight": torch.tensor([[1.0, 2.0]])}, folder / "model.pt")
        run = {
            "problem": "counted.py:build",
            "args": {"checkpoint": "model.pt"},
            "grid": dict(grid),
        }
        evaluation = {"device": "cpu", "plan": {"threads": 1}}  # so that shards run side by side
        config = {"runs": {"own": run | {"evaluation": evaluation}}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return cls(folder, options, seconds)

    def start(self, *targets: str, at: Path | None = None) -> subprocess.Popen:
        """Type the command, as the head of a process group; ``said.txt`` gets what it says."""
        own = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "PATH": f"{own}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPO),
            "OMP_NUM_THREADS": "1",
            "METRIC_SECONDS": str(self.seconds),
            **self.environment,
        }
        snakefile = REPO / "workflow" / "Snakefile"
        command = [sys.executable, "-m", "snakemake", *targets, "-s", str(snakefile)]
        with (self.folder / "said.txt").open("a") as said:
            return subprocess.Popen(
                [*command, *self.options, "--configfile", "config.yaml"],
                cwd=at or self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *targets: str) -> None:
        """Run it to its end."""
        code = self.start(*targets).wait()
        assert code == 0, (self.folder / "said.txt").read_text()

    def processes(self) -> list[Process]:
        """Return every living process whose working directory is the folder."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "cwd") == str(self.folder):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    born = (entry / "stat").read_text().rsplit(")", 1)[1].split()[19]
                    name = f"{entry.name}-{born}"
                    found.append(Process(int(entry.name), _script(words), name))
            except OSError:
                continue
        return found

    def evaluations(self) -> list[tuple[str, str]]:
        """Return every evaluation by a shard: the process, and the point's weights."""
        log = self.folder / "evaluations.txt"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]

    def journals(self) -> list[Path]:
        """Return the files of all writers."""
        return sorted(self.folder.glob("results/own/journal/*/*.jsonl"))

    def lines(self) -> Counter[tuple[float, ...] | None]:
        """Return how often each point's values are in the journals; None: damaged lines.

        Lines that tell of a process that died hold no values.
        """
        lines = [line for path in self.journals() for line in LINES.split(path.read_bytes())]
        entries = [decode(line) for line in lines if line and _decode_event(line) is None]
        return Counter(entry[0] if entry else None for entry in entries)

    def files(self) -> set[str]:
        """Return the names of all results, without what differs by design.

        That is journals, locks, and the preview that a program leaves which is told to end.
        """
        results = self.folder / "results"
        names = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
        kept = {name for name in names if not name.endswith((".jsonl", ".lock"))}
        return {name for name in kept if not name.startswith("own/preview")}

    def surface(self) -> dict[str, object]:
        """Return all that a surface says, but date, host and versions."""
        told: dict[str, object] = {}
        with h5py.File(self.folder / "results/own/surface.h5") as handle:
            places: list[str] = []
            handle.visit(places.append)
            for place in ["/", *places]:
                item = handle[place]
                if isinstance(item, h5py.Dataset):
                    told[place] = item.dtype.str, item.shape, item[()].tobytes()
                for name in set(item.attrs) - FREE - REFERENCES:
                    value = item.attrs[name]
                    plain = value.tolist() if isinstance(value, np.ndarray) else value
                    told[f"{place}@{name}"] = plain
        return told


def _script(words: list[bytes]) -> str:
    names = [Path(os.fsdecode(word)) for word in words[:4]]
    if any(name.name == "snakemake" for name in names):
        return "snakemake"
    return next((n.stem for n in names if n.suffix == ".py" and n.parent.name == "scripts"), "")


def differences(found: Pipeline, wanted: Pipeline, *, shards: bool = False) -> list[str]:
    """Return what differs between the results of two folders; nothing may.

    Args:
        found: The folder in question.
        wanted: One where nothing was disturbed.
        shards: Whether the grids are cut into other numbers of them.
    """
    free = {"/@config", "/@shards"} if shards else set()
    ours, theirs = found.surface(), wanted.surface()
    told = [name for name in ours.keys() | theirs if ours.get(name) != theirs.get(name)]
    left, right = (
        {n for n in p.files() if not shards or "/shards/" not in n or ".tmp" in n}
        for p in (found, wanted)
    )
    told += [f"{name} is missing" for name in right - left]
    return sorted(set(told) - free) + sorted(f"{name} is left over" for name in left - right)
