"""The program beside the sheets opens them in ParaView itself.

ParaView is no dependency.  On Debian and Ubuntu this brings it (1.3 GB):

    apt-get install -y --no-install-recommends paraview python3-paraview xvfb xauth

and this runs these tests, which are skipped elsewhere:

    uv run pytest -m paraview
"""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface, Trajectory
from landscape_lib.steps.pictures import OPENER
from landscape_lib.viz.paraview import (
    Height,
    export_flat_vtp,
    export_trajectory_vtp,
    export_vtp,
)

GRID = Grid((Axis(-1, 2, 13), Axis(-0.75, 1, 8)))
X, Y = (axis.steps() for axis in GRID.axes)
BOWL = (X[:, None] - 1) ** 2 + 3 * (Y[None, :] + 0.25) ** 2 + 0.5
HOLES = np.where(BOWL > 5, np.nan, BOWL)
needs_paraview = [
    pytest.mark.paraview,
    pytest.mark.skipif(
        not (shutil.which("pvpython") and shutil.which("xvfb-run")),
        reason="pvpython and xvfb-run are not installed; this file says how",
    ),
]


@pytest.fixture
def folder(tmp_path):
    surface = Surface(
        GRID,
        {"train_loss": 10**BOWL, "train_acc": 100 - BOWL, "test_loss": HOLES}
        | {"flat": BOWL * 0 + 2, "none": BOWL * np.nan},
    )
    for key in surface.keys:
        height = Height(log=key == "test_loss", zscale="auto", interp=15)
        export_vtp(surface, key, tmp_path / f"{key}.vtp", height)
    export_flat_vtp(surface, tmp_path / "flat.vtp")
    shutil.copy(OPENER, tmp_path / "open.py")
    return tmp_path


def opened(folder, *arguments):
    """Run the program where there is no display, on the software renderer.

    ``xvfb-run -a`` now and then picks a display that another one is just taking; it is not the
    program that fails then, and another attempt finds a free one.
    """
    for _ in range(4):
        result = _once(folder, *arguments)
        if "bad X server connection" not in result.stderr:
            break
    return result


def _once(folder, *arguments):
    return subprocess.run(
        ["xvfb-run", "-a", "-s", "-screen 0 1280x1024x24", "pvpython", "open.py", *arguments],
        cwd=folder,
        env={**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class TestParaView:
    pytestmark = needs_paraview

    @pytest.mark.parametrize("metric", [None, "train_acc", "test_loss"])
    def test_a_picture_shows_the_surface_in_colour_on_white(self, folder, metric):
        result = opened(folder, "out.png", *([metric] if metric else []))
        assert result.returncode == 0, result.stderr
        assert "rror" not in result.stderr
        image = np.asarray(Image.open(folder / "out.png").convert("RGB")).astype(int)
        assert image.shape == (1200, 1600, 3)
        assert (image[:20, :20] == 255).all()
        assert np.mean(np.ptp(image, axis=-1) > 40) > 0.15  # viridis, lit

    def test_the_ways_of_trainings_are_drawn_in_their_colours(self, folder):
        ways = (Trajectory([-0.9, 1.0], [0.9, -0.2], "SGD"), Trajectory([9.0], [9.0], "outside"))
        surface = Surface(GRID, {"train_acc": 100 - BOWL}, trajectories=ways)
        path = folder / "trajectory" / "train_acc.vtp"
        export_trajectory_vtp(surface, "train_acc", path, Height(zscale="auto", interp=15))
        result = opened(folder, "out.png", "train_acc")
        assert result.returncode == 0, result.stderr
        assert "rror" not in result.stderr
        red, green, blue = np.asarray(Image.open(folder / "out.png").convert("RGB")).T.astype(int)
        vermilion = (red > 120) & (np.abs(green / red - 0.44) < 0.08) & (blue < 0.1 * red)
        assert vermilion.sum() > 1000

    def test_what_cannot_be_shown_is_said(self, folder):
        result = opened(folder, "out.png", "nothing")
        assert "there is no nothing.vtp" in result.stderr
        assert "['none', 'test_loss', 'train_acc', 'train_loss']" in result.stderr
        assert "no value of this surface is finite" in opened(folder, "out.png", "none").stderr
        assert not (folder / "out.png").exists()


def test_the_program_needs_nothing_before_it_runs():
    """It is a file of this library that is never imported by it, and needs no ParaView to parse."""
    code = "import sys, landscape_lib.viz.open_in_paraview; print('paraview' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
