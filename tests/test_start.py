"""From nothing to a landscape of one's own: what `new` writes runs, and `check` says its cost."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from landscape_lib import config
from landscape_lib.__main__ import main
from landscape_lib.start import new
from landscape_lib.steps.train import train_model
from landscape_lib.utils import pipeline


@pytest.fixture
def trained_at_once(monkeypatch):
    """Let the model be trained here when the pipeline is asked to; return what it was asked."""
    asked, others = [], subprocess.run

    def run(command, **options):
        if "snakemake" not in command:
            return others(command, **options)
        asked.append(command)
        run = config.load(command[-1]).run("mine")
        train_model(run, run.path("model.pt"))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("problem", "_problem_problem"):
        sys.modules.pop(name, None)


def test_what_new_writes_is_checked_at_the_first_try(here, capsys, trained_at_once):
    assert main(["new", "work/mine"]) == 0
    assert "check work/mine" in capsys.readouterr().out
    shortened(Path("work/mine/config.yaml"))
    assert main(["check", "work/mine"]) == 0
    (command,) = trained_at_once
    assert "results/mine/model.pt.sha256" in command
    told = capsys.readouterr().out
    assert re.search(r"^0\.weight +\(64, 64\) +filter ", told, re.MULTILINE)
    assert re.search(r"^0\.bias +\(64,\) +biasbn .* 0 +0$", told, re.MULTILINE)
    for key in ("train_loss", "train_acc", "test_loss", "test_acc"):
        assert re.search(rf"^{key} +\d", told, re.MULTILINE)
    assert re.search(r"^samples +1,437 train, 360 test$", told, re.MULTILINE)
    assert re.search(r"^a point +[\d.]+ m?s, [\d,]+ samples/s$", told, re.MULTILINE)
    assert "5 x 3 = 15 points in 1 shard" in told
    assert re.search(
        r"^evaluating it +about [\d.]+ (ms|s|min|h) on this machine", told, re.MULTILINE
    )
    assert re.search(r"^memory +about [\d.]+ GB$", told, re.MULTILINE)
    results = [path for path in Path("results").rglob("*") if path.suffix in {".h5", ".json"}]
    assert all("journal" in path.parts for path in results)  # nothing that the pipeline makes


def test_a_check_tells_what_is_missing_where_the_results_will_lie(here, capsys, monkeypatch):
    from landscape_lib.steps import check
    from landscape_lib.utils import sharing

    assert main(["new", "mine"]) == 0
    Path("mounts").write_text(f"9 1 0:9 / {here} rw - fuse.sshfs me@there:/x rw,user_id=0\n")
    monkeypatch.setattr(sharing, "MOUNTS", Path("mounts"))
    monkeypatch.setattr(check, "_train", lambda config, runs: None)
    monkeypatch.setattr(check, "_looked_at", lambda run, start_s: run.name)
    assert main(["check", "mine"]) == 0
    told = capsys.readouterr().err
    assert told.count(f"{here} (fuse.sshfs at {here}): file locks hold within this host alone") == 1


def shortened(config_path):
    """Make what `new` wrote small, for a test."""
    tree = yaml.safe_load(config_path.read_text())
    tree["runs"]["mine"]["grid"] = {"x": [-1, 1, 5], "y": [-1, 1, 3]}
    tree["runs"]["mine"]["train"]["args"]["epochs"] = 1
    config_path.write_text(yaml.safe_dump(tree))


def test_new_and_check_do_without_snakemake(here, capsys, monkeypatch):
    """Then `check` trains the model itself, once, and says how to get what draws."""
    monkeypatch.setitem(sys.modules, "snakemake", None)
    assert main(["new", "mine"]) == 0
    assert "\n  pip install 'landscape-lib[workflow]'\n" in capsys.readouterr().out
    shortened(Path("mine/config.yaml"))
    assert main(["check", "mine"]) == 0
    told = capsys.readouterr()
    assert "mine: trained, results/mine/model.pt written." in told.err
    assert "5 x 3 = 15 points in 1 shard" in told.out
    assert "\n  pip install 'landscape-lib[workflow]'\n" in told.out
    assert main(["check", "mine"]) == 0
    assert "trained" not in capsys.readouterr().err


def test_commands_are_those_of_the_place_where_they_are_typed(here, capsys, monkeypatch):
    assert main(["snakefile"]) == 0
    snakefile = Path(capsys.readouterr().out.rstrip("\n"))
    assert snakefile.read_text().startswith("# From a config file to every picture")
    assert main(["new", "mine"]) == 0
    told = capsys.readouterr().out
    command = 'snakemake --snakefile "$(python -m landscape_lib snakefile)" --cores 1'
    assert f"  {command} --resources gpu=1 --configfile mine/config.yaml\n" in told
    assert command in Path("mine/README.md").read_text()
    monkeypatch.chdir(snakefile.parents[1])
    assert pipeline.command("a b.yaml").startswith("uv run snakemake --cores 1")
    assert pipeline.command("a b.yaml").endswith("--configfile 'a b.yaml'")
    assert pipeline.python() == "uv run python"


def test_new_never_overwrites(here, capsys):
    Path("mine").mkdir()
    Path("mine/problem.py").write_text("precious")
    assert main(["new", "mine"]) == 2
    assert "mine/problem.py: there already, and not overwritten" in capsys.readouterr().err
    assert [path.name for path in Path("mine").iterdir()] == ["problem.py"]
    assert Path("mine/problem.py").read_text() == "precious"


@pytest.mark.parametrize("folder", ["a b", "-x", "..", "comparison", "q$/mine"])
def test_a_folder_that_cannot_be_a_run_is_refused(here, capsys, folder):
    with pytest.raises(ValueError, match="A-Z a-z 0-9"):
        new(Path(folder))
    assert list(here.iterdir()) == []


def test_a_check_of_nothing_says_what_there_could_be(here, capsys):
    assert main(["check", "mine"]) == 2
    assert "python -m landscape_lib new my-landscape" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_named(here, capsys):
    new(Path("mine"))
    assert main(["check", "mine", "--only", "yours"]) == 2
    assert "there is no run 'yours'; choose one of ['mine']" in capsys.readouterr().err


def test_training_that_fails_ends_in_a_message(here, capsys, monkeypatch):
    new(Path("mine"))
    failed = subprocess.CompletedProcess([], 1)
    runs_and_fails = SimpleNamespace(run=lambda command, **options: failed)
    monkeypatch.setattr("landscape_lib.steps.check.subprocess", runs_and_fails)
    assert main(["check", "mine"]) == 2
    assert "results/mine/model.pt.sha256: could not be made" in capsys.readouterr().err


def test_a_program_ends_with_its_code_and_what_is_registered_for_the_end_is_done():
    """It leaves without a last search for garbage: a fifth of a short job."""
    code = (
        "import atexit; from landscape_lib import cli; atexit.register(print, 'done'); cli.leave(7)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (7, "done\n")


def test_a_program_that_loaded_triton_ends_without_a_word_of_its_bindings():
    """As every program does that imports torchmetrics where Triton is installed."""
    pytest.importorskip("triton", reason="it comes with torch for NVIDIA GPUs: uv sync on Linux")
    code = "import triton; from landscape_lib import cli; cli.leave(0)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
