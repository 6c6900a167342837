"""A data set gives the same samples however many processes read it."""

import logging
import multiprocessing
import os
import random
import signal
import time
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
)

from landscape_lib.core import reading
from landscape_lib.core.samples import gather

N = 23


def torch_rand():
    return torch.rand(1)


class Drawn(Dataset):
    """Draws from one of the random states, and notes who asked, which processes share."""

    def __init__(self, draw=torch_rand, count=N):
        self.draw, self.count = draw, count
        self.asked = torch.zeros(count, dtype=torch.int64).share_memory_()

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked[index] = os.getpid()
        return float(index), float(self.draw())

    def readers(self, start=0):
        return set(self.asked[start:].tolist())


class InOneGo(Drawn):
    def __getitems__(self, indices):
        assert isinstance(indices, list)
        return [self[index] for index in indices]


DRAWS = {
    "python": random.random,
    "numpy": np.random.rand,
    "torch": torch_rand,
}


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch):
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.fixture
def at_once(monkeypatch):
    """Workers start as soon as there is anything to compare, and are not waited for in vain."""
    monkeypatch.setattr(reading, "WORTH_WORKERS_S", 0.0)
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.5)


def columns(data):
    samples = gather(data, "train")
    assert samples.whole
    return samples.batches[0]


def loader(data, workers=0, size=3, **settings):
    return DataLoader(data, size, num_workers=workers, **settings)


# --------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("kind", [Drawn, InOneGo])
def test_random_transforms_draw_the_same_in_any_number_of_processes(kind, draw, monkeypatch):
    """Own workers, ours, or none; who read is checked, or this would show nothing."""
    data = kind(DRAWS[draw])
    index, alone = columns(loader(data))
    assert index.tolist() == list(range(N))
    assert data.readers() == {os.getpid()}
    assert len(set(alone.tolist())) == N
    for workers in (1, 2):
        index, values = columns(loader(data, workers))
        assert index.tolist() == list(range(N))
        assert values.numpy().tobytes() == alone.numpy().tobytes()
        assert len(data.readers()) == workers
        assert os.getpid() not in data.readers()
    monkeypatch.setattr(reading, "WORTH_WORKERS_S", 0.0)
    index, values = columns(loader(data))
    assert index.tolist() == list(range(N))
    assert values.numpy().tobytes() == alone.numpy().tobytes()
    assert os.getpid() in data.readers()  # for two batches, to see how long they take
    assert len(data.readers(6) - {os.getpid()}) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_sample_draws_does_not_depend_on_the_batch(workers):
    for size in (1, 4, N):
        assert torch.equal(columns(loader(Drawn(), workers, size))[1], columns(Drawn())[1])
    part = torch.utils.data.Subset(Drawn(), [7, 2])
    assert columns(part)[1].tolist() == columns(loader(part, workers, 1))[1].tolist()


def test_collating_may_draw_too(at_once):
    def noisy(rows):
        return [torch.stack(column) + torch.rand(1) for column in zip(*rows, strict=True)]

    data = TensorDataset(torch.arange(float(N)), torch.ones(N))
    ours = columns(loader(data, collate_fn=noisy))
    theirs = columns(loader(data, 2, collate_fn=noisy))
    assert torch.equal(ours[0], theirs[0])
    assert not torch.equal(ours[0], data.tensors[0])


def test_a_sampler_that_draws_is_asked_before_anything_else_draws(at_once):
    def sampled(workers):
        return columns(loader(Drawn(), workers, sampler=SubsetRandomSampler(range(5, 20))))

    assert sorted(sampled(0)[0].tolist()) == list(range(5, 20))
    assert torch.equal(sampled(0)[0], sampled(2)[0])
    assert torch.equal(sampled(0)[1], sampled(2)[1])


class Shuffled(Sampler):
    """Shuffles with a generator of its own, as people write it."""

    def __init__(self, generator, shuffle):
        self.generator, self.shuffle = generator, shuffle

    def __iter__(self):
        order = list(range(N))
        self.shuffle(order)
        yield from order


def torchs():
    own = torch.Generator().manual_seed(3)
    return lambda: own.get_state().tolist(), SubsetRandomSampler(range(5, 20), generator=own)


def numpys():
    own = np.random.default_rng(3)
    return lambda: own.bit_generator.state, Shuffled(own, own.shuffle)


def pythons():
    own = random.Random(3)
    return own.getstate, Shuffled(own, own.shuffle)


@pytest.mark.parametrize("kind", [torchs, numpys, pythons])
@pytest.mark.parametrize("nested", [False, True])
def test_a_samplers_own_generator_is_given_back_and_asked_for_the_same_order_again(kind, nested):
    state, sampler = kind()
    settings = (
        {"batch_sampler": BatchSampler(sampler, 4, drop_last=False)}
        if nested
        else {"sampler": sampler, "batch_size": 4}
    )
    data, before = TensorDataset(torch.arange(N)), state()
    ours = [columns(DataLoader(data, **settings))[0] for _ in range(2)]
    assert state() == before
    wanted = torch.cat([batch for (batch,) in DataLoader(data, **settings)])
    assert all(torch.equal(one, wanted) for one in ours)
    assert state() != before  # theirs goes on


def test_a_loaders_own_generator_is_given_back():
    class Counted(IterableDataset):
        def __iter__(self):
            yield from torch.arange(N)

    own = torch.Generator().manual_seed(3)
    before = own.get_state()
    gather(DataLoader(Counted(), batch_size=4, generator=own))
    assert torch.equal(own.get_state(), before)


def test_samples_without_batches_and_names_for_indices_are_read_as_well(at_once):
    class Named(Drawn):
        def __getitem__(self, name):
            return torch.tensor([float(len(name)), torch.rand(1)])

    names = ["a", "bb", "ccc", "dddd", "eeeee"]
    for size in (None, 2):
        found = [
            gather(DataLoader(Named(), size, sampler=names, num_workers=workers))
            for workers in (0, 2)
        ]
        one, other = (torch.cat([t.reshape(-1, 2) for t in s.tensors()]) for s in found)
        assert one[:, 0].tolist() == [1, 2, 3, 4, 5]
        assert torch.equal(one, other)


def test_workers_and_this_process_compute_in_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen = columns(loader([float(i) for i in range(3)], collate_fn=lambda _: threads_now()))
        assert seen[0].tolist() == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def threads_now():
    return [torch.tensor([torch.get_num_threads()])]


def test_a_seed_belongs_to_one_index():
    assert len({reading._seed(index) for index in range(10000)}) == 10000
    assert reading._seed(np.int64(3)) == reading._seed(torch.tensor(3)) == reading._seed(3)


# --------------------------------------------------------------------------- how it goes


def test_quick_data_are_read_in_this_process():
    data = Drawn(count=300)
    columns(data)
    assert data.readers() == {os.getpid()}


def test_reading_by_workers_says_how_far_it_is(at_once, monkeypatch, caplog):
    from landscape_lib.core import samples

    monkeypatch.setattr(samples, "SAY_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO):
        columns(loader(Drawn()))
    assert "reading the train data: with 2 worker processes" in caplog.text
    assert "reading the train data: 7 of 8 batches, 0 s left" in caplog.text


def test_nothing_is_said_by_torch(at_once):
    """Of more workers than cores, or of threads beside a fork."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crowd = loader(Drawn(), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns(crowd)
        columns(loader(Drawn()))


def test_as_many_workers_start_as_there_is_room_for(monkeypatch):
    read = reading.Reading(loader(Drawn()), "train")
    read._first = [torch.zeros(1000, dtype=torch.uint8)]
    monkeypatch.setattr(reading, "available_memory", lambda: 16_000)
    assert read._workers(left=9) == 1
    monkeypatch.setattr(reading, "available_memory", lambda: None)
    assert read._workers(left=9) == 2
    assert read._workers(left=1) == 1


def test_a_worker_ends_when_it_is_told_to_though_this_process_would_not(at_once):
    class Signals(Drawn):
        def __getitem__(self, index):
            super().__getitem__(index)
            return index, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        data = Signals()
        _, default = columns(loader(data, 2))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert default.all()
    assert os.getpid() not in data.readers()


class Opened(Drawn):
    """Needs what its own worker_init_fn puts there."""

    handle = 0

    def __getitem__(self, index):
        return index, self.handle


def open_in_worker(number):
    torch.utils.data.get_worker_info().dataset.handle = 10 + number


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_worker_init_fn_of_ones_own_finds_its_data_set(context):
    settings = {"worker_init_fn": open_in_worker, "multiprocessing_context": context}
    _, handle = columns(loader(Opened(None), 1, size=12, **settings))
    assert set(handle.tolist()) == {10}


# --------------------------------------------------------------------------- where it fails


class Careful(Drawn):
    """Refuses to be read by anybody but the process that made it."""

    def __init__(self, why):
        super().__init__()
        self.owner, self.why = os.getpid(), why

    def __getitem__(self, index):
        if os.getpid() != self.owner:
            self.why()
        return super().__getitem__(index)


def in_bad_fork():
    raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(60)


@pytest.mark.parametrize("why", [in_bad_fork, die, hang])
@pytest.mark.parametrize("workers", [0, 2])
def test_where_workers_fail_this_process_goes_on(why, workers, at_once, monkeypatch, caplog):
    monkeypatch.setattr(reading, "PATIENCE_S", 0.5)
    with caplog.at_level(logging.INFO):
        data = Careful(why)
        index, values = columns(loader(data, workers, timeout=0.5 * bool(workers)))
    assert (
        "reading the train data: on without workers (a worker failed: RuntimeError" in caplog.text
    )
    assert index.tolist() == list(range(N))
    assert torch.equal(values, columns(Drawn())[1])
    assert data.readers() == {os.getpid()}


def test_what_cannot_be_sent_to_a_worker_is_read_here(caplog):
    local = loader(Drawn(lambda: 0.5), 2, multiprocessing_context="spawn")
    with caplog.at_level(logging.INFO):
        assert columns(local)[0].tolist() == list(range(N))
    assert "on without workers" in caplog.text


def test_a_data_set_with_a_generator_of_its_own_is_read_in_one_piece(monkeypatch, caplog):
    class Own(Drawn):
        def __init__(self):
            super().__init__()
            self.generator = np.random.default_rng(0)

        def __getitem__(self, index):
            return float(index), self.generator.random()

    alone = columns(loader(Own()))[1]
    monkeypatch.setattr(reading, "WORTH_WORKERS_S", 0.0)
    with caplog.at_level(logging.INFO):
        assert torch.equal(columns(loader(Own()))[1], alone)
    assert "its samples depend on what was read before" in caplog.text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([torch.tensor([np.nan])], [torch.tensor([np.nan])], True),
        ([torch.tensor([0.0])], [torch.tensor([-0.0])], False),
        ([torch.tensor([0])], [torch.tensor([0.0])], False),
        ([torch.zeros(2, 1)], [torch.zeros(1, 2)], False),
        ([np.array([np.nan])], [np.array([np.nan])], True),
        ([np.array([1])], [np.array([2])], False),
        (["a", 1, None], ["a", 1, None], True),
        ([1], [True], False),
        ([object], [object], False),
        ([1], {"a": 1}, False),
    ],
    ids=str,
)
def test_two_batches_are_compared_to_the_last_bit(one, other, same):
    assert reading._same(one, other) is same


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_of_the_users_comes_with_the_users_frames(workers, at_once):
    class Broken(Drawn):
        def __getitem__(self, index):
            self.asked[index] = os.getpid()
            return self.look_up(index)

        def look_up(self, index):
            return {i: float(i) for i in range(15)}[index]

    data = Broken()
    with pytest.raises(KeyError) as found:
        columns(loader(data, workers))
    assert found.value.args == (15,)
    assert len(data.readers()) == 4  # two workers, this process, and nobody for the last samples
    assert "look_up" in [entry.name for entry in found.traceback]


def read_in_a_daemon(queue):
    reading.WORTH_WORKERS_S = 0.0
    queue.put(columns(loader(Drawn(no_noise)))[0].tolist())


def no_noise():
    return 0.0


def test_a_process_that_may_have_no_children_reads_alone():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=read_in_a_daemon, args=(queue,), daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == list(range(N))
