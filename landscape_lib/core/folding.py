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

    def _fused(self) -> tuple[Tensor, Tensor]:
        layer, norm = self._parts
        fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
        weight, bias = fuse(
            layer.weight,
            layer.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
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


class Folded:
    """A network with its norms folded; call ``refresh`` whenever its weights have moved.

    It shares every module and parameter with the model it was made from.
    """

    def __init__(self, graph: fx.GraphModule, layers: list[FoldedLayer]) -> None:
        self.graph, self._layers = graph, layers

    def refresh(self) -> None:
        """Fold the weights as they are now."""
        for layer in self._layers:
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
