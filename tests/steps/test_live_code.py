"""The same code gives the same hash in every process, and whatever changes a value another one."""

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

from landscape_lib.steps.live_code import live_hash, model_code

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
        model_code(loaded(text, "Net")())
        for text in (BASE, BASE, BASE.replace("torch.relu", "torch.tanh"))
    )
    assert live_hash(*one) == live_hash(*same) != live_hash(*other)


def test_the_hash_is_the_same_in_every_process(tmp_path):
    """Hashes of texts, hence orders of sets, differ from one process to the next."""
    (tmp_path / "own.py").write_text(BASE)
    code = textwrap.dedent("""
        import own
        from landscape_lib.steps.live_code import live_hash, model_code
        print(live_hash(own.metric, *model_code(own.Net())))
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
