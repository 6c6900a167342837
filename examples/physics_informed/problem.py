"""A physics-informed network: it solves a differential equation, and its loss takes derivatives.

The equation is that of a damped oscillator,  u'' + 2 d u' + w^2 u = 0,  u(0) = 1, u'(0) = 0.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from landscape_lib import Problem, load_checkpoint

DAMPING, FREQUENCY = 0.5, 4.0  # d and w
END = 3.0  # of the time that is looked at
POINTS = 128


def network(width: int) -> nn.Module:
    """Return the network, untrained; its activations must be smooth, for u'' to be anything."""
    return nn.Sequential(
        nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
    )


def solution(times: Tensor) -> Tensor:
    """Return the exact u."""
    w = math.sqrt(FREQUENCY**2 - DAMPING**2)
    return torch.exp(-DAMPING * times) * (torch.cos(w * times) + DAMPING / w * torch.sin(w * times))


def losses(net: nn.Module, times: Tensor) -> dict[str, Tensor]:
    """Return the mean square of the equation's residual, and of what u(0) and u'(0) are off."""
    residual, _, _ = _residual(net, times)
    _, u, slope = _residual(net, torch.zeros_like(times[:1]))
    start = (u - 1).square().mean() + slope.square().mean()
    equation = residual.square().mean() / FREQUENCY**4
    return {"equation": equation, "start": start, "total": equation + start}


def _residual(net: nn.Module, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    times = times.detach().requires_grad_()
    u = net(times)
    (slope,) = torch.autograd.grad(u.sum(), times, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), times, create_graph=True)
    return bend + 2 * DAMPING * slope + FREQUENCY**2 * u, u, slope


def metrics(net: nn.Module, dataloader: Iterable, use_cuda: bool) -> dict[str, float]:
    """Judge the network as it is now; gradients are turned on, since the loss takes them."""
    times, exact = (torch.cat(parts) for parts in zip(*dataloader, strict=True))
    with torch.enable_grad():
        found = {name: float(loss.detach()) for name, loss in losses(net, times).items()}
    with torch.no_grad():
        return {**found, "error": float((net(times) - exact).abs().mean())}


def data() -> tuple[Tensor, Tensor]:
    """Return the times at which the equation must hold, and the exact solution to compare with."""
    times = torch.linspace(0, END, POINTS)[:, None]
    return times, solution(times)


def build(checkpoint: str, width: int) -> Problem:
    """Return the trained network and the times it is judged at.

    Keys: ``train_loss_equation``, ``train_loss_start``, ``train_loss_total``, ``train_loss_error``.
    """
    model = network(width)
    model.load_state_dict(load_checkpoint(checkpoint, model))
    return Problem(model, data(), metrics)


def train(width: int, steps: int, seed: int) -> dict[str, Tensor]:
    """Train the network on the equation alone, and return its weights."""
    torch.manual_seed(seed)
    model = network(width)
    times, _ = data()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        losses(model, times)["total"].backward()
        optimizer.step()
        schedule.step()
    return model.state_dict()
