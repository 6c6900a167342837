"""Samples that took long to read are kept, checked, and shared; anything doubtful is read anew."""

import mmap

import numpy as np
import pytest
import torch

from landscape_lib.core.samples import gather
from landscape_lib.utils import samplestore
from landscape_lib.utils.fingerprint import hash_samples
from landscape_lib.utils.samplestore import load_samples, store_path, store_samples

SETS = {"train": (torch.randn(7, 3, 4, 4), torch.arange(7)), "test": (torch.ones(2, 5),) * 2}


def kept(folder, sets=SETS):
    data = {split: gather(found, split) for split, found in sets.items()}
    hashes = {split: hash_samples(samples) for split, samples in data.items()}
    store_samples(folder, hashes, data)
    return data, hashes


def test_what_was_kept_comes_back_with_the_users_own_data_sets(tmp_path):
    data, hashes = kept(tmp_path)
    found = load_samples(tmp_path, hashes, SETS)
    for split, samples in found.items():
        assert hash_samples(samples) == hashes[split]
        assert samples.dataset is SETS[split]
        for one, other in zip(samples.tensors(), data[split].tensors(), strict=True):
            assert torch.equal(one, other)
    found["train"].batches[0][0].zero_()  # a process's own copy: the file stays
    assert load_samples(tmp_path, hashes, SETS) is not None


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, None])
def test_a_damaged_file_is_read_anew_and_never_believed(place, tmp_path, caplog):
    _, hashes = kept(tmp_path)
    path = store_path(tmp_path, hashes)
    content = bytearray(path.read_bytes())
    inputs = SETS["train"][0].numpy().tobytes()
    at = content.index(inputs[:64]) + 5 if place is None else int(len(content) * place)
    content[at] ^= 4
    path.write_bytes(content)
    found = load_samples(tmp_path, hashes, SETS)
    if found is None:
        assert "it is damaged; the data are read anew" in caplog.text
    else:  # a byte that no value depends on
        assert {split: hash_samples(samples) for split, samples in found.items()} == hashes
    if place is None:
        assert found is None


def test_other_samples_and_none_at_all_are_not_found(tmp_path):
    _, hashes = kept(tmp_path)
    assert load_samples(tmp_path, {**hashes, "train": "another"}, SETS) is None
    assert load_samples(tmp_path / "nothing", hashes, SETS) is None


def test_what_only_python_can_read_is_not_kept(tmp_path):
    kept(tmp_path, {"train": iter([({"x": np.ones(3), "word": object()}, 1)])})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_costs_time_only(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(samplestore.torch, "save", full)
    kept(tmp_path)
    assert "the samples are not kept" in caplog.text
    assert not list(tmp_path.glob("samples-*"))


def test_a_disk_without_room_is_seen_before_it_is_filled(tmp_path, monkeypatch, caplog):
    usage = samplestore.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(samplestore.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    monkeypatch.setattr(samplestore.torch, "save", lambda *_: pytest.fail("it was written"))
    kept(tmp_path)
    assert "No space left on device" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_file_larger_than_memory_is_mapped_all_the_same(tmp_path, monkeypatch):
    """The kernel refuses each process a copy of its own of more bytes than there is memory."""
    data, hashes = kept(tmp_path)
    before = torch.serialization.get_default_mmap_options()
    seen = []
    load = torch.load

    def loaded(*args, **settings):
        seen.append(torch.serialization.get_default_mmap_options())
        return load(*args, **settings)

    monkeypatch.setattr(samplestore.torch, "load", loaded)
    monkeypatch.setattr(samplestore, "available_memory", lambda: 1000)
    found = load_samples(tmp_path, hashes, SETS)
    assert seen == [mmap.MAP_SHARED]
    assert torch.serialization.get_default_mmap_options() == before
    for split, samples in found.items():
        for one, other in zip(samples.tensors(), data[split].tensors(), strict=True):
            assert torch.equal(one, other)
