"""Every row of the GPU's benchmark at a toy's size on the CPU; no time is asserted."""

import json
import time
from dataclasses import replace

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import bounds, cases, goals, idle, process, real, rows
from benchmarks.gpu.__main__ import ROWS, WHOLE_S, OutOfTimeError, at_most, main, measured
from benchmarks.gpu.ours import Ours, square
from benchmarks.gpu.scale import Scale
from benchmarks.networks import Transformer
from tests.examples.test_examples import write_fashion
from tests.pretended_gpu import pretended_gpu

TINY = Scale("cpu", True, 3, time.monotonic() + 3600)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_measures_what_its_table_says(name, monkeypatch):
    asked = []

    def child(module, **options):
        asked.append(options)
        return process.surface(options)

    monkeypatch.setattr(rows, "child", child)
    tables, reason = measured(name, TINY)
    assert not reason
    for table in tables:
        assert len(table.rows) >= 1
        assert "nan" not in table.markdown()
        assert table.note or table.title == goals.TITLE
    if name == "first-look":
        assert [options["precision"] for options in asked] == ["float32", "bf16"]
        assert "a CPU multiplies no TF32" in tables[0].markdown()
        assert [line[1] for line in tables[0].rows] == ["3", "all", rows.NO_TF32, "all"]


@pytest.mark.parametrize("name", ["bounds", "paper", "memory"])
def test_a_row_is_measured_on_a_pretended_gpu(name):
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU: uv run python -m benchmarks.gpu --tiny")
    with pretended_gpu():
        tables, reason = measured(name, replace(TINY, device="cuda"))
    assert not reason
    told = "\n".join(table.markdown() for table in tables)
    assert "no TF32" not in told
    assert "no GPU" not in told
    assert "nan" not in told
    if name == "memory":
        exact, half = (float(line[3]) for line in tables[0].rows)
        assert 4 <= exact < 5  # a toy's batch weighs something
        assert 4.5 <= half < 6


def test_a_real_surface_is_that_of_a_network_that_was_trained(tmp_path):
    write_fashion(tmp_path, pack=True)
    picture = tmp_path / "picture.png"
    scale = Scale("cpu", True, 3, time.monotonic() + 30, data=tmp_path, picture=picture)
    scale = replace(scale, until=time.monotonic() + 8)
    (table,) = real.row(scale)
    told = dict(zip(table.header, table.rows[0], strict=True))
    assert told["points"] == "all"
    assert float(told["epochs"]) >= 64
    assert float(told["loss at the centre"]) < 1.2  # four images; a guess among ten has 2.30
    assert "[picture.png](picture.png)" in table.note
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_where_there_is_no_fashion_mnist_it_is_said_how_to_get_it(tmp_path):
    (table,) = real.row(replace(TINY, data=tmp_path))
    assert "apt-get download dataset-fashion-mnist" in table.rows[0][0]
    assert table.note == "Nothing was measured."


def test_goals_of_all_rows_stand_in_one_table_also_of_rows_measured_before(tmp_path, capsys):
    out = tmp_path / "found.md"
    words = ["--device", "cpu", "--tiny", "--out", str(out)]
    assert main([*words, "--only", "memory"]) == 0
    assert main([*words, "--only", "errors"]) == 0
    told = out.read_text()
    every = told[told.index("### All goals") : told.index("## errors")]
    assert "| float32 against float64: worst loss | 1e-05 " in every
    assert "| memory in float32: times the model " in every
    assert told.index("## goals") < told.index("## errors") < told.index("## memory")
    assert "memory in bf16" in capsys.readouterr().out.rpartition("### All goals")[2]


def test_memory_allows_as_many_samples_as_activations_are_copied():
    """Of ResNet-56 by hand: stem, three stages of nine blocks, two shortcuts, classes."""
    case = cases.resnet56(Scale("cpu"), 4)
    stages = 16 * 32**2, 32 * 16**2, 64 * 8**2
    assert case.activations() == stages[0] + 18 * sum(stages) + stages[1] + stages[2] + 10
    allowed = bounds.samples_that_memory_allows(case, "float32", 8e12)
    assert allowed == pytest.approx(1e12 / case.activations())
    assert bounds.samples_that_memory_allows(case, "bf16", 8e12) == 2 * allowed


def test_a_process_says_what_it_wrote():
    told = process.surface(
        {"device": "cpu", "tiny": True, "images": 4, "points": 2, "precision": "float32"}
    )
    assert told["bytes"] > 1000
    assert json.loads(told["plan"])["device"] == "cpu"


def test_operations_are_those_that_are_known():
    """0.2515 GFLOP of ResNet-56; of an encoder what its matrices need, by hand."""
    assert cases.resnet56(Scale("cpu"), 4).flop() / 1e9 == pytest.approx(0.2515, abs=1e-4)
    length, width, layers = 6, 8, 3
    net = Transformer(20, length, width, layers).eval()
    case = cases.Case("", net, torch.zeros(2, length, dtype=torch.int64), torch.zeros(2))
    linear = 2 * length * (4 * width**2 + 2 * 4 * width**2)  # q, k, v, out; there and back
    attention = 2 * 2 * length**2 * width
    assert case.flop() == layers * (linear + attention) + 2 * width * 10


def test_busy_time_is_the_union_of_what_ran():
    assert idle.covered([(0, 2), (1, 3), (5, 6), (5.5, 5.75)]) == 4
    assert idle.covered([]) == 0


def test_a_matrix_product_is_checked_against_float64():
    found = {kind: bounds.product_rate(TINY, kind)[1] for kind in ("float32", "bf16")}
    assert 0 < found["float32"] < 1e-6
    assert 1e-4 < found["bf16"] < 2e-2


def test_a_measurement_takes_as_many_points_as_there_is_time_for():
    case = cases.resnet56(TINY, 4)
    little = Scale("cpu", True, 3, time.monotonic())
    assert Ours(case, "float32", square(5), little).measured().points == 4
    assert Ours(case, "float32", square(5), TINY).measured(9).points == 9
    assert Ours(case, "float32", square(3), TINY).measured().points == 9
    assert next(case.net.parameters()).device.type == "cpu"


def test_rows_have_eight_minutes_together():
    assert sum(seconds for _, seconds, _ in ROWS.values()) <= WHOLE_S + 10
    assert WHOLE_S == 480


def test_nobody_who_catches_a_models_errors_keeps_a_row_from_ending():
    def stubborn():
        while True:
            try:
                time.sleep(1)
            except Exception:  # as a search does with a plan that does not run
                continue

    with pytest.raises(OutOfTimeError, match="stopped after 0 s"), at_most(0.05):
        stubborn()
    time.sleep(0.06)  # nothing comes later


def test_a_row_that_fails_leaves_the_others_and_says_so(tmp_path, monkeypatch, capsys):
    def fail(scale):
        raise ValueError("no such kernel\nat line 3")

    monkeypatch.setitem(ROWS, "idle", ("", 5, fail))
    monkeypatch.setitem(ROWS, "memory", ("", -1, fail))
    out = tmp_path / "found.md"
    words = ["--device", "cpu", "--tiny", "--only", "idle,memory,bounds", "--out", str(out)]
    assert main(words) == 1
    told = out.read_text()
    assert "**Not measured:** ValueError: no such kernel\n" in told
    assert "**Not measured:** no time was left" in told
    assert "matrix product, bf16" in told
    assert "a check that everything works, no measurement" in told
    assert told.index("## bounds") < told.index("## idle")
    assert "What was measured on a GPU" in told
    assert capsys.readouterr().out.count("## ") >= 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "There is no CUDA here. --device cpu --tiny runs every row at a toy's size."),
        (["--device", "cpu"], "say --tiny as well"),
        (["--only", "resnet65"], "Unknown row 'resnet65'; choose of bounds, first-look"),
        (
            ["--device", "cpu", "--tiny", "--out", str(command.RESULTS)],
            "is for what was measured on a GPU; name another file",
        ),
    ],
    ids=["no GPU", "CPU", "unknown", "results"],
)
def test_what_makes_no_sense_is_refused(words, message, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_what_only_a_gpu_can_run_comes_first_where_it_is_asked_for(tmp_path, monkeypatch):
    seen = []

    def run(words, stdout, **named):
        seen.append(words)
        stdout.write("FAILED one\n1 failed, 2 passed\n")
        return type("Done", (), {"returncode": 1})()

    monkeypatch.setattr(command.subprocess, "run", run)
    monkeypatch.setattr(command, "chip", lambda device: "a CPU")
    out = tmp_path / "found.md"
    words = ["--device", "cpu", "--tiny", "--tests", "--only", "bounds", "--out", str(out)]
    assert main(words) == 1
    assert seen[0][-1] == "tests/gpu"
    assert "FAILED one\n1 failed, 2 passed\n```" in out.read_text()
    assert out.read_text().index("## tests") < out.read_text().index("## bounds")


def test_a_gpu_that_answers_no_more_is_asked_by_another_process(monkeypatch):
    def broken():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    seen = []
    monkeypatch.setattr(command.subprocess, "run", lambda words, **named: seen.append(words))
    monkeypatch.setattr(torch.cuda, "empty_cache", broken)
    assert not command.works()
    args = command.parser().parse_args(["--tiny", "--out", "found.md", "--data", "mine"])
    command.again(["idle", "errors"], args, 61.4)
    command.again([], args, 61.4)
    told = ["--only", "idle,errors", "--seconds", "61", "--tiny", "--out", "found.md"]
    told += ["--data", "mine"]
    assert [words[2:] for words in seen] == [["benchmarks.gpu", *told]]
