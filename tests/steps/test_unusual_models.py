"""Models that are put together in unusual ways go through the pipeline's steps as others do."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib.problems.build import build_problem
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import evaluate_shard
from landscape_lib.steps.merge import merge_shards
from landscape_lib.steps.probe import probe
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_directions, load_surface

PROBLEM = """\
import io

import torch
from torch import nn

from landscape_lib import Problem


class Remembering(nn.Linear):
    def get_extra_state(self):
        return io.BytesIO(b"scales")  # which prints where in memory it is

    def set_extra_state(self, state):
        pass


def problem(net):
    return Problem(net, (torch.linspace(-1, 1, 36).view(9, 4).sin(), torch.arange(9) % 4))


def remembering():
    torch.manual_seed(0)
    return problem(Remembering(4, 4))


def tied(kind="float32"):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4))
    net.to(getattr(torch, kind))
    net[2].weight.data = net[0].weight.data
    return problem(net)
"""


@pytest.mark.parametrize(
    ("name", "args", "moving"),
    [
        ("remembering", {}, ("weight", "bias")),
        ("tied", {}, ("0.weight", "2.bias")),
        ("tied", {"kind": "bfloat16"}, ("0.weight", "2.bias")),
    ],
    ids=["extra state", "tied by data", "tied by data, in bfloat16"],
)
def test_the_centre_of_the_surface_is_the_models_own_loss(run, tmp_path, name, args, moving):
    (tmp_path / "unusual.py").write_text(PROBLEM)
    experiment = run(
        problem=f"unusual.py:{name}", args=args, grid={"x": [-1, 1, 5], "y": [-1, 1, 3]}
    )
    make_directions(experiment, experiment.path("directions.h5"))
    probe(experiment, experiment.path("probe.json"))
    evaluate_shard(experiment, 0, 1, experiment.path("0.h5"), Stops())
    merge_shards(experiment, [experiment.path("0.h5")], experiment.path("surface.h5"))
    found = load_surface(experiment.path("surface.h5"))["train_loss"]
    problem = build_problem(experiment.problem, experiment.args)
    inputs, targets = problem.data
    with torch.no_grad():
        outputs = problem.model.float()(inputs)
    np.testing.assert_allclose(
        found[2, 1], nn.functional.cross_entropy(outputs, targets).item(), rtol=1e-6
    )
    assert load_directions(experiment.path("directions.h5"))[0].names == moving
