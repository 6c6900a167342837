"""How a model is moved along directions, and put back."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_lib.core.bend import steps_along, straightened
from landscape_lib.core.direction import DIR_TYPES, Direction, get_states, movable
from landscape_lib.core.errors import InputError
from landscape_lib.core.holdings import Holdings
from landscape_lib.core.lending import can_be_written, slots
from landscape_lib.core.room import fits, needs

log = logging.getLogger(__name__)


class Excursion:
    """Moves a model along directions, always from the weights it was found with.

    ``move(steps)`` sets  w = w0 + (a * d1 + b * d2)  (along a path with a bend, both of it; see
    ``core.bend``),  computed in the wider type of weight and
    direction and rounded once; everything that is not moved (buffers, ``requires_grad``) is as at
    the start, with the model in eval mode and without gradients.  ``restore()`` puts everything
    back, bit for bit.

    Memory, on the model's device: one copy of its tensors, the directions, and, where these are
    wider than the weights, a base and a working copy as wide.  On a device that has no room for
    these beside the model, weights and directions stay in the CPU's memory (pinned beside a GPU),
    and each move goes tensor by tensor: with the same bits, and room for a few copies of the
    largest tensor is enough.  So it is with directions that are fetched on demand, on a CPU too.

    Args:
        model: The network at its trained weights.
        directions: One an axis, of the same entries.
        resident: Whether everything is kept on the model's device; None asks for room.

    Raises:
        InputError: If the directions do not fit the model.
    """

    def __init__(
        self, model: nn.Module, directions: Sequence[Direction], *, resident: bool | None = None
    ) -> None:
        self.model = model
        self._clamped: int | Tensor = 0
        self._modes = [(module, module.training) for module in model.modules()]
        self._scripted = [module for module, _ in self._modes if "training" not in vars(module)]
        self._holdings = Holdings(model, training=False)
        self._told: set[str] = set()
        self._flags = [(tensor, tensor.requires_grad) for tensor in model.parameters()]
        self._grads = [(tensor, tensor.grad) for tensor in model.parameters()]
        every = {id(tensor): tensor for tensor in slots(model)}
        self._tensors = [tensor for tensor in every.values() if can_be_written(tensor)]
        self._data = [tensor.data for tensor in self._tensors]
        self._directions = tuple(directions)
        directions = straightened(directions)
        moving = _check_fit(model, directions)
        place = {id(tensor): number for number, tensor in enumerate(self._tensors)}
        numbers = [place[id(tensor)] for tensor in moving.values()]
        targets = [self._data[number] for number in numbers]
        self._variances = [
            self._data[place[id(tensor)]] for name, tensor in moving.items() if _is_variance(name)
        ]
        types = _working_types(targets, directions)
        if resident is None:
            there = all(d.in_memory for d in directions) or all(t.is_cuda for t in targets)
            resident = there and fits(needs(self._data, targets, types, len(directions)))
        self._saved = [data.clone() if resident else _in_host_memory(data) for data in self._data]
        base = [self._saved[number] for number in numbers]
        written = set(numbers) if resident else set()  # anew by each move, whatever they are
        self._before = [
            pair
            for number, pair in enumerate(zip(self._data, self._saved, strict=True))
            if number not in written
        ]
        self._steps: _Resident | _Streamed = (
            _Resident(targets, base, directions, types)
            if resident
            else _Streamed(targets, directions, types)
        )

    @property
    def clamped(self) -> int:
        """How many running variances steps made negative; they were held at zero."""
        return int(self._clamped)

    @torch.no_grad()
    def move(self, steps: Sequence[float]) -> None:
        """Go to a point: one step a direction.

        Raises:
            InputError: If the number of steps is not the number of directions.
        """
        if len(steps) != len(self._directions):
            raise InputError(f"{len(steps)} steps for {len(self._directions)} directions.")
        self._undo(self._before)  # the others are written anyway
        for module in self._scripted:
            module.training = False
        self._steps.take(steps_along(self._directions, steps))
        self._clamped = self._clamped + _hold(self._variances)

    @torch.no_grad()
    def restore(self) -> None:
        """Put back values, storages, buffers, modes, gradients, hooks and attributes."""
        self._undo(list(zip(self._data, self._saved, strict=True)))
        for module, training in self._modes:
            module.training = training
        for tensor, grad in self._grads:
            tensor.grad = grad

    def _undo(self, values: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Put back everything but values, and of values those that are named, with what they are.

        Args:
            values: Pairs of the model's own memory and what was there.
        """
        self._tell(self._holdings.put_back())
        for parameter, _ in self._grads:
            parameter.grad = None  # the model's own are out of reach of a metric that goes backward
        for tensor, data in zip(self._tensors, self._data, strict=True):
            tensor.data = data
        for tensor, wanted in self._flags:
            tensor.requires_grad_(wanted)
        if values:
            own, saved = map(list, zip(*values, strict=True))
            torch._foreach_copy_(own, saved, non_blocking=True)

    def _tell(self, changed: set[str]) -> None:
        """Say, of hooks and submodules once each, that somebody changed them: he may need them."""
        new = sorted(changed - self._told)
        self._told |= changed
        if new:
            log.warning(
                "Model or metrics changed the model's %s while a point was evaluated. These are "
                "put back after every point, so that no point depends on those before it; change "
                "them around your own lines alone, at every point.",
                " and ".join(new),
            )


class _Resident:
    """Keeps what a step needs where the weights are, and moves all tensors at once."""

    def __init__(
        self,
        targets: list[Tensor],
        base: list[Tensor],
        directions: Sequence[Direction],
        types: list[torch.dtype],
    ) -> None:
        self._targets = targets
        self._base = [tensor.to(wanted) for tensor, wanted in zip(base, types, strict=True)]
        self._directions = [
            [
                tensor.to(target.device, wanted)
                for tensor, target, wanted in zip(direction, targets, types, strict=True)
            ]
            for direction in directions
        ]
        self._work = [_work_for(*pair) for pair in zip(targets, types, strict=True)]

    def take(self, steps: Sequence[float]) -> None:
        """Go from w0 to  w0 + (a * d1 + b * d2)."""
        _displace(self._work, self._base, self._directions, steps)
        for target, work in zip(self._targets, self._work, strict=True):
            if target is not work:
                target.copy_(work)


class _Streamed:
    """Leaves the directions where they are, and moves one tensor after the other."""

    def __init__(
        self, targets: list[Tensor], directions: Sequence[Direction], types: list[torch.dtype]
    ) -> None:
        self._rows = list(zip(targets, types, strict=True))
        self._directions: list[Sequence[Tensor]] = [
            [
                tensor.pin_memory() if target.is_cuda else tensor
                for tensor, target in zip(direction, targets, strict=True)
            ]
            if direction.in_memory
            else direction.tensors
            for direction in directions
        ]

    def take(self, steps: Sequence[float]) -> None:
        """Go from w0, where the weights are, to  w0 + (a * d1 + b * d2)."""
        for number in range(len(self._rows)):
            self._take_one(number, steps)  # which keeps nothing of it

    def _take_one(self, number: int, steps: Sequence[float]) -> None:
        target, wanted = self._rows[number]
        base = target.to(wanted, copy=True)
        row = (tensors[number] for tensors in self._directions)
        moves = [[d.to(target.device, non_blocking=True).to(wanted)] for d in row]
        work = _work_for(target, wanted)
        _displace([work], [base], moves, steps)
        if target is not work:
            target.copy_(work)


def _work_for(target: Tensor, wanted: torch.dtype) -> Tensor:
    return target if target.dtype == wanted else torch.empty_like(target, dtype=wanted)


def _in_host_memory(data: Tensor) -> Tensor:
    return torch.empty_like(data, device="cpu", pin_memory=data.is_cuda).copy_(data)


def _working_types(targets: Sequence[Tensor], directions: Sequence[Direction]) -> list[torch.dtype]:
    """Return the type in which each tensor is moved: the widest of weight and directions."""
    return [
        _widest([_wider(target.dtype, tensor.dtype) for tensor in row])
        for target, *row in zip(targets, *directions, strict=True)
    ]


def _displace(
    work: list[Tensor], base: list[Tensor], directions: list[list[Tensor]], steps: Sequence[float]
) -> None:
    """Write  base + (a * d1 + b * d2)  into ``work``."""
    torch._foreach_copy_(work, directions[0])
    torch._foreach_mul_(work, float(steps[0]))
    for step, direction in zip(steps[1:], directions[1:], strict=True):
        torch._foreach_add_(work, direction, alpha=float(step))
    torch._foreach_add_(work, base)


def _hold(variances: Sequence[Tensor]) -> int | Tensor:
    """Hold variances at zero or above; return how many entries were below, not yet read."""
    below: int | Tensor = 0
    for variance in variances:
        below = below + (variance < 0).sum()
        variance.clamp_(min=0)
    return below


def _check_fit(model: nn.Module, directions: Sequence[Direction]) -> dict[str, Tensor]:
    if not directions:
        raise InputError("No direction was given; a curve needs one, a surface two.")
    names = directions[0].names
    if any(direction.names != names for direction in directions):
        raise InputError("The two directions move different parameters; use one dir_type.")
    sets = (movable(model, dir_type) for dir_type in DIR_TYPES)  # one by one: states may refuse
    fitting = next((moving for moving in sets if tuple(moving) == names), None)
    if fitting is None:
        raise InputError(
            f"The directions name {len(names)} entries ({', '.join(names[:3])}, ...), which are "
            "neither the model's parameters nor its states: they belong to another network."
        )
    for direction in directions:
        for (name, weight), tensor in zip(fitting.items(), direction, strict=True):
            if weight.shape != tensor.shape:
                raise InputError(
                    f"The direction of {name!r} has shape {tuple(tensor.shape)}, the model's "
                    f"{tuple(weight.shape)}: they belong to different networks."
                )
    return fitting


def _wider(weight: torch.dtype, direction: torch.dtype) -> torch.dtype:
    return torch.promote_types(torch.promote_types(weight, direction), torch.float32)


def _widest(types: Sequence[torch.dtype]) -> torch.dtype:
    widest = types[0]
    for other in types[1:]:
        widest = torch.promote_types(widest, other)
    return widest


@contextmanager
def excursion(
    model: nn.Module, directions: Sequence[Direction], *, resident: bool | None = None
) -> Iterator[Excursion]:
    """Lend a model for walking, and put everything back whatever happens."""
    trip = Excursion(model, directions, resident=resident)
    try:
        yield trip
    finally:
        try:
            trip.restore()
        except BaseException:  # Ctrl-C in the middle of it: the model must not stay half moved
            trip.restore()
            raise


@contextmanager
def states_kept(model: nn.Module) -> Iterator[None]:
    """Let others' weights into a model, and put its own back whatever happens."""
    own = get_states(model)
    try:
        yield
    finally:
        try:
            model.load_state_dict(own)
        except BaseException:  # Ctrl-C in the middle of it
            model.load_state_dict(own)
            raise


@torch.no_grad()
def set_weights(
    net: nn.Module,
    weights: Sequence[Tensor],
    directions: Any = None,
    step: Any = None,
) -> None:
    """Write weights into a model, in place: those given, or those a step away from them.

    w = w0 + a * d,  or  w = w0 + (a * d1 + b * d2),  computed as ``Excursion.move`` does.  Nothing
    but the parameters changes, and they keep their storage.

    Args:
        net: The model that is written to.
        weights: w0, as ``get_weights`` returns it.
        directions: Nothing, one direction, or two: each a ``Direction`` or a list of tensors.  One
            direction may stand in a list of its own.
        step: A number for one direction, a pair of numbers for two.

    Raises:
        InputError: If numbers or shapes of tensors, directions and steps do not agree.
    """
    _write(movable(net), list(weights), directions, step)


@torch.no_grad()
def set_states(
    net: nn.Module, states: Mapping[str, Any], directions: Any = None, step: Any = None
) -> None:
    """Write a state_dict into a model, in place: the one given, or one a step away from it.

    As ``set_weights``, for all floating-point entries of the state_dict; counters are written as
    they are.  Running variances that a step would make negative are held at zero, and it is
    logged how many were.

    Args:
        net: The model that is written to.
        states: As ``get_states`` returns them.
        directions: As for ``set_weights``, of type ``states``; a list may also have one tensor for
            every entry of the state_dict, as in files of the original program.
        step: A number for one direction, a pair of numbers for two.

    Raises:
        InputError: If names, numbers or shapes do not agree.
    """
    moving = movable(net, "states")
    own = net.state_dict()
    if set(own) != set(states):
        strange = sorted(set(own) ^ set(states))
        raise InputError(
            f"These states do not fit the model: {strange[0]!r} is in one of them only."
        )
    places = {name: number for number, name in enumerate(states)}
    moves = [
        [tensors[places[name]] for name in moving] if len(tensors) == len(states) else tensors
        for tensors in _listed(directions)
    ]
    base = [states[name] for name in moving]
    _write(moving, base, moves if directions is not None else None, step)
    for name, entry in own.items():
        if isinstance(entry, Tensor) and not entry.is_floating_point():  # else written or tied
            entry.copy_(states[name])
    if directions is None:
        return
    held = int(_hold([tensor.data for name, tensor in moving.items() if _is_variance(name)]))
    if held:
        log.warning("%d running variances became negative and were held at zero.", held)


def _write(
    moving: Mapping[str, Tensor], base: Sequence[Tensor], directions: Any, step: Any
) -> None:
    targets = [tensor.data for tensor in moving.values()]
    _refuse_other_shapes("weights", base, moving)
    if directions is None and step is None:
        for target, tensor in zip(targets, base, strict=True):
            target.copy_(tensor)
        return
    listed = _listed(directions)
    steps = [] if step is None else [float(number) for number in np.ravel(step)]
    if len(listed) != len(steps) or len(listed) not in (1, 2):
        raise InputError(
            f"{len(steps)} steps for {len(listed)} directions; give one number for one direction, "
            "a pair for two."
        )
    for tensors in listed:
        _refuse_other_shapes("direction", tensors, moving)
    rows = zip(targets, base, *listed, strict=True)
    wide = [_widened(target, tensors) for target, *tensors in rows]
    origin, *moves = ([row[part] for row in wide] for part in range(len(listed) + 1))
    work = [torch.empty_like(tensor) for tensor in origin]
    _displace(work, origin, moves, steps)
    for target, tensor in zip(targets, work, strict=True):
        target.copy_(tensor)


def _widened(target: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    kind = _widest([_wider(target.dtype, tensor.dtype) for tensor in tensors])
    return [tensor.to(target.device, kind) for tensor in tensors]


def _listed(directions: Any) -> list[list[Tensor]]:
    """Return a list of directions, whether one or two were given, each as a list of tensors."""
    if directions is None:
        return []
    if isinstance(directions, Direction):
        return [list(directions)]
    found = [directions] if isinstance(directions, Tensor) else list(directions)
    if found and all(isinstance(entry, Tensor) for entry in found):
        return [found]
    return [list(direction) for direction in found]


def _refuse_other_shapes(
    what: str, tensors: Sequence[Tensor], moving: Mapping[str, Tensor]
) -> None:
    found = [tuple(tensor.shape) for tensor in tensors]
    wanted = {name: tuple(tensor.shape) for name, tensor in moving.items()}
    if len(found) != len(wanted):
        raise InputError(f"The {what} has {len(found)} tensors; the model has {len(wanted)}.")
    for shape, (name, own) in zip(found, wanted.items(), strict=True):
        if shape != own:
            raise InputError(f"The {what} of {name!r} has shape {shape}, the model's {own}.")


def _is_variance(name: str) -> bool:
    return name.rpartition(".")[2] == "running_var"
