"""Half precision through the pipeline's steps: said, recorded, and kept out of derivatives."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from landscape_lib import InputError
from landscape_lib.steps import check
from landscape_lib.steps.bench import set_up
from landscape_lib.steps.centre import measure_centre
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import evaluate_shard
from landscape_lib.steps.merge import merge_shards
from landscape_lib.steps.probe import probe
from landscape_lib.steps.probe import probed as probed_anew
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_surface

PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem


class Casting(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs.bfloat16())


def build(layer=nn.Linear):
    torch.manual_seed(0)
    net = nn.Sequential(layer(2, 3), nn.Linear(3, 3)).bfloat16()
    return Problem(net, (torch.ones(4, 2), torch.arange(4) % 3))


def whole():
    torch.manual_seed(0)
    return Problem(nn.Linear(2, 3), (torch.ones(4, 2) / 3, torch.arange(4) % 3))


def casting():
    return build(Casting)
"""


@pytest.fixture
def half(run, tmp_path):
    (tmp_path / "half.py").write_text(PROBLEM)
    return lambda build="build", **parts: run(problem=f"half.py:{build}", **parts)


def computed(experiment):
    out = experiment.path("surface.h5")
    make_directions(experiment, experiment.path("directions.h5"))
    probe(experiment, experiment.path("probe.json"))
    evaluate_shard(experiment, 0, 1, experiment.path("0.h5"), Stops())
    merge_shards(experiment, [experiment.path("0.h5")], out)
    return load_surface(out)


def test_precision_is_said_recorded_and_part_of_the_fingerprint(half, caplog):
    caplog.set_level(logging.INFO)
    exact = computed(half())
    assert "own: its weights are bfloat16; they are moved and evaluated in float32" in caplog.text
    own = computed(half(evaluation={"precision": "model"}))
    assert "moved in float32, then rounded once to their own type" in caplog.text
    for surface, name in ((exact, "float32"), (own, "model")):
        assert surface.attributes["weights"] == "bfloat16"
        plan = json.loads(json.loads(surface.attributes["plans"])[0])
        assert plan["precision"] == name
    assert exact.attributes["fingerprint"] != own.attributes["fingerprint"]
    assert exact["train_loss"].tobytes() != own["train_loss"].tobytes()
    np.testing.assert_allclose(exact["train_loss"], own["train_loss"], rtol=0.1)
    assert json.loads(Path("results/own/probe.json").read_text())["weights"] == "bfloat16"


def test_derivatives_are_never_taken_in_half_precision(half):
    experiment = half(evaluation={"precision": "model"}, directions={"kind": "hessian"})
    surface = computed(experiment)
    measure_centre(experiment, experiment.path("centre.json"), Stops())
    centre = json.loads(experiment.path("centre.json").read_text())
    assert (centre["precision"], centre["derivatives"]) == ("bfloat16", "float32")
    assert centre["values"]["train_loss"] == surface["train_loss"][1, 0]
    assert centre["gradient"]["norm"] > 0
    with pytest.raises(InputError, match=r"the model is bfloat16, in which derivatives are mostly"):
        computed(half(evaluation={"precision": "model", "curvature": True}))


def test_what_bf16_changes_is_in_the_probe_and_in_the_surface(half, caplog):
    caplog.set_level(logging.INFO)
    experiment = half("whole", evaluation={"precision": "bf16"})
    surface = computed(experiment)
    probed = json.loads(Path("results/own/probe.json").read_text())
    assert probed["plan"]["precision"] == "bf16"
    assert probed["rounding"] == json.loads(surface.attributes["rounding"])
    here, far = probed["rounding"]["errors"]["train_loss"]
    assert 0 < here < 0.05
    assert 0 < far < 0.05
    assert "bf16: train_loss differs from float32 by" in caplog.text
    shown = check._rounding(probed_anew(experiment, set_up(experiment)))
    assert shown == {"rounding": f"train_loss differs from float32 by up to {max(here, far):.1e}"}
    measure_centre(experiment, experiment.path("centre.json"), Stops())
    centre = json.loads(experiment.path("centre.json").read_text())
    assert (centre["precision"], centre["derivatives"]) == ("bfloat16", "float32")
    assert centre["values"]["train_loss"] == surface["train_loss"][1, 0]
    exact = half("whole")
    computed(exact)
    assert "rounding" not in json.loads(Path("results/own/probe.json").read_text())


def test_tf32_is_refused_by_the_config_and_by_the_probe(half, monkeypatch):
    with pytest.raises(
        InputError, match=r"evaluation.precision: found 'tf32'; allowed: 'float32' on"
    ):
        half(evaluation={"device": "cpu", "precision": "tf32"})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    experiment = half(evaluation={"precision": "tf32"})
    with pytest.raises(InputError, match=r"'tf32' is a way in which an NVIDIA GPU multiplies"):
        probe(experiment, experiment.path("probe.json"))


def test_a_cast_in_forward_that_meets_other_weights_is_told_the_way_out(half):
    with pytest.raises(InputError, match=r"Two floating-point types meet.*'precision: model'"):
        computed(half("casting"))
    assert np.isfinite(
        computed(half("casting", evaluation={"precision": "model"}))["train_loss"]
    ).all()
