"""How a function is imported from where its name says."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from landscape_lib.core.errors import InputError
from landscape_lib.problems.source import locate, split_name


class UserCodeError(InputError):
    """Say that the user's own code raised; the cause is what they need to see."""


def load_function(name: str) -> Callable[..., Any]:
    """Import ``path/to/file.py:function`` or ``package.module:function``.

    A file's folder, and the working directory, can be imported from, as when it is run.

    Raises:
        InputError: If there is no such file, module or function.
        UserCodeError: If importing raised.
    """
    place, function = split_name(name)
    path = locate(place)
    try:
        module = _import_file(path) if place.endswith(".py") else _import_module(place)
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"{place}: importing it raised {told(error)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        others = [n for n, item in vars(module).items() if callable(item) and not n.startswith("_")]
        raise InputError(
            f"{place}: there is no function {function!r} in it; "
            f"it has {', '.join(others) or 'none'}."
        )
    return found


def told(error: BaseException) -> str:
    """Say in one line what an exception says."""
    return f"{type(error).__name__}: {error}"


def _import_file(path: Path) -> Any:
    for folder in (str(Path.cwd()), str(path.resolve().parent)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path.resolve()):
        return loaded
    # a name of its own where another module is called the same, so that neither hides the other
    name = path.stem if loaded is None and path.stem.isidentifier() else f"_problem_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_module(place: str) -> Any:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(place)
