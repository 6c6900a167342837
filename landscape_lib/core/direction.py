"""Which way we walk from the trained weights."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from landscape_lib.core.errors import InputError
from landscape_lib.core.filters import Filters, chosen, filters_of
from landscape_lib.core.lending import can_be_written
from landscape_lib.core.ties import refuse_overlaps, ties

DIR_TYPES = ("weights", "states")
BLOCK = 2**20  # entries in float64 at a time: a working copy stays in the cache
EPSILON = 1e-10  # keeps a filter of zeros from dividing by zero, as in the original program


class OnDemand(Sequence[Tensor]):
    """Tensors that are fetched, one by one, each time they are asked for: there is no room.

    Args:
        fetch: From a tensor's number to the tensor, a new one each time.
        count: How many there are.
    """

    def __init__(self, fetch: Callable[[int], Tensor], count: int) -> None:
        self._fetch, self._count = fetch, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> Tensor: ...
    @overload
    def __getitem__(self, number: slice) -> list[Tensor]: ...
    def __getitem__(self, number: int | slice) -> Tensor | list[Tensor]:
        places = range(self._count)[number]
        return self._fetch(places) if isinstance(places, int) else [self._fetch(n) for n in places]


@dataclass(frozen=True)
class Direction:
    """One tensor for every parameter (or state entry) that moves; iterates as their list.

    Attributes:
        names: The parameters' names, in the model's order.
        tensors: One tensor a name, in weight units per step, on the CPU: a tuple, or ``OnDemand``.
        attributes: How it came about: kind, seed, stream, dir_type, normalize, ignore.
        bend: Of a path to what lies at 1, theta - w0 for its bend theta, which its attribute
            ``curve`` says the shape of; None: the way is straight.  See ``core.bend``.
    """

    names: tuple[str, ...]
    tensors: Sequence[Tensor]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bend: "Direction | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if not isinstance(self.tensors, OnDemand):
            object.__setattr__(self, "tensors", tuple(self.tensors))
        if len(self.names) != len(self.tensors):
            raise InputError(f"{len(self.names)} names for {len(self.tensors)} tensors.")
        bad = [
            name
            for name, tensor in zip(self.names, self.tensors, strict=True)
            if not _all_finite(tensor)
        ]
        if bad:
            raise InputError(f"The direction of {bad[0]!r} holds NaN or infinity.")

    @property
    def in_memory(self) -> bool:
        """Whether the tensors are there, and need not be fetched."""
        return not isinstance(self.tensors, OnDemand)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, number: int) -> Tensor:
        return self.tensors[number]


def refuse_bent(directions: Sequence[Direction], what: str) -> None:
    """Raise where straight directions are needed, and one is a path with a bend.

    Args:
        directions: Those that are given.
        what: What a path cannot do.

    Raises:
        InputError: If one is.
    """
    if any(direction.bend is not None for direction in directions):
        raise InputError(
            f"A path with a bend cannot {what}: it is no straight line. Say curve: none, or leave "
            "the other wish out."
        )


def _all_finite(tensor: Tensor) -> bool:
    """Tell it from the sum, in one quick pass: NaN and infinity never leave a sum finite."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def no_direction(model: nn.Module) -> Direction:
    """Return the direction in which no parameter moves."""
    moving = movable(model)
    return Direction(tuple(moving), tuple(torch.zeros(w.shape) for w in moving.values()))


def movable(model: nn.Module, dir_type: str = "weights") -> dict[str, Tensor]:
    """Return what a direction of this type moves, by name, in the model's order.

    ``weights``: every floating-point parameter.  ``states``: every floating-point entry of the
    state_dict, running statistics among them; counters stay.  A tied tensor comes once, under
    its first name; tied are also two that are one piece of memory (see ``core.ties``).

    Returns:
        The model's own tensors, not copies.

    Raises:
        InputError: If the type is unknown, or a parameter is complex, sparse, expanded or not yet
            initialised, or shares a part of its memory with another.
    """
    _refuse_unknown("dir_type", dir_type, DIR_TYPES)
    if dir_type == "weights":
        entries: dict[str, Any] = dict(model.named_parameters())
    else:
        entries = model.state_dict(keep_vars=True)
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in entries.items():
        if not isinstance(tensor, Tensor) or id(tensor) in seen:
            continue
        if is_lazy(tensor):
            raise InputError(f"Parameter {name!r} has no shape yet; run the model once first.")
        if tensor.is_complex():
            raise InputError(f"Parameter {name!r} is complex; only real parameters can move.")
        if tensor.is_floating_point():
            seen.add(id(tensor))
            found[name] = tensor
    if not found:
        raise InputError("The model has no floating-point parameter, so nothing can move.")
    return _each_once(found)


def _each_once(entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is tied to an entry before it.

    Raises:
        InputError: If an entry cannot be written to, or overlaps another.
    """
    fixed = next((name for name, tensor in entries.items() if not can_be_written(tensor)), None)
    if fixed is not None:
        raise InputError(
            f"Parameter {fixed!r} is sparse or expanded: not every entry is a number of its own in "
            "memory, so it cannot move. Make it a plain tensor, as nn.Parameter(weight.to_dense()) "
            "or nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))."
        )
    tied = ties(entries)
    found = {name: tensor for name, tensor in entries.items() if name not in tied}
    refuse_overlaps(found)
    return found


def get_weights(model: nn.Module) -> list[Tensor]:
    """Return copies of the model's parameters, in order."""
    return [tensor.detach().clone() for tensor in movable(model).values()]


def get_states(model: nn.Module) -> dict[str, Any]:
    """Return a copy of the model's state_dict, as ``set_states`` takes it back."""
    return copy.deepcopy({name: _detached(entry) for name, entry in model.state_dict().items()})


def _detached(entry: Any) -> Any:
    return entry.detach() if isinstance(entry, Tensor) else entry


def _filter_norms(tensor: Tensor) -> Tensor:
    within_filter = tuple(range(1, tensor.ndim))
    return torch.linalg.vector_norm(tensor, dim=within_filter, keepdim=True)


def match_filter_norms(noise: Tensor, weight: Tensor) -> Tensor:
    """Give each filter of the noise the norm of the same filter of the weight.

    For every index j of dimension 0:  d_j = e_j * |w_j| / (|e_j| + 1e-10),  |.| the Frobenius
    norm.  Row j of a fully connected layer, the weights into neuron j, counts as filter j.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 4.
    """
    return noise * _filter_norms(weight) / (_filter_norms(noise) + EPSILON)


def match_layer_norm(noise: Tensor, weight: Tensor) -> Tensor:
    """Give the noise the norm of the whole weight:  d = e * |w| / |e|."""
    return noise * torch.linalg.vector_norm(weight) / torch.linalg.vector_norm(noise)


def scale_by_weight(noise: Tensor, weight: Tensor) -> Tensor:
    """Multiply noise and weight element by element:  d = e * w."""
    return noise * weight


def unit_filters(noise: Tensor, weight: Tensor) -> Tensor:
    """Give each filter of the noise the norm 1:  d_j = e_j / (|e_j| + 1e-10)."""
    return noise / (_filter_norms(noise) + EPSILON)


def unit_layer(noise: Tensor, weight: Tensor) -> Tensor:
    """Give the noise the norm 1:  d = e / |e|."""
    return noise / torch.linalg.vector_norm(noise)


NORMALIZERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "filter": match_filter_norms,
    "layer": match_layer_norm,
    "weight": scale_by_weight,
    "dfilter": unit_filters,
    "dlayer": unit_layer,
}


BY_FILTER = frozenset({"filter", "weight", "dfilter"})  # a filter's result depends on it alone


def _nothing(noise: Tensor, weight: Tensor) -> Tensor:
    return torch.zeros_like(noise)


def _weight_itself(noise: Tensor, weight: Tensor) -> Tensor:
    return weight.clone()


# What a tensor of at most one dimension (bias, norm parameter) gets: it has no filters.
IGNORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "biasbn": _nothing,
    "none": _weight_itself,
    "scaled": match_layer_norm,
}
PARAMETERS_ONLY = "biasbn_parameters"  # for a model: so its parameters, but not its statistics


@overload
def normalize_direction(
    noise: Tensor, weights: Tensor, norm: str = "filter", ignore: str | None = "biasbn"
) -> Tensor: ...
@overload
def normalize_direction(
    noise: Sequence[Tensor],
    weights: Sequence[Tensor],
    norm: str = "filter",
    ignore: str | None = "biasbn",
) -> list[Tensor]: ...
def normalize_direction(
    noise: Tensor | Sequence[Tensor],
    weights: Tensor | Sequence[Tensor],
    norm: str = "filter",
    ignore: str | None = "biasbn",
) -> Tensor | list[Tensor]:
    """Return the noise scaled to the weights, tensor by tensor.

    Tensors with at most one dimension follow ``ignore``: ``biasbn`` sets them to zero, ``none``
    (also ``None`` and ``''``) to the weight itself as the original program does, ``scaled`` to
    the noise at the weight's norm.  All others follow ``norm``: see ``NORMALIZERS``.
    Computed in float64, rounded once to the weight's type (half precision to float32).

    Args:
        noise: One tensor, or one a parameter; left as they are.
        weights: The same number of tensors in the same shapes.
        norm: One of ``NORMALIZERS``.
        ignore: One of ``IGNORES``.

    Raises:
        InputError: If a choice is unknown, or numbers or shapes of tensors differ.
    """
    ignore = "none" if ignore in {None, ""} else ignore
    _refuse_unknown("normalize", norm, NORMALIZERS)
    _refuse_unknown("ignore", ignore, IGNORES)
    if isinstance(noise, Tensor) and isinstance(weights, Tensor):
        return _normalized(noise, weights, norm, ignore)
    if len(noise) != len(weights):
        raise InputError(f"{len(noise)} tensors of noise for {len(weights)} weights.")
    return [_normalized(e, w, norm, ignore) for e, w in zip(noise, weights, strict=True)]


def _normalized(noise: Tensor, weight: Tensor, norm: str, ignore: str) -> Tensor:
    if noise.shape != weight.shape:
        raise InputError(f"Noise has shape {tuple(noise.shape)}, weight {tuple(weight.shape)}.")
    rule = IGNORES[ignore] if weight.ndim <= 1 else NORMALIZERS[norm]
    whole = weight.ndim <= 1 or norm not in BY_FILTER
    direction = torch.empty_like(noise, dtype=direction_dtype(weight), device="cpu")
    # |e| = 0 happens only to empty tensors and to noise that was zero to begin with
    still = not noise.any()
    for part in [...] if whole else _blocks(weight):
        e, w = (t.detach()[part].to("cpu", torch.float64) for t in (noise, weight))
        d = rule(e, w)
        direction[part] = torch.nan_to_num(d, nan=0.0) if still else d
    return direction


def _blocks(tensor: Tensor) -> Iterator[slice]:
    """Cut a tensor along dimension 0 into blocks of about ``BLOCK`` entries.

    Never one filter alone beside others: torch would add it up in another order.
    """
    filters = len(tensor)
    size = max(2, BLOCK // max(1, tensor.numel() // max(1, filters)))
    starts = range(0, max(1, filters - 1), size)
    return map(slice, starts, [*starts[1:], filters])


def direction_dtype(weight: Tensor) -> torch.dtype:
    """Return the type of a direction's tensor: the weight's, but float32 for half precision."""
    return torch.promote_types(weight.dtype, torch.float32)


def noise_stream(seed: int, axis: int = 0) -> np.random.Generator:
    """Return the stream of random numbers of one axis; axes are independent for every seed.

    Raises:
        InputError: If the seed is no whole number from 0, below 2^63.
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**63:
        raise InputError(f"seed is {seed!r}; wanted a whole number from 0, below 2^63, or None.")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(axis,))))


def _noise(stream: np.random.Generator, shape: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.asarray(stream.standard_normal(tuple(shape), dtype=np.float32)))


def create_random_direction(
    model: nn.Module,
    dir_type: str = "weights",
    ignore: str | None = "biasbn",
    norm: str = "filter",
    seed: int | None = None,
    axis: int = 0,
) -> Direction:
    """Draw Gaussian noise for the model and normalize it.

    The noise is drawn on the CPU in the model's order, so every device sees the same; torch's
    and numpy's global random state stay untouched.  Parameters come first: one seed gives them
    the same noise whether running statistics move as well or not.

    What a filter is, is told from the module: of a transposed convolution all weights that make one
    output; of an embedding one token's row, and the row for padding stands still; else an index of
    dimension 0.

    Args:
        model: The network at its trained weights.
        dir_type: ``weights`` or ``states``.
        ignore: See ``normalize_direction``; or ``biasbn_parameters``: parameters of at most one
            dimension stand still, while of running statistics every entry is a filter of its own:
            it goes up or down by its own size, so that steps below 1 leave variances positive.
        norm: See ``normalize_direction``.
        seed: ``None`` draws fresh entropy, recorded in the direction's attributes.
        axis: 0 for x, 1 for y: independent streams of one seed.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 4.
    """
    weights = movable(model, dir_type)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    stream = noise_stream(seed, axis)
    trained = {name for name, _ in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for name in sorted(weights, key=lambda name: name not in trained):
        rule = ignore
        if ignore == PARAMETERS_ONLY:
            rule = "biasbn" if name in trained else "filter"
        noise = _noise(stream, weights[name].shape)
        tensors[name] = _scaled(noise, weights[name], filters_of(model, name), norm, rule)
    return Direction(
        tuple(weights),
        tuple(tensors[name] for name in weights),
        {
            "kind": "random",
            "seed": int(seed),
            "axis": axis,
            "dir_type": dir_type,
            "normalize": norm,
            "ignore": ignore or "none",
        },
    )


def _scaled(
    noise: Tensor, weight: Tensor, filters: Filters, norm: str, ignore: str | None
) -> Tensor:
    """Normalize the noise of one parameter, filter by filter where the norm is a filter's."""
    if filters.still is not None:
        noise[filters.still] = 0
    if ignore == "filter":
        if weight.ndim <= 1:  # statistics of one channel each
            columns = noise.reshape(-1, 1), weight.reshape(-1, 1)
            return normalize_direction(*columns, "filter").reshape(weight.shape)
        ignore = "biasbn"
    if norm not in BY_FILTER:
        return normalize_direction(noise, weight, norm, ignore)
    swapped = filters.swapped(noise), filters.swapped(weight.detach())
    return filters.swapped(normalize_direction(*swapped, norm, ignore))


def only_in_layers(direction: Direction, globs: Sequence[str]) -> Direction:
    """Return a direction that moves the entries that globs mean, as it did, and no others.

    Args:
        direction: Of any kind.
        globs: On the entries' names; see ``filters.chosen``.

    Raises:
        InputError: If a glob matches nothing, what is left stands still altogether, or the
            direction is a path with a bend.
    """
    refuse_bent([direction], "move in some layers alone")
    moving = set(chosen(direction.names, globs))
    tensors = tuple(
        tensor if name in moving else torch.zeros_like(tensor)
        for name, tensor in zip(direction.names, direction, strict=True)
    )
    told = ", ".join(globs)
    if not any(tensor.any() for tensor in tensors):
        raise InputError(
            f"layers: {told}: the direction of all {len(moving)} entries is zero, so nothing would "
            "move. Biases and norm parameters stand still with 'ignore: biasbn' ('scaled' moves "
            "them), weights of zeros with the normalizations that match their norm."
        )
    return Direction(direction.names, tensors, {**direction.attributes, "layers": told})


def create_target_direction(
    model: nn.Module, target: nn.Module | Mapping[str, Tensor], dir_type: str = "weights"
) -> Direction:
    """Point from this model to another: step 0 is this one, step 1 exactly the other.

    d = w_target - w, in float64, so that w + 1 d rounds to w_target itself.

    Raises:
        InputError: If the target lacks an entry, or has it in another shape.
    """
    if not isinstance(target, nn.Module | Mapping):
        raise InputError(
            f"The target is a {type(target).__name__}; wanted a model of the same network, or its "
            "state_dict."
        )
    weights = movable(model, dir_type)
    state = target.state_dict() if isinstance(target, nn.Module) else target
    tensors = []
    for name, weight in weights.items():
        found = state.get(name)
        if found is None or found.shape != weight.shape:
            shape = "nothing" if found is None else f"shape {tuple(found.shape)}"
            raise InputError(
                f"The target model has {shape} for {name!r}; this model has shape "
                f"{tuple(weight.shape)}. A target must be a state_dict of the same network."
            )
        other, here = (tensor.detach().to("cpu", torch.float64) for tensor in (found, weight))
        tensors.append(other - here)
    return Direction(tuple(weights), tuple(tensors), {"kind": "target", "dir_type": dir_type})


def orthogonalize(direction: Direction, to: Direction) -> Direction:
    """Take out of a direction what lies along another: their cosine is zero but for rounding.

    d' = d - e <d, e> / |e|^2,  over all entries together, in float64 (Gram and Schmidt), rounded
    once to the direction's type.  Random directions are nearly orthogonal by themselves;
    ``cosine`` says how nearly.  What was taken out, <d, e> / |e|^2, is kept as the attribute
    ``along``: w + d lies there along ``to``, and at 1 along what is returned.

    Args:
        direction: The one that changes.
        to: The one that stays, of the same entries.

    Raises:
        InputError: If they move different entries, one is a multiple of the other, or one is a
            path with a bend.
    """
    refuse_bent([direction, to], "be an axis of a plane")
    if direction.names != to.names:
        raise InputError("The two directions move different parameters; use one dir_type.")
    length = _dot(to, to)
    along = _dot(direction, to) / length if length else 0.0
    rest = tuple(
        (d.double() - along * e.double()).to(d.dtype) for d, e in zip(direction, to, strict=True)
    )
    told = {**direction.attributes, "orthogonal": True, "along": along}
    found = Direction(direction.names, rest, told)
    if not _dot(found, found) > 1e-12 * _dot(direction, direction):
        raise InputError(
            "The two directions are parallel: nothing of the second is orthogonal to the first. "
            "Choose another seed or target for one of them."
        )
    return found


def _dot(one: Direction, other: Direction) -> float:
    """Return <d, e>, each tensor in one sum: the last bits of what it makes depend on the order."""
    return sum(float(torch.sum(a.double() * b.double())) for a, b in zip(one, other, strict=True))


def cosine(one: Direction, other: Direction) -> float:
    """Return the cosine of the angle between two directions, over all entries together."""
    products = torch.zeros(3, dtype=torch.float64)
    for pair in zip(one, other, strict=True):
        blocks = zip(*(tensor.detach().reshape(-1).split(BLOCK) for tensor in pair), strict=True)
        for d, e in ((a.double(), b.double()) for a, b in blocks):
            products += torch.stack([d @ e, d @ d, e @ e])
    along, *squares = products.tolist()
    length = math.sqrt(squares[0] * squares[1])
    return along / length if length else float("nan")


def _refuse_unknown(what: str, found: Any, allowed: Any) -> None:
    if not isinstance(found, str) or found not in allowed:
        raise InputError(f"Unknown {what} {found!r}; choose one of {sorted(allowed)}.")
