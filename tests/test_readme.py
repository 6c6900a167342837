"""The README's code runs as it stands."""

import re

import h5py
import torch
import yaml
from torch import nn

from tests.pipeline.conftest import REPO, Project

README = (REPO / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_library_example_prints_and_draws_a_surface(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = (block for block in blocks("python") if "LossLandscape" in block)
    exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.count("[") == 1 + 5  # 5 rows of 4
    assert len(list(tmp_path.glob("*.pdf"))) == 2 * 4


def test_a_model_of_ones_own_is_drawn_from_the_readme_alone(tmp_path):
    (problem,) = (block for block in blocks("python") if "def build" in block)
    (config,) = blocks("yaml")
    (tmp_path / "my_problem.py").write_text(problem)
    settings = yaml.safe_load(config)
    settings["runs"]["mine"]["grid"] = {"x": [-1, 1, 3], "y": [-1, 1, 2]}  # in small
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))
    torch.save(model.state_dict(), tmp_path / "my_model.pt")
    torch.save((torch.randn(30, 2), torch.arange(30) % 3), tmp_path / "my_data.pt")
    project = Project(tmp_path)
    project.run("results/mine/surface.h5", "results/mine/figures/train_acc_2dheat.pdf")
    with h5py.File(tmp_path / "results/mine/surface.h5") as surface:
        assert surface["train_loss"].shape == surface["train_acc"].shape == (3, 2)


def wrong_sizes(text):
    """Return what a text says wrongly of the memory of so many points of float64."""
    said = re.findall(r"((\d+) ?[x×] ?(\d+)[^|\n]{0,60}?(\d[\d.]*) ?(bytes|KB|MB|GB)\b)", text)
    units = {"bytes": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
    return [
        words
        for words, nx, ny, number, unit in said
        if abs(float(number) * units[unit] / (8 * int(nx) * int(ny)) - 1) > 0.03
    ]


def test_what_the_docs_say_of_a_surfaces_memory_is_right_trap_34():
    files = [REPO / "README.md", REPO / "config" / "README.md", *(REPO / "docs").glob("*.md")]
    texts = [path.read_text() for path in files]
    assert any("21 x 21 points of float64 take 3.5 KB" in text for text in texts)
    assert [words for text in texts for words in wrong_sizes(text)] == []
    assert wrong_sizes("A 51 x 51 surface takes 21 KB, a 21 x 21 surface takes 3.5 MB.") == [
        "21 x 21 surface takes 3.5 MB"
    ]


def test_the_readme_names_the_commands_that_continuous_integration_runs():
    (commands,) = (block for block in blocks("bash") if "pytest" in block)
    script = (REPO / ".ci" / "run").read_text()
    for command in commands.strip().splitlines():
        assert command in script or "--cores 1" in command


def test_the_demo_and_its_small_sister_are_what_the_readme_says():
    from landscape_lib import config

    demo = config.load(REPO / "config" / "config.yaml")
    assert set(demo.runs) == {"with_skips", "without_skips"}
    trained = [run.train.args for run in demo.runs.values()]
    assert {**trained[0], "skip": None} == {**trained[1], "skip": None}  # nothing else differs
    assert all(run.shards >= 4 for run in demo.runs.values())
    assert f"networks of {trained[0]['depth']} layers" in README
    assert set(config.load(REPO / "config" / "smoke.yaml").runs) == {"smoke_skips", "smoke_curve"}
