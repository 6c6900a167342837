"""How a model is moved along directions, and put back: the only place that writes to a model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from landscape_lib.core.direction import DIR_TYPES, Direction, movable
from landscape_lib.core.errors import InputError


class Excursion:
    """Moves a model along directions, always from the weights it was found with.

    ``move(steps)`` sets  w = w0 + (a * d1 + b * d2),  computed in the wider type of weight and
    direction and rounded once; everything that is not moved (buffers, ``requires_grad``) is as at
    the start, with the model in eval mode and without gradients.  ``restore()`` puts everything
    back, bit for bit.

    Memory: one copy of the model's tensors, the directions, and a working copy where the
    directions are wider than the weights.
    """

    def __init__(self, model: nn.Module, directions: Sequence[Direction]) -> None:
        self.model = model
        self.clamped = 0  # running variances that a step made negative, held at zero
        self._modes = [(module, module.training) for module in model.modules()]
        self._flags = [(tensor, tensor.requires_grad) for tensor in model.parameters()]
        self._grads = [(tensor, tensor.grad) for tensor in model.parameters()]
        self._slots = _slots(model)
        self._tensors = list({id(tensor): tensor for _, _, tensor in self._slots}.values())
        self._data = [tensor.data for tensor in self._tensors]
        self._saved = [data.clone() for data in self._data]
        moving = _check_fit(model, directions)
        place = {id(tensor): number for number, tensor in enumerate(self._tensors)}
        numbers = [place[id(tensor)] for tensor in moving.values()]
        self._targets = [self._data[number] for number in numbers]
        self._variances = [
            self._data[place[id(tensor)]]
            for name, tensor in moving.items()
            if name.rpartition(".")[2] == "running_var"
        ]
        types = [
            [_wider(w.dtype, d.dtype) for w, d in zip(self._targets, direction, strict=True)]
            for direction in directions
        ]
        self._types = [_widest(column) for column in zip(*types, strict=True)]
        self._directions = [
            [
                tensor.to(target.device, wanted)
                for tensor, target, wanted in zip(
                    direction, self._targets, self._types, strict=True
                )
            ]
            for direction in directions
        ]
        self._base = [
            self._saved[number].to(wanted)
            for number, wanted in zip(numbers, self._types, strict=True)
        ]
        self._work = [
            target if target.dtype == wanted else torch.empty_like(target, dtype=wanted)
            for target, wanted in zip(self._targets, self._types, strict=True)
        ]

    @torch.no_grad()
    def move(self, steps: Sequence[float]) -> None:
        """Go to a point: one step a direction.

        Raises:
            InputError: If the number of steps is not the number of directions.
        """
        if len(steps) != len(self._directions):
            raise InputError(f"{len(steps)} steps for {len(self._directions)} directions.")
        self._undo()
        self.model.eval()
        torch._foreach_copy_(self._work, self._directions[0])
        torch._foreach_mul_(self._work, float(steps[0]))
        for step, direction in zip(steps[1:], self._directions[1:], strict=True):
            torch._foreach_add_(self._work, direction, alpha=float(step))
        torch._foreach_add_(self._work, self._base)
        for target, work in zip(self._targets, self._work, strict=True):
            if target is not work:
                target.copy_(work)
        self._hold_variances()

    @torch.no_grad()
    def restore(self) -> None:
        """Put back values, storages, buffers, modes, gradients and ``requires_grad``."""
        self._undo()
        for module, training in self._modes:
            module.training = training
        for tensor, grad in self._grads:
            tensor.grad = grad

    def _undo(self) -> None:
        for registry, name, tensor in self._slots:
            if registry.get(name) is not tensor:
                registry[name] = tensor
        for tensor, _ in self._grads:
            tensor.grad = None  # the model's own are out of reach of a metric that goes backward
        for tensor, data in zip(self._tensors, self._data, strict=True):
            tensor.data = data
        for tensor, wanted in self._flags:
            tensor.requires_grad_(wanted)
        torch._foreach_copy_(self._data, self._saved)

    def _hold_variances(self) -> None:
        for variance in self._variances:
            below = int((variance < 0).sum())
            if below:
                self.clamped += below
                variance.clamp_(min=0)


def _slots(model: nn.Module) -> list[tuple[dict[str, Any], str, Tensor]]:
    """Every place in the model that holds a tensor: (registry, name, tensor)."""
    return [
        (registry, name, tensor)
        for module in model.modules()
        for registry in (module._parameters, module._buffers)
        for name, tensor in registry.items()
        if tensor is not None
    ]


def _check_fit(model: nn.Module, directions: Sequence[Direction]) -> dict[str, Tensor]:
    if not directions:
        raise InputError("No direction was given; a curve needs one, a surface two.")
    names = directions[0].names
    if any(direction.names != names for direction in directions):
        raise InputError("The two directions move different parameters; use one dir_type.")
    fitting = [moving for moving in _movable_sets(model) if tuple(moving) == names]
    if not fitting:
        raise InputError(
            f"The directions name {len(names)} entries ({', '.join(names[:3])}, ...), which are "
            "neither the model's parameters nor its states: they belong to another network."
        )
    for direction in directions:
        for (name, weight), tensor in zip(fitting[0].items(), direction, strict=True):
            if weight.shape != tensor.shape:
                raise InputError(
                    f"The direction of {name!r} has shape {tuple(tensor.shape)}, the model's "
                    f"{tuple(weight.shape)}: they belong to different networks."
                )
    return fitting[0]


def _movable_sets(model: nn.Module) -> list[dict[str, Tensor]]:
    return [movable(model, dir_type) for dir_type in DIR_TYPES]


def _wider(weight: torch.dtype, direction: torch.dtype) -> torch.dtype:
    return torch.promote_types(torch.promote_types(weight, direction), torch.float32)


def _widest(types: Sequence[torch.dtype]) -> torch.dtype:
    widest = types[0]
    for other in types[1:]:
        widest = torch.promote_types(widest, other)
    return widest


@contextmanager
def excursion(model: nn.Module, directions: Sequence[Direction]) -> Iterator[Excursion]:
    """Lend a model for walking, and put everything back whatever happens."""
    trip = Excursion(model, directions)
    try:
        yield trip
    finally:
        trip.restore()
