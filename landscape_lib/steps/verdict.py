"""How a run's surface and what was measured at its centre become its verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landscape_lib.config import Experiment
from landscape_lib.core.files import write_text
from landscape_lib.steps.report import reading
from landscape_lib.steps.shapes import CentreShape, refuse_strange
from landscape_lib.utils.records import read_record
from landscape_lib.utils.storage import load_surface
from landscape_lib.verdict.evidence import Evidence
from landscape_lib.verdict.judge import as_json, judge, tell
from landscape_lib.verdict.page import page


def make_verdict(experiment: Experiment, out: Path | str, readable: Path | str) -> None:
    """Judge a run's surface; write the verdict as JSON and as a page, and log it.

    Args:
        experiment: The run, with ``surface.h5`` and ``centre.json`` in its folder.
        out: The JSON file.
        readable: The page.
    """
    figures = experiment.figures
    evidence = Evidence(
        experiment.name,
        load_surface(experiment.path("surface.h5")),
        read_centre(experiment.path("centre.json")),
        (figures.vmin, figures.vmax),
    )
    verdict = judge(evidence)
    tell(verdict)
    write_text(readable, page(verdict))
    write_text(out, as_json(verdict))


def read_centre(path: Path) -> Mapping[str, Any]:
    """Read a ``centre.json``.

    Raises:
        InputError: If it is missing or damaged.
    """
    with reading(path, "measure_centre"):
        found = read_record(path)
        refuse_strange(found, CentreShape)
    return found
