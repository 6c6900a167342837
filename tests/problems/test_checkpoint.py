"""A checkpoint's weights come out of whatever is around them, or a message says what is wrong."""

import argparse
import logging

import pytest
import torch
from torch import nn

from landscape_lib import InputError, load_checkpoint


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


NET = network()
STATE = dict(NET.state_dict())


def prefixed(prefix, **more):
    return {**{f"{prefix}{name}": entry for name, entry in STATE.items()}, **more}


WRAPPED = {
    "bare": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 7},
    "model_state_dict": {"model_state_dict": STATE, "optimizer": {"lr": 0.1}},
    "two deep": {"model": {"state_dict": STATE}},
    "DataParallel": prefixed("module."),
    "DataParallel in a dict": {"model": prefixed("module.")},
    "torch.compile": prefixed("_orig_mod."),
    "Lightning": {"state_dict": prefixed("model.", **{"loss.weight": torch.ones(2)}), "epoch": 3},
    "all of it": {"state_dict": prefixed("model.module._orig_mod.")},
}


@pytest.mark.parametrize("content", WRAPPED.values(), ids=WRAPPED)
def test_weights_come_out_of_what_is_wrapped_around_them(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    found = load_checkpoint(tmp_path / "model.pt", NET)
    assert list(found) == list(STATE)
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    network().load_state_dict(found)


def test_what_is_left_out_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.save(WRAPPED["Lightning"], tmp_path / "last.ckpt")
    load_checkpoint(tmp_path / "last.ckpt", NET)
    assert "without the prefix 'model.'; left out: loss.weight" in caplog.text


def test_a_name_that_looks_like_a_prefix_is_kept_where_the_model_has_it(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = network()

    torch.save(Wrapped().state_dict(), tmp_path / "model.pt")
    assert list(load_checkpoint(tmp_path / "model.pt", Wrapped())) == list(prefixed("model."))


def test_safetensors_are_read(tmp_path):
    torch_files = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    torch_files.save_file(prefixed("module."), tmp_path / "model.safetensors")
    found = load_checkpoint(tmp_path / "model.safetensors", NET)
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"torn\.safetensors: it is no whole safetensors file"):
        load_checkpoint(tmp_path / "torn.safetensors", NET)


def test_a_checkpoint_before_counters_of_batch_norms_fits(tmp_path):
    old = {n: t for n, t in STATE.items() if not n.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pt")
    network().load_state_dict(load_checkpoint(tmp_path / "old.pt", NET))


def test_a_checkpoint_saved_from_a_gpu_is_read_without_one_trap_20(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    torch.save(STATE, tmp_path / "cuda.pt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="deserialize object on a CUDA device"):
        torch.load(tmp_path / "cuda.pt", weights_only=True)
    found = load_checkpoint(tmp_path / "cuda.pt", NET)
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


OTHER = {
    "another depth": (dict(nn.Sequential(nn.Linear(3, 4)).state_dict()), r"6 missing: 1\.weight, "),
    "another width": (
        {**STATE, "0.weight": torch.zeros(5, 3)},
        r"1 of another shape: 0\.weight \(5, 3\), not \(4, 3\)",
    ),
    "more layers": (
        {**STATE, "3.weight": torch.zeros(2)},
        r"1 unexpected: 3\.weight; |3\.weight\.",
    ),
    "two networks": (
        {**prefixed("model."), **prefixed("ema.")},
        r"several such networks, under ema\., model\.",
    ),
    "a list": ([1, 2], r"it holds a list; wanted a state_dict"),
    "no weights": ({"epoch": 3, "lr": 0.1}, r"it holds a dict with epoch, lr; wanted a state_dict"),
    "code": ({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, r"a argparse\.Namespace bes"),
}


@pytest.mark.parametrize(("content", "expected"), OTHER.values(), ids=OTHER)
def test_what_is_wrong_with_a_checkpoint_is_named(tmp_path, content, expected):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(InputError, match=rf"model\.pt: .*{expected}"):
        load_checkpoint(tmp_path / "model.pt", NET)


def test_a_path_that_leads_nowhere_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.pt: there is no such file \(looked in /"):
        load_checkpoint(tmp_path / "no.pt", NET)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04torn"], ids=str)
def test_a_torn_file_is_named(tmp_path, content):
    (tmp_path / "torn.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"torn\.pt: it cannot be read as a checkpoint .*whole"):
        load_checkpoint(tmp_path / "torn.pt", NET)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_torchscript_program_is_told_how_to_load(tmp_path):
    torch.jit.trace(network().eval(), torch.zeros(2, 3)).save(str(tmp_path / "program.pt"))
    with pytest.raises(InputError, match=r"a TorchScript program.*torch\.jit\.load"):
        load_checkpoint(tmp_path / "program.pt", NET)
