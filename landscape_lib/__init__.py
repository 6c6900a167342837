"""Loss landscapes of neural networks: the surface around trained weights, and its pictures."""

from landscape_lib.core.lazy import offered

__version__ = "0.1.0"

# Imported when they are first asked for: torch takes seconds, and a config needs none of it.
_HOMES = {
    "core": "landscape_lib.core",
    "utils": "landscape_lib.utils",
    "viz": "landscape_lib.viz",
    "Axis": "landscape_lib.core.grid",
    "Grid": "landscape_lib.core.grid",
    "Direction": "landscape_lib.core.direction",
    "Label": "landscape_lib.core.surface",
    "Shard": "landscape_lib.core.surface",
    "Surface": "landscape_lib.core.surface",
    "barrier": "landscape_lib.core.geometry",
    "merge": "landscape_lib.core.surface",
    "merge_tree": "landscape_lib.core.topology",
    "measure": "landscape_lib.core.evaluator",
    "SNAKEFILE": "landscape_lib.utils.pipeline",
    "Problem": "landscape_lib.problems.problem",
    "import_surface": "landscape_lib.steps.importing",
    "load_surface": "landscape_lib.utils.storage",
    "load_checkpoint": "landscape_lib.problems.checkpoint",
    "LossLandscape": "landscape_lib.api",
    "verify": "landscape_lib.steps.verify",
    "Experiment": "landscape_lib.config",
    "InputError": "landscape_lib.core.errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  (a list of str, known only when run)
__getattr__, __dir__ = offered(__name__, _HOMES)
