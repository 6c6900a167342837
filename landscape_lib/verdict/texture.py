"""Do the grid's values show the surface: all there, smooth or rough, spaced and scaled to see?"""

import numpy as np

from landscape_lib.core import geometry
from landscape_lib.core.failures import sentence
from landscape_lib.core.geometry import is_wide
from landscape_lib.verdict.evidence import Check, Evidence, percent, say


def finite(evidence: Evidence) -> Check:
    """Count values that are not finite, of every metric."""
    title = "Are all values finite?"
    why = "Points that are not finite are holes in pictures, and nothing can be said of them."
    shares = {
        key: 1 - float(np.isfinite(evidence.surface[key]).mean()) for key in evidence.surface.keys
    }
    worst = max(shares, key=lambda key: shares[key])
    if not shares[worst]:
        return Check("finite", "good", title, "Every value of every metric is finite.", why)
    holes = ~np.isfinite(evidence.surface[worst])
    near = np.linalg.norm(evidence.surface.grid.points(np.flatnonzero(holes)), axis=1).min()
    found = (
        f"{percent(shares[worst])} of the values of {worst} are NaN or infinite: "
        f"{int(holes.sum()):,} of {holes.size:,} points, the nearest {say(float(near))} steps from "
        "the centre."
    )
    do = "Take a smaller range, or 'precision: float64' where float32 overflows."
    failed = evidence.surface.failed
    if failed is not None:
        found += " Of these, " + sentence(int(failed.sum()), failed.size, evidence.surface.failures)
        do = "See what failed, mend it, and evaluate these points again: 'on_error: stop'."
    state = "note" if shares[worst] <= 0.05 and near > 0 else "warning"
    return Check("finite", state, title, found, why, do)


def interpolated(evidence: Evidence) -> Check | None:
    """Tell how many points were evaluated, and how far others may be off, where not all were."""
    surface, key = evidence.surface, evidence.key
    if surface.computed is None:
        return None
    found = (
        f"{surface.evaluated:,} of {surface.grid.size:,} points were evaluated, where the surface "
        "bends; the others are interpolated."
    )
    log = is_wide(evidence.values, surface.labels[key].units)
    off = surface.typical_error(key, relative=log)
    if off is not None:
        size = f"{percent(off)} of the value" if log else say(off)
        found += f" At 19 of 20 of these {key} is off by less than its bound, typically {size}."
    why = (
        "Between evaluated points the surface is a spline: a bump that is narrower than their "
        "spacing, and that no held-out point met, is not there."
    )
    return Check("interpolated", "note", "Was every point evaluated?", found, why)


def scale(evidence: Evidence) -> Check:
    """Judge over how many powers of ten the values go, and what the pictures' limits cut off."""
    title = "Does a linear scale show the values?"
    why = (
        "Where values span powers of ten, a linear scale shows the highest, the rest is one colour."
    )
    values = evidence.finite
    if not values.size:
        return Check("scale", "unknown", title, "No value is finite.", why)
    low, high = float(values.min()), float(values.max())
    found = f"{evidence.key} goes from {say(low)} to {say(high)}"
    state, do = "good", ""
    if evidence.decades >= geometry.WIDE:
        state, do = "note", "Leave 'scale: auto' or take 'log'; say on which scale a picture is."
        found += f", {say(evidence.decades)} powers of ten"
    elif low <= 0 < high:
        found += "; values that are not positive have no place on a log scale"
    beyond = _beyond(evidence)
    if beyond >= 0.1:
        state, do = (
            "warning" if beyond >= 0.5 else "note",
            "Widen vmin and vmax, or say what is cut off.",
        )
        found += f"; {percent(beyond)} of the points lie beyond vmin or vmax of the pictures"
    return Check("scale", state, title, f"{found}.", why, do)


def _beyond(evidence: Evidence) -> float:
    low, high = evidence.limits
    cut = np.zeros(evidence.finite.shape, dtype=bool)
    if low is not None:
        cut |= evidence.finite < low
    if high is not None:
        cut |= evidence.finite > high
    return float(cut.mean())


def resolution(evidence: Evidence) -> Check:
    """Judge how far points are from the straight line between their neighbours."""
    title = "Are there steps enough?"
    why = (
        "Pictures draw straight lines between points; what is narrower than two cells is not there."
    )
    values, log = evidence.drawn
    apart = np.concatenate([_bends(values, axis) for axis in range(values.ndim)])
    if not apart.size:
        found = "No axis has three finite values in a row."
        return Check("resolution", "unknown", title, found, why, "Take at least 3 steps an axis.")
    low, high = np.percentile(values[np.isfinite(values)], [5, 95])
    size = float(np.percentile(apart, 95)) / (high - low) if high > low else 0.0
    found = (
        f"19 of 20 points lie within {percent(size)} of what the picture spans "
        f"{'(of log10) ' if log else ''}from the straight line between their neighbours."
    )
    if size <= 0.05:
        return Check("resolution", "good", title, found, why)
    do = "Refine from n to 2 n - 1 steps: points that are there are kept."
    return Check("resolution", "note", title, found, why, do)


def _bends(values: np.ndarray, axis: int) -> np.ndarray:
    if values.shape[axis] < 3:
        return np.empty(0)
    moved = np.moveaxis(values, axis, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(moved[1:-1] - moved[:-2] / 2 - moved[2:] / 2).ravel()
    return apart[np.isfinite(apart)]


def bumps(evidence: Evidence) -> Check:
    """Tell bumps from a smooth surface, and from sampling error."""
    title = "Is the surface rough, and are its bumps more than sampling error?"
    why = (
        "Bumps that another draw of the data would move say nothing about the network. Bumps of "
        "the grid's own width may also be a surface that the grid is too coarse for."
    )
    values, log = evidence.drawn
    if evidence.surface.computed is not None:
        told = "Interpolated points are smooth by themselves: of bumps they tell nothing."
        return Check("roughness", "unknown", title, told, why, "Take 'mode: full' to measure it.")
    found = geometry.roughness(values)
    if found is None:
        told = f"To measure it takes an axis with {geometry.FEWEST} steps and finite values."
        return Check("roughness", "unknown", title, told, why)
    if not found.seen:
        share = percent(found.size / found.spread) if found.spread else "nothing"
        told = (
            f"What parabolas through five points leave is {share} of what the picture spans: none "
            "of it is seen."
        )
        return Check("roughness", "good", title, told, why)
    told = (
        f"Parabolas through five points leave a rest of {say(found.size)}{' of log10' * log}, "
        f"{percent(found.size / found.spread)} of what the picture spans, and {say(found.growth)} "
        "times that at twice the spacing (smooth surfaces about 16, many kinks 2 to 3, noise 1)."
    )
    if not found.rough:
        return Check(
            "roughness", "good", title, f"{told} So it is the surface's own shape, not bumps.", why
        )
    real = f"{_against_sampling(evidence)}{_beyond_any_doubt(evidence)}"
    do = "Refine the grid to see whether the bumps keep their shape."
    return Check(
        "roughness", "note", title, f"{told} So it is rough at this spacing. {real}", why, do
    )


def _against_sampling(evidence: Evidence) -> str:
    part = evidence.part("bumps")
    if part is None:
        return f"Its sampling error is unknown: {evidence.reason('bumps')}."
    ratios = [
        abs(float(place["residual"])) / float(place["standard_error"])
        for place in part["places"]
        if float(place["standard_error"]) > 0
    ]
    clear = sum(ratio > 2 for ratio in ratios)
    told = (
        f"At {clear} of {len(ratios)} places looked at, the rest is more than two standard errors "
        f"(on {int(part['samples']):,} samples)"
    )
    if not ratios or clear <= len(ratios) / 2:
        return f"{told}: another draw of the data would have other bumps."
    return f"{told}: the bumps are the network's, not the sample's."


def _beyond_any_doubt(evidence: Evidence) -> str:
    """Say at how many points the rest exceeds what sampling could do at the very most."""
    values, log = evidence.drawn
    errors = evidence.surface.standard_error(evidence.key)
    if not np.isfinite(errors).any():
        return ""
    if log:  # to first order: d log10 L = dL / (L ln 10)
        errors = errors / (evidence.values * np.log(10))
    clear, count = 0, 0
    for axis, length in enumerate(values.shape):
        if length < geometry.FEWEST:
            continue
        rest = np.abs(geometry.residuals(values, axis))
        most = geometry.residual_errors(errors, axis)
        known = np.isfinite(rest) & np.isfinite(most)
        clear += int((rest[known] > 2 * most[known]).sum())
        count += int(known.sum())
    if not count:
        return ""
    return (
        f" At {percent(clear / count)} of all points it is more than two standard errors even if "
        "nothing of the errors of neighbours cancelled."
    )
