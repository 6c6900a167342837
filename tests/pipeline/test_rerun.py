"""What runs again after a change: what depends on it, and nothing else."""

import os
import shutil

import h5py
import numpy as np
import pytest
import torch

from tests.pipeline.conftest import REPO, Project, rules_of
from tests.viz.test_paraview import Read

PICTURES = {"plot_surface", "export_vtp", "export_flat", "make_explorer"}
VERDICT = {"measure_centre", "make_verdict", "make_explorer"}  # the explorer shows it
AFTER_DIRECTIONS = {"evaluate_shard", "merge_shards", *PICTURES, *VERDICT}
EVERYTHING = {"make_directions", "probe", *AFTER_DIRECTIONS}
COMPARISON, ALL_PAGE = "compare_runs", "make_all_explorer"
SHARED = {COMPARISON, ALL_PAGE}  # of all runs


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("more", [(), ("-n",)], ids=["run", "dry run"])
def test_the_same_command_again_with_other_cores_says_that_nothing_is_to_be_done(project, more):
    assert "Nothing to be done" in project.run("--cores", "8", *more)


def test_touching_every_file_and_commenting_code_and_config_runs_nothing(project):
    edit(project.folder / "config.yaml", "runs:", "# a comment\nruns:")
    edit(project.folder / "one.py", "import torch\n", "# a comment\nimport torch\n\n")
    edit(project.folder / "one_helper.py", "(w):\n", '(w):\n    """A docstring."""\n')
    for path in project.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert "Nothing to be done" in project.run()


@pytest.mark.parametrize(
    ("run", "settings", "rules", "shared"),
    [
        ("one", {"figures": {"cmap": "cividis"}}, {"plot_surface", "make_explorer"}, {ALL_PAGE}),
        ("two", {"paraview": {"log": True}}, {"export_vtp"}, set()),
        (
            "one",
            {"figures": {"vmax": 11}},
            {"plot_surface", "make_verdict", "make_explorer"},
            {ALL_PAGE},
        ),
        ("two", {"verdict": {"trace": True}}, VERDICT, {ALL_PAGE}),
        (
            "one",
            {"trajectory": {"checkpoints": ["two.pt", "one.pt"]}},
            {"project_trajectory", "plot_surface", "export_trajectory", "make_explorer"},
            {ALL_PAGE},
        ),
        # dimension 0 of the weight is 1, so the filter's norm is the layer's up to the last bits
        ("two", {"directions": {"normalize": "layer"}}, EVERYTHING - {"probe"}, SHARED),
    ],
    ids=["colour map", "ParaView option", "limits", "measurement", "trajectory", "normalization"],
)
def test_a_setting_changes_what_depends_on_it_and_nothing_else(
    project, run, settings, rules, shared
):
    project.configure(lambda config: config["runs"][run].update(settings))
    wanted = {run: rules, "all": shared}
    assert project.due() == {name: found for name, found in wanted.items() if found}


def another_library(project, tmp_path):
    """Return the project with a copy of the library that a test may edit."""
    for name in ("landscape_lib", "scripts", "workflow"):
        shutil.copytree(REPO / name, tmp_path / "code" / name)  # compiled code, too
    return Project(project.folder, tmp_path / "code")


def test_code_that_draws_judges_or_measures_changes_that_alone(project, tmp_path):
    other = another_library(project, tmp_path)
    assert "Nothing to be done" in other.run()  # the same code in another place
    for name, text, rules, shared in (
        ("viz/style.py", "\n_ANOTHER = 1\n", PICTURES, SHARED),
        ("viz/page/page.css", "/* another */\n", {"make_explorer"}, {ALL_PAGE}),
        ("verdict/plane.py", "\n_ANOTHER = 1\n", {"make_verdict", "make_explorer"}, {ALL_PAGE}),
        ("steps/centre.py", "\n_ANOTHER = 1\n", VERDICT, {ALL_PAGE}),
    ):
        path = other.library / "landscape_lib" / name
        good = path.read_text()
        path.write_text(good + text)
        assert other.due() == {"one": rules, "two": rules, "all": shared}, name
        path.write_text(good)


def test_a_checkpoints_content_under_its_old_date_changes_all_of_its_run_trap_14(project):
    path = project.folder / "two.pt"
    status = path.stat()
    torch.save({"weight": torch.tensor([[5.0, 2.0]])}, path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert project.refreshed() == ({"two": EVERYTHING, "all": SHARED}, 20)


def test_metric_code_changes_the_probe_and_no_directions(project):
    """A dry run shows no more; what follows the probe: see the metric that is gone."""
    edit(project.folder / "two.py", ".flatten()", ".flatten() * 1.5")
    assert project.due() == {"two": {"probe"}, "all": {ALL_PAGE}}


def test_a_seed_changes_directions_and_what_follows_but_not_the_probe_trap_14(project):
    project.configure(lambda config: config["runs"]["two"].update(directions={"seed": 7}))
    assert project.refreshed() == ({"two": EVERYTHING - {"probe"}, "all": SHARED}, 20)


def test_a_metric_that_is_gone_leaves_no_pictures_beside_the_new_ones(project):
    """It stands in a module that the problem's imports: that counts as its own code does."""
    edit(project.folder / "two_helper.py", '"height"', '"depth"')
    rules, points = project.ran()
    assert rules == {"two": EVERYTHING - {"make_directions"}, "all": {ALL_PAGE}}
    assert points == 20
    results = project.folder / "results" / "two"
    assert {p.name.split("_")[2] for p in (results / "figures").iterdir()} == {"depth"}
    sheets = {p.name for p in (results / "paraview").iterdir()}
    assert sheets == {"train_loss_depth.vtp", "flat.vtp", "open.py"}
    assert len(list((results / "stale" / "figures").iterdir())) == 4


def test_a_refined_grid_evaluates_only_new_points_and_other_shards_none_and_no_other_bit(project):
    surface = project.folder / "results/two/surface.h5"

    def values():
        with h5py.File(surface) as file:
            return file["train_loss_height"][()]

    coarse = values()
    project.configure(
        lambda config: config["runs"]["two"]["grid"].update(x=[-1, 1, 9], y=[0, 3, 7], shards=2)
    )
    assert project.refreshed() == ({"two": AFTER_DIRECTIONS, "all": SHARED}, 9 * 7 - 5 * 4)
    fine = values()
    assert fine.shape == (9, 7)
    assert fine[::2, ::2].tobytes() == coarse.tobytes()
    project.configure(lambda config: config["runs"]["two"]["grid"].update(shards="auto"))
    assert project.refreshed() == ({"two": AFTER_DIRECTIONS, "all": SHARED}, 0)
    assert values().tobytes() == fine.tobytes()


def test_a_deleted_probe_is_measured_again_and_nothing_else(project):
    (project.folder / "results/one/probe.json").unlink()
    output = project.run()
    assert rules_of(output) == {"one": {"probe"}}
    assert "Exception" not in output  # no rule asks for a metric that another rule's file spells


def test_a_deleted_surface_is_merged_again_without_evaluating(project):
    (project.folder / "results/one/surface.h5").unlink()
    rules, points = project.refreshed()
    assert points == 0
    assert "merge_shards" in rules["one"]
    assert rules["one"] <= {"merge_shards", *PICTURES, *VERDICT}
    assert "two" not in rules


def test_a_run_that_is_added_runs_alone_and_a_curve_goes_the_same_way_trap_6(project):
    def add(config):
        one = config["runs"]["one"]
        grid = {"x": [-1, 1, 3]}
        config["runs"]["three"] = {**one, "grid": grid, "directions": {"seed": 3}}

    project.configure(add)
    picture = "results/three/figures/train_loss_height_1d.pdf"
    rules, points = project.ran(picture)
    assert set(rules) == {"three"}
    assert points == 3
    assert (project.folder / picture).exists()
    rest = project.due()
    assert rest == {"three": {"make_explorer", *VERDICT}, "all": SHARED}


def test_the_optimum_is_at_the_same_place_in_every_file_trap_1(finished):
    """f = 10 w0 + w1 with known directions: values[i, j] at x[i], y[j]."""
    with h5py.File(finished.folder / "results/one/surface.h5") as surface:
        values = surface["train_loss_height"][()]
        x, y = surface["xcoordinates"][()], surface["ycoordinates"][()]
    with h5py.File(finished.folder / "results/one/directions.h5") as file:
        dx, dy = (file[f"{axis}direction/0"][()].ravel() for axis in "xy")
    w = np.array([1.0, 2.0]) + x[:, None, None] * dx + y[None, :, None] * dy
    np.testing.assert_allclose(values, 10 * w[..., 0] + w[..., 1], rtol=1e-5)
    sheet = Read(finished.folder / "results/one/paraview/train_loss_height.vtp")
    i, j = (np.searchsorted(s, sheet.arrays[n]) for s, n in ((x, "alpha"), (y, "beta")))
    np.testing.assert_array_equal(sheet.arrays["zvalue"], values[i, j])


def test_open_ends_are_found_once_and_a_finer_grid_keeps_them(tmp_path):
    from tests.steps.test_scan import TRAINED

    (tmp_path / "own.py").write_text(TRAINED.replace("{METRICS}", "nn.CrossEntropyLoss()"))
    text = "runs: {one: {problem: 'own.py:build', grid: {x: [auto, auto, %d]}}}"
    (tmp_path / "config.yaml").write_text(text % 5)
    project = Project(tmp_path)
    verdict, surface = "results/one/verdict.json", "results/one/surface.h5"
    rules, _ = project.ran(verdict)
    assert {"choose_range", "evaluate_shard", "make_verdict"} <= rules["one"]
    ends = (tmp_path / "results/one/range.json").read_bytes()
    assert "Nothing to be done" in project.run(verdict)
    (tmp_path / "config.yaml").write_text(text % 9)
    rules, _ = project.ran(surface)
    assert "evaluate_shard" in rules["one"]
    assert "choose_range" not in rules["one"]
    assert (tmp_path / "results/one/range.json").read_bytes() == ends
    assert len(set(project.journal("one"))) == 9  # five of them from before
