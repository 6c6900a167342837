"""YAML -> frozen Experiment; the only reader of YAML."""

from pathlib import Path

from landscape_lib.config.assembly import assemble, comparison_of
from landscape_lib.config.experiment import Config, Experiment, Frame
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
from landscape_lib.config.source import read
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
    "schema",
]


def load(path: str | Path) -> Config:
    """Return the runs of a config file, each checked before anything starts.

    Files that the config names need not exist yet: the workflow may make them.

    Raises:
        InputError: If the file cannot be read, or anything in it is wrong: one line for each
            mistake, with the path of its key, what was found, and what is allowed.
    """
    path = Path(path)
    mistakes = Mistakes()
    try:
        tree = read(path)
        runs = assemble(tree, mistakes)
        comparison = comparison_of(tree, list(runs), mistakes)
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply, or an alias holds itself.") from error
    if mistakes.lines or comparison is None:
        raise InputError("\n".join(f"{path}: {line}" for line in mistakes.lines))
    return Config(path, runs, comparison)
