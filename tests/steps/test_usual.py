"""A run too short for a search takes the plan that shapes tell, where a few samples agree."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from landscape_lib import LossLandscape
from landscape_lib.config import EvaluationSettings
from landscape_lib.core.evaluator import Evaluator
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.problems.problem import Problem
from landscape_lib.problems.resnet import ResNet
from landscape_lib.steps.bench import lay_out
from landscape_lib.steps.planning import CHECKED, PAYS, choose_plan
from landscape_lib.steps.usual import usual_plan

REPO = Path(__file__).resolve().parents[2]
GRID = Grid((Axis(-1, 1, 5), Axis(-1.5, 1, 3)))
COUNT = 64  # samples; as many as 15 points need to pay for the check
BASE = Plan(threads=1)


def bench_of(net, metrics=None, shape=(3, 8, 8), batch_size=None):
    noise = torch.Generator().manual_seed(0)
    data = (torch.randn(COUNT, *shape, generator=noise), torch.arange(COUNT) % 10)
    given = DataLoader(TensorDataset(*data), batch_size) if batch_size else data
    problem = Problem(net.eval(), given, metrics or nn.CrossEntropyLoss())
    return lay_out("own", problem, code="", args={}, wishes=EvaluationSettings())


def chosen(bench, grid=GRID, **told):
    return choose_plan(bench, EvaluationSettings.model_validate({"device": "cpu", **told}), grid)


def cnn(width=16, norm=True):
    norms = [nn.BatchNorm2d(width)] if norm else []
    layers = [nn.Conv2d(3, width, 3, padding=1), *norms, nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, 10))


def mlp(width):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.ReLU(), nn.Linear(width, 10))


@pytest.mark.parametrize(
    ("width", "threads", "size"),
    [(16, 1, 256), (32, 1, 128), (32, 2, 256), (2**12, 1, 8)],
)
def test_images_have_channels_last_folded_norms_and_batches_that_fit_the_caches(
    width, threads, size
):
    """8 x 8 float32 of so many channels are 4 KiB or more a sample; a thread has 1 MiB."""
    found = usual_plan(bench_of(cnn(width)), Plan(threads=threads))
    layout = torch.backends.mkldnn.is_available()
    assert found == Plan(threads=threads, batch_size=size, fold=True, channels_last=layout)


def test_without_norms_nothing_is_folded_and_a_batch_size_that_is_named_is_kept():
    found = usual_plan(bench_of(cnn(norm=False)), Plan(threads=1, batch_size=7))
    assert not found.fold
    assert found.batch_size == 7


@pytest.mark.parametrize(("width", "size"), [(64, 1024), (2**13, None)])
def test_a_network_without_images_has_larger_batches_or_its_own(width, size):
    """The inputs, 192 float32, are wider than 64 neurons: 1 MiB holds 1365 of them."""
    assert usual_plan(bench_of(mlp(width)), BASE) == Plan(threads=1, batch_size=size)


class Inside(nn.Module):
    """One module: what is wide in it is no module's output."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2**13, 192))

    def forward(self, x):
        return functional.linear(x.flatten(1), self.weight).unflatten(1, (2, -1)).sum(2)


def test_what_is_wide_inside_a_module_is_seen_and_weights_are_not():
    assert usual_plan(bench_of(Inside()), BASE) == BASE  # 32 KiB a sample: batches stay
    deep = nn.Sequential(nn.Flatten(), nn.Linear(192, 192), nn.Linear(192, 10))
    assert usual_plan(bench_of(deep), BASE).batch_size == 1024  # though weights have 144 KiB


def test_a_loop_of_ones_own_is_left_alone():
    def metric(net, loader, use_cuda):
        pytest.fail("called")

    assert chosen(bench_of(cnn(), metric)) == BASE


def test_a_compiled_network_is_not_compiled_anew_for_other_batches():
    net = cnn()
    net._compiled_call_impl = net._call_impl  # what net.compile() does, without the compiler
    assert usual_plan(bench_of(net), BASE) == BASE


def test_an_autocast_around_the_call_does_not_count():
    bench = bench_of(cnn())
    with torch.autocast("cpu"):
        inside = usual_plan(bench, BASE)
    assert inside == usual_plan(bench, BASE)


def test_a_run_that_does_not_pay_for_the_check_is_plain():
    bench = bench_of(cnn())
    points = PAYS * CHECKED // COUNT
    assert chosen(bench, Grid((Axis(-1, 1, points),))).fold
    assert chosen(bench, Grid((Axis(-1, 1, points - 1),))) == BASE
    assert chosen(bench, plan="plain") == BASE


@pytest.mark.parametrize("batch_size", [None, 16, 24, 5])
def test_a_metric_that_depends_on_the_batch_keeps_the_plain_model(batch_size, caplog):
    metrics = {"batch": lambda outputs, targets: torch.tensor(float(len(targets)))}
    assert chosen(bench_of(cnn(), metrics, batch_size=batch_size)) == BASE
    assert "train_loss_batch differs by" in caplog.text


class Tracing(nn.Module):
    """Computes something else when it is traced."""

    def __init__(self):
        super().__init__()
        self.net = cnn()

    def forward(self, x):
        return self.net(x) * (1.0 if isinstance(x, torch.Tensor) else 2.0)


def test_a_network_that_is_folded_wrongly_keeps_the_plain_model(caplog):
    assert chosen(bench_of(Tracing())) == BASE
    assert "this plan is dropped" in caplog.text


class Viewing(nn.Module):
    """Does not run on channels last."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 10)

    def forward(self, x):
        return self.linear(self.conv(x).view(len(x), -1))


def test_a_network_that_does_not_run_so_keeps_the_plain_model(caplog):
    with caplog.at_level(logging.INFO):
        assert chosen(bench_of(Viewing())) == BASE
    assert "This plan does not run (RuntimeError: view size is not compatible" in caplog.text


class Paired(nn.Module):
    """Refuses a single sample."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))

    def forward(self, x):
        if len(x) < 2:
            raise ValueError("two at least")
        return x.flatten(1)[:, :10] * self.weight


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_network_that_refuses_a_single_sample_or_shows_nothing_keeps_its_batches():
    assert usual_plan(bench_of(Paired()), BASE) == BASE
    assert usual_plan(bench_of(torch.jit.trace(mlp(64), torch.ones(2, 3, 8, 8))), BASE) == BASE


def test_looking_at_a_network_imports_no_compiler():
    code = (
        "import sys, torch\n"
        "from tests.steps.test_usual import BASE, bench_of, cnn, usual_plan\n"
        "assert usual_plan(bench_of(cnn()), BASE).fold\n"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPO)


def test_the_values_of_a_short_run_are_those_of_the_plain_model():
    torch.manual_seed(0)
    net = ResNet(8, width=4).eval()
    data = (torch.randn(COUNT, 3, 8, 8), torch.arange(COUNT) % 10)
    metrics = {"ce": nn.CrossEntropyLoss(), "square": lambda outputs, targets: outputs.square()}
    found = {}
    for plan in ("auto", "plain"):
        landscape = LossLandscape(net, data, metrics, plan=plan)
        found[plan] = landscape.compute_2d((-1, 1, 5), (-1, 0.5, 3), save=False)["losses"]
        (used,) = landscape.surface.attributes["plans"]
        assert ('"fold": true' in used) == (plan == "auto")
    for key, wanted in found["plain"].items():
        np.testing.assert_allclose(found["auto"][key], wanted, rtol=1e-5)


def test_two_short_runs_have_the_same_bits():
    """Nothing is timed, so that nothing depends on what else the machine does."""
    net = cnn().eval()
    data = (torch.randn(COUNT, 3, 8, 8), torch.arange(COUNT) % 10)
    landscapes = [LossLandscape(net, data, nn.CrossEntropyLoss()) for _ in range(2)]
    one, other = (here.compute_1d(xrange=(-1, 1, 15), save=False) for here in landscapes)
    assert one["losses"].tobytes() == other["losses"].tobytes()
    assert '"fold": true' in landscapes[0].surface.attributes["plans"][0]


def test_the_check_evaluates_few_samples(monkeypatch):
    counts = []
    real = Evaluator.__init__

    def counting(self, model, metrics, data, *others, **named):
        counts.append(sum(samples.count for samples in data.values()))
        real(self, model, metrics, data, *others, **named)

    monkeypatch.setattr(Evaluator, "__init__", counting)
    chosen(bench_of(cnn()))
    assert counts == [CHECKED, CHECKED]
