"""A plan is fast only where it is right; what it finds is kept, and tiny runs pay nothing."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchmetrics
from torch import nn
from torch.utils._pytree import tree_leaves

from landscape_lib.config import EvaluationSettings
from landscape_lib.core import graphs
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, disagreement
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.samples import as_batches
from landscape_lib.core.together import Together
from landscape_lib.problems.problem import Problem
from landscape_lib.problems.resnet import ResNet
from landscape_lib.steps import planning
from landscape_lib.steps.bench import lay_out
from landscape_lib.steps.planning import agrees, choose_plan, settled_plan, values_along
from landscape_lib.utils.records import write_record

REPO = Path(__file__).resolve().parents[2]
GRID = Grid((Axis(-1, 1, 21), Axis(-1.5, 1, 11)))


@pytest.fixture(autouse=True)
def threads():
    yield
    torch.set_num_threads(1)


def bench_of(metrics=None, model=None, count=80):
    torch.manual_seed(0)
    net = model or ResNet(8, width=4).eval()
    data = (torch.randn(count, 3, 8, 8), torch.arange(count) % 10)
    problem = Problem(net, data, metrics or nn.CrossEntropyLoss())
    return lay_out("own", problem, code="", args={}, wishes=EvaluationSettings())


@pytest.fixture
def long(monkeypatch):
    """Let every run be worth a search, and time pass as these tests say."""
    monkeypatch.setattr(planning, "TINY_S", 0.0)
    monkeypatch.setattr(planning, "SHARE", 1e6)

    def costs(seconds_of):
        monkeypatch.setattr(planning._Search, "_seconds", lambda self, plan: seconds_of(plan) / 80)

    return costs


def wishes(**told):
    return EvaluationSettings.model_validate({"device": "cpu", **told})


def test_the_search_finds_the_cheapest_of_all_choices(long):
    def cost(plan):
        shape = 0.5 if plan.fold else 1.0
        size = 1 + abs((plan.batch_size or 128) - 32) / 100
        return shape * size * (0.9 if plan.threads == 1 else 1.0)

    long(cost)
    torch.set_num_threads(2)
    plan = choose_plan(bench_of(), wishes(), GRID)
    assert plan == Plan("cpu", "float32", 32, 1, fold=True, channels_last=True)


def test_a_plan_that_is_no_faster_is_not_taken(long):
    long(lambda plan: 1.0 if plan == Plan(threads=1) else 0.99)
    assert choose_plan(bench_of(), wishes(), GRID) == Plan(threads=1)


def test_a_batch_size_that_is_given_is_kept(long):
    long(lambda plan: 0.5 if plan.fold else 1.0)
    plan = choose_plan(bench_of(), wishes(batch_size=7), GRID)
    assert plan == Plan("cpu", "float32", 7, 1, fold=True, channels_last=True)


def test_points_at_once_are_taken_where_they_are_faster_and_as_many_as_pay(long):
    long(lambda plan: {1: 1.0, 4: 0.6, 16: 0.5, 64: 0.7}[plan.points_at_once])
    plan = choose_plan(bench_of(), wishes(batch_size=40), GRID)
    assert plan == Plan("cpu", "float32", 40, 1, points_at_once=16)


def test_points_at_once_whose_bits_depend_on_each_other_are_dropped(monkeypatch, caplog):
    judge = Together.judge

    def leaking(self, *args):
        found = judge(self, *args)
        return {key: [leak(values) for values in tensors] for key, tensors in found.items()}

    def leak(values):
        return values + 1e-9 * values.mean(0) if values.is_floating_point() else values

    bench, plan = bench_of(), Plan(threads=1, points_at_once=4)
    assert agrees(bench, plan, Plan(threads=1), [0.0, 1.0])
    monkeypatch.setattr(Together, "judge", leaking)
    assert not agrees(bench, plan, Plan(threads=1), [0.0, 1.0])
    assert "The bits of a point depend on its neighbours: this plan is dropped" in caplog.text


def test_points_at_once_are_compared_elsewhere_too_where_the_centre_is_all_that_is_asked():
    assert agrees(bench_of(), Plan(threads=1, points_at_once=4), Plan(threads=1), [0.0])


def test_graphs_are_taken_where_there_are_any_and_they_are_faster(long, monkeypatch, caplog):
    """No CPU has graphs: a stand-in that runs the work again."""
    monkeypatch.setitem(graphs.RECORDERS, "cpu", Again)
    long(lambda plan: 0.5 if plan.graph else 1.0)
    plan = choose_plan(bench_of(), wishes(batch_size=30), GRID)
    assert plan == Plan("cpu", "float32", 30, 1, graph=True)
    monkeypatch.setattr(Again, "off", 1e-9)
    assert choose_plan(bench_of(), wishes(batch_size=30), GRID) == Plan(batch_size=30, threads=1)
    assert "Replaying CUDA graphs changes bits: this plan is dropped" in caplog.text


def test_a_gpu_is_searched_for_its_own_choices(long, monkeypatch):
    """There is none here: what would be tried, in which order, where time passes as told."""
    monkeypatch.setitem(planning.START, "cpu", 40)
    long(lambda plan: (0.4 if plan.graph else 1.0) * (0.5 if plan.fold else 1.0))
    search = planning._Search(bench_of(), Plan(threads=1), GRID.size, None)
    search._kind = "cuda"
    monkeypatch.setitem(planning.START, "cuda", 40)
    search._budget = 1e9
    best = search.best()
    assert best == Plan(threads=1, batch_size=40, fold=True, channels_last=True, graph=True)
    tried = list(search._times)
    assert Plan(threads=1, batch_size=40, fold=True) in tried
    recorded = [plan.graph for plan in tried]
    assert recorded.index(True) < len(recorded) - 3  # before sizes and points at once
    assert {plan.points_at_once for plan in tried} > {1, 4}


def test_what_cannot_be_recorded_is_no_other_plan(monkeypatch):
    """It would be the plan without, by another name, and so another fingerprint."""
    monkeypatch.setitem(graphs.RECORDERS, "cpu", Again)
    bench = bench_of({"top": torchmetrics.classification.MulticlassAccuracy(10)})
    search = planning._Search(bench, Plan(threads=1), GRID.size, None)
    assert search._seconds(Plan(threads=1, graph=True)) == float("inf")
    search = planning._Search(bench_of(), Plan(threads=1), GRID.size, None)
    assert 0 < search._seconds(Plan(threads=1, graph=True)) < 1


class Again:
    """Records work by doing it again."""

    off = 0.0

    def __init__(self, device):
        pass

    def record(self, work):
        found = work()
        results = [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]

        def replay():
            leaves = [leaf for leaf in tree_leaves(work()) if isinstance(leaf, torch.Tensor)]
            for mine, leaf in zip(results, leaves, strict=True):
                mine.copy_(leaf * (1 + self.off) if mine.is_floating_point() else leaf)

        return replay, found


def test_a_plan_that_rounds_may_differ_by_its_rounding(caplog):
    """Folding rounds other numbers to bfloat16: more than 1e-5 apart, and no reason to drop it."""
    bench = bench_of()
    plain = Plan(precision="bf16", threads=1)
    folded = Plan(precision="bf16", threads=1, fold=True, batch_size=32)
    one, other = (values_along(bench, bench.evaluator(p), [1.0])[0] for p in (plain, folded))
    assert 1e-5 < disagreement(one, other)[1] < 2 * 2**-8
    assert agrees(bench, folded, plain, [0.0, 1.0])
    assert not caplog.records


def test_a_loop_of_ones_own_keeps_its_batches_and_may_be_laid_out_otherwise(long):
    def metric(net, loader, use_cuda):
        sizes.append([len(targets) for _, targets in loader])
        layouts.add(next(net.parameters()).is_contiguous(memory_format=torch.channels_last))
        with torch.no_grad():
            return {"a": sum(float(net(inputs).square().sum()) for inputs, _ in loader)}

    sizes, layouts = [], set()
    long(lambda plan: 0.5 if plan.channels_last else 1.0)
    bench = bench_of(metric)
    plan = choose_plan(bench, wishes(), GRID)
    assert plan == Plan(threads=1, channels_last=True)
    assert layouts == {True, False}
    assert all(found == [80] for found in sizes)


def test_tiny_runs_pay_nothing(monkeypatch):
    monkeypatch.setattr(Evaluator, "__init__", lambda *_: pytest.fail("evaluated"))
    small = Grid((Axis(-1, 1, 3),))
    assert choose_plan(bench_of(), wishes(), small) == Plan(threads=1)
    assert choose_plan(bench_of(), wishes(plan="plain"), GRID) == Plan(threads=1)


def test_short_runs_are_not_searched_and_take_the_usual_plan(monkeypatch):
    monkeypatch.setattr(planning._Search, "_time", lambda *_: pytest.fail("searched"))
    bench = bench_of()
    usual = Plan(threads=1, batch_size=1024, fold=True, channels_last=True)  # 4 * 8 * 8 floats
    assert choose_plan(bench, wishes(), GRID) == usual
    assert agrees(bench, usual, Plan(threads=1), [0.0, 1.0, 1.5])


class Featured(nn.Module):
    """Keeps its features where a metric finds them; a folded network's are those of before."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.out, self.features = nn.Linear(4, 10), None
        self.register_buffer("k", torch.tensor(0.3))

    def forward(self, x):
        self.features = self.net(x).mean((2, 3))
        return self.out(self.features) * self.k.exp()


def test_the_usual_plan_moves_as_the_plain_model_does(caplog):
    model = Featured().eval()
    found = {"ce": nn.CrossEntropyLoss(), "size": lambda outputs, targets: model.features.norm()}
    short, few = Grid((Axis(-1, 1, 11),)), wishes(batch_size=80)
    assert choose_plan(bench_of(model=model), few, short).fold
    assert not choose_plan(bench_of(found, model), few, short).fold
    assert "size differs by" in caplog.text
    assert "0.1 from the centre: this plan is dropped" in caplog.text


def test_the_plan_of_another_model_is_taken_over_where_it_is_right():
    short = Grid((Axis(-1, 1, 3),))
    for other in (Plan(threads=1, points_at_once=4), Plan(threads=1, fold=True)):
        assert settled_plan(bench_of(), wishes(), short, None, other) == other
    model = Featured().eval()
    size = {"size": lambda outputs, targets: model.features.norm()}
    plan = settled_plan(bench_of(size, model), wishes(), short, None, Plan(threads=1, fold=True))
    assert plan == Plan(threads=1)


def test_the_budget_ends_the_search(long, monkeypatch):
    timed = []
    long(lambda plan: timed.append(plan) or 1.0)
    monkeypatch.setattr(planning._Search, "_spent", lambda self: float("inf"))
    choose_plan(bench_of(), wishes(), GRID)
    assert set(timed) == {Plan(threads=1)}


def test_a_plan_that_does_not_run_is_passed_over_and_named(long, monkeypatch, caplog):
    monkeypatch.setattr(planning, "TINY_S", 0.0)
    real = Evaluator.__init__

    def failing(self, model, metrics, data, plan=None, *others, **named):
        if plan and plan.fold:
            raise RuntimeError("no such kernel\nand more")
        real(self, model, metrics, data, plan, *others, **named)

    monkeypatch.setattr(Evaluator, "__init__", failing)
    with caplog.at_level(logging.INFO):
        plan = choose_plan(bench_of(), wishes(), GRID)
    assert not plan.fold
    assert "This plan does not run (RuntimeError: no such kernel)" in caplog.text


def test_the_search_really_runs_and_what_it_finds_is_right(long):
    metrics = {"ce": nn.CrossEntropyLoss(), "square": lambda outputs, targets: outputs.square()}
    bench = bench_of(metrics)
    plan = choose_plan(bench, wishes(), GRID)
    distances = [0.0, 1.0, 1.5]
    assert agrees(bench, plan, Plan(threads=1), distances)


def test_a_metric_that_depends_on_the_batch_drops_the_plan_by_name(long, caplog):
    long(lambda plan: (plan.batch_size or 128) / 128)
    bench = bench_of({"batch": lambda outputs, targets: torch.tensor(float(len(targets)))})
    assert choose_plan(bench, wishes(), GRID) == Plan(threads=1)
    assert "train_loss_batch differs by" in caplog.text
    assert "this plan is dropped" in caplog.text


class Steep(nn.Module):
    """Rounding of float32 moves its outputs by much more than 1e-5."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(192, 10), nn.BatchNorm1d(10)
        self.norm.running_var.fill_(0.3)

    def forward(self, x):
        return (self.norm(self.linear(x.flatten(1))) * 1e5).sin() + 2


def test_where_rounding_moves_the_plain_model_a_plan_need_be_no_better():
    bench = bench_of({"a": lambda outputs, targets: outputs}, Steep().eval())
    plain, other = Plan(threads=1), Plan(threads=1, fold=True)
    values = [
        planning.values_along(bench, bench.evaluator(plan), [1.0])[0] for plan in (plain, other)
    ]
    assert disagreement(*values)[1] > planning.AGREEMENT
    assert agrees(bench, other, plain, [1.0])
    assert next(bench.problem.model.parameters()).dtype == torch.float32


def test_what_was_chosen_is_kept_and_used_again(long, tmp_path, caplog):
    long(lambda plan: 0.5 if plan.fold else 1.0)
    first = settled_plan(bench_of(), wishes(), GRID, tmp_path)
    long(lambda plan: 1.0)
    assert settled_plan(bench_of(), wishes(), Grid((Axis(-1, 1, 999),)), tmp_path) == first
    assert settled_plan(bench_of(), wishes(batch_size=9), GRID, tmp_path) != first
    (*_, path) = sorted(tmp_path.glob("plan-*.json"))
    assert "cannot be used" not in caplog.text
    for other in tmp_path.glob("plan-*.json"):
        write_record(other, {**vars(Plan()), "speed": "a setting of a newer version"})
    assert settled_plan(bench_of(), wishes(batch_size=9), GRID, tmp_path).batch_size == 9
    assert "json: it cannot be used (Plan.__init__() got an unexpected keyword" in caplog.text
    path.write_text("torn")
    assert settled_plan(bench_of(), wishes(batch_size=9), GRID, tmp_path).batch_size == 9
    assert settled_plan(bench_of(), wishes(), GRID, None) == Plan(threads=1)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"fold": "yes"}, "A plan's fold is 'yes'; wanted true or false"),
        ({"threads": 0}, "A plan's threads is 0; wanted a whole number from 1"),
        ({"folded": True}, r"evaluation.plan is {'folded': True}; its keys are \['batch_size'"),
    ],
)
def test_a_plan_by_hand_that_makes_no_sense_is_refused(plan, message):
    with pytest.raises(InputError, match=message):
        choose_plan(bench_of(), wishes(plan=plan), GRID)


class Listed(nn.Module):
    """Its weight is used through a list, which several points at once do not reach."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(192, 10)
        self.weights = [self.linear.weight]

    def forward(self, x):
        return x.flatten(1) @ self.weights[0].T


def test_a_plan_by_hand_that_is_wrong_here_is_refused_and_says_by_how_much():
    told = {"points_at_once": 4, "threads": 1}
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    own = {"norm": lambda outputs, targets: model[1].weight.norm()}
    for bench in (bench_of(own, model), bench_of(model=Listed())):
        with pytest.raises(
            InputError,
            match=r"with {'points_at_once': 4}, train_loss\w* differs by \d\.\de-0\d from the "
            r"plain model, 0 from the centre.*wrong \(points_at_once\), or say plan: plain",
        ):
            choose_plan(bench, wishes(plan=told), GRID)


@pytest.mark.parametrize(
    "told",
    [
        {"points_at_once": 4, "batch_size": 32},
        {"fold": True, "channels_last": True, "batch_size": 1024},
        {"precision": "bf16", "fold": True},
        {"precision": "float64", "batch_size": 7},
        {"compile": True, "channels_last": True},
        Plan(threads=1, batch_size=16, fold=True, points_at_once=16).told(),
    ],
    ids=str,
)
def test_a_plan_by_hand_that_is_right_is_taken_as_it_is(told):
    metrics = {"ce": nn.CrossEntropyLoss(), "square": lambda outputs, targets: outputs.square()}
    assert choose_plan(bench_of(metrics), wishes(plan=told), GRID) == Plan(**{"threads": 1, **told})


def test_a_plan_by_hand_is_checked_on_a_few_samples(monkeypatch):
    seen = []
    bench = bench_of({"a": lambda outputs, targets: seen.append(targets.numel()) or outputs})
    choose_plan(bench, wishes(plan={"batch_size": 7}), GRID)  # no other values than a batch's
    assert not seen
    choose_plan(bench, wishes(plan={"fold": True, "batch_size": 50}), GRID)
    assert set(seen) <= {1, planning.CHECKED}


def test_a_plan_by_hand_that_lacks_memory_is_left_to_the_run_which_halves_it(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(planning, "measure", full)
    plan = Plan(threads=1, fold=True)
    assert choose_plan(bench_of(), wishes(plan=plan.told()), GRID) == plan


def test_a_plan_by_hand_is_checked_on_batches_that_cannot_be_cut():
    batches = [(torch.randn(size, 192), torch.arange(size) % 10) for size in (5, 9, 3)]
    problem = Problem(Listed(), as_batches(batches), nn.CrossEntropyLoss())
    bench = lay_out("own", problem, code="", args={}, wishes=EvaluationSettings())
    assert not bench.data["train"].whole
    with pytest.raises(InputError, match=r"with {'points_at_once': 2}, train_loss differs by"):
        choose_plan(bench, wishes(plan={"points_at_once": 2}), GRID)


def test_a_plan_by_hand_that_records_is_checked_where_it_is_replayed(monkeypatch):
    """No CPU has graphs: a stand-in that runs the work again."""
    monkeypatch.setitem(graphs.RECORDERS, "cpu", Again)
    plan = Plan(threads=1, graph=True)
    assert choose_plan(bench_of(), wishes(plan=plan.told()), GRID) == plan
    monkeypatch.setattr(Again, "off", 1e-3)
    with pytest.raises(InputError, match=r"with {'graph': True}, train_loss differs by 1.0e-03"):
        choose_plan(bench_of(), wishes(plan=plan.told()), GRID)


def test_folding_what_cannot_be_folded_is_refused():
    bench = bench_of(model=nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))
    with pytest.raises(InputError, match="this model has none that can be folded"):
        bench.evaluator(Plan(threads=1, fold=True))


def test_a_plans_threads_are_had_whatever_the_environment_allows():
    """Snakemake tells a job by OMP_NUM_THREADS what it gave; a plan's bits need its own number."""
    code = (
        "import torch\n"
        "from torch import nn\n"
        "from tests.steps.test_planning import bench_of\n"
        "from landscape_lib.core.plan import Plan\n"
        "bench = bench_of(model=nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))\n"
        "assert torch.get_num_threads() == 1\n"
        "bench.evaluator(Plan(threads=3))\n"
        "assert torch.get_num_threads() == 3\n"
        "assert 'omp_get_max_threads() : 3' in torch.__config__.parallel_info()\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=REPO)
