"""What the axes of a picture are called: what their directions are, where that is known."""

import json
from collections.abc import Mapping
from typing import Any

from landscape_lib.viz.style import number_text

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
BETA = "\N{GREEK SMALL LETTER BETA}"
LAMBDA = "\N{GREEK SMALL LETTER LAMDA}"
LETTERS = (ALPHA, BETA)


def axis_name(attributes: Mapping[str, Any], axis: int, *, short: bool = False) -> str:
    """Say what one step along an axis of a surface is.

    Args:
        attributes: Those of the surface; ``axis_directions`` holds what each direction is.
        axis: 0 for x, 1 for y.
        short: As little as is needed to tell the axes apart.
    """
    try:
        told = attributes.get("axis_directions", "[]")
        direction = (json.loads(told) if isinstance(told, str) else told)[axis]
        return _NAMES.get(str(direction.get("kind")), _numbered)(direction, axis, short)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return _numbered({}, axis, short)  # of a file that says nothing we know


def _numbered(direction: Mapping[str, Any], axis: int, short: bool) -> str:
    return LETTERS[axis] if short else f"{LETTERS[axis]} (direction {axis + 1})"


def _component(direction: Mapping[str, Any], axis: int, short: bool) -> str:
    name, share = int(direction["component"]), 100 * float(direction["explained_variance_ratio"])
    if short:
        return f"PC {name} ({share:.0f} %)"
    return f"{LETTERS[axis]}: PC {name} ({share:.1f} % of the variance)"


def _eigenvector(direction: Mapping[str, Any], axis: int, short: bool) -> str:
    number = f"eigenvector {direction['eigenvector']}"
    value = number_text(float(direction["eigenvalue"]), 3)
    return number if short else f"{LETTERS[axis]}: {number}, {LAMBDA} = {value}"


_NAMES = {"pca": _component, "hessian": _eigenvector}
