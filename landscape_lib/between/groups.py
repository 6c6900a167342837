"""Which entries of a network's tensors can change places together and leave its function alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd

from landscape_lib.core.errors import InputError

MAP, ROW, BLOCKS = "map", "row", "blocks"  # units along dimension 1, the last one, or in blocks

_POOLS = tuple(
    getattr(nn, f"{kind}Pool{number}d")
    for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg")
    for number in (1, 2, 3)
)
_EACH = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid),
    *(nn.Identity, _DropoutNd, nn.Softmax, nn.LogSoftmax),
)
_EACH_NAMES = frozenset(
    "relu relu_ relu6 leaky_relu elu celu selu gelu silu mish tanh sigmoid softplus softsign "
    "hardtanh hardswish hardsigmoid dropout dropout1d dropout2d dropout3d softmax log_softmax "
    "contiguous clone clamp abs exp square float stochastic_depth".split()
)
_POOL_NAMES = frozenset(
    f"{kind}_pool{number}d"
    for kind in ("max", "avg", "adaptive_max", "adaptive_avg")
    for number in (1, 2, 3)
)
_JOIN_NAMES = frozenset("add add_ iadd sub mul imul".split())
_NUMBER_NAMES = frozenset({"size", "dim", "numel"})  # what a tensor says of its shape
_SHAPES = frozenset({"shape", "ndim", "device", "dtype"})


@dataclass(frozen=True)
class Place:
    """One dimension of a tensor, along which the units of a group lie.

    Attributes:
        name: The tensor's name in the state_dict.
        axis: The dimension.
    """

    name: str
    axis: int


@dataclass(frozen=True)
class Group:
    """Hidden units that change places together: of one layer, or of a residual stream.

    Attributes:
        size: How many units.
        places: Where they lie.  A dimension of k times the size holds k entries a unit, one unit
            after the other, as behind ``flatten``.
    """

    size: int
    places: tuple[Place, ...]


def permutation_groups(model: nn.Module) -> tuple[Group, ...]:
    """Return the groups of hidden units that can be permuted without changing the function.

    For every group and every permutation of its units, the network with all of the group's places
    permuted computes the same outputs.  The network is traced with ``torch.fx``: linear layers,
    convolutions (also depthwise), batch norms and their kin, pooling, functions that act on each
    entry, flattening, means over an image, and sums, whose parts share a permutation: so a
    residual stream is one group.  Inputs and outputs stay where they are.

    Returns:
        In the order in which the network computes them.

    Raises:
        InputError: If the network cannot be traced, shares a tensor between layers, or has a layer
            for which no permutation is known; the message names it.

    Source:
        Ainsworth, Hayase, Srinivasa (2023), Git Re-Basin: Merging Models modulo Permutation
        Symmetries, section 2.2 and appendix A.
    """
    named = dict(model.named_parameters())
    shared = [n for n, _ in model.named_parameters(remove_duplicate=False) if n not in named]
    if shared:
        _refuse(f"{shared[0]!r}, which is shared between layers")
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # whatever the user's forward raises on a proxy
        raise InputError(
            f"align: permutation follows a network layer by layer, but {type(model).__name__} "
            f"cannot be traced by torch.fx ({error}). Say 'align: none'."
        ) from None
    return _Walk(model).through(graph)


class _Class:
    """Units that move together, found to be the same as others while the graph is read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fixed = False
        self.same: _Class | None = None
        self.places: dict[Place, None] = {}

    def root(self) -> "_Class":
        return self if self.same is None else self.same.root()


@dataclass(frozen=True)
class _Value:
    """What flows through the graph: which units it has, and how they lie in it.

    None stands for what stays where it is: an input, a number, and what comes of these alone.
    """

    units: _Class
    layout: str
    sides: int = 0  # of an image: 2, of a sequence 1, of a volume 3


class _Walk:
    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._names = frozenset(model.state_dict())
        self._classes: list[_Class] = []
        self._at: dict[Place, _Class] = {}

    def through(self, graph: fx.Graph) -> tuple[Group, ...]:
        values: dict[fx.Node, _Value | None] = {}
        for node in graph.nodes:
            given = [values[part] for part in node.all_input_nodes]
            values[node] = _STEPS[node.op](self, node, given)
        roots = dict.fromkeys(found.root() for found in self._classes)
        return tuple(
            Group(root.size, tuple(root.places))
            for root in roots
            if not root.fixed and root.size > 1
        )

    # ------------------------------------------------------------------------------- nodes

    def _input(self, node: fx.Node, given: list[_Value | None]) -> _Value | None:
        return None

    def _output(self, node: fx.Node, given: list[_Value | None]) -> _Value | None:
        for value in given:
            self._fix(value)
        return None

    def _attribute(self, node: fx.Node, given: list[_Value | None]) -> _Value | None:
        _refuse(f"{node.target!r}, a parameter or buffer that is used outside a layer")

    def _module(self, node: fx.Node, given: list[_Value | None]) -> _Value | None:
        name = str(node.target)
        module = self._model.get_submodule(name)
        rule = next((rule for kinds, rule in _RULES if isinstance(module, kinds)), None)
        if rule is not None:
            return rule(self, name, module, given[0])
        if given == [None] and not list(module.parameters()):
            return None
        _refuse(f"the layer {name!r}, a {type(module).__name__}")

    def _function(self, node: fx.Node, given: list[_Value | None]) -> _Value | None:
        name = node.target if isinstance(node.target, str) else node.target.__name__
        name = str(name).strip("_") if str(name).startswith("__") else str(name)
        moving = [value for value in given if value is not None]
        told = name in _NUMBER_NAMES or (name == "getattr" and node.args[1] in _SHAPES)
        if told or not moving:
            return None
        if name in _JOIN_NAMES:
            return self._joined(node, given)
        found = _reshaped(name, node, given[0]) if given[0] is not None else None
        if found is not None:
            return found
        _refuse(f"the operation {name!r} at {_place_in_code(node)}")

    def _joined(self, node: fx.Node, given: list[_Value | None]) -> _Value | None:
        """Make the parts of a sum or product share one permutation."""
        tensors = [value for value in given if value is not None]
        if len(given) > len(tensors):  # one part stays, so all do
            for value in tensors:
                self._fix(value)
            return None
        first, *others = tensors
        for other in others:
            if other.layout != first.layout:
                _refuse(f"a sum of tensors laid out differently at {_place_in_code(node)}")
            self._unite(first.units, other.units, _place_in_code(node))
        return first

    # ------------------------------------------------------------------------------- layers

    def _linear(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        weight = layer.weight
        self._take_in(name, Place(f"{name}.weight", 1), weight.shape[1], value, (ROW, BLOCKS))
        return _Value(self._give_out(name, layer, 0), ROW)

    def _embedding(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        self._fix(value)
        return _Value(self._give_out(name, layer, 1), ROW)

    def _convolution(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        inward = 0 if isinstance(layer, _ConvTransposeNd) else 1
        if layer.groups == 1:
            place = Place(f"{name}.weight", inward)
            self._take_in(name, place, layer.in_channels, value, (MAP,))
            return _Value(self._give_out(name, layer, 1 - inward), MAP, len(layer.kernel_size))
        if layer.groups == layer.in_channels == layer.out_channels:
            return self._along(name, layer, value, (MAP,))
        _refuse(f"the layer {name!r}, a {type(layer).__name__} of {layer.groups} groups")

    def _norm(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        return self._along(name, layer, value, (MAP, ROW))

    def _layer_norm(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        if len(layer.normalized_shape) > 1 and value is not None:
            _refuse(f"the layer {name!r}, a LayerNorm over several dimensions")
        return self._along(name, layer, value, (ROW,))

    def _group_norm(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        if layer.num_groups not in {1, layer.num_channels} and value is not None:
            _refuse(f"the layer {name!r}, a GroupNorm of {layer.num_groups} groups")
        return self._along(name, layer, value, (MAP, ROW))

    def _prelu(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        return value if layer.num_parameters == 1 else self._along(name, layer, value, (MAP, ROW))

    def _each(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        return value

    def _pool(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        return _pooled(value, f"the layer {name!r}")

    def _flatten(self, name: str, layer: Any, value: _Value | None) -> _Value | None:
        if value is not None and (layer.start_dim, layer.end_dim) != (1, -1):
            _refuse(f"the layer {name!r}, a Flatten from dimension {layer.start_dim}")
        return _flat(value)

    # ------------------------------------------------------------------------------- units

    def _take_in(
        self, name: str, place: Place, length: int, value: _Value | None, layouts: tuple[str, ...]
    ) -> None:
        """Put the incoming units along a weight's dimension."""
        if value is None:
            return
        units = value.units.root()
        fits = length % units.size == 0 if value.layout == BLOCKS else length == units.size
        if value.layout not in layouts or not fits:
            _refuse(
                f"the layer {name!r}: its {length} inputs are not the {units.size} units before it"
            )
        self._put(place, units)

    def _give_out(self, name: str, layer: Any, axis: int) -> _Class:
        """Start a group of units along a weight's dimension, and its bias."""
        units = _Class(layer.weight.shape[axis])
        self._classes.append(units)
        self._put(Place(f"{name}.weight", axis), units)
        if getattr(layer, "bias", None) is not None:
            self._put(Place(f"{name}.bias", 0), units)
        return units

    def _along(
        self, name: str, layer: Any, value: _Value | None, layouts: tuple[str, ...]
    ) -> _Value | None:
        """Put the units along every tensor of a layer that acts on each unit by itself."""
        if value is None:
            return None
        if value.layout not in layouts:
            _refuse(f"the layer {name!r} behind a flattened image")
        entries = (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
        for own, tensor in entries:
            if tensor.ndim:
                self._take_in(name, Place(f"{name}.{own}", 0), len(tensor), value, (value.layout,))
        return value

    def _put(self, place: Place, units: _Class) -> None:
        if place.name not in self._names:
            _refuse(f"{place.name!r}, which is computed from other parameters")
        if place in self._at:  # a layer that is used twice
            self._unite(self._at[place], units, place.name)
        self._at[place] = units
        units.root().places[place] = None

    def _fix(self, value: _Value | None) -> None:
        if value is not None:
            value.units.root().fixed = True

    def _unite(self, one: _Class, other: _Class, where: str) -> None:
        first, second = one.root(), other.root()
        if first is second:
            return
        if first.size != second.size:
            _refuse(f"{first.size} and {second.size} units that meet at {where}")
        second.same = first
        first.fixed |= second.fixed
        first.places.update(second.places)


_STEPS: dict[str, Callable[[_Walk, fx.Node, list[_Value | None]], _Value | None]] = {
    "placeholder": _Walk._input,
    "get_attr": _Walk._attribute,
    "call_module": _Walk._module,
    "call_function": _Walk._function,
    "call_method": _Walk._function,
    "output": _Walk._output,
}
_RULES: tuple[tuple[Any, Callable[[_Walk, str, Any, _Value | None], _Value | None]], ...] = (
    (nn.Linear, _Walk._linear),
    (nn.Embedding, _Walk._embedding),
    (_ConvNd, _Walk._convolution),
    (_BatchNorm, _Walk._norm),
    (nn.modules.instancenorm._InstanceNorm, _Walk._norm),
    (nn.LayerNorm, _Walk._layer_norm),
    (nn.GroupNorm, _Walk._group_norm),
    (nn.PReLU, _Walk._prelu),
    (_EACH, _Walk._each),
    (_POOLS, _Walk._pool),
    (nn.Flatten, _Walk._flatten),
)


def _reshaped(name: str, node: fx.Node, value: _Value) -> _Value | None:
    """Return what an operation makes of a value; None where that isn't known."""
    if name in _EACH_NAMES:
        return value
    if name in _POOL_NAMES:
        return _pooled(value, f"the operation {name!r}")
    if name == "flatten":
        return _flat(value) if _flattened_from(node) == (1, -1) else None
    if name in {"view", "reshape"}:
        shape = node.args[1] if isinstance(node.args[1], tuple | list) else node.args[1:]
        return _flat(value) if len(shape) == 2 else None
    if name == "mean":
        return _mean(node, value)
    return None


def _flattened_from(node: fx.Node) -> tuple[Any, Any]:
    given = {**dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)), **node.kwargs}
    return given.get("start_dim", 0), given.get("end_dim", -1)


def _mean(node: fx.Node, value: _Value) -> _Value | None:
    """Take the mean over a whole image: all dimensions from 2 on, counted from either end."""
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    found: set[Any] = set(dims) if isinstance(dims, tuple | list) else {dims}
    whole = (set(range(2, 2 + value.sides)), set(range(-value.sides, 0)))
    if value.layout != MAP or found not in whole:
        return None
    keep = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
    return value if keep else _Value(value.units, ROW)


def _pooled(value: _Value | None, what: str) -> _Value | None:
    if value is not None and value.layout != MAP:
        _refuse(f"{what}, a pooling of what is no image")
    return value


def _flat(value: _Value | None) -> _Value | None:
    if value is not None and value.layout == MAP:
        return _Value(value.units, BLOCKS)
    return value


def _place_in_code(node: fx.Node) -> str:
    """Say which layer came before, since an operation has no name of its own."""
    before = [str(part.target) for part in node.all_input_nodes]
    return f"{node.name!r} (behind {', '.join(before)})"


def _refuse(what: str) -> NoReturn:
    """Say what there is no permutation for.

    Raises:
        InputError: Always.
    """
    raise InputError(
        f"align: permutation knows no permutation for {what}. Say 'align: none', or align the "
        "model yourself."
    )
