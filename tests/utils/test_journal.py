"""What a journal holds is what was computed, and a damaged line costs that line only."""

import errno
import hashlib
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_lib.core.errors import DamagedFileError, DisagreementError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.utils import journal
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
    return journal.path


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


def two_wrote(folder, *values, monkeypatch=None):
    """Each value of one point by a host of its own, beside a point that both agree on."""
    for number, value in enumerate(values):
        if monkeypatch:
            monkeypatch.setattr("platform.node", lambda number=number: f"node{number}.site")
        with Journal(folder) as journal:
            journal.append((0.0, 0.5), {"acc": 50.0, "loss": value}, PLAN)
            journal.append((0.25, 0.5), {"acc": 50.0, "loss": math.nan}, PLAN)


@pytest.mark.parametrize("value", [1 / 3, math.nan, -0.0, math.inf])
def test_of_a_point_that_two_wrote_equal_values_are_one(tmp_path, value, caplog):
    two_wrote(tmp_path, value, value, value)
    found = Journal(tmp_path).read()
    assert len(found) == 2
    assert same(found[0.0, 0.5]["loss"], value)
    assert caplog.text == ""


@pytest.mark.parametrize("other", [math.nextafter(1 / 3, 1), math.nan, -1 / 3])
def test_of_a_point_that_two_wrote_different_values_are_refused_with_both_and_their_hosts(
    tmp_path, other, monkeypatch
):
    """A last bit is a difference: which of both would be believed depends on who reads when."""
    two_wrote(tmp_path, 1 / 3, other, monkeypatch=monkeypatch)
    first, second = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DisagreementError) as refused:
        Journal(tmp_path).read()
    told = str(refused.value)
    assert f"{tmp_path}: 1 point has different values by two writers: [0.0, 0.5]. At" in told
    assert f". At [0.0, 0.5] loss is {1 / 3!r} in {first} and {other!r} in {second}. Names" in told
    assert first.startswith("node0.site-")
    assert second.startswith("node1.site-")
    assert f"remove the other file, such as {tmp_path / second}, and type the same" in told
    (tmp_path / second).unlink()
    assert Journal(tmp_path).read()[0.0, 0.5]["loss"] == 1 / 3


def test_zeros_of_both_signs_differ_and_many_points_are_counted(tmp_path):
    for sign in (1, -1):
        with Journal(tmp_path) as journal:
            for number in range(9):
                journal.append((float(number),), {"a": sign * 0.0}, PLAN)
    with pytest.raises(
        DisagreementError, match=r"9 points have .* \[7\.0\] and 1 more\. At \[0\.0\]"
    ):
        Journal(tmp_path).read()


def test_values_that_only_one_has_are_no_difference(tmp_path):
    """Standard errors, which may be asked for later."""
    for values in ({"a": 1.0}, {"a": 1.0, "standard_error/a": 0.1}):
        with Journal(tmp_path) as journal:
            journal.append((0.0,), values, PLAN)
    assert Journal(tmp_path).read()[0.0,]["a"] == 1.0


def test_what_another_writes_meanwhile_is_compared_at_the_end_and_in_mid_line_waited_for(tmp_path):
    with Journal(tmp_path) as mine:
        assert mine.read() == {}
        mine.append((0.5,), {"a": 1.0}, PLAN)
        for place, values, fits in (((0.5,), 1.0, True), ((0.5,), 1.5, False)):
            line = encode(place, {"a": values}, PLAN)
            with (tmp_path / f"other{values}.jsonl").open("ab") as other:
                other.write(line[:30])
                other.flush()
                mine.refuse_other_values()  # half visible: that is no value
                other.write(line[30:])
            if fits:
                mine.refuse_other_values()
                mine.refuse_other_values()
            else:
                with pytest.raises(DisagreementError, match=r"a is 1\.0 .* and 1\.5 in other1\.5"):
                    mine.refuse_other_values()


def unreadable(monkeypatch, name, number, times):
    """Let opening a file fail so many times."""
    opened, left = type(Path()).open, [times]

    def fails(self, *arguments, **options):
        if self.name == name and left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(type(Path()), "open", fails)


def test_a_file_that_another_host_replaced_is_read_once_more(tmp_path, monkeypatch, caplog):
    path = fill(tmp_path, 3)
    unreadable(monkeypatch, path.name, errno.ESTALE, 1)
    assert len(Journal(tmp_path).read()) == 3
    assert caplog.text == ""


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOENT, errno.EIO])
def test_a_file_that_is_listed_and_no_longer_there_costs_its_points_and_no_end(
    tmp_path, monkeypatch, caplog, number
):
    path = fill(tmp_path, 3)
    fill(tmp_path, 2, first=10)
    (tmp_path / ".nfs0000000000abcdef00000001").write_text("what was removed while it was open")
    unreadable(monkeypatch, path.name, number, 9)
    assert len(Journal(tmp_path).read()) == 2
    assert (
        f"{path}: cannot be read ({os.strerror(number)}); its points are not known" in caplog.text
    )


def test_a_hosts_name_does_no_harm_in_the_writers(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "-../a b/\u00e4\n")
    with Journal(tmp_path) as journal:
        journal.append((0.5,), {"a": 1.0}, PLAN)
    (path,) = tmp_path.iterdir()
    assert re.fullmatch(r"_a_b____?-[0-9a-f]{32}\.jsonl", path.name), path.name
    monkeypatch.setattr("platform.node", lambda: "")
    assert Journal(tmp_path).path.name.startswith("host-")


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


BODY = '{"at":[0.5],"values":{"a":1.5},"plan":"p"}'
ADDED = '{"at":[0.5],"values":{"a":1.5},"plan":"p","seconds":0.25,"host":{"name":"b"}}'
PLANLESS = '{"at":[0.5],"values":{"a":1.5}}'


def signed(body, hash_name="sha256", length=16):
    return hashlib.new(hash_name, body.encode()).hexdigest()[:length]


@pytest.mark.parametrize(
    ("line", "used"),
    {
        "ours": (f'{{"sum":"{signed(BODY)}","point":{BODY}}}', True),
        "fields that we don't know": (f'{{"sum":"{signed(ADDED)}","point":{ADDED}}}', True),
        "a longer checksum": (f'{{"sum":"{signed(BODY, length=64)}","point":{BODY}}}', False),
        "another checksum": (f'{{"sum":"{signed(BODY, "sha512")}","point":{BODY}}}', False),
        "no checksum": (f'{{"point":{BODY}}}', False),
        "no plan yet": (f'{{"sum":"{signed(PLANLESS)}","point":{PLANLESS}}}', False),
        "another frame": (f'{{"v":2,"sum":"{signed(BODY)}","point":{BODY}}}', False),
        "another encoding": ("\x93NUMPY\x01\x00", False),
    }.values(),
)
def test_lines_of_another_version_are_used_where_they_are_valid_or_else_named(
    line, used, tmp_path, caplog
):
    """What is not used is said, with the file, and evaluated again."""
    path = tmp_path / "other.jsonl"
    path.write_bytes(line.encode("latin-1") + b"\n")
    assert Journal(tmp_path).read() == ({(0.5,): {"a": 1.5}} if used else {})
    told = f"{path}: 1 damaged line dropped; what they held is evaluated again"
    assert (told in caplog.text) == (not used)


def test_a_point_with_other_axes_is_no_point_of_this_grid(tmp_path):
    with Journal(tmp_path) as journal:
        journal.append((0.5, 0.5, 0.5), {"a": 1.0}, "p")
        journal.append((0.5,), {"a": 2.0}, "p")
    assert Journal(tmp_path).read().get((0.5, 0.5)) is None


def test_closing_brings_the_lines_to_the_disk(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(descriptor) or fsync(descriptor)
    )
    fill(tmp_path, 1)
    assert len(synced) >= 2  # the folder's new name, and the file


def test_of_many_points_only_those_that_are_wanted_are_parsed(tmp_path, monkeypatch):
    points = [(n / 7, -n / 3) for n in range(300)]
    for part in range(3):
        with Journal(tmp_path) as writer:
            for point in points[part::3]:
                writer.append(point, {"a": point[0]}, "{}")
    parsed = []
    monkeypatch.setattr(journal, "decode", lambda line: parsed.append(line) or decode(line))
    monkeypatch.setattr(journal, "PIECE", 1000)  # lines lie across the ends of pieces
    wanted = [*points[7::50], (0.5, 0.5)]
    reader = Journal(tmp_path)
    assert reader.read(wanted) == {point: {"a": point[0]} for point in wanted[:-1]}
    assert len(parsed) == len(reader.plans) == len(wanted) - 1
    assert Journal(tmp_path).read() == {point: {"a": point[0]} for point in points}


def test_what_is_wanted_is_found_beside_damage_and_damage_is_told(tmp_path, caplog):
    lines = [encode((float(n), 0.5), {"a": 1.0}, "{}") for n in range(5)]
    torn = lines[4][:20]
    glued = lines[1][:-1] + lines[2]  # the end of a line was damaged
    wrong = lines[3].replace(b'"a":1.0', b'"a":7.0')
    (tmp_path / "w.jsonl").write_bytes(lines[0] + glued + wrong + torn)
    assert set(Journal(tmp_path).read([(2.0, 0.5), (3.0, 0.5)])) == {(2.0, 0.5)}
    assert "2 damaged lines" in caplog.text


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
    assert set(Journal(tmp_path).read(keys=["loss", "acc"])) == {(1.0,)}
    assert set(Journal(tmp_path).read(keys=["loss"])) == {(0.0,), (1.0,)}


def test_one_writer_that_has_two_values_of_a_point_is_damaged(tmp_path):
    """Nobody writes a point twice: a checksum that fits is no proof."""
    lines = [encode((0.5,), {"a": value}, "{}") for value in (1.0, 1.0, 2.0)]
    (tmp_path / "w.jsonl").write_bytes(b"".join(lines[:2]))
    assert Journal(tmp_path).read() == {(0.5,): {"a": 1.0}}
    (tmp_path / "w.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(DamagedFileError, match=r"w.jsonl: it is damaged: it has two values of a"):
        Journal(tmp_path).read()
