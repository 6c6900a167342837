"""docs/traps.md names, for every fault of earlier tools, tests that are there and show it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = range(1, 41)
NOT_YET: set[int] = set()


def numbers_of(test):
    """Read what a test's name ends in: ``_trap_4``, ``_traps_1_and_2``, ``_traps_1_2_and_4``."""
    found = re.search(r"_trap_\d+$|_traps_\d+(_\d+)*_and_\d+$", test)
    return {int(number) for number in re.findall(r"\d+", found[0])} if found else set()


def names_below(root):
    """Return every test function as ``file::test``."""
    return {
        f"{path.relative_to(root).as_posix()}::{node.name}"
        for path in (root / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def rows_of(table):
    """Return number and named tests of every row, in order."""
    rows = re.findall(r"^\| *(\d+) *\|(.*)\|$", table, re.MULTILINE)
    return [(int(number), set(re.findall(r"`([^`]*::[^`]*)`", row))) for number, row in rows]


def faults(table, tests, numbers=NUMBERS, not_yet=NOT_YET):
    """Say in what table and tests do not agree."""
    rows = rows_of(table)
    found = [] if [number for number, _ in rows] == [*numbers] else ["the rows are not 1, 2, 3 ..."]
    for number, named in rows:
        marked = {test for test in tests if number in numbers_of(test)}
        found += [f"row {number}: there is no {test}" for test in sorted(named - tests)]
        found += [
            f"row {number}: {test} has another number" for test in sorted(named & tests - marked)
        ]
        found += [f"row {number}: {test} is missing" for test in sorted(marked - named)]
        if not named and number not in not_yet:
            found.append(f"row {number}: no test shows it")
    for test in sorted(tests):
        if not numbers_of(test) <= {*numbers}:
            found.append(f"{test}: there is no such row")
        if re.search(r"_traps?_\d", test) and not numbers_of(test):
            found.append(f"{test}: its name must end in _trap_1, _traps_1_and_2, _traps_1_2_and_3")
    return found


def test_every_fault_of_earlier_tools_has_a_row_and_tests_that_are_there():
    found = faults((ROOT / "docs" / "traps.md").read_text(encoding="utf-8"), names_below(ROOT))
    assert not found, "\n".join(found)


SMALL = """
| number | what earlier tools do | what this one does | shown by |
| --- | --- | --- | --- |
| 1 | \\|d\\| | | `tests/test_a.py::test_one_trap_1` `tests/test_a.py::test_both_traps_1_and_2` |
| 2 | this | that | `tests/test_a.py::test_both_traps_1_and_2` |
| 3 | this | not yet | |
"""
TESTS = {
    "tests/test_a.py::test_one_trap_1",
    "tests/test_a.py::test_both_traps_1_and_2",
    "tests/test_a.py::test_of_something_else",
}
ROWS = SMALL.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("table", "tests", "told"),
    [
        (SMALL, TESTS, []),
        ("".join(ROWS[:4] + ROWS[5:]), TESTS, ["the rows are not 1, 2, 3 ..."]),
        (SMALL + ROWS[-1], TESTS, ["the rows are not 1, 2, 3 ..."]),
        (
            SMALL,
            TESTS - {"tests/test_a.py::test_one_trap_1"},
            ["row 1: there is no tests/test_a.py::test_one_trap_1"],
        ),
        (
            SMALL,
            TESTS | {"tests/test_b.py::test_new_trap_2"},
            ["row 2: tests/test_b.py::test_new_trap_2 is missing"],
        ),
        (
            SMALL.replace("not yet | |", "not yet | `tests/test_a.py::test_of_something_else` |"),
            TESTS,
            ["row 3: tests/test_a.py::test_of_something_else has another number"],
        ),
        (
            SMALL.replace("`tests/test_a.py::test_both_traps_1_and_2` |\n| 3", " |\n| 3"),
            TESTS,
            [
                "row 2: tests/test_a.py::test_both_traps_1_and_2 is missing",
                "row 2: no test shows it",
            ],
        ),
        (
            SMALL,
            TESTS | {"tests/test_a.py::test_x_trap_7"},
            ["tests/test_a.py::test_x_trap_7: there is no such row"],
        ),
        (
            SMALL,
            TESTS | {"tests/test_a.py::test_x_trap_1_and_2"},
            [
                "tests/test_a.py::test_x_trap_1_and_2: its name must end in _trap_1, "
                "_traps_1_and_2, _traps_1_2_and_3"
            ],
        ),
    ],
    ids=[
        "right", "row gone", "row twice", "test gone", "test not listed", "other number",
        "no test", "no such row", "spelling",
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_the_tests_is_noticed(table, tests, told):
    assert faults(table, tests, numbers=range(1, 4), not_yet={3}) == told


def test_numbers_stand_at_the_end_of_a_name():
    assert numbers_of("test_a_sentence_traps_1_12_and_40") == {1, 12, 40}
    assert numbers_of("test_a_sentence_trap_4") == {4}
    assert numbers_of("test_trap_4_is_avoided") == set()
