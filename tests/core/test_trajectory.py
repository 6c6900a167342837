"""The plane in which a training walked is found, and its way in any plane, piece by piece."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape_lib.core import trajectory
from landscape_lib.core.direction import Direction, cosine
from landscape_lib.core.errors import InputError
from landscape_lib.core.trajectory import create_pca_directions, project_snapshots
from tests import reference

PLACES = [(2.0, 1.0), (0.5, 3.0), (-1.0, 0.25), (4.0, 0.0), (0.0, 0.0)]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()


def noise(net, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(p.shape, generator=generator).double() for p in net.parameters()]
    return Direction(tuple(name for name, _ in net.named_parameters()), tuple(tensors))


def slanted(net):
    """Two directions, neither of length 1, at an angle of some 20 degrees."""
    one, other = noise(net, 1), noise(net, 2)
    mixed = tuple(3 * a + b for a, b in zip(one, other, strict=True))
    return one, Direction(one.names, mixed)


def walked(net, directions, places):
    """State_dicts at w0 + a d1 + b d2."""
    found = {}
    for number, steps in enumerate(places):
        state = {name: entry.clone() for name, entry in net.state_dict().items()}
        for step, direction in zip(steps, directions, strict=True):
            for name, tensor in zip(direction.names, direction, strict=True):
                state[name] += step * tensor
        found[f"{number}.pt"] = state
    return found


def flat(direction):
    return torch.cat([tensor.detach().reshape(-1) for tensor in direction]).double().numpy()


def test_the_coordinates_of_directions_of_any_length_and_angle_come_back_trap_15(net):
    directions = slanted(net)
    assert cosine(*directions) > 0.9
    way = project_snapshots(net, directions, walked(net, directions, PLACES), "sgd")
    np.testing.assert_allclose(np.stack([way.alpha, way.beta], axis=1), PLACES, atol=1e-12)
    np.testing.assert_allclose(way.distance, 0, atol=1e-12)
    lengths = [np.linalg.norm(a * flat(directions[0]) + b * flat(directions[1])) for a, b in PLACES]
    np.testing.assert_allclose(way.length, lengths, atol=1e-12)
    assert (way.name, way.labels) == ("sgd", ("0.pt", "1.pt", "2.pt", "3.pt", "4.pt"))
    assert way.in_plane == pytest.approx(1)


def test_what_lies_off_the_plane_is_told_as_a_distance(net):
    """w0 + 2 d1 + 1 d2 + 3 e, with e a unit vector at right angles to both, is 3 away from it."""
    one, two = slanted(net)
    basis = np.linalg.qr(np.stack([flat(one), flat(two), flat(noise(net, 3))], axis=1))[0]
    across = Direction(one.names, tuple(noise(net, 3)))
    rest = torch.from_numpy(3 * basis[:, 2])
    tensors = rest.split([tensor.numel() for tensor in across])
    off = Direction(
        one.names, tuple(t.reshape(o.shape) for t, o in zip(tensors, across, strict=True))
    )
    way = project_snapshots(net, [one, two], walked(net, [one, two, off], [(2, 1, 1)]))
    np.testing.assert_allclose([way.alpha, way.beta, way.distance], [[2], [1], [3]], rtol=1e-12)
    assert way.in_plane == pytest.approx(1 - 9 / way.length[0] ** 2)


def test_along_one_direction_there_is_one_coordinate(net):
    (one, _) = slanted(net)
    way = project_snapshots(net, [one], walked(net, [one], [(2.0,), (-0.5,)]))
    np.testing.assert_allclose(way.alpha, [2, -0.5], rtol=1e-12)
    assert not way.beta.any()


def test_a_plane_that_is_known_is_found_whole(net):
    directions = slanted(net)
    states = walked(net, directions, PLACES)
    x, y = create_pca_directions(net, states)
    ratios = [d.attributes["explained_variance_ratio"] for d in (x, y)]
    assert sum(ratios) == pytest.approx(1, abs=1e-12)
    assert ratios[0] > ratios[1] > 0
    np.testing.assert_allclose([flat(x) @ flat(x), flat(y) @ flat(y)], 1, rtol=1e-12)
    assert abs(cosine(x, y)) < 1e-12
    assert all(d[np.abs(d).argmax()] > 0 for d in (flat(x), flat(y)))
    way = project_snapshots(net, [x, y], states)
    np.testing.assert_allclose(way.distance, 0, atol=1e-12)
    np.testing.assert_allclose(np.hypot(way.alpha, way.beta), way.length, atol=1e-12)
    (alone,) = create_pca_directions(net, states, count=1)
    np.testing.assert_allclose(flat(alone), flat(x), atol=1e-12)


@given(count=st.integers(3, 9), entries=st.integers(2, 40), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_in_pieces_it_is_the_dense_singular_value_decomposition_trap_15(count, entries, seed):
    """Snapshots around the final weights, not around their mean (trap 15)."""
    torch.manual_seed(seed)
    net = nn.Linear(6, 5).double()
    states = {
        f"{k}": {n: torch.randn_like(t) for n, t in net.state_dict().items()} for k in range(count)
    }
    rows = np.stack([flat(list(s.values())) for s in states.values()]) - flat(
        list(net.parameters())
    )
    _, lengths, wanted = np.linalg.svd(rows, full_matrices=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trajectory, "ENTRIES", entries)  # of 35: blocks of every size
        blocks = [
            block for _, _, block in trajectory._displacements(dict(net.named_parameters()), states)
        ]
        assert all(block.numel() <= max(entries, count) for block in blocks)
        found = create_pca_directions(net, states)
        way = project_snapshots(net, found, states)
    for direction, row, length in zip(found, wanted, lengths, strict=False):
        sign = np.sign(row[np.abs(row).argmax()])
        np.testing.assert_allclose(flat(direction), sign * row, atol=1e-7)
        ratio = direction.attributes["explained_variance_ratio"]
        assert ratio == pytest.approx(length**2 / (lengths**2).sum(), rel=1e-10)
    total = sum(d.attributes["explained_variance_ratio"] for d in found)
    assert way.in_plane == pytest.approx(total, rel=1e-9)


def test_the_originals_coordinates_are_found():
    told = reference.digits_values("trajectory")
    net = reference.digits_model()
    shapes = [parameter.shape for parameter in net.parameters()]
    names = [name for name, _ in net.named_parameters()]

    def cut(row):
        parts = torch.from_numpy(row).split([shape.numel() for shape in shapes])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    start = net.double().state_dict()
    states = {
        f"{k}": {name: start[name] + d for name, d in zip(names, cut(row), strict=True)}
        for k, row in enumerate(told["displacements"])
    }
    plane = [Direction(tuple(names), tuple(cut(row))) for row in told["components"]]
    way = project_snapshots(net, plane, states)
    wanted = told["projection_lstsq"]
    found = np.stack([way.alpha, way.beta], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    _, lengths, _ = np.linalg.svd(told["displacements"].astype(float), full_matrices=False)
    ratio = create_pca_directions(net, states)[0].attributes["explained_variance_ratio"]
    assert ratio == pytest.approx(lengths[0] ** 2 / (lengths**2).sum(), rel=1e-6)


def test_running_statistics_walk_with_states_alone(net):
    states = walked(net, slanted(net), PLACES[:2])
    states["0.pt"]["1.running_mean"] += 100
    x, _ = create_pca_directions(net, states, dir_type="states")
    assert "1.running_mean" in x.names
    assert x[x.names.index("1.running_mean")].norm() == pytest.approx(1, abs=0.1)
    assert "1.running_mean" not in create_pca_directions(net, states)[0].names


def test_models_are_snapshots_too_and_none_of_them_changes(net):
    other = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    before = {name: entry.clone() for name, entry in other.state_dict().items()}
    (x,) = create_pca_directions(net, {"other": other}, count=1)
    assert all(torch.equal(before[name], entry) for name, entry in other.state_dict().items())
    assert x[0].dtype == torch.float64  # that of the model's weights
    way = project_snapshots(net, [x], {"other": other})
    assert abs(way.alpha[0]) == pytest.approx(way.length[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("2.bias"), r"0\.pt: it has nothing for '2\.bias'; the model has shape"),
        (
            lambda s: s.update({"2.bias": torch.zeros(2)}),
            r"0\.pt: it has shape \(2,\) for '2\.bias",
        ),
        (lambda s: s["0.weight"].fill_(np.nan), r"0\.pt: '0\.weight' holds NaN or infinity"),
        (lambda s: s["0.weight"].fill_(np.inf), r"0\.pt: '0\.weight' holds NaN or infinity"),
    ],
)
def test_a_snapshot_of_another_network_or_of_one_that_diverged_is_refused(net, change, message):
    states = walked(net, slanted(net), PLACES)
    change(states["0.pt"])
    with pytest.raises(InputError, match=message):
        create_pca_directions(net, states)
    with pytest.raises(InputError, match=message):
        project_snapshots(net, slanted(net), states)


@pytest.mark.parametrize("places", [[], [(0, 0)], [(1, 0), (2, 0), (-3, 0)]], ids=len)
def test_snapshots_that_span_no_plane_are_refused(net, places):
    rank = min(1, len([place for place in places if any(place)]))
    told = f"Found {len(places)} checkpoints that span {rank} dimensions .*; wanted 2 components"
    with pytest.raises(InputError, match=told):
        create_pca_directions(net, walked(net, slanted(net), places))


def test_directions_that_span_no_plane_are_refused(net):
    one = noise(net, 1)
    twice = Direction(one.names, tuple(2 * tensor for tensor in one))
    still = Direction(one.names, tuple(0 * tensor for tensor in one))
    states = walked(net, [one], [(1,)])
    with pytest.raises(InputError, match="The two directions are parallel"):
        project_snapshots(net, [one, twice], states)
    with pytest.raises(InputError, match="Direction 2 is zero everywhere"):
        project_snapshots(net, [one, still], states)
