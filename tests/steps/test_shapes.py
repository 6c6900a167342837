"""A record whose checksum fits and whose content is nonsense is refused by its name."""

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.steps.report import read_probe
from landscape_lib.steps.rounds import read_round
from landscape_lib.steps.verdict import read_centre
from landscape_lib.utils.records import write_record
from tests.faults.doors import RECORDS

PROBE = {
    "keys": ["train_loss"],
    "plan": {"device": "cpu"},
    "seconds_per_point": 0.1,
    "problem": {"fingerprint": "f"},
    "labels": {"train_loss": {"long_name": "train loss"}},
}


@pytest.mark.parametrize(
    ("read", "whole", "changed"),
    [
        (read_probe, PROBE, {"keys": []}),
        (read_probe, PROBE, {"seconds_per_point": float("nan")}),
        (read_probe, PROBE, {"plan": []}),
        (read_probe, PROBE, {"keys": ["a\0b"]}),
        (read_probe, PROBE, {"labels": {"train_loss": {"long_name": "a", "units": "\0"}}}),
        (read_probe, PROBE, {"labels": {"train_loss": {"units": 1}}}),
        (read_centre, RECORDS["centre.json"], {"gradient": {"norm": 1.0}}),
        (read_centre, RECORDS["centre.json"], {"format": "another"}),
        (read_centre, RECORDS["centre.json"], {"statistics": {"points": [3]}}),
        (read_round, RECORDS["rounds/0.json"], {"shards": 10**30}),
        (read_round, RECORDS["rounds/0.json"], {"round": {"indices": [-1], "why": ""}}),
    ],
)
def test_a_records_content_is_checked_and_not_its_checksum_alone(tmp_path, read, whole, changed):
    path = tmp_path / "record.json"
    write_record(path, whole)
    read(path)
    write_record(path, {**whole, **changed})
    with pytest.raises(InputError, match=r"record\.json: it is damaged \(.*\)\. Remove it"):
        read(path)
