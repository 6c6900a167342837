"""What a user is told: one message that names what was found, what was wanted, what to do."""

import importlib.util
import json
import os
import resource
import subprocess
import sys

import h5py
import pytest
import torch
import yaml

from tests.pipeline.conftest import REPO, Project, new_project

SCRIPTS = sorted(path.name for path in (REPO / "scripts").glob("*.py"))


def script(name):
    spec = importlib.util.spec_from_file_location(f"script_{name}", REPO / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    new_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("own", "one", "two", "one_helper", "two_helper"):
        sys.modules.pop(name, None)


def configure(folder, **keys):
    run = {"problem": "own.py:build", "grid": {"x": [-1, 1, 3], "y": [0, 1, 2], "shards": 1}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"runs": {"own": {**run, **keys}}}))


def own(folder, body, **keys):
    """Write a problem of one's own, whose code is ``body``, and a config for it."""
    head = "import torch\nfrom torch import nn\nfrom landscape_lib import Problem\n\n"
    (folder / "own.py").write_text(head + body)
    configure(folder, **keys)


def call(name, *more, run="own", out="out"):
    return script(name)(["--config", "config.yaml", "--run", run, "--out", out, *more])


def told(capsys, name, *more, code=2, **where):
    assert call(name, *more, **where) == code
    message = capsys.readouterr().err
    assert "landscape_lib/" not in message, message
    return message


DATA = "DATA = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))\n"
NET = DATA + "NET = nn.Linear(2, 3)\n"


def test_a_config_that_is_no_yaml_names_the_line(folder, capsys):
    (folder / "config.yaml").write_text("runs:\n  own: [\n")
    message = told(capsys, "probe")
    assert message.startswith("Error: config.yaml")
    assert "line 3" in message


def test_an_unknown_run_lists_the_runs(folder, capsys):
    message = told(capsys, "probe", run="three")
    assert "there is no run 'three'" in message
    assert "['one', 'two']" in message


@pytest.mark.parametrize("x", [[1, -1, 5], [-1, 1, 0], [0, 0, 2]])
def test_an_impossible_axis_is_refused(folder, capsys, x):
    own(folder, NET, grid={"x": x})
    assert "runs.own.grid.x" in told(capsys, "probe")


def test_a_problem_that_is_not_there_says_where_it_was_looked_for(folder, capsys):
    configure(folder, problem="missing.py:build")
    message = told(capsys, "probe")
    assert "missing.py: there is no such file" in message
    assert str(folder) in message
    configure(folder, problem="no_such_package.module:build")
    assert "there is no such module" in told(capsys, "probe")


def test_a_problem_that_does_not_import_shows_the_users_own_traceback(folder, capsys):
    own(folder, "def helper():\n    return 1 / 0\n\n\nhelper()\n")
    message = told(capsys, "probe")
    assert "own.py" in message
    assert "in helper" in message
    assert "ZeroDivisionError" in message


def test_a_problem_that_is_not_python_names_the_line(folder, capsys):
    own(folder, "def build(:\n")
    assert "SyntaxError: invalid syntax (own.py, line 5)" in told(capsys, "probe")


def test_a_factory_that_raises_shows_where(folder, capsys):
    own(folder, "def build():\n    raise KeyError('weights')\n")
    message = told(capsys, "probe")
    assert "raise KeyError('weights')" in message
    assert "own.py:build() raised KeyError: 'weights'" in message


def test_a_factory_that_returns_something_else_is_told_what_is_wanted(folder, capsys):
    own(folder, "def build():\n    return nn.Linear(2, 3)\n")
    assert "returned a Linear; it must return a landscape_lib.Problem" in told(capsys, "probe")


def test_a_missing_function_lists_those_there_are(folder, capsys):
    own(folder, "def make():\n    pass\n")
    message = told(capsys, "probe")
    assert "there is no function 'build' in it" in message
    assert "make" in message


def test_a_model_that_returns_no_tensor_is_named(folder, capsys):
    own(
        folder,
        DATA + "class Net(nn.Linear):\n    def forward(self, x):\n"
        "        return {'scores': super().forward(x)}\n\n\n"
        "def build():\n    return Problem(Net(2, 3), DATA)\n",
    )
    message = told(capsys, "probe")
    assert "The model returned a dict" in message
    assert "wanted a tensor" in message


def test_empty_data_are_refused(folder, capsys):
    own(
        folder,
        NET + "def build():\n    return Problem(NET, (DATA[0][:0], DATA[1][:0]))\n",
    )
    assert "The train data are empty" in told(capsys, "probe")


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("{'loss': 'high'}", "Metric 'train_loss_loss' is 'high' (str); wanted one real number"),
        ("{'loss': None}", "(NoneType); wanted one real number"),
        ("{'loss': torch.zeros(3)}", "wanted one real number"),
        ("{}", "wanted a dict with at least one metric"),
        ("0.5", "The metric function returned 0.5; wanted a dict"),
        ("{'a/b': 1.0}", "The metric name 'a/b' is refused"),
        ("{'../x': 1.0}", "The metric name '../x' is refused"),
        ("{'': 1.0}", "The metric name '' is refused"),
        ("{'x' * 101: 1.0}", "longer than 100 bytes"),
    ],
)
def test_what_a_metric_function_may_not_return(folder, capsys, returned, expected):
    metric = f"def metric(net, loader, use_cuda):\n    return {returned}\n\n\n"
    own(folder, NET + metric + "def build():\n    return Problem(NET, DATA, metric)\n")
    assert expected in told(capsys, "probe")


def test_another_key_at_another_point_stops_the_shard_and_names_both_trap_22(folder, capsys):
    """A missing key is never 0.0, a new one no KeyError after hours."""
    metric = (
        "def metric(net, loader, use_cuda):\n"
        "    name = 'far' if float(net.weight.detach().norm()) > LIMIT else 'near'\n"
        "    return {name: 1.0}\n\n\n"
    )
    net = NET + "LIMIT = 1.5 * float(NET.weight.detach().norm())\n"
    own(
        folder,
        "torch.manual_seed(0)\n"
        + net
        + metric
        + "def build():\n    return Problem(NET, DATA, metric)\n",
        grid={"x": [0, 9, 4], "y": [0, 1, 2], "shards": 1},
    )
    assert call("make_directions", out="results/own/directions.h5") == 0
    assert call("probe", out="results/own/probe.json") == 0
    capsys.readouterr()
    message = told(capsys, "evaluate_shard", "--shard", "0", "--of", "1", code=2)
    assert "['train_loss_far']" in message
    assert "['train_loss_near'] before" in message
    assert "at the point (0.0, 1.0)" in message


def test_names_with_spaces_and_letters_of_any_script_are_kept_and_encoded(folder):
    metric = (
        "def metric(net, loader, use_cuda):\n"
        "    return {'café au lait': net.weight.sum(), '損失': 2.0, 'a$b;c': 3.0}\n\n\n"
    )
    own(
        folder,
        NET
        + "nn.init.ones_(NET.weight)\nnn.init.ones_(NET.bias)\n"
        + metric
        + "def build():\n    return Problem(NET, DATA, metric)\n",
    )
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "-s", str(REPO / "workflow/Snakefile")]
    loss = "train_loss_%E6%90%8D%E5%A4%B1"  # 損失
    vtp = ["train_loss_a%24b%3Bc", "train_loss_caf%C3%A9%20au%20lait"]
    targets = [f"results/own/paraview/{name}.vtp" for name in vtp]
    targets.append(f"results/own/figures/{loss}_2dheat.pdf")
    more = [*targets, "--cores", "1", "--configfile", "config.yaml"]
    done = subprocess.run(
        [*command, *more], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((folder / target).stat().st_size for target in targets)
    with h5py.File(folder / "results/own/surface.h5") as surface:
        assert {"train_loss_損失", "train_loss_a$b;c", "train_loss_café au lait"} <= set(surface)


def test_a_checkpoint_of_another_network_is_told_so(folder, capsys):
    torch.save({"weight": torch.zeros(1, 3)}, folder / "one.pt")
    message = told(capsys, "probe", run="one")
    assert "size mismatch for weight" in message
    assert "one.py" in message


def test_a_target_of_another_network_is_told_so(folder, capsys):
    torch.save({"weight": torch.zeros(1, 3)}, folder / "other.pt")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["runs"]["one"]["directions"] = {"kind": "target", "model": "other.pt"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    message = told(capsys, "make_directions", run="one")
    assert "The target model has shape (1, 3) for 'weight'; this model has shape (1, 2)" in message


def test_no_cuda_although_asked_for_warns_and_goes_on_on_the_cpu_trap_20(
    folder, capsys, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    own(
        folder,
        NET + "def build():\n    torch.manual_seed(0)\n    return Problem(nn.Linear(2, 3), DATA)\n",
        evaluation={"device": "cuda"},
    )
    assert call("probe", out="probe.json") == 0
    assert "There is no CUDA here; evaluating on the CPU." in capsys.readouterr().err
    assert json.loads((folder / "probe.json").read_text())["plan"]["device"] == "cpu"


def test_a_problem_that_differs_every_time_is_told_what_changed(folder, capsys):
    own(folder, DATA + "def build():\n    return Problem(nn.Linear(2, 3), DATA)\n")
    assert call("make_directions", out="results/own/directions.h5") == 0
    assert call("probe", out="results/own/probe.json") == 0
    capsys.readouterr()
    message = told(capsys, "evaluate_shard", "--shard", "0", "--of", "1")
    assert "its model changed" in message
    assert "random numbers without a seed" in message
    assert "rm -f results/own/probe.json" in message


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        script(name.removesuffix(".py"))(["--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    of_files = {"import_surface.py", "verify.py"}  # these work on a surface file
    assert ("surface" in told) if name in of_files else ("--config CONFIG" in told)
    without = {"compare_runs.py", "make_all_explorer.py", *of_files}
    assert ("--run RUN" in told) == (name not in without)


def test_a_disk_that_is_full_ends_with_1_and_loses_nothing(folder, capsys, monkeypatch):
    """A limit on file sizes stands for the full disk; the same command then goes on."""
    project = Project(folder)
    assert call("probe", run="one", out="results/one/probe.json") == 0
    assert call("make_directions", run="one", out="results/one/directions.h5") == 0
    monkeypatch.setattr(sys, "argv", ["evaluate_shard.py"])  # its evaluations are counted
    shards = folder / "results/one/shards"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def evaluate(size):
        capsys.readouterr()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            out = "results/one/shards/0-of-2.h5"
            return call("evaluate_shard", "--shard", "0", "--of", "2", run="one", out=out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    for size in (1024, 4096):  # the journal breaks off; the shard's file does
        assert evaluate(size) == 1
        message = capsys.readouterr().err
        assert "the disk is full, or a size limit was reached" in message
        assert "Traceback" not in message
        assert not list(shards.glob("*.h5"))
        assert not list(shards.glob(".*"))
    assert len(project.journal("one")) == 10
    assert evaluate(limits[0]) == 0
    assert project.points() <= 11  # the ten points, and the one whose line broke off


def test_shards_of_another_problem_are_refused_by_merge_trap_14(folder, capsys):
    """As an orphan of an older run leaves them, whose model has been replaced since."""
    project = ["--config", "config.yaml", "--run", "one"]

    def call_all(seed):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["runs"]["one"]["directions"] = {"seed": seed}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        call("make_directions", run="one", out="results/one/directions.h5")

    call("probe", run="one", out="results/one/probe.json")
    call_all(0)
    for k in "01":
        out = f"results/one/shards/{k}-of-2.h5"
        more = [*project, "--shard", k, "--of", "2", "--out", out]
        assert script("evaluate_shard")(more) == 0
    call_all(1)
    capsys.readouterr()
    message = told(capsys, "merge_shards", "--of", "2", code=1, run="one", out="surface.h5")
    assert "the shards are of another problem, directions or plan" in message
    assert "rm -r results/one/shards" in message
    assert not (folder / "surface.h5").exists()


def test_values_that_depend_on_the_order_of_points_are_warned_of(folder, capsys):
    metric = (
        "GENERATOR = torch.Generator().manual_seed(0)\n\n\n"
        "def metric(net, loader, use_cuda):\n"
        "    return {'noise': torch.rand((), generator=GENERATOR)}\n\n\n"
    )
    build = "def build():\n    return Problem(nn.Linear(2, 3), DATA, metric)\n"
    own(folder, DATA + metric + build)
    assert call("probe", out="probe.json") == 0
    message = capsys.readouterr().err
    assert "train_loss_noise differs by" in message
    assert "values depend on the order of the points" in message


def test_a_training_whose_model_nobody_uses_is_refused(folder):
    from landscape_lib import config as configs
    from landscape_lib.core.errors import InputError
    from landscape_lib.steps.dependencies import Dependencies

    own(folder, "def build():\n    pass\n", train={"function": "own.py:build"})
    with pytest.raises(InputError, match=r"train makes results/own/model.pt, but no run uses it"):
        Dependencies(configs.load("config.yaml"))
    configure(
        folder, train={"function": "own.py:build"}, args={"checkpoint": "./results/own/model.pt"}
    )
    depends = Dependencies(configs.load("config.yaml"))
    assert depends.files("own") == ["results/own/model.pt.sha256"]
