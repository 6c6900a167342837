"""What a network's ``forward`` computes, as a graph that follows the weights wherever they move."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from landscape_lib.core.lending import attributes_kept, in_eval_mode

# what makes plain numbers of a tensor's values: those a graph has for good
_READS = {
    *("item", "tolist", "numpy", "__array__", "__contains__"),
    *("__bool__", "__int__", "__index__", "__float__", "__complex__"),
    *("equal", "allclose", "is_nonzero"),
}


@dataclass(frozen=True)
class Traced:
    """A model's graph.

    Attributes:
        graph: What ``forward`` computes.
        held: By name each module and tensor that the graph refers to.
        follows: Whether all that was computed from weights is computed anew at every call.
    """

    graph: fx.Graph
    held: dict[str, Any]
    follows: bool


def trace(model: nn.Module) -> Traced | None:
    """Trace a model in eval mode; the model stays as it was.

    What ``forward`` computes without its inputs is a constant of the graph.  That is right for
    ``torch.tensor([0.5])``, and wrong for what is computed from weights or buffers: there, buffers
    are traced as inputs are.

    Returns:
        None where the model cannot be traced, or the graph would not follow its weights all the
        same, as where ``forward`` walks ``self.parameters()``.
    """
    traced = _traced(model, fx.Tracer())
    if traced is not None and not traced.follows:
        traced = _traced(model, _BufferTracer())
    return traced if traced is not None and traced.follows else None


class _BufferTracer(fx.Tracer):
    """Traces what is computed from buffers, too."""

    proxy_buffer_attributes = True


def _traced(model: nn.Module, tracer: fx.Tracer) -> Traced | None:
    with in_eval_mode(model), attributes_kept(model):
        try:
            with _Watch(_moving(model)) as watch:
                graph = tracer.trace(model)
            held = _named(model, graph)
            return Traced(graph, held, not watch.is_baked_into(held.values()))
        except Exception:  # whatever a forward may do that cannot be traced
            return None


def _named(model: nn.Module, graph: fx.Graph) -> dict[str, Any]:
    """Return what a graph refers to; tensors of submodules by names of their own.

    By theirs, they would be registered with these modules anew.
    """
    held: dict[str, Any] = {}
    names: dict[str, str] = {}
    for node in graph.nodes:
        if node.op in {"call_module", "get_attr"}:
            thing = operator.attrgetter(node.target)(model)
            if node.op == "get_attr" and "." in node.target:
                node.target = names.setdefault(node.target, f"_held_{len(names)}")
            held[node.target] = thing
    return held


def _moving(model: nn.Module) -> list[Tensor]:
    """Return what directions can move: floating-point parameters and entries of the state_dict."""
    every = [*model.parameters(), *model.state_dict(keep_vars=True).values()]
    return [t for t in every if isinstance(t, Tensor) and t.is_floating_point()]


class _Watch(TorchFunctionMode):  # one that sees what torch does inside would import for a second
    """Sees what is computed from tensors while a model is traced, outside of the graph.

    A view of a weight moves with it; any other result does not.
    """

    def __init__(self, moving: Iterable[Tensor]) -> None:
        super().__init__()
        self._moving = {_place(tensor) for tensor in moving}
        self._computed: dict[int, Any] = {}  # holds what lies there, so that nothing else will
        self._read = False

    def is_baked_into(self, held: Iterable[Any]) -> bool:
        """Tell whether a graph that holds these has values of what moves for good."""
        return self._read or any(isinstance(t, Tensor) and self._is_computed(t) for t in held)

    def _is_computed(self, tensor: Tensor) -> bool:
        known = _place(tensor) in self._moving
        return not known and (_place(tensor) in self._computed or tensor.grad_fn is not None)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        results = function(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if any(_place(t) in self._moving or self._is_computed(t) for t in given):
            name = getattr(function, "__name__", "")
            self._read |= name in _READS
            written = given[:1] if name == "__setitem__" else []
            for result in [*tree_leaves(results), *written]:
                if isinstance(result, Tensor) and _place(result) not in self._moving:
                    self._computed[_place(result)] = result
        return results


def _place(tensor: Tensor) -> int:
    if tensor.layout != torch.strided:
        return id(tensor)
    return tensor.untyped_storage().data_ptr()
