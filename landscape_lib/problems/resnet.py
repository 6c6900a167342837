"""The networks whose landscapes the paper compares: ResNets for small images, and their kin."""

from torch import Tensor, nn
from torch.nn import functional

from landscape_lib.core.errors import InputError

SMALLEST_DEPTH = 8  # one block a stage


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, each batch normalised, around which the input may skip.

    out = relu(s(x) + F(x)) with the skip, relu(F(x)) without;  F = bn . conv . relu . bn . conv.
    s is the identity, or, where the shape changes, bn . conv of 1 x 1.
    """

    def __init__(self, channels: int, width: int, stride: int, *, skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Sequential | None = None
        if skip:
            self.shortcut = nn.Sequential()  # empty: the identity
        if skip and (stride != 1 or channels != width):
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return what comes out of the block, shape (n, width, h / stride, w / stride)."""
        change = functional.relu(self.bn1(self.conv1(images)))
        change = self.bn2(self.conv2(change))
        if self.shortcut is not None:
            change = self.shortcut(images) + change
        return functional.relu(change)


class ResNet(nn.Module):
    """A CIFAR ResNet, or the same network with its skips taken out ("noshort").

    A 3 x 3 convolution, three stages of ``width``, 2 * ``width`` and 4 * ``width`` channels whose
    second and third begin with stride 2, a mean over the image, one linear layer.  Where a stage
    changes the shape, the skip is a 1 x 1 convolution with batch normalisation (option B of He et
    al.), as in the program of Li et al.; parameters have the names they have there.  Without skips
    those convolutions are absent as well.

    ResNet-56 has 855,770 parameters and needs 0.2515 GFLOP (two a multiply-add) for an image of
    32 x 32 x 3.

    Args:
        depth: Number of layers with weights, 1 x 1 convolutions not counted: 6 * blocks + 2; the
            paper has 20, 56, 110.
        skip: Whether each block adds its input to its output.
        width: Channels of the first stage.
        channels: Channels of the images, whose sides may be any from 4 on.
        classes: Number of scores.

    Raises:
        InputError: If no such network can be built.

    Source:
        He et al. (2016), Deep Residual Learning for Image Recognition, section 4.2;
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 5.
    """

    def __init__(
        self,
        depth: int,
        *,
        skip: bool = True,
        width: int = 16,
        channels: int = 3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        _check_depth(depth)
        if min(width, channels, classes) < 1:
            raise InputError(
                f"ResNet got width {width}, channels {channels}, classes {classes}; each must be "
                "at least 1."
            )
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(blocks, width, width, 1, skip=skip)
        self.layer2 = _stage(blocks, width, 2 * width, 2, skip=skip)
        self.layer3 = _stage(blocks, 2 * width, 4 * width, 2, skip=skip)
        self.linear = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # He et al. (2015)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores, shape (n, classes), of images of shape (n, channels, h, w)."""
        features = functional.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        return self.linear(features.mean(dim=(2, 3)))


def _stage(blocks: int, channels: int, width: int, stride: int, *, skip: bool) -> nn.Sequential:
    first = BasicBlock(channels, width, stride, skip=skip)
    return nn.Sequential(first, *(BasicBlock(width, width, 1, skip=skip) for _ in range(1, blocks)))


def _check_depth(depth: int) -> None:
    """Refuse a depth that is not 6 * blocks + 2.

    Raises:
        InputError: With the nearest depths that are.
    """
    above_rule = (depth - 2) % 6
    if depth >= SMALLEST_DEPTH and not above_rule:
        return
    below = depth - above_rule
    nearest = [one for one in (below, below + 6) if one >= SMALLEST_DEPTH] or [SMALLEST_DEPTH]
    raise InputError(
        f"A ResNet of depth {depth} cannot be built: the depth must be 6 * blocks + 2, at least "
        f"{SMALLEST_DEPTH}; nearest is {' or '.join(map(str, nearest))}."
    )
