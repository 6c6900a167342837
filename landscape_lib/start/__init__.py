"""A first landscape that runs as it is, to be copied and turned into one's own."""

import re
from pathlib import Path
from string import Template

from landscape_lib.core.errors import InputError
from landscape_lib.utils import pipeline

FILES = ("problem.py", "config.yaml", "README.md")
NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"  # of a run, as the config has it
_HERE = Path(__file__).resolve().parent


def new(folder: Path) -> list[Path]:
    """Write a problem, its config and a README into a folder, and return their paths.

    Paths in the config are relative to the working directory, from which the pipeline is started.
    The run is called as the folder is.  Nothing that is there is overwritten.

    Raises:
        InputError: If the folder's name cannot be that of a run, or one of the files exists.
    """
    if not re.fullmatch(NAME, folder.name) or folder.name.lower() == "comparison":
        raise InputError(
            f"{str(folder)!r} cannot be the folder: a run will be called as it is, so its name may "
            "hold A-Z a-z 0-9 . _ - only, may not start with . or -, and not be 'comparison'."
        )
    there = [str(folder / name) for name in FILES if (folder / name).exists()]
    if there:
        raise InputError(
            f"{', '.join(there)}: there already, and not overwritten. Choose another folder."
        )
    if re.search(r"[^A-Za-z0-9._/-]", folder.as_posix()):
        raise InputError(f"{str(folder)!r}: choose a path of A-Z a-z 0-9 . _ - and /.")
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "folder": folder.as_posix(),
        "run": folder.name,
        "python": pipeline.python(),
        "draw": pipeline.command(folder / "config.yaml"),
    }
    for name in FILES:
        text = (_HERE / name).read_text(encoding="utf-8")
        if name != "problem.py":
            text = Template(text).substitute(told)
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
    return [folder / name for name in FILES]
