"""How evidence becomes a verdict: every question asked, every number told."""

import json
import logging
from dataclasses import asdict
from typing import Any

from landscape_lib.verdict import averages, centre, norms, plane, texture
from landscape_lib.verdict.evidence import Check, Evidence
from landscape_lib.verdict.numbers import numbers

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
QUESTIONS = (
    centre.is_the_model,
    centre.is_a_minimum,
    plane.other_models,
    centre.gradient,
    centre.curvature,
    plane.angle,
    plane.extent,
    averages.averages,
    texture.finite,
    texture.interpolated,
    norms.batch_norms,
    texture.bumps,
    texture.scale,
    texture.resolution,
)

Verdict = dict[str, Any]


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict, as ``verdict.json`` holds it: the same for the same evidence."""
    asked = [question(evidence) for question in QUESTIONS]
    checks: list[Check] = [check for check in asked if check is not None]
    return {
        "format": "landscape verdict",
        "version": FORMAT_VERSION,
        "run": evidence.run,
        "checks": [asdict(check) for check in checks],
        "numbers": [asdict(number) for number in numbers(evidence)],
        "suggested_range": {
            name: list(limits) for name, limits in plane.suggested_range(evidence).items()
        },
    }


def as_json(verdict: Verdict) -> str:
    """Return a verdict as JSON; it has no NaN: what has no value is null."""
    return json.dumps(verdict, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def tell(verdict: Verdict) -> None:
    """Log every line of a verdict, warnings as warnings."""
    for check in verdict["checks"]:
        level = logging.WARNING if check["state"] == "warning" else logging.INFO
        advice = f" {check['do']}" if check["do"] else ""
        log.log(level, "%-7s %s %s%s", check["state"], check["title"], check["found"], advice)
