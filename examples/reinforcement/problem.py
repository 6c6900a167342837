"""Reinforcement learning: how long a policy balances a pole on a cart, as a score of its weights.

There is no data set and no gradient: a metric function plays episodes.  They begin at fixed states,
so that the same weights always get the same score.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from landscape_lib import Problem, load_checkpoint

STEPS = 200  # after which a pole that stands has won
EPISODES = 64
PUSH, GRAVITY, CART, POLE, HALF_LENGTH, TICK = 10.0, 9.8, 1.0, 0.1, 0.5, 0.02
FARTHEST, STEEPEST = 2.4, 0.2095  # from the middle, in metres; from upright, in radians


def network() -> nn.Module:
    """Return the policy: from position, velocity, angle, angular velocity to a push."""
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def starts() -> Tensor:
    """Return the states in which episodes begin, shape (episodes, 4)."""
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.rand(EPISODES, 4, generator=generator) - 0.05


@torch.no_grad()
def play(policy: nn.Module, states: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each episode its steps, and the mean angle of its pole in degrees.

    Source:
        Barto, Sutton, Anderson (1983), section V, with the constants of OpenAI Gym's CartPole-v1.
    """
    alive = torch.ones(len(states), dtype=torch.bool, device=states.device)
    steps, angles = torch.zeros_like(states[:, 0]), torch.zeros_like(states[:, 0])
    for _ in range(STEPS):
        push = PUSH * torch.where(policy(states)[:, 0] > 0, 1.0, -1.0)
        states = torch.where(alive[:, None], _moved(states, push), states)
        alive = alive & (states[:, 0].abs() < FARTHEST) & (states[:, 2].abs() < STEEPEST)
        steps, angles = steps + alive, angles + states[:, 2].abs() / STEPS
    return steps, torch.rad2deg(angles)


def _moved(states: Tensor, push: Tensor) -> Tensor:
    place, speed, angle, turn = states.unbind(1)
    sine, cosine, whole = torch.sin(angle), torch.cos(angle), CART + POLE
    pull = (push + POLE * HALF_LENGTH * turn**2 * sine) / whole
    twist = (GRAVITY * sine - cosine * pull) / (HALF_LENGTH * (4 / 3 - POLE * cosine**2 / whole))
    shove = pull - POLE * HALF_LENGTH * twist * cosine / whole
    moved = (place + TICK * speed, speed + TICK * shove, angle + TICK * turn, turn + TICK * twist)
    return torch.stack(moved, dim=1)


def metrics(net: nn.Module, dataloader: Iterable, use_cuda: bool) -> dict[str, Tensor]:
    """Score the policy as it is now: what a black box returns is drawn like any loss."""
    played = [play(net, states) for states, _ in dataloader]
    steps, angles = (torch.cat(parts) for parts in zip(*played, strict=True))
    return {"missing_steps": STEPS - steps.mean(), "angle": angles.mean()}


def build(checkpoint: str) -> Problem:
    """Return the trained policy, judged on the states in which episodes begin.

    Keys: ``train_loss_missing_steps``, ``train_loss_angle`` (degrees).
    """
    model = network()
    model.load_state_dict(load_checkpoint(checkpoint, model))
    return Problem(model, (starts(), torch.zeros(EPISODES)), metrics)


def train(tries: int, seed: int) -> dict[str, Tensor]:
    """Climb: keep a random change of the weights where the pole stands longer, or straighter."""
    generator = torch.Generator().manual_seed(seed)
    policy, best = network(), (float("-inf"), 0.0)
    weights = torch.zeros(sum(parameter.numel() for parameter in policy.parameters()))
    for _ in range(tries):
        changed = weights + 0.5 * torch.randn(len(weights), generator=generator)
        nn.utils.vector_to_parameters(changed, policy.parameters())
        steps, angles = play(policy, starts())
        score = (float(steps.mean()), -float(angles.mean()))
        if score > best:
            best, weights = score, changed
    nn.utils.vector_to_parameters(weights, policy.parameters())
    return policy.state_dict()
