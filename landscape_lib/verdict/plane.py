"""Is the plane drawn as it is: its angle, the models in it, the range it is seen in?"""

import math
from collections.abc import Mapping

import numpy as np

from landscape_lib.core import geometry
from landscape_lib.verdict.evidence import Check, Evidence, percent, say

NARROW_CELLS = 4  # steps that a basin must be wide to be seen
NARROW_SHARE = 0.15  # of the axis
FLAT_SHARE = 0.1  # of the way up to the level that an axis must show
MARGIN = 1.25  # of the suggested range over the distance to the level
FURTHEST = 4.0  # times the range that a suggestion may extrapolate


def angle(evidence: Evidence) -> Check | None:
    """Judge the angle between the axes, which pictures draw as a right one."""
    if len(evidence.axes) < 2:
        return None
    title = "Are the axes at a right angle in weight space?"
    why = (
        "Pictures draw them at one. At another angle circles are ellipses, and the two axes partly "
        "show the same direction."
    )
    if "cosine" not in evidence.surface.attributes:
        return Check("axes", "unknown", title, "The surface's file does not say.", why)
    cosine = float(evidence.surface.attributes["cosine"])
    degrees = (
        math.degrees(math.acos(min(1.0, max(-1.0, cosine)))) if math.isfinite(cosine) else math.nan
    )
    found = f"Their cosine is {say(cosine)}, an angle of {say(degrees)} degrees."
    if abs(cosine) <= 0.1:
        return Check("axes", "good", title, found, why)
    do = "Set 'orthogonal: true'."
    if evidence.targets:
        do += " The model at 1 on that axis is then no longer at 1; or leave it, and say the angle."
        found += " Directions to other models from one model are not orthogonal by themselves."
    return Check("axes", "note" if abs(cosine) <= 0.5 else "warning", title, found, why, do)


def other_models(evidence: Evidence) -> Check | None:
    """Say what lies at the other models, and between: the barrier along each target axis."""
    if not evidence.targets:
        return None
    title = "What lies between the models?"
    why = (
        "A loss that rises on the straight line between two models says that they lie in different "
        "basins for this line; it does not say that no other path is low."
    )
    if any(one.get("curve") for one in evidence.centre.get("directions", ())):
        why = (
            "A path was trained so that the loss along it is low. A loss that rises on it does not "
            "say that no other path, or more training of this one, is lower."
        )
    lines = [_line(evidence, axis) for axis in evidence.targets]
    state = max((state for state, _ in lines), key=("good", "note", "unknown").index)
    do = "Take ends and a count that have steps at exactly 0 and 1." if state == "unknown" else ""
    return Check("models", state, title, " ".join(text for _, text in lines), why, do)


def _line(evidence: Evidence, axis: int) -> tuple[str, str]:
    name, curve = evidence.axes[axis], evidence.curve(axis)
    found = geometry.barrier(*curve) if curve else None
    if curve is None or found is None:
        return "unknown", f"On {name}, the models at 0 and 1 are not both points of the grid."
    steps, values = curve
    first, last = float(values[steps == 0][0]), float(values[steps == 1][0])
    told = (
        f"On {name}, {evidence.key} is {say(first)} at 0, this model, and {say(last)} at 1, the "
        "other;"
    )
    if not math.isfinite(found.over_line):
        return "note", f"{told} on the way it is not finite."
    size = f"{say(found.over_line)} above the straight line between those, at {say(found.step)}"
    error, rounding = evidence.sampling_error, evidence.rounding * max(abs(first), abs(last))
    if found.over_line <= rounding:
        return "good", f"{told} it nowhere lies above the straight line between those."
    if error > 0 and found.over_line <= 2 * error:
        return (
            "good",
            f"{told} it rises by up to {size}: within two sampling errors ({say(error)}) of none.",
        )
    return "note", f"{told} it rises by up to {size}: a barrier."


def extent(evidence: Evidence) -> Check | None:
    """Judge whether the range shows the basin, and suggest one."""
    if not evidence.free:
        return None
    title = "Is the range too wide or too narrow?"
    why = (
        "Too wide, the basin is a few points, and what is seen is the wall far from any trained "
        "model. Too narrow, what is seen is sampling error."
    )
    level, curves = evidence.level, [evidence.curve(axis) for axis in evidence.free]
    if level is None or any(curve is None for curve in curves):
        found = _flatness(evidence) or _why_no_level(evidence)
        return Check("range", "unknown", title, found, why)
    lines = [_extent(evidence, axis, level) for axis in evidence.free]
    states = [state for state, _ in lines]
    wanted = suggested_range(evidence)
    told = ", ".join(f"{name}: [{low:g}, {high:g}]" for name, (low, high) in wanted.items())
    found = (
        f"Outputs of zero have a {evidence.key} of {say(level)}; the basin is where it is lower. "
        f"{' '.join(text for _, text in lines)} A range that shows it: {told}."
    )
    state = "warning" if "warning" in states else "good"
    do = f"Take {told}, or 'auto'." if state == "warning" else ""
    return Check("range", state, title, found, why, do)


def _why_no_level(evidence: Evidence) -> str:
    if evidence.origin is None:
        return (
            "The centre is no point of this grid, so its basin cannot be followed along the axes."
        )
    if evidence.part("indifferent") is None:
        return f"There is no level to measure the basin by: {evidence.reason('indifferent')}."
    zero = float(evidence.centre["indifferent"]["loss"])
    return (
        f"The model's {evidence.key} is {say(evidence.here(evidence.key))}; outputs of zero would "
        f"have {say(zero)}. There is no basin below that."
    )


def _flatness(evidence: Evidence) -> str | None:
    if evidence.finite.size < 2:
        return None
    spread = float(evidence.finite.max() - evidence.finite.min())
    if spread > evidence.rounding * abs(float(evidence.finite[0])):
        return None
    return f"All values are {say(float(evidence.finite[0]))}: nothing changes on this grid."


def _extent(evidence: Evidence, axis: int, level: float) -> tuple[str, str]:
    steps, values = evidence.curve(axis)  # type: ignore[misc]
    name, width = evidence.axes[axis], float(steps[-1] - steps[0])
    cell = float(steps[1] - steps[0])
    reach = geometry.reach(steps, values, level)
    reach = geometry.Reach(  # an axis that begins or ends at the centre has one side
        reach.low if steps[0] < 0 else 0.0, reach.high if steps[-1] > 0 else 0.0
    )
    if math.isfinite(reach.width):
        cells = say(reach.width / cell)
        told = f"Along {name} it is {say(reach.width)} wide, {cells} cells of the grid"
        if reach.width < NARROW_CELLS * cell or reach.width < NARROW_SHARE * width:
            return "warning", f"{told}: the range is too wide for it."
        return "good", f"{told}."
    finite = values[np.isfinite(values)]
    risen = (float(finite.max()) - evidence.here(evidence.key)) / (
        level - evidence.here(evidence.key)
    )
    told = (
        f"Along {name} its rim is not reached on both sides; the loss rises "
        f"{percent(max(risen, 0.0))} of the way"
    )
    if risen < FLAT_SHARE:
        return "warning", f"{told}: the range is too narrow to show it."
    return "good", f"{told}."


def suggested_range(evidence: Evidence) -> Mapping[str, tuple[float, float]]:
    """Return for each free axis a range that shows the basin; empty where none can be told.

    As far as the loss of outputs of zero on the farther side, and a quarter more, alike on both
    sides.  Where the grid does not reach so far, a parabola through centre and border is followed,
    to four times the grid at most.
    """
    level = evidence.level
    found = {}
    for axis in evidence.free:
        curve = evidence.curve(axis)
        if level is None or curve is None:
            continue
        steps, values = curve
        reach = geometry.reach(steps, values, level)
        sides = [
            reach.low
            if math.isfinite(reach.low)
            else _followed(-steps[0], values[0], evidence, level),
            reach.high
            if math.isfinite(reach.high)
            else _followed(steps[-1], values[-1], evidence, level),
        ]
        if max(sides) > 0:
            found[evidence.axes[axis]] = around(max(sides))
    return found


def around(reach: float) -> tuple[float, float]:
    """Return the range that shows a basin whose rim is so far away, in digits one can type."""
    far = _rounded(MARGIN * reach)
    return -far, far


def _followed(distance: float, value: float, evidence: Evidence, level: float) -> float:
    """Return where a parabola from the centre, through a value at a distance, is at a level."""
    here = evidence.here(evidence.key)
    rise = float(value) - here
    if not rise > 0:
        return FURTHEST * float(distance)
    return float(distance) * min(FURTHEST, math.sqrt((level - here) / rise))


def _rounded(number: float) -> float:
    """Round to two digits, so that a range can be typed."""
    return float(f"{number:.2g}")
