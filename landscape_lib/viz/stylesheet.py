"""What a matplotlib style sheet of the user's changes about the figures."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
from cycler import cycler
from matplotlib.font_manager import findfont, get_font

from landscape_lib.core.errors import InputError

INK = "#262626"
# Colours that people with any kind of colour vision tell apart (Okabe and Ito, 2008); the yellow is
# too faint for lines.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("-", "--", ":", "-.")
FONT = "DejaVu Sans"  # matplotlib's own, so there everywhere; what other fonts lack comes from it
SMALL = "small"  # of notes and numbers in contour lines, relative to font.size
SETTINGS: dict[str, Any] = {
    "font.family": [FONT],
    "font.size": 8,
    "axes.titlesize": "medium",
    "axes.labelsize": "medium",
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "ytick.minor.size": 1.5,
    "axes.edgecolor": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.prop_cycle": cycler(linestyle=DASHES) * cycler(color=OKABE_ITO),
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "landscape",
}


def style_sheet(style: str | Path | None) -> dict[str, Any]:
    """Return what a style sheet sets: nothing where there is none.

    Args:
        style: A file as matplotlib reads it, or a name among ``matplotlib.style.available``.

    Raises:
        InputError: If there is no such file or name, or a line of the file cannot be used.
    """
    if style is None:
        return {}
    if str(style) in matplotlib.style.library:
        return _plain(matplotlib.style.library[str(style)])
    if not Path(style).is_file():
        known = [name for name in matplotlib.style.available if not name.startswith("_")]
        near = get_close_matches(str(style), known)
        raise InputError(
            f"figures.style: there is no file {str(style)!r}, and matplotlib has no style of that "
            f"name; give a style sheet's path, or choose one of {near or known}."
        )
    return _read(Path(style))


def _read(path: Path) -> dict[str, Any]:
    """Read a style sheet; what matplotlib would pass over with a warning is an error here.

    Raises:
        InputError: If a line cannot be used.
    """
    found: Mapping[Any, Any] = {}
    with _listening() as complaints:
        try:
            found = matplotlib.rc_params_from_file(
                path, fail_on_error=True, use_default_template=False
            )
        except (ValueError, KeyError, UnicodeDecodeError) as error:
            complaints.append(str(error))
    if complaints:
        raise InputError(
            f"{path}: matplotlib cannot use this style sheet: {' '.join(complaints[0].split())}"
        )
    sheet = _plain(found)
    if sheet.get("text.usetex"):
        raise InputError(
            f"{path}: text.usetex is on, but names of metrics are no TeX; take the line out."
        )
    return sheet


def _plain(settings: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): settings[name] for name in settings}


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what matplotlib logs, and keep it off the terminal."""
    said: list[str] = []

    def hear(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    log = logging.getLogger("matplotlib")
    log.addFilter(hear)
    try:
        yield said
    finally:
        log.removeFilter(hear)


def settings(style: str | Path | None = None) -> AbstractContextManager:
    """Draw with our settings and a style sheet over them; put matplotlib's back afterwards.

    What the user's matplotlibrc says does not count, so that equal data give equal pictures.
    """
    sheet = SETTINGS | style_sheet(style)
    families = sheet["font.family"]
    families = [families] if isinstance(families, str) else list(families)
    sheet["font.family"] = list(dict.fromkeys([*families, FONT]))
    return matplotlib.style.context(["default", sheet])


def figure_size(style: str | Path | None, width: float, height: float) -> tuple[float, float]:
    """Return the size of a figure in inches: the style sheet's where it has one, else as given."""
    return tuple(style_sheet(style).get("figure.figsize", (width, height)))


@cache
def glyphs() -> frozenset[int]:
    """Return the characters, as Unicode code points, that can be written in any style."""
    return frozenset(get_font(findfont(FONT)).get_charmap())
