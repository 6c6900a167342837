"""Which files show a curve, and what they are called."""

from pathlib import Path

from landscape_lib.core.surface import Surface
from landscape_lib.viz.curve import curve
from landscape_lib.viz.figures import check_format, save
from landscape_lib.viz.names import file_name
from landscape_lib.viz.style import PLAIN_LOOK, Look


def plot_curve(
    surface: Surface, key: str, folder: Path, look: Look = PLAIN_LOOK, format: str = "pdf"
) -> list[Path]:
    """Write the picture of one metric along one direction, ``<key>_1d``, whole or not at all.

    Equal curves give equal bytes.

    Args:
        surface: Values on a grid with one axis.
        key: Which of its metrics.
        folder: Where the file goes; made where it is missing.
        look: Scale, bounds and ticks of the value axis.
        format: ``"pdf"``, ``"png"`` or ``"svg"``.

    Returns:
        The path, in a list as ``plot_surface`` returns its four.

    Raises:
        InputError: If the grid has two axes, or there is no such metric or format.
    """
    check_format(format)
    path = Path(folder) / f"{file_name(key)}_1d.{format}"
    return [save(curve(surface, key, look), path, format)]
