"""A file is whole or absent, and an old one stays until the new one is whole."""

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
