"""Imports point one way, and every kind of knowledge has one room."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "landscape_lib"
MODULES = sorted(LIBRARY.rglob("*.py"))

# What a room may use of ours, beside itself.
ARROWS = {
    "core": set(),
    "viz": {"core", "utils"},
    "utils": {"core"},
    "problems": {"core"},
    "config": {"core"},
    "verdict": {"core"},
    "between": {"core"},
    "adaptive": {"core"},
    "steps": {"core", "viz", "utils", "problems", "config", "verdict", "between", "adaptive"},
    "api": {"core", "viz", "utils", "problems", "config", "steps", "verdict", "between"},
}
# Who alone may know a library of others.
ALONE = {
    "h5py": {"utils/storage.py", "utils/guard.py"},
    "vtkmodules": {"viz/paraview.py"},
    "plotly": {"viz/explorer.py"},
}


def room(path):
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(path):
    """Every module that a file imports, also inside functions and for types only."""
    package = ["landscape_lib", *path.relative_to(LIBRARY).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def ours(path):
    """The rooms of ours that a file uses; modules at the top count as rooms."""
    parts = [name.split(".") for name in imported(path) if name.split(".")[0] == "landscape_lib"]
    rooms = {item.relative_to(LIBRARY).parts[0].removesuffix(".py") for item in MODULES}
    return {name[1] for name in parts if len(name) > 1 and name[1] in rooms}


def name_of(path):
    return path.relative_to(LIBRARY).as_posix()


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) in ARROWS], ids=name_of)
def test_imports_point_one_way(path):
    strange = ours(path) - ARROWS[room(path)] - {room(path)}
    assert not strange, f"{name_of(path)} uses {sorted(strange)}"


def test_the_arrows_would_be_missed():
    """The reader of imports sees what it should."""
    assert ours(LIBRARY / "utils/storage.py") == {"core", "utils"}
    assert "h5py" in imported(LIBRARY / "utils/storage.py")
    assert {room(path) for path in MODULES} >= set(ARROWS)


@pytest.mark.parametrize(("library", "places"), ALONE.items())
def test_no_other_module_knows_it(library, places):
    knowing = {
        name_of(path) for path in MODULES if any(n.split(".")[0] == library for n in imported(path))
    }
    assert knowing == places


def test_the_library_works_without_snakemake():
    """``pip install landscape-lib`` brings none; what runs the pipeline calls it as a program."""
    found = {name.split(".")[0] for path in MODULES for name in imported(path)}
    assert {"torch", "yaml"} <= found
    assert not any(name.startswith("snakemake") for name in found)


def test_the_core_knows_numpy_and_torch_and_nothing_else_that_is_installed():
    import sys

    found = {
        name.split(".")[0] for path in MODULES if room(path) == "core" for name in imported(path)
    }
    assert found - set(sys.stdlib_module_names) == {"numpy", "torch", "landscape_lib"}


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) == "viz"], ids=name_of)
def test_pictures_are_of_arrays_and_never_of_tensors(path):
    assert not any(name.split(".")[0] == "torch" for name in imported(path))


def test_tests_reference_is_never_imported_by_the_library():
    assert not any(name.split(".")[0] == "tests" for path in MODULES for name in imported(path))
