"""Every metric key has one file name, and no two keys share one."""

import subprocess
import sys
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_lib.core.errors import InputError
from landscape_lib.viz.names import LONGEST, PLAIN, file_name


def test_a_key_is_spelled_with_percent_signs_outside_the_plain_characters():
    assert file_name("train_loss_café") == "train_loss_caf%C3%A9"
    assert file_name("train_loss_top-1.5") == "train_loss_top-1.5"
    assert file_name("a~b c%d") == "a%7Eb%20c%25d"


def test_a_metric_named_like_a_path_stays_in_its_folder_trap_31():
    assert file_name("train_loss_top1/acc") == "train_loss_top1%2Facc"
    assert "/" not in file_name("../x")
    assert "\\" not in file_name("..\\x")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_two_keys_never_share_a_file_name_and_every_file_name_is_plain_and_short_trap_30(keys):
    names = [file_name(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(set(name.encode()) <= PLAIN | {ord("%")} for name in names)
    assert max(map(len, names)) <= LONGEST


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_short_key_can_be_read_back_from_its_file_name(key):
    assert unquote(file_name(key)) == key


def test_a_long_key_is_cut_between_letters_and_ends_in_a_hash():
    long, longer = ("train_loss_" + "損" * count for count in (33, 32))
    assert len(long.encode()) == 110
    assert file_name(long) != file_name(longer)
    assert len(file_name(long)) <= LONGEST
    head, _, hash_ = file_name(long).rpartition("-")
    assert long.startswith(unquote(head, errors="strict"))
    assert len(hash_) == 16


def test_a_key_that_is_empty_or_no_unicode_is_refused():
    with pytest.raises(InputError, match="empty"):
        file_name("")
    with pytest.raises(InputError, match="no valid Unicode"):
        file_name("a\ud800")


def test_the_snakefile_gets_names_without_a_heavy_import():
    code = (
        "import sys, landscape_lib.viz.names\n"
        "print({'numpy', 'torch', 'matplotlib', 'scipy', 'vtkmodules'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
