"""A file is whole or absent, and an old one stays until the new one is whole."""

import errno
import fcntl
import signal
import subprocess
import sys

import pytest

from landscape_lib.core.files import whole_file, write_text


def test_a_file_appears_whole_under_its_name(tmp_path):
    write_text(tmp_path / "new/folder/a.txt", "ä")
    assert (tmp_path / "new/folder/a.txt").read_text(encoding="utf-8") == "ä"
    write_text(tmp_path / "new/folder/a.txt", "b")
    assert [path.read_text() for path in (tmp_path / "new/folder").iterdir()] == ["b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_as_it_was_and_no_temporary_one_is_left(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        assert temporary.parent == path.parent
        assert path.read_text() == "old"
        raise error
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_an_error_of_the_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.txt'"):
        with whole_file(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")


def test_what_a_killed_writer_left_is_removed_by_the_next_and_a_living_ones_file_is_not(tmp_path):
    """``kill -9`` runs no ``finally``: without this, each one may leave a file of any size."""
    path = tmp_path / "a[1].txt"  # a name that a pattern would take for something else
    program = (
        "import os, signal, sys; from landscape_lib.core.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [left.read_text() for left in tmp_path.iterdir()] == ["half"]
    other = tmp_path / ".a[1].txt.of-mine.tmp"
    other.write_text("not ours: it has another kind of name")
    with whole_file(path) as living:
        living.write_text("first")
        write_text(path, "second")
        assert living.read_text() == "first"
        assert {left.name for left in tmp_path.iterdir()} == {path.name, living.name, other.name}
    assert path.read_text() == "first"
    assert {left.name for left in tmp_path.iterdir()} == {path.name, other.name}


def test_where_there_are_no_locks_nothing_is_removed(tmp_path, monkeypatch):
    left = tmp_path / ".a.txt.0123abcd.tmp"
    left.write_text("half")

    def none(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert left.exists()
