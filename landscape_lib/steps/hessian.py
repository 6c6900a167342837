"""The Hessian of a problem's loss, at whatever weights its model has when it is asked."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from landscape_lib.core.curvature import Objective, drawn
from landscape_lib.core.evaluator import Evaluator
from landscape_lib.core.samples import Samples
from landscape_lib.steps.bench import Bench
from landscape_lib.steps.objective import (
    first_batch,
    objective_of,
    refuse_reestimation,
    smooth_loss,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hessian:
    """The matrix of second derivatives of a loss by all floating-point parameters.

    Attributes:
        bench: The problem, laid out where and how it is evaluated.
        key: Which loss; None where there is none.
        samples: Those that derivatives are taken on, on their device.
        batch_size: Samples a batch.
        pause: Called between batches; may raise to abandon the work.
    """

    bench: Bench
    key: str | None
    samples: Samples
    batch_size: int
    pause: Callable[[], None]

    @classmethod
    def of(
        cls, bench: Bench, evaluate: Evaluator, most: int | None, pause: Callable[[], None]
    ) -> "Hessian":
        """Return that of the first loss of the training data that torch differentiates.

        Args:
            bench: The problem, laid out where and how it is evaluated.
            evaluate: What evaluates it; has the samples on their device.
            most: Take at most so many of them, drawn once and for all; None: all.
            pause: Called between batches; may raise to abandon the work.

        Raises:
            UnmeasurableError: If there is no such loss, or batch norms are estimated anew at every
                point.
        """
        refuse_reestimation(bench)
        samples = evaluate.data["train"]
        few = drawn(samples, most) if most else samples
        batch_size = evaluate.plan.batch_size or bench.batch_size
        return cls(bench, smooth_loss(bench, few), few, batch_size, pause)

    @property
    def size(self) -> int:
        """How many rows it has: one a weight."""
        return self.objective.size

    @cached_property
    def objective(self) -> Objective:
        """The loss, in batches that leave room for the graph of second derivatives.

        Raises:
            MemoryError: If there is none for a single sample.
            OutOfMemoryError: As torch says it.
        """
        size = self.batch_size
        while True:
            try:
                few = first_batch(self.samples, size)
                first = objective_of(self.bench, self.key, few, size)
                first.derivatives(
                    [torch.zeros(first.size, dtype=torch.float64, device=first.device)]
                )
                return objective_of(self.bench, self.key, self.samples, size)
            except (MemoryError, torch.OutOfMemoryError):
                if size <= 1 or not self.samples.whole:
                    raise
                size //= 2
                log.info("Out of memory: derivatives go on with batches of %d.", size)

    def product(self, vector: np.ndarray) -> np.ndarray:
        """Return the Hessian times a vector of shape (weights,), float64."""
        flat = torch.from_numpy(np.ascontiguousarray(vector)).to(self.objective.device)
        (found,) = self.objective.derivatives([flat], self.pause).products
        return found.cpu().numpy()
