"""What metrics print is let through up to a limit, and what is dropped is counted."""

import io
import logging
import sys

import pytest

from landscape_lib.utils.printing import capped_output


def test_a_little_is_let_through_as_it_is(capsys, caplog):
    out = sys.stdout
    with capped_output("own"):
        print("a", "b", sep="-")
        sys.stderr.writelines(["c\n", "d"])
        assert sys.stdout.isatty() is out.isatty()
    assert sys.stdout is out
    assert capsys.readouterr() == ("a-b\n", "c\nd")
    assert not caplog.records


def test_of_more_the_beginning_is_let_through_and_the_rest_is_counted(capsys, caplog):
    def prints():
        with capped_output("own", most=10):
            for _ in range(1000):
                print("12345")
            print("1234567", file=sys.stderr, end="")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        prints()
    assert capsys.readouterr() == ("12345\n1234", "1234567")
    (said,) = [record.getMessage() for record in caplog.records]
    assert "5,990 letters more than the 10" in said


def test_a_program_without_a_terminal_stays_without_one(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with capped_output("own"):
        print("to nobody")
        assert sys.stdout is None


def test_who_keeps_a_stream_prints_what_it_likes_afterwards(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with capped_output("own", most=10):
        kept = logging.StreamHandler(sys.stdout).stream
        kept.write("123456789012345")
    kept.write("3" * 7)
    kept.write("4" * 9)
    assert out.getvalue() == "1234567890" + "3" * 7 + "4" * 9
