"""A point of the plane has the coordinates that it was made with, and the plane its origin."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import nn

import landscape_lib.utils
from landscape_lib.core.direction import Direction, create_random_direction
from landscape_lib.core.errors import InputError
from landscape_lib.utils.projection import (
    cal_angle,
    flatten,
    nplist_to_tensor,
    npvec_to_tensorlist,
    principal_directions,
    project_1D,
    project_2D,
    project_trajectory,
    tensorlist_to_tensor,
)
from tests import reference

SKEW = (np.array([3.0, 0.0, 4.0]), np.array([1.0, 2.0, 2.0]))  # lengths 5 and 3, cosine 11/15


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@st.composite
def planes(draw):
    """Two directions, of any lengths, at least 0.01 (in the sine of their angle) apart."""
    hand = np.random.default_rng(draw(st.integers(0, 2**32)))
    dx, other = hand.normal(size=(2, draw(st.integers(2, 30))))
    dx *= 10.0 ** draw(st.integers(-6, 6))
    lean = draw(st.floats(-50, 50))
    dy = (other / np.linalg.norm(other) + lean * dx / np.linalg.norm(dx)) * 10.0 ** draw(
        st.integers(-6, 6)
    )
    assume(abs(cal_angle(dx, dy)) < 0.99995)
    return dx, dy


steps = st.floats(-100, 100)


# ------------------------------------------------------------------------- vectors and lists


def test_every_spelling_of_a_vector_is_the_same_vector():
    parts = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]).T, torch.tensor(5.0)]  # .T: not contiguous
    wanted = [1.0, 3.0, 2.0, 4.0, 5.0]
    for vector in (
        parts,
        tuple(part.numpy() for part in parts),
        Direction(("a", "b"), tuple(parts)),
        [nn.Parameter(parts[0]), parts[1].to(torch.bfloat16)],
        torch.tensor(wanted, dtype=torch.float16),
        np.array(wanted, dtype=np.float32),
        wanted,
        [1, [3, 2], (np.int64(4), torch.tensor([5]))],
    ):
        found = flatten(vector)
        assert found.dtype == np.float64
        assert found.tolist() == wanted
    assert flatten([]).shape == (0,)


def test_a_flat_vector_is_a_copy():
    for vector in (array := np.ones(3), torch.from_numpy(array), [array]):
        flatten(vector)[0] = 7
    assert array.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("vector", "found"),
    [
        ("weights", "str of type <U7"),
        ({"weight": torch.ones(2)}, "dict of type object"),
        ([torch.ones(2), None], "NoneType of type object"),
        (nn.Linear(2, 1).parameters(), "generator of type object"),
        (np.array([1j]), "ndarray of type complex128"),
        (torch.tensor([1j]), "ndarray of type complex64"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_vector_is_refused(vector, found):
    with pytest.raises(InputError, match=rf"Found {found} where a vector of real numbers is"):
        flatten(vector)


def test_tensors_are_joined_in_order_and_keep_their_type():
    found = tensorlist_to_tensor([torch.tensor([[1.0, 2.0]]), torch.tensor(3.0), torch.ones(1)])
    assert found.dtype == torch.float32
    assert found.tolist() == [1, 2, 3, 1]
    model = nn.Linear(3, 2)
    vector = tensorlist_to_tensor(model.parameters())
    assert not vector.requires_grad
    vector[0] = 100
    assert model.weight.max() < 100
    with pytest.raises(InputError, match=r"Found an empty list where a list of tensors is wanted"):
        tensorlist_to_tensor([])


def test_arrays_are_joined_in_order_in_float64_and_scalars_count():
    found = nplist_to_tensor([np.float32([[1, 2], [3, 4]]), np.float64(5.0), [0.1]])
    assert found.dtype == torch.float64
    assert found.tolist() == [1, 2, 3, 4, 5, 0.1]


def test_a_list_of_tensors_comes_back_from_its_vector():
    params = [
        torch.randn(2, 3),
        torch.randn((), dtype=torch.float64),
        torch.randn(4).half(),
        torch.zeros(0, 2),
    ]
    for vector in (
        tensorlist_to_tensor(params),
        tensorlist_to_tensor(params).numpy(),
        nplist_to_tensor([tensor.numpy() for tensor in params]),
        Direction(("a", "b", "c", "d"), tuple(params)),
    ):
        found = npvec_to_tensorlist(vector, params)
        for ours, theirs in zip(found, params, strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)
            assert ours.untyped_storage().nbytes() == theirs.untyped_storage().nbytes()
    found[0][0, 0] = 100
    assert params[0].max() < 100
    assert npvec_to_tensorlist([], []) == []


def test_a_state_dict_comes_back_from_its_vector_counters_too():
    state = reference.digits_state("model_a")
    state["1.num_batches_tracked"] = torch.tensor(16_777_217)  # is no float32
    found = npvec_to_tensorlist(tensorlist_to_tensor(t.double() for t in state.values()), state)
    for ours, theirs in zip(found, state.values(), strict=True):
        assert ours.is_floating_point()
        assert ours.shape == theirs.shape
        assert torch.equal(ours.to(theirs.dtype), theirs)
    step = np.full(sum(tensor.numel() for tensor in state.values()), 0.5)
    assert all((tensor == 0.5).all() for tensor in npvec_to_tensorlist(step, state))


def test_tensors_cut_from_a_vector_have_no_gradient():
    model = nn.Linear(3, 2)
    found = npvec_to_tensorlist(np.arange(8.0), list(model.parameters()))
    assert [tensor.tolist() for tensor in found] == [[[0, 1, 2], [3, 4, 5]], [6, 7]]
    assert not any(tensor.requires_grad for tensor in found)


@pytest.mark.parametrize("length", [0, 7, 9])
def test_a_vector_of_another_network_is_refused(length):
    with pytest.raises(InputError, match=rf"vector has {length} entries, the parameters 8\. Give"):
        npvec_to_tensorlist(np.zeros(length), list(nn.Linear(3, 2).parameters()))


# ---------------------------------------------------------------------- one or two directions


def test_the_angle_is_a_cosine_over_all_entries():
    assert cal_angle([3.0, 0.0], [1.0, 1.0]) == pytest.approx(0.5**0.5)
    assert cal_angle(*SKEW) == pytest.approx(11 / 15)
    assert cal_angle([torch.ones(1), torch.zeros(1)], np.array([0, 2])) == 0
    assert isinstance(cal_angle(torch.ones(2), torch.ones(2)), float)


@given(plane=planes(), scale=st.floats(1e-3, 1e3))
def test_a_cosine_is_from_minus_one_to_one_and_knows_no_lengths(plane, scale):
    dx, dy = plane
    cosine = cal_angle(dx, dy)
    assert -1 <= cosine <= 1
    assert cal_angle(dy, dx) == pytest.approx(cosine)
    assert cal_angle(scale * dx, -dy) == pytest.approx(-cosine, abs=1e-12)
    assert 1 - 1e-12 < cal_angle(dx, scale * dx) <= 1
    assert -1 <= cal_angle(dx, -scale * dx) < -1 + 1e-12


def test_twice_a_direction_is_two_steps_along_it():
    direction = create_random_direction(reference.digits_model(), seed=0)
    assert abs(np.linalg.norm(flatten(direction)) - 1) > 0.1  # no unit vector
    assert project_1D([2 * tensor for tensor in direction], direction) == 2
    assert project_1D([3.0, 9.0], [0.5, 0.0]) == 6
    assert project_1D(np.zeros(3), SKEW[0]) == 0


@given(plane=planes(), a=steps)
def test_what_a_projection_leaves_is_orthogonal(plane, a):
    point, d = plane
    step = project_1D(point, d)
    assert abs(cal_angle(point - step * d, d)) < 1e-9
    assert project_1D(point + a * d, d) == pytest.approx(step + a, rel=1e-9, abs=1e-9)


def test_the_point_two_one_of_a_skew_plane_is_two_one_trap_15():
    """w0 + 2 d1 + 1 d2, for directions that are neither unit nor orthogonal."""
    d1, d2 = SKEW
    w0 = random(3)
    point = w0 + 2 * d1 + 1 * d2
    assert project_2D(point - w0, d1, d2) == pytest.approx((2, 1))
    np.testing.assert_allclose(project_trajectory([point - w0], d1, d2), [[2, 1]])
    model = reference.digits_model()
    x, y = (create_random_direction(model, seed=seed, ignore="none") for seed in (0, 1))
    assert cal_angle(x, y) > 0.01
    moved = [2 * a + b for a, b in zip(x, y, strict=True)]
    assert project_2D(moved, x, y) == pytest.approx((2, 1), rel=1e-5)  # summed in float32


@given(plane=planes(), a=steps, b=steps)
def test_a_point_of_the_plane_has_the_coordinates_it_was_made_with(plane, a, b):
    dx, dy = plane
    lengths = np.linalg.norm(plane, axis=1)
    a, b = (a, b) / lengths  # else the shorter direction is lost in the sum
    error = 1e-9 / lengths.min()
    assert project_2D(a * dx + b * dy, dx, dy) == pytest.approx((a, b), rel=1e-9, abs=error)
    np.testing.assert_allclose(
        project_trajectory([a * dx + b * dy], dx, dy), [[a, b]], rtol=1e-9, atol=error
    )


@given(plane=planes(), a=steps, b=steps, seed=st.integers(0, 2**32))
def test_projecting_is_linear(plane, a, b, seed):
    one, other = random(2, len(plane[0]), seed=seed)
    together = project_2D(a * one + b * other, *plane)
    apart = a * np.array(project_2D(one, *plane)) + b * np.array(project_2D(other, *plane))
    error = 1e-9 / min(np.linalg.norm(plane, axis=1))
    np.testing.assert_allclose(together, apart, rtol=1e-9, atol=error)


@given(plane=planes(), seed=st.integers(0, 2**32))
def test_least_squares_are_numpys(plane, seed):
    axes = np.stack(plane, axis=1)
    point = random(len(axes), seed=seed)
    lengths = np.linalg.norm(axes, axis=0)
    wanted = np.linalg.lstsq(axes / lengths, point)[0] / lengths
    found = project_2D(point, *plane)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 / lengths.min())


def test_each_axis_by_itself_is_least_squares_for_orthogonal_directions_only(caplog):
    dx, dy = np.array([2.0, 0.0, 0.0]), np.array([0.0, 0.0, 5.0])
    point = np.array([3.0, 7.0, 1.0])
    assert project_2D(point, dx, dy, "cos") == pytest.approx((1.5, 0.2))
    assert project_2D(point, dx, dy, proj_method="lstsq") == pytest.approx((1.5, 0.2))
    assert not caplog.records
    d1, d2 = SKEW
    # <d1, d2> = 11:  2 + 11/25  and  1 + 2 * 11/9
    assert project_2D(2 * d1 + d2, d1, d2, "cos") == pytest.approx((2.44, 31 / 9))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "not orthogonal (cosine 0.733333)" in record.message
    assert "choose 'lstsq'" in record.message


def test_a_direction_shorter_by_far_is_not_parallel():
    assert project_2D([0.0, 3e-9], [1e9, 0.0], [1e-9, 1e-9]) == pytest.approx((-3e-18, 3))


NAN, INF, ONES = np.array([1.0, np.nan, 2.0]), np.array([0.0, 1.0, -np.inf]), np.ones(3)
X, Y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])

MISTAKES = {
    "method": (project_2D, (ONES, X, Y, "cosine"), r"Unknown proj_method 'cosine'; choose one of "
               r"\['cos', 'lstsq'\]"),
    "no method": (project_2D, (ONES, X, Y, None), r"Unknown proj_method None; choose one of"),
    "zero d": (project_1D, (ONES, 0 * X), r"d is zero in all of its 3 entries, so it points now"),
    "empty d": (project_1D, ([], []), r"d is zero in all of its 0 entries"),
    "zero vec2": (cal_angle, (ONES, 0 * X), r"vec2 is zero in all of its 3 entries"),
    "zero dx": (project_2D, (ONES, 0 * X, Y), r"dx is zero in all of its 3 entries"),
    "zero dy": (project_trajectory, ([ONES], X, 0 * Y), r"dy is zero in all of its 3 entries"),
    "length 1D": (project_1D, (ONES, np.ones(4)), r"d has 4 entries, those before it 3\. Give vec"),
    "length angle": (cal_angle, (ONES, np.ones(2)), r"vec2 has 2 entries, those before it 3"),
    "length 2D": (project_2D, (ONES, X, np.ones(2)), r"dy has 2 entries, those before it 3"),
    "length row": (project_trajectory, ([ONES, np.ones(5)], X, Y), r"displacement 1 has 5 entries"),
    "one row": (project_trajectory, (ONES, X, Y), r"displacement 0 has 1 entries, those before"),
    "length PCA": (principal_directions, ([ONES, np.ones(5)],), r"displacement 1 has 5 entries"),
    "nan w": (project_1D, (NAN, ONES), r"w holds NaN or infinity in 1 of 3 entries, first in "
              r"entry 1\. Leave out weights of a training that diverged"),
    "inf d": (project_1D, (ONES, INF), r"d holds NaN or infinity in 1 of 3 entries, first in en"),
    "nan angle": (cal_angle, (NAN, ONES), r"vec1 holds NaN or infinity"),
    "nan 2D": (project_2D, (NAN, X, Y), r"d holds NaN or infinity"),
    "inf dy": (project_2D, (ONES, X, INF), r"dy holds NaN or infinity"),
    "nan row": (project_trajectory, ([X, NAN], X, Y), r"displacement 1 holds NaN or infinity"),
    "nan PCA": (principal_directions, ([X, Y, NAN],), r"displacement 2 holds NaN or infinity"),
    "count": (principal_directions, ([X, Y], 0), r"Found count=0; wanted 1 or more components"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said(mistake):
    function, arguments, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message):
        function(*arguments)


@pytest.mark.parametrize("method", ["cos", "lstsq"])
@pytest.mark.parametrize("factor", [1, -2, 0.3, 1e-20, 1e20])
def test_parallel_directions_are_no_plane(factor, method):
    dx = random(1000).astype(np.float32)
    dy = np.float32(factor) * dx  # rounded: not exactly parallel
    for project in (
        lambda: project_2D(dx, dx, dy, method),
        lambda: project_trajectory([dx], dx, dy),
        lambda: project_2D([1.0], [2.0], [3.0], method),
    ):
        with pytest.raises(InputError, match=r"dx and dy are parallel \(the sine .*no plane\. Cho"):
            project()


# ------------------------------------------------------------------------------- trajectories


@pytest.fixture(scope="module")
def trajectory():
    return reference.digits_values("trajectory")


def test_the_originals_projection_is_found(trajectory):
    found = project_trajectory(trajectory["displacements"], *trajectory["components"])
    wanted = trajectory["projection_lstsq"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    assert found.dtype == np.float64
    for row, steps in zip(trajectory["displacements"], wanted, strict=True):
        np.testing.assert_allclose(
            project_2D(row, *trajectory["components"]), steps, rtol=1e-5, atol=1e-5
        )


def test_rows_may_be_arrays_tensors_or_lists_of_tensors(trajectory):
    rows, (dx, dy) = trajectory["displacements"], trajectory["components"]
    params = list(reference.digits_model().parameters())
    lists = [npvec_to_tensorlist(row, params) for row in rows]
    wanted = project_trajectory(rows, dx, dy)
    components, ratio = principal_directions(rows)
    x = npvec_to_tensorlist(dx, params)
    y = Direction(tuple(f"{i}" for i in range(len(x))), tuple(npvec_to_tensorlist(dy, params)))
    for spelling in (torch.from_numpy(rows), list(rows), lists, tuple(lists)):
        np.testing.assert_array_equal(project_trajectory(spelling, x, y), wanted)
        np.testing.assert_array_equal(principal_directions(spelling)[0], components)
    np.testing.assert_array_equal(principal_directions(iter(lists))[1], ratio)
    assert project_trajectory([], dx, dy).shape == (0, 2)


def test_the_originals_components_are_found(trajectory):
    components, ratio = principal_directions(trajectory["displacements"], center=True)
    signs = np.sign(np.sum(components * trajectory["components"], axis=1, keepdims=True))
    np.testing.assert_allclose(signs * components, trajectory["components"], atol=1e-5)
    np.testing.assert_allclose(ratio, trajectory["explained_variance_ratio"], rtol=1e-5)


def by_svd(rows):
    """Right singular vectors, largest entry positive, and shares of the sum of squares."""
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    rows = np.array([v * np.sign(v[np.abs(v).argmax()]) for v in vectors])
    return rows, values**2 / np.sum(values**2)


@pytest.mark.parametrize("shape", [(15, 40), (40, 6), (2, 2), (3, 1000)], ids=str)
def test_uncentred_components_are_numpys_singular_vectors(shape):
    rows = random(*shape) * np.linspace(1, 3, shape[1]) + 1
    count = min(shape)
    components, ratio = principal_directions(rows, count)
    wanted, shares = by_svd(rows)
    np.testing.assert_allclose(components, wanted, atol=1e-9)
    np.testing.assert_allclose(ratio, shares, rtol=1e-9)
    np.testing.assert_allclose(components @ components.T, np.eye(count), atol=1e-13)
    assert ratio.sum() == pytest.approx(1)


@pytest.mark.parametrize("shape", [(15, 40), (40, 6), (4, 1000)], ids=str)
def test_centred_components_are_scikit_learns(shape):
    rows = random(*shape) * np.linspace(1, 3, shape[1]) + 5
    count = min(shape[0] - 1, shape[1])
    pca = PCA(count, svd_solver="full").fit(rows)
    components, ratio = principal_directions(rows, count, center=True)
    signs = np.sign(np.sum(components * pca.components_, axis=1, keepdims=True))
    np.testing.assert_allclose(signs * components, pca.components_, atol=1e-9)
    np.testing.assert_allclose(ratio, pca.explained_variance_ratio_, rtol=1e-9)


def test_small_components_are_still_orthogonal_to_large_ones():
    """Alone from the Gram matrix, the fourth would lean 1e-6 towards the first."""
    axes = np.linalg.qr(random(50, 4))[0].T
    rows = random(12, 4, seed=1) * [1, 1e-2, 1e-3, 1e-5] @ axes
    components, _ = principal_directions(rows, 4)
    np.testing.assert_allclose(components @ components.T, np.eye(4), atol=1e-13)
    np.testing.assert_allclose(components, by_svd(rows)[0][:4], atol=1e-6)


def test_the_plane_goes_through_the_final_weights_trap_15():
    """Snapshots that lie in a plane with the final weights are in the plane found, all of them.

    Their mean is far from the final weights: the centred plane, drawn through these, misses.
    """
    far, y = np.array([10.0, 0, 0, 1, 0]), np.array([0.0, 1, 0, 0, 0])
    rows = np.array([far - y, far, far + y])

    def missed(**options):
        components, _ = principal_directions(rows, 1, **options)
        return np.linalg.norm(rows - rows @ components.T @ components, axis=1).max()

    components, ratio = principal_directions(rows, 2)
    np.testing.assert_allclose(components, [far / 101**0.5, y], atol=1e-12)
    np.testing.assert_allclose(ratio, [303 / 305, 2 / 305])
    steps = project_trajectory(rows, *components)
    np.testing.assert_allclose(steps @ components, rows, atol=1e-12)
    assert missed() == pytest.approx(1)
    assert missed(center=True) == pytest.approx(101**0.5)


@given(seed=st.integers(0, 2**32), center=st.booleans())
def test_no_other_plane_through_the_final_weights_is_nearer(seed, center):
    rows = random(6, 8, seed=seed) + random(8, seed=seed + 1)
    others = random(2, 8, seed=seed + 2)
    centred = principal_directions(rows, center=center)[0]

    def squares(plane):
        return np.square(rows - project_trajectory(rows, *plane) @ plane).sum()

    best = squares(principal_directions(rows)[0])
    assert best <= squares(others) + 1e-9
    assert best <= squares(centred) + 1e-9


@given(seed=st.integers(0, 2**32), scale=st.floats(1e-6, 1e6), center=st.booleans())
def test_components_know_no_scale_and_no_order_of_snapshots(seed, scale, center):
    rows = random(6, 8, seed=seed) * np.arange(1, 9)
    components, ratio = principal_directions(rows, 2, center=center)
    assume(ratio[0] > 1.1 * ratio[1])
    (index,) = np.nonzero(np.abs(components[1]) > 0.99 * np.abs(components[1]).max())
    assume(len(index) == 1 and components.max() > 1.01 * -components.min())
    others, shares = principal_directions(scale * rows[::-1], 2, center=center)
    np.testing.assert_allclose(np.abs(others), np.abs(components), atol=1e-6)
    np.testing.assert_allclose(shares, ratio, rtol=1e-9)
    assert (others.max(axis=1) == np.abs(others).max(axis=1)).all()


def test_displacements_are_left_as_they_are():
    rows = random(4, 6)
    before = rows.copy()
    principal_directions(rows, center=True)
    project_trajectory(rows, rows[0], rows[1])
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([X, 2 * X, -X], {}, r"3 displacements that span 1 dimensions; wanted 2 components\. Give"),
        ([X, Y], {"center": True}, r"2 displacements that span 1 dimensions around their mean; wa"),
        ([0 * X, 0 * X], {"count": 1}, r"2 displacements that span 0 dimensions; wanted 1"),
        ([], {}, r"0 displacements that span 0 dimensions; wanted 2"),
        ([], {"center": True}, r"0 displacements that span 0 dimensions around"),
        ([X, Y, ONES], {"count": 4}, r"3 displacements that span 3 dimensions; wanted 4"),
        ([0.1 * ONES] * 15, {"center": True, "count": 1}, r"15 displacements that span 0 dimensi"),
        (
            [np.float32(step) * random(500).astype(np.float32) for step in (0.1, 0.3, 0.7)],
            {},
            r"3 displacements that span 1 dimensions; wanted 2",
        ),
    ],
)
def test_more_components_than_the_trajectory_has_are_refused(rows, options, message):
    with pytest.raises(InputError, match=f"Found {message}"):
        principal_directions(rows, **options)


# --------------------------------------------------------------------------- one import line


def test_the_older_tools_names_are_found_in_one_place():
    names = {
        "write_list",
        "read_list",
        "tensorlist_to_tensor",
        "nplist_to_tensor",
        "npvec_to_tensorlist",
        "cal_angle",
        "project_1D",
        "project_2D",
        "project_trajectory",
        "principal_directions",
        "flatten",
        "save_surface",
        "load_surface",
        "save_directions",
        "load_directions",
    }
    assert set(dir(landscape_lib.utils)) == names
    assert all(getattr(landscape_lib.utils, name).__name__ == name for name in names)
    assert landscape_lib.utils.project_1D is project_1D
    with pytest.raises(AttributeError, match=r"'landscape_lib\.utils' has no attribute 'project'"):
        _ = landscape_lib.utils.project


def test_importing_the_utilities_imports_neither_torch_nor_hdf5():
    program = (
        "import sys, landscape_lib.utils\n"
        "from landscape_lib.utils import journal\n"
        "assert not {'torch', 'h5py'} & set(sys.modules)\n"
        "from landscape_lib.utils import project_1D\n"
        "assert 'torch' in sys.modules and 'h5py' not in sys.modules\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
