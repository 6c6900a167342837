"""Whole landscapes get the right lines, checked against values that are computed another way."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_lib.config import VerdictSettings
from landscape_lib.core.direction import (
    create_random_direction,
    create_target_direction,
    orthogonalize,
)
from tests.verdict.conftest import blobs, trained

DATA = blobs()


def cross_entropy(outputs, targets):
    return float(functional.cross_entropy(outputs.detach(), targets))


def moved(model, directions, steps):
    """Return the parameters of a model some steps away, by name."""
    weights = dict(model.named_parameters())
    names = directions[0].names
    return {
        name: weights[name].detach() + sum(s * d[k] for s, d in zip(steps, directions, strict=True))
        for k, name in enumerate(names)
    }


def loss_at(model, directions, steps, data=DATA):
    outputs = torch.func.functional_call(model, moved(model, directions, steps), (data[0],))
    return cross_entropy(outputs, data[1])


def plane_derivatives(model, directions, data=DATA):
    """Gradient and Hessian in the plane, by torch's own functions of two numbers."""
    weights = {name: w.detach() for name, w in model.named_parameters()}

    def of(steps):
        here = {
            name: weights[name] + sum(steps[n] * d[k].double() for n, d in enumerate(directions))
            for k, name in enumerate(weights)
        }
        return functional.cross_entropy(
            torch.func.functional_call(model, here, (data[0],)), data[1]
        )

    zero = torch.zeros(len(directions), dtype=torch.float64)
    return (
        torch.autograd.functional.jacobian(of, zero).numpy(),
        torch.autograd.functional.hessian(of, zero).numpy(),
    )


def random_plane(model):
    return [create_random_direction(model, seed=0, axis=axis) for axis in (0, 1)]


def test_a_trained_net_at_its_minimum(judged):
    model = trained(DATA, decay=1e-4)
    directions = random_plane(model)
    # finer than most grids: so near, second differences are curvature
    found = judged(model, DATA, directions=directions, x=(-0.2, 0.2, 21), y=(-0.2, 0.2, 17))
    assert found.state("centre") == "good"
    assert found.state("minimum") == "good"
    assert found.state("gradient") == "good"
    assert found.state("curvature") == "good"
    assert found.state("finite") == "good"
    assert found.state("norms") == "good"
    assert "models" not in found.checks
    gradient, hessian = plane_derivatives(model, directions)
    np.testing.assert_allclose(found.centre["gradient"]["along"], gradient, rtol=1e-8)
    np.testing.assert_allclose(found.centre["curvature"]["plane"], hessian, rtol=1e-8)
    assert found.numbers["curvature along x"] == pytest.approx(hessian[0, 0])
    assert found.numbers["second difference along x"] == pytest.approx(hessian[0, 0], rel=0.05)
    losses = functional.cross_entropy(model(DATA[0]), DATA[1], reduction="none").detach()
    error = float(losses.std() / len(losses) ** 0.5)
    assert found.numbers["standard error of the loss"] == pytest.approx(error)


def of_all_weights(model, data=DATA):
    """The loss as a function of one vector of all parameters, and where that is now."""
    names, weights = zip(*model.named_parameters(), strict=True)

    def of(flat):
        parts = flat.split([w.numel() for w in weights])
        here = {n: p.view(w.shape) for n, p, w in zip(names, parts, weights, strict=True)}
        return functional.cross_entropy(
            torch.func.functional_call(model, here, (data[0],)), data[1]
        )

    return of, torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def test_the_spectrum_is_that_of_the_dense_hessian(judged):
    model = trained(DATA, decay=1e-4)
    found = judged(model, DATA, x=(-1, 1, 3), y=None)
    of, start = of_all_weights(model)
    hessian = torch.autograd.functional.hessian(of, start)
    wanted = torch.linalg.eigvalsh(hessian).flip(0)[:3]
    np.testing.assert_allclose(found.centre["eigenvalues"]["values"], wanted, rtol=1e-8)
    assert found.numbers["Hessian trace"] == pytest.approx(float(hessian.trace()))
    gradient = torch.autograd.functional.jacobian(of, start)
    assert found.numbers["gradient norm"] == pytest.approx(float(gradient.norm()), rel=1e-6)
    along = gradient / gradient.norm()
    gain = gradient.square().sum() / (2 * along @ hessian @ along)
    assert f"by about {float(gain):.3g}" in found.found("gradient")


def test_convexity_over_the_plane_is_that_of_dense_hessians_at_its_points(judged):
    model = trained(DATA, decay=1e-4)
    directions = random_plane(model)
    x, y = (-1, 1, 3), (0, 1, 2)
    found = judged(model, DATA, directions=directions, x=x, y=y, curvature=True)
    ratios = []
    for i, j in np.ndindex(3, 2):
        point = [(-1.0, 0.0, 1.0)[i], (0.0, 1.0)[j]]
        here = copy.deepcopy(model)
        here.load_state_dict(moved(model, directions, point))
        low, high = np.linalg.eigvalsh(torch.autograd.functional.hessian(*of_all_weights(here)))[
            [0, -1]
        ]
        assert found.surface["hessian_min"][i, j] == pytest.approx(low, rel=1e-3, abs=1e-4 * high)
        assert found.surface["hessian_max"][i, j] == pytest.approx(high, rel=1e-3)
        assert found.surface["hessian_ratio"][i, j] == pytest.approx(
            abs(found.surface["hessian_min"][i, j] / found.surface["hessian_max"][i, j])
        )
        ratios.append(max(0.0, -low / high))
    assert found.numbers["largest negative curvature"] == pytest.approx(max(ratios), rel=1e-2)
    assert found.numbers["convexity share"] == np.mean(np.array(ratios) <= 0.01)


def test_curvature_is_no_loss_and_is_told_only_where_it_is_measured(judged):
    model = trained(DATA, decay=1e-4)
    found = judged(model, DATA, x=(-1, 1, 3), y=None, curvature=20)
    assert found.evidence.loss_keys == ("train_loss",)
    assert "hessian" not in found.found("minimum")
    without = judged(model, DATA, x=(-1, 1, 3), y=None)
    assert "convexity share" in found.numbers
    assert "convexity share" not in without.numbers


def test_a_trained_net_on_data_that_it_does_not_fit(judged):
    model, data = trained(DATA, decay=1e-4), blobs(seed=5, apart=-1.0)
    directions = random_plane(model)
    found = judged(model, data, directions=directions)
    assert found.state("minimum") == "warning"
    assert found.state("gradient") == "warning"
    assert found.state("range") == "unknown"  # a guess is better than this model
    values = {
        (a, b): loss_at(model, directions, (a, b), data)
        for a in found.evidence.steps[0]
        for b in found.evidence.steps[1]
    }
    place = min(values, key=values.get)
    below = values[0.0, 0.0] - values[place]
    assert f"lowest at ({place[0]:.4g}, {place[1]:.4g})" in found.found("minimum")
    assert f"{below:.3g} below" in found.found("minimum")
    outputs = [
        torch.func.functional_call(model, moved(model, directions, p), (data[0],))
        for p in (place, (0, 0))
    ]
    each = [functional.cross_entropy(o, data[1], reduction="none").detach() for o in outputs]
    ratio = float((each[1] - each[0]).mean() / (each[1] - each[0]).std() * len(data[1]) ** 0.5)
    assert f"That is {ratio:.3g} standard errors" in found.found("minimum")
    gradient, _ = plane_derivatives(model, directions, data)
    assert f"{gradient[1]:.3g} along y" in found.found("gradient")


def test_a_line_to_another_model(judged):
    model, other = trained(DATA, decay=1e-4), trained(DATA, seed=7, decay=1e-4)
    towards = [create_target_direction(model, other)]
    found = judged(model, DATA, directions=towards, x=(-0.25, 1.25, 31), y=None)
    assert "minimum" not in found.checks
    assert "range" not in found.checks
    assert "axes" not in found.checks
    assert found.state("models") == "note"
    t = np.linspace(0, 1, 21)
    path = np.array([loss_at(model, towards, [step]) for step in t])
    above = path - ((1 - t) * path[0] + t * path[-1])
    assert found.numbers["barrier along x"] == pytest.approx(above.max())
    over_mean = path.max() - (path[0] + path[-1]) / 2
    assert found.numbers["barrier over the mean along x"] == pytest.approx(over_mean)
    own = cross_entropy(other(DATA[0]), DATA[1])
    assert path[-1] == pytest.approx(own)
    assert f"{own:.3g} at 1, the other" in found.found("models")


def test_a_line_without_a_barrier(judged):
    torch.manual_seed(0)
    model, other = nn.Linear(2, 3).double(), nn.Linear(2, 3).double()  # convex: no barrier
    found = judged(
        model, DATA, directions=[create_target_direction(model, other)], x=(0, 1, 11), y=None
    )
    assert found.state("models") == "good"
    assert "nowhere lies above" in found.found("models")


def test_a_line_that_misses_the_other_model(judged):
    model, other = trained(DATA), trained(DATA, seed=7)
    towards = [create_target_direction(model, other)]
    found = judged(model, DATA, directions=towards, x=(0, 0.9, 10), y=None)
    assert found.state("models") == "unknown"
    assert found.numbers["barrier along x"] is None


def test_a_plane_through_two_other_models(judged):
    model, *others = (trained(DATA, seed=seed, decay=1e-4) for seed in (0, 7, 8))
    directions = [create_target_direction(model, other) for other in others]
    found = judged(model, DATA, directions=directions, x=(0, 1, 9), y=(-0.5, 1, 13))
    assert "minimum" not in found.checks
    flat = [torch.cat([t.flatten() for t in d]) for d in directions]
    cosine = float(flat[0] @ flat[1] / flat[0].norm() / flat[1].norm())
    assert abs(cosine) > 0.1
    assert found.numbers["cosine between the axes"] == pytest.approx(cosine)
    assert found.state("axes") == ("note" if abs(cosine) <= 0.5 else "warning")
    assert "not orthogonal by themselves" in found.found("axes")
    for name, axis in (("x", 0), ("y", 1)):
        t = np.linspace(0, 1, 9)
        steps = [(step, 0) if axis == 0 else (0, step) for step in t]
        path = np.array([loss_at(model, directions, step) for step in steps])
        above = path - ((1 - t) * path[0] + t * path[-1])
        assert found.numbers[f"barrier along {name}"] == pytest.approx(above.max())


class Scaled(nn.Module):
    """A deep line of linear layers, each with a batch norm that keeps it in scale."""

    def __init__(self):
        super().__init__()
        layers = []
        for size in (2, *[12] * 7):
            layers += [nn.Linear(size, 12, bias=False), nn.BatchNorm1d(12, affine=False), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(12, 3)

    def forward(self, inputs):
        return self.head(self.body(inputs))


def test_a_net_in_which_batch_norm_dominates(judged):
    torch.manual_seed(0)
    model = Scaled().double()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(model(DATA[0]), DATA[1]).backward()
        optimizer.step()
    model.eval()
    directions = random_plane(model)
    found = judged(model, DATA, directions=directions, x=(-2, 2, 9), y=(-2, 2, 5))
    assert found.state("norms") == "warning"
    assert found.found("norms").startswith("8 batch norms; their running statistics stand still.")
    told = found.centre["statistics"]["points"]
    assert [point["point"] for point in told] == [[0, 0], [1, 0], [0, 1]]
    for point in told:
        assert point["fixed"] == pytest.approx(loss_at(model, directions, point["point"]))
        fresh = loss_at(copy.deepcopy(model).train(), directions, point["point"])
        assert point["fresh"] == pytest.approx(fresh, rel=1e-6)


def test_a_target_with_batch_norms_is_not_that_model_unless_states_move(judged):
    model, other = trained(DATA, norm=True), trained(DATA, seed=7, norm=True)
    with torch.no_grad():  # as training leaves them
        for net in (model, other):
            hidden = net[0](DATA[0])
            net[1].running_mean.copy_(hidden.mean(0))
            net[1].running_var.copy_(hidden.var(0))
    own = cross_entropy(other(DATA[0]), DATA[1])
    ends = {}
    for dir_type in ("weights", "states"):
        towards = [create_target_direction(model, other, dir_type)]
        found = judged(model, DATA, directions=towards, x=(0, 1, 5), y=None)
        ends[dir_type] = float(found.surface["train_loss"][-1]), found.found("norms")
    assert found.found("norms").startswith("1 batch norms; their running statistics move")
    assert ends["states"][0] == pytest.approx(own)
    assert ends["weights"][0] != pytest.approx(own, rel=0.01)
    assert "what is at 1 is not that model" in ends["weights"][1]
    assert "what is at 1 is not that model" not in ends["states"][1]
    assert "move running statistics" in found.centre["curvature"]["unknown"]
    assert found.state("curvature") == "unknown"


def test_a_range_ten_times_too_wide(judged):
    model = trained(DATA, decay=1e-4)
    directions = random_plane(model)
    found = judged(model, DATA, directions=directions, x=(-10, 10, 21), y=(-10, 10, 17))
    assert found.state("range") == "warning"
    assert found.found("range").count("the range is too wide") == 2
    suggested = found.verdict["suggested_range"]
    for axis, name in enumerate("xy"):
        steps = np.linspace(0, 4, 2001)
        reaches = []
        for sign in (-1, 1):
            path = [
                loss_at(model, directions, [sign * s * (axis == k) for k in (0, 1)]) for s in steps
            ]
            reaches.append(steps[np.flatnonzero(np.array(path) >= math.log(3))[0]])
        low, high = suggested[name]
        assert low == -high
        assert 0.7 * max(reaches) < high < 2.5 * max(reaches)
    again = judged(
        model, DATA, directions=directions,
        x=(*suggested["x"], 21), y=(*suggested["y"], 17),
    )  # fmt: skip
    assert again.state("range") == "good"
    assert again.state("curvature") == "good" or again.state("curvature") == "note"


def test_a_range_that_is_too_narrow(judged):
    model = trained(DATA, decay=1e-4)
    found = judged(model, DATA, x=(-0.01, 0.01, 9), y=(-0.02, 0.02, 11))
    assert found.state("range") == "warning"
    assert found.found("range").count("too narrow") == 2
    assert found.verdict["suggested_range"]["x"][1] == pytest.approx(1.25 * 4 * 0.01)


def test_noise_of_the_evaluation_is_rough_and_more_than_sampling_error(judged):
    class Rough(nn.Module):
        """Every sample's loss has the same ripple along the weights, narrower than the grid."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

        def forward(self, inputs):
            ripple = torch.sin(1e5 * self.weight.square().sum())
            return (inputs * 0.01 + self.weight.square().sum() + 0.5 * ripple)[:, 0]

    data = (torch.randn(50, 1, generator=torch.Generator().manual_seed(0)), torch.zeros(50))
    loss = {"height": lambda outputs, targets: outputs}
    directions = [
        create_random_direction(Rough(), ignore="none", norm="dlayer", seed=s) for s in (1,)
    ]
    found = judged(Rough(), data, loss, directions=directions, x=(-1, 1, 41), y=None)
    assert found.state("roughness") == "note"
    assert "the bumps are the network's" in found.found("roughness")


def test_a_function_with_its_own_loop_is_judged_by_its_surface_alone(judged):
    def metrics(net, loader, use_cuda):
        with torch.no_grad():
            pairs = [functional.cross_entropy(net(x), t) * len(t) for x, t in loader]
        return {"ce": float(sum(pairs)) / 120}

    model = trained(DATA, decay=1e-4)
    found = judged(model, DATA, metrics)
    for check in ("gradient", "curvature", "range"):
        assert found.state(check) == "unknown"
        assert "a function that runs its own loop" in found.found(check)
    assert found.state("centre") == "good"
    assert found.state("minimum") == "good"
    assert found.numbers["Hessian trace"] is None
    assert found.numbers["second difference along x"] is not None
    assert found.numbers["sharpness within 0.5 steps"] is not None


def test_a_metric_without_derivatives_beside_one_with_them(judged):
    metrics = {
        "wrong": lambda outputs, targets: (outputs.argmax(1) != targets).double(),
        "ce": nn.CrossEntropyLoss(),
    }
    found = judged(trained(DATA, decay=1e-4), DATA, metrics, x=(-1, 1, 5), y=None)
    assert found.centre["loss"] == "train_loss_ce"
    assert found.state("gradient") == "good"


def test_a_detached_metric_has_an_unknown_gradient_and_never_fails(judged):
    metrics = {"own": lambda o, t: functional.cross_entropy(o.detach(), t, reduction="none")}
    found = judged(trained(DATA, decay=1e-4), DATA, metrics)
    assert found.state("gradient") == "unknown"
    assert "through autograd" in found.found("gradient")
    assert found.numbers["standard error of the loss"] is not None
    assert found.state("range") == "good"


def test_a_gradient_that_is_not_that_of_the_values_is_found_out(judged):
    """Half the loss is detached: derivatives say half of what differences say."""

    def half(outputs, targets):
        each = functional.cross_entropy(outputs, targets, reduction="none")
        return 0.2 * each + 0.8 * each.detach()

    found = judged(
        trained(DATA, decay=1e-4), DATA, {"own": half}, x=(-0.2, 0.2, 21), y=(-0.2, 0.2, 17)
    )
    assert found.state("curvature") == "warning"


def test_what_is_asked_for_is_measured_and_what_is_not_is_not(judged):
    model = trained(DATA, decay=1e-4)
    wishes = VerdictSettings(eigenvalues=0, trace=False, samples=50)
    found = judged(model, DATA, x=(-1, 1, 5), y=None, wishes=wishes)
    assert found.numbers["Hessian trace"] is None
    assert found.numbers["Hessian eigenvalue 1"] is None
    assert found.centre["gradient"]["samples"] == 50
    assert "on 50 of 120 samples" in found.found("gradient")
    asked = VerdictSettings(eigenvalues=5, trace=True)
    found = judged(model, DATA, x=(-1, 1, 5), y=None, wishes=asked)
    assert found.numbers["Hessian eigenvalue 5"] is not None


def test_the_same_landscape_has_the_same_verdict_to_the_last_byte(judged):
    from landscape_lib.verdict.judge import as_json

    texts = {as_json(judged(trained(DATA), DATA, x=(-1, 1, 9), y=(0, 1, 4)).verdict) for _ in "ab"}
    assert len(texts) == 1


def test_nothing_of_the_model_changes(judged):
    model = trained(DATA, norm=True).double()
    model[0].weight.requires_grad_(False)
    model.train()
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    judged(model, DATA, x=(-1, 1, 9), y=(-1, 1, 5))
    assert all(torch.equal(before[name], entry) for name, entry in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not model[0].weight.requires_grad


def test_bumps_that_differ_from_sample_to_sample_are_sampling_error(judged):
    class Rough(nn.Module):
        """Every sample's loss has a ripple of its own."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

        def forward(self, inputs):
            ripple = torch.sin(1e5 * self.weight.square().sum() * inputs)
            return (self.weight.square().sum() + 5 * ripple)[:, 0]

    stream = torch.Generator().manual_seed(0)
    data = (torch.rand(50, 1, generator=stream) + 1, torch.zeros(50))
    directions = [create_random_direction(Rough(), ignore="none", norm="dlayer", seed=1)]
    metrics = {"height": lambda outputs, targets: outputs}
    found = judged(Rough(), data, metrics, directions=directions, x=(-1, 1, 41), y=None)
    assert found.state("roughness") == "note"
    assert "another draw of the data would have other bumps" in found.found("roughness")


def test_a_target_that_was_made_orthogonal_no_longer_leads_to_the_other_model(judged):
    model, other = trained(DATA), trained(DATA, seed=7)
    x = create_random_direction(model, seed=0)
    y = orthogonalize(create_target_direction(model, other), to=x)
    found = judged(model, DATA, directions=[x, y], x=(-1, 1, 5), y=(0, 1, 4))
    assert found.evidence.kinds == ("random", "orthogonal target")
    assert "models" not in found.checks
    assert found.state("axes") == "good"


@pytest.mark.parametrize("orthogonal", [True, False])
def test_no_range_is_advised_along_an_axis_that_another_model_spans(judged, orthogonal):
    """Its ends are the models' places, not what the basin of this one needs."""
    model, other = trained(DATA), trained(DATA, seed=7)
    x = create_random_direction(model, seed=0)
    y = create_target_direction(model, other)
    directions = [x, orthogonalize(y, to=x) if orthogonal else y]
    found = judged(model, DATA, directions=directions, x=(-1, 1, 5), y=(0, 1, 4))
    assert list(found.verdict["suggested_range"]) == ["x"]
    assert "along y" not in found.found("range").lower()


def test_a_plane_through_other_models_alone_has_no_range_to_advise(judged):
    model, *others = (trained(DATA, seed=seed) for seed in (0, 7, 8))
    x, y = (create_target_direction(model, other) for other in others)
    directions = [x, orthogonalize(y, to=x)]
    found = judged(model, DATA, directions=directions, x=(-0.5, 1.5, 5), y=(-0.5, 1.5, 9))
    assert "range" not in found.checks
    assert found.verdict["suggested_range"] == {}


def test_what_would_cost_more_than_its_share_is_not_measured_unless_asked_for(judged, monkeypatch):
    from landscape_lib.steps import derivatives

    monkeypatch.setattr(derivatives, "FREE_S", 0.0)  # and these runs say no seconds a point
    model = trained(DATA, decay=1e-4)
    found = judged(model, DATA, x=(-1, 1, 5), y=None)
    for part in ("eigenvalues", "trace"):
        assert "5% of the run; ask for it under 'verdict:'" in found.centre[part]["unknown"]
    assert found.numbers["Hessian trace"] is None
    assert found.state("gradient") == "good"
    asked = VerdictSettings(eigenvalues=1, trace=True)
    found = judged(model, DATA, x=(-1, 1, 5), y=None, wishes=asked)
    assert found.numbers["Hessian trace"] is not None


def test_where_memory_runs_out_derivatives_go_on_with_half_the_batch(judged, monkeypatch, caplog):
    from landscape_lib.core.curvature import Objective

    model = trained(DATA, decay=1e-4)
    wanted = judged(model, DATA, x=(-1, 1, 5), y=None).centre["curvature"]["plane"]
    whole = Objective.derivatives

    def lacking(self, vectors=(), pause=lambda: None):
        if vectors and self.batch_size > 40:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, vectors, pause)

    monkeypatch.setattr(Objective, "derivatives", lacking)
    caplog.set_level("INFO")
    found = judged(model, DATA, x=(-1, 1, 5), y=None)
    np.testing.assert_allclose(found.centre["curvature"]["plane"], wanted, rtol=1e-12)
    told = [r.getMessage() for r in caplog.records if "Out of memory" in r.getMessage()]
    assert told == [
        f"Out of memory: derivatives go on with batches of {size}." for size in (64, 32)
    ]


def test_the_sampling_error_of_a_bump_of_log10_is_what_new_samples_show(judged):
    """Drawn again 2000 times from the samples, the rest of log10 spreads as much as is said."""
    model = trained(DATA, decay=1e-4)
    directions = random_plane(model)[:1]
    found = judged(model, DATA, directions=directions, x=(-3, 3, 31), y=None)
    assert found.evidence.drawn[1]
    steps, stencil = found.evidence.steps[0], np.array([1, -4, 6, -4, 1]) * 3 / 35
    assert "not rough at this spacing" in found.centre["bumps"]["unknown"]
    for middle in (4, 12, 17):
        place = found.measure._bump(0, (middle,))
        outputs = [
            torch.func.functional_call(model, moved(model, directions, [step]), (DATA[0],))
            for step in steps[middle - 2 : middle + 3]
        ]
        each = torch.stack(
            [functional.cross_entropy(o, DATA[1], reduction="none").detach() for o in outputs]
        ).numpy()
        assert place["residual"] == pytest.approx(stencil @ np.log10(each.mean(1)), abs=1e-12)
        again = np.random.default_rng(0).integers(120, size=(2000, 120))
        rests = stencil @ np.log10(each[:, again].mean(2))
        assert place["standard_error"] == pytest.approx(rests.std(), rel=0.2)
