"""A plan is spelt in one way only."""

import json

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.core.plan import Plan


def test_a_plan_comes_back_from_its_canonical_text():
    plan = Plan("cuda:1", "float64", 64, 3)
    assert Plan(**json.loads(plan.canonical())) == plan
    assert Plan(batch_size=2).canonical() == Plan("cpu", batch_size=2).canonical()
    assert Plan(batch_size=2).canonical() != Plan(batch_size=3).canonical()


def test_the_plain_plan_makes_no_choice_for_speed():
    assert Plan("cuda", "float64", 64, 3).plain() == Plan("cuda", "float64", None, 3)


def test_an_unknown_precision_names_the_right_ones():
    with pytest.raises(
        InputError,
        match=r"Unknown precision 'half'; choose one of \['bf16', 'float32', 'float64', 'model',",
    ):
        Plan(precision="half")


def test_a_plan_without_graphs_is_spelt_as_before_there_were_any():
    """The text is part of fingerprints: journals of earlier versions stay known."""
    assert Plan(batch_size=2).canonical() == (
        '{"batch_size": 2, "channels_last": false, "compile": false, "device": "cpu", '
        '"fold": false, "points_at_once": 1, "precision": "float32", "threads": 1}'
    )
    graphed = Plan("cuda", graph=True)
    assert Plan(**json.loads(graphed.canonical())) == graphed
    assert not graphed.plain().graph


def test_tf32_is_refused_where_nothing_multiplies_so():
    with pytest.raises(InputError, match=r"NVIDIA GPU multiplies.*on 'cpu'. Say 'precision: float"):
        Plan(precision="tf32")
    assert Plan("cuda:1", "tf32").plain().precision == "tf32"


def test_graph_is_true_or_false():
    with pytest.raises(InputError, match=r"A plan's graph is 1; wanted true or false"):
        Plan("cuda", graph=1)


@pytest.mark.parametrize("device", ["mps", "xpu", "cuda:", "auto"])
def test_a_plans_device_is_one_that_is_known(device):
    wanted = f"A plan's device is '{device}'; wanted 'cpu', 'cuda' or 'cuda:N'"
    with pytest.raises(InputError, match=wanted):
        Plan(device)
