"""What a plot call returns: where the pictures are, and the pictures themselves."""

import base64
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, overload

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landscape_lib.viz.stylesheet import settings

log = logging.getLogger(__name__)

NO_WINDOW = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # backends that only write
NOTEBOOK_DPI = 110


class CallableModule(ModuleType):
    """A module that can be called like the function of its name, which once stood in its place."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return vars(self)[self.__name__.rpartition(".")[2]](*args, **kwargs)


class Pictures(Sequence[Path]):
    """The files that a plot call wrote, in order; a notebook shows the pictures themselves.

    Attributes:
        figures: The matplotlib figures, one a file.
    """

    def __init__(self, paths: Sequence[Path], figures: Sequence[Figure]) -> None:
        self._paths = tuple(paths)
        self.figures = tuple(figures)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        return self._paths[index]

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"Pictures({[str(path) for path in self._paths]})"

    def _repr_html_(self) -> str:
        """Show the pictures in a notebook."""
        return "".join(
            f'<img alt="{path.name}" src="data:image/png;base64,{_png(figure)}">'
            for path, figure in zip(self._paths, self.figures, strict=True)
        )


def _png(figure: Figure) -> str:
    image = io.BytesIO()
    with settings():
        figure.savefig(image, format="png", dpi=NOTEBOOK_DPI)
    return base64.b64encode(image.getvalue()).decode()


def show_figures(figures: Sequence[Figure]) -> None:
    """Open figures in windows, or inline in a notebook, and wait as ``pyplot.show`` does.

    Where matplotlib has no screen, one line of the log says so.
    """
    if matplotlib.get_backend().lower() in NO_WINDOW:
        log.warning(
            "There is no screen to show pictures on (matplotlib's backend is %r); they are in "
            "their files.",
            matplotlib.get_backend(),
        )
        return
    from matplotlib import pyplot

    opened = [pyplot.figure(FigureClass=_that(figure)) for figure in figures]
    try:
        pyplot.show()
    finally:
        for figure in opened:
            pyplot.close(figure)
            FigureCanvasAgg(figure)  # its window is gone; it can still be saved


def _that(figure: Figure) -> Any:
    """Make pyplot take a figure that is already drawn for a new one."""
    return lambda *_, **__: figure
