"""Copies of metrics, in which what they hold of the model is shared with it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class _Shared(dict[int, Any]):
    """The memo of a deep copy that leaves a model's parts what they are, and notes which it met."""

    def __init__(self, parts: dict[int, Any]) -> None:
        super().__init__(parts)
        self._parts = parts
        self.met: list[Any] = []

    def get(self, key: Any, default: Any = None) -> Any:
        if key in self._parts:
            self.met.append(self._parts[key])
        return super().get(key, default)


def _parts(model: nn.Module) -> dict[int, Any]:
    every = (*model.modules(), *model.parameters(), *model.buffers())
    return {id(part): part for part in every}


def copy_beside(
    metric: Any, model: nn.Module, device: torch.device, dtype: torch.dtype | None = None
) -> tuple[Any, list[Any]]:
    """Copy a metric to a device, its floating-point tensors to a type; but not the model in it.

    Where it holds modules, parameters or buffers of the model, as a penalty on the weights does,
    the copy holds the same ones, and sees them move.

    Returns:
        The copy, and what it holds of the model.
    """
    if is_torchs_own(metric):  # it can hold no model
        return copy.deepcopy(metric).to(device, dtype), []
    parts = _parts(model)
    parts.pop(id(metric), None)  # the metric may be one of the model's layers itself
    memo = _Shared(parts)
    own = copy.deepcopy(metric, memo)
    if not memo.met:
        return _moved(own, device, dtype), []
    if isinstance(own, nn.Module):

        def fit(tensor: Tensor) -> Tensor:
            kind = dtype if tensor.is_floating_point() else None
            return tensor if id(tensor) in parts else tensor.to(device, kind)

        own._apply(fit)
    return own, memo.met


def is_torchs_own(metric: Any) -> bool:
    """Tell whether a metric is of one of torch's own classes, of which it is known what they do."""
    return type(metric).__module__.startswith("torch.nn.")


def _moved(own: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    if not hasattr(own, "to"):
        return own
    return own.to(device) if dtype is None else own.to(device, dtype)
