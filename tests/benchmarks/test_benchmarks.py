"""The machinery of the benchmarks in miniature; no time is asserted."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import (
    adaptive,
    bounds,
    library,
    merging,
    pictures,
    pipeline,
    problems,
    rows,
    speed,
    textbook,
)
from benchmarks.__main__ import chosen, main
from benchmarks.children import environment
from benchmarks.growth import HIDDEN, MILLIONS, _growth, width_of
from benchmarks.networks import mlp
from benchmarks.problems import CASES, Case, metrics, three_metrics
from benchmarks.table import Table, keep
from benchmarks.timing import Settings, cost, enough, interleaved, median, median_ratio, odd
from landscape_lib import Axis, Grid, Surface

TINY = Settings(rounds=2, seconds=0.01, quick=True)


@pytest.mark.parametrize("name", CASES)
def test_the_textbook_and_ours_find_the_same(name):
    """The two that are compared do the same work, on the plain model and by a chosen plan."""
    case = CASES[name](5)
    loader = case.loader(workers=0)
    for plan in ("auto", "plain"):
        here = library.landscape(case, metrics(), plan=plan, data=loader)
        ours = here.compute_2d((-0.5, 0.5, 3), (0, 0.5, 2), save=False)
        points = library.points_of(ours)
        theirs = textbook.walk(case.net, loader, case.directions(), points, three_metrics)
        for key, values in ours["losses"].items():
            wanted = [found[key] for found in theirs]
            tolerance = 1e-5 if plan == "plain" else 1e-4
            np.testing.assert_allclose(values.ravel(), wanted, rtol=tolerance, atol=1e-6)


def test_a_function_of_the_users_finds_the_same():
    case = CASES["mlp"](8)
    loader = case.loader(workers=0)
    ours = library.run(case, three_metrics, 3, data=loader)
    theirs = textbook.walk(
        case.net, loader, case.directions(), library.points_of(ours), three_metrics
    )
    for key, values in ours["losses"].items():
        np.testing.assert_allclose(values.ravel(), [found[key] for found in theirs], rtol=1e-5)


def test_the_textbook_puts_the_weights_back():
    case = CASES["mlp"](8)
    before = [parameter.clone() for parameter in case.net.parameters()]
    directions = [textbook.random_direction(case.net) for _ in range(2)]
    textbook.walk(case.net, case.loader(workers=0), directions, [(1.0, 1.0)], three_metrics)
    assert all(map(torch.equal, before, case.net.parameters()))


def test_the_textbooks_own_directions_have_the_norms_of_the_filters():
    net = nn.Conv2d(2, 3, 3)
    noise, bias = textbook.random_direction(net)
    norms = [tensor.detach().flatten(1).norm(dim=1) for tensor in (noise, net.weight)]
    torch.testing.assert_close(*norms)
    assert not bias.any()


def test_running_statistics_are_not_trivial():
    norm = next(m for m in CASES["cnn"](70).net.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.running_mean.abs().min() > 0
    assert (norm.running_var - 1).abs().min() > 0


def test_contenders_run_in_turns():
    said = []
    contenders = {name: lambda name=name: said.append(name) or len(said) for name in "ab"}
    assert interleaved(contenders, 2) == {"a": [1, 3], "b": [2, 4]}
    assert said == list("abab")


def test_what_is_paid_once_is_told_from_what_every_point_costs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def run(points):
        now[0] += 5 + 2 * points

    found = cost(run, 3, 7)
    assert (found.once, found.each) == (5, 2)
    assert enough(run, 1, 100.0) == 51


def test_a_round_that_tells_nothing_is_left_out(monkeypatch):
    """On a busy machine a longer run may take no longer than a short one."""
    now = iter([0.0, 5.0, 5.0, 9.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    lost = cost(lambda points: None, 3, 7)
    assert math.isnan(lost.each)
    assert median_ratio([2.0, 3.0, 4.0], [lost.each, 1.0, 0.0]) == 3.0
    assert math.isnan(median([lost.each]))


def test_ratios_are_taken_round_by_round():
    assert median_ratio([2.0, 40.0, 6.0], [1.0, 10.0, 2.0]) == 3.0
    assert [odd(points) for points in (0, 4, 5.4)] == [3, 5, 5]


def test_a_table_is_markdown():
    table = Table("Title", ("who", "ratio"), [["ours", "2.00"], ["a | b", "1.0"]], "A note.")
    assert table.markdown().splitlines() == [
        "### Title",
        "",
        "A note.",
        "",
        "| who   | ratio |",
        "| ----- | ----- |",
        "| ours  | 2.00  |",
        "| a / b | 1.0   |",
    ]


def test_a_row_that_does_not_fit_its_table_is_refused():
    with pytest.raises(ValueError, match="has not 2 columns"):
        Table("Title", ("who", "ratio"), [["ours"]])


def test_a_row_replaces_its_own_section_alone(tmp_path):
    path = tmp_path / "RESULTS.md"
    keep(path, {"b": "## b\n\nold b\n", "a": "## a\n\nold a\n"}, "abc")
    keep(path, {"b": "## b\n\nnew b\n"}, "abc")
    told = path.read_text()
    assert told.index("old a") < told.index("new b")
    assert "old b" not in told


def test_one_command_measures_a_row_and_keeps_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bounds, "SIZES", (64,))
    monkeypatch.setattr(bounds, "COPY_BYTES", 2**20)
    out = tmp_path / "RESULTS.md"
    assert main(["--quick", "--only", "bounds", "--out", str(out)]) == 0
    told = out.read_text()
    assert "## bounds" in told
    assert "cores" in told
    assert "python -m benchmarks --quick --only bounds" in told
    assert "float32 matrix product" in capsys.readouterr().out


def test_a_row_that_fails_does_not_keep_the_others_from_running(tmp_path, capsys, monkeypatch):
    def fail(settings):
        raise RuntimeError("no such thing")

    table = Table("Fine", ("a",), [["b"]])
    monkeypatch.setitem(rows.ROWS, "bounds", ("", fail))
    monkeypatch.setitem(rows.ROWS, "merge", ("", lambda settings: [table]))
    out = tmp_path / "RESULTS.md"
    assert main(["--quick", "--only", "bounds,merge", "--out", str(out)]) == 1
    assert "bounds could not be measured: RuntimeError: no such thing" in capsys.readouterr().out
    assert "### Fine" in out.read_text()


def test_rows_are_chosen_by_name():
    assert "peers" not in chosen(None, with_peers=False)
    assert chosen(None, with_peers=True) == list(rows.ROWS)
    with pytest.raises(SystemExit, match="Unknown row 'mpl'"):
        chosen("mpl", with_peers=False)


def test_a_row_of_speeds_runs(monkeypatch):
    tiny = Case("mlp", mlp(8).eval(), problems.digits(16), gflop=1.0)
    monkeypatch.setattr(tiny.__class__, "loader", lambda self, workers=0: _loader(self))
    monkeypatch.setitem(CASES, "mlp", lambda count: tiny)
    monkeypatch.setattr(speed, "enough", lambda run, few, target: 3)
    monkeypatch.setattr(bounds, "matrix_product", lambda: 100.0)
    monkeypatch.setattr(bounds, "copy", lambda: 10.0)
    measured, told = speed.row("mlp", TINY)
    assert [line[0] for line in measured.rows] == [
        "textbook",
        "ours, plain",
        f"ours, {speed.FOUND}",
    ]
    assert measured.rows[0][measured.header.index("times the textbook")] == "1.00"
    assert told.rows == [["100.0", "10.0"]]


def _loader(case):
    return torch.utils.data.DataLoader(case.dataset, 8)


def test_shards_that_are_merged_are_whole(tmp_path):
    from benchmarks.one_process import merge
    from landscape_lib.utils.storage import load_surface

    (tmp_path / "surface").mkdir()
    merging.write_shards(tmp_path, 3, points=4)
    assert merge(str(tmp_path), 3)["seconds"] > 0
    assert load_surface(tmp_path / "surface" / "3.h5").grid.shape == (3, 4)


def test_a_childs_peak_memory_is_its_own():
    """Not its parent's, which holds far more than a child that imports no torch."""
    code = "from benchmarks.children import peak; print(peak())"
    held = np.ones(2**25)  # 256 MiB, besides torch
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert float(told.stdout) < 100 < held.nbytes / 2**20


@pytest.mark.parametrize("millions", MILLIONS)
def test_a_width_gives_the_number_of_parameters(millions):
    with torch.device("meta"):
        net = mlp(width_of(millions * 1e6), HIDDEN)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(millions * 1e6, rel=0.02)


def test_the_log_of_a_shard_tells_how_long_it_evaluated():
    log = "one: 5 of 20 points, 10 samples/s, 0:10 left\none: 20 of 20 points, 2,000 samples/s"
    assert pipeline.evaluating(log, 1000) == 10
    with pytest.raises(ValueError, match="does not tell its rate"):
        pipeline.evaluating("nothing", 1)


def test_a_further_unit_costs_the_same_whatever_is_paid_once():
    """t = 6 + 0.5 n in one round; the other is slower by a third from first to last."""
    sizes = [4, 16, 64]
    found = {str(n): [6 + 0.5 * n, 8 + n / 1.5, math.nan] for n in sizes}
    assert _growth(found, sizes) == [
        ["4", "9.33", "2.33", "1.00", "", ""],
        ["16", "16.3", "1.02", "0.44", "0.583", "1.00"],
        ["64", "44.3", "0.693", "0.30", "0.583", "1.00"],
    ]


def test_the_pictures_row_draws_every_kind_and_adds_up():
    (table,) = pictures.row(Settings(rounds=1, seconds=0.01, quick=True))
    (row,) = table.rows
    assert table.header[1:6] == ("2dcontour", "2dcontourf", "2dheat", "3dsurface", "vtp")
    assert float(row[6]) == pytest.approx(sum(map(float, row[1:6])), abs=0.05)


def test_adaptive_grids_are_measured_against_the_whole_surface_and_a_coarser_grid():
    class Known:
        """Stands in for a trained network: a loss that is known everywhere."""

        def surface(self, steps):
            axis = Axis(-1, 1, steps)
            x, y = axis.steps()[:, None], axis.steps()[None, :]
            return Surface(Grid((axis, axis)), {"train_loss": np.exp(3 * x**2 + 2 * y**2 - x * y)})

    assert [adaptive.odd_steps(n) for n in (1, 9, 10, 25, 26, 649)] == [1, 3, 5, 5, 7, 27]
    whole = Known().surface(41)
    np.testing.assert_allclose(
        adaptive.by_hand(Known().surface(21), whole), whole["train_loss"], rtol=1e-9
    )
    found = adaptive.row_of(Known(), whole)
    assert len(found) == len(adaptive.COLUMNS) - 2
    assert [found[2], found[4], found[6]] == ["0 %", "100 %", "0 %"]  # a parabola, in logarithms
