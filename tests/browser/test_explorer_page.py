"""What the explorer's page does in a real browser, opened as a file and without a network.

These need a Chromium; without one they are skipped.  On Debian and its kin:
``apt-get install -y --no-install-recommends chromium``.
"""

import csv
import io
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.surface import Label, Surface, Trajectory
from landscape_lib.verdict import page as verdict_page
from landscape_lib.viz.explorer import Entry, write_explorer
from tests.viz.test_explorer import EVIL, VERDICT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]

FLAGS = (
    "--no-sandbox --disable-gpu --enable-unsafe-swiftshader --disable-background-networking "
    "--no-first-run"
).split()
GRID = Grid((Axis(-1, 2, 13), Axis(-0.5, 0.75, 6)))
X, Y = (axis.steps() for axis in GRID.axes)
BOWL = (X[:, None] - 1.5) ** 2 + 3 * (Y[None, :] - 0.25) ** 2 + 0.01
HOLES = BOWL.copy()
HOLES[4, 1], HOLES[0, 5] = np.nan, np.inf
ACCURACY = 100 - 10 * BOWL
SURFACE = Surface(
    GRID,
    {"train_loss": HOLES, "train_acc": ACCURACY, "test_loss": BOWL - 1},
    {"seed": "[0,1]", "config": '{"grid":{"x":[-1,2,13],"y":[-0.5,0.75,6],"shards":"auto"}}'},
)
PATH = np.array([[-1, 0.7], [0.1, 0.5], [1.4, 0.2]])
CURVE = Surface(
    Grid((Axis(-1, 1, 9),)),
    {"train_loss": np.linspace(-1, 1, 9) ** 2 + 0.001, "train_acc": np.linspace(20, 60, 9)},
)


@pytest.fixture(scope="module")
def chromium():
    """A browser without WebGL, which starts pages faster; ``relief`` has one with it."""
    with sync_playwright() as driver:
        start = driver.chromium.launch
        flat = start(executable_path=CHROMIUM, args=[*FLAGS, "--disable-3d-apis"])
        deep = start(executable_path=CHROMIUM, args=FLAGS)
        yield {"flat": flat, "deep": deep}
        flat.close()
        deep.close()


@pytest.fixture
def show(chromium, tmp_path):
    """Return what opens the page of some runs; nothing may go wrong or leave the page meanwhile."""
    troubles, pages = [], []

    def opened(*entries, deep=False, series="", **options):
        path = write_explorer(entries, tmp_path / "page.html", series=series)
        page = at(path, deep=deep, **options)
        page.wait_for_selector("#waiting", state="hidden")
        return page

    def at(path, deep=False, **options):
        options = {"viewport": {"width": 1300, "height": 900}, **options}
        page = chromium["deep" if deep else "flat"].new_page(**options)
        pages.append(page)
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: asked(r.url))
        page.goto(path.as_uri())
        return page

    def asked(url):
        own = url.endswith(("page.html", "verdict.html"))
        if url.split(":")[0] not in {"blob", "data"} and not own:
            troubles.append(url)

    opened.troubles, opened.at = troubles, at
    yield opened
    for page in pages:
        page.close()
    assert troubles == []


def one(**more):
    return Entry("one", SURFACE, **more)


def point(page):
    """The table of the marked point: names and spelled values."""
    rows = page.locator("#point tr").all()
    return dict(row.inner_text().split("\t") for row in rows)


def place(page, alpha, beta):
    """Where a point of the map is on the screen."""
    return page.evaluate(
        """([alpha, beta]) => {
            const map = document.getElementById("map"), { xaxis, yaxis } = map._fullLayout;
            const box = map.getBoundingClientRect();
            const [left, top] = [box.left + xaxis._offset, box.top + yaxis._offset];
            return [left + xaxis.d2p(alpha), top + yaxis.d2p(beta)];
        }""",
        [alpha, beta],
    )


def drawn(page, picture, attribute):
    return page.evaluate(f"document.getElementById({picture!r}).{attribute}")


def until(page, condition):
    """Wait for a condition; the page's policy forbids Playwright's own way, which evals."""
    end = time.monotonic() + 20
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def notes(page):
    return page.locator("#notes").inner_text()


def downloaded(page):
    with page.expect_download() as waiting:
        page.click("#csv")
    text = waiting.value.path().read_bytes().decode()
    return waiting.value.suggested_filename, list(csv.reader(io.StringIO(text)))


def test_the_optimum_is_drawn_at_its_alpha_and_beta_trap_1(show):
    page = show(one())
    page.keyboard.press("Tab")
    page.focus("#map")
    page.keyboard.press("b")
    assert point(page)["α"] == "1.5"
    assert point(page)["β"] == "0.25"
    assert point(page)["train loss"] == "0.01"
    contour = drawn(page, "map", "data[0]")
    heights = np.array(contour["z"], dtype=float)
    assert heights.shape == (6, 13)  # plotly's rows are y
    iy, ix = np.unravel_index(heights.argmin(), heights.shape)
    assert (contour["x"][ix], contour["y"][iy]) == (1.5, 0.25)
    star = drawn(page, "map", "data[5]")
    assert (star["x"], star["y"], star["marker"]["symbol"]) == ([1.5], [0.25], "star")
    page.select_option("#metric", label="train_acc")
    assert "best 99.9 at (1.5, 0.25)" in page.locator("#legend").inner_text()


def test_a_click_marks_the_point_in_map_slices_and_words(show):
    page = show(one())
    page.mouse.click(*place(page, -0.52, 0.53))
    until(page, "document.getElementById('said').textContent")
    assert page.locator("#said").inner_text().startswith("α = −0.5, β = 0.5, train loss: ")
    assert point(page)["train accuracy (%)"] == f"{ACCURACY[2, 4]:.6g}"
    marks = drawn(page, "map", "layout.shapes")
    assert {(mark.get("xanchor"), mark.get("yanchor")) for mark in marks[2:]} == {(-0.5, 0.5)}
    along_alpha, along_beta = (drawn(page, f"slice-{axis}", "data[0].y") for axis in "xy")
    np.testing.assert_allclose(along_alpha, np.log10(HOLES[:, 4]))
    np.testing.assert_allclose(along_beta, np.log10(HOLES[2, :]))
    assert page.locator("#slice-x-name").inner_text() == "Along α, at β = 0.5"


def test_hovering_says_alpha_beta_and_every_metric(show):
    page = show(one())
    page.mouse.move(*place(page, 1.0, 0.5))
    page.wait_for_selector("#tip", state="visible")
    said = page.locator("#tip").inner_text().split("\n")
    assert said == [
        "α = 1, β = 0.5",
        "train loss: 0.4475",
        "train accuracy (%): 95.525",
        f"test loss: −{1 - BOWL[8, 4]:.6g}",
    ]


def test_arrow_keys_move_the_point_cell_by_cell_and_are_spoken(show):
    page = show(one())
    assert point(page)["α"] == "0"  # the trained weights come first
    page.focus("#map")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    assert (point(page)["α"], point(page)["β"]) == ("0.25", "−0.25")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowLeft")  # there is nothing beyond the edge
    assert (point(page)["α"], point(page)["β"]) == ("−1", "−0.25")
    assert page.locator("#said").get_attribute("aria-live") == "polite"
    assert page.locator("#said").inner_text().startswith("α = −1, β = −0.25, train loss: ")
    page.keyboard.press("o")
    assert (point(page)["α"], point(page)["β"]) == ("0", "0")


def test_everything_that_can_be_used_has_a_name(show):
    page = show(one(verdict=VERDICT))
    unnamed = page.evaluate(
        """[...document.querySelectorAll("select, input, button, [tabindex], [role=img]")]
        .filter((e) => !e.closest(".js-plotly-plot *") && !(e.labels && e.labels.length)
            && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")
            && !(e.tagName === "BUTTON" && e.textContent.trim())).map((e) => e.id)"""
    )
    assert unnamed == []


def test_how_a_metric_is_averaged_is_said_beside_it(show):
    label = Label("train own", note="averaged over batches, weighted by their samples")
    page = show(Entry("one", Surface(SURFACE.grid, {"own": BOWL}, labels={"own": label})))
    assert "train own: averaged over batches, weighted by their samples" in notes(page)


def test_log_and_clip_change_levels_and_are_said(show):
    page = show(one())
    assert page.is_checked("#log")
    np.testing.assert_allclose(drawn(page, "map", "data[0].z[3][4]"), np.log10(BOWL[4, 3]))
    assert "2 of 78 points are holes: 1 NaN, 1 +∞" in notes(page)
    page.uncheck("#log")
    np.testing.assert_allclose(drawn(page, "map", "data[0].z[3][4]"), BOWL[4, 3])
    page.fill("#clip-value", "2")
    page.press("#clip-value", "Enter")
    until(page, "document.getElementById('map').data[0].contours.end === 2")
    beyond = int((HOLES[np.isfinite(HOLES)] > 2).sum())
    assert f"{beyond} points lie above the clip" in notes(page)
    page.click("#clip-off")
    until(page, "document.getElementById('map').data[0].contours.end > 2")
    page.focus("#clip")
    page.keyboard.press("Home")  # the slider's lower end would cut everything: nothing is cut
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('clip-value').value !== ''")
    page.select_option("#metric", label="test_loss")
    page.check("#log")
    negative = int((BOWL - 1 <= 0).sum())
    assert f"{negative} values are not positive: missing on the log scale" in notes(page)
    page.select_option("#metric", label="train_acc")
    assert page.locator("#clip-name").inner_text() == "Clip below"


def test_colours_change_the_map(show):
    page = show(one())
    first = drawn(page, "map", "data[0].colorscale")
    page.select_option("#cmap", "magma")
    assert drawn(page, "map", "data[0].colorscale") != first
    assert drawn(page, "map", "data[0].colorscale[0][1]") == "#000004"


def test_the_csv_reads_back_as_the_surface(show):
    page = show(one())
    name, (head, *rows) = downloaded(page)
    assert name == "one.csv"
    assert head == ["alpha", "beta", "train_loss", "train_acc", "test_loss"]
    numbers = np.array(rows, dtype=float).reshape(13, 6, 5)
    np.testing.assert_array_equal(numbers[..., 0], np.broadcast_to(X[:, None], (13, 6)))
    np.testing.assert_array_equal(numbers[..., 1], np.broadcast_to(Y[None, :], (13, 6)))
    np.testing.assert_array_equal(numbers[..., 2], HOLES)
    np.testing.assert_array_equal(numbers[..., 3], ACCURACY)
    page.evaluate(
        "Plotly.relayout('map', {'xaxis.range': [-0.1, 1.1], 'yaxis.range': [-0.1, 0.3]})"
    )
    assert len(downloaded(page)[1]) == 1 + 5 * 2  # what is seen: 0 to 1 by 0.25, 0 and 0.25


def test_without_webgl_the_map_stays_and_the_page_says_so(show):
    page = show(one())
    assert "This browser has no WebGL" in page.locator("#no-relief").inner_text()
    assert page.locator("#relief").is_hidden()
    assert page.locator("#map .contour").count() > 0


def test_the_surface_in_three_dimensions_is_linked_with_the_map(show):
    walked = replace(SURFACE, trajectories=(Trajectory(*PATH.T),))
    page = show(Entry("one", walked), deep=True)
    traces = drawn(page, "relief", "data")
    assert traces[0]["type"] == "surface"
    assert np.array(traces[0]["z"], dtype=float).shape == (6, 13)
    page.mouse.click(*place(page, 1.25, 0.5))
    until(page, "document.getElementById('relief').data[6].x[0] === 1.25")
    mark = drawn(page, "relief", "data[6]")
    assert (mark["x"], mark["y"]) == ([1.25], [0.5])
    np.testing.assert_allclose(mark["z"][0], np.log10(HOLES[9, 4]), atol=0.02)
    # and back: what plotly.js says of a click on the surface marks the map
    page.evaluate(
        "document.getElementById('relief').emit('plotly_click', {points: [{x: 0.5, y: -0.25}]})"
    )
    assert (point(page)["α"], point(page)["β"]) == ("0.5", "−0.25")
    assert drawn(page, "map", "layout.shapes[2].xanchor") == 0.5
    # the training's path lies on both, at the height of the surface between its points
    assert drawn(page, "map", "data[2].x") == PATH[:, 0].tolist()
    found = drawn(page, "relief", "data[1].z")
    assert found[0] is None  # beside the hole at the corner
    np.testing.assert_allclose(found[-1], np.log10(0.02), atol=0.3)
    places = np.array([drawn(page, "relief", f"data[1].{name}") for name in "xy"])
    assert (np.abs(np.diff(places)).max(axis=1) <= np.array([0.125, 0.125]) + 1e-9).all()
    assert all((places.T == step).all(axis=1).any() for step in PATH)  # half a cell apart at most
    page.uncheck("#path")
    assert drawn(page, "map", "data[2].x") == []


def test_several_trainings_have_names_and_colours_of_their_own(show):
    ways = (
        Trajectory(*PATH.T, "SGD", [0.0, 1.5, 0.0]),
        Trajectory([0.5, 1.0], [0.0, 0.5], "<b>Adam</b>"),
    )
    told = [{"kind": "pca", "component": 1, "explained_variance_ratio": 0.931}, {}]
    surface = replace(SURFACE, trajectories=ways, attributes={"axis_directions": told})
    page = show(Entry("both", surface))
    assert drawn(page, "map", "data[3].x") == [0.5, 1.0]
    colours = [drawn(page, "map", f"data[{n}].line.color") for n in (2, 3)]
    assert colours[0] != colours[1]
    legend = page.locator("#legend").inner_text()
    assert "SGD" in legend
    assert "<b>Adam</b>" in legend
    assert drawn(page, "map", "layout.xaxis.title.text") == "α: PC 1 (93.1 % of the variance)"
    page.mouse.move(*place(page, 1.0, 0.5))
    page.wait_for_selector("#tip", state="visible")
    page.evaluate(
        """document.getElementById('map').emit('plotly_hover', {points: [
            {x: 0.1, y: 0.5, pointNumber: 1, data: {mode: 'lines+markers', meta: 0}}]})"""
    )
    said = page.locator("#tip").inner_text()
    assert said.startswith("SGD, step 2 of 3, at (0.1, 0.5), 1.5 off the plane\n")


def test_a_strangers_names_are_shown_and_never_run(show):
    labels = {EVIL: Label(EVIL, EVIL), "=1+1": Label("<b>bold</b>")}
    evil = Surface(GRID, {EVIL: BOWL, "=1+1": BOWL}, {EVIL: EVIL}, labels)
    row = {"state": "note", "title": EVIL, "found": EVIL, "why": EVIL, "do": EVIL}
    number = {"name": EVIL, "value": 1, "units": EVIL, "definition": EVIL, "source": EVIL}
    verdict = {**VERDICT, "checks": [row], "numbers": [number]}
    page = show(Entry(EVIL, evil, verdict), Entry("<i>other</i>", SURFACE))
    page.mouse.move(*place(page, 1.0, 0.5))
    page.wait_for_selector("#tip", state="visible")
    assert page.locator("#title").inner_text() == EVIL
    assert page.title() == f"{EVIL}, <i>other</i> – loss landscape"
    assert f"{EVIL} ({EVIL}): " in page.locator("#tip").inner_text()
    assert page.locator("img, i, td b, th b").count() == 0
    assert page.evaluate("window.hacked") is None
    head = downloaded(page)[1][0]
    assert head == ["alpha", "beta", EVIL, "'=1+1"]


def test_a_strangers_names_are_shown_and_never_run_in_a_film_and_on_a_verdict(show, tmp_path):
    labels = {EVIL: Label(EVIL, EVIL)}
    moments = [Entry(EVIL * n, Surface(GRID, {EVIL: BOWL}, labels=labels)) for n in (1, 2)]
    film = show(*moments, series=EVIL)
    assert film.locator("#title").inner_text() == f"{EVIL}: {EVIL}"
    row = {"id": EVIL, "state": "note", "title": EVIL, "found": EVIL, "why": EVIL, "do": EVIL}
    number = dict.fromkeys(("name", "key", "units", "definition", "source"), EVIL) | {"value": 1.5}
    path = tmp_path / "verdict.html"
    path.write_text(
        verdict_page.page({"run": EVIL, "checks": [row], "numbers": [number]}), encoding="utf-8"
    )
    found = show.at(path)
    assert found.locator("h1").inner_text().count(EVIL) == 1
    assert found.locator("body").inner_text().count(EVIL) >= 6
    for shown in (film, found):
        assert shown.locator("img").count() == 0
        assert shown.evaluate("window.hacked") is None


def test_the_policy_stops_requests_and_scripts_that_would_be_tried(show):
    page = show(one())
    page.evaluate(
        """document.addEventListener("securitypolicyviolation", (event) => {
            (window.stopped ||= []).push(event.effectiveDirective);
        })"""
    )
    refused = page.evaluate("fetch('data:,x').then(() => 'came', () => 'refused')")
    assert refused == "refused"
    assert page.evaluate("window.stopped") == ["connect-src"]
    assert "violates the following Content Security Policy" in show.troubles.pop(0)
    show.troubles.clear()  # the browser says it once more, in other words


def test_a_menu_of_runs_shows_surfaces_and_curves(show):
    page = show(one(), Entry("a curve", CURVE))
    page.select_option("#run", label="a curve")
    page.wait_for_selector("#curves .js-plotly-plot")
    assert page.locator("#title").inner_text() == "a curve"
    assert page.locator("#curves section").count() == 2
    assert page.locator("#map").is_hidden()
    first = "#curves .js-plotly-plot"
    heights = page.evaluate(f"document.querySelector({first!r}).data[0].y")
    np.testing.assert_allclose(heights, np.log10(CURVE["train_loss"]))
    page.uncheck("#log")
    heights = page.evaluate(f"document.querySelector({first!r}).data[0].y")
    np.testing.assert_allclose(heights, CURVE["train_loss"])
    page.locator(first).first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#said").inner_text().startswith("α = 0.25, train loss: 0.0635, ")
    page.uncheck("#metrics label:has-text('train_acc') input")
    assert page.locator("#curves section").count() == 1
    assert downloaded(page)[1][1] == ["-1", "1.001", "20"]
    page.select_option("#run", label="one")
    page.wait_for_selector("#map .contour")
    assert page.locator("#curves").is_hidden()


ODD = {
    "all missing": ((4, 3), np.full((4, 3), np.nan), "no finite value in 12 points"),
    "constant": ((4, 3), np.full((4, 3), 2.5), "constant 2.5"),
    "a row": ((5, 1), np.arange(5.0)[:, None], ""),
    "a column": ((1, 3), np.arange(3.0)[None, :], ""),
    "a point": ((1, 1), np.ones((1, 1)), "constant 1"),
}


def test_a_slider_goes_through_a_training_on_one_scale(show):
    """Scale, clip and the marked point stay; the numbers are the moment's own."""
    moments = [BOWL * scale for scale in (1, 10, 100)]
    entries = [Entry(f"epoch {n}", Surface(GRID, {"loss": m})) for n, m in enumerate(moments)]
    page = show(*entries, series="training")
    assert page.locator("#title").inner_text() == "training: epoch 0"
    assert page.locator("#run-field").is_hidden()
    bounds = drawn(page, "map", "data[0].zmax")
    page.locator("#map").press("ArrowRight")
    at = drawn(page, "map", "layout.shapes")
    time_slider = page.locator("#time")
    time_slider.fill("2")
    until(page, "document.getElementById('title').textContent === 'training: epoch 2'")
    assert drawn(page, "map", "layout.shapes") == at
    assert drawn(page, "map", "data[0].zmax") == bounds
    assert time_slider.get_attribute("aria-valuetext") == "epoch 2"
    page.locator("#play").click()
    until(page, "document.getElementById('title').textContent === 'training: epoch 0'")
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Play"


def test_odd_surfaces_say_what_is_there(show):
    def axis(count):
        return Axis(-1, 1, count) if count > 1 else Axis(0, 0, 1)

    entries = [
        Entry(name, Surface(Grid(tuple(map(axis, shape))), {"train_loss": values}))
        for name, (shape, values, _) in ODD.items()
    ]
    page = show(*entries, deep=True)
    for name, (shape, _, said) in ODD.items():
        page.select_option("#run", label=name)
        until(page, f"document.getElementById('title').textContent === {name!r}")
        assert said in notes(page)
        assert page.locator("#map").is_visible() == (min(shape) > 1)
        if min(shape) == 1:
            assert f"here they have {shape[0]} and {shape[1]}" in page.inner_text("#no-map")
    assert page.locator("#trouble").is_hidden()


def test_verdict_and_provenance_are_words(show):
    page = show(one(verdict=VERDICT))
    assert page.locator("#checks li").inner_text().startswith("⚠ warning")
    rows = page.locator("#numbers tbody tr")
    told = ["sharpness train_loss", "1.5", "steepest rise", "here"]
    assert rows.nth(0).inner_text().split("\t") == told
    assert rows.nth(1).inner_text().split("\t")[1] == "not known"
    page.click("#provenance summary")
    told = page.locator("#attributes").inner_text()
    assert "seed of each direction\n[0,1]" in told
    assert '"shards": "auto"' in told


def test_dark_mode_follows_the_system_and_the_button(show):
    page = show(one(), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(18, 20, 23)"
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    ink = drawn(page, "map", "layout.font.color")
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(244, 244, 241)"
    assert drawn(page, "map", "layout.font.color") != ink


def test_a_phone_shows_one_column(show):
    page = show(one(verdict=VERDICT), viewport={"width": 390, "height": 844})
    boxes = [page.locator(f"#{name}").bounding_box() for name in ("map", "slice-x", "slice-y")]
    assert len({round(box["x"]) for box in boxes}) == 1
    assert all(box["width"] > 300 for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("kind", ["smooth", "rough and half missing"])
def test_a_million_points_are_usable_on_a_software_renderer(show, kind):
    grid = Grid((Axis(-1, 1, 1001), Axis(-1, 1, 1001)))
    x, y = (axis.steps() for axis in grid.axes)
    bowl = 1 + (x[:, None] - 0.2) ** 2 + 3 * (y[None, :] + 0.4) ** 2
    if kind != "smooth":
        bowl *= 1 + 0.1 * np.random.default_rng(0).normal(size=bowl.shape)
        bowl[:450] = np.nan
    names = ("train_loss", "train_acc", "test_loss")
    start = time.monotonic()
    page = show(Entry("big", Surface(grid, {name: bowl for name in names})), deep=True)
    assert time.monotonic() - start < 20  # the first picture, writing the page included
    assert drawn(page, "map", "data[0].z.length") == 1001
    assert drawn(page, "relief", "data[0].z.length") == 200
    assert "Drawn from 200 × 200 of 1001 × 1001" in page.inner_text("#relief-note")
    assert "values are kept to 7 digits (float32)" in notes(page)
    assert ("too rough for lines" in notes(page)) == (kind != "smooth")
    page.focus("#map")
    start = time.monotonic()
    page.keyboard.press("ArrowRight")
    assert point(page)["α"] == "0.002"
    assert time.monotonic() - start < 10
