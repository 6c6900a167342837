"""A small project on disk, and ways to run the pipeline in it and count what it did.

Starting the pipeline, and each of its jobs, takes a second or two, so tests ask for no more than
their law is about: a dry run where that is what would run, the surfaces where it is what is
evaluated.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
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


def build(checkpoint):
    net = nn.Linear(2, 1, bias=False)
    net.load_state_dict(torch.load(checkpoint, weights_only=True))

    def metric(net, loader, use_cuda):
        with open("evaluations.txt", "a") as log:
            log.write(Path(sys.argv[0]).stem + "\\n")
        while sys.argv[0].endswith("evaluate_shard.py") and held():
            time.sleep(0.01)
        return {helper}.values(net.weight.detach().flatten())

    return Problem(net, (torch.zeros(3, 2), torch.zeros(3, 1)), metrics=metric)


def held():
    try:
        last = int(Path("hold").read_text())
    except FileNotFoundError:
        return False
    return Path("evaluations.txt").read_text().count("evaluate_shard") >= last
"""
HELPER = """\
from pathlib import Path


def values(w):
    if w[0] > 1.3 and Path("trouble").exists():
        raise RuntimeError("the metric broke")
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

    def due(self) -> dict[str, set[str]]:
        """Return the rules that the whole pipeline would run, for every run; nothing is run."""
        return rules_of(self.run("-n"))

    def refreshed(self) -> tuple[dict[str, set[str]], int]:
        """Bring the surfaces up to date; return all rules that a change makes due, and points.

        The rules are those that ran, and those that the whole pipeline would run after them.
        """
        ran, points = self.ran(*(f"results/{name}/surface.h5" for name in self.names()))
        for name, rules in self.due().items():
            ran[name] = ran.get(name, set()) | rules
        return ran, points

    def names(self) -> list[str]:
        """The runs in the config."""
        return list(yaml.safe_load((self.folder / "config.yaml").read_text())["runs"])

    def hold(self, point: int) -> None:
        """Let the ``point``-th evaluation by shards, and any after it, last until ``release``."""
        (self.folder / "hold").write_text(str(point))

    def release(self) -> None:
        (self.folder / "hold").unlink()

    def points(self) -> int:
        """How many times a metric was evaluated by shards, over the project's whole life."""
        log = self.folder / "evaluations.txt"
        return log.read_text().split().count("evaluate_shard") if log.exists() else 0

    def log(self, name: str) -> str:
        """What a job has said so far."""
        path = self.folder / "logs" / name
        return path.read_text() if path.exists() else ""

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


def datasets(path: Path) -> dict[str, bytes]:
    """Return the bytes of every dataset of an HDF5 file, also in its groups."""
    found: dict[str, bytes] = {}

    def keep(name, item) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def rules_of(output: str) -> dict[str, set[str]]:
    """Read from what Snakemake printed the rules of its jobs, by run; ``all``: of all runs."""
    found: dict[str, set[str]] = {}
    for rule, body in re.findall(
        r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", output, re.MULTILINE
    ):
        run = re.search(r"wildcards: run=(\w+)", body)
        if rule != "all":
            found.setdefault(run[1] if run else "all", set()).add(rule)
    return found


def new_project(folder: Path) -> Project:
    """Write the project: ``one`` has two shards, ``two`` has one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("one", "two")):
        (folder / f"{name}.py").write_text(PROBLEM.format(helper=f"{name}_helper"))
        (folder / f"{name}_helper.py").write_text(HELPER)
        torch.save({"weight": torch.tensor([[1.0 + number, 2.0]])}, folder / f"{name}.pt")
    config = {
        "runs": {
            name: {
                "problem": f"{name}.py:build",
                "args": {"checkpoint": f"{name}.pt"},
                "grid": {"x": [-1, 1, 5], "y": [0, 3, 4], "shards": shards},
            }
            for name, shards in (("one", 2), ("two", 1))
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


PROBED = {"probe.json", "directions.h5", "directions.h5.sha256"}


@pytest.fixture
def probed(project) -> Project:
    """One run in one shard, probed, with directions: evaluating is what comes next."""
    project.configure(lambda config: config["runs"].pop("two"))
    project.configure(lambda config: config["runs"]["one"]["grid"].update(shards=1))
    (project.folder / "evaluations.txt").unlink()
    for path in (project.folder / "results/one").iterdir():
        if path.is_dir() and path.name != "journal":
            shutil.rmtree(path)
        elif path.is_file() and path.name not in PROBED:
            path.unlink()
    for journal in project.folder.glob("results/one/journal/*/"):
        shutil.rmtree(journal)
    return project
