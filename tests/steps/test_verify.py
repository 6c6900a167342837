"""An untouched surface agrees with its model bit for bit; one changed in one value does not."""

import json
import platform
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib import InputError, LossLandscape, verify
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.steps.agreement import Row
from landscape_lib.steps.verify import chosen
from landscape_lib.utils.storage import load_surface, save_surface
from scripts import verify as script
from tests.steps.test_verdict import finished

GRID = {"x": [-1, 1, 5], "y": [-0.5, 0.5, 3]}


@pytest.fixture
def surface(run):
    """The path of a finished run's surface."""
    return finished(run(grid=GRID)).path("surface.h5")


def changed(path, key="train_loss", place=(3, 2), value=None, **attributes):
    """Change one value by its last bit, or to another, and attributes."""
    found = load_surface(path)
    values = {name: array.copy() for name, array in found.values.items()}
    old = values[key][place]
    values[key][place] = np.nextafter(old, np.inf) if value is None else value
    save_surface(path, replace(found, values=values, attributes={**found.attributes, **attributes}))
    return path


def contents(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_a_gpus_surface_is_verified_on_a_cpu_to_what_its_precision_rounds(surface, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    old = float(load_surface(surface)["train_loss"][3, 2])
    (told,) = json.loads(load_surface(surface).attributes["plans"])
    for precision, allowed in (("tf32", 1e-3), ("bf16", 1e-2), ("float32", 1e-5)):
        plan = {**json.loads(told), "device": "cuda", "precision": precision, "graph": True}
        found = verify(changed(surface, value=old, plans=[json.dumps(plan)]))
        assert found.tolerance == allowed
        assert found.agrees


def test_an_untouched_surface_agrees_bit_for_bit_and_nothing_is_written(surface, tmp_path, capsys):
    before = contents(tmp_path / "results")
    found = verify(surface, points=4, seed=1)
    assert found.agrees
    assert found.tolerance == 0
    assert all(row.same and row.difference == 0 for row in found.rows)
    assert {row.key for row in found.rows} == {"train_loss", "train_acc"}
    assert (0.0, 0.0) in {row.point for row in found.rows}
    assert script.main([str(surface), "--points", "all", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert "15 points, 30 values: all agree, bit for bit." in out
    assert out.count("train_acc") == 15
    assert contents(tmp_path / "results") == before


def test_a_surface_changed_in_the_last_bit_of_one_value_fails(surface, capsys, caplog):
    changed(surface)
    assert script.main([str(surface), "--points", "all"]) == 1
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.endswith("differs")]
    assert line.split()[:3] == ["(0.5,", "0.5)", "train_loss"]
    told = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"][-1]
    assert "1 do not agree with the surface. They differ by no more than" in told
    assert "say --tolerance 1e-5" in told
    assert script.main([str(surface), "--points", "all", "--tolerance", "1e-5"]) == 0
    assert "all agree, to a relative 1e-05." in capsys.readouterr().out
    kept = [seed for seed in range(20) if verify(surface, 5, seed).agrees]
    drawn = [s for s in range(20) if 3 * 3 + 2 not in chosen(load_surface(surface), 5, s)]
    assert kept == drawn  # it is seen where that point is among those drawn
    for wrong in ("-1", "nan"):
        assert script.main([str(surface), f"--tolerance={wrong}"]) == 2
        assert caplog.messages[-1].endswith("wanted a number from 0.")
    assert script.main([str(surface.with_name("probe.json"))]) == 2
    assert "it is no surface file" in caplog.messages[-1]
    changed(surface, value=7.0)
    assert script.main([str(surface), "--points", "all", "--tolerance", "1e-5"]) == 1
    assert "They differ by no more" not in caplog.records[-1].getMessage()


def test_the_library_verifies_what_its_file_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    data = (torch.randn(12, 2), torch.arange(12) % 3)
    landscape = LossLandscape(nn.Linear(2, 3), data)
    with pytest.raises(InputError, match="are not both there: call compute_1d"):
        landscape.verify()
    landscape.compute_2d((-1, 1, 5), (0, 1, 3))
    before = contents(tmp_path)
    found = landscape.verify(points="all")
    assert found.agrees
    assert len(found.rows) == 30
    assert contents(tmp_path) == before
    changed(tmp_path / "loss_surface.h5", place=(1, 2))
    (wrong,) = [row for row in landscape.verify("all").rows if not row.agrees]
    assert (wrong.point, wrong.key) == ((-0.5, 1.0), "train_loss")
    landscape.net.weight.data[0, 0] += 1
    with pytest.raises(InputError, match=r"\n  model: [0-9a-f]{12} then, [0-9a-f]{12} now"):
        landscape.verify()
    with pytest.raises(InputError, match="a surface of the library, which names no function"):
        verify("loss_surface.h5")
    shutil.move("loss_surface.h5.directions.h5", "elsewhere.h5")
    with pytest.raises(InputError, match="is not there: the surface's directions are gone"):
        landscape.verify()
    memory = LossLandscape(nn.Linear(2, 3), data, surf_file="other.h5")
    memory.compute_1d(xrange=(-1, 1, 3), save=False, curvature=True)
    assert memory.verify(points="all").agrees
    assert not (tmp_path / "other.h5").exists()


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("number + 1 + shift", "number + 2 + shift", "model"),
        ("torch.ones(4, 2)", "torch.ones(4, 2) + 1", "data"),
        ("torch.arange(4) % 3)", "torch.arange(4) % 3), nn.CrossEntropyLoss()", "code"),
    ],
)
def test_a_problem_that_changed_cannot_be_verified_and_each_part_is_named(
    surface, tmp_path, caplog, old, new, part
):
    own = tmp_path / "own.py"
    own.write_text(own.read_text().replace(old, new))
    for name in ("own", "_problem_own"):  # another process would read it anew
        sys.modules.pop(name, None)
    assert script.main([str(surface)]) == 2
    told = caplog.records[-1].getMessage()
    assert "cannot be verified, the problem is not the one" in told
    parts = [line.split(":")[0].strip() for line in told.splitlines()[1:]]
    assert set(parts) == {part, "code"}
    assert "metrics" not in parts


def test_directions_are_those_beside_it_or_drawn_again(surface, tmp_path):
    directions = surface.with_name("directions.h5")
    directions.unlink()
    assert verify(surface).agrees
    told = json.loads(load_surface(surface).attributes["config"])
    told["directions"] = told["directions"].replace('"seed":0', '"seed":1')
    changed(surface, value=1.0, config=json.dumps(told))
    with pytest.raises(InputError, match=r"its directions are gone: .* is missing"):
        verify(surface)


def test_a_surface_that_was_moved_is_verified_with_a_config(surface, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = shutil.copy(surface if surface.is_absolute() else tmp_path / surface, "copy.h5")
    assert script.main([moved]) == 2  # own.py is not here
    config = (tmp_path / "config.yaml").read_text().replace("own.py", str(tmp_path / "own.py"))
    (tmp_path / "elsewhere" / "c.yaml").write_text(config)
    assert script.main([moved, "--config", "c.yaml"]) == 0
    assert script.main([moved, "--config", "c.yaml", "--run", "other"]) == 2


def test_older_files_are_verified_with_the_probe_beside_them_or_as_a_whole(surface):
    found = load_surface(surface)
    attributes = {name: v for name, v in found.attributes.items() if name != "problem"}
    save_surface(surface, replace(found, attributes=attributes))
    assert verify(surface).agrees
    probe = surface.with_name("probe.json")
    probe.rename(probe.with_name("gone.json"))
    assert verify(surface).agrees
    save_surface(surface, replace(found, attributes={**attributes, "fingerprint": "0" * 64}))
    with pytest.raises(InputError, match="it is of an older version"):
        verify(surface)


def test_elsewhere_a_tolerance_holds_and_accuracies_may_move_by_two_samples(surface):
    found = load_surface(surface)
    assert found.attributes["host"] == platform.node()
    changed(surface, value=float(found["train_loss"][3, 2]) * (1 + 5e-6), host="another")
    changed(surface, "train_acc", (1, 1), float(found["train_acc"][1, 1]) + 2 * 100 / 4)
    seen = verify(surface, "all")
    assert seen.agrees
    assert seen.tolerance == 1e-5
    assert not all(row.same for row in seen.rows)
    assert seen.conclusion().endswith("all agree, to a relative 1e-05.")
    changed(surface, value=float(found["train_loss"][3, 2]) * (1 + 5e-5))
    assert not verify(surface, "all").agrees


def test_no_number_is_near_what_is_none():
    def row(recorded, recomputed, allowed=np.inf):
        return Row((0.0,), "k", recorded, recomputed, allowed)

    assert row(np.nan, np.nan).agrees
    assert row(np.inf, np.inf).agrees
    for one, other in ((np.nan, 1.0), (np.inf, 1.0), (-np.inf, np.inf), (1.0, np.nan)):
        assert not row(one, other).agrees
        assert row(one, other).difference == np.inf
    assert row(1e308, -1e308).difference == 2
    assert row(2.0, 1.0).difference == 0.5


def test_points_are_drawn_from_the_seed_and_the_centre_is_always_among_them():
    whole = Surface(Grid((Axis(-1, 1, 7), Axis(-1, 1, 5))), {"loss": np.zeros((7, 5))})
    aside = Surface(Grid((Axis(1, 2, 7),)), {"loss": np.zeros(7)})
    assert chosen(whole, 3, 0) == chosen(whole, 3, 0) != chosen(whole, 3, 1)
    for seed in range(9):
        assert 17 in chosen(whole, 1, seed)
        assert len(chosen(whole, 1, seed)) <= 2
    assert len(chosen(aside, 3, 0)) == 3
    assert chosen(whole, 99, 0) == chosen(whole, "all") == list(range(35))
    for wrong in (0, -1, "some", True, 2.5):
        with pytest.raises(InputError, match="wanted a whole number from 1, or 'all'"):
            chosen(whole, wrong)


def test_interpolated_points_are_none_of_the_models_and_are_not_drawn():
    computed = np.zeros((7, 5), dtype=bool)
    computed[::3, ::2] = True
    grid = Grid((Axis(-1, 1, 7), Axis(-1, 1, 5)))
    part = Surface(grid, {"loss": np.zeros((7, 5))}, computed=computed)
    there = np.flatnonzero(computed).tolist()
    assert chosen(part, "all") == chosen(part, 99, 0) == there
    assert all(set(chosen(part, 3, seed)) <= set(there) for seed in range(9))
    computed[3, 2] = False  # the centre
    assert 17 not in chosen(Surface(grid, part.values, computed=computed), 99, 0)
