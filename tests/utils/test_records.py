"""JSON that a later step reads is what an earlier one wrote, or is refused."""

import json
import random

import pytest

from landscape_lib.utils.records import read_record, write_record

FOUND = {
    "keys": ["loss", "ü"],
    "centre": {"loss": 0.1 + 0.2, "bad": float("nan")},
    "plan": {"n": 64},
}


def test_every_number_comes_back_bit_for_bit_and_without_the_checksum(tmp_path):
    write_record(tmp_path / "r.json", FOUND)
    assert json.dumps(read_record(tmp_path / "r.json")) == json.dumps(FOUND)


def test_any_flipped_bit_is_found_or_changes_nothing_that_was_said(tmp_path):
    path, draw = tmp_path / "r.json", random.Random(0)
    write_record(path, FOUND)
    content = path.read_bytes()
    refused = 0
    for _ in range(400):
        place = draw.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
        path.write_bytes(content[:place] + flipped + content[place + 1 :])
        try:
            found = read_record(path)
        except ValueError:
            refused += 1
        else:
            assert {name: json.dumps(found.get(name)) for name in FOUND} == {
                name: json.dumps(told) for name, told in FOUND.items()
            }
    assert refused > 300


def test_a_file_without_a_checksum_is_taken_as_it_is_and_a_list_is_no_record(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('{"a": 1}')
    assert read_record(path) == {"a": 1}
    path.write_text("[1]")
    with pytest.raises(ValueError, match="wanted a JSON object, found a list"):
        read_record(path)
