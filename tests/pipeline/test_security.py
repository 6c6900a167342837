"""No name out of a config or a problem is ever taken for a command, an option or a path."""

import json
import os
import re

import numpy as np
import pytest
import torch
import yaml

from landscape_lib.config.schema import schema
from landscape_lib.core.files import write_text
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Surface
from landscape_lib.utils.journal import Journal
from landscape_lib.utils.storage import save_surface
from landscape_lib.viz.names import file_name
from tests.pipeline.conftest import REPO, new_project

EVIL = "$(touch owned); `touch owned`; ' \" \\ & touch owned #"
LONG = "".join(map(str, range(48)))  # 86 letters
CONFIG = "--c'o\"n;f$(touch\towned)&.yaml"  # no space: argparse would not take it for an option
PROBLEM = """\
import torch
from torch import nn

from landscape_lib import Problem

NAME = {name!r}


def build(**args):
    net = nn.Sequential()
    net.add_module(NAME, nn.Linear(2, 3))
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    return Problem(net, (torch.zeros(3, 2), torch.arange(3)))


def train(**args):
    return build().model.state_dict()
"""


def evil_project(folder):
    """Write a project whose every name is a command, its folder's and its config's among them."""
    project = new_project(folder / 'it\'s $(touch owned) "here"')
    place = project.folder
    (place / f"{EVIL}.py").write_text(PROBLEM.format(name=EVIL))
    weights = {f"{EVIL}.weight": torch.ones(3, 2), f"{EVIL}.bias": torch.zeros(3)}
    for name in ("", " 1", " 2"):
        torch.save(weights, place / f"{EVIL}{name}.pt")
        weights = {key: tensor + 1 for key, tensor in weights.items()}
    (place / f"{EVIL}.mplstyle").write_text("font.size: 7\n")
    (place / f"{EVIL}.h5").write_bytes((REPO / "tests/data/original_directions.h5").read_bytes())
    metrics = dict.fromkeys([EVIL, f"-{LONG}"], "cross_entropy")
    problem = {"problem": f"{EVIL}.py:build", "metrics": metrics}
    checkpoints = [f"{EVIL} 1.pt", f"{EVIL} 2.pt"]
    one = problem | {
        "args": {
            EVIL: EVIL,
            "--config": "-rf",
            "line\nbreak": "../" * 9 + "etc/passwd",
            LONG: "x" * 300,
        },
        "files": [f"{EVIL}.pt"],
        "grid": {"x": [-1, 1, 3]},
        "directions": {"kind": "target", "model": f"{EVIL} 1.pt", "layers": [f"{EVIL}.weight"]},
        "trajectory": {EVIL: checkpoints},
        "figures": {"formats": ["svg"], "style": f"{EVIL}.mplstyle"},
    }
    trained = problem | {
        "grid": {"x": [-1, 1, 3]},
        "args": {"checkpoint": "results/trained/model.pt"},
        "train": {"function": f"{EVIL}.py:train", "args": {EVIL: EVIL}},
    }
    plane = problem | {
        "grid": {"x": [-1, 1, 5], "y": [-1, 1, 5], "mode": "adaptive", "metric": EVIL},
        "directions": {"kind": "pca", "checkpoints": checkpoints},
        "per_layer": [f"{EVIL}.*"],
    }
    film = problem | {
        "grid": {"x": [-1, 1, 3]},
        "directions": {"kind": "file", "path": f"{EVIL}.h5"},
        "over_training": checkpoints,
        "frames": 2,
    }
    config = {
        "runs": {"one": one, "trained": trained, "plane": plane, "film": film},
        "comparison": {"style": f"{EVIL}.mplstyle", "groups": {EVIL: ["one", "trained"]}},
    }
    (place / "config.yaml").unlink()
    (place / CONFIG).write_text(yaml.safe_dump(config))
    return project, config


FREE = ("$(touch owned)", "touch owned.py:build")  # what only a setting of free text lets through
REFUSED = {  # free text by its type, of which the reader knows better: it is never used
    "figures.cmap",
    "comparison.cmap",
    "comparison.runs",
    "evaluation.plan",
}


def is_free(entry, told):
    """Whether a setting of this JSON schema takes any text, somewhere in its value."""
    entry = told["definitions"].get(entry.get("$ref", "").rpartition("/")[2], entry)
    if "enum" in entry:
        return False
    if "string" in (entry.get("type"), *entry.get("type", [])):
        return any(re.search(entry.get("pattern", ""), text) for text in FREE)
    if entry.get("type") == ["object", "null"] or entry.get("type") == "object":
        return not entry.get("properties")
    inner = entry["items"] if isinstance(entry.get("items"), dict) else {}
    return any(is_free(one, told) for one in [*entry.get("anyOf", []), inner] if one)


def free_settings():
    """Every setting of free text that a config has, ``section.key``, whoever added it when."""
    told = schema()
    parts = {**told["definitions"], "comparison": told["properties"]["comparison"]}
    return {
        f"{part}.{key}"
        for part, entry in parts.items()
        for key, setting in entry["properties"].items()
        if setting.get("$ref") is None and is_free(setting, told)
    }


def evil_settings(tree, part="run"):
    """Return the settings of a config in which a command is hidden, ``section.key``."""
    sections = {"grid", "directions", "evaluation", "figures", "paraview", "verdict", "train"}
    found = set()
    for key, value in tree.items():
        if isinstance(value, dict) and key in (*sections, "x", "y"):
            found |= evil_settings(value, part if key in ("x", "y") else key)
        elif "touch owned" in json.dumps(value):
            found.add(f"{part}.{key}")
    return found


def test_every_setting_of_free_text_holds_a_command_and_none_is_run(tmp_path):
    """New settings are found by their schema; those that this config lacks fail here."""
    project, config = evil_project(tmp_path)
    runs = config["runs"].values()
    tested = set().union(*map(evil_settings, runs))
    tested |= evil_settings(config["comparison"], "comparison")
    assert free_settings() - REFUSED == tested
    keys = (f"train_loss_{EVIL}", f"train_loss_-{LONG}")
    pictures = [f"results/one/figures/{file_name(key)}_1d.svg" for key in keys]
    command = [part.replace("config.yaml", f"./{CONFIG}") for part in project.command(*pictures)]
    project.command = lambda *arguments: command
    output = project.run()
    assert all((project.folder / picture).stat().st_size for picture in pictures)
    assert "Traceback" not in output
    assert not [path for path in tmp_path.rglob("*") if path.name in {"owned", '"owned'}]
    assert {path.name for path in tmp_path.iterdir()} == {project.folder.name}


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


def test_nothing_of_a_config_reaches_a_shell_but_names_that_are_quoted():
    """Whatever is not quoted is made of names that a wildcard's pattern has let through."""
    unquoted = set()
    for path in (REPO / "workflow/rules").glob("*.smk"):
        lines = re.findall(r"shell:\n((?: +\".*\"\n)+)", path.read_text())
        assert lines or path.stem == "common"
        unquoted |= set(re.findall(r"\{([a-z_.]+)\}", "".join(lines)))
    names = {"wildcards.run", "wildcards.key", "wildcards.format"}
    names |= {"wildcards.k", "wildcards.n", "wildcards.round", "params.n", "params.points"}
    files = {"output", "log", "input.verdict"}
    files |= {f"output.{name}" for name in ("directions", "model", "verdict", "page")}
    assert unquoted <= names | files


def test_a_result_replaces_a_link_and_is_never_written_through_it(tmp_path):
    """A stranger's results folder may hold a link to a file of yours."""
    yours = tmp_path / "yours.txt"
    yours.write_text("kept")
    (tmp_path / "results").mkdir()
    place = tmp_path / "results" / "verdict.json"
    place.symlink_to(yours)
    write_text(place, "new")
    assert yours.read_text() == "kept"
    assert not place.is_symlink()
    assert place.read_text() == "new"


def test_a_results_folder_may_lie_elsewhere_behind_a_link_of_the_users(tmp_path):
    """As on clusters, where large files belong on another disk."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "scratch")
    write_text(tmp_path / "results/one/verdict.json", "new")
    assert (tmp_path / "scratch/one/verdict.json").read_text() == "new"
    assert (tmp_path / "results").is_symlink()


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_results_are_made_with_the_users_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "new/verdict.json", "{}")
        grid = Grid((Axis(-1, 1, 3),))
        save_surface(tmp_path / "new/surface.h5", Surface(grid, {"train_loss": np.zeros(3)}))
    finally:
        os.umask(before)
    for path in (tmp_path / "new").iterdir():
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~mask
