"""The config file as JSON schema, for editors that complete keys and mark mistakes."""

from typing import Any

from landscape_lib.config.metrics import SCHEMA
from landscape_lib.config.settings import (
    NAME,
    SECTIONS,
    ComparisonSettings,
    DirectionSettings,
    ProblemSettings,
    Settings,
    Train,
)


def schema() -> dict[str, Any]:
    """Return the JSON schema of a config file.

    It says less than ``load``: what must hold across keys, and what a run inherits from the
    defaults for all runs, is left to ``load``.
    """
    sections = {name: {"$ref": f"#/definitions/{name}"} for name in SECTIONS}
    run = _of(ProblemSettings)
    run["properties"] |= {"metrics": SCHEMA}
    run["properties"] |= {"train": {"$ref": "#/definitions/train"}} | sections
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "landscape_lib config",
        "type": "object",
        "required": ["runs"],
        "additionalProperties": False,
        "properties": {
            "runs": {
                "description": "One landscape each, by name; results go to results/<name>/.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{NAME}$"},
                "additionalProperties": {"$ref": "#/definitions/run"},
            }
        }
        | sections
        | {"metrics": SCHEMA}
        | {"comparison": _or_empty(_of(ComparisonSettings))},
        "definitions": {
            "run": run | {"required": ["problem"]},
            "train": _or_empty(_of(Train) | {"required": ["function"]}),
        }
        | {name: _or_empty(_of(model)) for name, model in SECTIONS.items()}
        | {"directions": _or_empty(_per_axis(_of(DirectionSettings)))},
    }


def _of(model: type[Settings]) -> dict[str, Any]:
    found = model.model_json_schema()
    properties = {
        key: {name: told for name, told in entry.items() if name != "title"}
        for key, entry in found["properties"].items()
    }
    return {
        "description": found["description"],
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _per_axis(direction: dict[str, Any]) -> dict[str, Any]:
    axes = {axis: _or_empty(direction) for axis in ("x", "y")}
    return direction | {"properties": direction["properties"] | axes}


def _or_empty(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"type": ["object", "null"]}
