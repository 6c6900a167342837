"""Every point is judged on the same samples, in the same order, however the data come."""

import random
from collections import UserDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
)

from landscape_lib.core.errors import InputError
from landscape_lib.core.randomness import fixed_randomness, reseed
from landscape_lib.core.samples import (
    ResidentLoader,
    as_batches,
    copied,
    gather,
    split_batch,
)

N = 11
INPUTS, TARGETS = torch.arange(N * 2.0).reshape(N, 2), torch.arange(N) % 3
PAIRS = TensorDataset(INPUTS, TARGETS)


class Augmented(Dataset):
    """Draws a random transform every time it is asked."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        noise = torch.rand(1) + random.random() + np.random.rand()  # noqa: NPY002
        return INPUTS[index] + noise.float(), int(TARGETS[index])


class Stream(IterableDataset):
    """Has no length."""

    def __iter__(self):
        return iter(zip(INPUTS, TARGETS, strict=True))


def whole(data):
    samples = gather(data)
    assert samples.whole
    return samples.batches[0]


@pytest.mark.parametrize(
    "data",
    [
        (INPUTS, TARGETS),
        [INPUTS, TARGETS],
        PAIRS,
        list(PAIRS),
        Stream(),
        DataLoader(PAIRS, 4),
        DataLoader(PAIRS, 4, shuffle=True),
        DataLoader(PAIRS, 4, shuffle=True, drop_last=True),
        DataLoader(PAIRS, 4, drop_last=True),
        DataLoader(PAIRS, batch_sampler=BatchSampler(SequentialSampler(PAIRS), 4, drop_last=False)),
        DataLoader(Stream(), 4),
    ],
    ids=[
        "tuple",
        "list",
        "dataset",
        "pairs",
        "stream",
        "loader",
        "shuffle",
        "shuffle-drop",
        "drop",
        "batches",
        "stream-loader",
    ],
)
def test_all_samples_come_in_the_order_of_the_data_set_trap_21(data):
    """A loader that shuffles, or drops the last batch, is read whole and in order."""
    inputs, targets = whole(data)
    assert torch.equal(inputs, INPUTS)
    assert torch.equal(targets, TARGETS)
    assert gather(data).count == N


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: DataLoader(d, 4, shuffle=True)])
def test_random_transforms_are_drawn_once_and_always_the_same_traps_21_and_24(wrap):
    first, again = gather(wrap(Augmented())), gather(wrap(Augmented()))
    assert torch.equal(first.batches[0][0], again.batches[0][0])
    assert not torch.equal(first.batches[0][0], INPUTS)
    assert torch.equal(first.cut(4)[1][0], first.cut(4)[1][0])


def test_a_sampler_of_its_own_is_asked_once_with_a_fixed_seed():
    loader = DataLoader(PAIRS, 3, sampler=SubsetRandomSampler([1, 5, 7, 8]))
    assert sorted(whole(loader)[0][:, 0].tolist()) == [2, 10, 14, 16]
    assert torch.equal(whole(loader)[0], whole(loader)[0])


def test_a_loader_that_draws_a_few_with_replacement_keeps_their_number():
    sampler = torch.utils.data.RandomSampler(PAIRS, replacement=True, num_samples=5)
    assert gather(DataLoader(PAIRS, 2, sampler=sampler)).count == 5


def test_gathering_leaves_the_global_random_states_alone():
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    gather(DataLoader(Augmented(), 4, shuffle=True))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tobytes() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_random_states_come_back_after_an_exception():
    before = random.getstate(), torch.get_rng_state()
    with pytest.raises(KeyError), fixed_randomness():  # noqa: PT012
        torch.rand(3)
        raise KeyError
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@given(size=st.integers(1, N + 3))
def test_cuts_are_the_whole_in_pieces(size):
    samples = gather((INPUTS, TARGETS))
    pieces = samples.cut(size)
    assert [len(piece[1]) for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
    assert torch.equal(torch.cat([piece[0] for piece in pieces]), INPUTS)


def test_without_a_size_a_loaders_own_batches_are_kept():
    assert [len(batch[1]) for batch in gather(DataLoader(PAIRS, 4)).cut(None)] == [4, 4, 3]
    assert [len(batch[1]) for batch in gather(PAIRS).cut(None)] == [N]


def test_sequences_of_different_lengths_keep_the_loaders_own_batches():
    ragged = [(torch.ones(n + 1), torch.tensor(n)) for n in range(5)]

    def collate(rows):
        inputs, targets = zip(*rows, strict=True)
        return torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True), torch.stack(targets)

    samples = gather(DataLoader(ragged, 2, collate_fn=collate))
    assert not samples.whole
    assert samples.count == 5
    assert [tuple(batch[0].shape) for batch in samples.cut(100)] == [(2, 2), (2, 4), (1, 5)]


def test_floats_take_the_precision_and_class_numbers_keep_their_type():
    moved = gather((INPUTS, TARGETS)).to("cpu", torch.float64)
    assert [tensor.dtype for tensor in moved.tensors()] == [torch.float64, torch.int64]


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "data",
    [
        (torch.zeros(0, 2), torch.zeros(0)),
        [],
        Stream.__new__(type("E", (IterableDataset,), {"__iter__": lambda self: iter(())})),
    ],
)
def test_empty_data_are_refused(data):
    with pytest.raises(
        InputError, match="The test data are empty; a landscape needs at least one sample"
    ):
        gather(data, "test")


def test_tensors_of_different_lengths_are_refused():
    with pytest.raises(
        InputError, match=r"The data tensors hold \[11, 10\] samples; the numbers must agree"
    ):
        gather((INPUTS, TARGETS[:10]))


@pytest.mark.parametrize("data", [None, 3, {"train": PAIRS}, object()])
def test_data_of_another_kind_are_refused(data):
    with pytest.raises(
        InputError, match=f"data are a {type(data).__name__}; wanted a Dataset, a DataLoader"
    ):
        gather(data)


@pytest.mark.parametrize("data", ["data.pt", b"data.pt", Path("data.pt")])
def test_a_path_is_no_data_and_not_its_letters(data):
    with pytest.raises(InputError, match=f"data are a {type(data).__name__}, which is to be read"):
        gather(data)


def test_a_data_set_that_does_not_know_its_length_says_what_it_lacks():
    class Endless(Dataset):
        def __getitem__(self, index):
            return INPUTS[index % len(INPUTS)], 0

    with pytest.raises(InputError, match="The data data, a Endless, do not say how many samples"):
        gather(Endless())


# --------------------------------------------------------------------------- what a batch is


@pytest.mark.parametrize("name", ["labels", "label", "targets", "target"])
def test_a_batch_that_is_a_dict_has_its_targets_under_a_usual_name(name):
    args, kwargs, targets = split_batch({"input_ids": 1, name: 2, "mask": 3})
    assert (args, kwargs, targets) == ((), {"input_ids": 1, "mask": 3}, 2)


@pytest.mark.parametrize(
    ("batch", "args", "kwargs"),
    [
        ((1, 9), (1,), {}),
        ([1, 9], (1,), {}),
        ((1, 2, 9), (1, 2), {}),
        (((1, 2), 9), (1, 2), {}),
        (({"ids": 1}, 9), (), {"ids": 1}),
    ],
)
def test_the_last_of_a_batch_is_its_targets(batch, args, kwargs):
    assert split_batch(batch) == (args, kwargs, 9)


def test_a_batch_without_targets_is_refused():
    with pytest.raises(
        InputError, match=r"dict of \['ids'\]; its targets must be called one of \['labels'"
    ):
        split_batch({"ids": 1})
    with pytest.raises(InputError, match=r"A batch is a Tensor; wanted \(inputs, targets\)"):
        split_batch(torch.zeros(3))


def test_dict_likes_become_dicts():
    """As the BatchEncoding of a tokenizer."""

    def collate(rows):
        return UserDict(
            {
                "ids": torch.stack([row[0] for row in rows]),
                "labels": torch.stack([row[1] for row in rows]),
            }
        )

    found = whole(DataLoader(PAIRS, 4, collate_fn=collate))
    assert type(found) is dict
    assert torch.equal(found["ids"], INPUTS)


# --------------------------------------------------------------------------- the user's own loop


def test_the_loader_a_users_function_gets_knows_what_a_loader_knows():
    loader = ResidentLoader(gather(PAIRS), 4)
    assert (len(loader), loader.batch_size, loader.dataset) == (3, 4, PAIRS)
    first, again = ([batch[1].tolist() for batch in loader] for _ in range(2))
    assert first == again == [TARGETS[:4].tolist(), TARGETS[4:8].tolist(), TARGETS[8:].tolist()]


def test_writing_into_a_batch_does_not_reach_the_samples():
    loader = ResidentLoader(gather(PAIRS), 4)
    for inputs, targets in loader:
        inputs.zero_()
        targets.zero_()
    assert torch.equal(torch.cat([batch[0] for batch in loader]), INPUTS)
    batch = {"a": [torch.ones(2)], "b": "text"}
    copied(batch)["a"][0].zero_()
    assert batch["a"][0].tolist() == [1, 1]


# --------------------------------------------------------------------------- loaders of one's own


class OwnLoader:
    def __init__(self, sizes, **attributes):
        self.sizes = sizes
        self.__dict__.update(attributes)

    def __iter__(self):
        start = 0
        for size in self.sizes:
            numbers = torch.arange(start, start + size)
            yield numbers.float(), numbers
            start += size


@pytest.mark.parametrize("sizes", [[4, 4, 4], [4, 4, 1], [3], [2, 4, 4]], ids=str)
def test_any_iterable_of_batches_keeps_its_batches(sizes):
    for loader in (OwnLoader(sizes), iter(OwnLoader(sizes)), OwnLoader(sizes, batch_size="auto")):
        samples = gather(loader)
        assert samples.count == sum(sizes)
        found = samples.cut(None)
        for (inputs, targets), wanted in zip(found, OwnLoader(sizes), strict=True):
            assert torch.equal(inputs, wanted[0])
            assert torch.equal(targets, wanted[1])


def test_a_loader_of_ones_own_is_asked_for_its_data_set_and_batch_size():
    samples = gather(OwnLoader([4, 2], dataset="mine", batch_size=4))
    assert (samples.dataset, samples.batch_size) == ("mine", 4)
    with pytest.raises(InputError, match="are empty"):
        gather(OwnLoader([]))


def test_long_reading_says_how_far_it_is(monkeypatch, caplog):
    from landscape_lib.core import samples

    monkeypatch.setattr(samples, "SAY_EVERY_S", 0.0)
    with caplog.at_level("INFO"):
        gather(DataLoader(TensorDataset(torch.ones(5, 1)), batch_size=2), "train")
        gather(OwnLoader([1, 1]), "test")
    assert "reading the train data: 2 of 3 batches, 0 s left" in caplog.text
    assert "reading the test data: 2 of ? batches" in caplog.text


class Scaling(DataLoader):
    def __iter__(self):
        return ((10 * inputs, targets) for inputs, targets in super().__iter__())


def test_a_loader_with_an_iteration_of_its_own_keeps_it():
    data = TensorDataset(torch.ones(5, 1), torch.zeros(5))
    inputs, _ = gather(Scaling(data, batch_size=2)).batches[0]
    assert inputs.tolist() == [[10.0]] * 5


def test_a_list_that_stands_for_a_loader_holds_batches():
    batches = [(torch.ones(3, 2), torch.zeros(3)), (torch.ones(1, 2), torch.zeros(1))]
    samples = gather(as_batches(batches))
    assert (samples.count, samples.batch_size) == (4, 3)
    assert samples.batches[0][0].shape == (4, 2)
    whole = (torch.ones(3, 2), torch.zeros(3))
    data = TensorDataset(*whole)
    for known in (whole, data, DataLoader(data), iter(batches)):
        assert as_batches(known) is known


def test_arrays_are_taken_like_tensors():
    samples = gather((np.ones((4, 2), np.float32), np.arange(4)))
    assert samples.count == 4
    assert all(isinstance(leaf, torch.Tensor) for leaf in samples.tensors())


def test_seeding_a_point_leaves_nothing_behind():
    """Without a GPU torch keeps every call for later, with the stack that made it."""
    with fixed_randomness():
        before = len(torch.cuda._queued_calls)
        reseed()
        first = torch.rand(2)
        reseed()
        assert torch.equal(torch.rand(2), first)
        assert len(torch.cuda._queued_calls) == before


def test_the_first_samples_are_those_of_the_whole_and_never_more_than_there_are():
    samples = gather(PAIRS)
    (few,) = samples.first(4).batches
    assert torch.equal(few[0], INPUTS[:4])
    assert torch.equal(few[1], TARGETS[:4])
    assert samples.first(4).count == 4
    assert samples.first(N) is samples
    ragged = gather(iter([(INPUTS[:2], TARGETS[:2]), (INPUTS[2:5], TARGETS[2:5])]))
    assert not ragged.whole
    assert ragged.first(1) is ragged
