"""What the probe found out, for the steps that come after it."""

import json
from pathlib import Path
from typing import Any

from landscape_lib.core.errors import InputError
from landscape_lib.core.plan import Plan


def read_probe(path: Path | str) -> dict[str, Any]:
    """Read a ``probe.json``.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        Plan(**found["plan"])
        float(found["seconds_per_point"]), list(found["keys"]), dict(found["problem"])
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; run the probe first.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: it is damaged ({error}). Remove it and type the same command again."
        ) from None
    return found
