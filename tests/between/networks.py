"""Small networks whose hidden units can change places, and some where that isn't known."""

import torch
from torch import nn
from torch.nn import functional

from landscape_lib.problems.resnet import ResNet


class Functional(nn.Module):
    """The classic one: functions instead of modules, and a view before the linear layers."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(4 * 4, 6), nn.Linear(6, 3)

    def forward(self, images):
        hidden = functional.max_pool2d(torch.relu(self.conv1(images)), 2)
        hidden = functional.gelu(self.conv2(hidden))
        hidden = hidden.view(hidden.size(0), -1)
        return functional.log_softmax(self.fc2(functional.dropout(self.fc1(hidden), 0.0)), dim=1)


class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(3, 2)

    def forward(self, inputs):
        return self.last(self.first(inputs)[:, :3])


class Asking(Cut):
    def forward(self, inputs):
        return self.last(inputs) if inputs.sum() > 0 else inputs


class Half(nn.Module):
    """The mean over one side of an image leaves no row of units."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(2, 4, 1), nn.Linear(4, 2)

    def forward(self, images):
        return self.last(self.conv(images).mean(2))


class Means(nn.Module):
    """Sequences of four, their mean, and what is flattened by its arguments' names."""

    def __init__(self):
        super().__init__()
        self.conv, self.deep, self.last = nn.Conv1d(2, 5, 1), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, images):
        hidden = torch.tanh(self.conv(torch.flatten(images, start_dim=2)))
        hidden = torch.flatten(hidden.mean(dim=-1, keepdim=True), start_dim=1)
        return self.last(self.deep(hidden) * 2 + 1)


def depthwise():
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.PReLU(6)),
        *(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.GroupNorm(1, 6), nn.Conv2d(6, 4, 1)),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5), nn.LayerNorm(5), nn.Linear(5, 3)),
    )


def mlp():
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(32, 7), nn.BatchNorm1d(7), nn.ReLU()),
        *(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3)),
    )


def turned():
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.ReLU(), nn.ConvTranspose2d(5, 4, 3), nn.Conv2d(4, 3, 1)
    )


NETWORKS = {
    "mlp": mlp,
    "functions": Functional,
    "depthwise": depthwise,
    "means": Means,
    "transposed": turned,
    "residual": lambda: ResNet(8, width=3, channels=2, classes=3),
    "without skips": lambda: ResNet(8, width=3, channels=2, classes=3, skip=False),
}


def network(name, seed=0):
    """A network in eval mode, every norm with weights and statistics of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = NETWORKS[name]()
        for tensor in model.state_dict().values():
            if tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)
    return model.double().eval()
