"""The same code gives the same hash in every process, and whatever changes a value another one."""

import contextlib
import functools
import logging
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from landscape_lib.steps.live_code import code_kept, live_hash

BASE = """
import functools, math, torch
from torch import nn
SCALE = 2.0
TABLE = {"a": [1, 2], "b": {3, 4, 5}}
def helper(x):
    return x * SCALE
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))
    def forward(self, x):
        return torch.relu(x @ self.w)
def metric(net, loader, use_cuda, power=1):
    '''Words.'''
    total = sum(float(helper(net(x).sum())) for x, _ in loader)
    return {"loss": total ** power, "sum": len(TABLE)}
"""


def loaded(text, name="metric"):
    space = {"__name__": "__main__"}
    exec(compile(text, "<notebook>", "exec"), space)
    return space[name]


def test_comments_docstrings_and_lines_do_not_count():
    other = BASE.replace("'''Words.'''", "'''Others.'''").replace(
        "    total =", "\n    # a comment\n    total ="
    )
    assert other != BASE
    assert live_hash(loaded(other)) == live_hash(loaded(BASE))


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("total ** power", "total ** power + 1"),
        ("power=1", "power=2"),
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("return x * SCALE", "return x + SCALE"),
        ('"b": {3, 4, 5}', '"b": {3, 4, 6}'),
        ('"loss"', '"los"'),
    ],
)
def test_whatever_a_function_refers_to_counts(found, instead):
    assert live_hash(loaded(BASE.replace(found, instead))) != live_hash(loaded(BASE))


def test_what_it_does_not_refer_to_does_not_count():
    other = BASE + "\nGRID = 51\ndef another():\n    return GRID\n"
    assert live_hash(loaded(other)) == live_hash(loaded(BASE))


def test_the_forward_of_a_models_own_classes_counts():
    one, same, other = (
        loaded(text, "Net")() for text in (BASE, BASE, BASE.replace("torch.relu", "torch.tanh"))
    )
    assert live_hash(one) == live_hash(same) != live_hash(other)


def test_the_hash_is_the_same_in_every_process(tmp_path):
    """Hashes of texts, hence orders of sets, differ from one process to the next."""
    (tmp_path / "own.py").write_text(BASE)
    code = textwrap.dedent("""
        import numpy, own, random
        from landscape_lib.steps.live_code import live_hash
        held = numpy.random.default_rng(0), numpy.random.RandomState(0), random.Random(0)
        print(live_hash(own.metric, own.Net(), held, open("own.py")))
    """)
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": str(seed), "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(found) == 1


def test_closures_partials_methods_and_callable_objects_count():
    def made(factor):
        return lambda net, loader, cuda: {"a": factor}

    class Metric:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, net, loader, cuda):
            return {"a": self.factor}

        def method(self, net, loader, cuda):
            return {"a": self.factor}

    def with_factor(factor, net, loader, cuda):
        return {"a": factor}

    for make in (
        made,
        Metric,
        lambda factor: Metric(factor).method,
        lambda factor: functools.partial(with_factor, factor),
        lambda factor: made(SimpleNamespace(inner=[factor])),
        lambda factor: made(torch.tensor([factor])),
        lambda factor: made(np.array([factor])),
        lambda factor: made(np.array([str(factor)], dtype=object)),
        lambda factor: {"m": made(factor)},
        lambda factor: functools.lru_cache(made(factor)),
        lambda factor: made(DataLoader(TensorDataset(torch.tensor([factor])))),
    ):
        assert live_hash(make(1.0)) == live_hash(make(1.0))
        assert live_hash(make(1.0)) != live_hash(make(2.0))


def test_networks_and_losses_count_by_their_content():
    def judged_by(teacher):
        return lambda net, loader, cuda: {"a": teacher(torch.ones(1, 2)).item()}

    torch.manual_seed(0)
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    same = nn.Linear(2, 1)
    same.load_state_dict(one.state_dict())
    assert live_hash(judged_by(one)) == live_hash(judged_by(same)) != live_hash(judged_by(other))
    assert live_hash(nn.HuberLoss(delta=1.0)) != live_hash(nn.HuberLoss(delta=2.0))


def test_what_refers_to_itself_comes_to_an_end():
    def again(n):
        return again(n - 1) if n else {"a": 0.0}

    ring = []
    ring.append(ring)
    deep = [0]
    for _ in range(5000):
        deep = [deep]
    log = logging.getLogger("landscape_lib")
    assert len(live_hash(again, ring, deep, log, sys, object(), len)) == 64


def test_a_loop_variable_that_is_not_filled_yet_is_no_error():
    def outer():
        def inner():
            return late

        found = live_hash(inner)
        late = 1
        return found

    assert len(outer()) == 64


def same_and_other(make):
    """Hashes of what is made with 1, again with 1, and with 2."""
    return [live_hash(make(number)) for number in (1.0, 1.0, 2.0)]


DECORATORS = {
    "no_grad": torch.no_grad(),
    "inference_mode": torch.inference_mode(),
    "autocast": torch.autocast("cpu", enabled=False),
    "vmap": torch.vmap,
    "disabled": torch.compiler.disable,
    "contextmanager": contextlib.contextmanager,
    "lru_cache": functools.lru_cache,
}


@pytest.mark.parametrize("decorate", DECORATORS.values(), ids=DECORATORS)
def test_a_function_inside_an_installed_decorator_counts(decorate):
    def make(factor):
        @decorate
        def metric(net, loader, cuda):
            return {"a": factor}

        return metric

    one, again, other = same_and_other(make)
    assert one == again != other


class WithAttribute(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self._factor = factor
        self.inner = nn.ReLU()

    def forward(self, x):
        return self.inner(x) * self._factor


def hooked(factor):
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    nn.init.ones_(model[0].weight)
    model[0].register_forward_hook(lambda module, inputs, outputs: outputs * factor)
    return model


def patched(factor):
    model = nn.ReLU()
    model.forward = lambda x: x * factor
    return model


def with_buffer(factor):
    model = nn.ReLU()
    model.register_buffer("scale", torch.tensor(factor), persistent=False)
    return model


@pytest.mark.parametrize(
    "make",
    [
        WithAttribute,
        lambda factor: nn.Sequential(nn.Sequential(WithAttribute(factor))),
        hooked,
        patched,
        with_buffer,
        lambda factor: nn.Sequential(nn.CrossEntropyLoss(label_smoothing=factor / 4)),
        lambda factor: {"wrapped": nn.Sequential(nn.HuberLoss(delta=factor))},
    ],
)
def test_what_each_module_of_a_network_holds_counts(make):
    one, again, other = same_and_other(make)
    assert one == again != other


def test_heads_and_order_of_a_transformer_count():
    torch.manual_seed(0)
    state = nn.TransformerEncoderLayer(8, 2, 16).state_dict()

    def made(**settings):
        layer = nn.TransformerEncoderLayer(8, **{"nhead": 2, "dim_feedforward": 16} | settings)
        layer.load_state_dict(state)
        return live_hash(layer)

    found = [made(), made(nhead=4), made(norm_first=True), made(activation="gelu")]
    assert made() == found[0]
    assert len(set(found)) == 4


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor


class AnswersAll:
    def __init__(self, factor):
        self.factor = factor

    def __getattr__(self, name):
        if name.startswith("__"):
            raise KeyError(name)
        return 0


@pytest.mark.parametrize(
    "make",
    [
        Slotted,
        AnswersAll,
        lambda factor: np.random.default_rng(int(factor)),
        lambda factor: torch.ones(2, 2).to_sparse() * factor,
    ],
)
def test_what_an_object_holds_counts_wherever_it_holds_it(make):
    one, again, other = same_and_other(make)
    assert one == again != other


def test_names_of_attributes_are_no_globals():
    text = "size = {}\ndef metric(net, loader, cuda):\n    return net.size(0)\n"
    assert live_hash(loaded(text.format(1))) == live_hash(loaded(text.format(2)))


def test_a_counter_that_the_function_keeps_does_not_count():
    text = "calls = {}\ndef metric(*_):\n    global calls\n    calls += 1\n    return {{'a': 1}}\n"
    assert live_hash(loaded(text.format(0))) == live_hash(loaded(text.format(7)))


def test_local_modules_count_by_what_is_used_of_them_as_it_is_now(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_helper.py").write_text("K = 2.0\nUNUSED = 1\ndef f(x):\n    return K * x\n")
    text = "import my_helper\ndef metric(x):\n    return my_helper.f(x)\n"
    metric = loaded(text)
    helper = sys.modules["my_helper"]
    before = live_hash(metric)
    helper.UNUSED = 2
    (tmp_path / "my_helper.py").write_text("K = 9.0\n")  # edited, not loaded
    assert live_hash(metric) == before
    helper.K = 3.0
    assert live_hash(metric) != before
    del sys.modules["my_helper"]


def test_what_a_function_imports_when_it_runs_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_late.py").write_text("def f(x):\n    return x\n")
    metric = loaded("def metric(x):\n    from imported_late import f\n    return f(x)\n")
    before = live_hash(metric)
    (tmp_path / "imported_late.py").write_text("def f(x):\n    return 2 * x\n")
    assert live_hash(metric) != before


def test_a_network_and_its_metrics_count_as_they_do_alone():
    model = hooked(2.0)
    metric = loaded(BASE)
    for _ in range(2):
        with code_kept(model, metric) as code:
            assert code == live_hash(model, metric)
    with code_kept(model, metric, needed=False) as code:
        assert not code


def test_what_changes_while_a_network_is_evaluated_counts_as_before_until_others_change_it():
    model = WithAttribute(1.0)
    with code_kept(model) as first:
        model._factor = 2.0
    with code_kept(model) as second:
        model._factor = 3.0
    with code_kept(model, needed=False):
        model._factor = 4.0
    assert second == first
    model._factor = 3.0
    with code_kept(model) as third:
        pass
    assert third == live_hash(model) != first
    model._factor = 1.0
    with code_kept(model) as again:
        pass
    assert again == first


def test_the_tensors_of_a_network_that_changes_by_itself_count():
    model = nn.Sequential(nn.Linear(2, 1), WithAttribute(1.0))
    with code_kept(model) as first:
        model[1]._factor = 2.0
    with torch.no_grad():
        model[0].bias.add_(1)
    with code_kept(model) as second:
        pass
    assert second != first


def test_a_change_counts_after_an_evaluation_that_failed():
    def fails(model):
        with code_kept(model):
            model._factor = 2.0
            raise KeyboardInterrupt

    model = WithAttribute(1.0)
    first = live_hash(model)
    with pytest.raises(KeyboardInterrupt):
        fails(model)
    with code_kept(model) as second:
        pass
    assert second == first
