"""Where the pipeline lies, and how it is called from the working directory."""

import shlex
from importlib.util import find_spec
from pathlib import Path

_LIBRARY = Path(__file__).resolve().parents[1]
_INSTALLED = _LIBRARY / "pipeline"  # where pip puts it; in a clone it lies beside the library

ROOT = _INSTALLED if _INSTALLED.is_dir() else _LIBRARY.parent
SNAKEFILE = ROOT / "workflow" / "Snakefile"
SCRIPTS = ROOT / "scripts"
INSTALL = "pip install 'landscape-lib[workflow]'"


def has_snakemake() -> bool:
    """Tell whether the pipeline can be run by this Python."""
    return find_spec("snakemake") is not None


def python() -> str:
    """Return what a user here types for Python: at the root of a clone, uv's."""
    return "uv run python" if _at_root_of_clone() else "python"


def command(config: Path | str) -> str:
    """Return what a user here types to evaluate and draw a config."""
    snakemake = 'snakemake --snakefile "$(python -m landscape_lib snakefile)"'
    begin = "uv run snakemake" if _at_root_of_clone() else snakemake
    return f"{begin} --cores 1 --resources gpu=1 --configfile {shlex.quote(str(config))}"


def _at_root_of_clone() -> bool:
    return ROOT != _INSTALLED and Path.cwd() == ROOT
