"""How the loss is sloped and curved at the centre, along the axes and in all directions."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch

from landscape_lib.config import VerdictSettings
from landscape_lib.core.curvature import Objective, UnmeasurableError
from landscape_lib.core.direction import Direction, movable
from landscape_lib.core.perturbation import excursion
from landscape_lib.core.samples import Samples
from landscape_lib.steps.bench import Bench
from landscape_lib.steps.objective import (
    Found,
    first_batch,
    objective_of,
    refuse_reestimation,
    tried,
)
from landscape_lib.steps.spectrum import extreme_eigenvalues, largest_eigenvalues, trace
from landscape_lib.utils.signals import Stops

log = logging.getLogger(__name__)

SHARE = 0.05  # of the run's time that eigenvalues and trace may cost where nobody asked for them
FREE_S = 10.0  # seconds that they may cost in any case
EIGENVALUES = 3
PRODUCTS = 40  # what Lanczos iteration usually needs
PROBES = 32


@dataclass(frozen=True)
class AtCentre:
    """A loss of a problem at its centre.

    Attributes:
        bench: The problem.
        key: The loss; None where there is none.
        directions: One an axis.
        samples: Those that derivatives are taken on, on their device.
        batch_size: Samples a batch.
        wishes: What the settings ask for.
        run_s: What the whole run cost, in seconds.
        stops: Told when to end.
    """

    bench: Bench
    key: str | None
    directions: Sequence[Direction]
    samples: Samples
    batch_size: int
    wishes: VerdictSettings
    run_s: float
    stops: Stops

    def measured(self) -> Found:
        """Return ``gradient``, ``curvature``, ``eigenvalues`` and ``trace``."""
        found = tried("gradient", self._first_and_second)
        if "unknown" in found:
            return {name: dict(found) for name in ("gradient", "curvature", "eigenvalues", "trace")}
        seconds = found.pop("seconds")
        return {**found, **self._spectrum(seconds)}

    def _first_and_second(self) -> Found:
        refuse_reestimation(self.bench)
        model, objective = self.bench.problem.model, self._objective
        moving = tuple(objective.names)
        fitting = all(direction.names == moving for direction in self.directions)
        vectors = [objective.flat(d) for d in self.directions] if fitting else []
        here = objective.derivatives(vectors, self.stops.check)
        norm = float(here.gradient.norm())
        start = time.perf_counter()
        downhill = -here.gradient / norm if norm else torch.zeros_like(here.gradient)
        (along,) = objective.derivatives([downhill], self.stops.check).products
        seconds = time.perf_counter() - start
        weights = objective.flat(list(movable(model).values()))
        curvature: Found = {"unknown": "the directions move running statistics, too"}
        if fitting:
            table = [[float(v @ p) for p in here.products] for v in vectors]
            curvature = {"plane": table, "samples": self.samples.count}
        return {
            "seconds": seconds,
            "gradient": {
                "loss": here.value,
                "norm": norm,
                "along": [float(here.gradient @ v) for v in vectors],
                "downhill_curvature": float(downhill @ along),
                "weights_norm": float(weights.norm()),
                "samples": self.samples.count,
            },
            "curvature": curvature,
        }

    @cached_property
    def _objective(self) -> Objective:
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

    def _spectrum(self, seconds: float) -> Found:
        """Measure eigenvalues and trace where they are asked for, or cost little."""
        size = self._objective.size

        def eigenvalues() -> Found:
            count = EIGENVALUES if self.wishes.eigenvalues == "auto" else self.wishes.eigenvalues
            return asdict(largest_eigenvalues(self._product, size, count))

        def the_trace() -> Found:
            return asdict(trace(self._product, size, PROBES))

        found = {}
        for name, measure, wish, products in (
            ("eigenvalues", eigenvalues, self.wishes.eigenvalues, PRODUCTS),
            ("trace", the_trace, self.wishes.trace, PROBES),
        ):
            reason = self._refusal(wish, products * seconds)
            told = {"unknown": reason} if reason else tried(name, measure)
            found[name] = told if "unknown" in told else {**told, "samples": self.samples.count}
        return found

    def _product(self, vector: np.ndarray) -> np.ndarray:
        """Return the Hessian at the model's weights times a vector."""
        objective = self._objective
        flat = torch.from_numpy(np.ascontiguousarray(vector)).to(objective.device)
        (found,) = objective.derivatives([flat], self.stops.check).products
        return found.cpu().numpy()

    def over_the_plane(self, points: Sequence[Sequence[float]]) -> Found:
        """Return the Hessian's smallest and largest eigenvalue at points of the grid.

        Where the iteration does not converge both are None.

        Raises:
            UnmeasurableError: If the config asks for none, or batch norms are estimated anew.
        """
        if not points:
            raise UnmeasurableError("the config asks for none: 'verdict: {convexity: 5}'")
        refuse_reestimation(self.bench)
        found = []
        with excursion(self.bench.problem.model, self.directions) as trip:
            for number, point in enumerate(points, 1):
                trip.move(point)
                log.info("eigenvalues at point %d of %d", number, len(points))
                here: Found = {"point": list(point), "largest": None, "smallest": None}
                try:
                    ends = extreme_eigenvalues(self._product, self._objective.size).values
                    here |= {"largest": ends[0], "smallest": ends[1]}
                except UnmeasurableError as error:
                    log.info("not at %s: %s", list(point), error)
                found.append(here)
        return {"points": found, "samples": self.samples.count}

    def _refusal(self, wish: int | bool | str, cost_s: float) -> str:
        """Return why something is not measured; nothing where it is."""
        if wish == "auto":
            costly = (
                f"it would cost more than {FREE_S:.0f} s and {SHARE:.0%} of the run; ask for it "
                "under 'verdict:' in the config"
            )
            return costly if cost_s > max(FREE_S, SHARE * self.run_s) else ""
        return "" if wish else "the config asks for none"
