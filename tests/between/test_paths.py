"""Paths with one bend: where they lead, what training finds, and that it is done once."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_lib import LossLandscape, barrier
from landscape_lib.core.bend import CURVES
from landscape_lib.core.direction import create_random_direction, only_in_layers, orthogonalize
from landscape_lib.core.errors import InputError
from landscape_lib.core.perturbation import excursion
from landscape_lib.core.trajectory import project_snapshots
from landscape_lib.utils.storage import content_hash, load_directions, save_directions

ONES = torch.ones(4, 1)


class Ring(nn.Module):
    """Its squared error to ones is (|w|^2 - 1)^2: zero on the unit circle."""

    def __init__(self, *weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, inputs):
        return inputs * self.weight.square().sum()


def ring():
    return LossLandscape(Ring(1.0, 0.0), (ONES, ONES), nn.MSELoss(), plan="plain")


OTHER = Ring(-1.0, 0.001)


def computed(landscape, curve, steps=11, target=OTHER, **more):
    wishes = {"target_model": target, "save": False, "bend_rate": 0.05, "bend_epochs": 200, **more}
    return landscape.compute_1d("target", (0, 1, steps), curve=curve, **wishes)


def places(model, directions, steps):
    found = []
    with excursion(model, directions) as trip:
        for step in steps:
            trip.move([step])
            found.append([p.detach().clone() for p in model.state_dict().values()])
    return found


@pytest.mark.parametrize(("curve", "most"), [("bezier", 0.1), ("chain", 0.35)])
def test_a_trained_path_goes_round_the_ring_where_the_line_goes_through_it(curve, most):
    landscape = ring()
    line = computed(landscape, "none")
    assert barrier(line["xcoordinates"], line["losses"]).over_line > 0.99
    path = computed(landscape, curve)
    assert 0 < barrier(path["xcoordinates"], path["losses"]).over_line < most
    np.testing.assert_allclose(path["losses"][[0, -1]], line["losses"][[0, -1]], atol=0)


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_a_path_ends_at_both_models_to_the_bit_and_passes_its_bend(curve):
    landscape = ring()
    computed(landscape, curve, bend_epochs=20)
    (direction,) = landscape.directions
    theta = landscape.net.weight.detach() + direction.bend[0].float()
    first, half, last = places(landscape.net, landscape.directions, [0, 0.5, 1])
    assert torch.equal(first[0], torch.tensor([1.0, 0.0]))
    assert torch.equal(last[0], OTHER.weight.detach())
    middle = theta if curve == "chain" else (first[0] + 2 * theta + last[0]) / 4
    torch.testing.assert_close(half[0], middle)
    assert torch.equal(landscape.net.weight.detach(), first[0])


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_a_path_with_its_bend_half_way_is_the_straight_line(curve):
    landscape = ring()
    steps = np.linspace(-0.25, 1.25, 7)
    computed(landscape, "none")
    straight = places(landscape.net, landscape.directions, steps)
    computed(landscape, curve, bend_epochs=0)
    for one, other in zip(
        places(landscape.net, landscape.directions, steps), straight, strict=True
    ):
        torch.testing.assert_close(one[0], other[0])


def test_one_seed_gives_one_path_and_another_seed_another():
    hashes = []
    for seed in (0, 0, 1):
        landscape = ring()
        computed(landscape, "bezier", bend_epochs=20, bend_seed=seed)
        hashes.append(content_hash(landscape.directions))
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_file_keeps_the_bend_and_the_hash_knows_it(tmp_path):
    landscape = ring()
    computed(landscape, "chain", bend_epochs=20)
    (direction,) = landscape.directions
    save_directions(tmp_path / "directions.h5", [direction])
    (found,) = load_directions(tmp_path / "directions.h5")
    assert torch.equal(found.bend[0], direction.bend[0])
    assert found.attributes["curve"] == "chain"
    assert content_hash([found]) == content_hash([direction])
    computed(landscape, "bezier", bend_epochs=0)
    bezier = content_hash(landscape.directions)
    computed(landscape, "chain", bend_epochs=0)
    assert len({content_hash([direction]), bezier, content_hash(landscape.directions)}) == 3


def test_a_bend_is_trained_once(tmp_path, monkeypatch):
    landscape = ring()
    landscape.surf_file = str(tmp_path / "path.h5")
    first = computed(landscape, "bezier", save=True, bend_epochs=20)
    monkeypatch.setattr(torch.optim, "Adam", None)  # calling it would fail
    again = computed(landscape, "bezier", save=True, bend_epochs=20, steps=21)
    np.testing.assert_array_equal(again["losses"][::2], first["losses"])
    with pytest.raises(TypeError):
        computed(landscape, "bezier", save=True, bend_epochs=21)


def test_statistics_follow_the_path_evenly():
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)) for _ in range(2)]
    inputs = torch.randn(40, 2)
    for number, net in enumerate(nets):
        net[1].running_var.fill_(1.0 + number)
        net.eval()
    landscape = LossLandscape(nets[0], (inputs, inputs[:, :1].gt(0).long().flatten()), plan="plain")
    wishes = {"dir_type": "states", "bend_epochs": 3}
    computed(landscape, "bezier", 3, nets[1], **wishes)
    with excursion(nets[0], landscape.directions) as trip:
        trip.move([0.25])
        torch.testing.assert_close(nets[0][1].running_var, torch.full((3,), 1.25))
        assert not torch.allclose(nets[0][0].weight, nets[1][0].weight, atol=0.1)


def test_norms_that_are_estimated_anew_are_trained_with_their_batches_own():
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)) for _ in range(2)]
    inputs = torch.randn(40, 2)
    data = (inputs, inputs[:, :1].gt(0).long().flatten())
    bends = []
    for way in ("frozen", "reestimated"):
        landscape = LossLandscape(nets[0], data, plan="plain", batch_norm=way)
        before = {name: entry.clone() for name, entry in nets[0].state_dict().items()}
        computed(landscape, "bezier", 3, nets[1], bend_epochs=3)
        bends.append(landscape.directions[0].bend[0])
        after = nets[0].state_dict()
        assert all(torch.equal(after[name], entry) for name, entry in before.items())
    assert not torch.equal(*bends)


def test_what_needs_a_straight_direction_refuses_a_path():
    landscape = ring()
    computed(landscape, "chain", bend_epochs=0)
    (path,) = landscape.directions
    other = create_random_direction(landscape.net, seed=0, ignore="none")
    for wish in (
        lambda: orthogonalize(other, to=path),
        lambda: only_in_layers(path, ["weight"]),
        lambda: project_snapshots(landscape.net, [path], {"a": OTHER.state_dict()}, "way"),
        lambda: computed(landscape, "chain", layers="weight"),
    ):
        with pytest.raises(InputError, match="A path with a bend cannot"):
            wish()


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"curve": "spline"}, "curve is 'spline'; wanted 'none', 'bezier', 'chain'"),
        ({"curve": "chain", "bend_rate": 0}, "bend_rate is 0; wanted a number above 0"),
        ({"curve": "chain", "bend_epochs": -1}, "bend_epochs is -1; wanted a whole number from 0"),
        ({"curve": "chain", "bend_rate": 1e30}, "training diverged"),
    ],
)
def test_what_makes_no_path_is_refused(wish, told):
    with pytest.raises(InputError, match=told):
        computed(ring(), **wish)


def test_a_loss_without_a_derivative_makes_no_path():
    landscape = LossLandscape(Ring(1.0, 0.0), (ONES, ONES), lambda net, data, cuda: {"mse": 0.0})
    with pytest.raises(InputError, match="curve: chain: the metrics are a function that runs its"):
        computed(landscape, "chain")


def test_a_recurrent_networks_path_is_trained():
    torch.manual_seed(0)

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.memory = nn.GRU(2, 3, batch_first=True)
            self.head = nn.Linear(3, 2)

        def forward(self, inputs):
            return self.head(self.memory(inputs)[0][:, -1])

    inputs = torch.randn(24, 4, 2)
    landscape = LossLandscape(Last(), (inputs, inputs[:, -1, 0].gt(0).long()), plan="plain")
    line = computed(landscape, "none", 5, Last())["losses"]
    path = computed(landscape, "bezier", 5, Last(), bend_epochs=10)["losses"]
    assert path[2] < line[2]


def test_a_path_to_no_model_is_refused():
    with pytest.raises(InputError, match="curve is 'chain', but there is no other model"):
        ring().compute_1d(curve="chain")


def test_a_verdict_says_that_a_path_has_no_curvature(tmp_path):
    landscape = ring()
    landscape.surf_file = str(tmp_path / "path.h5")
    computed(landscape, "bezier", save=True, bend_epochs=20)
    checks = {check["id"]: check for check in landscape.verdict()["checks"]}
    assert "a path with a bend" in checks["curvature"]["found"]
    assert "A path was trained" in checks["models"]["why"]
