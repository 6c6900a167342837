"""A small run, as the steps get it."""

import sys

import pytest
import yaml

from landscape_lib import config

PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


def build(shift=0.0):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
    for number, parameter in enumerate(net.parameters()):
        nn.init.constant_(parameter, number + 1 + shift)
    nn.init.zeros_(net[1].weight)
    return Problem(net, (torch.ones(4, 2), torch.arange(4) % 3))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Returns the run of a config with such parts; its second weight is zero."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own.py").write_text(PROBLEM)

    def configured(**parts):
        grid = {"x": [-1, 1, 3], "y": [0, 1, 2]}
        settings = {"problem": "own.py:build", "grid": grid, **parts}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"runs": {"own": settings}}))
        return config.load("config.yaml").run("own")

    yield configured
    for name in ("own", "_problem_own"):
        sys.modules.pop(name, None)
