"""The network on which the paper compares small batches with large ones: VGG-9."""

import math

from torch import Tensor, nn

from landscape_lib.core.errors import InputError

POOL = 0  # in the place of a number of channels
LAYERS = (1, 1, POOL, 2, 2, POOL, 4, 4, 4, POOL)  # channels of each convolution, in widths
SMALLEST_SIDE = 2


class VGG9(nn.Module):
    """Seven 3 x 3 convolutions and two linear layers, batch normalised but for the last.

    Maxima over 2 x 2 pixels halve the sides three times, rounded up.  Parameters have the names
    they have in the program of Li et al.

    VGG-9 of width 64 has 2,789,706 parameters and needs 0.3831 GFLOP (two a multiply-add) for an
    image of 32 x 32 x 3.

    Args:
        width: Channels of the first two convolutions; the others have twice and four times as many.
        channels: Channels of the images.
        side: Height and width of the images, in pixels, at least 2.
        classes: Number of scores.

    Raises:
        InputError: If no such network can be built.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 4;
        Simonyan and Zisserman (2015), Very Deep Convolutional Networks, section 2.
    """

    def __init__(
        self, *, width: int = 64, channels: int = 3, side: int = 32, classes: int = 10
    ) -> None:
        super().__init__()
        if min(width, channels, classes) < 1 or side < SMALLEST_SIDE:
            raise InputError(
                f"VGG9 got width {width}, channels {channels}, side {side}, classes {classes}; "
                f"the side must be at least {SMALLEST_SIDE}, the others at least 1."
            )
        layers: list[nn.Module] = []
        for factor in LAYERS:
            if factor == POOL:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                side = math.ceil(side / 2)
            else:
                layers += _convolution(channels, factor * width)
                channels = factor * width
        self.features = nn.Sequential(*layers)
        self.fc = nn.Sequential(
            nn.Linear(channels * side**2, channels), nn.BatchNorm1d(channels), nn.ReLU()
        )
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # He et al. (2015)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores, shape (n, classes), of images of shape (n, channels, side, side)."""
        return self.classifier(self.fc(self.features(images).flatten(1)))


def _convolution(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
