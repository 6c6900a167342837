"""How what was measured is told: tables in Markdown, and the file that keeps them."""

import datetime
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
TITLE = "# What was measured"
TOLD = (
    "Ratios are medians of the ratios of interleaved runs (A B A B ...). The machine is shared:\n"
    "rates come and go with its load, ratios much less. Nothing here is asserted by a test."
)


@dataclass(frozen=True)
class Table:
    """A table of ratios.

    Attributes:
        title: What it answers.
        header: Names of the columns.
        rows: Texts, as many a row as there are columns.
        note: What one must know to read it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"{self.title}: the row {row} has not {len(self.header)} columns.")

    def markdown(self) -> str:
        """Return the table as Markdown, padded so that it reads well on a terminal, too."""
        cells = [[_plain(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.header))]
        cells.insert(1, ["-" * width for width in widths])
        lines = [
            "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
            for row in cells
        ]
        note = [self.note, ""] if self.note else []
        return "\n".join([f"### {self.title}", "", *note, *lines, ""])


def _plain(cell: str) -> str:
    return " ".join(cell.replace("|", "/").split())


def machine() -> str:
    """Describe machine and versions, without a name or path of either."""
    import numpy as np
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    told = {
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory",
        "load before the start": f"{os.getloadavg()[0]:.1f}",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {np.__version__}, landscape_lib {revision()}",
    }
    return "\n".join(f"* {name}: {value}" for name, value in told.items())


def revision() -> str:
    """Return the revision that is checked out, and whether something was changed since."""
    from landscape_lib import __version__

    def git(*words: str) -> str:
        command = ["git", "-C", str(REPO), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = " with changes" if git("status", "--porcelain", "landscape_lib") else ""
        return f"{__version__} ({git('rev-parse', '--short', 'HEAD')}{changed})"
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _cpu() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"model name\s*: (.*)", told)
    return found[1] if found else platform.machine()


def section(name: str, tables: Sequence[Table], command: str, took: float, about: str) -> str:
    """Return what the file says of one row: its tables, and how and where they were measured."""
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    told = f"`{command}`, {when}, {took:.0f} s for this row\n\n{about}"
    return "\n".join([f"## {name}", "", told, "", *(table.markdown() for table in tables)])


def keep(
    path: Path,
    sections: dict[str, str],
    order: Sequence[str],
    title: str = TITLE,
    told: str = TOLD,
) -> None:
    """Write sections to the file; those of other rows that it has stay there."""
    kept = sections_of(path) | sections
    bodies = [kept[name].rstrip() for name in order if name in kept]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join([title, told, *bodies]) + "\n", encoding="utf-8")


def sections_of(path: Path) -> dict[str, str]:
    """Return the sections of a file by the names of their rows; none where there is no file."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = re.split(r"^## (.+)\n", old, flags=re.MULTILINE)[1:]
    return {name: f"## {name}\n{body}" for name, body in zip(parts[::2], parts[1::2], strict=True)}
