"""A folder with a config in which the pipeline, or a step of it, is started."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.children import environment
from benchmarks.table import REPO

RUN = "own"


@contextlib.contextmanager
def project(problem: str, **settings: Any) -> Iterator[Path]:
    """Lend a folder with a config of one run; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        write_config(folder, {"problem": f"benchmarks.brought:{problem}", **settings})
        yield folder


def write_config(folder: Path, run: Mapping[str, Any]) -> None:
    """Write the config; JSON is YAML."""
    text = json.dumps({"runs": {RUN: dict(run)}})
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def script(folder: Path, name: str, *words: str) -> None:
    """Run one of the pipeline's scripts in the folder.

    Raises:
        RuntimeError: If it fails, with what it said last.
    """
    path = str(REPO / "scripts" / f"{name}.py")
    run(folder, [sys.executable, path, "--config", "config.yaml", "--run", RUN, *words])


def run(folder: Path, command: list[str]) -> None:
    """Run a command in the folder.

    Raises:
        RuntimeError: If it fails, with what it said last.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-20:]
        raise RuntimeError(f"{Path(command[1]).name} failed: " + "\n".join(said))
