"""How loss-landscape evaluates a plane; it cannot be installed on a current Python."""

from typing import Any

import loss_landscape  # type: ignore[import-not-found]
from torch import Tensor, nn


def walk(net: nn.Module, inputs: Tensor, targets: Tensor, side: int) -> Any:
    """Say that nobody has seen it run.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(f"{loss_landscape.__name__} was installed; write how it is called.")
