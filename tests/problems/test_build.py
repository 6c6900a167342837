"""A problem is built by its name, or one sentence says what is wrong with it."""

import sys

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, prepare
from landscape_lib.problems.build import UserCodeError, build_problem, call, load_function

GOOD = """
import torch
from torch import nn
from landscape_lib import InputError, Problem

def build(width=2, samples=4):
    data = (torch.zeros(samples, width), torch.zeros(samples, dtype=torch.long))
    return Problem(nn.Linear(width, 3), data)

def nothing():
    return None

def raises(checkpoint):
    raise KeyError("state_dict")

def says():
    raise InputError("width must be even")

def leaves():
    raise SystemExit(0)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of the user's own, and nothing of it left in the interpreter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def good(here):
    """The problem file."""
    (here / "user_good.py").write_text(GOOD)


@pytest.mark.parametrize("name", ["user_good.py:build", "user_good:build", "./user_good.py:build"])
def test_a_problem_is_built_from_a_file_or_a_module_with_its_arguments(name, good):
    problem = build_problem(name, {"width": 5})
    assert problem.model.in_features == 5
    assert "train_acc" in Evaluator(problem.model, problem.metrics, prepare(problem.data))(
        problem.model
    )


def test_a_file_imports_its_neighbours_and_is_run_once(here):
    (here / "sub").mkdir()
    (here / "sub/user_neighbour.py").write_text("answer = 42")
    (here / "sub/user_main.py").write_text(
        "import user_neighbour\nruns = []\nruns.append(1)\n"
        "def f(): return user_neighbour.answer, len(runs)"
    )
    assert call("sub/user_main.py:f", {}) == (42, 1)
    assert call("sub/user_main.py:f", {}) == (42, 1)


def test_files_of_one_name_in_two_folders_do_not_hide_each_other(here):
    for folder in ("one", "two"):
        (here / folder).mkdir()
        (here / folder / "user_same.py").write_text(f"def f(): return {folder!r}")
    assert [call(f"{folder}/user_same.py:f", {}) for folder in ("one", "two", "one")] == [
        "one",
        "two",
        "one",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "none.py:build",
            r"none\.py: there is no such file .*relative to the folder in which you type",
        ),
        (
            "no_such_module:build",
            r"no_such_module: there is no such module .*Give a path that ends in \.py",
        ),
        ("torch.no_such:build", "there is no such module"),
        ("user_good.py", "names no function; wanted 'path/to/file.py:function'"),
        ("user_good.py:", "names no function"),
        (":build", "names no function"),
        ("user_good.py:not a name", "names no function"),
        ("user_good.py:biuld", "no function 'biuld' in it; it has .*build, nothing, raises"),
        (
            "user_good.py:nothing",
            r"user_good.py:nothing returned a NoneType; it must return a landscape_lib.Problem",
        ),
        ("user_good.py:says", "^width must be even$"),
    ],
)
def test_a_name_that_leads_nowhere_says_where_it_should(name, message, good):
    with pytest.raises(InputError, match=message):
        build_problem(name, {})


@pytest.mark.parametrize(
    ("function", "args", "message", "cause"),
    [
        (
            "raises",
            {"checkpoint": "m.pt"},
            r"raises\(checkpoint='m.pt'\) raised KeyError: 'state_dict'",
            KeyError,
        ),
        (
            "build",
            {"wdith": 3},
            r"raised TypeError: .*unexpected keyword argument 'wdith'",
            TypeError,
        ),
        ("leaves", {}, r"leaves\(\) raised SystemExit: 0", SystemExit),
    ],
)
def test_what_the_users_code_raises_is_told_and_kept_as_the_cause(
    function, args, message, cause, good
):
    with pytest.raises(UserCodeError, match=message) as told:
        build_problem(f"user_good.py:{function}", args)
    assert isinstance(told.value.__cause__, cause)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import no_such_thing",
            "importing it raised ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("1 / 0", "importing it raised ZeroDivisionError"),
        ("def f(:", "importing it raised SyntaxError"),
        ("import sys; sys.exit(0)", "importing it raised SystemExit: 0"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why_and_leaves_no_half_of_itself(code, message, here):
    (here / "user_bad.py").write_text(code)
    with pytest.raises(UserCodeError, match=message):
        load_function("user_bad.py:f")
    assert "user_bad" not in sys.modules


def test_a_problem_without_samples_is_refused_before_anything_is_evaluated(good):
    problem = build_problem("user_good.py:build", {"samples": 0})
    with pytest.raises(InputError, match="The train data are empty"):
        prepare(problem.data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("None, (t, t)", "Problem.model is a NoneType; it must be a torch.nn.Module"),
        ("nn.Linear(1, 1), (t, t), {}", "Problem.metrics is an empty dict"),
        (
            "nn.Linear(1, 1), (t, t), 3",
            "Problem.metrics is a int; it must be a loss module, a dict",
        ),
        (
            "nn.Linear(1, 1), (t, t), splits=(t, t)",
            "Problem.splits is a tuple; it must be a dict of data",
        ),
        (
            "nn.Linear(1, 1), (t, t), splits={1: (t, t)}",
            "The split name 1 is refused: a name must be text",
        ),
        ("nn.Linear(1, 1), (t, t), splits={'train': (t, t)}", "A split is called 'train', which"),
        (
            "nn.Linear(1, 1), (t, t), splits={'test': (t, t), 'test_loss': (t, t)}",
            "A split is called 'test_loss': its metrics could not be told from those of 'test'",
        ),
        (
            "nn.Linear(1, 1), (t, t), splits={'train_loss_b': (t, t)}",
            "A split is called 'train_loss_b': its metrics could not be told from those of 'train'",
        ),
    ],
)
def test_a_problem_checks_itself_at_birth(arguments, message, here):
    (here / "user_p.py").write_text(
        "import torch\nfrom torch import nn\nfrom landscape_lib import Problem\n"
        f"t = torch.zeros(1)\ndef f(): return Problem({arguments})"
    )
    with pytest.raises(InputError, match=message):
        build_problem("user_p.py:f", {})
