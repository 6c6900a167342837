"""Which way the loss is curved most: eigenvectors of its Hessian, as directions."""

import logging
from collections.abc import Callable, Mapping

import torch

from landscape_lib.core.curvature import UnmeasurableError
from landscape_lib.core.direction import Direction, direction_dtype, movable
from landscape_lib.core.errors import InputError
from landscape_lib.core.lending import borrowed
from landscape_lib.core.plan import Plan
from landscape_lib.steps.bench import Bench, settings_kept
from landscape_lib.steps.hessian import Hessian
from landscape_lib.steps.spectrum import eigenvectors

log = logging.getLogger(__name__)


def hessian_directions(
    bench: Bench,
    plan: Plan,
    numbers: Mapping[int, int],
    samples: int | None,
    pause: Callable[[], None] = lambda: None,
) -> dict[int, Direction]:
    """Return eigenvectors of the Hessian at the model's weights, by axis.

    Each has length 1 over all weights, so that a step is a distance between weights, and the second
    derivative of the loss along it is the eigenvalue.  All come from one Lanczos iteration with a
    fixed first vector; their largest entry in size is positive.  The model is afterwards what it
    was.

    Args:
        bench: The problem.
        plan: Where, in which precision and batches derivatives are taken.
        numbers: For every axis which eigenvector: see ``spectrum.eigenvectors``.
        samples: Take at most so many samples; None: all.
        pause: Called between batches; may raise to abandon the work.

    Raises:
        InputError: If torch differentiates no loss of the problem, or eigenvectors are not found.

    Source:
        Yao et al. (2020), PyHessian: Neural Networks Through the Lens of the Hessian.
    """
    model = bench.problem.model
    moving = movable(model)
    kinds = [direction_dtype(weight) for weight in moving.values()]
    with borrowed(model), settings_kept():
        try:
            hessian = Hessian.of(bench, bench.evaluator(plan), samples, pause)
            found = eigenvectors(hessian.product, hessian.size, list(numbers.values()))
        except UnmeasurableError as error:
            raise InputError(
                f"Directions of kind 'hessian': {error}. Take fewer eigenvectors, float64, or "
                "another kind."
            ) from error
    directions = {}
    for place, (axis, number) in enumerate(numbers.items()):
        about = {
            "kind": "hessian",
            "dir_type": "weights",
            "eigenvector": number,
            "eigenvalue": found.values[place],
            "residual": found.residuals[place],
            "loss": str(hessian.key),
            "samples": hessian.samples.count,
        }
        flat = torch.from_numpy(found.vectors[place])
        parts = flat.split([weight.numel() for weight in moving.values()])
        tensors = (
            part.reshape(weight.shape).to(kind)
            for part, weight, kind in zip(parts, moving.values(), kinds, strict=True)
        )
        directions[axis] = Direction(tuple(moving), tuple(tensors), about)
        log.info(
            "eigenvector %d of the Hessian of %s: eigenvalue %.6g, |Hv - lambda v| = %.1e, on %d "
            "samples",
            number,
            hessian.key,
            found.values[place],
            found.residuals[place],
            hessian.samples.count,
        )
    return directions
