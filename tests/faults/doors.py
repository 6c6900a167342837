"""Nonsense through every door: configs, files, records, journals, command lines, names."""

import contextlib
import hashlib
import importlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from landscape_lib.core.files import read_json
from landscape_lib.utils.journal import _checksum as checksum_of_a_line
from landscape_lib.utils.records import write_record
from landscape_lib.utils.storage import _refuse_damage
from tests.faults import nonsense
from tests.faults.damage import DAMAGES
from tests.faults.world import CONFIG, PROBLEM, RUN, Done, call, inside

REPO = Path(__file__).resolve().parents[2]
DATA = REPO / "tests" / "data"
SCRIPTS = sorted(path.stem for path in (REPO / "scripts").glob("*.py"))
SUBCOMMANDS = ("new", "check", "import", "snakefile")
SLOWEST_S = 60  # of processor time; what takes longer hangs
OWN = {"config.yaml", "faults_problem.py", "model.pt"}
READERS = {  # what reads each kind of record, and the rest of its command line
    "probe.json": [
        ("evaluate_shard", "--shard", "0", "--of", "3", "--out", "results/own/shards/0-of-3.h5"),
        ("merge_shards", "--of", "2", "--out", "results/own/surface.h5"),
        ("measure_centre", "--out", "results/own/centre.json"),
    ],
    "centre.json": [
        ("make_verdict", "--out", "results/own/verdict.json", "--page", "results/own/verdict.html"),
        ("plot_spectrum", "--format", "svg"),
    ],
    "verdict.json": [
        (
            "make_explorer",
            *("--verdict", "results/own/verdict.json", "--out", "results/own/explorer.html"),
        )
    ],
    "range.json": [
        ("evaluate_shard", "--shard", "0", "--of", "3", "--out", "results/own/shards/0-of-3.h5")
    ],
    "trajectory.json": [
        ("make_explorer", "--out", "results/own/explorer.html"),
        ("export_trajectory", "--key", "train_loss"),
    ],
    "rounds/0.json": [
        (
            "evaluate_shard",
            *("--shard", "0", "--of", "1", "--points", "results/own/rounds/0.json"),
            *("--out", "results/own/rounds/0/0-of-1.h5"),
        ),
        ("choose_points", "--round", "1", "--out", "results/own/rounds/1.json"),
    ],
}
RECORDS: dict[str, dict[str, Any]] = {  # of kinds that the small run has none of
    "centre.json": {
        "format": "landscape centre",
        "values": {"train_loss": 1.8, "train_acc": 40.0},
        "loss": "train_loss",
        "precision": "float32",
        "derivatives": "float32",
        "samples": 20,
        "directions": [{"kind": "random", "dir_type": "weights", "length": 6.1}] * 2,
        "norms": {"kinds": {"BatchNorm1d": 1}, "batch": 1},
        "indifferent": {"loss": 1.1},
        "spread": {"standard_error": 0.4, "samples": 20},
        "lowest": {
            "point": [0.3, 0.0],
            "difference": -0.05,
            "standard_error": 0.15,
            "samples": 20,
        },
        "bumps": {
            "places": [{"point": [0, 1], "axis": "x", "residual": 0.1, "standard_error": 0.2}],
            "samples": 20,
        },
        "statistics": {
            "points": [{"point": [0.0, 0.0], "fixed": 1.0, "fresh": 1.1}] * 2,
            "samples": 20,
        },
        "gradient": {
            "loss": 1.8,
            "norm": 1.1,
            "along": [-0.4, 0.2],
            "downhill_curvature": 0.3,
            "weights_norm": 6.4,
            "samples": 20,
        },
        "curvature": {"plane": [[1.7, -0.1], [-0.1, 1.5]], "samples": 20},
        "eigenvalues": {"values": [3.6, 1.0], "products": 31, "exact": True, "samples": 20},
        "trace": {"value": 4.2, "standard_error": 0.0, "probes": 0, "samples": 20},
        "density": {
            "nodes": [[0.0, 1.0], [0.5, 2.0]],
            "weights": [[0.5, 0.5], [0.9, 0.1]],
            "exact": False,
            "size": 31,
            "samples": 20,
        },
    },
    "verdict.json": {
        "format": "landscape verdict",
        "version": 1,
        "run": "own",
        "checks": [
            {"id": "a", "state": "note", "title": "b", "found": "c", "why": "d", "do": "e"},
        ],
        "numbers": [
            {
                **{"name": "n", "value": 1.5, "units": "", "key": "train_loss"},
                **{"definition": "d", "source": "s"},
            },
        ],
    },
    "range.json": {"range": {"x": [-1.0, 1.0], "y": [-1.0, 1.0]}, "level": 1.0},
    "trajectory.json": {
        "trajectories": [
            {
                "alpha": [0.0, 0.5, 1.0],
                "beta": [0.0, 0.2, 0.1],
                "name": "checkpoints",
                "distance": [1.0, 0.5, 0.0],
                "length": None,
                "labels": ["a", "b", "c"],
            }
        ]
    },
    "rounds/0.json": {
        "number": 0,
        "shards": 1,
        "round": {"indices": [0, 5, 11], "why": "to begin with"},
    },
}
SETTINGS: dict[str, dict[str, Any]] = {  # that make the run read a record
    "range.json": {"grid": {"x": ["auto", "auto", 4], "y": ["auto", "auto", 3]}},
    "trajectory.json": {"trajectory": {"checkpoints": ["model.pt", "model.pt"]}},
    "rounds/0.json": {"grid": {"x": [-1, 1, 4], "y": [0, 1, 3], "mode": "adaptive"}},
}


class HangError(BaseException):
    """Say that a case takes for ever; no ``except Exception`` may swallow it."""


def case(draw: random.Random, folder: Path, truth: tuple[object, ...]) -> str:
    """Take one door; what comes out is done, or one message."""
    return enter(draw.choice(DOORS), draw, folder)


def enter(door: Any, draw: random.Random, folder: Path) -> str:
    """Take a door in a folder; return what came out, and refuse what must not.

    Raises:
        AssertionError: Over a traceback, another exit code than 0 and 2, a file outside of the
            results folder, a file that is not whole, or a hang.
    """
    with inside(folder), _limited():
        before = _marks()
        try:
            told = door(draw)
        except HangError:
            raise AssertionError(f"{door.__name__}: no end after {SLOWEST_S} s") from None
        after = _marks()
        strange = [path for path in after if path not in before and not _allowed(path)]
        assert not strange, f"{told}: files outside of the results folder: {strange}"
        lost = [path for path in before if path.name in OWN and before[path] != after.get(path)]
        assert not lost, f"{told}: changed or gone: {lost}"
        for path in after:
            if before.get(path) != after[path] and path.name not in GIVEN.get(door, ()):
                _refuse_half(path, told)
        return str(told)


def config_door(draw: random.Random) -> str:
    """Give a program a config in which something is another value, missing, twice or torn."""
    tree = json.loads(json.dumps(draw.choice(CONFIGS)))
    for _ in range(draw.choice([1, 1, 2, 3])):
        nonsense.change(tree, draw)
    tree = tree or {"runs": {}}
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    if draw.random() < 0.05:
        text = re.sub(r"\b[0-9]+\b", f"0x{'f' * 5000}", text, count=1)
    content = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.3:
        content = draw.choice(DAMAGES)(content, draw)
    Path("x.yaml").write_bytes(content)
    script, *more = draw.choice(LIGHT)
    return f"config: {_outcome(call(script, *of_run(script), *more))}"


def directions_door(draw: random.Random) -> str:
    """Name a direction file, of ours or of another program, that somebody damaged."""
    source = draw.choice([RUN / "directions.h5", DATA / "original_directions.h5", "earlier"])
    if source == "earlier":
        source = _earlier_directions()
    _damaged_hdf5(Path(source), draw)
    _configure({"directions": {"kind": "file", "path": "x.h5"}})
    done = call("make_directions", *of_run(), "--out", "results/x.h5")
    return f"directions: {_outcome(done)}"


def surface_door(draw: random.Random) -> str:
    """Draw, import or explore a surface file, of ours or of an earlier tool, that is damaged."""
    sources = [RUN / "surface.h5", *DATA.glob("*_surface.h5"), *DATA.glob("l*.*")]
    source = draw.choice(sorted(sources))
    if source.suffix == ".npz":
        Path("x.h5").write_bytes(draw.choice(DAMAGES)(source.read_bytes(), draw))
    else:
        _damaged_hdf5(source, draw)
    way = draw.choice(["import", "export_vtp", "make_explorer", "plot_surface", "export_flat"])
    if way == "import":
        return f"surface: {_outcome(program('import', 'x.h5', '--out', 'results/new.h5'))}"
    Path("x.h5").replace(RUN / "surface.h5")
    more = {
        "export_vtp": ("--key", "train_loss"),
        "plot_surface": ("--key", "train_loss", "--format", "svg"),
        "make_explorer": ("--out", "results/own/explorer.html"),
    }.get(way, ())
    return f"surface: {_outcome(call(way, '--config', 'config.yaml', '--run', 'own', *more))}"


def record_door(draw: random.Random) -> str:
    """Change what a step wrote for the next: its checksum fits, its content is nonsense."""
    name = draw.choice(list(READERS))
    path = RUN / name
    found = json.loads(path.read_text()) if path.exists() else RECORDS[name]
    found = {key: value for key, value in json.loads(json.dumps(found)).items() if key != "sha256"}
    for _ in range(draw.randint(0, 2)):
        nonsense.change(found, draw)
    path.parent.mkdir(exist_ok=True)
    if draw.random() < 0.1:
        depth = draw.choice([900, 10**5])
        path.write_text('{"a":' * depth + draw.choice(["0", ""]) + "}" * depth)
    elif draw.random() < 0.15:
        path.write_text(json.dumps(found).replace("1", "1" * 6000, 1))
    else:
        with contextlib.suppress(ValueError):  # an integer of too many digits, a lone surrogate
            write_record(path, found)
    _configure(SETTINGS.get(name, {}))
    script, *more = draw.choice(READERS[name])
    return f"{name.partition('/')[0]}: {_outcome(call(script, *of_run(script), *more))}"


def journal_door(draw: random.Random) -> str:
    """Put lines into the journal: damaged ones, and nonsense whose checksum fits."""
    path = draw.choice(sorted(RUN.glob("journal/*/*.jsonl")))
    lines = path.read_bytes().splitlines(keepends=True)
    for _ in range(draw.randint(1, 3)):
        number = draw.randrange(len(lines))
        if draw.random() < 0.5:
            lines[number] = draw.choice(DAMAGES)(lines[number], draw)
            continue
        try:
            point = json.loads(lines[number][len('{"sum":"') + 16 + len('","point":') : -2])
        except (ValueError, RecursionError):  # of an earlier turn
            continue
        if draw.random() < 0.8:
            nonsense.change(point, draw)
            body = json.dumps(point, default=str) if draw.random() < 0.9 else "[" * 10**5
        else:
            body = json.dumps({"at": [0, 0], "values": {"train_loss": 10**400}, "plan": ""})
        lines[number] = f'{{"sum":"{checksum_of_a_line(body)}","point":{body}}}\n'.encode()
        lines = lines or [b"\n"]
    path.write_bytes(b"".join(lines))
    script, *more = "evaluate_shard", "--shard", "0", "--of", "3"
    more += ["--out", "results/own/shards/0-of-3.h5"]
    if draw.random() < 0.04:  # it draws everything, which takes a second
        script, more = "preview", []
    done = call(script, "--config", "config.yaml", "--run", "own", *more)
    apart = "different values by two writers" in done.said  # a disagreement, which ends with 1
    return f"journal: {_outcome(done, {0, 1, 2} if apart else {0, 2})}"


def command_door(draw: random.Random) -> str:
    """Call a program with words in any order."""
    program_name, words = a_command(draw)
    if program_name in SUBCOMMANDS:
        return f"command line: {_outcome(program(program_name, *words))}"
    return f"command line: {_outcome(call(program_name, *words))}"


def problem_door(draw: random.Random) -> str:
    """Name a problem that is not there."""
    name = nonsense.name(draw)
    _configure({"problem": draw.choice([name, f"{name}:build", f"faults_problem.py:{name}"])})
    done = call("probe", *of_run(), "--out", "results/x.json")
    return f"problem: {_outcome(done, {2})}"


def metric_door(draw: random.Random) -> str:
    """Give metrics names as nobody would, and draw them."""
    names = [nonsense.name(draw, draw.choice([3, 12, 120])) for _ in range(draw.randint(1, 2))]
    metrics = f"metrics=dict.fromkeys({names!r}, nn.CrossEntropyLoss())"
    text = PROBLEM.replace("torch.arange(20) % 3))", f"torch.arange(20) % 3), {metrics})")
    Path("x_faults_problem.py").write_text(text, errors="surrogatepass")
    _configure({"problem": "x_faults_problem.py:build", "grid": {"x": [-1, 1, 3]}})
    shutil.rmtree("results")
    for script, *more in METRIC_STEPS:
        keys = read_json(RUN / "probe.json")["keys"] if script == "plot_surface" else []
        done = call(script, *of_run(), *more, *[f"--key={key}" for key in keys[:1]])
        if done.code:
            break
    return f"metric name: {_outcome(done)}"


def a_command(draw: random.Random) -> tuple[str, list[str]]:
    """Return a program, and words for it."""
    name = draw.choice([*SCRIPTS, *SUBCOMMANDS])
    options = _options(name)
    if draw.random() < 0.5 and name in SCRIPTS:  # what is needed is there, and is right
        start = [*of_run(name, "config.yaml"), *(o for o in ("--out",) if o in options)]
        start += ["results/own/x"] if "--out" in options else []
        start += ["--key", "train_loss"] if "--key" in options else []
    else:
        start = []
    words = [*start, *nonsense.words(draw, options)]
    if name == "new":  # writes where it is told to
        words = [word for word in words if word.startswith("-") or word in {"results", ""}]
    words = ["results/own/log" if word == "x.h5" else word for word in words]
    for place, word in enumerate(words):  # what somebody asks for lies where they say
        if place and words[place - 1] == "--out" and "/" not in word and not word.startswith("-"):
            words[place] = f"results/{word}"
    return name, words


def spawned(draw: random.Random, folder: Path) -> str:
    """Type a command line in a process of its own: a script, a subcommand, or the pipeline."""
    name, words = a_command(draw)
    words = [word.replace("\0", "") for word in words]
    content = b""
    if draw.random() < 0.1:
        name, (command, content) = "snakemake", _pipeline(draw)
    elif name in SUBCOMMANDS:
        command = [sys.executable, "-m", "landscape_lib", name, *words]
    else:
        command = [sys.executable, str(REPO / "scripts" / f"{name}.py"), *words]
    own = {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}

    def door(draw: random.Random) -> str:
        if content:
            Path("x.yaml").write_bytes(content)
        done = subprocess.run(
            command,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10 * SLOWEST_S,
            check=False,
        )
        said = Done(done.returncode, done.stdout.decode(errors="replace"))
        allowed = {0, 1, 2} if name == "snakemake" else {0, 2}  # 1: a job of it failed
        return f"in a process, {name}: {_outcome(said, allowed)}"

    return enter(door, draw, folder)


def _pipeline(draw: random.Random) -> tuple[list[str], bytes]:
    """Return Snakemake's command, and a config for it that makes no sense, mostly."""
    tree = json.loads(json.dumps(draw.choice(CONFIGS)))
    nonsense.change(tree, draw)
    content = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    command = [
        *(sys.executable, "-m", "snakemake", "-s", str(REPO / "workflow/Snakefile")),
        *("--cores", "1", "--resources", "gpu=1", "--configfile", "x.yaml", "-n"),
    ]
    return command, content


def of_run(script: str = "", config: str = "x.yaml") -> list[str]:
    """Return the words that say which run a script works on."""
    one = "--run" in _options(script) if script else True
    return ["--config", config, *(["--run", "own"] if one else [])]


def program(*words: str) -> Done:
    """Call ``python -m landscape_lib`` in this process."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = importlib.import_module("landscape_lib.__main__").main(list(words))
        except SystemExit as error:  # argparse
            code = error.code if isinstance(error.code, int) else 1
    return Done(code, said.getvalue())


def _options(name: str, _known: dict[str, list[str]] = {}) -> list[str]:  # noqa: B006  (a cache)
    """Return the options that a program says it has; without ``--log``, which writes anywhere."""
    if name not in _known:
        done = program(name, "--help") if name in SUBCOMMANDS else call(name, "--help")
        found = set(re.findall(r"--[a-z]+", done.said)) - {"--log", "--help"}
        _known[name] = sorted(found)
    return _known[name]


def _outcome(done: Done, allowed: frozenset[int] | set[int] = frozenset({0, 2})) -> str:
    assert done.code in allowed, f"exit code {done.code}: {done.said}"
    assert "Traceback" not in done.said, f"a traceback: {done.said}"
    if done.code:
        assert done.said.strip(), "an exit code without a message"
        messages = sum(line.startswith("Error: ") for line in done.said.splitlines())
        assert messages <= 1, f"more than one message: {done.said}"
    return "done" if done.code == 0 else "refused"


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise ``HangError`` in what takes too long, by the processor's clock."""

    def late(number: int, frame: Any) -> None:
        raise HangError

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SLOWEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _marks() -> dict[Path, tuple[int, ...]]:
    """Return every file of the folder, and what tells whether it is another one."""
    files = [path for path in Path().rglob("*") if not path.is_dir()]
    found = {path: path.lstat() for path in files}
    return {p: (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in found.items()}


def _allowed(path: Path) -> bool:
    first = path.parts[0]
    places = {"results", "logs", ".snakemake", "x.yaml", "x.h5", "x_faults_problem.py"}
    return first in places or "__pycache__" in path.parts


def _refuse_half(path: Path, told: str) -> None:
    """Refuse a file that was written and is not whole."""
    if path.parts[0] != "results" or "journal" in path.parts:
        return
    assert path.suffix != ".tmp", f"{told}: {path} is left"
    content = path.read_bytes()
    endings = {
        ".pdf": b"%%EOF",
        ".svg": b"</svg>",
        ".html": b"</html>",
        ".vtp": b"</VTKFile>",
        ".pvd": b"</VTKFile>",
    }
    ending = endings.get(path.suffix, b"")
    assert content.strip().endswith(ending), f"{told}: {path} is not whole"
    if path.suffix == ".h5" and content.find(b"\nSHA-256 of all") >= 0:
        _refuse_damage(path, "")


def _configure(own: dict[str, Any]) -> None:
    tree = json.loads(json.dumps(CONFIG))
    tree["runs"]["own"] |= own
    Path("x.yaml").write_bytes(yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))


def _earlier_directions() -> Path:
    """Write directions as the single-GPU library does: no names, no ``dir_file``."""
    path = Path("results/earlier.h5")
    with h5py.File(RUN / "directions.h5") as ours, h5py.File(path, "w") as theirs:
        for group in ("xdirection", "ydirection"):
            for number in ours[group]:
                theirs[f"{group}/{number}"] = ours[group][number][()]
    return path


def _damaged_hdf5(source: Path, draw: random.Random) -> None:
    """Write ``x.h5``: bytes damaged, or an object of the file renamed, gone or replaced."""
    content = source.read_bytes()
    if draw.random() < 0.5:
        Path("x.h5").write_bytes(draw.choice(DAMAGES)(content, draw))
        return
    Path("x.h5").write_bytes(content)
    with h5py.File("x.h5", "r+") as handle:
        names: list[str] = []
        handle.visit(names.append)
        name = draw.choice(names)
        if draw.random() < 0.3 and handle.attrs:
            odd = [0, "x", "[]", "{}", b"\xff", "[" * 10**4, "[[1e999, 0, 1]]", "[[0, 1, 1e18]]"]
            handle.attrs[draw.choice(list(handle.attrs))] = draw.choice(odd)
            _seal_again(handle, draw)
            return
        del handle[name]
        odd = [np.zeros((2, 0)), np.float64(1), np.full((3, 3), np.nan), "text", np.arange(5) > 2]
        odd += [np.zeros(3, dtype="i4,f8"), ["a", "b"], np.array(1j), np.full((4, 3), 1e300)]
        if draw.random() < 0.8:
            handle[draw.choice([name, f"{name}x"])] = draw.choice(odd)
        _seal_again(handle, draw)


def _seal_again(handle: h5py.File, draw: random.Random) -> None:
    """Give the changed file a checksum that fits, mostly: so would who means harm."""
    path = Path(handle.filename)
    handle.close()
    if draw.random() < 0.8:
        content = path.read_bytes()
        mark = b"\nSHA-256 of all before this line: "
        inside = content[: content.rfind(mark)] if mark in content else content
        path.write_bytes(inside + mark + hashlib.sha256(inside).hexdigest().encode())


def _full() -> dict[str, Any]:
    """Return a config with a key of every part."""
    tree = json.loads(json.dumps(CONFIG))
    tree["runs"]["own"] |= {
        "directions": {
            "x": {"seed": 3, "ignore": None, "layers": ["*"]},
            "y": {"kind": "random", "normalize": "layer"},
        },
        "figures": {"cmap": "viridis", "vmin": 0.1, "vmax": 9, "formats": ["pdf", "svg"]},
        "paraview": {"log": True, "interp": 20, "zscale": "auto"},
        "verdict": {"eigenvalues": 2, "trace": False, "samples": 10},
        "metrics": {"entropy": {"metric": "cross_entropy", "args": {}}, "acc": "accuracy"},
        "files": [],
        "trajectory": {"one": ["model.pt", "model.pt"]},
    }
    return tree | {"comparison": {"runs": []}, "evaluation": {"precision": "float64"}}


def _newer() -> dict[str, Any]:
    """Return a config of what draws several runs from one."""
    tree = json.loads(json.dumps(CONFIG))
    tree["runs"]["own"] |= {
        "seeds": 2,
        "over_training": ["model.pt", "model.pt"],
        "frames": 2,
        "film": "gif",
        "per_layer": ["0.*"],
        "compare_batch_norm": False,
        "directions": {"kind": "pca", "checkpoints": ["model.pt", "model.pt"]},
    }
    tree["runs"]["other"] = {**CONFIG["runs"]["own"], "grid": {"x": [-1, 1, 3]}}
    return tree | {"comparison": {"runs": ["own", "other"], "groups": {"g": ["own", "other"]}}}


CONFIGS: list[dict[str, Any]] = [CONFIG, _full(), _newer()]
LIGHT = [  # programs that read the config, and end soon whatever it says
    ("merge_shards", "--of", "7", "--out", "results/own/x.h5"),
    ("make_verdict", "--out", "results/own/x.json", "--page", "results/own/x.html"),
    ("plot_spectrum",),
    ("plot_seeds", "--key", "train_loss"),
    ("compare_runs", "--key", "no_such"),
    ("export_vtp", "--key", "no_such"),
    ("plot_over_training", "--key", "train_loss"),
    ("choose_range", "--out", "results/own/x.json"),
    ("make_directions", "--out", "results/own/x.h5"),
    ("probe", "--out", "results/own/x.json"),
]
METRIC_STEPS = [
    ("make_directions", "--out", "results/own/directions.h5"),
    ("probe", "--out", "results/own/probe.json"),
    ("evaluate_shard", "--shard", "0", "--of", "1", "--out", "results/own/shards/0-of-1.h5"),
    ("merge_shards", "--of", "1", "--out", "results/own/surface.h5"),
    ("plot_surface", "--format", "svg"),
]
GIVEN = {surface_door: {"surface.h5"}}  # what a door itself puts below results/
DOORS = (
    *[config_door] * 10,
    *[command_door] * 3,
    *[directions_door] * 2,
    *[surface_door] * 2,
    *[record_door] * 2,
    *[journal_door] * 2,
    problem_door,
    metric_door,
)
