"""A small project on disk, and ways to run the pipeline in it and count what it did."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from landscape_lib.utils.journal import decode

REPO = Path(__file__).resolve().parents[2]
PROBLEM = """\
import sys
import time
from pathlib import Path

import torch
from torch import nn

from landscape_lib import Problem

import {helper}


def build(checkpoint, pause=0.0):
    net = nn.Linear(2, 1, bias=False)
    net.load_state_dict(torch.load(checkpoint, weights_only=True))

    def metric(net, loader, use_cuda):
        with open("evaluations.txt", "a") as log:
            log.write(Path(sys.argv[0]).stem + "\\n")
        if sys.argv[0].endswith("evaluate_shard.py"):
            time.sleep(pause)
        return {helper}.values(net.weight.detach().flatten())

    return Problem(net, (torch.zeros(3, 2), torch.zeros(3, 1)), metrics=metric)
"""
HELPER = """\
def values(w):
    return {"height": 10 * w[0] + w[1]}
"""


@dataclass
class Project:
    """A folder with a config of two runs, ``one`` and ``two``, and what was done in it."""

    folder: Path
    library: Path = REPO

    def command(self, *arguments: str) -> list[str]:
        """Return the command that a user types, with another working directory."""
        snakefile = self.library / "workflow" / "Snakefile"
        return [
            *(sys.executable, "-m", "snakemake", "-s", str(snakefile), "--cores", "1"),
            *arguments,
            *("--configfile", "config.yaml", "--resources", "gpu=1"),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """Jobs find the same python; one thread each, as the tests run side by side."""
        own = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{own}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.library),
            "OMP_NUM_THREADS": "1",
        }

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run the pipeline to its end; return what it printed."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == code, output
        return output

    def ran(self, *arguments: str) -> tuple[dict[str, set[str]], int]:
        """Run the pipeline; return the rules that ran, for every run, and points evaluated."""
        before = self.points()
        return rules_of(self.run(*arguments)), self.points() - before

    def points(self) -> int:
        """How many times a metric was evaluated by shards, over the project's whole life."""
        log = self.folder / "evaluations.txt"
        return log.read_text().split().count("evaluate_shard") if log.exists() else 0

    def journal(self, run: str) -> list[tuple[float, ...]]:
        """The coordinates of every whole line in the run's journals, in no order."""
        lines = [
            line
            for path in self.folder.glob(f"results/{run}/journal/*/*.jsonl")
            for line in path.read_bytes().split(b"\n")
        ]
        return [entry[0] for line in lines if (entry := decode(line)) is not None]

    def configure(self, change) -> None:
        """Let ``change`` edit the config's mapping in place."""
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    def copy(self, to: Path) -> "Project":
        shutil.copytree(self.folder, to, symlinks=True, dirs_exist_ok=True)
        return Project(to, self.library)


def rules_of(output: str) -> dict[str, set[str]]:
    """Read the rules that were executed, by run, from what Snakemake printed."""
    found: dict[str, set[str]] = {}
    for rule, body in re.findall(
        r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", output, re.MULTILINE
    ):
        run = re.search(r"wildcards: run=(\w+)", body)
        if run:
            found.setdefault(run[1], set()).add(rule)
    return found


def new_project(folder: Path, **options) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("one", "two")):
        (folder / f"{name}.py").write_text(PROBLEM.format(helper=f"{name}_helper"))
        (folder / f"{name}_helper.py").write_text(HELPER)
        torch.save({"weight": torch.tensor([[1.0 + number, 2.0]])}, folder / f"{name}.pt")
    config = {
        "runs": {
            name: {
                "problem": f"{name}.py:build",
                "args": {"checkpoint": f"{name}.pt", **options},
                "grid": {"x": [-1, 1, 5], "y": [0, 3, 4], "shards": 2},
            }
            for name in ("one", "two")
        }
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return Project(folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project whose runs are finished, made once for all workers; tests work on copies."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / "finished"
    with (root / "finished.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            project = new_project(folder)
            project.run()
            assert project.points() == 2 * 5 * 4
            (folder / "done").touch()
    return Project(folder)


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A finished project of one's own, moved to another folder."""
    return finished.copy(tmp_path / "moved")
