"""A shard is evaluated on what was probed, along what was drawn for it."""

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import evaluate_shard
from landscape_lib.steps.probe import probe
from landscape_lib.utils.signals import stops
from landscape_lib.utils.storage import load_shard


def evaluated(run):
    probe(run, run.path("probe.json"))
    with stops() as listener:
        evaluate_shard(run, 0, 1, run.path("shards", "0-of-1.h5"), listener)
    return load_shard(run.path("shards", "0-of-1.h5"))


def test_directions_that_were_made_for_other_weights_are_refused_trap_14(run):
    here = run()
    make_directions(here, here.path("directions.h5"))
    assert evaluated(here).indices.tolist() == [0, 1, 2, 3, 4, 5]
    elsewhere = run(args={"shift": 0.5})
    with pytest.raises(
        InputError, match=r"directions\.h5: these directions were made for other weights"
    ):
        evaluated(elsewhere)
    make_directions(elsewhere, elsewhere.path("directions.h5"))
    evaluated(elsewhere)
