"""What directions do to each parameter of a model, as a table to read."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from landscape_lib.core.direction import PARAMETERS_ONLY, Direction, movable
from landscape_lib.core.filters import chosen, filters_of
from landscape_lib.core.ties import ties

MATCHING = frozenset({"filter", "layer", "weight", "scaled"})  # rules under which zero stays zero


def describe(model: nn.Module, directions: Sequence[Direction]) -> list[str]:
    """Return the lines of a table: parameter, shape, rule, |w|, |d| along each axis, notes.

    |.| is the Frobenius norm of the whole tensor.  The rule is the normalization of noise, or the
    kind of another direction; ``not in layers`` where the direction leaves the parameter out.
    Notes say what a filter is where that is not an index of dimension 0, what stands still although
    it was drawn (weights and filters of zeros have no norm to match), and what is shared.
    """
    dir_type = str(directions[0].attributes.get("dir_type", "weights"))
    lines = [f"{'parameter':<40} {'shape':<18} {'rule':<14} {'|w|':>10} |d| along each axis, notes"]
    shared = _shared_names(model)
    rules = [_rules(model, direction) for direction in directions]
    for number, (name, weight) in enumerate(movable(model, dir_type).items()):
        norm = float(weight.detach().double().norm())
        lengths = [float(direction[number].double().norm()) for direction in directions]
        mine = list(dict.fromkeys(rule[name] for rule in rules))
        ways = [direction[number] for direction in directions]
        notes = [*_still(model, name, [weight.detach(), *ways], mine), filters_of(model, name).note]
        notes += [f"also {', '.join(shared[name])}"] if name in shared else []
        told = "  ".join([*(f"{length:10.4g}" for length in lengths), *filter(None, notes)])
        lines.append(
            f"{name:<40} {tuple(weight.shape)!s:<18} {' '.join(mine):<14} {norm:10.4g} {told}"
        )
    return lines


def standing_still(model: nn.Module, directions: Sequence[Direction]) -> list[str]:
    """Return the weights of zeros for which noise was drawn, and lost: they have no norm to match.

    A factor that a low-rank adapter starts from zero is one, and any layer that is initialised so.
    """
    dir_type = str(directions[0].attributes.get("dir_type", "weights"))
    rules = [_rules(model, direction) for direction in directions]
    return [
        name
        for number, (name, weight) in enumerate(movable(model, dir_type).items())
        if any(rule[name] in MATCHING for rule in rules)
        and not any(tensor.any() for tensor in (weight, *(d[number] for d in directions)))
    ]


def _rules(model: nn.Module, direction: Direction) -> dict[str, str]:
    """Return the rule by which a direction moves each of its entries."""
    trained = {name for name, _ in model.named_parameters()}
    globs = str(direction.attributes.get("layers", "")).split(", ")
    moving = set(chosen(direction.names, globs)) if globs != [""] else set(direction.names)
    return {
        name: _rule(direction, tensor.ndim, of_statistics=name not in trained)
        if name in moving
        else "not in layers"
        for name, tensor in zip(direction.names, direction, strict=True)
    }


def _rule(direction: Direction, dimensions: int, *, of_statistics: bool) -> str:
    kind = str(direction.attributes.get("kind", "given"))
    if kind != "random":
        return kind
    rule = str(direction.attributes["ignore" if dimensions <= 1 else "normalize"])
    if rule == PARAMETERS_ONLY:
        return "filter" if of_statistics else "biasbn"
    return rule


def _still(
    model: nn.Module, name: str, tensors: Sequence[Tensor], rules: Sequence[str]
) -> list[str]:
    """Say what of a weight stands still: where it and its directions, ``tensors``, are all zero."""
    if not MATCHING.intersection(rules):
        return []
    if not any(tensor.any() for tensor in tensors):
        return ["zero weight: stands still"]
    if "filter" not in rules:
        return []
    filters = [torch.atleast_1d(filters_of(model, name).swapped(tensor)) for tensor in tensors]
    moving = [rows.reshape(len(rows), -1).any(dim=1).cpu() for rows in filters]
    zero = int((~torch.stack(moving).any(dim=0)).sum())
    return [f"{zero} of {len(moving[0])} filters are zero: stand still"] if zero else []


def _shared_names(model: nn.Module) -> dict[str, list[str]]:
    """Return for the first name of every tied parameter its other names."""
    others: dict[str, list[str]] = {}
    for name, tie in ties(dict(model.named_parameters(remove_duplicate=False))).items():
        others.setdefault(tie.name, []).append(name)
    return others
