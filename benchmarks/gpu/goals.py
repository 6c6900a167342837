"""What was to be reached, beside what was: every row's goals, and all of them in one table."""

import re
from collections.abc import Iterable, Sequence

from benchmarks.table import Table

TITLE = "Goals"
HEADER = ("what", "goal", "measured", "what bounds it")
NOTE = "The goals are for one H200; what is measured elsewhere stands beside them all the same."


def reached(*lines: Sequence[str]) -> Table:
    """Return the table of a row's goals: what, the goal, what was measured, what bounds it."""
    return Table(TITLE, HEADER, lines)


def together(sections: Iterable[str]) -> Table:
    """Return one table of the goals that sections of the file tell."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for section in sections
        for table in re.findall(rf"^### {TITLE}\n\n((?:\|.*\n)+)", section, re.MULTILINE)
        for line in table.splitlines()[2:]
    ]
    return Table("All goals", HEADER, lines, NOTE)
