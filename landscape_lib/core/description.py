"""What directions do to each parameter of a model, as a table to read."""

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

from landscape_lib.core.direction import Direction, movable

# Whose first dimension is no filter in the sense of the paper; norms go along it all the same.
_FIRST_DIMENSION: tuple[tuple[type[nn.Module], str, str], ...] = (
    (_ConvTransposeNd, "weight", "dimension 0: inputs"),
    (nn.Embedding, "weight", "a row: one token"),
    (nn.EmbeddingBag, "weight", "a row: one token"),
    (nn.MultiheadAttention, "in_proj_weight", "query, key, value in one"),
)


def describe(model: nn.Module, directions: Sequence[Direction]) -> list[str]:
    """Return the lines of a table: parameter, shape, rule, |w|, |d| along each axis, notes.

    |.| is the Frobenius norm of the whole tensor.  Notes say what stands still although it was
    drawn (a weight of zeros has no norm to match), which weights are shared, and where the first
    dimension is no filter.
    """
    dir_type = str(directions[0].attributes.get("dir_type", "weights"))
    lines = [f"{'parameter':<40} {'shape':<18} {'rule':<14} {'|w|':>10} |d| along each axis, notes"]
    shared = _shared_names(model)
    for number, (name, weight) in enumerate(movable(model, dir_type).items()):
        norm = float(weight.detach().double().norm())
        lengths = [float(direction[number].double().norm()) for direction in directions]
        notes = _notes(model, name, shared.get(name, []))
        if norm == 0 and not any(lengths):
            notes.insert(0, "zero weight: stands still")
        told = "  ".join([*(f"{length:10.4g}" for length in lengths), *notes])
        rules = " ".join(dict.fromkeys(_rule(d, weight.ndim) for d in directions))
        lines.append(f"{name:<40} {tuple(weight.shape)!s:<18} {rules:<14} {norm:10.4g} {told}")
    return lines


def _rule(direction: Direction, dimensions: int) -> str:
    kind = str(direction.attributes.get("kind", "given"))
    if kind != "random":
        return kind
    return str(direction.attributes["ignore" if dimensions <= 1 else "normalize"])


def _notes(model: nn.Module, name: str, shared: Sequence[str]) -> list[str]:
    place, _, own = name.rpartition(".")
    module = model.get_submodule(place)
    notes = [
        note for kind, which, note in _FIRST_DIMENSION if isinstance(module, kind) and own == which
    ]
    return notes + ([f"also {', '.join(shared)}"] if shared else [])


def _shared_names(model: nn.Module) -> dict[str, list[str]]:
    """Return for the first name of every tied parameter its other names."""
    first: dict[int, str] = {}
    others: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            others.setdefault(first[id(parameter)], []).append(name)
        first.setdefault(id(parameter), name)
    return others
