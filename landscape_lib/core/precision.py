"""In which floating-point types a model is evaluated.

Of ``bf16`` the weights are moved in float32 and rounded once a point, a folded norm included; batch
norms keep theirs in float32, and so do losses and what metrics see.  Sums over samples are float64.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_lib.core.errors import InputError
from landscape_lib.core.plan import Plan

HALF = (torch.bfloat16, torch.float16)
UNIT = {"bf16": 2.0**-8, "tf32": 2.0**-11}  # half a unit in the last place, of the factors
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
    return torch.float64 if wanted == "float64" else torch.float32


def half_of(plan: Plan, types: Types) -> torch.dtype | None:
    """Return the half precision that a model wants its inputs in; None where it wants none.

    Of ``model`` that is the type of its first tensor, which is a layer's that meets the inputs.
    """
    if plan.precision == "bf16":
        return torch.bfloat16
    first = next(iter(types.values()), None)
    return first if plan.precision == "model" and first in HALF else None


def agreement(plan: Plan, exact: float) -> float:
    """Return by how much two ways of evaluating may differ, relative, in a plan's precision.

    Args:
        plan: Whose precision may round: two such roundings are allowed.
        exact: What is allowed where it does not.
    """
    return max(exact, 2 * UNIT.get(plan.precision, 0.0))


def cast_of(plan: Plan) -> torch.dtype | None:
    """Return what weights are rounded to for the forward pass; None where they are as they are."""
    return torch.bfloat16 if plan.precision == "bf16" else None


def cast_types(network: nn.Module, kind: torch.dtype | None) -> Types:
    """Return the type of each floating-point tensor in the forward pass, by its first name.

    Everything becomes ``kind`` but the batch norms' tensors, which stay what they are.
    """
    kept = {
        id(tensor)
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    }
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        name: tensor.dtype if kind is None or id(tensor) in kept else kind
        for name, tensor in every.items()
        if tensor.is_floating_point()
    }


def round_as(plan: Plan) -> None:
    """Let a GPU multiply float32 as a plan says: exactly, unless the plan wants TF32.

    Raises:
        InputError: If it wants TF32 of a GPU older than Ampere: that would be float32 under another
            name.
    """
    if not plan.device.startswith("cuda") or not torch.cuda.is_available():
        return
    wanted = plan.precision == "tf32"
    if wanted and torch.cuda.get_device_capability(plan.device) < (8, 0):
        raise InputError(
            f"Precision 'tf32': {torch.cuda.get_device_name(plan.device)} multiplies no TF32, as "
            "NVIDIA GPUs do from Ampere on (A100, RTX 30). Say 'precision: float32', which is what "
            "it would make of it."
        )
    for place, name, exact, rounded in _switches():
        setattr(place, name, rounded if wanted else exact)


@contextmanager
def rounding_kept() -> Iterator[None]:
    """Give torch's switches, which ``round_as`` sets, back as they were."""
    found = _switches() if torch.cuda.is_available() else []
    kept = [(place, name, getattr(place, name)) for place, name, *_ in found]
    try:
        yield
    finally:
        for place, name, value in kept:
            setattr(place, name, value)


def _switches() -> list[tuple[Any, str, Any, Any]]:
    """Return torch's switches that let a GPU round float32 to TF32: what turns each off, and on.

    Newer versions have other switches, and refuse to answer once both kinds were used.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        places = (matmul, cudnn.conv, cudnn.rnn)  # type: ignore[attr-defined]
        return [(place, "fp32_precision", "ieee", "tf32") for place in places]
    return [(place, "allow_tf32", False, True) for place in (matmul, cudnn)]


def said_of(types: Types) -> str:
    """Name the types of a model's tensors, as ``bfloat16, float32``, most frequent first."""
    return ", ".join(_name(kind) for kind, _ in Counter(types.values()).most_common())


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
