"""What the axes of a picture are: what one step is, and which other models lie on them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from landscape_lib.viz.style import number_text

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
BETA = "\N{GREEK SMALL LETTER BETA}"
LAMBDA = "\N{GREEK SMALL LETTER LAMDA}"
NO_BREAK = "\N{NO-BREAK SPACE}"
LETTERS = (ALPHA, BETA)


def axis_name(attributes: Mapping[str, Any], axis: int, *, short: bool = False) -> str:
    """Say what one step along an axis of a surface is.

    Args:
        attributes: Those of the surface; ``axis_directions`` holds what each direction is.
        axis: 0 for x, 1 for y.
        short: As little as is needed to tell the axes apart.
    """
    told = directions_of(attributes)
    about = told[axis] if axis < len(told) else {}
    if short:
        return _SHORT.get(str(about.get("kind")), lambda about: LETTERS[axis])(about)
    said = step_of(about)
    return f"{LETTERS[axis]}: {said}" if said else f"{LETTERS[axis]} (direction {axis + 1})"


def directions_of(attributes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a surface says of each direction; nothing where it says what we do not know."""
    told = attributes.get("axis_directions", [])
    if isinstance(told, str):  # as a file has it
        try:
            told = json.loads(told)
        except ValueError:
            return []
    known = isinstance(told, list) and all(_is_whole(about) for about in told)
    return list(told) if known else []


def _is_whole(about: Any) -> bool:
    try:
        step_of(about)
        models_on([about])
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def step_of(about: Mapping[str, Any]) -> str:
    """Say in a few words what one step of a direction is; nothing where its kind is not known.

    Args:
        about: The direction's attributes.
    """
    say = _SAID.get(str(about.get("kind")))
    if say is None:
        return ""
    curve = _CURVES.get(str(about.get("curve")), "")
    aligned = ", permutation-aligned" if about.get("align") == "permutation" else ""
    layers = f", {about['layers']} alone" if about.get("layers") else ""
    return (
        say(about)
        + curve
        + aligned
        + layers
        + (", orthogonalized" if _is_orthogonal(about) else "")
    )


def _is_orthogonal(about: Mapping[str, Any]) -> bool:
    return str(about.get("orthogonal")) == "True"


def models_on(told: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[float]]]:
    """Return the names of other models, and where they lie: at 1 on the axis that leads there.

    Of an axis that was made orthogonal to the other one, the model lies at 1 on it, and along the
    other one by what was taken out; where that is not known, and where a direction moves some
    layers alone, nothing is said of it.

    Args:
        told: The attributes of each direction.
    """
    found = []
    for axis, about in enumerate(told):
        unknown = (_is_orthogonal(about) and "along" not in about) or about.get("layers")
        if about.get("kind") != "target" or unknown:
            continue
        point = [float(about.get("along", 0.0))] * len(told)
        point[axis] = 1.0
        found.append((str(about.get("model", "the other model")), point))
    return found


def _random(about: Mapping[str, Any]) -> str:
    return f"random, {about['normalize']}-normalized, seed {about['seed']}"


def _component(about: Mapping[str, Any]) -> str:
    share = 100 * float(about["explained_variance_ratio"])
    return f"PC {int(about['component'])} ({share:.1f} % of the variance)"


def _eigenvector(about: Mapping[str, Any]) -> str:
    value = number_text(float(about["eigenvalue"]), 3)
    return f"eigenvector {int(about['eigenvector'])}, {LAMBDA}{NO_BREAK}={NO_BREAK}{value}"


_CURVES = {"bezier": " along a trained Bezier curve", "chain": " along a trained chain"}
_SAID = {
    "random": _random,
    "target": lambda about: f"toward {about.get('model', 'the other model')}",
    "file": lambda about: "from a file",
    "pca": _component,
    "hessian": _eigenvector,
}
_SHORT = {
    "pca": lambda about: (
        f"PC {int(about['component'])} ({100 * float(about['explained_variance_ratio']):.0f} %)"
    ),
    "hessian": lambda about: f"eigenvector {int(about['eigenvector'])}",
}
