"""What a landscape looks like in a browser: one HTML file to explore it with, offline."""

import base64
import hashlib
import html
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from plotly.offline import get_plotlyjs

from landscape_lib.core.errors import InputError
from landscape_lib.core.failures import sentence
from landscape_lib.core.files import write_text
from landscape_lib.core.gap import with_gaps
from landscape_lib.core.geometry import is_wide
from landscape_lib.core.surface import Surface, Trajectory
from landscape_lib.viz.asked import DEFAULT_FILE
from landscape_lib.viz.axis_names import axis_name
from landscape_lib.viz.figures import best_place, name_of
from landscape_lib.viz.style import PLAIN_LOOK, choose_scale, number_text
from landscape_lib.viz.told import plain
from landscape_lib.viz.units import in_drawable_units

CMAPS = ("viridis", "cividis", "plasma", "inferno", "magma")  # perceptually uniform, all of them
COLOURS = 33  # of each map; the browser interpolates between them
EXACT_VALUES = 1_500_000  # up to so many in a page are kept as float64, 10 bytes each at most
MOST_VALUES = (
    4_000_000  # up to so many as float32, 5 bytes each at most; beyond, steps are left out
)
LONGEST_CURVE = 20_000  # steps of a curve in a page: a browser draws a million for a minute
STATES = ("good", "note", "warning", "unknown")
KNOWN = "run date fingerprint seed cosine directions config versions git_revision".split()

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("numbers.js", "landscape.js", "pictures.js", "words.js", "moments.js", "page.js")


@dataclass(frozen=True)
class Entry:
    """One run as the page shows it.

    Attributes:
        name: What the run is called.
        surface: Its surface, or its curve.
        verdict: What ``verdict.json`` holds; None where there is none.
    """

    name: str
    surface: Surface
    verdict: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.verdict is not None:
            _check_verdict(self.name, self.verdict)


def write_explorer(
    entries: Sequence[Entry], path: Path | str, cmap: str = CMAPS[0], *, series: str = ""
) -> Path:
    """Write one HTML file that shows the runs, whole or not at all; equal data, equal bytes.

    The file holds its data and plotly.js, and its content security policy forbids every request.
    Values are kept as float64; where all runs together have more than 1.5 million, as float32;
    beyond 4 million, evenly spaced steps of the surfaces are left out.  Of a curve there are at
    most 20,000 steps, among them, piece by piece, those where a metric is lowest and highest, and
    where it is not finite; of a series, evenly spread ones.  The page says each of these.

    Args:
        entries: The runs, at least one; with several the page has a menu of them.
        path: Where the file goes; folders are made where they are missing.
        cmap: The colours to begin with, one of ``CMAPS``.
        series: What the runs are together, where they are moments of one training: a slider goes
            through them, all with the same scale, colours and clip.

    Returns:
        The path.

    Raises:
        InputError: If there is no run, two have one name, there is no such colour map, or runs of
            a series differ in grid or metrics.
    """
    write_text(path, explorer_page(entries, cmap, series=series))
    return Path(path)


def explore(
    surf_file: Surface | Path | str, cmap: str = CMAPS[0], *, prefix: Path | str | None = None
) -> Path:
    """Write ``<surf_file>_explorer.html``, a page to explore a surface or a curve with.

    Args:
        surf_file: A surface file, of ours or of an earlier tool, or a ``Surface``.
        cmap: The colours to begin with, one of ``CMAPS``.
        prefix: What the file's name begins with, in place of ``surf_file``.

    Returns:
        The path.

    Raises:
        InputError: If there is no such file or colour map.
    """
    from landscape_lib.utils.storage import load_surface  # HDF5 only where a file is read

    in_memory = isinstance(surf_file, Surface)
    surface = surf_file if isinstance(surf_file, Surface) else load_surface(surf_file)
    stem = prefix or (DEFAULT_FILE if in_memory else str(surf_file))
    name = str(surface.attributes.get("run") or Path(str(stem)).name)
    return write_explorer([Entry(name, with_gaps(surface))], f"{stem}_explorer.html", cmap)


def explorer_page(entries: Sequence[Entry], cmap: str = CMAPS[0], *, series: str = "") -> str:
    """Return the page that ``write_explorer`` writes.

    Raises:
        InputError: As ``write_explorer``.
    """
    _refuse(entries, cmap)
    entries = _drawable(entries, together=bool(series))
    shared = _shared(entries) if series else {}
    stride, exact = _economy(entries)
    told = [_Told.of(n, entry, stride, exact, shared) for n, entry in enumerate(entries)]
    data = {
        "series": series,
        "cmaps": {name: _colours(name) for name in CMAPS},
        "cmap": cmap,
        "runs": [entry.words for entry in told],
    }
    blocks = {"plotly": _packed_plotly()}
    for entry in told:
        blocks |= entry.blocks
    names = series or ", ".join(entry.name for entry in entries)
    script = "".join(_part(name) for name in _SCRIPTS)
    return _filled(
        _part("page.html"),
        {
            "policy": _policy(script),
            "title": html.escape(_unicode(f"{names} – loss landscape")),
            "style": _part("page.css"),
            "data": _harmless(data),
            "blocks": "\n".join(_block(name, packed) for name, packed in blocks.items()),
            "script": script,
        },
    )


def _refuse(entries: Sequence[Entry], cmap: str) -> None:
    names = [entry.name for entry in entries]
    if not names or len(set(names)) < len(names):
        raise InputError(f"The runs are {names}; wanted at least one, each with its own name.")
    if cmap not in CMAPS:
        raise InputError(f"Unknown colour map {cmap!r}; choose one of {list(CMAPS)}.")


def _drawable(entries: Sequence[Entry], *, together: bool) -> list[Entry]:
    """Return runs with values in units that can be drawn, those of a series in the same ones."""
    found = []
    for group in [entries] if together else [[entry] for entry in entries]:
        surfaces = [entry.surface for entry in group]
        for key in surfaces[0].keys:
            surfaces, _ = in_drawable_units(surfaces, key, PLAIN_LOOK)
        pairs = zip(group, surfaces, strict=True)
        found += [replace(entry, surface=surface) for entry, surface in pairs]
    return found


def _shared(entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Return every value of each metric, of all moments of a series.

    Raises:
        InputError: If they differ in grid or metrics.
    """
    first = entries[0].surface
    for entry in entries:
        if entry.surface.grid != first.grid or entry.surface.keys != first.keys:
            raise InputError(
                f"{entry.name!r} has the grid {entry.surface.grid.axes} and the metrics "
                f"{list(entry.surface.keys)}, {entries[0].name!r} has {first.grid.axes} and "
                f"{list(first.keys)}; the moments of a training share them."
            )
    return {
        key: np.concatenate([entry.surface[key].ravel() for entry in entries]) for key in first.keys
    }


def _economy(entries: Sequence[Entry]) -> tuple[int, bool]:
    """Return which steps of surfaces are kept, every so-and-so-many-th, and whether as float64."""
    total = sum(entry.surface.grid.size * len(entry.surface.keys) for entry in entries)
    return max(1, math.ceil(math.sqrt(total / MOST_VALUES))), total <= EXACT_VALUES


@dataclass(frozen=True)
class _Told:
    """One run in words (JSON) and numbers (packed blocks)."""

    words: Mapping[str, Any]
    blocks: Mapping[str, str]

    @classmethod
    def of(
        cls,
        number: int,
        entry: Entry,
        stride: int,
        exact: bool,
        shared: Mapping[str, np.ndarray],
    ) -> "_Told":
        surface = entry.surface
        kept = _kept(surface, stride, even=bool(shared))
        blocks: dict[str, str] = {}
        metrics = []
        for place, key in enumerate(surface.keys):
            values = surface[key][np.ix_(*kept)]
            single = not exact and _fits_single(values)
            block = f"values-{number}-{place}"
            blocks[block] = _packed(values.astype("<f4" if single else "<f8").tobytes())
            told = _metric(surface, key, shared.get(key))
            metrics.append({**told, "block": block, "single": single})
        steps = [axis.steps()[own] for axis, own in zip(surface.grid.axes, kept, strict=True)]
        words = {
            "name": entry.name,
            "axes": [own.tolist() for own in steps],
            "measured": list(surface.grid.shape),
            "metrics": metrics,
            "provenance": _provenance(surface.attributes),
            "verdict": None if entry.verdict is None else _verdict(entry.verdict),
            "names": [axis_name(surface.attributes, n) for n in range(len(surface.grid.axes))],
            "trajectories": [_path(way) for way in surface.trajectories],
            "evaluated": _evaluated(surface),
        }
        return cls(words, blocks)


def _kept(surface: Surface, stride: int, *, even: bool) -> list[np.ndarray]:
    """Return which steps of each axis are in the page.

    Of a surface every so-many-th, and both ends; of a curve all, or those that show its shape.
    """
    counts = surface.grid.shape
    if len(counts) > 1:
        return [np.unique(np.append(np.arange(0, n, stride), n - 1)) for n in counts]
    if counts[0] <= LONGEST_CURVE:
        return [np.arange(counts[0])]
    if even:
        return [np.linspace(0, counts[0] - 1, LONGEST_CURVE).round().astype(int)]
    return [_telling(surface)]


def _telling(surface: Surface) -> np.ndarray:
    """Return the steps of a long curve between which nothing is higher, lower or missing.

    Of each piece: of each metric the lowest, the highest and the first value that is not finite;
    and both ends, and the trained model.
    """
    count = surface.grid.size
    pieces = LONGEST_CURVE // (3 * len(surface.keys) + 1)  # at least one: keys are some dozens
    ends = np.linspace(0, count, max(pieces, 1) + 1).astype(int)
    found = [0, count - 1, *np.flatnonzero(surface.grid.axes[0].steps() == 0)]
    for values in surface.values.values():
        for first, last in pairwise(ends.tolist()):
            piece = values[first:last]
            finite = np.isfinite(piece)
            if finite.any():
                found.append(first + np.where(finite, piece, np.inf).argmin())
                found.append(first + np.where(finite, piece, -np.inf).argmax())
            if not finite.all():
                found.append(first + finite.argmin())
    return np.unique(found)


def _fits_single(values: np.ndarray) -> bool:
    """Tell whether float32 keeps every finite value finite, and none but 0 becomes 0."""
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype(np.float32)
    return bool(np.array_equal(np.isfinite(single), np.isfinite(values))) and bool(
        np.array_equal(single == 0, values == 0)
    )


def _metric(surface: Surface, key: str, shared: np.ndarray | None) -> dict[str, Any]:
    label, values = surface.labels[key], surface[key]
    scale = choose_scale(values if shared is None else shared, PLAIN_LOOK, label)
    clip = {"max": scale.levels[-1], "min": scale.levels[0]}.get(scale.extend)
    place = best_place(surface, key)
    best = None
    if place is not None:
        steps = zip(surface.grid.axes, place, strict=True)
        point = [float(axis.steps()[i]) for axis, i in steps]
        best = {"point": point, "value": float(values[place])}
    return {
        "key": key,
        "name": label.long_name,
        "units": label.units,
        "goal": label.goal,
        "note": label.note,
        "log": scale.log,
        "clip": clip,
        "best": best,
        "shared": None if shared is None else _extremes(shared),
    }


def _extremes(values: np.ndarray) -> dict[str, float | None]:
    """Return the lowest, the lowest positive and the highest finite value; null where none is."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    return {
        "low": float(finite.min()) if finite.size else None,
        "lowPositive": float(positive.min()) if positive.size else None,
        "high": float(finite.max()) if finite.size else None,
    }


def _evaluated(surface: Surface) -> list[str]:
    """Say which points were evaluated, and how far others may be off; nothing where all were."""
    said = []
    if surface.failed is not None:
        count, every = int(surface.failed.sum()), surface.failed.size
        said.append(sentence(count, every, surface.failures).rstrip("."))
    if surface.computed is None:
        return said
    said += [
        f"{surface.evaluated:,} of {surface.grid.size:,} points were evaluated, the others are "
        "interpolated"
    ]
    for key in surface.keys:
        log = is_wide(surface[key], surface.labels[key].units)
        off = surface.typical_error(key, relative=log)
        if off is not None:
            size = f"{number_text(100 * off, 2)} %" if log else number_text(off, 2)
            name = name_of(surface.labels[key])
            said.append(f"{name}: interpolated to ±{size} at a typical point")
    return said


def _path(way: Trajectory) -> dict[str, Any]:
    """Return a training's steps [alpha, beta]; one that left all bounds has no place."""
    steps = np.column_stack([way.alpha, way.beta])
    placed = np.isfinite(steps).all(axis=1)
    off = None if way.distance is None else [*map(_finite, way.distance[placed].tolist())]
    return {"name": way.name, "steps": steps[placed].tolist(), "off": off}


def _provenance(attributes: Mapping[str, Any]) -> list[list[str]]:
    """Return name and text of every attribute, those that matter most first."""
    names = [name for name in KNOWN if name in attributes]
    names += sorted(set(attributes) - set(names))
    return [[name, _text(attributes[name])] for name in names]


def _text(value: Any) -> str:
    found = plain(value)
    return found if isinstance(found, str) else json.dumps(found, sort_keys=True)


def _check_verdict(name: str, verdict: Mapping[str, Any]) -> None:
    """Refuse what is no verdict.

    Raises:
        InputError: If it is another format, or a part is not as the format has it.
    """
    found = (verdict.get("format"), verdict.get("version"))
    if found != ("landscape verdict", 1):
        raise InputError(
            f"{name}: the verdict's format and version are {found}; wanted 'landscape verdict', 1. "
            "Make it again."
        )
    for part, needed in (("checks", {"state", "title"}), ("numbers", {"name", "value"})):
        rows = verdict.get(part)
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and needed <= set(row) for row in rows
        ):
            raise InputError(
                f"{name}: {part!r} of the verdict must be a list of objects with {sorted(needed)}. "
                "Make the verdict again."
            )
    states = {str(row["state"]) for row in verdict["checks"]} - set(STATES)
    if states:
        raise InputError(
            f"{name}: the verdict has the states {sorted(states)}; known are {list(STATES)}."
        )


def _verdict(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of it, every entry a text but numbers, which may be null."""
    checks = [_texts(row, ("state", "title", "found", "why", "do")) for row in verdict["checks"]]
    words = ("name", "key", "units", "definition", "source")
    numbers = [{**_texts(row, words), "value": _finite(row["value"])} for row in verdict["numbers"]]
    return {"checks": checks, "numbers": numbers}


def _texts(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    return {name: _text(row.get(name) or "") for name in names}


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _colours(name: str) -> list[str]:
    return [to_hex(colour) for colour in matplotlib.colormaps[name](np.linspace(0, 1, COLOURS))]


@cache
def _packed_plotly() -> str:
    return _packed(get_plotlyjs().encode())


def _packed(content: bytes) -> str:
    # Without name and date in its head, as zlib makes it, gzip of equal bytes has equal bytes.
    return base64.b64encode(zlib.compress(content, 9, wbits=31)).decode()


def _part(name: str) -> str:
    return (_PAGE / name).read_text("utf-8")


def _policy(script: str) -> str:
    """Return the content security policy: this script, plotly.js out of a blob, and no request.

    Images are those that plotly's camera button makes; plotly.js writes its styles into the page.
    """
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{own}' blob:",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _harmless(data: Any) -> str:
    """Return JSON that no HTML parser takes for markup."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})


def _unicode(text: str) -> str:
    """Replace halves of surrogate pairs, which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode()


def _block(name: str, packed: str) -> str:
    return f'<script type="application/gzip" id="{name}">{packed}</script>'


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """Put parts at their ``{{name}}``, in one pass: what a part says is never taken for a name."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)
