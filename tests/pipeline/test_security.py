"""No name out of a config or a problem is ever taken for a command, an option or a path."""

import os

import pytest
import yaml

from landscape_lib.utils.journal import Journal
from landscape_lib.viz.names import file_name
from tests.pipeline.conftest import new_project

EVIL = "$(touch owned); `touch owned`; ' \" \\ & touch owned #"
LONG = "".join(map(str, range(48)))  # 86 letters
CONFIG = "--c'o\"n;f$(touch\towned)&.yaml"  # no space: argparse would not take it for an option
PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem

NAMES = {names!r}


def build(**args):
    def metric(net, loader, use_cuda):
        return dict.fromkeys(NAMES, float(net.weight.sum()))

    net = nn.Linear(2, 1, bias=False)
    nn.init.ones_(net.weight)
    return Problem(net, (torch.zeros(3, 2), torch.zeros(3, 1)), metrics=metric)
"""


def test_names_with_quotes_semicolons_and_substitutions_go_through_the_pipeline(tmp_path):
    """From the config's own name over arguments to metrics: they are names, and nothing happens."""
    project = new_project(tmp_path / 'it\'s $(touch owned) "here"')
    (project.folder / "evil.py").write_text(PROBLEM.format(names=[EVIL, f"-{LONG}"]))
    run = {
        "problem": "evil.py:build",
        "args": {
            EVIL: EVIL,
            "--config": "-rf",
            "line\nbreak": "../" * 9 + "etc/passwd",
            LONG: LONG,
        },
        "grid": {"x": [-1, 1, 3]},
        "figures": {"formats": ["svg"]},
    }
    (project.folder / "config.yaml").write_text(yaml.safe_dump({"runs": {"one": run}}))
    (project.folder / "config.yaml").rename(project.folder / CONFIG)
    keys = [f"train_loss_{EVIL}", f"train_loss_-{LONG}"]
    pictures = [f"results/one/figures/{file_name(key)}_1d.svg" for key in keys]
    command = [part.replace("config.yaml", f"./{CONFIG}") for part in project.command(*pictures)]
    project.command = lambda *arguments: command
    project.run()
    assert all((project.folder / picture).stat().st_size for picture in pictures)
    assert not list(tmp_path.rglob("*owned"))
    above = {path.name for path in tmp_path.iterdir()}
    assert above == {project.folder.name}


@pytest.mark.parametrize("name", ["../up", "a/b", "-rf", ".hidden", "a b", "$(x)", "x" * 300, ""])
def test_a_run_is_a_folder_below_results_and_nowhere_else(tmp_path, name):
    from landscape_lib import config
    from landscape_lib.core.errors import InputError

    path = tmp_path / "c.yaml"
    runs = {name: {"problem": "own.py:build", "grid": {"x": [0, 1, 2]}}}
    path.write_text(yaml.safe_dump({"runs": runs}))
    with pytest.raises(InputError, match="up to 100 of A-Z a-z 0-9"):
        config.load(path)


def test_files_are_made_with_the_users_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with Journal(tmp_path / "journal") as journal:
            journal.append((0.0,), {"loss": 1.0}, "{}")
    finally:
        os.umask(before)
    (path,) = (tmp_path / "journal").iterdir()
    assert path.stat().st_mode & 0o777 == 0o640
