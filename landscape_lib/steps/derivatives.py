"""How the loss is sloped and curved at the centre, along the axes and in all directions."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from landscape_lib.config import VerdictSettings
from landscape_lib.core.direction import Direction, movable
from landscape_lib.steps.hessian import Hessian
from landscape_lib.steps.objective import Found, refuse_reestimation, tried
from landscape_lib.steps.spectrum import STEPS, VECTORS, density, largest_eigenvalues, trace

SHARE = 0.05  # of the run's time that eigenvalues and trace may cost where nobody asked for them
FREE_S = 10.0  # seconds that they may cost in any case
EIGENVALUES = 3
PRODUCTS = 40  # what Lanczos iteration usually needs
PROBES = 32


@dataclass(frozen=True)
class AtCentre:
    """A loss of a problem at its centre.

    Attributes:
        hessian: Its second derivatives, and what they are taken of.
        directions: One an axis.
        wishes: What the settings ask for.
        run_s: What the whole run cost, in seconds.
    """

    hessian: Hessian
    directions: Sequence[Direction]
    wishes: VerdictSettings
    run_s: float

    def measured(self) -> Found:
        """Return ``gradient``, ``curvature``, ``eigenvalues``, ``trace`` and ``density``."""
        found = tried("gradient", self._first_and_second)
        if "unknown" in found:
            names = ("gradient", "curvature", "eigenvalues", "trace", "density")
            return {name: dict(found) for name in names}
        seconds = found.pop("seconds")
        return {**found, **self._spectrum(seconds)}

    def _first_and_second(self) -> Found:
        refuse_reestimation(self.hessian.bench)
        model, objective = self.hessian.bench.problem.model, self.hessian.objective
        moving = tuple(objective.names)
        bent = any(direction.bend is not None for direction in self.directions)
        fitting = not bent and all(direction.names == moving for direction in self.directions)
        vectors = [objective.flat(d) for d in self.directions] if fitting else []
        here = objective.derivatives(vectors, self.hessian.pause)
        norm = float(here.gradient.norm())
        start = time.perf_counter()
        downhill = -here.gradient / norm if norm else torch.zeros_like(here.gradient)
        (along,) = objective.derivatives([downhill], self.hessian.pause).products
        seconds = time.perf_counter() - start
        weights = objective.flat(list(movable(model).values()))
        curvature: Found = {
            "unknown": "the axis is a path with a bend, not a straight line"
            if bent
            else "the directions move running statistics, too"
        }
        if fitting:
            table = [[float(v @ p) for p in here.products] for v in vectors]
            curvature = {"plane": table, "samples": self.hessian.samples.count}
        return {
            "seconds": seconds,
            "gradient": {
                "loss": here.value,
                "norm": norm,
                "along": [float(here.gradient @ v) for v in vectors],
                "downhill_curvature": float(downhill @ along),
                "weights_norm": float(weights.norm()),
                "samples": self.hessian.samples.count,
            },
            "curvature": curvature,
        }

    def _spectrum(self, seconds: float) -> Found:
        """Measure eigenvalues, trace and density where they are asked for, or cost little."""
        wishes = self.wishes
        found = {}
        for name, measure, wish, products in (
            ("eigenvalues", self._eigenvalues, wishes.eigenvalues, PRODUCTS),
            ("trace", self._trace, wishes.trace, PROBES),
            ("density", self._density, wishes.density, VECTORS * STEPS),
        ):
            reason = self._refusal(wish, products * seconds)
            told = {"unknown": reason} if reason else tried(name, measure)
            samples = self.hessian.samples.count
            found[name] = told if "unknown" in told else {**told, "samples": samples}
        return found

    def _eigenvalues(self) -> Found:
        wish = self.wishes.eigenvalues
        count = EIGENVALUES if wish == "auto" else wish
        return asdict(largest_eigenvalues(self.hessian.product, self.hessian.size, count))

    def _trace(self) -> Found:
        return asdict(trace(self.hessian.product, self.hessian.size, PROBES))

    def _density(self) -> Found:
        return {
            **asdict(density(self.hessian.product, self.hessian.size)),
            "size": self.hessian.size,
        }

    def _refusal(self, wish: int | bool | str, cost_s: float) -> str:
        """Return why something is not measured; nothing where it is."""
        if wish == "auto":
            costly = (
                f"it would cost more than {FREE_S:.0f} s and {SHARE:.0%} of the run; ask for it "
                "under 'verdict:' in the config"
            )
            return costly if cost_s > max(FREE_S, SHARE * self.run_s) else ""
        return "" if wish else "the config asks for none"
