"""Runs are compared by themselves, and Snakemake's report shows and explains every figure."""

import re
import shutil
from dataclasses import replace

import pytest

from landscape_lib import config
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.steps.dependencies import Dependencies, picture_targets
from landscape_lib.utils.records import read_record, write_record

KEY = "train_loss_height"
KINDS = ("2dcontour", "2dcontourf", "2dheat", "3dsurface")


def compared(output):
    """The metrics whose comparison was drawn, as Snakemake tells it."""
    jobs = re.findall(r"^(?:local)?rule compare_runs:\n((?:    .*\n)+)", output, re.MULTILINE)
    return [re.search(r"key=([^,\n]+)", job)[1] for job in jobs]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_two_runs_that_share_a_metric_are_compared_without_being_asked(finished):
    found = [path.name for path in (finished.folder / "results/comparison").iterdir()]
    assert found == [f"{KEY}.pdf"]


def test_settings_of_the_comparison_draw_the_comparison_alone(project):
    project.configure(lambda c: c.update(comparison={"cmap": "cividis", "formats": ["png"]}))
    assert project.ran()[0] == {"all": {"compare_runs"}}
    assert (project.folder / f"results/comparison/{KEY}.png").exists()
    project.configure(lambda c: c["runs"]["two"].update(figures={"cmap": "magma"}))
    assert project.due() == {"two": {"plot_surface", "make_explorer"}}


def test_basins_are_drawn_where_they_are_asked_for(project):
    project.configure(lambda c: c["runs"]["two"].update(figures={"topology": True}))
    assert project.due() == {"two": {"plot_surface", "plot_persistence"}}


def test_every_metric_that_two_runs_share_is_compared(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    for run, own in (("one", "left"), ("two", "right")):
        path = project.folder / f"results/{run}/probe.json"
        keys = ["train_loss_height", "train_loss_other", own]
        write_record(path, {**read_record(path), "keys": keys})
    targets = Dependencies(config.load("config.yaml")).comparison_targets()
    assert sorted(targets) == [f"results/comparison/{k}.pdf" for k in (KEY, "train_loss_other")]


def test_a_metric_that_only_one_run_has_is_not_compared_and_its_old_picture_is_put_aside(project):
    """The other run had it, too, when the comparison was drawn."""
    place = project.folder / "results/comparison"
    shutil.copy(place / f"{KEY}.pdf", place / "train_loss_other.pdf")
    edit(project.folder / "two_helper.py", "+ w[1]}", '+ w[1], "other": w[0]}')
    output = project.run(f"results/comparison/{KEY}.pdf")
    assert compared(output) == [KEY]
    assert [path.name for path in place.glob("*.pdf")] == [f"{KEY}.pdf"]
    assert (place / "stale/train_loss_other.pdf").exists()
    assert compared(project.run("-n")) == []
    wrong = project.run("results/comparison/train_loss_other.pdf", code=1)
    assert "is measured by ['two'] of those compared, ['one', 'two']" in wrong


def test_no_comparison_where_none_is_wanted_or_there_is_one_run(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    project.configure(lambda c: c.update(comparison={"runs": []}))
    assert "Nothing to be done" in project.run()
    assert Dependencies(config.load("config.yaml")).comparison_targets() == []
    project.configure(lambda c: (c.pop("comparison"), c["runs"].pop("two")))
    assert Dependencies(config.load("config.yaml")).comparison_targets() == []


def test_a_run_whose_probe_fails_stops_no_other_and_nothing_of_it_is_lost(project):
    """The comparison waits; the other run is drawn to the end; nothing is evaluated again."""
    helper = project.folder / "one_helper.py"
    good = helper.read_text()
    helper.write_text("def values(w):\n    raise RuntimeError('broken')\n")
    project.configure(lambda config: config["runs"]["two"]["grid"].update(x=[-1, 1, 9]))
    results = project.folder / "results"
    for folder in ("two/figures", "two/paraview", "comparison"):
        shutil.rmtree(results / folder)
    before = project.points()
    output = project.run(code=1)
    assert "RuntimeError: broken" in output
    assert project.points() - before == (9 - 5) * 4  # the other run went on
    assert {path.name for path in (results / "two/figures").iterdir()} == {
        f"{KEY}_{kind}.pdf" for kind in KINDS
    }
    assert (results / "two/paraview/flat.vtp").exists()
    assert not (results / "comparison").exists()
    helper.write_text(good)
    picture = f"results/comparison/{KEY}.pdf"
    assert project.ran("results/one/surface.h5", picture)[1] == 0
    assert (project.folder / picture).exists()


def test_the_report_has_every_figure_by_run_and_metric_with_its_caption(project):
    project.run("--report", "report.html")
    report = (project.folder / "report.html").read_text()
    results = report.split('id="results"')[1].split("</script>")[0]
    for run in ("one", "two"):
        for kind in KINDS:
            assert f'"results/{run}/figures/{KEY}_{kind}.pdf"' in results
        for words in (
            f"Lines of equal {KEY}</strong> of <em>{run}</em>",
            f"{KEY}</strong> of <em>{run}</em> <strong>in bands",
            "every measured point a cell of its own",
            "as a relief",
        ):
            assert words in results
    assert f"{KEY} of several runs</strong>" in results
    assert results.count('"mime_type": "application/pdf"') == 2 * 4 + 1
    assert '"results/one/directions.txt"' in results
    assert "The loss landscape around the trained weights of every run" in report
    assert "contour lines" in results


def test_captions_of_pages_that_others_make_are_templates_like_the_rest(finished):
    folder = finished.library / "workflow" / "report"
    for path in folder.glob("*.rst"):
        text = path.read_text()
        assert path.stem == "workflow" or re.search(r"\{\{ .*snakemake\.", text), path.name
    assert {"verdict", "explorer"} <= {path.stem for path in folder.glob("*.rst")}


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"runs": ["one", "tow"]}, r"comparison.runs: found 'tow'; allowed: names of runs"),
        ({"runs": ["one", "one"]}, r"comparison.runs: found 'one'; allowed: names of runs, each"),
        ({"groups": {"g": ["three"]}}, r"comparison.groups.g: found 'three'; allowed: names of"),
        ({"runs": "one"}, "comparison.runs: found 'one'; allowed: a list of names of runs"),
        ({"vmin": 2, "vmax": 1}, "comparison.vmin: found 2; allowed: a number below vmax"),
        ({"scale": "exp"}, "comparison.scale: found 'exp'; allowed: 'auto', 'log', 'linear'"),
        ({"kmap": "a"}, "comparison.kmap: found an unknown key"),
    ],
)
def test_a_wrong_comparison_is_a_wrong_config(project, own, message):
    project.configure(lambda c: c.update(comparison=own))
    with pytest.raises(InputError, match=message):
        config.load(project.folder / "config.yaml")


def test_the_comparison_inherits_what_figures_says_for_all_runs(project):
    path = project.folder / "config.yaml"
    project.configure(lambda c: c.update(figures={"cmap": "magma", "formats": ["svg"]}))
    found = config.load(path).comparison
    assert (found.cmap, found.formats, found.runs) == ("magma", ("svg",), None)
    project.configure(lambda c: c.update(comparison={"cmap": "cividis"}))
    found = config.load(path).comparison
    assert (found.cmap, found.formats) == ("cividis", ("svg",))


def test_no_run_may_have_the_comparisons_name(project):
    project.configure(lambda c: c["runs"].update(Comparison=c["runs"]["one"]))
    with pytest.raises(InputError, match=r"runs.Comparison: .*the pictures of all runs"):
        config.load(project.folder / "config.yaml")


def test_a_style_sheet_counts_by_its_content_and_must_be_there(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    project.configure(lambda c: c["runs"]["one"].update(figures={"style": "own.mplstyle"}))
    sheet = project.folder / "own.mplstyle"
    with pytest.raises(InputError, match=r"runs.one.figures.style: own.mplstyle: there is no"):
        Dependencies(config.load("config.yaml"))
    sheet.write_text("font.size: 9\n")
    before = Dependencies(config.load("config.yaml"))
    told = [before.figures(run) for run in ("one", "two")]
    sheet.write_text("font.size: 10\n")
    after = Dependencies(config.load("config.yaml"))
    assert after.figures("one") != told[0]
    assert after.figures("two") == told[1]
    project.configure(lambda c: c["runs"]["one"].update(figures={"style": "ggplot"}))
    assert Dependencies(config.load("config.yaml")).figures("one") not in told


def test_a_curve_with_losses_and_accuracies_has_them_in_one_picture(finished):
    experiment = config.load(finished.folder / "config.yaml").run("one")
    curve = replace(experiment, grid=Grid((Axis(-1, 1, 3),)), directions=())
    both = "results/one/figures/loss_and_accuracy_1d.pdf"
    assert both in picture_targets(curve, ["train_loss", "train_acc"])
    assert both not in picture_targets(curve, ["train_loss", "test_acc"])
    assert both not in picture_targets(experiment, ["train_loss", "train_acc"])


def test_seeds_of_a_run_become_one_file_and_one_picture_a_metric(project):
    project.configure(lambda config: config["runs"]["one"].update(seeds=2))
    due = project.due()
    assert {"merge_seeds", "plot_seeds"} <= due["one"]
    assert {"probe", "make_directions"} <= due["one_seed1"]
    assert "evaluate_shard" not in due["one"]
