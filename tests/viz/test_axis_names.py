"""What pictures say of directions, from what the surface's file says of them."""

import json

import pytest
import torch

from landscape_lib.core.direction import Direction, orthogonalize
from landscape_lib.viz.axis_names import axis_name, models_on, step_of


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"kind": "random", "normalize": "filter", "seed": 3}, "random, filter-normalized, seed 3"),
        ({"kind": "target", "model": "b.pt"}, "toward b.pt"),
        ({"kind": "target"}, "toward the other model"),
        (
            {"kind": "target", "model": "b.pt", "align": "permutation", "orthogonal": True},
            "toward b.pt, permutation-aligned, orthogonalized",
        ),
        ({"kind": "file"}, "from a file"),
        (
            {"kind": "pca", "component": 2, "explained_variance_ratio": 0.25, "layers": "fc"},
            "PC 2 (25.0 % of the variance), fc alone",
        ),
        (
            {"kind": "hessian", "eigenvector": 2, "eigenvalue": -12.3456},
            "eigenvector 2, λ\xa0=\xa0−12.3",
        ),
        ({}, ""),
    ],
)
def test_a_step_is_said_in_a_few_words(about, said):
    assert step_of(about) == said


def models_of(directions):
    return models_on([direction.attributes for direction in directions])


def test_models_lie_at_one_and_beside_the_other_axis_by_what_was_taken_out():
    x, y, noise = (
        Direction(("w",), (torch.tensor(w),), {"kind": kind, "model": name})
        for w, kind, name in (
            ([2.0, 0.0], "target", "b"),
            ([1.0, 3.0], "target", "c"),
            ([1.0, 1.0], "random", ""),
        )
    )
    assert models_of([x]) == [("b", [1.0])]
    assert models_of([x, y]) == [("b", [1.0, 0.0]), ("c", [0.0, 1.0])]
    assert models_of([x, orthogonalize(y, to=x)]) == [("b", [1.0, 0.0]), ("c", [0.5, 1.0])]
    assert models_of([orthogonalize(x, to=noise), noise]) == [("b", [1.0, 1.0])]
    assert models_of([noise]) == []
    turned = orthogonalize(y, to=x)
    told = {name: entry for name, entry in turned.attributes.items() if name != "along"}
    assert models_of([Direction(turned.names, turned.tensors, told)]) == []


def test_an_axis_is_called_what_its_direction_is():
    told = json.dumps(
        [
            {"kind": "random", "normalize": "filter", "seed": 3},
            {"kind": "hessian", "eigenvector": 2, "eigenvalue": -12.3456},
        ]
    )
    assert axis_name({"axis_directions": told}, 1) == "β: eigenvector 2, λ\xa0=\xa0−12.3"
    assert axis_name({"axis_directions": told}, 1, short=True) == "eigenvector 2"
    for axes, wanted in (
        ('[{"kind": "unheard of"}, {"kind": "hessian", "eigenvector": 1, "eigenvalue": 7}]', "7"),
        ('[{"kind": "pca"}, {"kind": "random"}]', "direction 2"),
        ("damaged", "direction 2"),
        ("[]", "direction 2"),
        ("[[-1, 1, 3], [0, 1, 2]]", "direction 2"),
    ):
        assert wanted in axis_name({"axis_directions": axes}, 1)
        assert axis_name({"axis_directions": axes}, 0) == "α (direction 1)"
