// The page's state, and what happens when someone touches it.

const BIG = 100000; // points: from here on the map is drawn when a slider is let go, not before
const data = JSON.parse($("data").textContent);
const runs = data.runs.map((told) => new Landscape(told));
const state = { run: null, key: "", log: false, clip: null, cmap: data.cmap, at: [0, 0], path: true };
const page = { plotly: null, webgl: false, view: null, curves: [], chosen: new Set(), number: 0 };

// ----------------------------------------------------------------------------------- starting

async function start() {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old: it cannot unpack the data (DecompressionStream).");
  }
  await loadPlotly();
  page.webgl = hasWebGL();
  fillMenus();
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  $("main").hidden = false; // plotly.js measures what it draws into
  listen();
  await showRun(runs[0]);
  $("waiting").hidden = true;
}

/** Run plotly.js, which is packed: unpacked it would triple the file. */
async function loadPlotly() {
  const url = URL.createObjectURL(new Blob([await unpacked("plotly")], { type: "text/javascript" }));
  await new Promise((resolve, reject) => {
    const script = element("script", { src: url, onload: resolve });
    script.onerror = () => reject(new Error("This browser refuses to run the page's plotly.js."));
    document.head.append(script);
  });
  URL.revokeObjectURL(url);
  page.plotly = window.Plotly;
}

function hasWebGL() {
  try {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2") || canvas.getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  } catch {
    return false;
  }
}

function fillMenus() {
  const options = (names) => names.map((name, k) => element("option", { value: String(k) }, name));
  $("run").replaceChildren(...options(runs.map((run) => run.name)));
  $("run-field").hidden = runs.length === 1 || data.series !== "";
  $("time-field").hidden = data.series === "";
  $("time").max = String(runs.length - 1);
  $("cmap").replaceChildren(...Object.keys(data.cmaps).map((name) => element("option", { value: name }, name)));
  $("cmap").value = state.cmap;
}

// ----------------------------------------------------------------------------- what is shown

async function showRun(run) {
  if (!run.values.size) await run.load();
  present(run);
  $("metric").replaceChildren(...run.metrics.map((metric, k) => element("option", { value: String(k) }, metric.key)));
  const kept = run.metric(state.key) || run.metrics[0]; // the metric of the run before, if it has it
  $("metric").value = String(run.metrics.indexOf(kept));
  state.at = startOf(run, kept);
  if (run.isCurve) startCurves();
  else showMetric(kept);
}

/** Let the page be about a run: its names, its verdict, where it comes from. */
function present(run) {
  state.run = run;
  page.number = runs.indexOf(run);
  document.body.className = run.isCurve ? "curve" : "surface";
  $("title").textContent = data.series ? `${data.series}: ${run.name}` : run.name;
  fillTime(run);
  const points = run.told.measured.join(" × ");
  $("about").textContent = `Loss ${run.isCurve ? "curve" : "landscape"}, ${points} points, ${count(run.metrics.length, "metric")}`;
  $("path-field").hidden = !run.told.trajectories.length;
  fillVerdict(run.told.verdict);
  fillProvenance(run.told.provenance);
}

/** Return the point that is marked first: the trained weights, else the best, else the middle. */
function startOf(run, metric) {
  if (run.origin) return run.origin;
  if (metric.best) return run.near(metric.best.point);
  return [run.x.length >> 1, run.y.length >> 1];
}

function showMetric(metric) {
  state.key = metric.key;
  state.log = metric.log;
  state.clip = metric.clip;
  $("log").checked = state.log;
  drawMetric();
}

function drawMetric() {
  page.view = new View(state.run, state.key, state.log, state.clip);
  $("map-name").textContent = nameOf(page.view.metric) + (state.log ? ", log scale" : "");
  $("map").setAttribute("aria-label", `Map of ${nameOf(page.view.metric)}; arrow keys move the marked point.`);
  $("to-best").disabled = !page.view.metric.best;
  $("to-origin").disabled = !state.run.origin;
  fillList($("notes"), [...notesOf(page.view), ...notesOnPage(state.run)]);
  fillLegend(page.view);
  showClip();
  drawMap();
  drawRelief();
  drawPoint();
}

function pathShown() {
  return state.path ? state.run.told.trajectories : [];
}

/** Return a name for what zoom and camera belong to: a run, or all moments of a training. */
function zoomedAs() {
  return data.series ? "series" : `run ${page.number}`;
}

function drawMap() {
  const { run, at } = state;
  $("map").hidden = !run.hasCells;
  $("no-map").hidden = run.hasCells;
  $("no-map").textContent = `A map needs two steps or more along both axes; here they have ${run.x.length} and ${run.y.length}. The slices below show every value.`;
  if (!run.hasCells) return;
  const traces = mapTraces(page.view, data.cmaps[state.cmap], pathShown());
  page.plotly.react("map", traces, mapLayout(run, at, zoomedAs()), CONFIG);
  hear($("map"), pointHeard, (points) => chooseNear(points));
}

function drawRelief() {
  const { run, at } = state;
  const missing = noRelief();
  $("relief").hidden = missing !== "";
  $("no-relief").hidden = missing === "";
  $("no-relief").textContent = missing;
  $("relief-note").textContent = "";
  if (missing) return;
  const traces = reliefTraces(page.view, data.cmaps[state.cmap], pathShown(), at);
  page.plotly.react("relief", traces, reliefLayout(page.view, zoomedAs()), CONFIG);
  hear($("relief"), pointHeard, (points) => chooseNear(points));
  const drawn = [run.x, run.y].map((steps) => Math.min(steps.length, FACETS));
  const thinned = drawn[0] < run.x.length || drawn[1] < run.y.length;
  $("relief-note").textContent = `Drag to turn, scroll to come nearer, click to mark a point.${
    thinned ? ` Drawn from ${drawn.join(" × ")} of ${run.x.length} × ${run.y.length} points; the map has all of them.` : ""}`;
}

/** Say why there is no surface to be drawn; nothing where there is one. */
function noRelief() {
  if (!state.run.hasCells) return "There is no surface between so few steps.";
  if (page.view.isEmpty) return state.log ? "No value is positive: a log scale shows nothing." : "No value is finite: there is nothing to be drawn.";
  if (page.webgl) return "";
  return "This browser has no WebGL, which the surface in three dimensions needs. The map and the slices show the same values.";
}

/** Show the marked point everywhere: in the table, the map, the surface, the slices. */
function drawPoint() {
  const { run, at } = state;
  fillPoint($("point"), run, at, state.key);
  const [alpha, beta] = [run.x[at[0]], run.y[at[1]]].map((step) => numberText(step));
  $("slice-x-name").textContent = `Along α, at β = ${beta}`;
  $("slice-y-name").textContent = `Along β, at α = ${alpha}`;
  drawSlice("slice-x", 0);
  drawSlice("slice-y", 1);
}

function drawSlice(id, axis) {
  const { run, at } = state;
  const steps = axis === 0 ? run.x : run.y;
  const picture = linePicture({
    view: page.view,
    steps,
    heights: page.view.slice(axis, at),
    place: at[axis],
    axis: "αβ"[axis],
  });
  page.plotly.react(id, picture.traces, picture.layout, { ...CONFIG, displayModeBar: false });
  const place = (points) => (axis === 0 ? [nearest(steps, points[0].x), state.at[1]] : [state.at[0], nearest(steps, points[0].x)]);
  hear($(id), (points) => everyMetric(run, place(points)), (points) => choose(place(points)));
}

/** Mark another point, and say its values to those who listen. */
function choose(at) {
  state.at = at;
  if (state.run.isCurve) {
    drawCurvePoint();
  } else {
    drawPoint();
    if (state.run.hasCells) moveMarks();
  }
  $("said").textContent = everyMetric(state.run, at, ", ");
}

function moveMarks() {
  page.plotly.relayout("map", { shapes: mapMarks(state.run, state.at) });
  if (noRelief()) return;
  const marks = reliefMarks(page.view, state.at);
  const all = $("relief").data.length;
  const own = marks.map((_, k) => all - marks.length + k);
  const columns = (name) => marks.map((trace) => trace[name]);
  page.plotly.restyle("relief", { x: columns("x"), y: columns("y"), z: columns("z") }, own);
}

// -------------------------------------------------------------------------------------- curves

function startCurves() {
  const { run } = state;
  page.chosen = new Set(run.metrics.slice(0, 4).map((metric) => metric.key));
  state.log = run.metrics.some((metric) => metric.log);
  $("log").checked = state.log;
  const boxes = run.metrics.map((metric) => {
    const box = element("input", { type: "checkbox", checked: page.chosen.has(metric.key) });
    box.addEventListener("change", () => {
      page.chosen[box.checked ? "add" : "delete"](metric.key);
      drawCurves();
    });
    return element("label", { className: "switch" }, box, ` ${metric.key}`);
  });
  $("metrics").replaceChildren($("metrics").firstElementChild, ...boxes);
  $("curve-to-origin").disabled = !run.origin;
  drawCurves();
}

function drawCurves() {
  const { run } = state;
  for (const { picture } of page.curves) page.plotly.purge(picture);
  page.curves = run.metrics
    .filter((metric) => page.chosen.has(metric.key))
    .map((metric) => {
      const log = state.log && metric.goal === "min" && metric.units !== "%"; // as far as it makes sense
      const picture = element("div", { className: "picture low", tabIndex: 0 });
      picture.setAttribute("role", "application");
      picture.setAttribute("aria-label", `Curve of ${nameOf(metric)}; the left and right arrow keys move the marked point.`);
      picture.setAttribute("aria-describedby", "curve-keys");
      picture.addEventListener("keydown", keyPressed);
      return { metric, picture, view: new View(run, metric.key, log, metric.clip) };
    });
  $("curves").replaceChildren(
    ...page.curves.map(({ metric, picture, view }) =>
      element("section", { className: "card" }, element("h2", {}, nameOf(metric) + (view.log ? ", log scale" : "")), picture)),
  );
  fillList($("notes"), [...page.curves.flatMap(({ view }) => notesOf(view)), ...notesOnPage(run)]);
  drawCurvePoint();
}

function drawCurvePoint() {
  const { run, at } = state;
  fillPoint($("curve-point"), run, at);
  for (const { metric, picture, view } of page.curves) {
    const best = metric.best && [metric.best.point[0], view.height(metric.best.value)];
    const drawn = linePicture({ view, steps: run.x, heights: view.slice(0, [0, 0]), place: at[0], axis: run.told.names[0], best });
    page.plotly.react(picture, drawn.traces, drawn.layout, CONFIG);
    const place = (points) => [nearest(run.x, points[0].x), 0];
    hear(picture, (points) => everyMetric(run, place(points)), (points) => choose(place(points)));
  }
}

// --------------------------------------------------------------------------------- listening

/** Listen to plotly.js once: what the mouse is over is shown beside it, what it clicks is marked. */
function hear(picture, hovered, clicked) {
  picture.removeAllListeners?.("plotly_hover");
  picture.removeAllListeners?.("plotly_unhover");
  picture.removeAllListeners?.("plotly_click");
  picture.on("plotly_hover", ({ points }) => showTip(hovered(points)));
  picture.on("plotly_unhover", hideTip);
  picture.on("plotly_click", ({ points }) => clicked(points));
}

function pointHeard([point]) {
  const said = everyMetric(state.run, state.run.near([point.x, point.y]));
  if (!point.data.mode) return said; // not of the training's path
  const way = state.run.told.trajectories[point.data.meta];
  const place = way.steps[point.pointNumber].map((step) => numberText(step)).join(", ");
  const off = way.off && way.off[point.pointNumber] !== null ? `, ${numberText(way.off[point.pointNumber], 3)} off the plane` : "";
  return `${way.name || "training"}, step ${point.pointNumber + 1} of ${way.steps.length}, at (${place})${off}\nnearest point measured: ${said}`;
}

function chooseNear([point]) {
  choose(state.run.near([point.x, point.y]));
}

function showTip(text) {
  $("tip").textContent = text;
  $("tip").hidden = false;
}

function hideTip() {
  $("tip").hidden = true;
}

/** Keep the tip beside the mouse and inside the window. */
function moveTip(event) {
  const { width, height } = $("tip").getBoundingClientRect();
  const left = event.clientX + 16 + width < innerWidth ? event.clientX + 16 : event.clientX - 16 - width;
  const top = Math.min(event.clientY + 16, innerHeight - height - 8);
  $("tip").style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

function keyPressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { run, at } = state;
  const move = MOVES[event.key];
  if (move) {
    const within = (k, count) => Math.min(Math.max(k, 0), count - 1);
    const far = event.shiftKey ? 10 : 1;
    event.preventDefault();
    choose([within(at[0] + far * move[0], run.x.length), within(at[1] + far * move[1], run.y.length)]);
  } else if (event.key.toLowerCase() === "b") {
    toBest();
  } else if (event.key.toLowerCase() === "o") {
    toOrigin();
  }
}

function toBest() {
  const metric = state.run.isCurve ? page.curves[0]?.metric : page.view.metric;
  if (metric?.best) choose(state.run.near(metric.best.point));
}

function toOrigin() {
  if (state.run.origin) choose(state.run.origin);
}

// ----------------------------------------------------------------------------------- controls

/** Put the clip's slider and number where the clip is. */
function showClip() {
  const { view } = page;
  const [low, high] = view.range;
  const end = view.clipsBelow ? low : high;
  const height = state.clip === null ? end : Math.min(Math.max(view.height(state.clip), low), high);
  $("clip-name").textContent = view.clipsBelow ? "Clip below" : "Clip above";
  $("clip").value = String(Math.round((1000 * ((Number.isNaN(height) ? end : height) - low)) / (high - low)));
  $("clip-value").value = state.clip === null ? "" : String(Number(state.clip.toPrecision(6)));
  $("clip-value").placeholder = "none";
  for (const id of ["clip", "clip-value"]) $(id).disabled = view.isEmpty || view.isFlat;
  $("clip-off").disabled = state.clip === null;
  $("clip").setAttribute("aria-valuetext", state.clip === null ? "no clip" : numberText(state.clip));
}

function clipSlid() {
  const { view } = page;
  const [low, high] = view.range;
  const share = Number($("clip").value) / 1000;
  const height = low + share * (high - low);
  const off = share === (view.clipsBelow ? 0 : 1);
  setClip(off ? null : Number((state.log ? 10 ** height : height).toPrecision(4)));
}

function clipTyped() {
  const typed = $("clip-value").valueAsNumber;
  setClip(Number.isNaN(typed) ? null : typed);
}

function setClip(clip) {
  state.clip = clip;
  soon(drawMetric);
}

let waiting = null;

/** Draw at the next frame, once, however many events ask for it. */
function soon(draw) {
  if (waiting === null) {
    waiting = requestAnimationFrame(() => {
      waiting = null;
      draw();
    });
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

function redraw() {
  if (state.run === null) return;
  if (state.run.isCurve) drawCurves();
  else drawMetric();
}

function download() {
  const { run } = state;
  const zoomed = run.isCurve || !run.hasCells ? null : $("map").layout;
  const visible = { x: zoomed?.xaxis.range || rangeOf(run.x), y: zoomed?.yaxis.range || rangeOf(run.y) };
  const url = URL.createObjectURL(new Blob([csvOf(run, visible)], { type: "text/csv" }));
  const name = run.name.replace(/[^A-Za-z0-9._-]+/g, "_");
  element("a", { href: url, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000); // the browser reads it after the click
}

function listen() {
  const on = (id, event, react) => $(id).addEventListener(event, react);
  on("run", "change", () => showRun(runs[Number($("run").value)]));
  on("time", "input", () => {
    pause();
    showMoment(Number($("time").value));
  });
  on("play", "click", play);
  on("metric", "change", () => showMetric(state.run.metrics[Number($("metric").value)]));
  on("log", "change", () => {
    state.log = $("log").checked;
    redraw();
  });
  on("clip", "input", () => {
    if (state.run.size < BIG) clipSlid();
  });
  on("clip", "change", clipSlid);
  on("clip-value", "change", clipTyped);
  on("clip-off", "click", () => setClip(null));
  on("cmap", "change", () => {
    state.cmap = $("cmap").value;
    drawMap();
    drawRelief();
  });
  on("path", "change", () => {
    state.path = $("path").checked;
    drawMap();
    drawRelief();
  });
  on("csv", "click", download);
  on("theme", "click", () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
    setTheme(event.matches ? "dark" : "light");
    redraw();
  });
  on("map", "keydown", keyPressed);
  on("to-best", "click", toBest);
  on("to-origin", "click", toOrigin);
  on("curve-to-origin", "click", toOrigin);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("mousemove", moveTip);
  document.addEventListener("mouseleave", hideTip);
}

start().catch((error) => {
  $("waiting").hidden = true;
  $("trouble").hidden = false;
  $("trouble").textContent = `The page could not be drawn. ${error.message}`;
  throw error;
});
