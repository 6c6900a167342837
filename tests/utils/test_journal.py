"""What a journal holds is what was computed, and a damaged line costs that line only."""

import math
import os
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.utils.journal import Journal, decode, encode

PLAN = '{"batch_size": 4, "device": "cpu"}'
floats = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 2.2e-308, 0.1])
points = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=2).map(
    tuple
)


def same(found, wanted):
    return (math.isnan(found) and math.isnan(wanted)) or found.hex() == wanted.hex()


def fill(folder, count=5, first=0):
    with Journal(folder) as journal:
        for number in range(first, first + count):
            journal.append((number / 10, 0.5), {"train_loss": number / 3, "train_acc": 50.0}, PLAN)
    return journal._path


@given(
    point=points,
    values=st.dictionaries(st.text(max_size=8), floats, max_size=3),
    plan=st.text(max_size=9),
)
def test_a_line_brings_back_every_float_to_the_last_bit(point, values, plan):
    line = encode(point, values, plan)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found_point, found, found_plan = decode(line[:-1])
    assert [step.hex() for step in found_point] == [step.hex() for step in point]
    assert list(found) == list(values)
    assert all(same(found[key], value) for key, value in values.items())
    assert found_plan == plan


def test_infinity_and_nan_are_spelt_as_pythons_json_does():
    line = encode((0.0,), {"a": math.nan, "b": math.inf, "c": -math.inf}, "")
    assert b'"a":NaN,"b":Infinity,"c":-Infinity' in line


def test_coordinates_of_a_grid_are_found_again_exactly(tmp_path):
    grid = Grid((Axis(-1, 1, 51), Axis(0, 0.7, 4)))
    with Journal(tmp_path) as journal:
        for point in grid.points().tolist():
            journal.append(tuple(point), {"a": 0.0}, PLAN)
    finer = Grid((Axis(-2, 2, 101), Axis(0, 0.7, 7)))
    known = Journal(tmp_path).read()
    assert len(known) == grid.size
    assert sum(tuple(point) in known for point in finer.points().tolist()) == grid.size


def test_what_was_appended_is_there_at_once_for_every_reader_trap_29(tmp_path):
    with Journal(tmp_path) as journal:
        for number in range(3):
            journal.append((float(number),), {"a": 1.0}, PLAN)
            assert len(Journal(tmp_path).read()) == number + 1
    assert Journal(tmp_path).read()[2.0,] == {"a": 1.0}


def test_a_kill_loses_nothing_that_was_appended_trap_29(tmp_path):
    program = (
        "import os, signal, sys; from landscape_lib.utils.journal import Journal\n"
        "journal = Journal(sys.argv[1]); journal.append((0.5,), {'a': 1.5}, 'p')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    )
    assert Journal(tmp_path).read() == {(0.5,): {"a": 1.5}}


def test_an_empty_or_missing_folder_knows_nothing_and_is_not_made_by_looking(tmp_path):
    assert Journal(tmp_path / "none").read() == {}
    Journal(tmp_path / "none").close()
    assert not (tmp_path / "none").exists()


def test_every_writer_has_a_file_of_its_own_and_all_are_read(tmp_path):
    with Journal(tmp_path) as one, Journal(tmp_path) as other:
        for number in range(4):
            (one, other)[number % 2].append(
                (float(number),), {"a": float(number)}, f"plan {number}"
            )
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    reader = Journal(tmp_path)
    assert reader.read() == {(float(n),): {"a": float(n)} for n in range(4)}
    assert reader.plans == {(float(n),): f"plan {n}" for n in range(4)}


def test_of_a_point_that_two_wrote_one_counts_always_the_same(tmp_path):
    for value in (1.0, 2.0):
        with Journal(tmp_path) as journal:
            journal.append((0.0,), {"a": value}, PLAN)
    found = Journal(tmp_path).read()
    assert all(Journal(tmp_path).read() == found for _ in range(3))


@settings(max_examples=60)
@given(data=st.data())
def test_a_flipped_bit_drops_its_line_and_only_that(data):
    with tempfile.TemporaryDirectory() as folder:
        path = fill(folder)
        whole = bytearray(path.read_bytes())
        wanted = Journal(folder).read()
        place = data.draw(st.integers(0, len(whole) - 1))
        hit = bytes(whole[:place]).count(b"\n")
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole)
        found = Journal(folder).read()
        lost = set(wanted) - set(found)
        assert lost <= {(hit / 10, 0.5)}
        assert all(wanted[point] == values for point, values in found.items())


@settings(max_examples=40)
@given(length=st.integers(0, 700))
def test_a_torn_file_keeps_every_line_that_is_whole(length):
    with tempfile.TemporaryDirectory() as folder:
        path = fill(folder)
        whole = path.read_bytes()
        path.write_bytes(whole[:length])
        kept = len([line for line in whole[:length].split(b"\n")[:-1] if line])
        assert len(Journal(folder).read()) in {
            kept,
            kept + 1,
        }  # all of a line but its end is whole too


def test_a_damaged_line_is_reported_with_its_file_once(tmp_path, caplog):
    path = fill(tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0][:-7], b"garbage \xff", *lines[2:]]))
    assert len(Journal(tmp_path).read()) == 3
    assert f"{path}: 2 damaged lines dropped; what they held is evaluated again" in caplog.text
    assert len(caplog.records) == 1


def test_a_reader_meets_another_writer_in_mid_line(tmp_path):
    """It sees what is whole, and the rest of the line when it is there."""
    path = fill(tmp_path, 2)
    line = encode((0.9, 0.5), {"train_loss": 1.0}, PLAN)
    with path.open("ab") as writer:
        writer.write(line[:40])
        writer.flush()
        assert len(Journal(tmp_path).read()) == 2
        writer.write(line[40:])
    assert Journal(tmp_path).read()[0.9, 0.5] == {"train_loss": 1.0}


@pytest.mark.parametrize("key", ["a b", "täuschung 損失", '{"sum":"', 'a\\"b', "\u2028"])
def test_a_metric_key_may_be_spelt_in_any_way(key, tmp_path):
    with Journal(tmp_path) as journal:
        journal.append((0.5,), {key: 1.0}, key)
    assert Journal(tmp_path).read() == {(0.5,): {key: 1.0}}


def test_closing_brings_the_lines_to_the_disk(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(descriptor) or fsync(descriptor)
    )
    fill(tmp_path, 1)
    assert len(synced) >= 2  # the folder's new name, and the file


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"at":[0,0],"values":{"loss":1' + "0" * 400 + '},"plan":""}',
        '{"at":[0,0],"values":{"loss":1' + "0" * 6000 + '},"plan":""}',
        '{"at":0,"values":[],"plan":""}',
    ],
    ids=["nested", "large", "endless", "shapes"],
)
def test_nonsense_is_dropped_though_its_checksum_fits(body):
    from landscape_lib.utils.journal import _checksum

    assert decode(f'{{"sum":"{_checksum(body)}","point":{body}}}'.encode()) is None


def test_a_line_without_a_metric_that_is_evaluated_is_dropped(tmp_path):
    with Journal(tmp_path) as journal:
        journal.append((0.0,), {"loss": 1.0}, "{}")
        journal.append((1.0,), {"loss": 1.0, "acc": 2.0}, "{}")
    assert set(Journal(tmp_path).read(["loss", "acc"])) == {(1.0,)}
    assert set(Journal(tmp_path).read(["loss"])) == {(0.0,), (1.0,)}
