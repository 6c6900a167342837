"""A network of torchvision with the weights and the transforms it comes with, on your images."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Subset
from torchvision.datasets import ImageFolder
from torchvision.models import get_model, get_model_weights
from torchvision.transforms import v2

from landscape_lib import InputError, Problem

PLAIN = v2.Compose([v2.ToImage(), v2.Resize((64, 64)), v2.ToDtype(torch.float32, scale=True)])


def build(images: str, name: str, weights: str | None, samples: int | None = None) -> Problem:
    """Return a network of torchvision, judged on a folder of images.

    Keys: ``train_loss``, ``train_acc``.

    Args:
        images: A folder with one folder a class, ``<images>/<class>/<image>.jpg``.  For a network
            trained on ImageNet, the classes are its, in the order of their folders' names
            (n01440764, ...).
        name: Of the network, as in ``torchvision.models``: ``resnet18``, ``vit_b_16``.
        weights: Of the network, as ``IMAGENET1K_V1`` or ``DEFAULT``, which torchvision downloads
            once; None draws them at random, and then there are as many classes as folders.
        samples: How many images to judge on, evenly spread over the classes' order; None: all.

    Raises:
        InputError: If there are no images.
    """
    if not Path(images).is_dir():
        raise InputError(f"{images}: there is no such folder; wanted one with a folder a class.")
    chosen = None if weights is None else get_model_weights(name)[weights]
    data = ImageFolder(images, transform=chosen.transforms() if chosen else PLAIN)
    if chosen:
        model = get_model(name, weights=chosen)
    else:
        torch.manual_seed(0)
        model = get_model(name, weights=None, num_classes=len(data.classes))
    step = max(1, len(data) // samples) if samples else 1
    return Problem(model, Subset(data, range(0, len(data), step)), nn.CrossEntropyLoss())
