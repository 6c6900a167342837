"""A small run, taken step by step in this process as the pipeline takes it, and its truth."""

import contextlib
import importlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from landscape_lib.utils.storage import load_surface

RUN = Path("results/own")
PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


def build(checkpoint):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    net.load_state_dict(torch.load(checkpoint, weights_only=True))
    generator = torch.Generator().manual_seed(0)
    return Problem(net, (torch.randn(20, 3, generator=generator), torch.arange(20) % 3))
"""
CONFIG = {
    "runs": {
        "own": {
            "problem": "faults_problem.py:build",
            "args": {"checkpoint": "model.pt"},
            "grid": {"x": [-1, 1, 4], "y": [0, 1, 3], "shards": 2},
            "evaluation": {"device": "cpu"},
        }
    }
}
STEPS = {  # what the pipeline runs, in its order, by what each is for
    "directions.h5": ["make_directions"],
    "probe.json": ["probe"],
    "shards/0-of-2.h5": ["evaluate_shard", "--shard", "0", "--of", "2"],
    "shards/1-of-2.h5": ["evaluate_shard", "--shard", "1", "--of", "2"],
    "surface.h5": ["merge_shards", "--of", "2"],
}


@dataclass(frozen=True)
class Done:
    """What a program did: its exit code, and everything that it printed."""

    code: int
    said: str


def call(script: str, *arguments: str) -> Done:
    """Call a script's ``main`` in this process; what passes ``main`` is part of what it said."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = importlib.import_module(f"scripts.{script}").main(list(arguments))
        except SystemExit as error:  # argparse
            code = error.code if isinstance(error.code, int) else 1
    return Done(code, said.getvalue())


def resume() -> Done:
    """Type the same command again: run every step whose file is missing, until one fails."""
    for file, (script, *more) in STEPS.items():
        if not (RUN / file).exists():
            done = call(
                script, "--config", "config.yaml", "--run", "own", *more, "--out", f"{RUN / file}"
            )
            if done.code:
                return done
    return Done(0, "")


def drop_from(file: str) -> None:
    """Remove a step's file and those of all steps after it, as Snakemake would have them remade."""
    for later in list(STEPS)[list(STEPS).index(file) :]:
        (RUN / later).unlink(missing_ok=True)


def bits(path: Path = RUN / "surface.h5") -> tuple[object, ...]:
    """Return everything of a surface that must be equal to the last bit."""
    surface = load_surface(path)
    values = {key: surface[key].tobytes() for key in surface.keys}
    told = {name: surface.attributes[name] for name in ("fingerprint", "plans", "directions")}
    return surface.grid, values, dict(surface.labels), told


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, with its problem file to be imported, and one thread."""
    before, paths = Path.cwd(), [*sys.path]
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = paths
        for name in [n for n, m in sys.modules.items() if "faults_problem" in n]:
            del sys.modules[name]


def new_world(folder: Path) -> tuple[object, ...]:
    """Write the project, run it to its end, and return the true surface's bits."""
    folder.mkdir(parents=True)
    (folder / "faults_problem.py").write_text(PROBLEM)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    generator = torch.Generator().manual_seed(1)
    shapes = {"0.weight": (4, 3), "0.bias": (4,), "2.weight": (3, 4), "2.bias": (3,)}
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    with inside(folder):
        torch.save(state, "model.pt")
        done = resume()
        assert done.code == 0, done.said
        return bits()


def copied(world: Path, folder: Path) -> Path:
    """Return a copy of the project for one case."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world, folder)
    return folder
