"""What the probe found out, for the steps that come after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from landscape_lib.core.errors import InputError
from landscape_lib.core.plan import Plan
from landscape_lib.steps.shapes import ProbeShape, refuse_strange
from landscape_lib.utils.records import read_record


def read_probe(path: Path | str) -> dict[str, Any]:
    """Read a ``probe.json``.

    Raises:
        InputError: If it is missing or damaged.
    """
    with reading(path, "the probe"):
        found = read_record(path)
        refuse_strange(found, ProbeShape)
        Plan(**found["plan"])
    return found


@contextmanager
def reading(path: Path | str, maker: str) -> Iterator[None]:
    """Read what an earlier step wrote; say so where it is missing or not what it should be.

    Args:
        path: The file.
        maker: The step that writes it.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; run {maker} first.") from error
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: it is damaged ({error}). Remove it and type the same command again."
        ) from None
