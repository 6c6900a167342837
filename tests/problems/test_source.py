"""The hash of a user's code changes with what it does, and with nothing else; nothing is run."""

import os
import sys

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.problems.source import code_hash, locate, split_name

MAIN = """import helper
import package.deep.thing
from package import *
def f(x):
    return x + helper.one
"""
TREE = {
    "main.py": MAIN,
    "helper.py": "import os, numpy\none = 1\n",
    "unused.py": "pass",
    "package/__init__.py": "constant = 1\n",
    "package/deep/__init__.py": "",
    "package/deep/thing.py": (
        "from . import sibling\nfrom .. import constant\n"
        "from ..uncle import x\nfrom .cousin import y as z\n"
    ),
    "package/deep/sibling.py": "s = 1",
    "package/deep/cousin.py": "y = 1",
    "package/uncle.py": "x = 1",
    "package/alone.py": "def g():\n    return 1\n",
}


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    """The user's folder."""
    monkeypatch.chdir(tmp_path)
    for name, code in TREE.items():
        write(tmp_path / name, code)
    return tmp_path


TICKS = iter(range(1, 10**6))


def write(path, code):
    """Write a file with a time that no other has: two may fall into one tick."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    os.utime(path, ns=(0, 10**18 + next(TICKS)))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("main.py", "# a comment\n" + MAIN.replace("\n", "  # why\n\n")),
        ("main.py", '"""Words."""\n' + MAIN.replace("(x):\n", '(x):\n    """Words."""\n')),
        ("main.py", MAIN.replace("x + helper.one", "(x  +  helper . one)")),
        ("helper.py", '"""Words."""\n' + TREE["helper.py"]),
        ("unused.py", "x = 3"),
        ("package/alone.py", "x = 3"),
    ],
)
def test_words_and_what_is_not_imported_do_not_count(name, code, tree):
    before = code_hash("main.py")
    write(tree / name, code)
    assert code_hash("main.py") == before


@pytest.mark.parametrize(
    "name", [name for name in TREE if name not in {"unused.py", "package/alone.py"}]
)
def test_every_local_module_that_is_imported_counts(name, tree):
    before = code_hash("main.py")
    write(tree / name, TREE[name] + "\nchanged = 2\n")
    assert code_hash("main.py") != before


@pytest.mark.parametrize("name", ["package/alone.py", "package/__init__.py"])
def test_the_package_around_a_module_counts_because_importing_runs_it(name, tree):
    before = code_hash("package.alone")
    write(tree / name, TREE[name] + "\nchanged = 2\n")
    assert code_hash("package.alone") != before


def test_a_function_that_is_all_docstring_is_one_that_passes(tree):
    write(tree / "a.py", 'def f():\n    """Words."""\n')
    write(tree / "b.py", "def f():\n    pass\n")
    write(tree / "c.py", "def f():\n    return 0\n")
    assert code_hash("a.py") == code_hash("b.py") != code_hash("c.py")


def test_the_place_of_the_folder_does_not_count(tree, tmp_path_factory, monkeypatch):
    before = code_hash("main.py")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name, code in TREE.items():
        write(elsewhere / name, code)
    monkeypatch.chdir(elsewhere)
    assert code_hash("main.py") == before


@pytest.mark.parametrize(
    "imported", ["numpy", "torch", "json", "landscape_lib", "landscape_lib.core.grid", "sys"]
)
def test_installed_packages_and_this_library_do_not_count(imported, tree):
    from landscape_lib.problems.source import _closure

    write(tree / "user.py", f"import {imported}\n")
    assert _closure((tree / "user.py").resolve()) == {(tree / "user.py").resolve()}


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_packages_of_another_environment_do_not_count(folder, tmp_path, monkeypatch):
    """Hashing all of torch takes minutes."""
    other = tmp_path / "another" / "lib" / folder
    other.mkdir(parents=True)
    (other / "installed_there.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(other)
    (tmp_path / "mine.py").write_text("import installed_there\n")
    before = code_hash(str(tmp_path / "mine.py"))
    (other / "installed_there.py").write_text("x = 2\n")
    assert code_hash(str(tmp_path / "mine.py")) == before


def test_an_import_inside_a_function_or_a_try_counts(tree):
    write(
        tree / "user.py",
        "def f():\n    try:\n        import helper\n    except ImportError:\n        import no\n",
    )
    before = code_hash("user.py")
    write(tree / "helper.py", "one = 2")
    assert code_hash("user.py") != before


def test_modules_that_import_each_other_come_to_an_end(tree):
    write(tree / "a.py", "import b")
    write(tree / "b.py", "import a")
    assert code_hash("a.py") == code_hash("a.py")


def test_nothing_is_run_by_hashing_it(tree):
    modules = set(sys.modules)
    for name in ("main.py", "helper.py", "package/__init__.py"):
        write(tree / name, TREE[name] + "\nopen('i_was_run', 'w')\nraise SystemExit\n")
    code_hash("main.py")
    code_hash("package.alone")
    assert not (tree / "i_was_run").exists()
    assert {
        name
        for name in set(sys.modules) - modules
        if name.split(".")[0] in {"main", "helper", "package"}
    } == set()


def test_what_does_not_parse_is_named_with_its_line(tree):
    write(tree / "helper.py", "one = 1\ntwo = = 2\n")
    with pytest.raises(InputError, match=r"helper\.py, line 2: this is not Python: invalid syntax"):
        code_hash("main.py")


def test_a_name_is_split_at_its_last_colon():
    assert split_name("a/b.py:f") == ("a/b.py", "f")
    assert split_name("C:/a/b.py:f") == ("C:/a/b.py", "f")
    assert split_name("a.b:f") == ("a.b", "f")


def test_a_module_is_found_by_path_or_dotted_name(tree):
    assert (
        locate("package/alone.py").resolve()
        == locate("package.alone").resolve()
        == tree / "package/alone.py"
    )
    assert locate("package").resolve() == tree / "package/__init__.py"
