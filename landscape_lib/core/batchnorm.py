"""Running statistics of batch norms, estimated anew wherever the weights are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import nn

from landscape_lib.core.curvature import drawn
from landscape_lib.core.errors import InputError
from landscape_lib.core.lending import Inputs, batch_norms, reestimate_statistics
from landscape_lib.core.samples import Samples, copied, split_batch

BATCH = 128  # samples, whatever the plan's: what a norm sees of one batch decides the estimate


@dataclass(frozen=True)
class Reestimation:
    """That running statistics are estimated anew at every point, always on the same samples.

    Attributes:
        samples: On how many, drawn from the training data once and for all; None: on all.
    """

    samples: int | None = None

    def among(self, data: Samples) -> Samples:
        """Return the samples that are used."""
        return data if self.samples is None else drawn(data, self.samples)


class Reestimator:
    """Estimates the running statistics of a model's batch norms at its weights of now.

    The samples come in batches of 128 in the data's order (129 or a few more where one sample
    would be left over, which has no variance); samples that cannot be cut, in their loader's own.
    See ``lending.reestimate_statistics`` for the estimator.

    Args:
        model: Which has batch norms.
        samples: Where and how the model takes them.
        half: What floating-point inputs become first; None keeps their type.

    Raises:
        InputError: If the model has no batch norm, or there is one sample only.
    """

    def __init__(self, model: nn.Module, samples: Samples, half: torch.dtype | None = None) -> None:
        if not batch_norms(model):
            raise InputError(
                "batch_norm is 'reestimated', but this model has no batch norm that keeps running "
                "statistics, so there is nothing to estimate. Set batch_norm to 'frozen'."
            )
        if samples.count < 2:
            raise InputError(
                "batch_norm is 'reestimated' on one sample, which has no variance; take more."
            )
        size = next(size for size in count(BATCH) if samples.count % size != 1)
        self._batches = samples.cut(size)
        self._half = half

    def estimate(self, model: nn.Module, pause: Callable[[], None] = lambda: None) -> None:
        """Write the statistics into the model's buffers; whoever lends the model puts them back.

        Args:
            model: In eval mode.
            pause: Called between batches; may raise to abandon the point.
        """
        reestimate_statistics(model, self._inputs(pause))

    def _inputs(self, pause: Callable[[], None]) -> Iterator[Inputs]:
        for batch in self._batches:
            pause()
            mine = copied(batch)  # layers in training may write to theirs
            args, named, _ = split_batch(mine, self._half)
            yield args, named
