"""In which floating-point types a model is evaluated."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from landscape_lib.core.plan import Plan

HALF = (torch.bfloat16, torch.float16)
Types = Mapping[str, torch.dtype]


def named_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return every parameter and buffer of a model under each of its names."""
    return [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]


def own_types(model: nn.Module) -> Types:
    """Return the type that a model has each floating-point tensor in, by name."""
    return {name: t.dtype for name, t in named_tensors(model) if t.is_floating_point()}


def exact_precision(types: Types) -> str:
    """Return the narrower of float32 and float64 that holds a model's every number."""
    return "float64" if torch.float64 in types.values() else "float32"


def coarsest(types: Types) -> str:
    """Return the name of the type that rounds most, among those of a model."""
    kinds = set(types.values()) or {torch.float32}
    return _name(max(kinds, key=lambda kind: torch.finfo(kind).eps))


def types_for(plan: Plan, types: Types) -> torch.dtype | Types:
    """Return what a plan evaluates a model's tensors in: one type, or each in the model's own."""
    return types if plan.precision == "model" else dtype_of(plan, types)


def dtype_of(plan: Plan, types: Types) -> torch.dtype:
    """Return the type of floating-point data; outputs are judged in no narrower one."""
    wanted = exact_precision(types) if plan.precision == "model" else plan.precision
    return {"float32": torch.float32, "float64": torch.float64}[wanted]


def half_of(plan: Plan, types: Types) -> torch.dtype | None:
    """Return the half precision that a model wants its inputs in; None where it wants none.

    That is the type of its first tensor, which is a layer's that meets the inputs.
    """
    first = next(iter(types.values()), None)
    return first if plan.precision == "model" and first in HALF else None


def said_of(types: Types) -> str:
    """Name the types of a model's tensors, as ``bfloat16, float32``, most frequent first."""
    return ", ".join(_name(kind) for kind, _ in Counter(types.values()).most_common())


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
