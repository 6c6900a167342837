"""What attributes of a surface say, in words that JSON knows."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(told: Any) -> Any:
    """Turn what attributes may hold into what JSON knows; the rest into its spelling."""
    if isinstance(told, Mapping):
        return {str(name): plain(value) for name, value in told.items()}
    if isinstance(told, set | frozenset):
        return sorted(plain(value) for value in told)
    if isinstance(told, list | tuple):
        return [plain(value) for value in told]
    if isinstance(told, np.ndarray | np.generic):
        return plain(told.tolist())
    if isinstance(told, bytes):
        return told.decode(errors="replace")
    return told if isinstance(told, str | int | float | None) else str(told)
