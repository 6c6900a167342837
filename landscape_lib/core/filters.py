"""What a filter is in each parameter of a model, and which parameters a glob means."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from landscape_lib.core.errors import InputError


@dataclass(frozen=True)
class Filters:
    """Where the filters of one parameter lie: what makes one feature map, neuron or token.

    Attributes:
        groups: Of a transposed convolution, whose weight has all inputs along dimension 0 and the
            outputs of one group along dimension 1; None where filters lie along dimension 0.
        still: A filter that stands still in every direction: an embedding's row for padding.
        note: What a table says of it.
    """

    groups: int | None = None
    still: int | None = None
    note: str = ""

    def swapped(self, tensor: Tensor) -> Tensor:
        """Bring filters to dimension 0, or back from there: (in, out/g, ...) <-> (out, in/g, ...).

        With g groups, output k * out/g + j sees the inputs of group k alone.
        """
        if self.groups is None:
            return tensor
        return tensor.unflatten(0, (self.groups, -1)).transpose(1, 2).flatten(0, 1)


def filters_of(model: nn.Module, name: str) -> Filters:
    """Return where the filters of a parameter lie, told from the module that it belongs to."""
    place, _, own = name.rpartition(".")
    try:
        module = model.get_submodule(place)
    except AttributeError:  # a state that the model's own state_dict() calls by another name
        return Filters()
    except RuntimeError:  # TorchScript tells no modules apart
        return Filters()
    if isinstance(module, _ConvTransposeNd) and own == "weight":
        return Filters(groups=module.groups, note="a filter: all that makes one output (dim 1)")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and own == "weight":
        padding = module.padding_idx
        still = "" if padding is None else f"; row {padding}, padding, stands still"
        return Filters(still=padding, note=f"a filter: one token's row{still}")
    if isinstance(module, nn.MultiheadAttention) and own == "in_proj_weight":
        return Filters(note="a filter: one row of query, key or value")
    return Filters()


def chosen(names: Sequence[str], globs: Iterable[str]) -> list[str]:
    """Return the names that globs mean, in their order.

    ``*`` stands for anything, dots as well; a module's name, as ``layer3``, for all below it; a
    glob that starts with ``!`` takes away.  Where all of them take away, they do so from all names.

    Raises:
        InputError: If a glob matches nothing, or nothing is left.
    """
    globs = list(globs)
    kept: list[str] = [] if any(not glob.startswith("!") for glob in globs) else list(names)
    for glob in globs:
        meant = [name for name in names if _means(glob.removeprefix("!"), name)]
        if not meant:
            raise InputError(f"layers: {glob!r} matches no parameter{_nearest(glob, names)}.")
        kept = [*kept, *meant] if not glob.startswith("!") else [n for n in kept if n not in meant]
    if not kept:
        raise InputError(f"layers: {', '.join(globs)} leave no parameter to move.")
    return [name for name in names if name in kept]


def _means(glob: str, name: str) -> bool:
    return fnmatchcase(name, glob) or fnmatchcase(name, f"{glob}.*")


def _nearest(glob: str, names: Sequence[str]) -> str:
    """Propose parameters and modules that are spelt alike, or else the first there are."""
    places = {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}
    near = difflib.get_close_matches(glob.strip("!*."), sorted({*names, *places}), n=3)
    told = f"; near are {', '.join(near)}" if near else ""
    return f"{told or f'; the first of {len(names)} is {names[0]}'}"
