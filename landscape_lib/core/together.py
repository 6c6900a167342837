"""Several points of a landscape evaluated in one pass, for networks too small to fill a machine."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from landscape_lib.core.precision import Types, cast_types, named_tensors

Sums = dict[str, list[Tensor]]


class Together:
    """The tensors of one network at several points, side by side, as ``torch.func.vmap`` wants.

    ``take(place)`` copies the network's floating-point parameters and buffers as they are now;
    ``judge`` runs the network at all places at once.

    Memory: ``count`` copies of the network, and the activations of ``count`` batches.

    Args:
        network: Whose tensors are moved.
        count: How many places there are.
        cast: What weights are rounded to when they are taken; None: nothing, see
            ``core.precision``.
    """

    def __init__(self, network: nn.Module, count: int, cast: torch.dtype | None = None) -> None:
        self.count = count
        self._network = network
        types = cast_types(network, cast)
        self._own = _named(network, types)
        self._rows = {n: _rows(tensor, count, types[n]) for n, tensor in self._own.items()}
        self._names = slot_names(network, types)

    @torch.no_grad()
    def take(self, place: int) -> None:
        """Copy the network's tensors as they are now to a place, 0 to ``count`` - 1."""
        places = [rows[place] for rows in self._rows.values()]
        torch._foreach_copy_(places, list(self._own.values()))

    @torch.no_grad()
    def judge(
        self, inputs: tuple[Any, ...], named: Mapping[str, Any], sums: Callable[[Any], Sums]
    ) -> Sums:
        """Return what a function makes of the network's outputs, at every place.

        Args:
            inputs: The network's arguments, the same at every place.
            named: Its keyword arguments.
            sums: From outputs to tensors by key.

        Returns:
            The same, each tensor with a first dimension more, of ``count`` places.
        """

        def at_one(tensors: dict[str, Tensor]) -> Sums:
            own = {slot: tensors[name] for slot, name in self._names.items()}
            return sums(called_with(self._network, own, inputs, named))

        with warnings.catch_warnings():  # that some operation is slow: the plan's search times it
            warnings.filterwarnings("ignore", "There is a performance drop")
            return vmap(at_one)(self._rows)


class Cast:
    """A network evaluated in a narrower type, while its own weights stay as they are.

    ``refresh`` rounds the weights as they are now, each once; calling it is calling the network
    with these.

    Memory: one copy of the network in that type.
    """

    def __init__(self, network: nn.Module, kind: torch.dtype) -> None:
        self._network = network
        types = cast_types(network, kind)
        self._own = {
            name: tensor
            for name, tensor in _named(network, types).items()
            if tensor.dtype != types[name]
        }
        self._cast = {n: torch.empty_like(t, dtype=kind) for n, t in self._own.items()}
        names = slot_names(network, self._cast)
        self._slots = {slot: self._cast[name] for slot, name in names.items()}
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the network's weights as they are now."""
        if self._cast:
            torch._foreach_copy_(list(self._cast.values()), list(self._own.values()))

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Return what the network returns with rounded weights."""
        return called_with(self._network, self._slots, inputs, named)


def slot_names(network: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return every place in a network of the tensors of these names, and the name it goes by.

    A module that is registered several times is one place, by its first name; a tensor of several
    modules has one in each.
    """
    own = dict(named_tensors(network))
    known = {id(own[name]): name for name in names}
    every = (
        place
        for prefix, module in network.named_modules()
        for kind in (module.named_parameters, module.named_buffers)
        for place in kind(prefix, recurse=False, remove_duplicate=False)
    )
    return {slot: known[id(tensor)] for slot, tensor in every if id(tensor) in known}


def called_with(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    inputs: tuple[Any, ...],
    named: Mapping[str, Any],
) -> Any:
    """Call a network with other tensors in its places, and put its own back.

    Args:
        network: As it is.
        tensors: By place, see ``slot_names``.  Torch may not look for places itself: it would take
            a module that is registered twice for two, and put back what it had put there.
        inputs: The network's arguments.
        named: Its keyword arguments.
    """
    return functional_call(network, dict(tensors), inputs, dict(named), tie_weights=False)


def _named(network: nn.Module, types: Types) -> dict[str, Tensor]:
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: own[name] for name in types}


def _rows(tensor: Tensor, count: int, kind: torch.dtype) -> Tensor:
    """Make room for copies that each lie in memory as the tensor does."""
    plain = tensor.contiguous() if not _is_dense(tensor) else tensor
    size, stride = (count, *plain.shape), (plain.numel(), *plain.stride())
    return torch.empty_strided(size, stride, dtype=kind, device=plain.device)


def _is_dense(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or (
        tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    )
