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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "wanted a JSON object, found a list"),
        ('{"a": 1}', "its content is not what its checksum says"),
        ("", "Expecting value"),
    ],
)
def test_what_was_not_written_as_a_record_is_none(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_record(tmp_path / "r.json")
