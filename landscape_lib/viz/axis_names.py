"""What the axes of a picture are called: what their directions are, where that is known."""

import json
from collections.abc import Mapping
from typing import Any

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
BETA = "\N{GREEK SMALL LETTER BETA}"
LETTERS = (ALPHA, BETA)


def axis_name(attributes: Mapping[str, Any], axis: int, *, short: bool = False) -> str:
    """Say what one step along an axis of a surface is.

    Args:
        attributes: Those of the surface; ``axis_directions`` holds what each direction is.
        axis: 0 for x, 1 for y.
        short: As little as is needed to tell the axes apart.
    """
    told = _told(attributes)
    direction = told[axis] if axis < len(told) else {}
    name = _NAMES.get(str(direction.get("kind")), _numbered)(direction, axis, short)
    return f"{LETTERS[axis]}{name}"


def _told(attributes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = attributes.get("axis_directions", [])
    return list(json.loads(told) if isinstance(told, str) else told)


def _numbered(direction: Mapping[str, Any], axis: int, short: bool) -> str:
    return "" if short else f" (direction {axis + 1})"


def _component(direction: Mapping[str, Any], axis: int, short: bool) -> str:
    name, share = int(direction["component"]), 100 * float(direction["explained_variance_ratio"])
    return (
        f": PC {name} ({share:.0f} %)" if short else f": PC {name} ({share:.1f} % of the variance)"
    )


_NAMES = {"pca": _component}
