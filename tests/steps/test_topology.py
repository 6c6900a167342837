"""Basins of a loss with six wells, through the config and through the library."""

import json

import numpy as np
import torch
import yaml
from torch import nn

from landscape_lib import LossLandscape, config, merge_tree
from landscape_lib.steps.centre import measure_centre
from landscape_lib.steps.dependencies import picture_targets
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_surface
from scripts import plot_persistence
from tests.steps.test_verdict import finished, judged

PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


class Wells(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, inputs):
        x, y = self.w
        wells = torch.cos(6.2831853 * x) + torch.cos(6.2831853 * y) + 0.1 * x + 0.05 * y
        return wells + 0 * inputs


def build():
    return Problem(Wells(), (torch.zeros(4, 1), torch.zeros(4, 1)), metrics={"height": height})


def height(outputs, targets):
    return outputs[:, 0]
"""
GRID = {"x": [0, 3, 61], "y": [0, 2, 41]}


def targets_of(model):
    """Models at one step along either axis."""
    return [{"w": torch.eye(2)[axis]} for axis in range(2)]


def check(surface):
    found = merge_tree(surface["train_loss_height"])
    places = sorted(tuple(round(n / 20, 2) for n in basin.minimum) for basin in found)
    assert places == [(x, y) for x in (0.5, 1.5, 2.5) for y in (0.5, 1.5)]
    np.testing.assert_allclose([basin.death for basin in found[1:]], 0.2, atol=0.2)


def test_a_config_counts_and_draws_them(run, tmp_path):
    (tmp_path / "own.py").write_text(PROBLEM)
    for name, state in zip("xy", targets_of(None), strict=True):
        torch.save(state, f"{name}.pt")
    directions = {name: {"kind": "target", "model": f"{name}.pt"} for name in "xy"}
    asked = {"grid": GRID, "directions": directions, "verdict": {"eigenvalues": 0, "trace": False}}
    here = finished(run(**asked, figures={"topology": True}))
    check(load_surface(here.path("surface.h5")))
    measure_centre(here, here.path("centre.json"), Stops())
    told = {number["name"]: number for number in judged(here)["numbers"]}
    assert told["local minima"]["value"] == told["basins"]["value"] == 6
    assert "above 2 standard errors" in told["basins"]["definition"]
    assert "0 of them at the border of the grid" in told["basins"]["definition"]
    assert "<td>basins" in here.path("verdict.html").read_text()
    assert plot_persistence.main(["--run", "own", "--config", "config.yaml", "--key", *KEY]) == 0
    picture = here.path("figures", "train_loss_height_persistence.pdf")
    assert picture.exists()
    assert picture.as_posix() in picture_targets(here, ["train_loss_height"])
    assert picture.as_posix() not in picture_targets(run(**asked), ["train_loss_height"])
    assert plot_persistence.main(["--run", "own", "--config", "config.yaml", "--key", "no"]) == 2


KEY = ["train_loss_height"]


def test_the_library_counts_and_draws_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(compile(PROBLEM, "own", "exec"), space)
    data = (torch.zeros(4, 1), torch.zeros(4, 1))
    landscape = LossLandscape(space["Wells"](), data, {"height": space["height"]})
    x, y = (nn.ParameterDict(state) for state in targets_of(None))
    ranges = {name + "range": limits for name, limits in GRID.items()}
    landscape.compute_2d(**ranges, x_target=x.state_dict(), y_target=y.state_dict())
    check(landscape.surface)
    assert len(landscape.basins("train_loss_height")) == 6
    assert [path.name for path in landscape.plot_topology()] == [
        "loss_surface.h5_train_loss_height_persistence.pdf"
    ]
    (figure, *_) = landscape.plot_2d_contour(topology=True).figures
    assert [len(n.get_xdata()) for n in figure.axes[0].lines if n.get_gid() == "minima"] == [6]
    verdict = landscape.verdict(eigenvalues=0, trace=False)
    assert [n["value"] for n in verdict["numbers"] if n["name"] == "basins"] == [6]
    other = LossLandscape(space["Wells"](), data, {"height": space["height"]})  # from the file
    assert other.basins("train_loss_height") == landscape.basins("train_loss_height")
    assert json.loads((tmp_path / "loss_surface.h5_verdict.json").read_text())["numbers"]


def test_the_key_stands_in_a_config(tmp_path):
    told = {"runs": {"own": {"problem": "own.py:build", "grid": GRID}}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**told, "figures": {"topology": True}}))
    assert config.load(tmp_path / "c.yaml").run("own").figures.topology
