"""Units that change places together, found in the network itself."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from landscape_lib.between.groups import permutation_groups
from landscape_lib.between.matching import permuted
from landscape_lib.core.errors import InputError
from tests.between.networks import NETWORKS, Asking, Cut, Half, network


@pytest.mark.parametrize("name", NETWORKS)
def test_permuted_units_leave_the_function_alone(name):
    model, images = network(name), torch.randn(5, 2, 4, 4, dtype=torch.float64)
    groups = permutation_groups(model)
    orders = [torch.arange(group.size).roll(1) for group in groups]
    before = model(images)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.load_state_dict(permuted(state, groups, orders))
    changed = [key for key, t in model.state_dict().items() if not torch.equal(t, state[key])]
    assert len(changed) > len(groups)
    torch.testing.assert_close(model(images), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mlp", [7, 5]),
        ("functions", [5, 4, 6]),
        ("depthwise", [6, 4, 5]),
        ("means", [5, 4]),
        ("transposed", [5, 4]),
        ("residual", [3, 3, 6, 6, 12, 12]),  # a stream is one group, also across its shortcut
        ("without skips", [3, 3, 3, 6, 6, 12, 12]),
    ],
)
def test_every_hidden_layer_is_found(name, sizes):
    assert [group.size for group in permutation_groups(network(name))] == sizes


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (nn.Sequential(nn.Linear(4, 6), nn.RReLU(), nn.Linear(6, 2)), "the layer '1', a RReLU"),
        (nn.Sequential(nn.Conv2d(4, 6, 1), nn.Conv2d(6, 4, 1, groups=2)), "'1', a Conv2d of 2 gr"),
        (nn.Sequential(nn.Conv2d(2, 6, 1), nn.GroupNorm(3, 6)), "'1', a GroupNorm of 3 groups"),
        (nn.Sequential(nn.Linear(6, 6), nn.LSTM(6, 2)), "the layer '1', a LSTM"),
        (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Linear(8, 2)), "'1': its 8 inputs are not the 3"),
        (nn.Sequential(weight_norm(nn.Linear(4, 6)), nn.Linear(6, 2)), "'0.weight', which is comp"),
        (Half(), r"the operation 'mean' at 'mean' \(behind conv\)"),
        (Cut(), r"the operation 'getitem' at 'getitem' \(behind first\)"),
        (Asking(), "Asking cannot be traced by torch.fx"),
    ],
    ids=[
        "layer",
        "groups",
        "norm",
        "recurrent",
        "shape",
        "computed",
        "mean",
        "operation",
        "branch",
    ],
)
def test_where_no_permutation_is_known_the_layer_is_named(model, told):
    with pytest.raises(InputError, match=told):
        permutation_groups(model)


def test_a_tensor_that_layers_share_is_named():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    with pytest.raises(InputError, match=r"'2\.weight', which is shared between layers"):
        permutation_groups(model)
