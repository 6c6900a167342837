"""A spectrum's picture shows its numbers, or says why there are none."""

import numpy as np
import pytest

from landscape_lib.viz.spectrum import blurred, plot_spectrum, spectrum

TWO = {
    "nodes": [[-1.0, 0.0, 4.0], [-1.0, 0.5, 4.0]],
    "weights": [[0.2, 0.5, 0.3], [0.4, 0.5, 0.1]],
    "exact": False,
    "samples": 30,
    "size": 1000,
}


def test_a_density_is_the_mean_of_its_rows_and_has_the_integral_one():
    at, heights = blurred(TWO, np.linspace(-3, 6, 9001), 0.05)
    step = at[1] - at[0]
    assert heights.sum() * step == pytest.approx(1, rel=1e-6)
    assert heights[at < -0.5].sum() * step == pytest.approx(0.3, rel=1e-6)
    assert heights[at > 2].sum() * step == pytest.approx(0.2, rel=1e-6)


def test_the_picture_says_what_was_measured_and_marks_the_largest(tmp_path):
    figure = spectrum(TWO, [4.0, 3.5])
    (axes,) = figure.axes
    (largest,) = [line for line in axes.lines if line.get_gid() == "largest"]
    assert list(largest.get_xdata()) == [4, 3.5]
    assert axes.get_yscale() == "log"
    words = axes.texts[0].get_text()
    assert "1,000 weights, 30 samples, from 2 random vectors" in words.replace("\n", " ")
    assert "4, 3.5" in words
    one, other = (plot_spectrum(TWO, [4.0], tmp_path / f"{name}.pdf") for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_what_was_not_measured_is_said_in_the_picture():
    figure = spectrum({"unknown": "no metric of the training data is a loss"})
    assert "not measured: no metric" in figure.axes[0].texts[0].get_text()


def test_a_spectrum_of_one_value_is_drawn():
    flat = {"nodes": [[0.0]], "weights": [[1.0]], "exact": True, "samples": 1, "size": 1}
    spectrum(flat).canvas.draw()
