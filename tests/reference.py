"""Formulas as their sources write them, slow and literal; the library never imports this."""

import math
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn

DATA = Path(__file__).parent / "data"
DIGITS = DATA / "digits_cnn.h5"


def match_filter_norms(noise, weight):
    """Li et al. (2018), section 4: d_ij <- d_ij / |d_ij| * |w_ij|, with the original's 1e-10."""
    found = np.empty_like(noise)
    for j in range(len(noise)):
        norm = math.sqrt(sum(float(e) ** 2 for e in noise[j].ravel()))
        wanted = math.sqrt(sum(float(w) ** 2 for w in weight[j].ravel()))
        found[j] = noise[j] * wanted / (norm + 1e-10)
    return found


def match_layer_norm(noise, weight):
    """The whole tensor is one filter, without the 1e-10."""
    norm = math.sqrt(sum(float(e) ** 2 for e in noise.ravel()))
    wanted = math.sqrt(sum(float(w) ** 2 for w in weight.ravel()))
    return noise * wanted / norm


def scale_by_weight(noise, weight):
    """Element by element."""
    return np.array(
        [float(e) * float(w) for e, w in zip(noise.ravel(), weight.ravel(), strict=True)]
    ).reshape(noise.shape)


def unit_filters(noise, weight):
    """Every filter has norm 1."""
    return match_filter_norms(noise, np.ones_like(noise)) / math.sqrt(noise[0].size)


def unit_layer(noise, weight):
    """The tensor has norm 1."""
    return noise / math.sqrt(sum(float(e) ** 2 for e in noise.ravel()))


NORMALIZERS = {
    "filter": match_filter_norms,
    "layer": match_layer_norm,
    "weight": scale_by_weight,
    "dfilter": unit_filters,
    "dlayer": unit_layer,
}


def digits_net():
    """The network of ``digits_cnn.h5``."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def digits_state(model):
    """The state_dict of ``model_a`` or ``model_b``."""
    with h5py.File(DIGITS) as file:
        state = file[f"{model}/state"]
        return {name: torch.from_numpy(np.array(state[name])) for name in state}


def digits_model(model="model_a"):
    """The trained network."""
    net = digits_net()
    net.load_state_dict(digits_state(model))
    return net


def digits_data():
    """The 400 samples."""
    with h5py.File(DIGITS) as file:
        return tuple(torch.from_numpy(file[f"data/{name}"][()]) for name in ("inputs", "targets"))


def digits_tensors(group):
    """The numbered tensors of a direction."""
    with h5py.File(DIGITS) as file:
        boxes = file[group]
        return [torch.from_numpy(boxes[str(number)][()]) for number in range(len(boxes))]


def digits_values(group):
    """The arrays of a surface or a curve."""
    with h5py.File(DIGITS) as file:
        return {name: box[()] for name, box in file[group].items() if isinstance(box, h5py.Dataset)}


def estimate_statistics(batches):
    """Average each batch's mean and unbiased variance of every channel, weighted by its samples."""
    total, mean, variance = 0, 0.0, 0.0
    for batch in batches:  # (samples, channels, height, width)
        pixels = batch.transpose(1, 0, 2, 3).reshape(batch.shape[1], -1)
        total += len(batch)
        mean = mean + len(batch) * pixels.mean(axis=1)
        variance = variance + len(batch) * pixels.var(axis=1, ddof=1)
    return mean / total, variance / total


def persistence_pairs(values):
    """Sublevel sets, level by level: a component is named after its lowest point, and one that
    is no longer named has died there.  Edelsbrunner, Harer (2010), section VII.1."""
    points = [p for p in np.ndindex(values.shape) if np.isfinite(values[p])]
    age = {p: (values[p], p) for p in points}

    def oldest(point, level):
        seen, front = {point}, [point]
        while front:
            here = front.pop()
            near = [q for q in points if max(abs(a - b) for a, b in zip(q, here, strict=True)) == 1]
            new = [q for q in near if values[q] <= level and q not in seen]
            seen.update(new)
            front += new
        return min(seen, key=age.__getitem__)

    pairs = []
    for point in points:
        if oldest(point, values[point]) != point:
            continue  # never the lowest of its component: born with no name
        deaths = [level for level in {values[p] for p in points} if level > values[point]]
        dead = [level for level in deaths if oldest(point, level) != point]
        pairs.append((values[point], min(dead, default=np.inf)))
    return sorted(pairs)
