"""The code in docs/library.md runs as it stands, from the first line to the last."""

import re

import pytest

from landscape_lib.core.evaluator import Evaluator, prepare
from landscape_lib.problems.build import build_problem
from tests.pipeline.conftest import REPO

BRING = (REPO / "docs" / "bring-your-model.md").read_text()
PICTURES = (REPO / "docs" / "pictures.md").read_text()
LIBRARY = (REPO / "docs" / "library.md").read_text()


def test_the_walk_through_the_library_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "__main__"}
    blocks = re.findall(r"```python\n(.*?)```", LIBRARY, re.DOTALL)
    assert len(blocks) >= 8
    for block in blocks:
        exec(compile(block, "docs/library.md", "exec"), space)
    printed = capsys.readouterr().out
    assert "(11, 9)" in printed
    assert "'custom.h5_train_loss_ce_1d.pdf', 'custom.h5_train_loss_accuracy_1d.pdf'" in printed
    assert "loss_surface.h5_train_loss_3dsurface.pdf" in printed
    assert "|w|" in printed
    assert printed.endswith("2.0 1.0\n")
    written = {path.name for path in tmp_path.iterdir()}
    assert {"own.h5", "own.h5_train_loss_2dheat.pdf", "own_train_loss.vtp"} <= written


def test_the_page_of_pictures_draws_its_curves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PICTURES, re.DOTALL)
    exec(compile(block, "docs/pictures.md", "exec"), {"__name__": "__main__"})
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.pdf"]


def test_the_page_between_models_runs_and_shows_its_config(tmp_path, monkeypatch, capsys):
    from landscape_lib import config

    folder = REPO / "docs"
    page = (folder / "between-models.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert shown == (folder / "between_models.yaml").read_text()
    assert list(config.load(folder / "between_models.yaml").runs) == [
        "straight",
        "aligned",
        "path",
        "plane",
    ]
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/between-models.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.count("over_line") == 2
    assert (tmp_path / "loss_surface.h5_train_loss_2dcontour.pdf").exists()


def test_the_page_over_training_runs_and_shows_its_config(tmp_path, monkeypatch, capsys):
    from landscape_lib import config

    page = (REPO / "docs" / "over-training.md").read_text()
    small, shown = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert (REPO / "docs" / "over_training.yaml").read_text().endswith(shown)
    assert len(config.load(REPO / "docs" / "over_training.yaml").runs) == 1 + 6
    (tmp_path / "c.yaml").write_text(f"{small}    grid: {{x: [-1, 1, 5]}}\n")
    assert len(config.load(tmp_path / "c.yaml").runs) == 1 + 10
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/over-training.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.endswith("checkpoint 5 (9, 7)\n")
    for written in ("train_loss_over_training.pdf", "train_loss_over_training.gif"):
        assert (tmp_path / f"mine.h5_{written}").exists()


def test_the_page_of_metrics_runs_and_its_configs_are_read(tmp_path, monkeypatch, capsys):
    from landscape_lib import config

    page = (REPO / "docs" / "metrics.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        (tmp_path / "c.yaml").write_text(
            f"{block}runs: {{a: {{problem: 'a:b', grid: {{x: [0, 1, 2]}}}}}}\n"
        )
        assert config.load(tmp_path / "c.yaml").run("a").metrics is not None
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/metrics.md", "exec"), {"__name__": "__main__"})
    assert "'class_0', 'class_1', 'class_2', 'margin', 'squares'" in capsys.readouterr().out


def test_the_pages_on_sampling_and_on_test_data_run_and_show_their_config(tmp_path, monkeypatch):
    from landscape_lib import config

    folder = REPO / "docs"
    page = (folder / "how-sure.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert shown == (folder / "how_sure.yaml").read_text()
    assert len(config.load(folder / "how_sure.yaml").runs) == 6 + 3
    monkeypatch.chdir(tmp_path)
    other = (folder / "train-and-test.md").read_text()
    for block in re.findall(r"```python\n(import.*?)```", page + other, re.DOTALL):
        exec(compile(block, "docs", "exec"), {"__name__": "__main__"})
    written = {path.name for path in tmp_path.iterdir()}
    assert {"loss_surface.h5_train_loss_seeds.pdf", "loss_surface.h5_test_acc_gap.pdf"} <= written


def test_the_page_of_pictures_shows_options_that_there_are(tmp_path):
    from landscape_lib import config

    runs = "".join(
        f"  {name}: {{problem: 'a:b', grid: {{x: [0, 1, 2]}}}}\n"
        for name in ("with_skips", "without_skips", "s1", "s2", "s3")
    )
    blocks = re.findall(r"```yaml\n(.*?)```", PICTURES, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "c.yaml").write_text(f"{block}runs:\n{runs}")
        assert config.load(tmp_path / "c.yaml").runs


@pytest.mark.parametrize("page", ["batch-norm.md", "layers.md"])
def test_the_pages_of_several_runs_show_a_config_that_brings_runs_along(tmp_path, page):
    from landscape_lib import config

    text = (REPO / "docs" / page).read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "c.yaml").write_text(block)
    names = list(config.load(tmp_path / "c.yaml").runs)
    assert len(names) >= 3
    assert all(f"`{name}`" in text for name in names)


def test_the_page_of_trajectories_shows_configs_that_there_are(tmp_path):
    from landscape_lib import config

    page = (REPO / "docs" / "trajectory.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "c.yaml").write_text(block)
        (run,) = config.load(tmp_path / "c.yaml").runs.values()
        assert run.auto == ("x", "y")
        assert run.trajectories


def test_the_page_of_adaptive_grids_shows_configs_that_there_are(tmp_path):
    from landscape_lib import config

    (block,) = re.findall(r"```yaml\n(.*?)```", (REPO / "docs/adaptive.md").read_text(), re.DOTALL)
    (tmp_path / "c.yaml").write_text(block)
    (run,) = config.load(tmp_path / "c.yaml").runs.values()
    assert run.refinement is not None
    assert run.figures.computed
    whole, adaptive = config.load(REPO / "docs/adaptive.yaml").runs.values()
    assert (whole.refinement, adaptive.refinement) == (None, run.refinement)
    assert whole.grid == adaptive.grid


def test_the_page_for_ones_own_model_builds_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", BRING, re.DOTALL)
    (tmp_path / "own.py").write_text(block)
    problem = build_problem("own.py:build", {})
    evaluate = Evaluator(problem.model.eval(), problem.metrics, prepare(problem.data))
    assert set(evaluate(problem.model)) == {"train_loss_ce", "train_loss_margin"}


def test_the_page_for_ones_own_model_names_every_template():
    named = set(re.findall(r"\| \[(\w+)\]\(\.\./examples/\1\)", BRING))
    assert named == {path.parent.name for path in (REPO / "examples").glob("*/config.yaml")}


def test_the_table_of_calls_has_the_real_signatures():
    import inspect

    from landscape_lib import LossLandscape

    rows = re.findall(r"^\| `(\.\w+|LossLandscape)\((.*?)\)` \|", LIBRARY, re.MULTILINE)
    methods = {name.removeprefix("."): told for name, told in rows}
    for name in (
        "compute_1d",
        "compute_2d",
        "plot_1d",
        "plot_2d_contour",
        "plot_2d_surface",
        "plot_topology",
        "basins",
        "export_paraview",
        "explorer",
        "spectrum",
        "verdict",
        "verify",
        "add_trajectory",
        "LossLandscape",
    ):
        function = getattr(LossLandscape, name, LossLandscape.__init__)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        told = ", ".join(
            p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters
        )
        assert methods[name] == told


def test_the_page_of_curvature_shows_the_config_of_its_pictures_and_its_code_runs(
    tmp_path, monkeypatch, capsys
):
    from landscape_lib import config

    page = (REPO / "docs" / "curvature.md").read_text()
    whole, *parts = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert whole == (REPO / "docs" / "curvature.yaml").read_text()
    assert config.load(REPO / "docs" / "curvature.yaml").runs
    run = "runs: {mine: {problem: 'a:b', grid: {x: [0, 1, 3], y: [0, 1, 2]}}}\n"
    for line in "".join(parts).splitlines():
        (tmp_path / "c.yaml").write_text(f"{line}\n{run}")
        assert config.load(tmp_path / "c.yaml").runs
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/curvature.md", "exec"), {"__name__": "__main__"})
    assert "(5, 4)" in capsys.readouterr().out
    assert (tmp_path / "loss_surface.h5_spectrum.pdf").exists()


@pytest.mark.parametrize(
    ("page", "said", "written"),
    [
        ("topology.md", "(5, 10) (25, 10) (15, 10)", {"two_wells_persistence.pdf"}),
        ("verify.md", "True 20 points, 40 values: all agree, bit for bit.", {"loss_surface.h5"}),
        ("import.md", "0.0\n", {"mine.h5", "other.npz_train_loss_2dcontour.pdf"}),
    ],
)
def test_the_pages_code_runs_and_says_what_is_told(
    page, said, written, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (REPO / "docs" / page).read_text(), re.DOTALL)
    exec(compile(block, f"docs/{page}", "exec"), {"__name__": "__main__"})
    assert said in capsys.readouterr().out
    assert written <= {path.name for path in tmp_path.iterdir()}


def test_the_page_of_basins_shows_the_config_of_its_pictures():
    from landscape_lib import config

    page = (REPO / "docs" / "topology.md").read_text()
    key, whole = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert whole == (REPO / "docs" / "topology.yaml").read_text()
    runs = config.load(REPO / "docs" / "topology.yaml").runs.values()
    assert all(run.figures.topology for run in runs)
    assert key == "figures: {topology: true}\n"


def test_the_overview_of_examples_names_every_template_and_shows_every_picture():
    page = (REPO / "examples" / "README.md").read_text()
    templates = {path.parent.name for path in (REPO / "examples").glob("*/config.yaml")}
    assert set(re.findall(r"\| \[(\w+)\]\(\1\) \|", page)) == templates
    shown = set(re.findall(r'src="(\w+)/landscape\.png"', page))
    assert shown == {path.parent.name for path in (REPO / "examples").glob("*/landscape.png")}


PAGES = [*sorted((REPO / "docs").glob("*.md")), *sorted((REPO / "examples").glob("**/*.md"))]


@pytest.mark.parametrize(
    "page", [*PAGES, REPO / "README.md"], ids=lambda page: str(page.relative_to(REPO))
)
def test_links_between_pages_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link
