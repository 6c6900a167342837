"""The examples, small: what they write is complete, what they print is true, no trace is shown."""

import argparse
import gzip
import importlib
import re
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from landscape_lib import InputError, config
from landscape_lib.problems.resnet import ResNet
from landscape_lib.utils.storage import load_surface

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))  # as when they are programs

data = importlib.import_module("data")
custom = importlib.import_module("example_custom_metrics")
fast = importlib.import_module("fast_multi_metrics_2d")
interpolate = importlib.import_module("interpolate_two_models")
walked = importlib.import_module("where_training_walked")

SMALL = ["--data", "digits", "--epochs", "1", "--samples", "60"]
FLAT = ("2dcontour", "2dcontourf", "2dheat")


def options(**changed):
    """Return what the command line gives the loaders."""
    return argparse.Namespace(
        **{"data": "digits", "root": "data", "samples": 1.0, "seed": 0, **changed}
    )


def pictures(surface, keys, kinds=(*FLAT, "3dsurface")):
    return {f"{surface}_{key}_{kind}.pdf" for key in keys for kind in kinds}


def files(folder, ending):
    return {path.name for path in folder.iterdir() if path.name.endswith(ending)}


def two(capsys, words):
    """Check that a program ended in one line of message, without a traceback."""
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert re.search(words, said)
    return True


def test_every_picture_of_a_function_of_the_user_s_own(tmp_path, capsys):
    assert custom.main([*SMALL, "--points", "4x3", "--out", str(tmp_path)]) == 0
    standard = ("train_loss", "train_acc")
    own = ("train_loss_cross_entropy", "train_loss_smooth_l1", "train_loss_accuracy")
    wanted = pictures("standard_surface.h5", standard) | pictures("custom_surface.h5", own)
    wanted |= pictures("standard_curve.h5", standard, ["1d"])
    wanted |= pictures("custom_curve.h5", own, ["1d"])
    assert files(tmp_path, ".pdf") == wanted
    paraview = {f"standard_surface.h5_{key}.vtp" for key in standard}
    paraview |= {f"custom_surface.h5_{key}.vtp" for key in own}
    assert files(tmp_path, ".vtp") == paraview
    printed = {Path(line.strip()).name for line in capsys.readouterr().out.split("\n")}
    assert wanted | paraview <= printed


def test_the_user_s_function_returns_means_over_samples():
    torch.manual_seed(0)
    net = custom.SmallCNN(1, classes=4)
    inputs, targets = torch.randn(7, 1, 8, 8), torch.arange(7) % 4
    found = custom.my_metrics(net, DataLoader(TensorDataset(inputs, targets), 3), use_cuda=False)
    with torch.no_grad():
        outputs = net(inputs)
    assert found == pytest.approx(
        {
            "cross_entropy": functional.cross_entropy(outputs, targets).item(),
            "smooth_l1": functional.smooth_l1_loss(
                outputs.softmax(1), torch.eye(4)[targets]
            ).item(),
            "accuracy": 100 * (outputs.argmax(1) == targets).float().mean().item(),
        }
    )


def test_smooth_l1_is_the_mean_of_its_samples():
    torch.manual_seed(0)
    outputs, targets = torch.randn(7, 4), torch.arange(7) % 4
    found = fast.smooth_l1(outputs, targets)
    assert found.shape == (7,)
    wanted = functional.smooth_l1_loss(outputs.softmax(1), torch.eye(4)[targets])
    assert found.mean().item() == pytest.approx(wanted.item())


def test_three_metrics_are_twelve_pictures(tmp_path, capsys):
    argv = ["--depth", "8", "--points", "3x2", "--out", str(tmp_path)]
    assert fast.main([*SMALL, *argv]) == 0
    keys = ("train_loss_cross_entropy", "train_loss_smooth_l1", "train_loss_accuracy")
    found = files(tmp_path, ".pdf")
    assert len(found) == 12
    assert found == pictures("resnet8_digits.h5", keys)
    said = capsys.readouterr().out
    assert "12 pictures of 3 metrics" in said
    assert {Path(line.strip()).name for line in said.split("\n") if line.endswith(".pdf")} == found
    order = ("epoch 1 of 1", "Evaluating 3 x 2 points on 60 samples takes about", ".pdf", "data ")
    assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)
    assert re.search(r"data [\d.]+ s, training [\d.]+ s, evaluating [\d.]+ s, pictures", said)
    assert re.search(r"\d+ points x samples / s", said)


def test_four_metrics_of_a_checkpoint_are_sixteen_pictures_and_nothing_is_trained(tmp_path, capsys):
    checkpoint = tmp_path / "model.pt"
    torch.save(ResNet(8, channels=1).state_dict(), checkpoint)
    argv = ["--depth", "8", "--points", "2x3", "--out", str(tmp_path), "--metrics", "4"]
    assert fast.main([*SMALL, *argv, "--checkpoint", str(checkpoint)]) == 0
    found = files(tmp_path, ".pdf")
    assert len(found) == 16
    assert pictures("resnet8_digits.h5", ["train_loss_top5_accuracy"]) <= found
    said = capsys.readouterr().out
    assert "16 pictures of 4 metrics" in said
    assert "epoch" not in said


@pytest.mark.parametrize(
    ("given", "count"), [([], 144), (["--samples", "25"], 25), (["--samples", "50%"], 718)], ids=str
)
def test_a_tenth_of_the_training_set_is_the_default(monkeypatch, tmp_path, given, count):
    seen = []
    monkeypatch.setattr(fast, "work", lambda args: seen.append(len(data.load(args))))
    assert fast.main(["--data", "digits", "--out", str(tmp_path), *given]) == 0
    assert seen == [count]


@pytest.mark.parametrize(
    ("outputs", "targets", "one", "five"),
    [(range(10), 9, 100, 100), (range(10), 5, 0, 100), (range(10), 4, 0, 0)],
    ids=["best", "fifth", "sixth"],
)
def test_accuracies_are_percent(outputs, targets, one, five):
    scores, target = torch.tensor([list(outputs)]).float(), torch.tensor([targets])
    assert fast.accuracy(scores, target).tolist() == [one]
    assert fast.top5_accuracy(scores, target).tolist() == [five]


@pytest.mark.parametrize("content", [None, b"torn", "other"], ids=str)
def test_a_checkpoint_of_no_use_is_one_line(tmp_path, capsys, content):
    checkpoint = tmp_path / "model.pt"
    if content == "other":
        torch.save(ResNet(14, channels=1).state_dict(), checkpoint)
    elif content:
        checkpoint.write_bytes(content)
    argv = ["--depth", "8", "--out", str(tmp_path / "out"), "--checkpoint", str(checkpoint)]
    assert fast.main([*SMALL, *argv]) == 2
    assert two(capsys, r"model\.pt cannot be used; wanted the state_dict of a ResNet of depth 8")


@pytest.fixture(scope="module")
def interpolated(tmp_path_factory):
    """Run the interpolation; return its folder, and its table as rows of numbers."""
    folder, said = tmp_path_factory.mktemp("interpolated"), []
    argv = ["--depth", "8", "--points", "5x2", "--batch-sizes", "10", "30", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, **rest: said.append(" ".join(words)))
        assert interpolate.main([*SMALL, *argv]) == 0
    rows = [line.split() for line in "\n".join(said).split("\n")]
    first, second = ([float(v) for v in row[-3:]] for row in rows if row[:1] == ["at"])
    return folder, first, second


def test_the_ends_of_the_line_are_the_two_networks(interpolated):
    _, (own, weights, states), (other, _, other_states) = interpolated
    assert [weights, states] == pytest.approx([own, own], rel=1e-5)
    assert other_states == pytest.approx(other, rel=1e-5)
    assert own != pytest.approx(other, rel=1e-2)  # two networks, or nothing is shown


def test_weights_alone_miss_the_second_network_of_batch_norm(interpolated):
    _, _, (other, weights, _) = interpolated
    assert weights != pytest.approx(other, rel=1e-3)


def test_curves_of_both_kinds_and_a_plane_are_drawn(interpolated):
    folder, _, _ = interpolated
    wanted = pictures("plane.h5", ["train_loss"])
    for dir_type in interpolate.DIR_TYPES:
        wanted |= pictures(f"{dir_type}.h5", ["train_loss", "train_acc"], ["1d"])
    assert files(folder, ".pdf") == wanted


def test_the_barrier_is_what_lies_above_the_higher_end():
    places = np.array([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
    line = interpolate.Line(places, np.array([9.0, 1.0, 2.0, 5.0, 4.0, 3.0, 8.0]))
    assert (line.at(0), line.at(1), line.barrier()) == (1.0, 3.0, 2.0)


@pytest.mark.parametrize(("points", "nearest"), [("3", 5), ("20", 21), ("22", 21), ("1", 5)])
def test_a_line_that_leaves_a_network_out_is_refused(tmp_path, capsys, points, nearest):
    assert interpolate.main(["--points", points, "--out", str(tmp_path)]) == 2
    assert two(capsys, rf"--points is {points} along x; .* 4 n \+ 1, as {nearest}\.")


def test_two_trainings_are_shown_on_the_plane_of_both(tmp_path, capsys, monkeypatch):
    argv = ["--epochs", "1", "--points", "4", "3", "--out", str(tmp_path)]
    assert walked.main(argv) == 0
    said = capsys.readouterr().out
    assert "SGD: 100.0 % of the way lies in the plane" in said  # one step of each
    assert "Adam: 100.0 % of the way lies in the plane" in said
    ways = load_surface(tmp_path / "both.h5").trajectories
    assert [way.name for way in ways] == ["SGD", "Adam"]
    np.testing.assert_allclose(ways[0].alpha[0], ways[1].alpha[0], rtol=1e-6)  # from one start
    monkeypatch.chdir(Path(__file__).parents[2])
    runs = config.load("examples/where_training_walked.yaml").runs
    assert list(runs["both"].trajectories) == ["SGD", "Adam"]


@pytest.mark.parametrize("program", [custom, fast, interpolate])
def test_every_example_explains_itself(program, capsys):
    with pytest.raises(SystemExit) as left:
        program.main(["--help"])
    assert left.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "What to look at" in said
    assert "--samples" in said


@pytest.mark.parametrize("program", [custom, fast, interpolate])
def test_fashion_that_is_not_there_says_how_to_get_it(program, tmp_path, capsys):
    argv = ["--data", "fashion", "--root", str(tmp_path / "none"), "--out", str(tmp_path)]
    assert program.main(argv) == 2
    assert two(capsys, r"no train-images-idx3-ubyte .*apt-get download dataset-fashion-mnist")


@pytest.mark.parametrize(
    "error", [URLError("no route"), RuntimeError("Error\ndownloading"), TimeoutError()], ids=repr
)
def test_cifar10_without_a_network_is_one_line_with_the_way_out(
    monkeypatch, tmp_path, capsys, error
):
    def no_network(*arguments, **options):
        raise error

    monkeypatch.setattr("torchvision.datasets.CIFAR10", no_network)
    assert fast.main(["--root", str(tmp_path), "--out", str(tmp_path)]) == 2  # cifar10 by default
    assert two(capsys, rf"CIFAR-10 .*{type(error).__name__}.*--data digits")


def test_cifar10_comes_as_channels_of_mean_0_and_deviation_1(monkeypatch):
    pixels = np.zeros((5, 32, 32, 3), np.uint8)
    pixels[:, 3, 4, 1] = 255  # row 3, column 4, green

    class Downloaded:
        def __init__(self, root, download):
            assert (root, download) == ("data", True)
            self.data, self.targets = pixels, [3, 1, 4, 1, 5]

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Downloaded)
    inputs, targets = data.load(options(data="cifar10")).tensors
    assert inputs.shape == (5, 3, 32, 32)
    assert sorted(targets.tolist()) == [1, 1, 3, 4, 5]
    assert inputs[0, 1, 3, 4].item() == pytest.approx((1 - 0.4822) / 0.2435, rel=1e-6)
    assert inputs[0, 1, 4, 3].item() == pytest.approx((0 - 0.4822) / 0.2435, rel=1e-6)
    assert inputs[0, 0, 3, 4].item() == pytest.approx((0 - 0.4914) / 0.2470, rel=1e-6)


def write_fashion(root, *, pack):
    """Write four stand-in images in the files of Fashion-MNIST; return them and their labels."""
    rng, raw = np.random.default_rng(0), root / "FashionMNIST" / "raw"
    images, labels = rng.integers(0, 256, (4, 28, 28), np.uint8), np.array([9, 0, 3, 3], np.uint8)
    raw.mkdir(parents=True)
    for name, magic, array in (
        ("train-images-idx3-ubyte", 0x0803, images),
        ("train-labels-idx1-ubyte", 0x0801, labels),
    ):
        content = np.array([magic, *array.shape], ">i4").tobytes() + array.tobytes()
        path = raw / (f"{name}.gz" if pack else name)
        path.write_bytes(gzip.compress(content) if pack else content)
    return images, labels


@pytest.mark.parametrize("pack", [True, False])
def test_fashion_is_read_packed_and_unpacked(tmp_path, pack):
    images, labels = write_fashion(tmp_path, pack=pack)
    inputs, targets = data.read_fashion(tmp_path)
    np.testing.assert_array_equal(inputs, images[:, None])
    np.testing.assert_array_equal(targets, labels)
    assert targets.dtype == torch.int64
    loaded, _ = data.load(options(data="fashion", root=str(tmp_path), samples=3)).tensors
    assert loaded.shape == (3, 1, 28, 28)
    white = (images[:, None] / 255 - 0.2860) / 0.3530
    assert all(any(np.allclose(one, row, rtol=1e-5) for row in white) for one in loaded.numpy())


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(bytes(99))[:-9]], ids=["not", "torn"]
)
def test_a_damaged_file_is_named(tmp_path, content):
    write_fashion(tmp_path, pack=True)
    path = tmp_path / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"labels-idx1-ubyte\.gz cannot be read"):
        data.read_fashion(tmp_path)


def test_the_same_seed_draws_the_same_images():
    one, two, other = (data.load(options(samples=20, seed=seed)).tensors for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])


def test_more_images_than_there_are_is_refused(tmp_path, capsys):
    assert custom.main(["--samples", "1438", "--out", str(tmp_path)]) == 2
    assert two(capsys, "--samples is 1438; digits has 1437 images")


@pytest.mark.parametrize(
    "wrong", [["--points", "0"], ["--points", "3x"], ["--epochs", "-1"], ["--samples", "0%"]]
)
def test_numbers_that_are_none_are_refused_by_the_parser(wrong, capsys):
    with pytest.raises(SystemExit) as left:
        fast.main([*SMALL, *wrong])
    assert left.value.code == 2
    assert "is not a whole number of at least 1" in capsys.readouterr().err


def test_training_repeats_and_learns(capsys):
    dataset = data.load(options(samples=300))

    def trained():
        torch.manual_seed(0)
        return data.train(ResNet(8, channels=1, width=8), dataset, 4, batch_size=32, seed=0)

    one, two = trained(), trained()
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), two.parameters(), strict=True))
    assert not one.training
    with torch.no_grad():
        loss = nn.CrossEntropyLoss()(one(dataset.tensors[0]), dataset.tensors[1])
    assert loss < 1.0  # chance is 2.3
    said = capsys.readouterr().out
    assert re.search(r"epoch 4 of 4: loss \d\.\d+, accuracy \d+\.\d %, 0 s left", said)
