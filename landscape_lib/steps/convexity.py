"""How convex the loss is at every point: the Hessian's extreme eigenvalues, as metrics."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from landscape_lib.core.curvature import UnmeasurableError
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, Point, Values
from landscape_lib.core.pending import Read
from landscape_lib.core.precision import half_of, said_of
from landscape_lib.core.surface import CURVATURE
from landscape_lib.steps.bench import Bench
from landscape_lib.steps.hessian import Hessian
from landscape_lib.steps.spectrum import extreme_eigenvalues

log = logging.getLogger(__name__)


class WithCurvature:
    """Evaluates metrics, and beside them the ends of the Hessian's spectrum at the same weights.

    ``hessian_min`` and ``hessian_max`` are its smallest and largest eigenvalue, ``hessian_ratio``
    is |hessian_min / hessian_max|.  All three are NaN where they cannot be found: products are not
    finite, or the iteration does not converge.

    Args:
        evaluate: The metrics.
        hessian: Of the loss, at the model's weights as they are when it is asked.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 6.
    """

    def __init__(self, evaluate: Evaluator, hessian: Hessian) -> None:
        self._evaluate, self._hessian = evaluate, hessian
        self.points_at_once = evaluate.points_at_once
        self.plan = evaluate.plan

    @property
    def runs_ahead(self) -> bool:
        """Whether a point may be begun before the last one is read: products with H wait."""
        return False

    def launch(
        self,
        model: nn.Module,
        points: Sequence[Point],
        go: Callable[[Point], None],
        pause: Callable[[], None] = lambda: None,
    ) -> Read:
        """Evaluate the model at points, at once."""
        found = self.several(model, points, go, pause)
        return lambda: found

    def __call__(self, model: nn.Module, pause: Callable[[], None] = lambda: None) -> Values:
        """Evaluate the model as it is now."""
        return self.several(model, [()], lambda point: None, pause)[0]

    def several(
        self,
        model: nn.Module,
        points: Sequence[Point],
        go: Callable[[Point], None],
        pause: Callable[[], None] = lambda: None,
    ) -> list[Values]:
        """Evaluate the model at points, as ``Evaluator.several`` does."""
        found = self._evaluate.several(model, points, go, pause)
        for point, values in zip(points, found, strict=True):
            go(point)
            values |= dict(zip(CURVATURE, self._ends(point), strict=True))
        return found

    def _ends(self, point: Point) -> tuple[float, float, float]:
        try:
            largest, smallest = extreme_eigenvalues(
                self._hessian.product, self._hessian.size
            ).values
        except UnmeasurableError as error:
            log.info("no eigenvalues at %s: %s", list(point), error)
            return np.nan, np.nan, np.nan
        with np.errstate(all="ignore"):
            return smallest, largest, float(np.abs(np.divide(smallest, largest)))


def with_curvature(
    bench: Bench, evaluate: Evaluator, pause: Callable[[], None] = lambda: None
) -> Evaluator | WithCurvature:
    """Return what evaluates everything that is measured at a point: as it is, or with curvature.

    Args:
        bench: The problem, and whether it wants the curvature.
        evaluate: Its metrics; whatever their plan, the Hessian is that of the plain model.
        pause: Called between batches of the Hessian; may raise to abandon the point.

    Raises:
        InputError: If the Hessian is asked for, and torch differentiates no loss of the problem,
            or it would be taken in half precision.
    """
    if not bench.curvature:
        return evaluate
    if evaluate.plan.precision == "tf32":
        raise InputError(
            "The curvature is asked for at every point, and derivatives in TF32 are mostly "
            "rounding. Say 'precision: float32' instead of 'tf32', or leave the curvature out."
        )
    own = evaluate.plan.precision == "model"  # of 'bf16' the model itself is in float32
    if own and half_of(evaluate.plan, bench.types):
        raise InputError(
            f"The curvature is asked for at every point, and the model is {said_of(bench.types)}, "
            "in which derivatives are mostly rounding. Say 'precision: float32' instead of "
            "'model', or leave the curvature out."
        )
    most = None if bench.curvature is True else int(bench.curvature)
    try:
        return WithCurvature(evaluate, Hessian.of(bench, evaluate, most, pause))
    except UnmeasurableError as error:
        raise InputError(
            f"The curvature is asked for at every point, but {error}. Give metrics as a loss "
            "module or a dict of losses that torch differentiates, or leave the curvature out."
        ) from error
