"""No point depends on what a metric changed around itself at another one."""

import logging
import os
import signal
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.evaluator import measure
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surroundings import SETTINGS, Surroundings, kept_surroundings

GRID = Grid((Axis(-1, 1, 3), Axis(0, 1, 2)))


def goes_elsewhere():
    os.chdir("/")


def sets_and_removes_variables():
    os.environ["MISDEED"] = "1"
    os.environ.pop("HOME", None)


def turns_off_warnings():
    warnings.simplefilter("ignore")


MISDEEDS = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's grad mode": lambda: torch.set_grad_enabled(not torch.is_grad_enabled()),
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "torch's float32 precision of matrix products": lambda: torch.set_float32_matmul_precision(
        "medium"
    ),
    "torch's cuDNN flags": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch's oneDNN flag": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "torch's anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "numpy's error state": lambda: np.seterr(all="raise"),
    "the current directory": goes_elsewhere,
    "os.environ": sets_and_removes_variables,
    "sys.path": lambda: sys.path.insert(0, "/misdeed"),
    "sys.stdout or sys.stderr": lambda: setattr(sys, "stdout", None),
    "signal handlers": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "the filters of warnings": turns_off_warnings,
}


def state():
    return {name: setting.read() for name, setting in SETTINGS.items()}


@pytest.fixture(autouse=True)
def own_surroundings():
    with kept_surroundings():
        yield


def test_there_is_a_misdeed_for_every_setting():
    assert MISDEEDS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", MISDEEDS)
def test_what_was_changed_is_named_and_put_back(name):
    if name == "torch's deterministic algorithms":
        torch.use_deterministic_algorithms(False)  # which imports half of torch
    before, here = state(), Surroundings()
    assert here.put_back() == []
    MISDEEDS[name]()
    assert state() != before
    assert here.put_back() == [name]
    assert state() == before
    assert here.put_back() == []


def heights(net):
    """Depend on every setting that torch's numbers depend on."""
    with torch.no_grad():
        told = (torch.tensor(1.0).dtype, os.getcwd(), np.geterr()["divide"], "HOME" in os.environ)
        return {"height": net(torch.ones(3, 4)).sum().item(), "told": float(hash(told) % 1000)}


@pytest.mark.parametrize("name", MISDEEDS)
def test_every_point_starts_from_the_same_settings_and_it_is_told_once(name, caplog):
    torch.manual_seed(0)
    net = nn.Linear(4, 2)
    directions = [create_random_direction(net, seed=seed) for seed in (0, 1)]
    clean = measure(net, heights, directions, GRID, range(6))
    before, seen = state(), []

    def metric(net):
        seen.append(state())
        found = heights(net)
        MISDEEDS[name]()
        return found

    found = measure(net, metric, directions, GRID, range(6))
    assert all(one == seen[0] for one in seen)
    assert state() == before
    for key in ("height", "told"):
        assert found.values[key].tobytes() == clean.values[key].tobytes()
    said = [record for record in caplog.records if "is put back" in record.getMessage()]
    assert len(said) == 1
    assert name in said[0].getMessage()
    assert said[0].levelno == logging.WARNING


def test_after_an_exception_everything_is_put_back():
    net, before = nn.Linear(4, 2), state()

    def metric(net):
        for misdeed in MISDEEDS.values():
            misdeed()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure(net, metric, [create_random_direction(net, seed=0)], Grid((Axis(0, 1, 2),)), [0])
    assert state() == before


def test_what_an_import_adds_stays(tmp_path, monkeypatch):
    (tmp_path / "adds_to_all.py").write_text(
        "import os, sys, warnings\n"
        "os.environ['ADDED'] = '1'\nsys.path.append('/added')\nwarnings.simplefilter('always')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    here = Surroundings()
    __import__("adds_to_all")
    assert here.put_back() == []
    assert os.environ["ADDED"] == "1"
    os.environ["ADDED"] = "2"
    assert here.put_back() == ["os.environ"]
    assert os.environ["ADDED"] == "1"


def test_a_folder_that_is_gone_is_no_reason_to_stop(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    here = Surroundings()
    os.chdir("/")
    (tmp_path / "gone").rmdir()
    assert here.put_back() == ["the current directory"]


def test_the_handler_that_torch_sets_for_its_workers_stays(monkeypatch):
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        here = Surroundings()
        list(DataLoader(range(4), num_workers=1))
        torchs = signal.getsignal(signal.SIGCHLD)
        assert torchs is not signal.SIG_DFL
        assert here.put_back() == []
        MISDEEDS["signal handlers"]()
        assert here.put_back() == ["signal handlers"]
        assert signal.getsignal(signal.SIGCHLD) is torchs
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_handler_of_the_metrics_own_in_that_place_does_not():
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        here = Surroundings()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        assert here.put_back() == ["signal handlers"]
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGCHLD, before)
