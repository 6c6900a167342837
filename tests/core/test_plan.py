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
        match=r"Unknown precision 'half'; choose one of \['float32', 'float64', 'model'\]",
    ):
        Plan(precision="half")
