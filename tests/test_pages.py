"""Pages keep their word: code runs, keys are read, tests, messages and places named are there."""

import re

import numpy as np
import pytest

from landscape_lib import Axis, Grid, Surface, config
from landscape_lib.utils import save_surface
from tests.pipeline.conftest import REPO
from tests.test_traps import names_below

DOCS = REPO / "docs"
ENGLISH, CHINESE = REPO / "README.md", REPO / "README.zh.md"
PAGES = [*sorted(DOCS.glob("*.md")), ENGLISH, CHINESE, REPO / "config" / "README.md"]
RUN = "runs: {mine: {problem: 'a:b', grid: {x: [0, 1, 3], y: [0, 1, 2]}}}\n"
SECTIONS = "grid|directions|evaluation|figures|paraview|verdict|comparison"
NAMES = [page.relative_to(REPO).as_posix() for page in PAGES]


def fences(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def read(folder, text):
    path = folder / "c.yaml"
    path.write_text(text if "runs:" in text.splitlines() else f"{text}\n{RUN}")
    return config.load(path)


def test_the_first_page_reads_a_surface(tmp_path, monkeypatch, capsys):
    place = tmp_path / "results" / "with_skips"
    place.mkdir(parents=True)
    grid = Grid((Axis(-1, 1, 21), Axis(-1, 1, 11)))
    values = np.arange(231.0).reshape(21, 11)
    save_surface(place / "surface.h5", Surface(grid, {"train_loss": values}))
    monkeypatch.chdir(tmp_path)
    (block,) = fences((DOCS / "start.md").read_text(), "python")
    exec(compile(block, "docs/start.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.startswith("(21, 11)")
    assert values[3, 5] == 38


@pytest.mark.parametrize("name", ["start", "directions", "faq", "tips", "performance"])
def test_configs_that_a_page_shows_are_read(name, tmp_path):
    for block in fences((DOCS / f"{name}.md").read_text(), "yaml"):
        assert read(tmp_path, block).runs


def keys_in(text):
    """Return what stands between backticks in a sentence and is a section of a config."""
    return re.findall(rf"`((?:{SECTIONS}): \{{[^`\n]*\}})`", text)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_keys_in_a_sentence_are_read(page, tmp_path):
    for keys in keys_in(page.read_text()):
        if "..." not in keys:
            assert read(tmp_path, keys).runs, keys


def test_keys_in_a_sentence_would_be_missed(tmp_path):
    (keys,) = keys_in("Say `figures: {scal: log}` there.")
    with pytest.raises(ValueError, match="scale"):
        read(tmp_path, keys)


def test_the_page_of_directions_shows_the_config_of_its_picture():
    shown = fences((DOCS / "directions.md").read_text(), "yaml")
    assert (DOCS / "directions.yaml").read_text() in shown


def test_the_tests_that_show_a_promise_are_there():
    named = set(re.findall(r"`(tests/[^`]*::[^`]*)`", (DOCS / "reliability.md").read_text()))
    assert len(named) > 40
    assert named <= names_below(REPO)


def test_messages_in_the_page_of_tips_are_those_of_the_program():
    source = "".join(path.read_text() for path in (REPO / "landscape_lib").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # strings go on in the next line
    page = (DOCS / "tips.md").read_text()
    table = page.partition("| message |")[2].partition("\n\n")[0]
    messages = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(messages) > 15
    assert [message for message in messages if message not in source] == []


def test_every_page_stands_in_the_list_of_pages():
    text = (DOCS / "README.md").read_text()
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", text))
    assert listed == {path.name for path in DOCS.glob("*.md")} - {"README.md"}


def test_both_readmes_have_the_same_code_and_sections():
    english, chinese = ENGLISH.read_text(), CHINESE.read_text()
    code = re.compile(r"```.*?```", re.DOTALL)
    assert code.findall(chinese) == code.findall(english)
    assert len(re.findall(r"^## ", chinese, re.M)) == len(re.findall(r"^## ", english, re.M))
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) for text in (english, chinese)]
    assert links[1] - links[0] == {"README.md"}  # nothing that the English one does not know
    assert "docs/README.md" in links[1]  # from where every page is reached


def anchors(text):
    """Return what headings are linked by: letters, digits and hyphens, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_into_a_page_lead_to_a_heading(page):
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", page.read_text()):
        if "://" not in link:
            target = page.parent / link if link else page
            assert anchor in anchors(target.read_text()), f"{link}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_benchmarks_that_a_page_names_are_there(page):
    from benchmarks.__main__ import ROWS

    for rows in re.findall(r"-m benchmarks --only ([\w,]+)", page.read_text()):
        assert set(rows.split(",")) <= set(ROWS)
