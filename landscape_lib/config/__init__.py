"""YAML -> frozen Experiment; the only reader of YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape_lib.config.assembly import assemble, comparison_of
from landscape_lib.config.experiment import RESULTS, Config, Experiment, Frame
from landscape_lib.config.mistakes import Mistakes
from landscape_lib.config.schema import schema
from landscape_lib.config.settings import (
    ComparisonSettings,
    DirectionSettings,
    EvaluationSettings,
    FigureSettings,
    ParaviewSettings,
    Train,
    VerdictSettings,
)
from landscape_lib.config.source import TOO_DEEP, read
from landscape_lib.core.errors import InputError

__all__ = [
    "ComparisonSettings",
    "Config",
    "DirectionSettings",
    "EvaluationSettings",
    "Experiment",
    "FigureSettings",
    "Frame",
    "ParaviewSettings",
    "Train",
    "VerdictSettings",
    "load",
    "parse",
    "schema",
]


def load(path: str | Path, results: str | Path = RESULTS) -> Config:
    """Return the runs of a config file, each checked before anything starts.

    Files that the config names need not exist yet: the workflow may make them.

    Args:
        path: The file.
        results: The folder of all results, relative to the working directory.

    Raises:
        InputError: If the file cannot be read, or anything in it is wrong: one line for each
            mistake, with the path of its key, what was found, and what is allowed.
    """
    return parse(read(Path(path)), path, results)


def parse(tree: Mapping[Any, Any], path: str | Path, results: str | Path = RESULTS) -> Config:
    """Return the runs of a config that is read already, as ``load`` does.

    Args:
        tree: What the config says.
        path: What messages call it.
        results: The folder of all results, relative to the working directory.

    Raises:
        InputError: If anything in it is wrong.
    """
    path, results = Path(path), Path(results)
    mistakes = Mistakes()
    try:
        runs = assemble(tree, mistakes)
        comparison = comparison_of(tree, list(runs), mistakes)
    except RecursionError as error:
        raise InputError(f"{path}: {TOO_DEEP}") from error
    if mistakes.lines or comparison is None:
        raise InputError("\n".join(f"{path}: {line}" for line in mistakes.lines))
    runs = {name: run.under(results) for name, run in runs.items()}
    return Config(path, runs, comparison, results)
