"""How what a step found lies on disk: as JSON, with a checksum that tells when it is damaged."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape_lib.core.files import read_json, write_text
from landscape_lib.utils.hashing import hash_text

CHECKSUM = "sha256"


def write_record(path: Path | str, found: Mapping[str, Any]) -> None:
    """Write a mapping, whole or not at all: every number reads back bit for bit."""
    write_text(path, json.dumps({**found, CHECKSUM: _checksum(found)}, indent=1))


def read_record(path: Path | str) -> dict[str, Any]:
    """Read a mapping that ``write_record`` wrote.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no mapping, has no checksum, or is not what was written.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"wanted a JSON object, found a {type(found).__name__}")
    if found.pop(CHECKSUM, None) != _checksum(found):
        raise ValueError("its content is not what its checksum says")
    return found


def _checksum(found: Mapping[str, Any]) -> str:
    return hash_text(json.dumps(found, sort_keys=True, separators=(",", ":")))
