"""How a network is made cheaper to evaluate without changing what it computes.

In eval mode batch norm is a scale and a shift per channel:  y = g (x - m) / sqrt(v + e) + b.
Behind a convolution or a linear layer both go into that layer's weights,  w' = w g / sqrt(v + e),
b' = (b_layer - m) g / sqrt(v + e) + b,  and cost nothing.  What follows, an addition or a ReLU,
then works in place on a result that nobody else needs.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from landscape_lib.core.tracing import trace

_NORM_OF: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.Linear: nn.BatchNorm1d,
}
_RELUS = {functional.relu, torch.relu, torch.relu_}
_SUMS = {operator.add, operator.iadd, torch.add}


class FoldedLayer(nn.Module):
    """A layer and the batch norm behind it as one layer of the same values.

    ``refresh`` computes its weights from those of the two as they are now.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Any, norm: Any) -> None:
        super().__init__()
        self._parts = (layer, norm)  # in a tuple: they stay the model's, not ours
        self.relu = False
        weight, bias = self._fused()
        self.register_buffer("weight", _packed(weight).clone())
        self.register_buffer("bias", bias.clone())

    @property
    def kind(self) -> Any:
        """What layers that are refreshed together have in common; None: it is refreshed alone."""
        layer, norm = self._parts
        every = [*layer.parameters(), *norm.parameters(), norm.running_mean, norm.running_var]
        kinds = {(tensor.dtype, tensor.device) for tensor in every}
        return (isinstance(layer, nn.Linear), *kinds) if len(kinds) == 1 else None

    def _fused(self) -> tuple[Tensor, Tensor]:
        layer, norm = self._parts
        fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
        gain, shift = norm.weight, norm.bias
        if gain is None:  # which torch's own folding of linear layers cannot take
            gain, shift = torch.ones_like(norm.running_mean), torch.zeros_like(norm.running_mean)
        weight, bias = fuse(
            layer.weight,
            layer.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            gain,
            shift,
        )
        return weight.detach(), bias.detach()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the weights of layer and norm as they are now."""
        weight, bias = self._fused()
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the norm would return, or the ReLU behind it."""
        layer, norm = self._parts
        if not isinstance(layer, nn.Linear):
            outputs = layer._conv_forward(inputs, self.weight, self.bias)
        elif inputs.ndim == 2:
            outputs = functional.linear(inputs, self.weight, self.bias)
        else:  # then the norm's channels are not the layer's outputs
            outputs = norm(layer(inputs))
        return outputs.relu_() if self.relu else outputs


def _packed(weight: Tensor) -> Tensor:
    """Lay a convolution's weight out as the inputs are: channels last."""
    return weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight


class _Alike:
    """Folded layers of one kind, whose weights are computed side by side: a few calls for all.

    With the bits of each layer's own ``refresh``: the same operations in the same order.
    """

    def __init__(self, layers: list[FoldedLayer]) -> None:
        self._layers = layers
        norms = [norm for _, norm in (layer._parts for layer in layers)]
        self._nothing = [torch.zeros_like(norm.running_mean) for norm in norms]
        self._ones = [torch.ones_like(norm.running_mean) for norm in norms]
        self._eps = [norm.eps for norm in norms]
        self._linear = isinstance(layers[0]._parts[0], nn.Linear)

    def refresh(self) -> None:
        """Take the weights of all layers and norms as they are now."""
        parts = [layer._parts for layer in self._layers]
        gains = _or([norm.weight for _, norm in parts], self._ones)
        shifts = _or([layer.bias for layer, _ in parts], self._nothing)
        roots = torch._foreach_add([norm.running_var for _, norm in parts], self._eps)
        torch._foreach_rsqrt_(roots)
        scales = torch._foreach_mul(gains, roots)
        means = [norm.running_mean for _, norm in parts]
        shifts = list(torch._foreach_sub(shifts, means))
        if self._linear:
            torch._foreach_mul_(shifts, scales)
        else:  # as torch's own folding has it
            torch._foreach_mul_(shifts, roots)
            torch._foreach_mul_(shifts, gains)
        torch._foreach_add_(shifts, _or([norm.bias for _, norm in parts], self._nothing))
        torch._foreach_copy_([folded.bias for folded in self._layers], shifts)
        for folded, (layer, _), scale in zip(self._layers, parts, scales, strict=True):
            weight = layer.weight
            torch.mul(weight, scale.view(-1, *[1] * (weight.ndim - 1)), out=folded.weight)


def _or(tensors: list[Tensor | None], others: list[Tensor]) -> list[Tensor]:
    return [o if t is None else t.detach() for t, o in zip(tensors, others, strict=True)]


class Folded:
    """A network with its norms folded; call ``refresh`` whenever its weights have moved.

    It shares every module and parameter with the model it was made from.
    """

    def __init__(self, graph: fx.GraphModule, layers: list[FoldedLayer]) -> None:
        self.graph, self.layers = graph, layers
        alike: dict[Any, list[FoldedLayer]] = {}
        self._others: list[FoldedLayer] = []  # whose layer and norm have different types
        for layer in layers:
            kind = layer.kind
            (self._others if kind is None else alike.setdefault(kind, [])).append(layer)
        self._alike = [_Alike(same) for same in alike.values()]

    @torch.no_grad()
    def refresh(self) -> None:
        """Fold the weights as they are now."""
        for same in self._alike:
            same.refresh()
        for layer in self._others:
            layer.refresh()

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Return what the model would return."""
        return self.graph(*inputs, **named)


def fold(model: nn.Module) -> Folded | None:
    """Return the model with every batch norm folded where that is exact.

    A norm is folded when it keeps running statistics, stands directly behind a convolution or a
    linear layer whose result nobody else takes, both are called once, and nobody listens to them.
    The caller checks the result against the model: a network whose ``forward`` decides by its data
    may be traced wrongly.

    Returns:
        None where nothing can be folded, or the model cannot be traced, or its graph would not
        follow the weights; see ``core.tracing``.
    """
    traced = trace(model)
    if traced is None:
        return None
    graph, root = traced.graph, traced.held
    modules = dict(model.named_modules())
    layers: list[FoldedLayer] = []
    for node in list(graph.nodes):
        if _is_foldable(node, graph, modules):
            name = f"folded_{len(layers)}"
            root[name] = FoldedLayer(modules[node.args[0].target], modules[node.target])
            layers.append(root[name])
            _join(graph, node, name)
    if not layers:
        return None
    _work_in_place(graph, modules, root)
    return Folded(fx.GraphModule(root, graph), layers)


def _is_foldable(node: fx.Node, graph: fx.Graph, modules: dict[str, nn.Module]) -> bool:
    norm = _module(node, modules)
    before = node.args[0] if node.args else None
    layer = _module(before, modules) if isinstance(before, fx.Node) else None
    if layer is None or norm is None or _NORM_OF.get(type(layer)) is not type(norm):
        return False
    return (
        len(before.users) == 1  # type: ignore[union-attr]
        and getattr(norm, "running_var", None) is not None
        and not _listened(layer)
        and not _listened(norm)
        and all(_calls(graph, n) == 1 for n in (node.target, before.target))  # type: ignore[union-attr]
    )


def _module(node: Any, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(node.target) if node.op == "call_module" else None


def _calls(graph: fx.Graph, target: Any) -> int:
    return sum(node.op == "call_module" and node.target == target for node in graph.nodes)


def _listened(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _join(graph: fx.Graph, norm: fx.Node, name: str) -> None:
    layer = norm.args[0]
    with graph.inserting_before(norm):
        joined = graph.call_module(name, layer.args, layer.kwargs)  # type: ignore[union-attr]
    norm.replace_all_uses_with(joined)
    graph.erase_node(norm)
    graph.erase_node(layer)  # type: ignore[arg-type]


def _work_in_place(graph: fx.Graph, modules: dict[str, nn.Module], root: dict[str, Any]) -> None:
    """Let sums and ReLUs overwrite what only they take: folded layers' results and such sums."""
    ours: dict[fx.Node, Callable[[], None]] = {}  # fresh results, and how a ReLU joins them
    for node in list(graph.nodes):
        layer = root.get(node.target) if node.op == "call_module" else None
        if isinstance(layer, FoldedLayer):
            ours[node] = lambda layer=layer: setattr(layer, "relu", True)  # type: ignore[misc]
        elif _is_sum(node):
            first = next((n for n in node.args if n in ours and len(n.users) == 1), None)
            if first is not None:
                others = [n for n in node.args if n is not first]
                if len(others) == 1:
                    node.op, node.target, node.kwargs = "call_function", _add_to, {}
                    node.args = (first, others[0])
                    ours[node] = lambda node=node: setattr(node, "target", _add_to_and_relu)  # type: ignore[misc]
        elif _is_relu(node, modules) and node.args[0] in ours and len(node.args[0].users) == 1:
            ours[node.args[0]]()
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _is_sum(node: fx.Node) -> bool:
    if node.op == "call_method":
        named = node.target in {"add", "add_"}
    else:
        named = node.op == "call_function" and node.target in _SUMS
    return named and not node.kwargs and all(isinstance(n, fx.Node) for n in node.args)


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        module = modules.get(str(node.target))
        return type(module) is nn.ReLU and not _listened(module)
    if node.op == "call_method":
        return node.target in {"relu", "relu_"}
    return node.op == "call_function" and node.target in _RELUS


def _add_to(first: Tensor, other: Tensor) -> Tensor:
    """Add to a result that nobody else needs."""
    if first.shape == other.shape and first.dtype == other.dtype:
        return first.add_(other)
    return first + other


def _add_to_and_relu(first: Tensor, other: Tensor) -> Tensor:
    return _add_to(first, other).relu_()
