"""Which of a network's equivalent forms lies nearest to another network."""

import logging
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from landscape_lib.between.groups import Group, Place, permutation_groups
from landscape_lib.core.direction import movable
from landscape_lib.core.errors import InputError

log = logging.getLogger(__name__)

MOST_SWEEPS = 100  # they end by themselves: each change makes <w, P(w_target)> larger

State = Mapping[str, Tensor]


def align(model: nn.Module, target: nn.Module | State) -> dict[str, Tensor]:
    """Permute another model's hidden units so that it lies near this one; its function stays.

    Finds permutations P, one a group of units, that make  <w, P(w_target)>  large, and with it
    |w - P(w_target)| small, over all parameters: coordinate descent, where each step solves one
    group's linear assignment problem exactly with the others held.  Once from the permutations as
    they are, once from those that match layer after layer from the input on; the better one wins.
    The order of the groups is the network's own, where the paper draws it, so that equal models
    give equal bits.  What is found is a local optimum, never farther than the model as it came; a
    copy that is permuted, and nothing else, is found again where its units differ.

    Args:
        model: The network that stays.
        target: Another set of weights for it.

    Returns:
        The target's state_dict with everything permuted that belongs to a unit: weights, biases,
        norms and their running statistics.

    Raises:
        InputError: If no permutations are known for the network, or the target is not one of it.

    Source:
        Ainsworth, Hayase, Srinivasa (2023), Git Re-Basin: Merging Models modulo Permutation
        Symmetries, section 3.2.
    """
    groups = permutation_groups(model)
    state = dict(target.state_dict() if isinstance(target, nn.Module) else target)
    here = {name: _wide(weight) for name, weight in movable(model).items()}
    there = {name: _wide(_of(state, name, weight)) for name, weight in here.items()}
    match = _Match(groups, here, there)
    kept = [torch.arange(group.size) for group in groups]
    best = max(
        (match.descend(start) for start in (kept, match.layer_by_layer())), key=match.product
    )
    before, after = match.distance(kept), match.distance(best)
    moved = sum(int((p != q).sum()) for p, q in zip(best, kept, strict=True))
    log.info(
        "aligned: %d of %d hidden units change places; distance of the weights %.4g, before %.4g.",
        moved,
        sum(group.size for group in groups),
        after,
        before,
    )
    return permuted(state, groups, best)


def permuted(state: State, groups: Sequence[Group], orders: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return a state_dict with every group's units in a new order.

    Args:
        state: The state_dict; left as it is.
        groups: As ``permutation_groups`` returns them.
        orders: For each group a permutation: the unit at i comes from ``order[i]``.
    """
    found = dict(state)
    for group, order in zip(groups, orders, strict=True):
        for place in group.places:
            if place.name in found:
                found[place.name] = _take(found[place.name], place.axis, order)
    return found


class _Match:
    """Two sets of weights for one network, and how well permutations bring them together."""

    def __init__(self, groups: Sequence[Group], here: State, there: State) -> None:
        self._groups, self._here, self._there = groups, here, there
        self._on: dict[str, list[tuple[int, int]]] = {name: [] for name in here}
        for number, group in enumerate(groups):
            for place in group.places:
                if place.name in self._on:  # running statistics follow, they do not choose
                    self._on[place.name].append((number, place.axis))

    def product(self, orders: Sequence[Tensor]) -> float:
        """Return  <w, P(w_target)>."""
        return sum(self._product(name, orders) for name in self._here)

    def distance(self, orders: Sequence[Tensor]) -> float:
        """Return  |w - P(w_target)|."""
        apart = (self._here[n] - self._moved(n, orders) for n in self._here)
        return math.sqrt(sum(float(d.square().sum()) for d in apart))

    def descend(self, start: Sequence[Tensor]) -> list[Tensor]:
        """Improve one group after the other until none can be."""
        orders = list(start)
        for _ in range(MOST_SWEEPS):
            changed = [self._improve(number, orders) for number in range(len(self._groups))]
            if not any(changed):
                break
        return orders

    def layer_by_layer(self) -> list[Tensor]:
        """Match each group by what ties it to those matched before, from the input on."""
        orders = [torch.arange(group.size) for group in self._groups]
        for number, group in enumerate(self._groups):
            ties = [place for place in self._places(group) if self._settled(place, number)]
            if ties:
                orders[number] = _assigned(self._scores(ties, group.size, orders))
        return orders

    def _improve(self, number: int, orders: list[Tensor]) -> bool:
        """Give a group the best order with the others held; return whether that is a better one."""
        group = self._groups[number]
        tried = list(orders)
        tried[number] = _assigned(self._scores(self._places(group), group.size, orders))
        names = dict.fromkeys(place.name for place in self._places(group))
        before, after = (sum(self._product(n, one) for n in names) for one in (orders, tried))
        if after <= before + 1e-12 * abs(before):
            return False
        orders[number] = tried[number]
        return True

    def _scores(self, places: Sequence[Place], size: int, orders: Sequence[Tensor]) -> Tensor:
        """Return how well each unit here (rows) goes with each unit there (columns)."""
        scores = torch.zeros(size, size, dtype=torch.float64)
        for place in places:
            here = self._here[place.name]
            there = self._moved(place.name, orders, besides=place.axis)
            rows, columns = (t.movedim(place.axis, 0).reshape(size, -1) for t in (here, there))
            scores += rows @ columns.T
        return scores

    def _places(self, group: Group) -> list[Place]:
        return [place for place in group.places if place.name in self._here]

    def _settled(self, place: Place, number: int) -> bool:
        others = (of for of, axis in self._on[place.name] if axis != place.axis)
        return all(other < number for other in others)

    def _moved(self, name: str, orders: Sequence[Tensor], besides: int | None = None) -> Tensor:
        tensor = self._there[name]
        for number, axis in self._on[name]:
            if axis != besides:
                tensor = _take(tensor, axis, orders[number])
        return tensor

    def _product(self, name: str, orders: Sequence[Tensor]) -> float:
        return float((self._here[name] * self._moved(name, orders)).sum())


def _assigned(scores: Tensor) -> Tensor:
    from scipy.optimize import linear_sum_assignment  # a fifth of a second to import

    return torch.from_numpy(linear_sum_assignment(scores.numpy(), maximize=True)[1])


def _take(tensor: Tensor, axis: int, order: Tensor) -> Tensor:
    """Put units in a new order along a dimension, each with all its entries."""
    size = len(order)
    each = tensor.shape[axis] // size
    entries = (order[:, None] * each + torch.arange(each)).reshape(-1)
    return tensor.index_select(axis, entries.to(tensor.device))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)


def _of(state: State, name: str, weight: Tensor) -> Tensor:
    found = state.get(name)
    if found is None or found.shape != weight.shape:
        shape = "nothing" if found is None else f"shape {tuple(found.shape)}"
        raise InputError(
            f"The target model has {shape} for {name!r}; this model has shape "
            f"{tuple(weight.shape)}. A target must be a state_dict of the same network."
        )
    return found
