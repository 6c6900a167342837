"""A process that a metric forks never evaluates, or writes, anything of ours."""

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SCRIPT = """
import logging, os, sys
import torch
from torch import nn
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.evaluator import measure
from landscape_lib.core.grid import Axis, Grid

logging.basicConfig(format="%(message)s")
net = nn.Linear(2, 1)
parent, codes, written = os.getpid(), [], open("written.txt", "a")

def raises():
    raise ValueError("a child")

does = iter([lambda: None, raises, lambda: sys.exit(7)])

def metric(net):
    do, child = next(does), os.fork()
    if child == 0:
        do()
    else:
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return {"a": 1.0}

def record(point, values):
    written.write(f"{os.getpid() == parent}\\n")
    written.flush()

measure(net, metric, [create_random_direction(net, seed=0)], Grid((Axis(0, 1, 3),)), range(3),
        record=record)
print(codes)
"""


def test_a_child_that_comes_back_into_our_code_ends_there_and_is_told_of_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([0, 1, 7])  # it returned, raised, and exited
    assert (tmp_path / "written.txt").read_text() == "True\n" * 3
    assert done.stderr.count("forked a process") == 1
