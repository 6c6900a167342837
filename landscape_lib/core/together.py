"""Several points of a landscape evaluated in one pass, for networks too small to fill a machine."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from landscape_lib.core.precision import Types, cast_types

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
            return sums(functional_call(self._network, tensors, inputs, dict(named)))

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
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the network's weights as they are now."""
        if self._cast:
            torch._foreach_copy_(list(self._cast.values()), list(self._own.values()))

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Return what the network returns with rounded weights."""
        return functional_call(self._network, self._cast, inputs, named)


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
