"""Times another library in its own environment: a run for every line on standard input."""

import contextlib
import importlib
import io
import json
import sys
import time
from typing import Any

import numpy as np
import torch

from benchmarks.networks import BUILDERS


def main(name: str, path: str) -> None:
    """Read the problem, then answer every line with one run's seconds and values."""
    given = torch.load(path, weights_only=True)
    torch.set_num_threads(given["threads"])
    net = BUILDERS[given["network"]]()
    net.load_state_dict(given["state"])
    net.eval()
    walk = importlib.import_module(f"benchmarks.peers.{name}").walk
    for _ in sys.stdin:
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            values = walk(net, given["inputs"], given["targets"], given["side"])
        answer(time.perf_counter() - start, values, given["side"] ** 2)


def answer(took: float, values: Any, points: int) -> None:
    """Tell seconds, and whether there is a value for every point, and not the same for all."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    whole = flat.size == points and bool(np.ptp(flat) > 0)
    sys.stdout.write(json.dumps({"seconds": took, "whole": whole}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
