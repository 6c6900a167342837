"""The interface of the library: as users of the earlier one write it, and right."""

import copy
import doctest
import inspect
import json
import logging
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

import landscape_lib
from landscape_lib import InputError, LossLandscape, Surface, api
from landscape_lib.core import direction as direction_module
from landscape_lib.core.direction import create_random_direction
from landscape_lib.steps import evaluate
from landscape_lib.utils.storage import load_directions, load_surface
from tests import reference
from tests.viz.test_explorer import Read

FLAT = ("2dcontour", "2dcontourf", "2dheat")
RANGES = {"xrange": (-1, 1, 5), "yrange": (-0.5, 1, 4)}  # neither square nor symmetric


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Heights(nn.Module):
    """Outputs are 10 w0 + w1: the surface over unit axes is 10 x + y."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, inputs):
        return inputs @ self.w


def unit_directions(monkeypatch):
    """Let the two random directions be the two axes of ``Heights``."""

    def unit(model, dir_type, ignore, norm, seed, axis):
        tensor = torch.zeros(2)
        tensor[axis] = 1
        return direction_module.Direction(("w",), (tensor,), {"kind": "given"})

    monkeypatch.setattr(api, "create_random_direction", unit)


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def data(count=30):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, generator=generator), torch.arange(count) % 3


def loader(batch_size=8):
    return DataLoader(TensorDataset(*data()), batch_size=batch_size)


def two_metrics(net, dataloader, use_cuda):
    net.eval()
    total, right, count = 0.0, 0, 0
    with torch.no_grad():
        for inputs, targets in dataloader:
            outputs = net(inputs)
            total += nn.functional.cross_entropy(outputs, targets).item() * len(targets)
            right += (outputs.argmax(1) == targets).sum().item()
            count += len(targets)
    return {"ce": total / count, "accuracy": 100 * right / count}


def files():
    return {path.name for path in Path().iterdir() if path.is_file()}


# --------------------------------------------------------------------- as they have always called


def test_the_signatures_are_those_of_the_earlier_library_and_new_ones_come_last():
    def known(method):
        return [
            (p.name, p.default)
            for p in list(inspect.signature(getattr(LossLandscape, method)).parameters.values())[1:]
        ]

    nothing = inspect.Parameter.empty
    assert known("__init__") == [
        ("net", nothing),
        ("dataloader", nothing),
        ("criterion", None),
        ("use_cuda", False),
        ("surf_file", None),
        ("plan", "auto"),
        ("batch_norm", "frozen"),
        ("batch_norm_samples", None),
        ("metrics", None),
        ("precision", None),
        ("standard_error", True),
        ("splits", None),
        ("bootstrap", None),
    ]
    assert known("compute_1d") == [
        ("directions", "random"),
        ("xrange", (-1, 1, 51)),
        ("dir_type", "weights"),
        ("normalize", "filter"),
        ("ignore", "biasbn"),
        ("target_model", None),
        ("save", True),
        ("seed", 0),
        ("layers", None),
        ("checkpoints", None),
        ("eigenvector", 1),
        ("hessian_samples", None),
        ("curvature", False),
        ("align", "none"),
        ("curve", "none"),
        ("bend_epochs", 50),
        ("bend_rate", 0.001),
        ("bend_seed", 0),
        ("on_error", "stop"),
        ("seconds_per_point", None),
    ]
    assert known("compute_2d") == [
        ("xrange", (-1, 1, 51)),
        ("yrange", (-1, 1, 51)),
        ("dir_type", "weights"),
        ("normalize", "filter"),
        ("ignore", "biasbn"),
        ("x_target", None),
        ("y_target", None),
        ("save", True),
        ("seed", 0),
        ("orthogonal", False),
        ("layers", None),
        ("checkpoints", None),
        ("trajectories", None),
        ("directions", "random"),
        ("eigenvectors", (1, 2)),
        ("hessian_samples", None),
        ("curvature", False),
        ("align", "none"),
        ("tolerance", None),
        ("metric", None),
        ("on_error", "stop"),
        ("seconds_per_point", None),
    ]
    assert known("plot_1d") == [
        ("xmin", -1),
        ("xmax", 1),
        ("loss_max", 5),
        ("log", False),
        ("show", False),
    ]
    assert known("plot_2d_contour") == [
        ("surf_name", "train_loss"),
        ("vmin", 0.1),
        ("vmax", 10),
        ("vlevel", 0.5),
        ("show", False),
        ("topology", False),
    ]
    assert known("plot_2d_surface") == [("surf_name", "train_loss"), ("show", False)]
    assert known("export_paraview") == [
        ("surf_name", "train_loss"),
        ("log", False),
        ("zmax", -1),
        ("interp", -1),
    ]


def test_the_explorer_shows_what_was_computed_last_or_what_the_file_holds():
    landscape = LossLandscape(small_net(), loader())
    with pytest.raises(InputError, match=r"loss_surface\.h5: there is no such file"):
        landscape.explorer()
    landscape.compute_2d(**RANGES)
    path = landscape.explorer()
    assert str(path) == "loss_surface.h5_explorer.html"
    shown = Read(path.read_text()).values(0, "train_loss")
    np.testing.assert_array_equal(shown, landscape.surface["train_loss"])
    kept = LossLandscape(small_net(), loader()).explorer()
    np.testing.assert_array_equal(Read(kept.read_text()).values(0, "train_loss"), shown)


def test_standard_mode_from_the_loss_to_every_file():
    landscape = LossLandscape(small_net(), loader(), criterion=nn.CrossEntropyLoss())
    result = landscape.compute_2d(**RANGES, normalize="filter")
    assert set(result) == {"losses", "accuracies", "xcoordinates", "ycoordinates"}
    assert result["losses"].shape == result["accuracies"].shape == (5, 4)
    np.testing.assert_array_equal(result["xcoordinates"], [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(result["ycoordinates"], [-0.5, 0, 0.5, 1])
    contours = landscape.plot_2d_contour(vmin=0.1, vmax=10, vlevel=0.5)
    reliefs = landscape.plot_2d_surface()
    vtp = landscape.export_paraview(log=True, zmax=10, interp=9)
    assert [path.name for path in contours] == [
        f"loss_surface.h5_train_loss_{kind}.pdf" for kind in FLAT
    ]
    assert [str(path) for path in reliefs] == ["loss_surface.h5_train_loss_3dsurface.pdf"]
    assert str(vtp) == "loss_surface.h5_train_loss.vtp"
    assert files() == {
        "loss_surface.h5",
        "loss_surface.h5.directions.h5",
        vtp.name,
        *(path.name for path in (*contours, *reliefs)),
    }
    with h5py.File("loss_surface.h5") as file:
        kept = {"xcoordinates", "ycoordinates", "train_loss", "train_acc"}
        assert set(file) == {*kept, "standard_error"}
        np.testing.assert_array_equal(file["train_loss"][:], result["losses"])
        np.testing.assert_array_equal(file["train_acc"][:], result["accuracies"])


def test_custom_mode_names_its_metrics_and_auto_draws_every_one_trap_40():
    landscape = LossLandscape(small_net(), loader(), criterion=two_metrics, surf_file="own.h5")
    result = landscape.compute_2d(**RANGES)
    assert set(result) == {"losses", "xcoordinates", "ycoordinates"}
    assert {name: v.shape for name, v in result["losses"].items()} == {
        "ce": (5, 4),
        "accuracy": (5, 4),
    }
    landscape.plot_2d_contour(surf_name="auto", vmin=0.1, vmax=10)
    landscape.plot_2d_surface(surf_name="auto")
    paths = landscape.export_paraview("auto")
    keys = ("train_loss_ce", "train_loss_accuracy")
    assert {path.name for path in Path().glob("*.pdf")} == {
        f"own.h5_{key}_{kind}.pdf" for key in keys for kind in (*FLAT, "3dsurface")
    }
    assert [path.name for path in paths] == [f"own.h5_{key}.vtp" for key in keys]
    with h5py.File("own.h5") as file:
        assert set(file) == {"xcoordinates", "ycoordinates", "standard_error", *keys}


def test_auto_draws_train_loss_and_train_acc_too_trap_40():
    landscape = LossLandscape(small_net(), loader())
    landscape.compute_2d(**RANGES)
    drawn = [path.name for path in landscape.plot_2d_surface("auto")]
    assert drawn == [f"loss_surface.h5_{key}_3dsurface.pdf" for key in ("train_loss", "train_acc")]


def test_curves_of_a_loss_and_of_custom_metrics_are_drawn_trap_6():
    landscape = LossLandscape(small_net(), loader(), surf_file="standard.hdf5")
    result = landscape.compute_1d(
        directions="random", xrange=(-1, 1, 7), normalize="filter", ignore="biasbn"
    )
    assert set(result) == {"losses", "accuracies", "xcoordinates"}
    assert result["losses"].shape == result["accuracies"].shape == (7,)
    assert [str(path) for path in landscape.plot_1d(loss_max=5)] == [
        f"standard.hdf5_{key}_1d.pdf" for key in ("train_loss", "train_acc")
    ]
    own = LossLandscape(small_net(), loader(), two_metrics, surf_file="own.h5")
    assert set(own.compute_1d(xrange=(-1, 1, 7))) == {"losses", "xcoordinates"}
    assert [path.name for path in own.plot_1d(log=True)] == [
        f"own.h5_train_loss_{name}_1d.pdf" for name in ("ce", "accuracy")
    ]


def test_a_dict_of_metrics_shares_a_pass_and_gives_the_functions_values():
    metrics = {
        "ce": nn.CrossEntropyLoss(),
        "accuracy": lambda outputs, targets: 100.0 * (outputs.argmax(1) == targets),
    }
    found, wanted = (
        LossLandscape(small_net(), loader(), criterion).compute_2d(**RANGES, save=False)["losses"]
        for criterion in (metrics, two_metrics)
    )
    for name in ("ce", "accuracy"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5)


def test_regression_has_losses_and_no_accuracies():
    net = nn.Linear(4, 1)
    inputs = torch.randn(20, 4)
    landscape = LossLandscape(net, (inputs, inputs.sum(1, keepdim=True)), nn.L1Loss())
    assert set(landscape.compute_1d(xrange=(0, 1, 3), save=False)) == {"losses", "xcoordinates"}


def test_mse_with_classes_compares_with_one_hot_and_keeps_the_accuracy_trap_18(caplog):
    net = small_net().eval()
    inputs, targets = data()
    with caplog.at_level(logging.INFO):
        result = LossLandscape(net, (inputs, targets), nn.MSELoss()).compute_1d(
            xrange=(0, 0, 1), save=False
        )
    one_hot = nn.functional.one_hot(targets, 3).float()
    wanted = nn.functional.mse_loss(net(inputs), one_hot).item()
    assert result["losses"][0] == pytest.approx(wanted, rel=1e-6)
    assert 0 <= result["accuracies"][0] <= 100
    assert "MSELoss compares scores with one-hot classes" in caplog.text


@pytest.mark.parametrize("kind", ["tuple", "dataset", "loader", "batches", "own iterable"])
def test_data_may_be_anything_that_gives_batches(kind):
    class Own:
        def __iter__(self):
            return iter(loader())

    given_as = {
        "tuple": data(),
        "dataset": TensorDataset(*data()),
        "loader": DataLoader(TensorDataset(*data()), batch_size=7, shuffle=True),
        "batches": iter(list(loader())),
        "own iterable": Own(),
    }[kind]
    found = LossLandscape(small_net(), given_as).compute_1d(xrange=(0, 1, 3), save=False)
    wanted = LossLandscape(small_net(), data()).compute_1d(xrange=(0, 1, 3), save=False)
    np.testing.assert_allclose(found["losses"], wanted["losses"], rtol=1e-6)


# -------------------------------------------------------------------------- against references


@pytest.fixture
def reference_noise(monkeypatch):
    """Let the noise be that of the reference, whatever the seed."""

    class Stream:
        def __init__(self, axis):
            self.tensors = iter(reference.digits_tensors(f"raw_direction/{'xy'[axis]}"))

        def standard_normal(self, size=None, dtype=None):
            return next(self.tensors).numpy().reshape(size)

    monkeypatch.setattr(direction_module, "noise_stream", lambda seed, axis: Stream(axis))


def limits(steps):
    return float(steps[0]), float(steps[-1]), len(steps)


def assert_is_the_original(result, wanted):
    np.testing.assert_allclose(result["losses"], wanted["train_loss"], rtol=1e-5)
    np.testing.assert_array_equal(result["accuracies"], wanted["train_acc"])


@pytest.mark.parametrize("name", ["filter_biasbn", "filter_none", "layer_biasbn", "dfilter_biasbn"])
def test_surfaces_are_those_of_the_original_program(name, reference_noise):
    normalize, ignore = name.split("_")
    steps = reference.digits_values("surface")
    landscape = LossLandscape(reference.digits_model(), reference.digits_data())
    result = landscape.compute_2d(
        limits(steps["xcoordinates"]),
        limits(steps["ycoordinates"]),
        normalize=normalize,
        ignore=ignore,
        save=False,
    )
    assert result["losses"].shape == (7, 5)
    assert_is_the_original(result, reference.digits_values(f"surface/{name}"))


def test_a_random_curve_is_that_of_the_original_program(reference_noise):
    wanted = reference.digits_values("curve/random")
    landscape = LossLandscape(reference.digits_model(), reference.digits_data())
    result = landscape.compute_1d(xrange=limits(wanted["xcoordinates"]), save=False)
    assert_is_the_original(result, wanted)


@pytest.mark.parametrize("dir_type", ["weights", "states"])
def test_target_curves_are_those_of_the_original_program(dir_type):
    wanted = reference.digits_values(f"curve/target_{dir_type}")
    landscape = LossLandscape(reference.digits_model("model_a"), reference.digits_data())
    result = landscape.compute_1d(
        directions="target",
        target_model=reference.digits_model("model_b"),
        xrange=limits(wanted["xcoordinates"]),
        dir_type=dir_type,
        save=False,
    )
    assert_is_the_original(result, wanted)


def test_targets_for_both_axes_have_the_other_models_at_one():
    models = [small_net(seed) for seed in range(3)]
    result = LossLandscape(models[0], data()).compute_2d(
        (0, 1, 2), (0, 1, 3), x_target=models[1], y_target=models[2].state_dict(), save=False
    )
    at = {0: result["losses"][0, 0], 1: result["losses"][1, 0], 2: result["losses"][0, 2]}
    for number, model in enumerate(models):
        for name, entry in models[0].state_dict().items():  # weights move, statistics stay
            if "running" in name:
                model.state_dict()[name].copy_(entry)
        outputs = model.eval()(data()[0])
        wanted = nn.functional.cross_entropy(outputs, data()[1]).item()
        assert at[number] == pytest.approx(wanted, rel=1e-6)


def test_a_target_for_one_axis_leaves_the_other_random():
    model, target = small_net(0), small_net(1)
    landscape = LossLandscape(model, data())
    landscape.compute_2d((0, 1, 2), (-1, 1, 3), y_target=target, save=False)
    x, y = landscape.directions
    wanted = create_random_direction(model, seed=0, axis=0)
    assert all(torch.equal(a, b) for a, b in zip(x, wanted, strict=True))
    assert y.attributes["kind"] == "target"


def test_the_optimum_lies_at_the_same_place_in_memory_file_figure_and_vtp_traps_1_and_2(
    monkeypatch,
):
    """10 x + y on 5 x 4 points is lowest at (-1, -0.5), highest at (1, 1)."""
    unit_directions(monkeypatch)
    one = (torch.ones(3, 2), torch.zeros(3))
    one[0][:, 0] = 10
    landscape = LossLandscape(Heights(), one, {"f": lambda outputs, targets: outputs})
    result = landscape.compute_2d(**RANGES)
    x, y = result["xcoordinates"], result["ycoordinates"]
    plane = 10 * x[:, None] + y[None, :]
    np.testing.assert_array_equal(result["losses"]["f"], plane)
    with h5py.File("loss_surface.h5") as file:
        np.testing.assert_array_equal(file["train_loss_f"][:], plane)
    (figure, *_) = landscape.plot_2d_surface().figures
    (star,) = (line for line in figure.axes[0].lines if line.get_gid() == "best")
    assert [float(part[0]) for part in star.get_data_3d()][:2] == [-1, -0.5]
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(landscape.export_paraview("train_loss_f")))
    reader.Update()
    points = vtk_to_numpy(reader.GetOutput().GetPoints().GetData())
    np.testing.assert_allclose(points[:, 2], 10 * points[:, 0] + points[:, 1], atol=1e-6)
    assert reader.GetOutput().GetNumberOfCells() == 4 * 3


# ----------------------------------------------------------------------- what is lent comes back


def bytes_of(tensor):
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes()


def everything(model):
    """Everything of a model, of the random states and of torch that a computation could touch."""
    tensors = [*model.parameters(), *model.buffers()]
    backends = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    return {
        "values": [bytes_of(tensor) for tensor in tensors],
        "objects": [id(tensor) for tensor in tensors],
        "storages": [tensor.data_ptr() for tensor in tensors],
        "kinds": [(tensor.dtype, tensor.device) for tensor in tensors],
        "flags": [tensor.requires_grad for tensor in tensors],
        "grads": [None if t.grad is None else (id(t.grad), bytes_of(t.grad)) for t in tensors],
        "modes": [module.training for module in model.modules()],
        "random": (
            random.getstate(),
            np.random.get_state()[1].tobytes(),  # noqa: NPY002
            bytes_of(torch.get_rng_state()),
        ),
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), *backends),
    }


def test_of_two_threads_each_computes_what_it_computes_alone_and_everything_comes_back():
    """The metric draws random numbers, and hands over to the other thread at every batch."""

    def drops_out(net, dataloader, use_cuda):
        time.sleep(0.01)
        outputs = [nn.functional.dropout(net(inputs), 0.5) for inputs, _ in dataloader]
        return {"sum": float(torch.cat(outputs).detach().sum())}

    def values(net):
        landscape = LossLandscape(net, data(), drops_out)
        return landscape.compute_1d(xrange=(-1, 1, 5), save=False)["losses"]["sum"]

    nets = [small_net(seed) for seed in range(2)]
    alone = [values(net) for net in nets]
    before = [everything(net) for net in nets], sys.stdout, sys.stderr
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(values, nets))
    assert [one.tobytes() for one in found] == [one.tobytes() for one in alone]
    assert ([everything(net) for net in nets], sys.stdout, sys.stderr) == before


class Stop(Exception):
    pass


def misbehaving(error, at):
    calls = []

    def metric(net, dataloader, use_cuda):
        calls.append(1)
        net.train()
        torch.manual_seed(99)
        for inputs, targets in dataloader:
            outputs = net(inputs)
            nn.functional.cross_entropy(outputs, targets).backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(2).requires_grad_(False)
        if error is not None and len(calls) == at:
            raise error
        return {"calls": float(outputs.detach().sum())}

    return metric


@pytest.mark.parametrize("error", [None, Stop(), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_after_any_computation_everything_is_what_it_was_bit_for_bit_trap_17(error, dtype):
    model = small_net().to(dtype).train()
    model[0].eval()
    model[3].bias.requires_grad_(False)
    model[0].weight.grad = torch.randn(6, 4).to(dtype)
    before = everything(model)
    landscape = LossLandscape(model, data(), misbehaving(error, at=4))
    for save in (True, False):
        if error is None:
            landscape.compute_2d(**RANGES, dir_type="states", save=save)
        else:
            landscape.criterion = misbehaving(error, at=4)
            with pytest.raises(type(error)):
                landscape.compute_2d(**RANGES, dir_type="states", save=save)
        assert everything(model) == before


def test_ctrl_c_while_the_model_is_put_back_leaves_it_put_back_trap_17(monkeypatch):
    from landscape_lib.core import perturbation

    model = small_net()
    before = everything(model)
    real, calls = perturbation.Excursion.restore, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(self)

    monkeypatch.setattr(perturbation.Excursion, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LossLandscape(model, data()).compute_1d(xrange=(-1, 1, 3), save=False)
    assert everything(model) == before


def test_data_and_criterion_are_left_as_they_were():
    inputs, targets = data()
    kept = inputs.clone()
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3]))
    first = nn.Sequential(nn.ReLU(inplace=True), small_net())
    LossLandscape(first, (inputs, targets), criterion).compute_1d(xrange=(0, 1, 3), save=False)
    assert torch.equal(inputs, kept)
    assert criterion.weight.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "value", [1.5, 3, True, np.float32(2), np.array(0.25), torch.tensor([7.0])]
)
def test_a_metric_may_be_any_one_number(value):
    found = LossLandscape(small_net(), data(), lambda net, loader, cuda: {"v": value}).compute_1d(
        xrange=(0, 1, 2), save=False
    )
    np.testing.assert_array_equal(found["losses"]["v"], float(value))


def test_a_metric_that_forgets_eval_calls_train_and_reads_twice_gives_the_right_values_trap_16():
    def careless(net, dataloader, use_cuda):
        net.train()
        for inputs, _ in dataloader:
            net(inputs)  # running statistics drift
        net.eval()
        return two_metrics(net, dataloader, use_cuda)

    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.drop = small_net(), nn.Dropout(0.5)

        def forward(self, inputs):
            return self.net(self.drop(inputs))

    def forgetful(net, dataloader, use_cuda):
        inputs, targets = zip(*dataloader, strict=True)
        outputs = net(torch.cat(inputs))
        return {"ce": nn.functional.cross_entropy(outputs, torch.cat(targets))}

    wanted = LossLandscape(Dropping().eval(), data(), two_metrics).compute_1d(
        xrange=(-1, 1, 5), save=False
    )
    forgot = LossLandscape(Dropping().train(), data(), forgetful).compute_1d(
        xrange=(-1, 1, 5), save=False
    )
    np.testing.assert_allclose(forgot["losses"]["ce"], wanted["losses"]["ce"], rtol=1e-5)

    def after_careless(net, dataloader, use_cuda):
        statistics = net.net[1].running_mean.clone()
        found = two_metrics(net, dataloader, use_cuda)
        careless(net, dataloader, use_cuda)
        return {**found, "mean": float(statistics.sum())}

    drifting = LossLandscape(Dropping(), data(), after_careless).compute_1d(
        xrange=(-1, 1, 5), save=False
    )
    np.testing.assert_array_equal(drifting["losses"]["ce"], wanted["losses"]["ce"])
    assert len(set(drifting["losses"]["mean"])) == 1


def test_a_key_that_is_missing_at_one_point_stops_and_names_both_trap_22():
    calls = []

    def moody(net, dataloader, use_cuda):
        calls.append(1)
        return {"a": 1.0, "b": 2.0} if len(calls) < 3 else {"a": 1.0}

    with pytest.raises(InputError, match=r"train_loss_a'\] at the point .*train_loss_b"):
        LossLandscape(small_net(), data(), moody).compute_1d(xrange=(-1, 1, 5), save=False)


# ------------------------------------------------------------------------- kept, resumed, renamed


class Calls:
    """Counts calls without being a part of what is computed."""

    count = 0
    stop_at = None


def counted_metric(net, dataloader, use_cuda):
    Calls.count += 1
    if Calls.count == Calls.stop_at:
        raise KeyboardInterrupt
    return two_metrics(net, dataloader, use_cuda)


@pytest.fixture
def counted(monkeypatch):
    """A metric function whose counter its fingerprint does not see."""
    from landscape_lib.steps import live_code

    real = live_code._Reader._class
    monkeypatch.setattr(
        live_code._Reader,
        "_class",
        lambda self, kind: "Calls" if kind is Calls else real(self, kind),
    )
    monkeypatch.setattr(Calls, "count", 0)
    monkeypatch.setattr(Calls, "stop_at", None)
    return counted_metric


def run(metric, **ranges):
    return LossLandscape(small_net(), loader(), metric).compute_2d(**{**RANGES, **ranges})


def datasets(path="loss_surface.h5"):
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, one: found.update(
                {name: one[()].tobytes()} if hasattr(one, "shape") else {}
            )
        )
    return found


def test_the_same_call_after_ctrl_c_goes_on_where_it_stopped(counted, caplog, monkeypatch):
    monkeypatch.setattr("landscape_lib.steps.preview.AT_THE_END_S", 100.0)  # of a busy machine
    run(counted)
    whole, points = datasets(), Calls.count
    assert points == 20
    for name in ("loss_surface.h5", "loss_surface.h5.directions.h5"):
        Path(name).unlink()
    for path in Path("loss_surface.h5.journal").rglob("*.jsonl"):
        path.unlink()
    Calls.count, Calls.stop_at = 0, 8
    with pytest.raises(KeyboardInterrupt):
        run(counted)
    assert "7 of 20 points are kept, and the same call goes on from there" in caplog.text
    assert not Path("loss_surface.h5").exists()
    assert load_surface("loss_surface.h5.preview.h5").computed.sum() == 7
    assert Path("loss_surface.h5.preview_train_loss_ce_2dcontour.pdf").exists()
    Calls.stop_at = None
    run(counted)
    assert Calls.count == 8 + 13  # the interrupted one is evaluated again, no other
    assert datasets() == whole


def test_a_finer_or_wider_grid_evaluates_only_new_points(counted):
    run(counted)
    run(counted, xrange=(-1, 1, 9), yrange=(-0.5, 1, 7))
    assert Calls.count == 9 * 7
    run(counted, xrange=(-2, 1, 13), yrange=(-0.5, 1, 7))
    assert Calls.count == 13 * 7


@pytest.mark.parametrize("change", ["weights", "data", "metric", "seed", "normalize", "batch size"])
def test_whatever_decides_a_value_starts_anew_trap_14(change, counted):
    first = run(counted)["losses"]["ce"]
    before = Calls.count
    model, batches, metric, options = small_net(), loader(), counted, {}
    if change == "weights":
        model[0].weight.data[0, 0] += 0.5
    if change == "data":
        batches = DataLoader(TensorDataset(data()[0] + 0.5, data()[1]), batch_size=8)
    if change == "metric":

        def metric(net, dataloader, use_cuda):
            return {"ce": 2 * counted(net, dataloader, use_cuda)["ce"]}

    if change in ("seed", "normalize"):
        options = {change: {"seed": 1, "normalize": "layer"}[change]}
    if change == "batch size":
        batches = loader(5)
    second = LossLandscape(model, batches, metric).compute_2d(**RANGES, **options)["losses"]["ce"]
    assert Calls.count == before + 20
    assert (first != second).any() or change == "batch size"


class Keeps(nn.Module):
    """Its ``forward`` changes what it holds."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.shown, self.calls, self.factor = None, 0, 1.0

    def forward(self, x):
        self.calls += 1
        self.shown = self.linear(x).softmax(1)
        return self.factor * self.shown.log()


def keeps():
    torch.manual_seed(0)
    return Keeps(), nn.CrossEntropyLoss()


def keeps_a_history():
    history = []

    def metric(net, dataloader, use_cuda):
        history.append(two_metrics(net, dataloader, use_cuda))
        return history[-1]

    return small_net(), metric


def collects_activations():
    net, found = small_net(), []
    net[0].register_forward_hook(lambda module, inputs, outputs: found.append(outputs.detach()))
    return net, nn.CrossEntropyLoss()


def derives_its_weights(how, *options):
    net = small_net()
    with pytest.warns(FutureWarning) if how is nn.utils.weight_norm else nullcontext():
        how(net[0], *options)
    return net, nn.CrossEntropyLoss()


@pytest.mark.parametrize(
    "make",
    [
        keeps,
        keeps_a_history,
        collects_activations,
        lambda: derives_its_weights(nn.utils.weight_norm),
        lambda: derives_its_weights(nn.utils.spectral_norm),
        lambda: derives_its_weights(prune.l1_unstructured, "weight", 0.5),
    ],
    ids=["attributes", "a list", "a hook", "weight norm", "spectral norm", "prune"],
)
def test_what_evaluating_changes_by_itself_is_no_change(make, monkeypatch):
    """Neither in the next call, nor in that of another object, nor when it is verified."""
    written, stop_at = [], 6

    def write(*given):
        real(*given)
        written.append(given)
        if len(written) == stop_at:
            raise KeyboardInterrupt

    real = evaluate._write_down
    monkeypatch.setattr(evaluate, "_write_down", write)
    net, metrics = make()
    landscape = LossLandscape(net, loader(), metrics)
    with pytest.raises(KeyboardInterrupt):
        landscape.compute_1d(xrange=(-1, 1, 11))
    stop_at = None
    landscape.compute_1d(xrange=(-1, 1, 11))
    assert len(written) == 11
    assert landscape.verify().agrees
    landscape.compute_1d(xrange=(-1, 1, 3), save=False)
    landscape.verdict()
    LossLandscape(net, loader(), metrics).compute_1d(xrange=(-1, 1, 21))
    assert len(written) == 21
    with torch.no_grad():
        next(net.parameters()).mul_(1.01)
    landscape.compute_1d(xrange=(-1, 1, 3))
    assert len(written) == 21 + 3


@pytest.mark.parametrize("name", ["factor", "calls", "shown"])
def test_what_somebody_else_changes_of_that_is_a_change(name):
    net, metrics = keeps()
    landscape = LossLandscape(net, loader(), metrics)
    one = landscape.compute_1d(xrange=(-1, 1, 3))["losses"]
    setattr(net, name, 2.0)
    assert len(list(Path("loss_surface.h5.journal").glob("*/"))) == 1
    two = landscape.compute_1d(xrange=(-1, 1, 3))["losses"]
    assert len(list(Path("loss_surface.h5.journal").glob("*/"))) == 2
    assert (one != two).all() == (name == "factor")


def test_other_weights_of_a_network_that_changes_by_itself_are_known_again():
    net, metrics = keeps()
    other = {name: 1.1 * entry for name, entry in net.state_dict().items()}
    landscape = LossLandscape(net, loader(), metrics)
    landscape.compute_1d(xrange=(-1, 1, 3))
    for _ in range(2):
        landscape.compute_over_training([net.state_dict(), other])
    for journal in Path("loss_surface.h5_over_training").glob("*.journal"):
        assert len(list(journal.glob("*/"))) == 1


def test_other_data_and_splits_are_read_when_they_are_given_and_no_others_again():
    def batches(factor, key):
        read.append(key)
        yield factor * data()[0], data()[1]

    def lazy(factor, key):
        return _Lazily(lambda: batches(factor, key))

    def losses():
        found = landscape.compute_1d(xrange=(0, 1, 2), save=False)
        splits = {
            name: float(split["losses"][0]) for name, split in found.get("splits", {}).items()
        }
        return {"train": float(found["losses"][0]), **splits}

    def wanted(factor):
        with torch.no_grad():
            outputs = net.eval()(factor * data()[0])
        return pytest.approx(nn.functional.cross_entropy(outputs, data()[1]).item(), rel=1e-5)

    read, net = [], small_net()
    landscape = LossLandscape(net, lazy(1, "train"))
    assert losses() == {"train": wanted(1)}
    landscape.splits = {"test": lazy(2, "test")}
    assert losses() == {"train": wanted(1), "test": wanted(2)}
    landscape.splits = {"test": lazy(3, "other"), "val": landscape.splits["test"]}
    assert losses() == {"train": wanted(1), "test": wanted(3), "val": wanted(2)}
    landscape.splits["test"] = lazy(4, "in place")
    landscape.dataloader = lazy(5, "train, too")
    assert losses() == {"train": wanted(5), "test": wanted(4), "val": wanted(2)}
    landscape.splits = {}
    assert losses() == {"train": wanted(5)}
    assert read == ["train", "test", "other", "test", "train, too", "in place"]


class _Lazily:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return self.batches()


def test_save_false_writes_nothing_and_pictures_are_drawn_from_memory():
    landscape = LossLandscape(small_net(), loader())
    landscape.compute_2d(**RANGES, save=False)
    assert files() == set()
    assert not Path("loss_surface.h5.journal").exists()
    paths = [*landscape.plot_2d_surface(), landscape.export_paraview()]
    assert files() == {path.name for path in paths}


def test_a_result_of_another_dimension_is_renamed_and_never_overwritten_trap_6(caplog):
    landscape = LossLandscape(small_net(), loader())
    for _ in (1, 2):  # the second round finds the same results under their names
        landscape.compute_1d(xrange=(-1, 1, 3))
        curve = datasets()
        caplog.clear()
        landscape.compute_2d(**RANGES)
        surface = datasets()
        said = "loss_surface.h5 holds a curve; it is kept as loss_surface.1d.h5"
        assert said in caplog.text
        assert datasets("loss_surface.1d.h5") == curve
        assert len(load_directions("loss_surface.1d.h5.directions.h5")) == 1
    assert {name for name in files() if name.endswith(".h5") and "directions" not in name} == {
        "loss_surface.h5",
        "loss_surface.1d.h5",
        "loss_surface.2d.h5",
    }
    assert datasets("loss_surface.2d.h5") == surface
    landscape.compute_1d(xrange=(-1, 1, 5))
    landscape.compute_2d(**RANGES)
    assert datasets("loss_surface.1d.h5") == curve  # another curve does not take its name
    assert len(load_surface("loss_surface.1d-2.h5")["train_loss"]) == 5


def test_both_dimensions_can_be_drawn_after_both_were_computed():
    landscape = LossLandscape(small_net(), loader())
    landscape.compute_1d(xrange=(-1, 1, 3))
    landscape.compute_2d(**RANGES)
    assert len(landscape.plot_1d()) == 2
    assert len(landscape.plot_2d_surface()) == 1


def test_a_surface_of_an_earlier_tool_is_put_aside_and_not_overwritten(caplog):
    shutil.copy(reference.DATA / "single_gpu_surface.h5", "loss_surface.h5")
    before = Path("loss_surface.h5").read_bytes()
    LossLandscape(small_net(), loader()).compute_2d(**RANGES)
    assert Path("loss_surface.2d.h5").read_bytes() == before
    assert "loss_surface.h5 holds a surface; it is kept as loss_surface.2d.h5" in caplog.text
    LossLandscape(small_net(), loader()).compute_2d(**RANGES, seed=1)  # our own is replaced
    assert not Path("loss_surface.2d-2.h5").exists()


def test_a_curve_that_another_process_wrote_meanwhile_is_put_aside(monkeypatch):
    def metric(net, dataloader, use_cuda):
        if not Path("loss_surface.h5").exists():
            shutil.copy("curve.h5", "loss_surface.h5")
        return {"v": 1.0}

    LossLandscape(small_net(), loader(), surf_file="curve.h5").compute_1d(xrange=(0, 1, 2))
    LossLandscape(small_net(), loader(), metric).compute_2d(**RANGES)
    assert datasets("loss_surface.1d.h5") == datasets("curve.h5")


def test_another_loader_is_read():
    landscape = LossLandscape(small_net(), data())
    first = landscape.compute_1d(xrange=(0, 1, 2))["losses"]
    landscape.dataloader = (3 * data()[0], data()[1])
    assert (landscape.compute_1d(xrange=(0, 1, 2))["losses"] != first).all()


def test_the_users_choice_of_rounding_on_a_gpu_is_not_touched():
    for name in ("medium", "high", "highest"):
        torch.set_float32_matmul_precision(name)
        LossLandscape(small_net(), data()).compute_1d(xrange=(0, 1, 2), save=False)
        assert torch.get_float32_matmul_precision() == name


def test_a_file_that_is_no_surface_is_never_overwritten():
    Path("loss_surface.h5").write_text("a thesis")
    with pytest.raises(InputError, match=r"loss_surface.h5 is no surface file.*Move it away"):
        LossLandscape(small_net(), loader()).compute_2d(**RANGES)
    assert Path("loss_surface.h5").read_text() == "a thesis"
    assert not Path("loss_surface.h5.journal").exists()


def test_an_existing_file_is_drawn_without_computing():
    LossLandscape(small_net(), loader(), surf_file="old.h5").compute_2d(**RANGES)
    other = LossLandscape(small_net(), loader(), surf_file="old.h5")
    assert [path.name for path in other.plot_2d_surface()] == ["old.h5_train_loss_3dsurface.pdf"]
    assert Path(other.export_paraview()).exists()
    with pytest.raises(InputError, match=r"old.h5 holds a surface \(two axes\); wanted a curve"):
        other.plot_1d()


@pytest.mark.parametrize(
    ("name", "key"),
    [("original_surface", "train_loss"), ("single_gpu_surface", "train_loss_height")],
)
def test_files_of_both_earlier_tools_give_the_same_picture_traps_1_and_2(name, key):
    """z = 10 x + y on 3 x 5 points; the original has not computed the point (1, 4)."""
    shutil.copy(reference.DATA / f"{name}.h5", ".")
    landscape = LossLandscape(small_net(), loader(), surf_file=f"{name}.h5")
    surface = load_surface(f"{name}.h5")
    x, y = (axis.steps() for axis in surface.grid.axes)
    known = np.isfinite(surface[key])
    assert known.sum() >= 14
    plane = 10 * x[:, None] + y[None, :]
    np.testing.assert_allclose(surface[key][known], plane[known])
    figure = landscape.plot_2d_surface(key).figures[0]
    (star,) = (line for line in figure.axes[0].lines if line.get_gid() == "best")
    assert [float(part[0]) for part in star.get_data_3d()][:2] == [-1, 0]


def test_true_zeros_and_minus_ones_are_values_and_nan_stays_nan_traps_27_and_28(
    monkeypatch, counted
):
    unit_directions(monkeypatch)
    kept = [-1.0, 0.0, float("nan"), float("inf"), -1.0]

    def metric(net, dataloader, use_cuda):
        Calls.count += 1
        return {"v": kept[round(2 * float(net.w.detach()[0]) + 2)]}

    landscape = LossLandscape(Heights(), data(), metric)
    result = landscape.compute_1d(xrange=(-1, 1, 5))
    np.testing.assert_array_equal(result["losses"]["v"], kept)
    np.testing.assert_array_equal(load_surface("loss_surface.h5")["train_loss_v"], kept)
    assert Calls.count == 5
    again = landscape.compute_1d(xrange=(-1, 1, 5))
    np.testing.assert_array_equal(again["losses"]["v"], kept)
    assert Calls.count == 5


def test_the_file_says_where_it_comes_from_trap_29():
    landscape = LossLandscape(small_net(), loader())
    landscape.compute_2d(**RANGES, seed=7)
    with h5py.File("loss_surface.h5") as file:
        told = dict(file.attrs)
    directions = json.loads(told["config"])["directions"]
    assert [(d["seed"], d["axis"], d["normalize"]) for d in directions] == [
        (7, 0, "filter"),
        (7, 1, "filter"),
    ]
    assert json.loads(told["seed"]) == [7, 7]
    assert -1 <= told["cosine"] <= 1
    assert len(told["fingerprint"]) == 64
    kept = load_directions("loss_surface.h5.directions.h5")
    for one, other in zip(kept, landscape.directions, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_seeds_differ_and_without_one_directions_are_fresh_and_recorded_trap_13():
    landscape = LossLandscape(small_net(), loader())
    found = {}
    for seed in (0, 1, None, None):
        landscape.compute_1d(xrange=(0, 1, 2), seed=seed)
        recorded = landscape.directions[0].attributes["seed"]
        found[recorded] = landscape.directions[0][0].numpy().tobytes()
    assert len(found) == len(set(found.values())) == 4
    again = create_random_direction(small_net(), seed=recorded)
    assert again[0].numpy().tobytes() == found[recorded]


def test_orthogonal_directions_have_cosine_zero_trap_12():
    landscape = LossLandscape(small_net(), loader())
    landscape.compute_2d(**RANGES, save=False)
    assert abs(landscape.surface.attributes["cosine"]) > 1e-4
    landscape.compute_2d(**RANGES, save=False, orthogonal=True)
    assert abs(landscape.surface.attributes["cosine"]) < 1e-7


def test_the_surface_of_the_pipeline_has_the_same_bytes():
    """The API is the pipeline with one shard: here it has three."""
    from tests.pipeline.test_messages import script

    Path("own.py").write_text(
        "import torch\n"
        "from landscape_lib import Problem\n"
        "from tests.test_api import data, small_net\n"
        "def build():\n"
        "    return Problem(small_net(), data())\n"
    )
    Path("config.yaml").write_text(
        json.dumps(
            {
                "runs": {
                    "own": {
                        "problem": "own.py:build",
                        "grid": {"x": [-1, 1, 5], "y": [-0.5, 1, 4], "shards": 3},
                        "directions": {"seed": 3, "normalize": "layer", "ignore": "scaled"},
                        "evaluation": {"plan": "plain", "device": "cpu"},
                    }
                }
            }
        )
    )

    def call(name, *more):
        assert script(name)(["--config", "config.yaml", "--run", "own", *more]) == 0

    call("make_directions", "--out", "results/own/directions.h5")
    call("probe", "--out", "results/own/probe.json")
    for k in "012":
        call(
            "evaluate_shard", "--shard", k, "--of", "3", "--out", f"results/own/shards/{k}-of-3.h5"
        )
    call("merge_shards", "--of", "3", "--out", "results/own/surface.h5")
    LossLandscape(small_net(), data()).compute_2d(
        **RANGES, seed=3, normalize="layer", ignore="scaled"
    )
    assert datasets() == datasets("results/own/surface.h5")


@given(nx=st.integers(1, 5), ny=st.integers(1, 5), low=st.floats(-2, 0), width=st.floats(0.1, 3))
@settings(max_examples=20)
def test_shapes_and_coordinates_are_those_asked_for_whatever_they_are_trap_4(nx, ny, low, width):
    x = (low, low + width if nx > 1 else low, nx)
    y = (0, 1 if ny > 1 else 0, ny)
    metric = {"size": lambda outputs, targets: outputs.abs().sum(1)}
    result = LossLandscape(small_net(), data(3), metric).compute_2d(x, y, save=False)
    assert result["losses"]["size"].shape == (nx, ny)
    np.testing.assert_allclose(result["xcoordinates"], np.linspace(*x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result["ycoordinates"], np.linspace(*y), rtol=1e-12, atol=1e-12)


# -------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize("xrange", [(0, 1, 3), (0.0, 1.0, 3.0), [0, 1, np.int64(3)]], ids=repr)
def test_an_axis_that_begins_at_zero_begins_at_zero_trap_5(xrange):
    result = LossLandscape(small_net(), data()).compute_1d(xrange=xrange, save=False)
    np.testing.assert_array_equal(result["xcoordinates"], [0, 0.5, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"xrange": (1, -1, 5)}, r"xrange=\(1, -1, 5\): .*low must be below high"),
        ({"xrange": (0, 1)}, r"xrange=\(0, 1\); wanted \(first step, last step, number of steps\)"),
        ({"xrange": (0, 1, 2.5)}, "wanted .first step"),
        ({"xrange": "0:1:51"}, "wanted .first step"),
        ({"xrange": (0, 1, 0)}, "has 0 steps"),
        ({"xrange": (0, 1, float("inf"))}, "wanted .first step"),
        ({"seed": -1}, "seed is -1; wanted a whole number"),
        (
            {"dir_type": "weight"},
            r"Unknown dir_type 'weight'; choose one of \['states', 'weights'\]",
        ),
        ({"normalize": "filters"}, "Unknown normalize 'filters'; choose one of"),
        ({"ignore": "bias"}, "Unknown ignore 'bias'; choose one of"),
        (
            {"directions": "randm"},
            r"Unknown directions 'randm'; choose one of \['random', 'target', 'pca', 'hessian'\]",
        ),
        ({"directions": "target"}, "needs a target_model"),
        ({"target_model": nn.Linear(1, 1)}, "directions is 'random'; say directions='target'"),
        (
            {"directions": "target", "target_model": nn.Linear(1, 1)},
            "must be a state_dict of the same network",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_anything_is_computed_trap_7(
    options, message
):
    def never(*_):
        raise AssertionError("evaluated")

    with pytest.raises(InputError, match=message):
        LossLandscape(small_net(), data(), never).compute_1d(**options)
    assert files() == set()


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (
            nn.CrossEntropyLoss,
            r"is the class CrossEntropyLoss; wanted an instance.*CrossEntropyLoss\(\)",
        ),
        (nn.functional.cross_entropy, r"cross_entropy\(outputs, targets\); give the loss module"),
        ({}, "an empty dict"),
        (3, "is a int; it must be a loss module"),
    ],
)
def test_what_is_no_criterion_is_refused_at_once(criterion, message):
    with pytest.raises(InputError, match=message):
        LossLandscape(small_net(), data(), criterion)


def test_no_cuda_although_asked_for_is_one_warning_and_the_function_is_told_trap_20(
    caplog, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = []

    def metric(net, dataloader, use_cuda):
        told.append(use_cuda)
        return {"v": 1.0}

    landscape = LossLandscape(small_net(), data(), metric, use_cuda=True)
    landscape.compute_2d(**RANGES, save=False)
    assert set(told) == {False}
    assert landscape.use_cuda is False
    assert caplog.text.count("There is no CUDA here; evaluating on the CPU.") == 1


def test_pictures_before_anything_is_computed_say_what_to_call():
    landscape = LossLandscape(small_net(), data())
    with pytest.raises(InputError, match=r"not there yet: call compute_2d\(\) first"):
        landscape.plot_2d_contour()
    with pytest.raises(InputError, match=r"not there yet: call compute_1d\(\) first"):
        landscape.plot_1d()


def test_a_missing_key_lists_those_there_are():
    landscape = LossLandscape(small_net(), data())
    landscape.compute_2d(**RANGES, save=False)
    with pytest.raises(InputError, match=r"no metric 'train_los'.*\['train_loss', 'train_acc'\]"):
        landscape.plot_2d_contour("train_los")


def test_file_names_keep_the_extension_and_no_file_is_overwritten_trap_32():
    landscape = LossLandscape(small_net(), data(), two_metrics, surf_file="surface.hdf5")
    landscape.compute_2d(**RANGES)
    before = Path("surface.hdf5").read_bytes()
    assert [str(path) for path in landscape.export_paraview("auto")] == [
        "surface.hdf5_train_loss_ce.vtp",
        "surface.hdf5_train_loss_accuracy.vtp",
    ]
    assert Path("surface.hdf5").read_bytes() == before


# ---------------------------------------------------------------------------------- how it is used


def test_results_are_also_a_surface_and_xarray():
    landscape = LossLandscape(small_net(), data())
    result = landscape.compute_2d(**RANGES)
    assert isinstance(landscape.surface, Surface)
    for source in (landscape, LossLandscape(small_net(), data())):  # from memory, from the file
        labelled = source.to_xarray()
        assert labelled["train_loss"].dims == ("x", "y")
        assert labelled["train_acc"].attrs["units"] == "%"
        np.testing.assert_array_equal(labelled["train_loss"], result["losses"])
        errors = landscape.surface.standard_error("train_acc")
        np.testing.assert_array_equal(labelled["train_acc_standard_error"], errors)
        assert labelled["train_acc_standard_error"].attrs["units"] == "%"
        value = labelled["train_loss"].sel(x=0.5, y=-0.5).item()
        assert value == result["losses"][3, 0]


def test_without_xarray_the_message_says_how_to_get_it(monkeypatch):
    landscape = LossLandscape(small_net(), data())
    landscape.compute_1d(xrange=(0, 1, 2), save=False)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(InputError, match="pip install xarray"):
        landscape.to_xarray()


def test_a_result_is_the_callers_own():
    landscape = LossLandscape(small_net(), data())
    result = landscape.compute_1d(xrange=(0, 1, 3), save=False)
    result["losses"][:] = 0
    assert landscape.surface["train_loss"].min() > 0


def test_a_program_without_logging_is_spoken_to_and_one_with_it_is_left_alone():
    code = (
        "import logging, sys, torch\n"
        "from torch import nn\n"
        "from landscape_lib import LossLandscape\n"
        "data = (torch.randn(8, 2), torch.arange(8) % 3)\n"
        "log = logging.getLogger('landscape_lib')\n"
        "for quiet in (False, True):\n"
        "    if quiet: logging.basicConfig(level=logging.ERROR)\n"
        "    landscape = LossLandscape(nn.Linear(2, 3), data, use_cuda=True)\n"
        "    landscape.compute_1d(xrange=(-1, 1, 3))\n"
        "    assert not log.handlers and log.level == logging.NOTSET\n"
        "    sys.stderr.write('END')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    said, quiet, after = done.stderr.split("END")
    assert "3 of 3 points" in said
    assert "left" in said
    assert quiet == after == done.stdout == ""


def test_help_reads_like_documentation():
    assert doctest.testmod(api).failed == 0
    assert doctest.testmod(api).attempted >= 5
    for name, method in inspect.getmembers(LossLandscape, inspect.isfunction):
        if name.startswith("_") and name != "__init__":
            continue
        words = inspect.getdoc(method)
        for parameter in list(inspect.signature(method).parameters)[1:]:
            assert f"{parameter}:" in words, (name, parameter)


def test_the_earlier_librarys_import_paths_lead_here():
    from landscape_lib import core, utils, viz  # noqa: F401
    from landscape_lib.core import direction, evaluator, perturbation
    from landscape_lib.utils import projection, storage
    from landscape_lib.viz import h5_to_vtp, paraview, plot_1d, plot_2d

    for module, names in {
        direction: "create_random_direction create_target_direction get_weights get_states "
        "normalize_direction",
        perturbation: "set_weights set_states",
        evaluator: "eval_loss",
        storage: "write_list read_list",
        projection: "tensorlist_to_tensor nplist_to_tensor npvec_to_tensorlist cal_angle "
        "project_1D project_2D",
        utils: "write_list read_list tensorlist_to_tensor nplist_to_tensor npvec_to_tensorlist "
        "cal_angle project_1D project_2D",
        viz: "plot_1d_loss plot_1d plot_2d_contour plot_2d_surface plot_2d h5_to_vtp",
        plot_1d: "plot_1d_loss",
        plot_2d: "plot_2d_contour plot_2d_surface",
        paraview: "h5_to_vtp",
    }.items():
        assert all(callable(getattr(module, name)) for name in names.split())
    assert h5_to_vtp is paraview.h5_to_vtp
    assert set(dir(landscape_lib)) >= {"LossLandscape", "core", "utils", "viz"}


# ------------------------------------------------------------------------------------ verdict


def test_a_verdict_is_returned_written_and_leaves_the_model_alone(tmp_path):
    model, data = small_net(), loader()
    model.train()
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    landscape = LossLandscape(model, data, surf_file=tmp_path / "own.h5")
    with pytest.raises(InputError, match="are not both there: call compute_1d"):
        landscape.verdict()
    landscape.compute_2d((-1, 1, 5), (-1, 1, 3))
    found = landscape.verdict()
    assert found["run"] == "own.h5"
    assert next(c["state"] for c in found["checks"] if c["id"] == "centre") == "good"
    assert json.loads((tmp_path / "own.h5_verdict.json").read_text()) == found
    assert (tmp_path / "own.h5_verdict.html").read_text().startswith("<!doctype html>")
    assert model.training
    assert all(torch.equal(before[name], entry) for name, entry in model.state_dict().items())
    again = LossLandscape(model, data, surf_file=tmp_path / "own.h5").verdict()  # from the files
    assert again == found
    unsaved = LossLandscape(model, data, surf_file=tmp_path / "other.h5")
    unsaved.compute_2d((-1, 1, 5), (-1, 1, 3), save=False)
    assert unsaved.verdict()["checks"] == found["checks"]


def test_a_surface_of_other_weights_is_neither_judged_nor_walked_in(tmp_path):
    model, path = small_net(), tmp_path / "own.h5"
    landscape = LossLandscape(model, loader(), surf_file=path)
    landscape.compute_2d((-1, 1, 4), (-1, 1, 3))
    with pytest.raises(InputError, match="eigenvalues"):
        landscape.verdict(eigenvalues=-1)
    own = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        next(model.parameters()).mul_(3)
    other = LossLandscape(small_net(), loader(), surf_file=path)
    torch.nn.init.ones_(next(other.net.parameters()))
    told = "The model is not the one at the centre of the last surface.*compute anew"
    for one in (landscape, other):
        with pytest.raises(InputError, match=told):
            one.verdict(eigenvalues=0, trace=False)
        with pytest.raises(InputError, match=told):
            one.add_trajectory([own])
    assert len(landscape.compute_over_training([own], save=False)) == 1  # that is what it is for
    model.load_state_dict(own)
    assert landscape.add_trajectory([own]).alpha.tolist() == [0.0]


def test_directions_that_were_written_without_their_surface_are_not_taken_for_its(
    tmp_path, monkeypatch
):
    model, path = small_net(), tmp_path / "own.h5"
    landscape = LossLandscape(model, loader(), surf_file=path)
    landscape.compute_2d((-1, 1, 5), (-1, 1, 3), seed=0)

    def full(*given):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("landscape_lib.steps.landscape.save_surface", full)
        with pytest.raises(OSError, match="No space left"):
            landscape.compute_2d((-1, 1, 5), (-1, 1, 3), seed=1)
    again = LossLandscape(model, loader(), surf_file=path)
    told = "these are not the directions of .*type the call that computed it again"
    for call in (again.verdict, again.verify, lambda: again.add_trajectory([model.state_dict()])):
        with pytest.raises(InputError, match=told):
            call()
    again.compute_2d((-1, 1, 5), (-1, 1, 3), seed=1)
    fresh = LossLandscape(model, loader(), surf_file=path)
    way = create_random_direction(model, seed=1, axis=0)
    there = dict(model.state_dict())
    there |= {n: there[n] + 0.5 * d for n, d in zip(way.names, way, strict=True)}
    assert fresh.add_trajectory([there]).alpha[0] == pytest.approx(0.5, abs=1e-6)


class Remembering(nn.Module):
    """Has a state that is no tensor, as modules that scale numbers in eight bits have."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.note = {"steps": 1}

    def forward(self, inputs):
        return self.linear(inputs)

    def get_extra_state(self):
        return self.note

    def set_extra_state(self, state):
        self.note = state


def test_a_state_that_is_no_tensor_is_carried_along():
    torch.manual_seed(0)
    model = Remembering()
    landscape = LossLandscape(model, (torch.randn(9, 4), torch.arange(9) % 3))
    landscape.compute_1d(xrange=(-1, 1, 3), save=False, dir_type="states")
    later = copy.deepcopy(model.state_dict())
    later["_extra_state"]["steps"] = 2
    found = landscape.compute_over_training([later], save=False)
    assert len(found) == 1
    assert model.note == {"steps": 1}


def test_ctrl_c_while_a_checkpoint_is_taken_out_leaves_the_models_own_weights(monkeypatch):
    model = small_net()
    own = copy.deepcopy(model.state_dict())
    landscape = LossLandscape(model, loader())
    landscape.compute_1d(xrange=(-1, 1, 3), save=False)
    other = {name: entry + 1 for name, entry in own.items()}
    load, calls = nn.Module.load_state_dict, []

    def interrupted(net, state, *given, **named):
        calls.append(state)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return load(net, state, *given, **named)

    monkeypatch.setattr(nn.Module, "load_state_dict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        landscape.compute_over_training([other], save=False)
    assert all(torch.equal(entry, own[name]) for name, entry in model.state_dict().items())


# ------------------------------------------------------------------------ where training walked


def walked(net, places):
    """State_dicts at w0 + a d1 + b d2, d1 and d2 of other lengths and not at right angles."""
    torch.manual_seed(4)
    start = {name: entry.clone() for name, entry in net.state_dict().items()}
    moving = [name for name, _ in net.named_parameters()]
    one = {name: torch.randn_like(start[name]) for name in moving}
    other = {name: 2 * one[name] + torch.randn_like(start[name]) for name in moving}
    return [
        start | {name: start[name] + a * one[name] + b * other[name] for name in moving}
        for a, b in places
    ]


def test_checkpoints_make_the_plane_the_range_and_the_way(tmp_path):
    net = small_net()
    states = walked(net, [(0.5, 1.0), (0.25, 0.5), (0.5, 0.0)])
    for number, state in enumerate(states):
        torch.save(state, tmp_path / f"{number}.pt")
    landscape = LossLandscape(net, loader(), surf_file="s.h5")
    result = landscape.compute_2d(
        ("auto", "auto", 5), (-3, 3, 4), checkpoints=str(tmp_path / "*.pt")
    )
    assert result["losses"].shape == (5, 4)
    (way,) = landscape.surface.trajectories
    np.testing.assert_allclose(way.distance, 0, atol=1e-5)
    assert way.in_plane == pytest.approx(1)
    x = result["xcoordinates"]
    assert x[0] < min(way.alpha.min(), 0)
    assert x[-1] > max(way.alpha.max(), 0)
    assert 0 in x
    (kept,) = load_surface("s.h5").trajectories
    np.testing.assert_array_equal(kept.alpha, way.alpha)
    ratios = [d.attributes["explained_variance_ratio"] for d in landscape.directions]
    assert sum(ratios) == pytest.approx(1)
    pictures = landscape.plot_2d_contour()
    assert "of the variance" in pictures.figures[0].axes[0].get_xlabel()
    curve = landscape.compute_1d("pca", ("auto", "auto", 5), checkpoints=states, save=False)
    np.testing.assert_allclose(curve["xcoordinates"], x)


def test_ways_of_several_trainings_are_shown_in_any_plane(tmp_path):
    net, other = small_net(), small_net(1)
    landscape = LossLandscape(net, loader(), surf_file="s.h5")
    landscape.compute_2d((-1, 2, 4), (-1, 1, 3), x_target=other)
    way = landscape.add_trajectory([other, net], "SGD")
    np.testing.assert_allclose([way.alpha, way.beta], [[1, 0], [0, 0]], atol=1e-6)
    landscape.add_trajectory(small_net(2), "Adam")
    landscape.add_trajectory([net], "Adam")  # in place of the first of that name
    found = load_surface("s.h5").trajectories
    assert [(one.name, len(one.alpha)) for one in found] == [("SGD", 2), ("Adam", 1)]
    assert [one.name for one in landscape.surface.trajectories] == ["SGD", "Adam"]
    again = LossLandscape(net, loader(), surf_file="s.h5")  # the file is enough
    again.add_trajectory([other])
    assert [one.name for one in load_surface("s.h5").trajectories] == ["SGD", "Adam", ""]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoints": []}, "Found 0 checkpoints that span 0 dimensions"),
        ({"checkpoints": [3]}, "Checkpoint 0 is a int; wanted a path, a pattern"),
        ({"checkpoints": 5}, "checkpoints=5; wanted a path, a pattern .*, or a list of them"),
        ({"trajectories": 5}, "trajectories=5; wanted checkpoints by names"),
        ({"trajectories": {"SGD": 5}}, "checkpoints=5; wanted a path"),
        ({"checkpoints": "none_*.pt"}, "none_.*: no file fits this pattern"),
        ({"checkpoints": ["none.pt"]}, r"none\.pt: there is no such file"),
        ({"xrange": "auto"}, "xrange is 'auto', and nothing says how far: give checkpoints"),
        (
            {"checkpoints": [], "x_target": nn.Linear(1, 1)},
            "leave x_target, y_target and directions out",
        ),
    ],
)
def test_checkpoints_that_make_no_plane_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        LossLandscape(small_net(), loader()).compute_2d(**options)


def test_a_curve_along_a_component_needs_its_checkpoints():
    landscape = LossLandscape(small_net(), loader())
    with pytest.raises(InputError, match="directions='pca' needs checkpoints of its training"):
        landscape.compute_1d("pca")
    with pytest.raises(InputError, match="checkpoints are given, but directions is 'random'"):
        landscape.compute_1d(checkpoints=[small_net(1)])


# ------------------------------------------------------------------------------------- curvature


class Product(nn.Module):
    """Outputs w1 w2: with the squared error to 1, L = (w1 w2 - 1)^2."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = (
            nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in (first, second)
        )

    def forward(self, inputs):
        return self.first * self.second * inputs


ONES = (torch.ones(4, 1), torch.ones(4, 1))


def test_a_surface_along_eigenvectors_is_curved_as_its_eigenvalues_say():
    """At w1 w2 = 1 the Hessian of (w1 w2 - 1)^2 has the eigenvalues 2 (w1^2 + w2^2) and 0."""
    landscape = LossLandscape(Product(2.0, 0.5), ONES, nn.MSELoss())
    result = landscape.compute_2d((-0.002, 0.002, 3), (-1, 1, 5), directions="hessian")
    x, y = landscape.directions
    assert x.attributes["eigenvalue"] == pytest.approx(8.5)
    assert y.attributes["eigenvalue"] == pytest.approx(0, abs=1e-9)
    assert [float(t) for t in x] == pytest.approx(np.array([0.5, 2]) / 4.25**0.5)
    second = result["losses"][:, 2] @ [1, -2, 1] / 0.002**2
    assert second == pytest.approx(8.5, rel=1e-4)
    curve = landscape.compute_1d("hessian", (-0.5, 0.5, 4), eigenvector=-1, save=False)
    assert landscape.directions[0].attributes["eigenvector"] == -1
    first, other = (float(t) * curve["xcoordinates"] for t in y)
    np.testing.assert_allclose(curve["losses"], ((2 + first) * (0.5 + other) - 1) ** 2, atol=1e-12)


def test_softmax_regression_is_convex_at_every_point_of_the_grid():
    torch.manual_seed(0)
    landscape = LossLandscape(nn.Linear(4, 3), loader())
    result = landscape.compute_2d(**RANGES, curvature=True)
    assert result["hessian_min"].shape == result["losses"].shape == (5, 4)
    assert (result["hessian_min"] >= -1e-6 * result["hessian_max"]).all()
    np.testing.assert_allclose(result["hessian_ratio"], 0, atol=1e-6)
    plain = landscape.compute_2d(**RANGES, save=False)
    assert "hessian_min" not in plain
    assert np.array_equal(plain["losses"], result["losses"])


def test_a_transformers_curvature_is_that_of_its_dense_hessian_trap_26():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(2, 1, 2, dropout=0.3, batch_first=True)
            self.spare = nn.Linear(1, 1)

        def forward(self, inputs):
            return self.layer(inputs).mean(1)

    torch.manual_seed(3)
    model = Encoder().double()
    pairs = torch.randn(5, 3, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    batches = DataLoader(TensorDataset(*pairs), batch_size=2)
    landscape = LossLandscape(model, batches, nn.MSELoss())
    result = landscape.compute_1d(xrange=(-0.5, 0.5, 3), curvature=True)
    assert np.isfinite(result["hessian_ratio"]).all()
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def loss(flat):
        parts = flat.split([w.numel() for w in weights.values()])
        at = {n: p.view(w.shape) for (n, w), p in zip(weights.items(), parts, strict=True)}
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return nn.functional.mse_loss(
                torch.func.functional_call(model, at, (pairs[0],)), pairs[1]
            )

    model.eval()
    start = torch.cat([w.flatten() for w in weights.values()])
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, start))
    assert result["hessian_max"][1] == pytest.approx(float(values[-1]), rel=1e-4)
    assert result["hessian_min"][1] == pytest.approx(float(values[0]), abs=1e-4 * float(values[-1]))


def test_curvature_of_custom_metrics_stands_beside_them_and_is_resumed(caplog):
    caplog.set_level(logging.INFO)
    metrics = {"ce": nn.CrossEntropyLoss(), "mse": nn.MSELoss()}
    ranges = {"xrange": (-1, 1, 3), "yrange": (0, 1, 2)}
    landscape = LossLandscape(small_net(), data(), metrics)
    first = landscape.compute_2d(**ranges, curvature=20)
    again = LossLandscape(small_net(), data(), metrics).compute_2d(**ranges, curvature=20)
    assert "6 points, 6 of them in the journal" in caplog.text
    assert set(first["losses"]) == {"ce", "mse"}
    for key in ("hessian_min", "hessian_max", "hessian_ratio"):
        assert first[key].tobytes() == again[key].tobytes()
    caplog.clear()
    landscape.compute_2d(**ranges, curvature=10)
    assert "6 points, 0 of them in the journal" in caplog.text  # other samples, other numbers


class Centred(nn.Module):
    """Subtracts a constant, has a norm that can be folded, and is scaled by a buffer."""

    def __init__(self):
        super().__init__()
        self.net = small_net()
        self.register_buffer("k", torch.tensor(0.3))

    def forward(self, inputs):
        return self.net(inputs - torch.tensor([0.5, 0.4, 0.3, 0.2])) * self.k.exp()


def test_the_same_call_finds_its_points_where_forward_has_constants(caplog):
    caplog.set_level(logging.INFO)
    model = Centred()
    held = set(vars(model))
    landscape = LossLandscape(model, data(100))
    first = landscape.compute_1d(xrange=(-1, 1, 9))
    assert '"fold": true' in landscape.surface.attributes["plans"][0]
    assert set(vars(model)) == held
    again = landscape.compute_1d(xrange=(-1, 1, 9))
    assert "9 points, 9 of them in the journal" in caplog.text
    assert first["losses"].tobytes() == again["losses"].tobytes()
    assert landscape.verify().agrees


def test_a_step_to_another_model_is_that_model_where_a_buffer_is_computed_with():
    model, other = Centred(), Centred()
    other.k.fill_(2.0)
    landscape = LossLandscape(model, data(100))
    found = landscape.compute_1d(
        "target", (0, 1, 9), target_model=other, dir_type="states", save=False
    )
    assert '"fold": true' in landscape.surface.attributes["plans"][0]
    inputs, targets = data(100)
    wanted = nn.functional.cross_entropy(other.eval()(inputs), targets)
    assert found["losses"][-1] == pytest.approx(wanted.item(), rel=1e-5)


def test_the_spectrum_is_measured_and_drawn_and_leaves_the_model_alone():
    model = small_net().train()
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    found = LossLandscape(model, data()).spectrum(eigenvalues=2)
    assert files() == {"loss_surface.h5_spectrum.pdf"}
    assert found["density"]["exact"]
    nodes = np.array(found["density"]["nodes"][0])
    assert nodes[[-1, -2]] == pytest.approx(found["eigenvalues"]["values"], rel=1e-5)
    assert nodes.sum() == pytest.approx(found["trace"]["value"], rel=1e-5)
    assert model.training
    assert all(torch.equal(before[name], entry) for name, entry in model.state_dict().items())


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda it: it.compute_1d("hessian", dir_type="states"), "by the weights alone"),
        (
            lambda it: it.compute_1d("hessian", eigenvector=0),
            "^The eigenvector of axis x: eigenvector is 0; wanted a whole number but 0, null.$",
        ),
        (
            lambda it: it.compute_1d("hessian", hessian_samples=0),
            r"axis x: hessian_samples is 0; wanted a whole number from 1, [^\n]*$",
        ),
        (lambda it: it.compute_1d("hessian", eigenvector=99), "there is none with number"),
        (lambda it: it.compute_2d(directions="hessian", eigenvectors=(1, 1)), "two different ones"),
        (lambda it: it.compute_2d(directions="hessian", eigenvectors=3), "one for x and one for y"),
        (lambda it: it.compute_2d(directions="target"), "give other models as x_target"),
        (lambda it: it.compute_1d(curvature=-3), "wanted True, False, or a number of samples"),
        (lambda it: it.compute_1d(curvature="yes"), "wanted True, False, or a number of samples"),
        (
            lambda it: it.spectrum(samples=0),
            r"^spectrum\(\.\.\.\): samples is 0; wanted a whole number from 1, null.$",
        ),
        (
            lambda it: it.verdict(eigenvalues=-1),
            r"^verdict\(\.\.\.\): eigenvalues is -1; wanted [^\n]*$",
        ),
    ],
)
def test_curvature_that_makes_no_sense_is_refused(ask, message):
    landscape = LossLandscape(small_net(), data())
    with pytest.raises(InputError, match=message):
        ask(landscape)


@pytest.mark.parametrize("layers", [5, [5], ["0.*", None]], ids=str)
def test_layers_that_are_no_globs_are_refused(layers):
    landscape = LossLandscape(small_net(), data())
    for ask in (landscape.compute_1d, landscape.compute_2d, landscape.compute_seeds):
        with pytest.raises(InputError, match=r"layers=.*; wanted a glob on names of parameters"):
            ask(layers=layers)


def test_a_function_with_its_own_loop_has_no_curvature():
    landscape = LossLandscape(small_net(), loader(), two_metrics)
    for ask in (
        lambda: landscape.compute_1d("hessian"),
        lambda: landscape.compute_1d(curvature=True),
        landscape.spectrum,
    ):
        with pytest.raises(InputError, match="the metrics are a function that runs its own loop"):
            ask()


def test_curvature_is_that_of_the_plain_model_whatever_the_plan():
    wanted = LossLandscape(small_net(), data()).compute_1d(
        xrange=(-1, 1, 3), save=False, curvature=True
    )
    plan = {"points_at_once": 2, "batch_size": 16}
    found = LossLandscape(small_net(), data(), plan=plan).compute_1d(
        xrange=(-1, 1, 3), save=False, curvature=True
    )
    for key in ("losses", "hessian_min", "hessian_max"):
        np.testing.assert_allclose(found[key], wanted[key], rtol=1e-3, atol=1e-5)
