"""Work in a process of its own, so that its memory is its own, too."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.table import REPO

STATUS = Path("/proc/self/status")


def peak() -> float:
    """Return the most memory that this process held since its start, in MiB.

    Linux's ``ru_maxrss`` would begin with what the parent held: it outlives ``exec``.
    """
    if STATUS.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"))
        if found:
            return int(found[1]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: ours, which finds the repository and its programs."""
    own = str(Path(sys.executable).parent)
    path = f"{own}{os.pathsep}{os.environ.get('PATH', '')}"
    modules = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PATH": path, "PYTHONPATH": modules, **more}


def child(module: str, **options: Any) -> dict[str, Any]:
    """Run ``python -m module JSON`` and return what it tells: the JSON in its last line.

    Raises:
        RuntimeError: If it fails; with the last line of what it said.
    """
    command = [sys.executable, "-m", module, json.dumps(options)]
    done = subprocess.run(
        command, cwd=REPO, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise RuntimeError(f"{module} {options}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def tell(found: Mapping[str, Any]) -> None:
    """Tell the parent what was found."""
    sys.stdout.write(json.dumps(dict(found)) + "\n")
