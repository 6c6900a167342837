"""Nonsense through every door: configs, direction and surface files, command lines, names."""

import json
import random
from pathlib import Path

import h5py
import numpy as np
import yaml

from landscape_lib import config
from landscape_lib.core.errors import InputError
from landscape_lib.steps.dependencies import Dependencies
from tests.faults.damage import DAMAGES
from tests.faults.world import CONFIG, Done, call, inside

REPO = Path(__file__).resolve().parents[2]
DATA = REPO / "tests" / "data"
SCRIPTS = sorted(path.stem for path in (REPO / "scripts").glob("*.py"))
NASTY = [
    *(
        None,
        True,
        0,
        -1,
        10**30,
        1e-320,
        float("nan"),
        float("inf"),
        "",
        " ",
        "\0",
        "nan",
        "auto",
        "../..",
        "~",
    ),
    *(
        [],
        {},
        [[]],
        [1, 2, 3],
        {"x": {}},
        "a" * 300,
        "$(id)",
        "'",
        '"',
        "\n",
        "é\ud800",
        "-1",
        "-rf",
        "results",
    ),
]
WORDS = [
    *(
        "--config",
        "--run",
        "--shard",
        "--of",
        "--out",
        "--key",
        "--format",
        "--help",
        "--log",
        "--page",
    ),
    *(
        "config.yaml",
        "own",
        "0",
        "1",
        "-1",
        "2",
        "train_loss",
        "pdf",
        "x.h5",
        "",
        "--",
        "é",
        "results/own/x",
    ),
]


def case(draw: random.Random, folder: Path, truth: tuple[object, ...]) -> str:
    """Take one door; what comes out is done, or one message."""
    with inside(folder):
        before = {path for path in Path().rglob("*") if path.parts[0] != "results"}
        told = draw.choice(DOORS)(draw)
        after = {path for path in Path().rglob("*") if path.parts[0] != "results"}
        strange = sorted(map(str, after - before - {Path("x.h5"), Path("given.h5")}))
        strange = [name for name in strange if not name.startswith(("__pycache__", "logs"))]
        assert not strange, f"{told}: files outside of the results folder: {strange}"
        return told


def config_door(draw: random.Random) -> str:
    """Read a config in which something is another value, missing, twice or torn."""
    tree = json.loads(json.dumps(draw.choice(CONFIGS)))
    for _ in range(draw.randint(1, 3)):
        _change(tree, draw)
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    if draw.random() < 0.3:
        text = draw.choice(DAMAGES)(text.encode("utf-8", "surrogatepass"), draw).decode("latin-1")
    Path("given.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        Dependencies(config.load("given.yaml"))
    except InputError as error:
        return "config: refused" if str(error) else _fail("a refusal without a message")
    finally:
        Path("given.yaml").unlink()
    return "config: read"


def directions_door(draw: random.Random) -> str:
    """Name a direction file, of ours or of the original program, that somebody damaged."""
    source = draw.choice([Path("results/own/directions.h5"), DATA / "original_directions.h5"])
    _damaged_hdf5(source, draw)
    tree = json.loads(json.dumps(CONFIG))
    tree["runs"]["own"]["directions"] = {"kind": "file", "path": "given.h5"}
    Path("x.yaml").write_text(yaml.safe_dump(tree))
    done = call("make_directions", "--config", "x.yaml", "--run", "own", "--out", "results/x.h5")
    Path("x.yaml").unlink()
    return f"directions: {_outcome(done, {0, 1, 2})}"


def surface_door(draw: random.Random) -> str:
    """Draw a surface file, of ours or of an earlier tool, that somebody damaged."""
    sources = [Path("results/own/surface.h5"), *DATA.glob("*_surface.h5")]
    _damaged_hdf5(draw.choice(sources), draw)
    Path("given.h5").replace("results/own/surface.h5")
    done = call("export_vtp", "--config", "config.yaml", "--run", "own", "--key", "train_loss")
    return f"surface: {_outcome(done, {0, 1, 2})}"


def command_door(draw: random.Random) -> str:
    """Call a script with words in any order."""
    script = draw.choice([name for name in SCRIPTS if name not in {"make_all_explorer"}])
    words = [draw.choice(WORDS) for _ in range(draw.randrange(8))]
    words = [word for word in words if word not in {"--log", "x.h5"}]
    return f"command line: {_outcome(call(script, *words), {0, 1, 2})}"


def problem_door(draw: random.Random) -> str:
    """Name a problem that is not there, or a metric as nobody would."""
    letters = "abc:/.\\ ~$'\"\n\0é*?-_"
    name = "".join(draw.choice(letters) for _ in range(draw.randrange(20)))
    tree = json.loads(json.dumps(CONFIG))
    tree["runs"]["own"]["problem"] = draw.choice(
        [name, f"{name}:build", f"faults_problem.py:{name}"]
    )
    Path("x.yaml").write_text(yaml.safe_dump(tree))
    done = call("probe", "--config", "x.yaml", "--run", "own", "--out", "results/x.json")
    Path("x.yaml").unlink()
    return f"problem: {_outcome(done, {2})}"


def _fail(told: str) -> str:
    raise AssertionError(told)


def _outcome(done: Done, allowed: set[int]) -> str:
    assert done.code in allowed, f"exit code {done.code}: {done.said}"
    assert "Traceback" not in done.said, f"a traceback: {done.said}"
    if done.code:
        assert done.said.strip(), "an exit code without a message"
    return "done" if done.code == 0 else "refused"


def _damaged_hdf5(source: Path, draw: random.Random) -> None:
    """Write ``given.h5``: bytes damaged, or an object of the file renamed, gone or replaced."""
    content = source.read_bytes()
    if draw.random() < 0.5:
        Path("given.h5").write_bytes(draw.choice(DAMAGES)(content, draw))
        return
    Path("given.h5").write_bytes(content)
    with h5py.File("given.h5", "r+") as handle:
        names: list[str] = []
        handle.visit(names.append)
        name = draw.choice(names)
        if draw.random() < 0.3 and handle.attrs:
            handle.attrs[draw.choice(list(handle.attrs))] = draw.choice(
                [0, "x", "[]", "{}", b"\xff"]
            )
            return
        del handle[name]
        odd = [np.zeros((2, 0)), np.float64(1), np.full((3, 3), np.nan), "text", np.arange(5) > 2]
        if draw.random() < 0.8:
            handle[draw.choice([name, f"{name}x"])] = draw.choice(odd)


def _change(tree: dict, draw: random.Random) -> None:
    """Give one key of a nested mapping another value, another name, or none."""
    here = tree
    while True:
        key = draw.choice(list(here))
        if isinstance(here[key], dict) and here[key] and draw.random() < 0.8:
            here = here[key]
            continue
        break
    way = draw.random()
    if way < 0.6:
        here[key] = draw.choice(NASTY)
    elif way < 0.8:
        here[str(draw.choice(NASTY))] = here.pop(key)
    elif len(here) > 1 or here is not tree:
        del here[key]
    if not tree:
        tree["runs"] = {}


def _full() -> dict:
    """Return a config with a key of every part."""
    tree = json.loads(json.dumps(CONFIG))
    tree["runs"]["own"] |= {
        "directions": {
            "x": {"seed": 3, "ignore": None},
            "y": {"kind": "random", "normalize": "layer"},
        },
        "figures": {"cmap": "viridis", "vmin": 0.1, "vmax": 9, "formats": ["pdf", "svg"]},
        "paraview": {"log": True, "interp": 20, "zscale": "auto"},
        "verdict": {"eigenvalues": 2, "trace": False, "samples": 10},
    }
    return tree | {"comparison": {"runs": []}, "evaluation": {"precision": "float64"}}


CONFIGS = [CONFIG, _full()]
DOORS = (*[config_door] * 16, command_door, directions_door, surface_door, problem_door)
