"""Every metric key has one file name, and the file name gives the key back."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_lib.core.errors import InputError
from landscape_lib.viz.names import LONGEST, PLAIN, file_name, key_of


def test_a_key_is_spelled_with_percent_signs_outside_the_plain_characters():
    assert file_name("train_loss_café") == "train_loss_caf%C3%A9"
    assert file_name("train_loss_top-1.5") == "train_loss_top-1.5"
    assert file_name("a~b c%d") == "a%7Eb%20c%25d"


def test_a_metric_named_like_a_path_stays_in_its_folder_trap_31():
    assert file_name("train_loss_top1/acc") == "train_loss_top1%2Facc"
    assert "/" not in file_name("../x")
    assert "\\" not in file_name("..\\x")


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=18))
@settings(max_examples=200, deadline=None)
def test_the_key_is_found_again_from_its_file_name(key):
    assert key_of(file_name(key)) == key
    assert set(file_name(key).encode()) <= PLAIN | {ord("%")}


@pytest.mark.parametrize("name", ["", "caf%c3%a9", "a b", "%41", "%FF", "a%", "a/b"])
def test_a_name_that_no_key_makes_is_refused(name):
    with pytest.raises(InputError, match="is no file name of a metric key"):
        key_of(name)


def test_a_key_too_long_for_a_file_name_is_refused():
    assert len(file_name("k" * LONGEST)) == LONGEST
    with pytest.raises(InputError, match="makes a file name of 300 characters"):
        file_name("é" * 50)
    with pytest.raises(InputError, match="0 characters"):
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
