"""A file is whole or absent, and an old one stays until the new one is whole."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from landscape_lib.core.files import sync_folder, unstale, whole_file, write_text


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


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
def test_a_rename_whose_answer_was_lost_on_the_network_is_no_error(tmp_path, monkeypatch, number):
    replace = os.replace

    def done_and_lost(source, target):
        replace(source, target)
        raise OSError(number, os.strerror(number), source, None, target)

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "replace", done_and_lost)
    write_text(tmp_path / "a.txt", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "new")]


def test_a_rename_that_was_not_done_is_an_error(tmp_path, monkeypatch):
    def not_done(source, target):
        os.unlink(source)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), source, None, target)

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "replace", not_done)
    with pytest.raises(OSError, match="Stale file handle"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_where_folders_cannot_be_synced_they_are_not_and_a_failing_disk_is_said(
    tmp_path, monkeypatch
):
    def fails(number):
        def fsync(descriptor):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    fails(errno.EINVAL)  # as SMB answers
    sync_folder(tmp_path)
    fails(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)


def test_what_another_host_replaced_is_read_once_more_and_no_oftener():
    answers = [OSError(errno.ESTALE, "stale"), "content"]

    def read():
        if isinstance(answer := answers.pop(0), OSError):
            raise answer
        return answer

    assert unstale(read) == "content"
    answers[:] = [OSError(errno.ESTALE, "first"), OSError(errno.ESTALE, "again")]
    with pytest.raises(OSError, match="again"):
        unstale(read)
    answers[:] = [OSError(errno.EIO, "broken"), "content"]
    with pytest.raises(OSError, match="broken"):
        unstale(read)


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_another_made_meanwhile_stays_where_that_is_asked_for(
    tmp_path, monkeypatch, links
):
    def no_links(*arguments):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    for name, wanted in (("a", "mine"), ("b", "its" if links else "mine")):
        with whole_file(tmp_path / name, first=True) as temporary:
            temporary.write_text("mine")
            if name == "b":
                (tmp_path / "b").write_text("its")
        assert (tmp_path / name).read_text() == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


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
    with whole_file(tmp_path / "a.txt") as living:
        left = living
    left.write_text("half")

    def none(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert left.exists()
