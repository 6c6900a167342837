"""Batches come back as they came, from memory or from the disk, and take their room once."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from landscape_lib.core import handing, shelf
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, measure, prepare
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.plan import Plan
from landscape_lib.core.samples import ResidentLoader, gather
from landscape_lib.core.shelf import Shelf
from landscape_lib.utils import fingerprint
from landscape_lib.utils.fingerprint import hash_samples, hash_tensor
from landscape_lib.utils.samplestore import load_samples, store_samples

N = 11
IMAGES, CLASSES = torch.randn(N, 3, 4, 5), torch.arange(N) % 3
BATCHES = DataLoader(TensorDataset(IMAGES, CLASSES), 4)
BYTES = IMAGES.nbytes + CLASSES.nbytes


@pytest.fixture
def little_memory(monkeypatch):
    for module in (shelf, handing):
        monkeypatch.setattr(module, "available_memory", lambda: BYTES)  # half of it is too little


def open_files(folder):
    """Files without a name that this process has mapped or open, below a folder."""
    maps = Path("/proc/self/maps").read_text()
    return [line for line in maps.splitlines() if str(folder) in line]


def unsized(batches):
    yield from batches


# --------------------------------------------------------------------------- the same contents


@pytest.mark.parametrize("kind", ["loader", "unknown length"])
def test_from_the_disk_come_the_same_samples_with_the_same_hash(
    kind, tmp_path, monkeypatch, caplog
):
    def data():
        return BATCHES if kind == "loader" else unsized(BATCHES)

    resident = gather(data(), "train", tmp_path)
    assert not open_files(tmp_path)
    monkeypatch.setattr(shelf, "available_memory", lambda: BYTES)
    with caplog.at_level("INFO"):
        mapped = gather(data(), "train", tmp_path)
    assert open_files(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert f"they are kept on the disk, in {tmp_path}" in caplog.text
    assert mapped.whole
    assert torch.equal(mapped.batches[0][0], IMAGES)
    assert torch.equal(mapped.batches[0][1], CLASSES)
    assert hash_samples(mapped) == hash_samples(resident)
    assert (mapped.count, mapped.batch_size) == (resident.count, resident.batch_size) == (N, 4)
    del mapped
    assert not open_files(tmp_path)


@pytest.mark.parametrize("little", [False, True], ids=["memory", "disk"])
def test_batches_of_any_kind_come_back_as_they_came(little, tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "available_memory", lambda: 100 if little else None)
    batches = [
        {"ids": torch.arange(6).reshape(2, 3), "word": "a", "flag": torch.tensor([True, False])},
        {"ids": torch.arange(10).reshape(2, 5), "word": "b", "flag": torch.tensor([True, True])},
        {"ids": torch.ones(1, 3), "word": None, "flag": torch.zeros(0, dtype=torch.bool)},
        [torch.tensor(3.5), torch.ones(2, dtype=torch.bfloat16), torch.eye(2).to_sparse()],
        [torch.tensor([1 + 2j]).conj(), torch.arange(6.0).reshape(2, 3).T],
    ]
    for total in (None, 5):
        kept = Shelf("train", total, tmp_path)
        for batch in batches:
            kept.add(batch)
        assert kept.whole() is None
        assert kept.counts == [2, 2, 1, 2, 1]
        for found, wanted in zip(kept.batches(), batches, strict=True):
            for one, other in zip(*map(leaves, (found, wanted)), strict=True):
                if not isinstance(other, torch.Tensor):
                    assert one == other
                    continue
                assert one.dtype == other.dtype
                assert one.layout == other.layout
                assert torch.equal(one.to_dense(), other.to_dense())
    assert bool(open_files(tmp_path)) == little


def leaves(batch):
    return list(batch.values()) if isinstance(batch, dict) else batch


def test_batches_of_different_lengths_stay_batches_on_the_disk_too(little_memory, tmp_path):
    ragged = [(torch.full((n + 1,), float(n)), torch.tensor(n)) for n in range(7)]

    def collate(rows):
        inputs, targets = zip(*rows, strict=True)
        return nn.utils.rnn.pad_sequence(inputs, batch_first=True), torch.stack(targets)

    loader = DataLoader(ragged * 20, 2, collate_fn=collate)
    samples = gather(loader, "train", tmp_path)
    assert open_files(tmp_path)
    assert not samples.whole
    for found, wanted in zip(samples.cut(None), loader, strict=True):
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])


def test_a_column_grows_beyond_what_was_expected(monkeypatch):
    """Also where the system cannot move pages."""

    class Fixed(shelf.mmap.mmap):
        def resize(self, _):
            raise SystemError("mmap: resizing not available--no mremap()")

    for kind in (shelf.mmap.mmap, Fixed):
        monkeypatch.setattr(shelf.mmap, "mmap", kind)
        kept = Shelf("train", 1)
        for number in range(9):
            kept.add([torch.full((number + 1, 1000), float(number))])
        (found,) = kept.whole()
        wanted = [torch.full((number + 1, 1000), float(number)) for number in range(9)]
        assert torch.equal(found, torch.cat(wanted))


# --------------------------------------------------------------------------- the same values


NET = nn.Sequential(
    nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
).eval()


def by_hand(net, loader, use_cuda):
    sums = [nn.functional.cross_entropy(net(x), y, reduction="sum").item() for x, y in loader]
    return {"ce": sum(sums) / len(loader.dataset)}


@pytest.mark.parametrize("metrics", [nn.CrossEntropyLoss(), by_hand], ids=["module", "function"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("channels_last", [False, True], ids=["rows", "channels_last"])
def test_landscapes_from_the_disk_are_those_from_memory(
    metrics, precision, channels_last, tmp_path, monkeypatch
):
    net = NET.double() if precision == "float64" else NET.float()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net.to(memory_format=layout)
    directions = [create_random_direction(net, seed=seed) for seed in (0, 1)]
    grid = Grid((Axis(-1, 1, 3), Axis(0, 1, 2)))
    plan = Plan("cpu", precision, 3, 1, channels_last=channels_last)

    def values():
        data = prepare(BATCHES, {"test": TensorDataset(IMAGES[:5], CLASSES[:5])}, tmp_path)
        evaluator = Evaluator(net, metrics, data, plan)
        return measure(net, evaluator, directions, grid, range(grid.size)).values, evaluator

    resident, evaluator = values()
    assert evaluator.data["train"].form is None
    for module in (shelf, handing):
        monkeypatch.setattr(module, "available_memory", lambda: BYTES)
    mapped, evaluator = values()
    assert open_files(tmp_path)
    changed = precision == "float64" or channels_last
    assert (evaluator.data["train"].form is not None) == changed
    assert {key: column.tobytes() for key, column in mapped.items()} == {
        key: column.tobytes() for key, column in resident.items()
    }


def test_what_does_not_fit_in_another_form_takes_it_batch_by_batch(monkeypatch):
    samples = gather(BATCHES)
    whole = samples.to("cpu", torch.float64, channels_last=True).cut(3)
    monkeypatch.setattr(handing, "available_memory", lambda: 3 * BYTES)
    pieces = samples.to("cpu", torch.float64, channels_last=True).cut(3)
    assert isinstance(pieces, handing.Handed)
    assert len(pieces) == len(whole) == 4
    for one, other in zip(pieces, whole, strict=True):
        assert torch.equal(one[0], other[0])
        assert one[0].stride() == other[0].stride()
        assert one[0].dtype == torch.float64
        assert torch.equal(one[1], other[1])
    assert torch.equal(pieces[1:][0][0], whole[1][0])
    loader = ResidentLoader(samples.to("cpu", torch.float64, channels_last=True), 3)
    assert [batch[0].dtype for batch in loader] == [torch.float64] * 4
    same = samples.to("cpu", torch.float32)
    assert same.form is None  # nothing to be made, nothing to be asked
    assert same.batches[0][0].data_ptr() == samples.batches[0][0].data_ptr()


def test_what_does_not_fit_on_a_gpu_is_handed_over_in_batches(monkeypatch):
    """In its new type, and with room for the largest in its old one beside it."""
    need = 2 * IMAGES.nbytes + CLASSES.nbytes + IMAGES.nbytes
    form = handing.Form(torch.device("cuda"), torch.float64)
    for free, fits in ((need / 0.8 + 1, True), (need / 0.8 - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10 * free))
        assert form.fits([IMAGES, CLASSES]) is fits


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_next_batch_is_on_its_way_while_one_is_used(count):
    events = []

    def send(piece):
        events.append(f"send {piece}")
        return lambda: events.append(f"receive {piece}") or piece

    for piece in handing.one_ahead(range(count), send):
        events.append(f"use {piece}")
    wanted = ["send 0"] if count else []
    for piece in range(count):
        wanted += [f"send {piece + 1}"] * (piece + 1 < count)
        wanted += [f"receive {piece}", f"use {piece}"]
    assert events == wanted


# --------------------------------------------------------------------------- hashing and keeping


@pytest.mark.parametrize(
    "tensor",
    [
        IMAGES,
        IMAGES.to(memory_format=torch.channels_last),
        CLASSES,
        torch.tensor(2.5),
        torch.zeros(0, 3),
        torch.zeros(3, 0),
        torch.randn(6, 4).T,
        torch.randn(5).to(torch.bfloat16),
    ],
    ids=lambda t: f"{tuple(t.shape)}-{t.dtype}",
)
def test_a_hash_in_pieces_is_the_hash_of_the_whole(tensor, monkeypatch):
    whole = hash_tensor(tensor)
    for piece in (1, 100, 500):
        monkeypatch.setattr(fingerprint, "PIECE", piece)
        assert hash_tensor(tensor) == whole


@pytest.mark.parametrize("regular", [True, False])
def test_mapped_samples_are_kept_and_found_again(regular, little_memory, tmp_path):
    lengths = [4, 4, 3] if regular else [4, 2, 5]
    batches = zip(IMAGES.split(lengths), CLASSES.split(lengths), strict=True)
    data = {"train": gather(unsized(batches), "train", tmp_path / "maps")}
    assert data["train"].whole is regular
    hashes = {"train": hash_samples(data["train"])}
    store_samples(tmp_path, hashes, data)
    (path,) = tmp_path.glob("samples-*.pt")
    assert path.stat().st_size < BYTES + 10_000
    assert hash_samples(load_samples(tmp_path, hashes, {"train": None})["train"]) == hashes["train"]


# --------------------------------------------------------------------------- no room


class Asked(Dataset):
    def __init__(self, size, count):
        self.size, self.count, self.asked = size, count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked += 1
        return torch.zeros(self.size), index


def with_disk(monkeypatch, free):
    usage = shelf.shutil.disk_usage("/")
    monkeypatch.setattr(shelf.shutil, "disk_usage", lambda _: usage._replace(free=free))
    monkeypatch.setattr(shelf, "available_memory", lambda: 400_000)


def test_no_room_anywhere_is_said_at_the_first_batch(tmp_path, monkeypatch):
    with_disk(monkeypatch, 300_000)
    data = Asked(1000, 100)  # 4,000 and 8 bytes a sample
    said = (
        r"The test data take 401 KB or more once they are read\. Data may fill 200 KB of memory "
        rf"here \(half of what is available\), and the disk of {tmp_path} has room for 300 KB\. "
        r"Make room on one of them, or evaluate on fewer samples"
    )
    with pytest.raises(InputError, match=said):
        gather(DataLoader(data, 10), "test", tmp_path)
    assert data.asked == 10


def test_without_a_length_it_is_said_when_the_room_ends(tmp_path, monkeypatch):
    with_disk(monkeypatch, 100_000)
    batches = ((torch.zeros(10, 1000), torch.zeros(10)) for _ in range(10))
    with pytest.raises(InputError, match="The test data take 200 KB or more"):
        gather(batches, "test", tmp_path)


def test_a_disk_that_fills_up_meanwhile_is_said_too(tmp_path, monkeypatch):
    with_disk(monkeypatch, 10**9)

    def full(self, _):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf._OnDisk, "write", full)
    with pytest.raises(InputError, match="Make room on one of them") as found:
        gather(DataLoader(Asked(1000, 100), 10), "test", tmp_path)
    assert isinstance(found.value.__cause__, OSError)


def test_a_folder_that_cannot_be_made_is_said_too(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "available_memory", lambda: 1000)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/maps has room for 0 bytes \(Not a directory\)"):
        gather(DataLoader(Asked(1000, 100), 10), "test", tmp_path / "file" / "maps")


@pytest.mark.parametrize(
    ("size", "text"),
    [(17, "17 bytes"), (4080, "4.08 KB"), (2.5e8, "250 MB"), (3.21e12, "3,210.0 GB")],
)
def test_bytes_are_said_as_one_reads_them(size, text):
    assert shelf.said(size) == text


# --------------------------------------------------------------------------- in another process


CHILD = """
import os, sys, time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from landscape_lib.core import handing, shelf
from landscape_lib.core.samples import gather
from landscape_lib.utils.fingerprint import hash_samples

folder, memory, do = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
shelf.available_memory = handing.available_memory = lambda: memory
peak = 0

def look():
    global peak
    status = Path("/proc/self/status").read_text()
    peak = max(peak, int(status.split("RssAnon:")[1].split()[0]) // 1000)

class Images(Dataset):
    def __len__(self):
        return 1600

    def __getitem__(self, index):
        if do == "kill" and index == 1000:
            print("ready", flush=True)
            time.sleep(60)
        if index % 50 == 0:
            look()
        return torch.full((3, 100, 100), float(index)), index  # 192 MB in all

torch.ones(2, 3) @ torch.ones(3, 2)
look()
before = peak
samples = gather(DataLoader(Images(), 16), "train", folder)
look()
if do == "all":
    hash_samples(samples)
    look()
    for inputs, targets in samples.to("cpu", torch.float64, channels_last=True).cut(16):
        assert inputs.dtype == torch.float64 and bool((inputs[:, 0, 0, 0] == targets).all())
        look()
print(peak - before)
"""


def run(folder, memory, do):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(folder), str(memory), do]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())


def grown(folder, memory, do):
    child = run(folder, memory, do)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    return int(out)  # MB


def test_data_on_the_disk_take_no_memory_of_their_own(tmp_path):
    """192 MB are read, hashed, and handed over as float64, channels last, 3.8 MB a batch."""
    assert grown(tmp_path, 1e6, "all") < 60
    assert list(tmp_path.iterdir()) == []


def test_data_in_memory_take_their_room_once(tmp_path):
    assert 185 < grown(tmp_path, 1e12, "gather") < 250


def test_nothing_is_left_on_the_disk_after_a_kill(tmp_path):
    child = run(tmp_path, 1e6, "kill")
    assert child.stdout.readline() == "ready\n"
    maps = os.listdir(f"/proc/{child.pid}/fd")
    targets = [os.readlink(f"/proc/{child.pid}/fd/{number}") for number in maps]
    assert any(str(tmp_path) in target for target in targets)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert list(tmp_path.iterdir()) == []


def test_nested_tensors_are_refused_by_name():
    parts = [torch.zeros(2, 3), torch.zeros(4, 3)]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    with pytest.raises(InputError, match="batch of the train data holds a nested tensor"):
        gather(iter([(nested, torch.zeros(2))]), "train")
