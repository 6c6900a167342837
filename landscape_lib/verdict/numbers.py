"""The numbers that people quote, each with its definition and whose it is."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landscape_lib.core import geometry
from landscape_lib.core.topology import basins_of, criterion
from landscape_lib.verdict.evidence import Evidence, Number, doubt, say

RADII = (0.05, 0.1, 0.25, 0.5, 1.0)  # steps; the ones that the grid covers
LI = "Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 4"
CONVEXITY = "Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, section 6"
NEARLY_CONVEX = 0.01  # of the largest curvature that negative curvature may reach
KESKAR = "Keskar et al. (2017), On Large-Batch Training for Deep Learning, section 2.2.2"
PEARLMUTTER = "Pearlmutter (1994), Fast Exact Multiplication by the Hessian"
ARPACK = "Lehoucq, Sorensen, Yang (1998), ARPACK Users' Guide, chapter 4"
HUTCHINSON = (
    "Hutchinson (1990), A Stochastic Estimator of the Trace of the Influence Matrix for Laplacian "
    "Smoothing Splines"
)
ENTEZARI = (
    "Entezari et al. (2022), The Role of Permutation Invariance in Linear Mode Connectivity of "
    "Neural Networks, section 2"
)
FRANKLE = (
    "Frankle et al. (2020), Linear Mode Connectivity and the Lottery Ticket Hypothesis, section 2"
)
COCHRAN = "Cochran (1977), Sampling Techniques, section 2.11"
EDELSBRUNNER = (
    "Edelsbrunner, Letscher, Zomorodian (2002), Topological Persistence and Simplification"
)
HERE = "this library: docs/verdict.md"


def numbers(evidence: Evidence) -> list[Number]:
    """Return every number, those that were not measured too."""
    return [
        *_values(evidence),
        *_sharpness(evidence),
        *_widths(evidence),
        *_slopes(evidence),
        *_spectrum(evidence),
        *_convexity(evidence),
        *_basins(evidence),
        *_barriers(evidence),
        *_angle(evidence),
    ]


def _values(evidence: Evidence) -> list[Number]:
    own = evidence.centre.get("values", {})
    found = [
        Number(
            "value at the centre",
            _given(float(own.get(key, evidence.here(key)))),
            "The trained model's own value, on all samples, in eval mode.",
            LI,
            evidence.surface.labels[key].units,
            key,
        )
        for key in evidence.surface.keys
    ]
    spread = Number(
        "standard error of the loss",
        _given(evidence.sampling_error),
        "sqrt(n / (n - 1) sum_i (t_i - L w_i)^2) / sum_i w_i at the centre, t_i / w_i the loss of "
        f"sample i; from {evidence.error_samples:,} samples, for all of them. What another draw of "
        "the data would change.",
        COCHRAN,
        key=evidence.key,
    )
    others = [
        Number(
            "standard error",
            evidence.error_here(key),
            "The same, of this metric, from all samples of its data set.",
            COCHRAN,
            evidence.surface.labels[key].units,
            key,
        )
        for key in evidence.surface.keys
        if key != evidence.key and math.isfinite(evidence.error_here(key))
    ]
    return [*found, spread, *others]


def _sharpness(evidence: Evidence) -> list[Number]:
    half = [min(-axis.low, axis.high) for axis in evidence.surface.grid.axes]
    cells = [float(steps[1] - steps[0]) for steps in evidence.steps if len(steps) > 1]
    radii = [r for r in RADII if cells and max(cells) <= r * (1 + 1e-9) <= min(half) * (1 + 1e-6)]
    if evidence.origin is None or not radii or evidence.key not in evidence.loss_keys:
        told = (
            "max L - L(0) within a radius. Not measured: the grid has no centre, none of the radii "
            f"{RADII} lies between a cell and its border, or no metric is a loss."
        )
        return [Number("sharpness", None, told, KESKAR, key=evidence.key)]
    found = []
    for radius in radii:
        rise = geometry.largest_rise(evidence.surface.grid, evidence.values, radius)
        found.append(
            Number(
                f"sharpness within {radius:g} steps",
                _given(rise),
                "max L(a, b) - L(0, 0) over the points of the grid with a^2 + b^2 <= r^2: in this "
                "plane and at these points only, so a lower bound of the rise in the ball of that "
                "radius. Divide by 1 + L(0, 0) for their phi / 100.",
                KESKAR,
                key=evidence.key,
            )
        )
    return found


def _widths(evidence: Evidence) -> list[Number]:
    definition = (
        "Length of the interval around 0 along {name} on which the loss is below half-way from the "
        "centre's to that of outputs that are all zero; linear between points."
    )
    found = []
    for axis in evidence.free:
        curve, name = evidence.curve(axis), evidence.axes[axis]
        value = math.nan
        if curve is not None and evidence.level is not None:
            here = evidence.here(evidence.key)
            value = geometry.reach(*curve, (here + evidence.level) / 2).width
        text = definition.format(name=name)
        if math.isnan(value):
            text += " Not reached on this grid, or there is no such level."
        found.append(
            Number(f"basin width along {name}", _given(value), text, HERE, "steps", evidence.key)
        )
    return found


def _slopes(evidence: Evidence) -> list[Number]:
    gradient, curvature = evidence.part("gradient"), evidence.part("curvature")
    found = [
        Number(
            "gradient norm",
            None if gradient is None else _given(float(gradient["norm"])),
            "|dL/dw| at the centre, by all floating-point parameters"
            + _how(evidence, "gradient", gradient),
            PEARLMUTTER,
            "loss / weight",
            evidence.key,
        )
    ]
    for axis, name in enumerate(evidence.axes):
        value = None if curvature is None else _given(float(curvature["plane"][axis][axis]))
        told = (
            "d'Hd at the centre, d the direction of {}, H the Hessian, by automatic differentiation"
        )
        found.append(
            Number(
                f"curvature along {name}",
                value,
                told.format(name) + _how(evidence, "curvature", curvature),
                PEARLMUTTER,
                "loss / step^2",
                evidence.key,
            )
        )
        found.append(_second(evidence, axis))
    return found


def _second(evidence: Evidence, axis: int) -> Number:
    curve, name = evidence.curve(axis), evidence.axes[axis]
    own = geometry.second_difference(*curve) if curve else None
    told = "(L(h) - 2 L(0) + L(-h)) / h^2 along {}, h one step of the grid"
    if own is not None:
        told += f", {say(own.step)}; error of step size {doubt(own.error)}"
    return Number(
        f"second difference along {name}",
        _given(own.value) if own else None,
        told.format(name) + ".",
        HERE,
        "loss / step^2",
        evidence.key,
    )


def _spectrum(evidence: Evidence) -> list[Number]:
    eigen, trace = evidence.part("eigenvalues"), evidence.part("trace")
    values: Sequence[Any] = eigen["values"] if eigen is not None else [math.nan]
    values = values or [math.nan]
    found = []
    for number, value in enumerate(values, 1):
        exact = bool(eigen and eigen["exact"])
        way = "of the whole matrix" if exact else "by Lanczos iteration, to a relative 1e-4"
        found.append(
            Number(
                f"Hessian eigenvalue {number}",
                _given(float(value)),
                f"Of the Hessian of the loss by all floating-point parameters, number {number} "
                f"from the largest, {way}" + _how(evidence, "eigenvalues", eigen),
                ARPACK,
                "loss / weight^2",
                evidence.key,
            )
        )
    error = ""
    if trace is not None and trace["probes"]:
        error = f"; {trace['probes']} probes, standard error {say(float(trace['standard_error']))}"
    found.append(
        Number(
            "Hessian trace",
            None if trace is None else _given(float(trace["value"])),
            f"Sum of all eigenvalues, as the mean of v'Hv over random signs v{error}"
            + _how(evidence, "trace", trace),
            HUTCHINSON,
            "loss / weight^2",
            evidence.key,
        )
    )
    return found


def _convexity(evidence: Evidence) -> list[Number]:
    """Tell how much negative curvature there is on the grid; nothing where nobody asked."""
    values = evidence.surface.values
    if not values.keys() >= {"hessian_min", "hessian_max"}:
        return []
    pairs = zip(values["hessian_min"].ravel(), values["hessian_max"].ravel(), strict=True)
    ratios = [_negative_share(*pair) for pair in pairs if np.isfinite(pair).all()]
    where = f"at {len(ratios)} of {values['hessian_min'].size} points of the grid"
    ratio = (
        "-lambda_min / lambda_max, the Hessian's extreme eigenvalues by all parameters, 0 where "
    )
    ratio += "lambda_min is not negative, infinite where lambda_max is not positive"
    return [
        Number(
            "convexity share",
            _given(float(np.mean([r <= NEARLY_CONVEX for r in ratios]))) if ratios else None,
            f"Share of points with {ratio}, at most {NEARLY_CONVEX:g}; {where}.",
            CONVEXITY,
            key=evidence.key,
        ),
        Number(
            "largest negative curvature",
            _given(max(ratios)) if ratios else None,
            f"The largest {ratio}; {where}.",
            CONVEXITY,
            key=evidence.key,
        ),
    ]


def _negative_share(smallest: float, largest: float) -> float:
    if smallest >= 0:
        return 0.0
    return -smallest / largest if largest > 0 else math.inf


def _how(evidence: Evidence, part: str, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return f". Not measured: {evidence.reason(part)}."
    whole = int(evidence.centre["samples"])
    return f"; on {int(found['samples']):,} of {whole:,} samples, in {evidence.differentiated}."


def _basins(evidence: Evidence) -> list[Number]:
    """Count the basins of the metric that is judged, and those that are clear."""
    clear, others = basins_of(evidence.surface, evidence.key)
    border = sum(basin.on_border for basin in clear)
    what = "minima" if evidence.surface.labels[evidence.key].goal == "min" else "maxima"
    told = (
        f"Local {what} of this grid, where a point's neighbours are the eight around it (on a "
        "curve two); a plateau counts once."
    )
    clearly = (
        f"Those that have {criterion(evidence.surface, evidence.key)} of the values: |value at "
        f"the pass over which it joins a better one - value there|. {border} of them at the border "
        "of the grid."
    )
    return [
        Number(name, float(count), text, EDELSBRUNNER, key=evidence.key)
        for name, count, text in (
            (f"local {what}", len(clear) + len(others), told),
            ("basins", len(clear), clearly),
        )
    ]


def _barriers(evidence: Evidence) -> list[Number]:
    found = []
    for axis in evidence.targets:
        for key in dict.fromkeys((evidence.key, *evidence.surface.keys)):
            found += _barrier(evidence, axis, key)
    return found


def _barrier(evidence: Evidence, axis: int, key: str) -> list[Number]:
    curve, name = evidence.curve(axis, key), evidence.axes[axis]
    label = evidence.surface.labels[key]
    own = geometry.barrier(*curve, label.goal) if curve else None
    missing = "" if own else " 0 and 1 are not both points of this grid."
    high = ", L minus the metric, which is to be high" if label.goal == "max" else ""
    return [
        Number(
            f"barrier along {name}",
            _given(own.over_line) if own else None,
            f"max_t L(t) - ((1 - t) L(0) + t L(1)){high}, over the steps of the grid in "
            f"[0, 1]: a lower bound.{missing}",
            ENTEZARI,
            label.units,
            key,
        ),
        Number(
            f"barrier over the mean along {name}",
            _given(own.over_mean) if own else None,
            f"max_t L(t) - (L(0) + L(1)) / 2{high}, over the same steps.{missing}",
            FRANKLE,
            label.units,
            key,
        ),
    ]


def _angle(evidence: Evidence) -> list[Number]:
    if len(evidence.axes) < 2:
        return []
    value = float(evidence.surface.attributes.get("cosine", math.nan))
    told = "<d1, d2> / (|d1| |d2|) over all entries of the two directions together."
    return [Number("cosine between the axes", _given(value), told, LI)]


def _given(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
