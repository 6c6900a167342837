"""A checkpoint's weights come out of whatever is around them, or a message says what is wrong."""

import argparse
import json
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


# ----------------------------------------------------------------------------- shards and folders


class Tied(nn.Module):
    """Embeds and predicts with one matrix, as many language models do."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def sharded(folder, kind="bin", state=STATE):
    """Write a checkpoint as Hugging Face shards it, and return its index."""
    whole = {"bin": "pytorch_model.bin", "safetensors": "model.safetensors"}[kind]
    save = torch.save
    if kind == "safetensors":
        from safetensors.torch import save_file as save
    names = list(state)
    parts = {f"part-{n}-of-2.{kind}": names[n::2] for n in range(2)}
    for name, held in parts.items():
        save({weight: state[weight] for weight in held}, folder / name)
    places = {weight: name for name, held in parts.items() for weight in held}
    index = folder / f"{whole}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_sharded_checkpoint_is_read_by_its_index_or_its_folder(tmp_path, kind, prefix, caplog):
    if kind == "safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    caplog.set_level(logging.INFO)
    index = sharded(tmp_path, kind, prefixed(prefix))
    for path in (index, tmp_path, str(tmp_path)):
        found = load_checkpoint(path, NET)
        assert found.keys() == STATE.keys()
        assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    assert "read from 2 shards" in caplog.text


def test_a_folder_with_one_file_is_read(tmp_path):
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    assert load_checkpoint(tmp_path, NET).keys() == STATE.keys()


def test_what_is_wrong_with_a_sharded_checkpoint_is_named(tmp_path):
    index = sharded(tmp_path)
    first, second = sorted(tmp_path.glob("part-*"))
    kept = second.read_bytes()
    torch.save({"0.weight": STATE["0.weight"]}, second)
    with pytest.raises(
        InputError, match=r"weights are not in the shards .*: 0\.bias \(part-1-of-2"
    ):
        load_checkpoint(index, NET)
    second.unlink()
    with pytest.raises(InputError, match=r"1 of 2 shards are not there: part-1-of-2\.bin\. Copy"):
        load_checkpoint(index, NET)
    second.write_bytes(kept)
    torch.save({"args": argparse.Namespace(), **STATE}, first)
    with pytest.raises(InputError, match=r"part-0-of-2\.bin: it holds a argparse\.Namespace"):
        load_checkpoint(index, NET)
    for content in ("{", "[]", '{"metadata": 1}'):
        index.write_text(content)
        with pytest.raises(InputError, match=r"it is no index of a sharded checkpoint"):
            load_checkpoint(index, NET)
    index.unlink()
    with pytest.raises(InputError, match=r"a folder without any of model\.safetensors\.index"):
        load_checkpoint(tmp_path, NET)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"it holds an adapter.*load_checkpoint\(path of the base"):
        load_checkpoint(tmp_path, NET)


@pytest.mark.parametrize("left_out", ["head.weight", "embed.weight", None])
@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_tied_weight_may_be_saved_under_one_of_its_names(tmp_path, left_out, prefix):
    state = Tied().state_dict()
    kept = {f"{prefix}{name}": t for name, t in state.items() if name != left_out}
    torch.save(kept, tmp_path / "tied.pt")
    if left_out == "embed.weight" and prefix:
        with pytest.raises(InputError, match=r"2 missing"):  # no way to tell what the prefix is
            load_checkpoint(tmp_path / "tied.pt", Tied())
        return
    model = Tied()
    model.load_state_dict(load_checkpoint(tmp_path / "tied.pt", model))
    assert torch.equal(model.head.weight, state["head.weight"])
    untied = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    if left_out:
        with pytest.raises(InputError, match=r"missing"):
            load_checkpoint(tmp_path / "tied.pt", untied)


def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path):
    index = sharded(tmp_path)
    index.write_text('{"weight_map": {"0.weight": "../elsewhere.bin", "0.bias": "/etc/passwd"}}')
    with pytest.raises(InputError, match=r"it names \.\./elsewhere\.bin, /etc/passwd; the shards"):
        load_checkpoint(index, NET)
