"""A model that others have spread over devices is left where it is; one without numbers refused."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib import InputError, LossLandscape, Problem
from landscape_lib.core.lending import is_spread, lay_out_weights

RANGES = {"xrange": (-1, 1, 3), "yrange": (0, 1, 2), "save": False}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def data():
    return torch.randn(9, 3, generator=torch.Generator().manual_seed(1)), torch.arange(9) % 2


def test_a_model_that_a_device_map_spreads_is_left_where_it_is():
    net = network()
    wrapped = nn.Sequential(net)
    for places, spread in (({"0": 0, "1": 1}, True), ({"": 0}, False), (None, False)):
        net.hf_device_map = places
        assert is_spread(wrapped) is spread
    net.hf_device_map = {"0": 0, "1": "cuda:1"}
    lay_out_weights(wrapped, "cuda", torch.float64, channels_last=False)  # there is no CUDA here
    assert {(t.device.type, t.dtype) for t in net.parameters()} == {("cpu", torch.float64)}


def test_a_model_with_the_hooks_of_accelerate_has_the_same_surface():
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    net = network()
    wanted = LossLandscape(net, data()).compute_2d(**RANGES, seed=1)["losses"]
    places = dict.fromkeys(("0", "1", "2", "3"), "cpu")
    hooked = accelerate.dispatch_model(network(), places, force_hooks=True)
    before = {name: tensor.clone() for name, tensor in hooked.state_dict().items()}
    found = LossLandscape(hooked, data()).compute_2d(**RANGES, seed=1)["losses"]
    assert found.tobytes() == wanted.tobytes()
    assert np.unique(found).size == 6
    assert all(torch.equal(before[name], t) for name, t in hooked.state_dict().items())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_accelerate_has_offloaded_is_refused(tmp_path):
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    for offloaded in (
        accelerate.cpu_offload(network(), execution_device="cpu"),
        accelerate.disk_offload(network(), str(tmp_path), execution_device="cpu"),
    ):
        with pytest.raises(InputError, match=r"6 of its tensors \(0\.weight.*has offloaded them"):
            LossLandscape(offloaded, data())


def test_a_model_that_was_made_in_inference_mode_is_refused_outside_of_it():
    with torch.inference_mode():
        net = network()
        assert Problem(net, data()).model is net
    with pytest.raises(InputError, match=r"'0\.weight' was made in torch\.inference_mode\(\)"):
        Problem(net, data())


def test_a_model_that_was_built_empty_is_refused():
    with torch.device("meta"):
        net = network()
    with pytest.raises(InputError, match=r"has no numbers for 9 of its tensors.*built empty"):
        Problem(net, data())
    net.load_state_dict(network().state_dict(), assign=True)
    assert Problem(net, data()).model is net
