"""Is the centre the model, is it a minimum, and how is the surface curved there?"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape_lib.core import geometry
from landscape_lib.verdict.evidence import Check, Evidence, at, doubt, percent, say

CLEAR = 2.0  # standard errors from which a difference is taken for one
SLIGHT = 0.01  # of the loss: less is no matter
TINY_MOVE = 0.01  # of the length of the weights
VAGUE = 0.2  # of a curvature: with a larger error of step size nothing agrees or disagrees


def is_the_model(evidence: Evidence) -> Check:
    """Compare the surface's centre with the model's own values, evaluated without any step."""
    title = "Is the value at the centre the model's own?"
    why = "All else is read relative to the trained model; it must be where the picture says it is."
    own = evidence.centre.get("values", {})
    if not own:
        return Check("centre", "unknown", title, evidence.reason("values"), why)
    if evidence.origin is None:
        missing = [
            name
            for name, steps in zip(evidence.axes, evidence.steps, strict=True)
            if 0 not in steps
        ]
        found = (
            f"No step of {' and '.join(missing)} lies at 0: the model is no point of this grid. "
            f"Its own {evidence.key} is {say(own.get(evidence.key, math.nan))}."
        )
        do = "Take an odd number of steps between ends that are symmetric about 0."
        return Check("centre", "note", title, found, why, do)
    labels = evidence.surface.labels
    sharp = [key for key in labels if key in own and labels[key].units != "%"]
    compared = sharp or [key for key in labels if key in own]  # accuracies move in steps
    apart = {key: _apart(evidence.here(key), float(own[key])) for key in compared}
    worst = max(apart, key=lambda key: apart[key])
    told = (
        f"{worst} is {say(evidence.here(worst))} at the centre, the model's own {say(own[worst])}"
    )
    if apart[worst] > evidence.rounding:
        found = f"{told}: a difference of {say(apart[worst])}, more than rounding."
        do = "Look for a metric or model that keeps something from one evaluation to the next."
        return Check("centre", "warning", title, found, why, do)
    found = (
        f"{evidence.key} is {say(evidence.here(evidence.key))} at the centre; what was compared "
        f"({', '.join(compared)}) is the plain model's to {say(evidence.rounding)}."
    )
    return Check("centre", "good", title, found, why)


def _apart(found: float, own: float) -> float:
    """Return how far the centre's value is from the model's own, relative to it."""
    if found == own or (math.isnan(found) and math.isnan(own)):
        return 0.0
    apart = abs(found - own) / max(abs(own), abs(found))
    return apart if math.isfinite(apart) else math.inf


def is_a_minimum(evidence: Evidence) -> Check | None:
    """Look for lower values on the grid, of every loss; towards other models there may well be."""
    if evidence.targets or not evidence.loss_keys:
        return None
    where = "on this curve" if len(evidence.axes) == 1 else "in this plane"
    title = f"Is the centre a minimum {where}, on this grid?"
    why = (
        "A trained network's centre should be low. Where it is not, training stopped early, or "
        "what is evaluated is not what was trained: other data, no weight decay, no dropout."
    )
    place = geometry.lowest(evidence.values)
    here = evidence.here(evidence.key)
    if place is None or not math.isfinite(here):
        found = f"{evidence.key} is {say(here)} at the centre."
        found += "" if place is not None else " No value on the grid is finite."
        return Check("minimum", "unknown", title, found, why)
    found, state = _lower(evidence, place)
    others = [_other(evidence, key) for key in evidence.loss_keys if key != evidence.key]
    found = " ".join([found, *filter(None, others)])
    do = {
        "good": "",
        "note": "Nothing to do, unless you say that the centre is the lowest point.",
        "warning": "Say so beside the picture, and look into training: was the loss still falling?",
    }[state]
    return Check("minimum", state, title, found, why, do)


def _lower(evidence: Evidence, place: tuple[int, ...]) -> tuple[str, str]:
    here, lowest = evidence.here(evidence.key), float(evidence.values[place])
    below = here - lowest
    if below <= evidence.rounding * abs(here):
        return f"No point of the grid has a lower {evidence.key} than {say(here)}.", "good"
    point = [steps[n] for steps, n in zip(evidence.steps, place, strict=True)]
    border = any(
        n in {0, len(s) - 1} and len(s) > 1 for n, s in zip(place, evidence.steps, strict=True)
    )
    share = f" ({percent(below / abs(here))})" if here else ""
    found = (
        f"{evidence.key} is lowest at {at(point)}{', on the border of the grid' if border else ''}"
        f": {say(lowest)}, {say(below)} below the centre's {say(here)}{share}."
    )
    clear, told = _beyond_sampling(evidence)
    state = "warning" if clear and below > SLIGHT * abs(here) else "note"
    return f"{found} {told}", state


def _beyond_sampling(evidence: Evidence) -> tuple[bool, str]:
    """Tell whether other samples would show the difference as well."""
    paired = evidence.part("lowest")
    if paired is None:
        return True, f"Its sampling error is unknown: {evidence.reason('lowest')}."
    error, samples = float(paired["standard_error"]), int(paired["samples"])
    if not error > 0:
        return True, "Every sample says so alike."
    ratio = abs(float(paired["difference"])) / error
    told = f"That is {say(ratio)} standard errors of the difference (on {samples:,} samples)"
    if ratio > CLEAR:
        return True, f"{told}: more than another draw of the data would change."
    return False, f"{told}: another draw of the data might not show it."


def _other(evidence: Evidence, key: str) -> str:
    """Say where another loss is lowest; of data not trained on, nothing is expected of it."""
    values = evidence.surface[key]
    place, here = geometry.lowest(values), evidence.here(key)
    if place is None or not math.isfinite(here):
        return f"{key} is {say(here)} at the centre."
    lowest = float(values[place])
    if here - lowest <= evidence.rounding * abs(here):
        return f"{key} is lowest at the centre."
    point = [steps[n] for steps, n in zip(evidence.steps, place, strict=True)]
    return f"{key} is lowest at {at(point)}: {say(lowest)}, at the centre {say(here)}."


def gradient(evidence: Evidence) -> Check:
    """Judge the gradient by what following it would gain."""
    title = "Is the gradient at the centre near zero?"
    why = (
        "At a minimum it is zero. A picture in random directions cannot show a slope in the many "
        "others; the gradient can."
    )
    found = evidence.part("gradient")
    if found is None:
        do = (
            "Give metrics as a loss module or a dict of losses, through which torch differentiates."
        )
        return Check(
            "gradient", "unknown", title, f"Not measured: {evidence.reason('gradient')}.", why, do
        )
    norm, loss = float(found["norm"]), float(found["loss"])
    told = f"|g| = {say(norm)} ({_precision(evidence, found)}){_along(evidence, found)}."
    if not math.isfinite(norm):
        return Check("gradient", "warning", title, told, why, "Look for NaN in model and data.")
    change = TINY_MOVE * norm * float(found["weights_norm"])
    if change <= evidence.rounding * abs(loss):
        told += (
            f" A move by {percent(TINY_MOVE)} of the weights' length changes the loss by "
            f"{say(change)} at most, to first order: rounding."
        )
        return Check("gradient", "good", title, told, why)
    curvature = float(found["downhill_curvature"])
    if not curvature > 0:
        told += (
            f" Straight downhill the surface is curved downwards ({say(curvature)}): the loss "
            "falls faster the further one goes, so this is no minimum."
        )
        return Check(
            "gradient", "warning", title, told, why, "Train on, or say that training stopped here."
        )
    gain = norm**2 / (2 * curvature)
    state, size = _worth(evidence, gain, loss)
    told += (
        f" The best step straight downhill would lower the loss of {say(loss)} by about "
        f"{say(gain)}, |g|^2 / (2 u'Hu) with u = g / |g|: {size}."
    )
    do = (
        ""
        if state == "good"
        else "Train on, or say beside the picture that the centre is no minimum."
    )
    return Check("gradient", state, title, told, why, do)


def _worth(evidence: Evidence, gain: float, loss: float) -> tuple[str, str]:
    error = evidence.sampling_error
    share = gain / abs(loss) if loss else math.inf
    if gain <= max(error if error > 0 else 0.0, SLIGHT * abs(loss)):
        within = "less than its sampling error" if gain <= error else f"{percent(share)} of it"
        return "good", within
    told = f"{percent(share)} of it" + (
        f", {say(gain / error)} sampling errors" if error > 0 else ""
    )
    return ("note" if share < 0.1 else "warning"), told


def _precision(evidence: Evidence, found: Mapping[str, Any]) -> str:
    samples, whole = int(found["samples"]), int(evidence.centre["samples"])
    return f"on {samples:,} of {whole:,} samples, in {evidence.differentiated}"


def _along(evidence: Evidence, found: Mapping[str, Any]) -> str:
    """Say the slope along each axis, and what the surface's own values say of it."""
    told = []
    for number, slope in enumerate(found["along"]):
        curve = evidence.curve(number)
        own = geometry.first_difference(*curve) if curve else None
        beside = f" (from the grid {say(own.value)}, error {doubt(own.error)})" if own else ""
        told.append(f"{say(slope)} along {evidence.axes[number]}{beside}")
    return f"; {', '.join(told)}, in loss a step" if told else ""


def curvature(evidence: Evidence) -> Check:
    """Compare Hessian-vector products with the surface's own second differences, axis by axis."""
    title = "Is the surface curved at the centre as the model's derivatives say?"
    why = (
        "Two ways to the same number: one from the model alone, one from the picture alone. Where "
        "they agree, directions, weights and grid are what they claim to be."
    )
    found = evidence.part("curvature")
    axes = [n for n in range(len(evidence.axes)) if len(evidence.steps[n]) > 1]
    lines = [_second(evidence, n) for n in axes]
    measured = [line for line in lines if line is not None]
    if found is None or not measured:
        reason = (
            f"No products with the Hessian: {evidence.reason('curvature')}."
            if found is None
            else ("The grid has no neighbours on both sides of the centre, or they are not finite.")
        )
        told = " ".join(text for _, text in measured)
        return Check("curvature", "unknown", title, f"{reason} {told}".strip(), why)
    state = max((state for state, _ in measured), key=("good", "note", "warning").index)
    do = {
        "good": "",
        "note": "Quote the one that you mean. A finer grid near the centre brings them together, "
        "unless the network has kinks (ReLU): differences see them, derivatives do not.",
        "warning": "Refine the grid near the centre. If they stay apart, the metric's gradient is "
        "not that of its values, as where part of it is detached.",
    }[state]
    return Check("curvature", state, title, " ".join(text for _, text in measured), why, do)


def _second(evidence: Evidence, axis: int) -> tuple[str, str] | None:
    """Return state and words for one axis; None where the grid has no second difference."""
    name, curve = evidence.axes[axis], evidence.curve(axis)
    own = geometry.second_difference(*curve) if curve else None
    if own is None:
        return None
    step = f"a step of {say(own.step)}, its own error {doubt(own.error)}"
    grid = f"{say(own.value)} from the grid ({step})"
    part = evidence.part("curvature")
    if part is None:
        return "good", f"Along {name} {grid}."
    exact = float(part["plane"][axis][axis])
    state, told = _agreement(evidence, own, exact)
    return state, f"Along {name} {say(exact)} from derivatives, {grid}: {told}."


def _agreement(evidence: Evidence, own: geometry.Difference, exact: float) -> tuple[str, str]:
    rounded = 0.4 * evidence.rounding * abs(evidence.here(evidence.key)) / own.step**2
    error = float(np.nansum([own.error, rounded]))
    apart, size = abs(own.value - exact), max(abs(exact), abs(own.value))
    if apart <= 0.05 * size + 2 * error:
        if error > VAGUE * size:
            return "note", "the step is too wide to tell more than that they do not contradict"
        return "good", "they agree"
    told = f"apart by {percent(apart / size)}, more than that error"
    smaller = min(abs(exact), abs(own.value))
    known = not math.isnan(own.error)
    return ("warning" if known and size > 3 * smaller else "note"), told
