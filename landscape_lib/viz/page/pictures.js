// What plotly.js is asked to draw.  No name out of the data goes through it: it takes some of HTML
// for markup.  Headings are the page's own.

const FACETS = 200; // the surface is drawn from at most so many steps along each axis
const DOTS = 101; // of a longer line only the points without a neighbour get a dot
const MOST_CROSSINGS = 150000; // of levels; a rougher map gets bands of colour without lines
const WIDE = 3; // axes are drawn to scale up to this ratio of their lengths
const MARK = "#d6336c"; // on the colour maps, which dark mode leaves as they are
const WAYS = [MARK, "#4dabf7", "#101010", "#f59f00"]; // of trainings, by turns
const DASHES = ["solid", "dash", "dot", "dashdot"];
const LIFT = 0.006; // of the height: keeps lines on the surface from sinking into it

const CONFIG = {
  displaylogo: false,
  responsive: true,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "hoverClosest3d", "resetCameraLastSave3d"],
  showSendToCloud: false,
};

/** Return a colour of the page, which dark mode changes. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function colourScale(colours) {
  return colours.map((hex, k) => [k / (colours.length - 1), hex]);
}

function axisLook(more = {}) {
  return {
    color: colour("soft"),
    gridcolor: colour("grid"),
    zeroline: false,
    linecolor: colour("line"),
    showline: true,
    ticks: "outside",
    ticklen: 4,
    tickcolor: colour("line"),
    ...more,
  };
}

function layoutLook(more) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("soft") },
    showlegend: false,
    hovermode: "closest",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("accent"), orientation: "h" },
    ...more,
  };
}

/** Return a range that shows every step, with some room where there is one step alone. */
function rangeOf(steps, room = 0) {
  const [low, high] = [steps[0], steps[steps.length - 1]];
  const edge = high > low ? room * (high - low) : 0.5;
  return [low - edge, high + edge];
}

function isToScale({ x, y }) {
  const [wide, high] = [x, y].map((steps) => steps[steps.length - 1] - steps[0]);
  return Math.max(wide, high) <= WIDE * Math.min(wide, high);
}

// ------------------------------------------------------------------------------------ the map

/** Whether contour lines would cover the map, and take minutes to be found. */
function isRough(view) {
  return view.crossings(levelsBetween(...view.bounds)) > MOST_CROSSINGS;
}

/** Return the values as colours in bands, with lines between them unless that are too many. */
function bands(view, colours) {
  const { x, y } = view.landscape;
  const [low, high] = view.bounds;
  const levels = levelsBetween(low, high);
  const ticks = ticksBetween(low, high, view.log);
  const steps = [x, y].map((axis) => axis.map((_, k) => k));
  const shared = {
    x,
    y,
    colorscale: colourScale(colours),
    zauto: false,
    hoverinfo: "none",
    colorbar: {
      thickness: 13,
      outlinewidth: 0,
      x: 1.01,
      xpad: 4,
      tickvals: ticks.heights,
      ticktext: ticks.texts,
      tickfont: { color: colour("soft") },
    },
  };
  const { start, end, size } = levels;
  if (isRough(view)) {
    const last = end + size / 2;
    const middle = (height) => Math.min(Math.max(start + (Math.floor((height - start) / size) + 0.5) * size, start - size / 2), last);
    return { ...shared, type: "heatmap", z: view.rows(...steps, middle), zmin: start - size / 2, zmax: last };
  }
  const z = view.rows(...steps, undefined, view.hasHoles && !view.isEmpty ? view.filled() : view.heights);
  return {
    ...shared,
    type: "contour",
    z,
    autocontour: false,
    contours: { ...levels, coloring: "fill" },
    line: { width: 0.7, color: "rgba(0,0,0,0.42)" },
    zmin: low,
    zmax: high,
  };
}

/** Return what covers the holes of the map, half a cell around each, in the colour of missing values. */
function cover(view) {
  const { x, y } = view.landscape;
  const steps = [x, y].map((axis) => axis.map((_, k) => k));
  const missing = Float64Array.from(view.heights, (height) => Number(Number.isNaN(height)));
  return {
    type: "contour",
    x,
    y,
    z: view.hasHoles && !view.isEmpty ? view.rows(...steps, undefined, missing) : [[null]],
    autocontour: false,
    contours: { start: 0.5, end: 0.5, size: 1, coloring: "fill", showlines: false },
    colorscale: [[0, "rgba(0,0,0,0)"], [1, colour("hole")]],
    showscale: false,
    hoverinfo: "skip",
  };
}

/** Return the look of a training's way; the first is drawn, empty, where there is none. */
function wayLook(number, more) {
  return { color: WAYS[number % WAYS.length], dash: DASHES[number % DASHES.length], ...more };
}

function waysOf(paths) {
  return paths.length ? paths.map((path) => path.steps) : [[]];
}

function mapTraces(view, colours, paths) {
  const quiet = { type: "scatter", mode: "markers", hoverinfo: "skip", cliponaxis: false };
  const point = (at) => (at === null ? { x: [], y: [] } : { x: [at[0]], y: [at[1]] });
  const origin = view.landscape.origin;
  const plus = point(origin && [0, 0]);
  const best = view.metric.best && view.metric.best.point;
  return [
    bands(view, colours),
    cover(view),
    ...waysOf(paths).map((steps, number) => ({
      type: "scatter",
      mode: "lines+markers",
      meta: number, // for what is said of the point under the mouse
      x: steps.map(([alpha]) => alpha),
      y: steps.map(([, beta]) => beta),
      line: wayLook(number, { width: 2 }),
      marker: { color: wayLook(number).color, size: 4 },
      hoverinfo: "none",
    })),
    { ...quiet, ...plus, marker: { symbol: "cross-thin", size: 13, line: { width: 4.5, color: "#ffffff" } } },
    { ...quiet, ...plus, marker: { symbol: "cross-thin", size: 12, line: { width: 2, color: "#000000" } } },
    { ...quiet, ...point(best), marker: { symbol: "star", size: 14, color: "#ffffff", line: { width: 1.2, color: "#000000" } } },
  ];
}

function mapLayout(landscape, at, revision) {
  const y = isToScale(landscape) ? { scaleanchor: "x", constrain: "domain" } : {};
  return layoutLook({
    margin: { l: 52, r: 8, t: 30, b: 42 },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    plot_bgcolor: colour("hole"),
    uirevision: revision,
    xaxis: axisLook({ title: { text: landscape.told.names[0] }, range: rangeOf(landscape.x), constrain: "domain", showgrid: false }),
    yaxis: axisLook({ title: { text: landscape.told.names[1] }, range: rangeOf(landscape.y), showgrid: false, ...y }),
    shapes: mapMarks(landscape, at),
  });
}

/** Return the marked point as shapes: moving a shape draws nothing else anew. */
function mapMarks({ x, y }, [ix, iy]) {
  const [alpha, beta] = [x[ix], y[iy]];
  const thin = { width: 1, color: "rgba(255,255,255,0.65)", dash: "dot" };
  const ring = (size, width, ink) => ({
    type: "circle",
    xsizemode: "pixel",
    ysizemode: "pixel",
    xanchor: alpha,
    yanchor: beta,
    x0: -size,
    x1: size,
    y0: -size,
    y1: size,
    line: { width, color: ink },
  });
  return [
    { type: "line", x0: alpha, x1: alpha, yref: "y domain", y0: 0, y1: 1, line: thin },
    { type: "line", y0: beta, y1: beta, xref: "x domain", x0: 0, x1: 1, line: thin },
    ring(8, 4.5, "#ffffff"),
    ring(8, 2.2, MARK),
  ];
}

// -------------------------------------------------------------------------------- the surface

function reliefTraces(view, colours, paths, at) {
  const { x, y } = view.landscape;
  const [low, high] = view.bounds;
  const levels = levelsBetween(low, high);
  const [xs, ys] = [spread(x.length, FACETS), spread(y.length, FACETS)];
  const surface = {
    type: "surface",
    x: xs.map((ix) => x[ix]),
    y: ys.map((iy) => y[iy]),
    z: view.rows(xs, ys, (height) => Math.min(Math.max(height, low), high)),
    cauto: false,
    cmin: levels.start - levels.size / 2, // as the bands of the map are coloured
    cmax: levels.end + levels.size / 2,
    colorscale: colourScale(colours),
    showscale: false,
    connectgaps: false,
    hoverinfo: "none",
    contours: {
      x: { highlight: false },
      y: { highlight: false },
      // Lines beside holes cost a software renderer seconds for every frame.
      z: { show: !view.hasHoles, ...levels, width: 1, color: "rgba(0,0,0,0.45)", highlight: false },
    },
    lighting: { ambient: 0.72, diffuse: 0.6, specular: 0.08, roughness: 0.7, fresnel: 0.05 },
    lightposition: { x: -800, y: -1200, z: 2500 },
  };
  const quiet = { type: "scatter3d", hoverinfo: "skip" };
  const marker = (point, look) => ({ ...quiet, mode: "markers", ...onSurface(view, point), marker: look });
  const best = view.metric.best && [view.metric.best.point];
  const origin = view.landscape.origin && [[0, 0]];
  return [
    surface,
    ...waysOf(paths).map((steps, number) => ({ ...quiet, mode: "lines", ...onSurface(view, followed(view.landscape, steps)), connectgaps: false, line: wayLook(number, { width: 5 }) })),
    marker(origin || [], { symbol: "cross", size: 4, color: "#000000", line: { width: 1, color: "#ffffff" } }),
    marker(best || [], { symbol: "diamond", size: 5, color: "#ffffff", line: { width: 1.5, color: "#000000" } }),
    ...reliefMarks(view, at),
  ];
}

/** Return the marked point on the surface, and the two slices through it. */
function reliefMarks(view, at) {
  const { x, y } = view.landscape;
  const [ix, iy] = at;
  const line = { type: "scatter3d", mode: "lines", hoverinfo: "skip", line: { color: "#ffffff", width: 3 } };
  return [
    { ...line, x, y: x.map(() => y[iy]), z: raised(view, view.slice(0, at)) },
    { ...line, x: y.map(() => x[ix]), y, z: raised(view, view.slice(1, at)) },
    {
      type: "scatter3d",
      mode: "markers",
      hoverinfo: "skip",
      x: [x[ix]],
      y: [y[iy]],
      z: raised(view, [view.at(at)]),
      marker: { size: 6, color: MARK, line: { width: 1.5, color: "#ffffff" } },
    },
  ];
}

/** Put points between the steps of a path, half a cell apart, so that its line follows the surface. */
function followed({ x, y }, steps) {
  const cell = [x[1] - x[0], y[1] - y[0]];
  return steps.flatMap((to, k) => {
    if (k === 0) return [to];
    const from = steps[k - 1];
    const cells = Math.max(...to.map((end, axis) => Math.abs(end - from[axis]) / cell[axis]));
    const pieces = Math.min(1000, Math.max(1, Math.ceil(2 * cells)));
    const between = (n) => from.map((start, axis) => start + ((to[axis] - start) * n) / pieces);
    return [...Array.from({ length: pieces - 1 }, (_, n) => between(n + 1)), to];
  });
}

function onSurface(view, points) {
  return {
    x: points.map(([alpha]) => alpha),
    y: points.map(([, beta]) => beta),
    z: raised(view, points.map(([alpha, beta]) => view.between(alpha, beta))),
  };
}

function raised(view, heights) {
  const [low, high] = view.bounds;
  const lift = LIFT * (high - low);
  return heights.map((z) => (z === null || Number.isNaN(z) ? null : Math.min(Math.max(z, low), high) + lift));
}

function reliefLayout(view, revision) {
  const { landscape } = view;
  const [low, high] = view.bounds;
  const ticks = ticksBetween(low, high, view.log, 5);
  const look = (text, more) => ({
    title: { text },
    color: colour("soft"),
    gridcolor: colour("line"),
    zerolinecolor: colour("line"),
    showbackground: false,
    showspikes: false,
    ...more,
  });
  const lengths = [landscape.x, landscape.y].map((steps) => steps[steps.length - 1] - steps[0]);
  const longest = Math.max(...lengths);
  const [wide, deep] = isToScale(landscape) ? lengths.map((length) => length / longest) : [1, 1];
  const room = 0.03 * (high - low);
  return layoutLook({
    margin: { l: 0, r: 0, t: 0, b: 0 },
    uirevision: revision,
    scene: {
      uirevision: revision,
      aspectmode: "manual",
      aspectratio: { x: wide * 1.15, y: deep * 1.15, z: 0.72 },
      camera: { eye: { x: -1.3, y: -1.5, z: 1.55 }, center: { x: 0, y: 0, z: -0.14 } },
      xaxis: look("α", { range: rangeOf(landscape.x) }),
      yaxis: look("β", { range: rangeOf(landscape.y) }),
      zaxis: look("", { range: [low - room, high + room], tickvals: ticks.heights, ticktext: ticks.texts }),
    },
  });
}

// ---------------------------------------------------------------------------------- the lines

/** Return traces and layout of heights along one axis; the place of the marked step is a shape. */
function linePicture({ view, steps, heights, place, axis, best }) {
  const alone = heights.map((z, k) => z !== null && (heights[k - 1] ?? null) === null && (heights[k + 1] ?? null) === null);
  const dotted = heights.map((z, k) => (steps.length <= DOTS || alone[k] ? z : null));
  const [low, high] = view.bounds;
  const room = 0.06 * (high - low);
  const ticks = view.isEmpty ? { heights: [], texts: [] } : ticksBetween(low, high, view.log, 5);
  const line = { type: "scatter", x: steps, hoverinfo: "none", connectgaps: false };
  const star = { symbol: "star", size: 12, color: colour("card"), line: { width: 1.4, color: colour("ink") } };
  const traces = [
    { ...line, y: heights, mode: "lines", line: { color: colour("accent"), width: 2 } },
    { ...line, y: dotted, mode: "markers", marker: { color: colour("accent"), size: 4.5 } },
  ];
  if (best) traces.push({ type: "scatter", mode: "markers", hoverinfo: "skip", x: [best[0]], y: [best[1]], marker: star });
  const layout = layoutLook({
    margin: { l: 62, r: 14, t: 10, b: 38 },
    dragmode: false,
    xaxis: axisLook({ title: { text: axis }, range: rangeOf(steps, 0.02) }),
    yaxis: axisLook({ range: [low - room, high + room], tickvals: ticks.heights, ticktext: ticks.texts }),
    shapes: lineMarks(steps, place, heights[place]),
  });
  return { traces, layout };
}

function lineMarks(steps, place, height) {
  const at = steps[place];
  const origin = { type: "line", x0: 0, x1: 0, yref: "y domain", y0: 0, y1: 1, layer: "below", line: { width: 1, color: colour("line") } };
  const upright = { ...origin, x0: at, x1: at, line: { width: 1.5, color: colour("mark"), dash: "dot" } };
  const ring = { type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: at, yanchor: height, x0: -6, x1: 6, y0: -6, y1: 6, line: { width: 2.4, color: colour("mark") } };
  return [origin, upright, ...(height === null ? [] : [ring])];
}
