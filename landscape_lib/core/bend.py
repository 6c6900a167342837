"""Where on a path with one bend a step lies, in the plane of its ends and its bend."""

from collections.abc import Callable, Mapping, Sequence

from landscape_lib.core.direction import Direction

Place = tuple[float, float]


def bezier(t: float) -> Place:
    """Return a, b of  w0 + a d1 + b d2 = (1 - t)^2 w0 + 2 t (1 - t) theta + t^2 w1.

    d1 = theta - w0, d2 = w1 - w0.

    Source:
        Garipov et al. (2018), Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs,
        section 3.3.
    """
    return 2 * t * (1 - t), t * t


def chain(t: float) -> Place:
    """Return a, b of the way straight to theta, there at t = 1/2, and straight on to w1.

    Source:
        As ``bezier``.
    """
    return (2 * t, 0.0) if t <= 0.5 else (2 * (1 - t), 2 * t - 1)


CURVES: Mapping[str, Callable[[float], Place]] = {"bezier": bezier, "chain": chain}


def straightened(directions: Sequence[Direction]) -> list[Direction]:
    """Return the straight directions that span where directions lead: two for a path."""
    found = []
    for direction in directions:
        found += [direction] if direction.bend is None else [direction.bend, direction]
    return found


def steps_along(directions: Sequence[Direction], steps: Sequence[float]) -> list[float]:
    """Return the steps along ``straightened(directions)`` of a step along each direction."""
    found: list[float] = []
    for direction, step in zip(directions, steps, strict=True):
        if direction.bend is None:
            found.append(step)
        else:
            found += CURVES[str(direction.attributes["curve"])](float(step))
    return found
