"""What is known of points at which evaluating failed, and went on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

OnError = Literal["stop", "nan"]
ON_ERROR = ("stop", "nan")
SHOWN = 20  # failures that a file tells of one by one
LONGEST = 300  # letters of a message that are kept
DIED = "ProcessDied"


@dataclass(frozen=True)
class Limits:
    """What becomes of points that cannot be evaluated.

    Attributes:
        on_error: ``stop``: the work ends there; ``nan``: the values of that point are NaN.
        seconds: That a point may take; None: as long as it takes.
    """

    on_error: OnError = "stop"
    seconds: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a point has no values.

    Attributes:
        kind: The exception's type; ``ProcessDied`` where the process ended in it.
        message: What the exception said.
        where: The innermost of the user's frames, as ``own.py, line 12, in metric``.
        ended: Whether the process ended with it: such a point is not tried again by itself.
        seconds: That the point might take, where it took longer.
    """

    kind: str
    message: str
    where: str = ""
    ended: bool = False
    seconds: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def __str__(self) -> str:
        told = f"{self.kind}: {self.message}" if self.message else self.kind
        return f"{told} ({self.where})" if self.where else told

    def holds(self, limits: Limits) -> bool:
        """Tell whether trying again would end the process again, as far as anybody knows.

        Whoever says ``stop``, or gives a point more time, wants it tried.
        """
        if not self.ended or limits.on_error != "nan":
            return False
        longer = self.seconds is not None and (limits.seconds or float("inf")) > self.seconds
        return not longer


def told_of(failures: Mapping[tuple[float, ...], Failure]) -> list[dict[str, Any]]:
    """Return the first failures as JSON has them, with where they were."""
    first = list(failures.items())[:SHOWN]
    return [{"at": list(point), **failure.plain()} for point, failure in first]


def sentence(count: int, of: int, told: Sequence[Mapping[str, Any]]) -> str:
    """Say how many points failed, and what the first one said."""
    said = f"{count:,} of {of:,} points failed; their values are NaN"
    if not told:
        return f"{said}."
    first = dict(told[0])
    at = first.pop("at")
    return f"{said}. The first, at {at}: {Failure(**first)}."


def cut(message: str) -> str:
    """Return the first line of a message, not too long."""
    line = message.strip().partition("\n")[0]
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def file_name_of(path: str) -> str:
    """Return a file as it is shown: relative to the working directory where it lies below it."""
    try:
        found = os.path.relpath(path)
    except (OSError, ValueError):
        return path
    return path if found.startswith("..") else found
