"""Do norms with fixed statistics distort the surface?"""

from landscape_lib.verdict.evidence import Check, Evidence, at, percent, say


def batch_norms(evidence: Evidence) -> Check:
    """Say what batch norms with fixed statistics mean for this surface, and measure it."""
    title = "Do batch norms distort the surface?"
    why = (
        "Batch norms keep the statistics of training while the weights before them move, so away "
        "from the centre they no longer normalise. Part of the rise is that, not the weights' own. "
        "Filter-normalized directions are made for networks that undo a scaling of weights; with "
        "fixed statistics no scaling is undone."
    )
    told = evidence.centre.get("norms")
    if told is None:
        return Check("norms", "unknown", title, evidence.reason("norms"), why)
    if not told["batch"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in told["kinds"].items())
        found = f"No batch norm keeps statistics from training ({kinds or 'no norms at all'})."
        return Check("norms", "good", title, found, why)
    if told.get("reestimated"):
        found = f"{told['batch']} batch norms; their statistics are estimated anew at every point."
        return Check("norms", "good", title, found, why)
    moved = [str(one.get("dir_type")) for one in evidence.centre["directions"]]
    found = f"{told['batch']} batch norms; their running statistics "
    found += "move with the directions." if "states" in moved else "stand still."
    do = "Say so beside the picture, or set 'compare_batch_norm: true' to see what else there is."
    if evidence.targets and "states" not in moved:
        found += " At the other model they are this model's, so what is at 1 is not that model."
        do = "Set 'dir_type: states': then 1 is the other model with its own statistics."
        return Check("norms", "warning", title, f"{found} {_stale(evidence)[1]}", why, do)
    share, words = _stale(evidence)
    state = "warning" if share > 0.5 else "note"
    return Check("norms", state, title, f"{found} {words}", why, do)


def _stale(evidence: Evidence) -> tuple[float, str]:
    """Return the largest share of a rise that is due to fixed statistics, and words for all."""
    part = evidence.part("statistics")
    if part is None:
        return 0.0, f"What that changes is unknown: {evidence.reason('statistics')}."
    centre, *points = part["points"]
    told, shares = [], [0.0]
    for point in points:
        rise = float(point["fixed"]) - float(centre["fixed"])
        fresh = float(point["fresh"]) - float(centre["fresh"])
        told.append(
            f"at {at(point['point'])} the loss is {say(point['fixed'])} with them and "
            f"{say(point['fresh'])} with the batch's own"
        )
        if rise > 0 and rise > evidence.rounding * abs(centre["fixed"]):
            shares.append(1 - fresh / rise)
    share = max(shares)
    words = (
        f"On {int(part['samples']):,} samples, {'; '.join(told)}; at the centre "
        f"{say(centre['fixed'])} and {say(centre['fresh'])}. Of the rise there, at most "
        f"{percent(min(share, 1.0))} goes away with the batch's own statistics."
    )
    return share, words
