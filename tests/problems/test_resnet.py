"""The paper's networks: the sizes it states, and truly with and without skips."""

import pytest
import torch
from torch import nn

from landscape_lib.core.errors import InputError
from landscape_lib.problems.resnet import BasicBlock, ResNet


def layers(net):
    """Return the layers with weights by name, the 1 x 1 convolutions of skips left out."""
    return {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
    }


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


def flop_of(net, image):
    """Count two operations a multiply-add of every convolution and linear layer."""
    counts = []

    def count(module, inputs, output):
        each = module.weight[0].numel()  # multiply-adds of one number of the output
        counts.append(2 * each * output[0].numel())

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        net.eval()(image)
    return sum(counts)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (2, 4, 4), (3, 7, 13)], ids=str)
@pytest.mark.parametrize("skip", [True, False])
def test_any_image_of_four_by_four_or_more_gets_its_scores(shape, skip):
    net = ResNet(8, skip=skip, width=4, channels=shape[0], classes=7)
    scores = net(torch.rand(2, *shape))
    assert scores.shape == (2, 7)
    scores.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_the_stages_halve_the_image_and_double_the_channels():
    net, shapes = ResNet(14), []
    for stage in (net.layer1, net.layer2, net.layer3):
        stage.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape[1:]))
    net(torch.rand(2, 3, 32, 24))
    assert shapes == [(16, 32, 24), (32, 16, 12), (64, 8, 6)]


@pytest.mark.parametrize("depth", [8, 14, 20, 56, 110])
@pytest.mark.parametrize("skip", [True, False])
def test_depth_counts_the_layers_with_weights(depth, skip):
    assert len(layers(ResNet(depth, skip=skip))) == depth


def test_resnet_56_has_the_size_that_its_papers_state():
    net = ResNet(56)
    assert parameters(net) == 855_770  # He et al.: 0.85 M; option B adds 2,752 to 853,018
    assert parameters(ResNet(56, skip=False)) == 853_018
    assert flop_of(net, torch.rand(1, 3, 32, 32)) == pytest.approx(0.2515e9, rel=1e-4)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (56, 0.85), (110, 1.7)])
def test_the_paper_s_table_of_parameters(depth, millions):
    """He et al. (2016), table 6."""
    assert parameters(ResNet(depth, skip=False)) == pytest.approx(millions * 1e6, rel=0.02)


def test_without_skips_the_same_layers_stand_under_the_same_names_and_nothing_else():
    with_skips, without = (ResNet(14, skip=skip).state_dict() for skip in (True, False))
    extra = with_skips.keys() - without.keys()
    assert without.keys() <= with_skips.keys()
    assert extra
    assert all(name.startswith(("layer2.0.shortcut.", "layer3.0.shortcut.")) for name in extra)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize(("channels", "width", "stride"), [(4, 4, 1), (4, 8, 2)], ids=str)
def test_a_block_that_adds_nothing_passes_its_input_on_only_by_its_skip(
    channels, width, stride, skip
):
    block = BasicBlock(channels, width, stride, skip=skip).eval()
    nn.init.zeros_(block.bn2.weight)  # F(x) = 0
    images = torch.rand(2, channels, 6, 8)
    with torch.no_grad():
        out = block(images)
        passed = block.shortcut(images).relu() if skip else torch.zeros_like(out)
    assert out.shape == (2, width, 6 // stride, 8 // stride)
    assert torch.equal(out, passed)
    assert bool(out.any()) == skip


@pytest.mark.parametrize("stage", ["layer1", "layer2", "layer3"])
@pytest.mark.parametrize("skip", [True, False])
def test_no_path_round_a_dead_block_without_skips(stage, skip):
    net = ResNet(8, skip=skip, width=4).eval()
    nn.init.zeros_(getattr(net, stage)[0].bn2.weight)
    with torch.no_grad():
        scores = net(torch.rand(5, 3, 8, 8))
    assert torch.equal(scores, scores[:1].expand_as(scores)) != skip


def test_convolutions_begin_with_the_spread_of_he_et_al():
    torch.manual_seed(0)
    for name, layer in layers(ResNet(20, width=32)).items():
        if isinstance(layer, nn.Conv2d):
            wanted = (2 / layer.weight[0].numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(wanted, rel=0.1), name


@pytest.mark.parametrize(
    ("depth", "nearest"),
    [(55, "50 or 56"), (57, "56 or 62"), (12, "8 or 14"), (7, "8"), (2, "8"), (0, "8"), (-4, "8")],
)
def test_another_depth_is_refused_with_the_nearest_that_is_one(depth, nearest):
    with pytest.raises(InputError, match=f"depth {depth} cannot be built.*nearest is {nearest}\\."):
        ResNet(depth)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"channels": 0}, {"classes": -1}], ids=str)
def test_a_network_without_channels_is_refused(wrong):
    with pytest.raises(InputError, match="each must be at least 1"):
        ResNet(8, **wrong)
