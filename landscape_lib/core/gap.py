"""How far other data are from the training data, at every point of a landscape."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from landscape_lib.core.errors import InputError
from landscape_lib.core.surface import STANDARD_ERROR, Surface

GAP = "gap"  # the ending of a gap's key and picture
TRAIN = "train"


def gaps(keys: Iterable[str]) -> dict[str, str]:
    """Return the metrics of other data that the training data have, too: ``test_loss``, by it.

    One whose key with ``_gap`` is another metric's has none: nothing can have two meanings.
    """
    known = list(keys)
    found: dict[str, str] = {}
    for base in known:
        what = base.removeprefix(TRAIN)
        if not base.startswith(f"{TRAIN}_"):
            continue
        others = [key for key in known if key.endswith(what) and not key.startswith(f"{TRAIN}_")]
        found |= {key: base for key in others if f"{key}_{GAP}" not in known}
    return found


def gap_of(surface: Surface, key: str) -> Surface:
    """Return what a metric of other data is above that of the training data, ``<key>_gap``.

    Its standard error is sqrt(s1^2 + s2^2), as the two are drawn independently of each other.  What
    interpolated values may be off by is the sum of what either may be.

    Raises:
        InputError: If the training data have no such metric; the message lists those they have.
    """
    pairs = gaps(surface.keys)
    if key not in pairs:
        raise InputError(
            f"There is no gap of {key!r}: it takes a metric of other data that the training data "
            f"have, too; here {sorted(pairs) or 'there is none. Give the problem splits'}."
        )
    base, own = pairs[key], f"{key}_{GAP}"
    labels = surface.labels
    told = replace(
        labels[key],
        long_name=f"{labels[key].long_name} \N{MINUS SIGN} {labels[base].long_name}",
    )
    with np.errstate(invalid="ignore"):
        values = surface[key] - surface[base]
    error = np.hypot(surface.standard_error(key), surface.standard_error(base))
    off = surface.errors
    return replace(
        surface,
        values={own: values},
        labels={own: told},
        beside={f"{STANDARD_ERROR}{own}": error},
        errors={own: off[key] + off[base]} if {key, base} <= off.keys() else {},
    )


def with_gaps(surface: Surface) -> Surface:
    """Return a surface with every gap as one more metric."""
    found = [surface, *(gap_of(surface, key) for key in gaps(surface.keys))]
    return replace(
        surface,
        values={key: array for one in found for key, array in one.values.items()},
        labels={key: label for one in found for key, label in one.labels.items()},
        beside={key: array for one in found for key, array in one.beside.items()},
        errors={key: array for one in found for key, array in one.errors.items()},
    )
