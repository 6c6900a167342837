"""A style sheet of the user's changes fonts and sizes, and what is wrong with one is said."""

import matplotlib
import numpy as np
import pytest
from pypdf import PdfReader

from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.viz.plot_2d import plot_surface
from landscape_lib.viz.style import Look
from landscape_lib.viz.stylesheet import SETTINGS, glyphs, settings, style_sheet

GRID = Grid((Axis(-1, 2, 7), Axis(-0.5, 0.5, 5)))
SURFACE = Surface(GRID, {"train_loss": np.arange(35.0).reshape(7, 5)})


@pytest.fixture
def sheet(tmp_path):
    path = tmp_path / "own.mplstyle"
    path.write_text("font.size: 11\nfont.family: serif\nfigure.figsize: 5, 4\npdf.fonttype: 3\n")
    return path


def fonts(path):
    """Every font that a PDF names, and whether it holds the font itself."""
    page = PdfReader(path).pages[0]
    told = [entry.get_object() for entry in page["/Resources"]["/Font"].values()]
    inner = [
        font["/DescendantFonts"][0].get_object() for font in told if "/DescendantFonts" in font
    ]
    return {font["/BaseFont"]: "/FontFile2" in font["/FontDescriptor"] for font in inner}


def size_of(path):
    box = PdfReader(path).pages[0].mediabox
    return float(box.width) / 72, float(box.height) / 72


def test_figures_are_a_column_wide_with_their_fonts_inside(tmp_path):
    for path in plot_surface(SURFACE, "train_loss", tmp_path):
        assert size_of(path)[0] == pytest.approx(3.5)
        found = fonts(path)
        assert any("DejaVuSans" in name for name in found)
        assert all(found.values())


def test_a_style_sheet_lies_over_our_settings(tmp_path, sheet):
    with settings(str(sheet)):
        assert matplotlib.rcParams["font.size"] == 11
        assert matplotlib.rcParams["axes.linewidth"] == SETTINGS["axes.linewidth"]
        assert matplotlib.rcParams["font.family"] == ["serif", "DejaVu Sans"]  # for α in any font
    paths = plot_surface(SURFACE, "train_loss", tmp_path / "out", Look(style=str(sheet)))
    for path in paths:
        assert size_of(path) == pytest.approx((5, 4))
        assert not fonts(path)  # fonttype 3, as the sheet says: at saving, too
    plain = plot_surface(SURFACE, "train_loss", tmp_path / "plain")
    assert size_of(plain[0])[0] == pytest.approx(3.5)


def test_a_style_may_be_one_of_matplotlibs(tmp_path):
    assert style_sheet("ggplot")["axes.facecolor"] == "#E5E5E5"
    assert style_sheet(None) == {}
    first, second = (
        plot_surface(SURFACE, "train_loss", tmp_path / name, Look(style="ggplot")) for name in "ab"
    )
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("font.size: large?\n", "own.mplstyle: matplotlib cannot use this style sheet: .*large"),
        ("font.sise: 9\n", "Bad key font.sise in file"),
        ("font.size = 9\n", "Missing colon in file"),
        ("text.usetex: True\n", "text.usetex is on, but names of metrics are no TeX"),
    ],
)
def test_what_is_wrong_with_a_style_sheet_is_an_error(tmp_path, text, message, caplog):
    path = tmp_path / "own.mplstyle"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Look(style=str(path))
    assert not caplog.records


def test_a_style_that_is_not_there_names_those_near_it():
    with pytest.raises(InputError, match=r"no file 'gplot'.*choose one of \['ggplot'"):
        Look(style="gplot")


def test_characters_of_titles_and_marks_can_be_written_in_any_style():
    assert {ord(letter) for letter in "αβ−×₁₀⁰⁹⁻…é"} <= glyphs()
