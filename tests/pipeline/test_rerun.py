"""What runs again after a change: what depends on it, and nothing else."""

import os
import shutil
import time

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


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_same_command_again_says_that_nothing_is_to_be_done(project):
    start = time.monotonic()
    output = project.run()
    assert "Nothing to be done" in output
    assert time.monotonic() - start < 60  # the goal is 5 s alone on two cores; see docs


def test_touching_every_file_and_commenting_code_and_config_runs_nothing(project):
    edit(project.folder / "config.yaml", "runs:", "# a comment\nruns:")
    edit(project.folder / "one.py", "import torch\n", "# a comment\nimport torch\n\n")
    edit(project.folder / "one_helper.py", "    return", '    """A docstring."""\n    return')
    for path in project.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert "Nothing to be done" in project.run()


def test_a_colour_map_changes_pictures_only(project):
    project.configure(lambda config: config["runs"]["one"].update(figures={"cmap": "cividis"}))
    assert project.ran() == ({"one": {"plot_surface", "make_explorer"}}, 0)


def test_a_trajectory_to_be_shown_is_projected_and_drawn_and_nothing_is_evaluated(project):
    torch.save({"weight": torch.tensor([[4.0, 3.0]])}, project.folder / "start.pt")
    shown = {"checkpoints": ["start.pt", "one.pt"]}
    project.configure(lambda config: config["runs"]["one"].update(trajectory=shown))
    drawn = {"project_trajectory", "plot_surface", "export_trajectory", "make_explorer"}
    assert project.ran() == ({"one": drawn}, 0)


def test_a_paraview_option_changes_vtp_files_only(project):
    project.configure(lambda config: config["runs"]["two"].update(paraview={"log": True}))
    assert project.ran() == ({"two": {"export_vtp"}}, 0)


def test_limits_of_pictures_change_pictures_and_are_judged_again(project):
    project.configure(lambda config: config["runs"]["one"].update(figures={"vmax": 11}))
    assert project.ran() == ({"one": {"plot_surface", "make_verdict", "make_explorer"}}, 0)


def test_what_is_asked_of_the_centre_is_measured_and_judged_again(project):
    project.configure(lambda config: config["runs"]["two"].update(verdict={"trace": True}))
    assert project.ran() == ({"two": VERDICT}, 0)


def test_code_that_judges_or_measures_changes_the_verdict_only(project, tmp_path):
    other = another_library(project, tmp_path)
    with (tmp_path / "code/landscape_lib/verdict/plane.py").open("a") as code:
        code.write("\n_ANOTHER = 1\n")
    judged = {"make_verdict", "make_explorer"}
    assert other.ran() == ({"one": judged, "two": judged}, 0)
    with (tmp_path / "code/landscape_lib/steps/centre.py").open("a") as code:
        code.write("\n_ANOTHER = 1\n")
    assert other.ran() == ({"one": VERDICT, "two": VERDICT}, 0)


def another_library(project, tmp_path):
    """Return the project with a copy of the library that a test may edit."""
    for name in ("landscape_lib", "scripts", "workflow"):
        shutil.copytree(
            REPO / name, tmp_path / "code" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return Project(project.folder, tmp_path / "code")


def test_code_that_draws_changes_pictures_only(project, tmp_path):
    other = another_library(project, tmp_path)
    assert "Nothing to be done" in other.run()  # the same code in another place
    with (tmp_path / "code/landscape_lib/viz/style.py").open("a") as style:
        style.write("\n_ANOTHER = 1\n")
    rules, points = other.ran()
    assert rules == {"one": PICTURES, "two": PICTURES}
    assert points == 0
    with (tmp_path / "code/landscape_lib/viz/page/page.css").open("a") as style:
        style.write("/* another */\n")
    assert other.ran() == ({"one": {"make_explorer"}, "two": {"make_explorer"}}, 0)


def test_a_checkpoints_content_under_its_old_date_changes_all_of_its_run_trap_14(project):
    path = project.folder / "one.pt"
    status = path.stat()
    torch.save({"weight": torch.tensor([[5.0, 2.0]])}, path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert project.ran() == ({"one": EVERYTHING}, 20)


@pytest.mark.parametrize("file", ["one.py", "one_helper.py"])
def test_metric_code_changes_all_but_directions(project, file):
    change = ("time.sleep(pause)", "time.sleep(2 * pause)") if file == "one.py" else ("10", "20")
    edit(project.folder / file, *change)
    assert project.ran() == ({"one": EVERYTHING - {"make_directions"}}, 20)


def test_a_seed_changes_directions_and_what_follows_but_not_the_probe_trap_14(project):
    project.configure(lambda config: config["runs"]["two"].update(directions={"seed": 7}))
    assert project.ran() == ({"two": EVERYTHING - {"probe"}}, 20)


def test_a_normalization_changes_directions_and_what_follows_but_not_the_probe(project):
    project.configure(
        lambda config: config["runs"]["two"].update(directions={"normalize": "layer"})
    )
    # dimension 0 of the weight is 1, so the filter's norm is the layer's up to the last bits
    rules, _ = project.ran()
    assert rules["two"] >= {"make_directions"}
    assert "probe" not in rules["two"]
    assert "one" not in rules


def test_a_metric_that_is_gone_leaves_no_pictures_beside_the_new_ones(project):
    edit(project.folder / "one_helper.py", '"height"', '"depth"')
    rules, _ = project.ran()
    assert rules == {"one": EVERYTHING - {"make_directions"}}
    results = project.folder / "results" / "one"
    assert {p.name.split("_")[2] for p in (results / "figures").iterdir()} == {"depth"}
    sheets = {p.name for p in (results / "paraview").iterdir()}
    assert sheets == {"train_loss_depth.vtp", "flat.vtp", "open.py"}
    assert len(list((results / "stale" / "figures").iterdir())) == 4


def test_a_refined_grid_evaluates_only_new_points(project):
    project.configure(
        lambda config: config["runs"]["one"]["grid"].update(x=[-1, 1, 9], y=[0, 3, 7], shards=3)
    )
    rules, points = project.ran()
    assert rules == {"one": AFTER_DIRECTIONS}
    assert points == 9 * 7 - 5 * 4
    with h5py.File(project.folder / "results/one/surface.h5") as surface:
        assert surface["train_loss_height"].shape == (9, 7)


def test_another_number_of_shards_evaluates_nothing_and_changes_no_bit(project):
    surface = project.folder / "results/one/surface.h5"
    with h5py.File(surface) as before:
        values = before["train_loss_height"][()]
    project.configure(lambda config: config["runs"]["one"]["grid"].update(shards=3))
    rules, points = project.ran()
    assert points == 0
    assert rules == {"one": AFTER_DIRECTIONS}
    project.configure(lambda config: config["runs"]["one"]["grid"].update(shards="auto"))
    assert project.ran()[1] == 0
    with h5py.File(surface) as after:
        assert after["train_loss_height"][()].tobytes() == values.tobytes()


def test_a_deleted_probe_is_measured_again_and_nothing_else(project):
    (project.folder / "results/one/probe.json").unlink()
    output = project.run()
    assert rules_of(output) == {"one": {"probe"}}
    assert "Exception" not in output  # no rule asks for a metric that another rule's file spells


def test_a_deleted_surface_is_merged_again_without_evaluating(project):
    (project.folder / "results/one/surface.h5").unlink()
    rules, points = project.ran()
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
    rules, points = project.ran()
    assert set(rules) == {"three"}
    assert points == 3
    assert (project.folder / "results/three/figures/train_loss_height_1d.pdf").exists()


def test_a_range_extended_on_the_same_spacing_keeps_its_points(tmp_path):
    """A curve of 51 points on [-1, 1]; -2..2 in 101 and -1.5..1.5 in 151 hold all of them."""
    from tests.pipeline.conftest import new_project

    project = new_project(tmp_path)
    grid = {"x": [-1, 1, 51], "shards": 1}

    def curve(config):
        config["runs"] = {"one": {**config["runs"]["one"], "grid": grid}}

    target = "results/one/surface.h5"
    evaluated = []
    for x in ([-1, 1, 51], [-2, 2, 101], [-1.5, 1.5, 151], [-1.5, 1.5, 76]):
        grid["x"] = x
        project.configure(curve)
        evaluated.append(project.ran(target)[1])
    # of the 151 points at 0.02, those at 0.04 are known from -2..2; of -1.5..1.5 in 76, at 0.04
    # but half a step beside -1..1 in 51, all are known from the 151
    assert evaluated == [51, 50, 151 - 75, 0]


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


def test_a_run_whose_probe_fails_stops_no_other_and_nothing_of_it_is_lost(project):
    """Its code reverted, nothing is evaluated again."""
    helper = project.folder / "one_helper.py"
    good = helper.read_text()
    helper.write_text("def values(w):\n    raise RuntimeError('broken')\n")
    project.configure(lambda config: config["runs"]["two"]["grid"].update(x=[-1, 1, 9]))
    before = project.points()
    output = project.run("results/one/surface.h5", "results/two/surface.h5", code=1)
    assert "RuntimeError: broken" in output
    assert project.points() - before == (9 - 5) * 4  # the other run went on
    helper.write_text(good)
    assert project.ran("results/one/surface.h5", "results/two/surface.h5")[1] == 0


def test_open_ends_are_found_once_and_a_finer_grid_keeps_them(tmp_path):
    from tests.steps.test_scan import TRAINED

    (tmp_path / "own.py").write_text(TRAINED.replace("{METRICS}", "nn.CrossEntropyLoss()"))
    text = "runs: {one: {problem: 'own.py:build', grid: {x: [auto, auto, %d]}}}"
    (tmp_path / "config.yaml").write_text(text % 5)
    project = Project(tmp_path)
    rules, _ = project.ran()
    assert {"choose_range", "evaluate_shard", "make_verdict"} <= rules["one"]
    ends = (tmp_path / "results/one/range.json").read_bytes()
    assert "Nothing to be done" in project.run()
    (tmp_path / "config.yaml").write_text(text % 9)
    rules, _ = project.ran()
    assert "evaluate_shard" in rules["one"]
    assert "choose_range" not in rules["one"]
    assert (tmp_path / "results/one/range.json").read_bytes() == ends
    assert len(set(project.journal("one"))) == 9  # five of them from before
