"""What is evaluated so far can be seen, and looking at it changes nothing."""

import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from landscape_lib.core.errors import InputError
from landscape_lib.steps import preview as step
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.merge import merge_shards
from landscape_lib.steps.preview import interpolated, preview
from landscape_lib.steps.probe import probe
from landscape_lib.utils.journal import decode, encode
from landscape_lib.utils.storage import load_surface
from scripts import evaluate_shard
from scripts import merge_shards as merging
from scripts import preview as previewing

# A metric that sends its own program a signal at one of its points, once.
STOPPING = """\
import os
import signal
from pathlib import Path

import torch
from torch import nn

from landscape_lib import Problem


def build():
    net = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 2.0]]))
    return Problem(net, (torch.ones(3, 2), torch.ones(3, 1)), {"height": height})


def height(outputs, targets):
    told = Path("stop")
    if told.exists():
        left, number = map(int, told.read_text().split())
        told.write_text(f"{left - 1} {number}")
        if not left:
            told.unlink()
            os.kill(os.getpid(), number)
    return 1 + outputs[:, 0] ** 2
"""
GRID = {"x": [-1, 1, 13], "y": [0, 2, 9]}  # 7 x 5 points are the coarsest lattice


@pytest.fixture
def probed(run, monkeypatch):
    monkeypatch.setattr(step, "AT_THE_END_S", 100.0)  # of a busy machine
    here = run(problem="stopping.py:build", grid=GRID)
    Path("stopping.py").write_text(STOPPING)
    probe(here, here.path("probe.json"))
    make_directions(here, here.path("directions.h5"))
    yield here
    for name in ("stopping", "_problem_stopping"):
        sys.modules.pop(name, None)


SHARD = "--run own --shard 0 --of 1 --out results/own/shards/0-of-1.h5".split()


def evaluate(stop=None, number=0):
    if stop is not None:
        Path("stop").write_text(f"{stop} {int(number)}")
    return evaluate_shard.main(["--config", "config.yaml", *SHARD])


def arrays(path):
    found = load_surface(path)
    return {key: found[key].tobytes() for key in found.keys} | {"computed": found.computed}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_shard_that_is_told_to_end_shows_the_coarse_picture_and_loses_nothing(probed, number):
    assert evaluate(stop=40, number=number) == 128 + number
    seen = load_surface("results/own/preview.h5")
    assert Path("results/own/preview/train_loss_height_2dcontour.pdf").stat().st_size > 1000
    there = seen.computed
    assert 35 <= there.sum() < 50
    assert there[::2, ::2].all()
    np.testing.assert_array_equal(np.isnan(seen["train_loss_height"]), ~there)
    whole = interpolated(seen)["train_loss_height"]
    assert np.isfinite(whole).all()
    assert evaluate() == 0
    surface = merged()
    np.testing.assert_array_equal(whole[there], surface["train_loss_height"][there])
    np.testing.assert_allclose(whole, surface["train_loss_height"], atol=0.01)  # a parabola
    assert surface.computed is None
    assert previewing.main(["--config", "config.yaml", "--run", "own"]) == 0
    assert load_surface("results/own/preview.h5").computed is None  # nothing is missing any more


def merged():
    out = "results/own/surface.h5"
    assert merging.main(["--config", "config.yaml", *f"--run own --of 1 --out {out}".split()]) == 0
    return load_surface(out)


def test_a_preview_of_a_run_at_work_writes_all_pictures_and_touches_nothing_else(probed):
    assert evaluate(stop=60, number=signal.SIGTERM) == 128 + signal.SIGTERM
    journals = {path: path.read_bytes() for path in probed.path("journal").rglob("*.jsonl")}
    (live,) = journals
    live.write_bytes(journals[live] + b'{"sum":"0123')  # a line that is just being written
    paths = preview(probed)
    kinds = ("2dcontour", "2dcontourf", "2dheat", "3dsurface")
    assert [path.name for path in paths[1:]] == [f"train_loss_height_{k}.pdf" for k in kinds]
    assert live.read_bytes() == journals[live] + b'{"sum":"0123'
    with pytest.raises(Exception, match="shards"):
        merge_shards(probed, ["results/own/shards/0-of-1.h5"], "surface.h5")
    assert not Path("surface.h5").exists()


def test_where_there_is_nothing_to_show_it_says_so(probed, capsys):
    with pytest.raises(InputError, match="no point of its grid is evaluated yet"):
        preview(probed)
    assert previewing.main(["--config", "config.yaml"]) == 2
    assert "No run has anything to show yet." in capsys.readouterr().err
    assert previewing.main(["--config", "config.yaml", "--run", "other"]) == 2
    assert "there is no run 'other'" in capsys.readouterr().err
    assert not Path("results/own/preview.h5").exists()


def test_a_run_whose_journal_is_damaged_keeps_no_other_from_its_preview(probed, capsys):
    assert evaluate(stop=60, number=signal.SIGTERM) == 128 + signal.SIGTERM
    Path("results/own/preview.h5").unlink()
    shutil.copytree("results/own", "results/other")
    (own,) = yaml.safe_load(Path("config.yaml").read_text())["runs"].values()
    Path("config.yaml").write_text(yaml.safe_dump({"runs": {"own": own, "other": own}}))
    (journal,) = probed.path("journal").rglob("*.jsonl")
    point, values, plan = decode(journal.read_bytes().splitlines()[0])
    with journal.open("ab") as handle:
        handle.write(encode(point, dict.fromkeys(values, 7.0), plan))
    assert previewing.main(["--config", "config.yaml"]) == 0
    assert "it is damaged: it has two values of" in capsys.readouterr().err
    assert not Path("results/own/preview.h5").exists()
    assert Path("results/other/preview.h5").exists()


def test_what_goes_wrong_with_a_picture_at_the_end_costs_neither_exit_code_nor_points(
    probed, monkeypatch
):
    def broken(*_):
        raise MemoryError("no room for a picture")

    with monkeypatch.context() as patched:
        patched.setattr(step, "save_surface", broken)
        assert evaluate(stop=40, number=signal.SIGTERM) == 128 + signal.SIGTERM
    assert not Path("results/own/preview.h5").exists()
    assert evaluate() == 0
