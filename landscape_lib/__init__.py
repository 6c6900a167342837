"""Loss landscapes of neural networks: the surface around trained weights, and its pictures."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Imported when they are first asked for: torch takes seconds, and a config needs none of it.
_HOMES = {
    "Axis": "landscape_lib.core.grid",
    "Grid": "landscape_lib.core.grid",
    "Direction": "landscape_lib.core.direction",
    "Label": "landscape_lib.core.surface",
    "Shard": "landscape_lib.core.surface",
    "Surface": "landscape_lib.core.surface",
    "merge": "landscape_lib.core.surface",
    "measure": "landscape_lib.core.evaluator",
    "Problem": "landscape_lib.problems.problem",
    "Experiment": "landscape_lib.config",
    "InputError": "landscape_lib.core.errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  (a list of str, known only when run)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'landscape_lib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
