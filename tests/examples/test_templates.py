"""Each template in examples/ builds, evaluates and keeps its promises, in small."""

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from landscape_lib import InputError, config
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import evaluate_shard
from landscape_lib.steps.merge import merge_shards
from landscape_lib.steps.probe import probe
from landscape_lib.steps.train import train_model
from landscape_lib.utils.signals import Stops
from landscape_lib.utils.storage import load_surface

EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATES = sorted(path.parent.name for path in EXAMPLES.glob("*/config.yaml"))


def tiny_images(folder, args):
    """Write an ImageFolder of two classes, and let no weights be downloaded."""
    for number, name in enumerate(("cats", "dogs")):
        (folder / "images" / name).mkdir(parents=True)
        for shade in range(3):
            image = Image.new("RGB", (70 + shade, 66), (80 * shade, 200 * number, 30))
            image.save(folder / "images" / name / f"{shade}.png")
    return {"images": "images", "name": "squeezenet1_1", "weights": None, "samples": None}


def module_of(template):
    spec = importlib.util.spec_from_file_location("template", EXAMPLES / template / "problem.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files_of_every_kind(folder, args):
    module_of("checkpoints").save_all(folder / "results" / "files")
    return {}


COUNT = 150  # more than a small batch, so that a large one trains another network


class FewColours:
    """Stands in for CIFAR-10: a few images of its shape."""

    def __init__(self, root, train, download):
        generator = np.random.default_rng(train)
        self.data = generator.integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
        self.targets = list(range(10)) * (COUNT // 10)


class FewGreys:
    """Stands in for Fashion-MNIST: a few images of its shape."""

    def __init__(self, root, train, download):
        generator = torch.Generator().manual_seed(int(train))
        self.data = torch.randint(256, (COUNT, 28, 28), generator=generator, dtype=torch.uint8)
        self.targets = torch.arange(COUNT) % 10


def stand_in(folder, args):
    import torchvision

    torchvision.datasets.CIFAR10 = FewColours  # the test's monkeypatch puts them back
    torchvision.datasets.FashionMNIST = FewGreys
    return {"samples": 20}


# What is needed, what is made before, what training is told in small, and the keys of a split.
NEEDS = {"transformer": "transformers", "checkpoints": "peft"}
BEFORE = {
    "segmentation": lambda folder, args: {"images": 250},
    "pretrained_images": tiny_images,
    "checkpoints": files_of_every_kind,
    "cifar10": stand_in,
    "fashion_mnist": stand_in,
}
IN_SMALL = {
    "regression": {"epochs": 60},
    "transformer": {"epochs": 1},
    "cifar10": {"epochs": 1},
    "fashion_mnist": {"epochs": 1},
    "physics_informed": {"steps": 20},
    "segmentation": {"epochs": 1, "images": 250},
    "reinforcement": {"tries": 12},
}
TINY = {"resnet": {"depth": 8, "width": 4}, "vgg9": {"width": 4}}
JUDGED = ("loss", "acc")
KEYS = {
    "regression": ("loss_mse", "loss_mae", "loss_huber"),
    "physics_informed": ("loss_equation", "loss_start", "loss_total", "loss_error"),
    "segmentation": ("loss_pixel", "loss_iou"),
    "reinforcement": ("loss_missing_steps", "loss_angle"),
    "language": ("loss_token", "loss_perplexity"),
}
ONE_SPLIT = {"pretrained_images", "checkpoints", "physics_informed", "reinforcement"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("CIFAR10", "FashionMNIST"):
        monkeypatch.setattr(torchvision.datasets, name, getattr(torchvision.datasets, name))
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("*.png"))
    yield tmp_path
    for name in ("problem", "_problem_problem"):
        sys.modules.pop(name, None)


def in_small(folder, template):
    """Return the template's config with few points, and tiny networks and data where it says so."""
    tree = yaml.safe_load((folder / "examples" / template / "config.yaml").read_text())
    more = BEFORE.get(template, lambda folder, args: {})(folder, tree)
    tree["grid"] = {"x": [-1, 1, 3]}
    for run in tree["runs"].values():
        run["grid"] = {"y": [0, 1, 2]}
        run["args"] |= more
        if "train" in run:
            run["train"]["args"] |= IN_SMALL[template]
        for args in (run["args"], run.get("train", {}).get("args", {})):
            if "model" in args:
                args["model"] = args["model"] | TINY[args["model"]["kind"]]
    (folder / "small.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return config.load("small.yaml").runs


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_runs(template, here):
    if template in NEEDS:
        pytest.importorskip(NEEDS[template], reason=f"{NEEDS[template]} is not installed")
    for name, run in in_small(here, template).items():
        if run.train is not None:
            train_model(run, run.path("model.pt"))
        make_directions(run, run.path("directions.h5"))
        probe(run, run.path("probe.json"))
        evaluate_shard(run, 0, 1, run.path("shards", "0-of-1.h5"), Stops())
        merge_shards(run, [run.path("shards", "0-of-1.h5")], run.path("surface.h5"))
        surface = load_surface(run.path("surface.h5"))
        assert surface.grid == Grid((Axis(-1, 1, 3), Axis(0, 1, 2)))
        splits = ("train",) if template in ONE_SPLIT else ("train", "test")
        judged = KEYS.get(name, JUDGED)
        assert set(surface.keys) == {f"{split}_{key}" for split in splits for key in judged}
        for key in surface.keys:
            assert np.isfinite(surface[key]).all()
        assert max(len(np.unique(surface[key])) for key in surface.keys) > 2  # weights do move


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_says_how_it_is_run(template):
    text = (EXAMPLES / template / "README.md").read_text()
    assert f"--configfile examples/{template}/config.yaml" in text
    for run in config.load(EXAMPLES / template / "config.yaml").runs.values():
        assert run.problem.startswith(f"examples/{template}/problem.py:")


@pytest.mark.parametrize(
    ("template", "name", "words"),
    [
        ("cifar10", "CIFAR10", r"CIFAR-10 is not in data .*\(no network\)\. Put the folder"),
        ("fashion_mnist", "FashionMNIST", r"not below data/FashionMNIST/raw .*Debian package"),
    ],
)
def test_images_that_cannot_be_had_are_asked_for(template, name, words, monkeypatch):
    import torchvision

    def refuse(root, train, download):
        raise RuntimeError("no\nnetwork")

    monkeypatch.setattr(torchvision.datasets, name, refuse)
    with pytest.raises(InputError, match=words):
        module_of(template).images("data", train=True)
