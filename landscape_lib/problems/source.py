"""Where a user's code stands, and what of it matters, found out without running it."""

import ast
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from landscape_lib.core.errors import InputError
from landscape_lib.core.spec import Asked

_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib")
)
_PACKAGES = {"site-packages", "dist-packages"}
_OURS = Path(__file__).resolve().parents[1]


def split_name(name: str) -> tuple[str, str]:
    """Split ``path/to/file.py:function`` or ``package.module:function`` at its colon.

    Raises:
        InputError: If either half is missing.
    """
    place, _, function = name.rpartition(":")
    if not place or not function.isidentifier():
        raise InputError(
            f"{name!r} names no function; wanted 'path/to/file.py:function' or "
            "'package.module:function'."
        )
    return place, function


def locate(place: str) -> Path:
    """Return the file of a module that is given by its path or its dotted name.

    Raises:
        InputError: If there is no such file or module.
    """
    if place.endswith(".py") or "/" in place:
        path = Path(place)
        if not path.is_file():
            raise InputError(
                f"{place}: there is no such file (looked in {Path.cwd()}). Paths in a config are "
                "relative to the folder in which you type the command."
            )
        return path
    module = _find(place, [str(Path.cwd()), *sys.path])
    if module is None:
        raise InputError(
            f"{place}: there is no such module (looked in {Path.cwd()} and Python's own path). "
            "Give a path that ends in .py, or install the package."
        )
    return module


def code_hash(place: str) -> str:
    """Return the SHA-256 of a module's code and of the local modules it imports.

    Comments, blank lines and docstrings do not count: it is the syntax tree that is hashed.
    Local is what is neither Python's own, nor installed, nor a part of this library.

    Raises:
        InputError: If a module does not parse.
    """
    return trees_hash(code_files(place))


def code_files(place: str) -> set[Path]:
    """Return the files of a module and of the local modules that it imports: see ``code_hash``.

    Raises:
        InputError: If there is no such module, or one does not parse.
    """
    start = locate(place).resolve()
    around = [] if place.endswith(".py") else _steps(place, [str(Path.cwd()), *sys.path])
    paths = {path.resolve() for path in around if path is not None} - {start}
    return _closure(start, *filter(is_local, paths))


def metrics_code(asked: Asked, hashed: Callable[[str], str] = code_hash) -> str:
    """Return the hashes of the code that metrics are imported from; nothing where none is.

    Args:
        asked: The metrics.
        hashed: What hashes a module, ``code_hash`` or what remembers it.

    Raises:
        InputError: If a module is not there, or does not parse.
    """
    places = sorted({split_name(path)[0] for path in asked.imported()})
    return "".join(hashed(place) for place in places)


def trees_hash(paths: Iterable[Path]) -> str:
    """Return the SHA-256 over the syntax trees of modules, docstrings left out."""
    trees = [_tree_hash(path, path.stat().st_mtime_ns) for path in sorted(paths)]
    return hashlib.sha256("".join(trees).encode()).hexdigest()


def _closure(*start: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = [*start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += [p for p in _imports(path) if is_local(p)]
    return found


def is_local(path: Path) -> bool:
    """Tell whether a file is neither Python's own, nor installed, nor a part of this library.

    Installed is also what lies in a folder for packages of another environment that this one sees:
    the user's own, the system's, one laid over it.
    """
    if _PACKAGES & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in (*_INSTALLED, _OURS))


def _imports(path: Path) -> list[Path]:
    places = [str(path.parent), str(Path.cwd()), *sys.path]
    found: list[Path | None] = []
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _steps(alias.name, places)
        elif isinstance(node, ast.ImportFrom):
            base, where = node.module or "", places
            if node.level:
                package = path.parents[node.level - 1]
                where = [str(package)]
                found += [init for init in [package / "__init__.py"] if init.is_file()]
            found += _steps(base, where)
            found += [
                _find(f"{base}.{alias.name}" if base else alias.name, where) for alias in node.names
            ]
    return [path.resolve() for path in found if path is not None]


def _steps(name: str, places: list[str]) -> list[Path | None]:
    """A module and the packages around it: importing a.b runs a/__init__ too."""
    parts = name.split(".")
    return [_find(".".join(parts[: end + 1]), places) for end in range(len(parts))] if name else []


def _find(name: str, places: list[str]) -> Path | None:
    spec: ModuleSpec | None = None
    search: list[str] = places
    for part in name.split("."):
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


@functools.lru_cache(maxsize=4096)
def _tree_hash(path: Path, stamp: int) -> str:
    tree = _parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise InputError(
            f"{path}, line {error.lineno}: this is not Python: {error.msg}."
        ) from error
