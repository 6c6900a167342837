"""Which files show a surface, and what they are called."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from landscape_lib.core.surface import Surface
from landscape_lib.viz.figures import check_format, save
from landscape_lib.viz.flat import contour, filled_contour, heat_map
from landscape_lib.viz.names import file_name
from landscape_lib.viz.relief import relief
from landscape_lib.viz.style import PLAIN_LOOK, Look

KINDS: dict[str, Callable[[Surface, str, Look], Figure]] = {
    "2dcontour": contour,
    "2dcontourf": filled_contour,
    "2dheat": heat_map,
    "3dsurface": relief,
}


def plot_surface(
    surface: Surface, key: str, folder: Path, look: Look = PLAIN_LOOK, format: str = "pdf"
) -> list[Path]:
    """Write the four pictures of one metric, each whole or not at all.

    ``<key>_2dcontour``, ``<key>_2dcontourf``, ``<key>_2dheat``, ``<key>_3dsurface``, with the key
    as ``file_name`` spells it.  Equal surfaces give equal bytes.  All four are written for any
    values and any grid; what a picture cannot show, it says.

    Args:
        surface: Values on a grid with two axes.
        key: Which of its metrics.
        folder: Where the files go; made where it is missing.
        look: Colours, scale and levels.
        format: ``"pdf"``, ``"png"`` or ``"svg"``.

    Returns:
        The four paths, in the order above.

    Raises:
        InputError: If the surface is a curve, or there is no such metric or format.
    """
    check_format(format)
    stem = Path(folder) / file_name(key)
    return [
        save(draw(surface, key, look), Path(f"{stem}_{kind}.{format}"), format)
        for kind, draw in KINDS.items()
    ]
