"""Values that are still on their way from the device: read once a point, or once a group."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_lib.core.errors import InputError

Values = dict[str, float]
Read = Callable[[], list[Values]]


def values_read(found: Mapping[str, Any]) -> Read:
    """Set the values of one point on their way; return what waits for them.

    Args:
        found: Numbers, or tensors of one number, by key.

    Raises:
        InputError: When they are read, if one of them is no real number.
    """
    scalars = {
        key: value.detach().reshape(()).double()
        for key, value in found.items()
        if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()
    }
    rows = {}
    for device in {value.device for value in scalars.values()}:
        here = [key for key, value in scalars.items() if value.device == device]
        rows[tuple(here)] = _sent(torch.stack([scalars[key] for key in here]))

    def read() -> list[Values]:
        known: Values = {}
        for keys, row in rows.items():
            known |= dict(zip(keys, row().tolist(), strict=True))
        return [{key: known[key] if key in known else _number(key, found[key]) for key in found}]

    return read


def columns_read(found: Mapping[str, Tensor], count: int) -> Read:
    """Set the values of several points on their way.

    Args:
        found: By key a tensor whose first dimension are the points.
        count: How many of the points are wanted, from the first on.
    """
    whole = _sent(torch.stack([column.detach().double() for column in found.values()]))

    def read() -> list[Values]:
        rows = whole()[:, :count].T.tolist()
        return [dict(zip(found, row, strict=True)) for row in rows]

    return read


def _sent(row: Tensor) -> Callable[[], Tensor]:
    """Copy a tensor to the CPU's memory behind what its device has been given to do until now.

    Waiting for it is waiting for that, and for nothing that comes later.
    """
    if row.device.type != "cuda":
        return lambda: row
    here = torch.empty_like(row, device="cpu", pin_memory=True).copy_(row, non_blocking=True)
    arrived = torch.cuda.current_stream(row.device).record_event()

    def wait() -> Tensor:
        arrived.synchronize()
        return here

    return wait


def _number(key: str, value: Any) -> float:
    array = np.asarray(value) if isinstance(value, int | float | np.generic | np.ndarray) else None
    if array is None or array.size != 1 or array.dtype.kind not in "biuf":
        raise InputError(
            f"Metric {key!r} is {value!r:.60} ({type(value).__name__}); wanted one real number."
        )
    return float(array.reshape(()))
