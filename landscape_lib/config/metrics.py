"""Which metrics a config asks for: names, import paths, arguments."""

from functools import reduce
from typing import Any

from landscape_lib.config.layers import Written
from landscape_lib.config.mistakes import Mistakes, below
from landscape_lib.config.readers import anything_plain
from landscape_lib.core.spec import Asked, SpecError, read_asked

ALLOWED = "a name such as `cross_entropy`, an import path, a mapping, a list of them, null"
DESCRIPTION = (
    "What is evaluated in place of the problem's own metrics: names (`cross_entropy`, `accuracy`, "
    "`top5`, `f1`, a class of torchmetrics), import paths, mappings with `metric`, `args` and "
    "`per_class`; one, a list, or by names of your own. Null: the problem's own."
)
_SPEC: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "required": ["metric"],
            "additionalProperties": False,
            "properties": {
                "metric": {"type": "string"},
                "args": {"type": ["object", "null"]},
                "per_class": {"type": "boolean"},
            },
        },
    ]
}
SCHEMA: dict[str, Any] = {
    "description": DESCRIPTION,
    "anyOf": [
        *_SPEC["anyOf"],
        {"type": "array", "items": _SPEC, "minItems": 1},
        {"type": "object", "minProperties": 1, "additionalProperties": _SPEC},
        {"type": "null"},
    ],
}


def metrics(written: Written, mistakes: Mistakes) -> Asked | None:
    """Return the metrics that are asked for; None where none are, or something is wrong."""
    if written.value is None:
        return None
    try:
        asked = read_asked(anything_plain().read(written.value))
    except SpecError as error:
        path = reduce(_below, error.path, written.path)
        mistakes.add(path, error.found, error.allowed, error.choices)
        return None
    except ValueError:
        mistakes.add(written.path, written.value, anything_plain().allowed)
        return None
    return asked


def _below(path: str, key: Any) -> str:
    return f"{path}[{key}]" if isinstance(key, int) else below(path, key)
