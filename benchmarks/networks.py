"""The networks that are measured; torch alone is needed, so that other libraries see the same."""

from itertools import pairwise

import torch
from torch import Tensor, nn

CLASSES = 10


def cnn() -> nn.Module:
    """Return a small convolutional network for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, CLASSES),
    )


def mlp(width: int = 64, hidden: int = 2, inputs: int = 64) -> nn.Module:
    """Return a fully connected network with so many hidden layers."""
    widths = [inputs, *[width] * hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for one, next_one in pairwise(widths):
        layers += [nn.Linear(one, next_one), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def resnet(depth: int) -> nn.Module:
    """Return a ResNet for images of 32 x 32 x 3."""
    from landscape_lib.problems.resnet import ResNet

    return ResNet(depth)


class Transformer(nn.Module):
    """A small encoder over token ids, its mean over the sequence, and one linear layer."""

    def __init__(self, tokens: int, length: int, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.linear = nn.Linear(width, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        """Return class scores, shape (n, classes), of token ids of shape (n, length)."""
        return self.linear(self.encoder(self.embedding(ids) + self.places).mean(dim=1))


BUILDERS = {"cnn": cnn, "mlp": mlp, "resnet56": lambda: resnet(56), "resnet20": lambda: resnet(20)}
