"""How the settings that another workflow hands to the pipeline, its module, become a config."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from landscape_lib.config import Config, load, parse
from landscape_lib.config.source import TOO_DEEP, understood
from landscape_lib.core.errors import InputError
from landscape_lib.core.files import write_text

FOLDER = Path(".snakemake") / "landscape_lib"
_NAME = "the module's config"


def handed_over(told: Any, results: str | Path, folder: Path = FOLDER) -> tuple[str, Config]:
    """Return the path of a config file with what a module was given, and its runs.

    Args:
        told: The module's ``config``: settings, as a config file has them, or the path of such a
            file, alone or as ``{"configfile": path}``.
        results: The folder of all results, relative to the working directory.
        folder: Where settings become a file.  Its name is that of their content, so that jobs at
            work keep theirs when the settings change.

    Raises:
        InputError: If there are none, or anything in them is wrong.
    """
    named = told["configfile"] if isinstance(told, Mapping) and [*told] == ["configfile"] else told
    if isinstance(named, str | Path) and str(named):
        path = os.path.relpath(named)
        return path, load(path, results)
    if not isinstance(told, Mapping) or not told:
        raise InputError(
            f"{_NAME} is {told!r}; give the module what a config file of landscapes says, as "
            "'config: config[\"landscape\"]', or its path, as 'config: \"landscape.yaml\"'."
        )
    text = _text(told)
    config = parse(understood(text, _NAME), _NAME, results)
    path = (folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml").as_posix()
    if not Path(path).exists():
        write_text(path, text)
    return path, config


def _text(told: Mapping[Any, Any]) -> str:
    try:
        return yaml.safe_dump(_plain(told), sort_keys=False, allow_unicode=True)
    except RecursionError as error:
        raise InputError(f"{_NAME}: {TOO_DEEP}") from error
    except yaml.YAMLError as error:
        raise InputError(
            f"{_NAME}: YAML has no such value: {error.args[-1]!r}; write it as a number, a "
            "string, a list or a mapping."
        ) from error


def _plain(value: Any) -> Any:
    """Turn what Python programs put into settings into what YAML has."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
