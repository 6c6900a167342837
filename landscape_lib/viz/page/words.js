// What the page says in words.  Everything goes in as text, whatever the data hold.

const SIGNS = { good: "✓ good", note: "• note", warning: "⚠ warning", unknown: "? unknown" };
const TITLES = {
  run: "run",
  date: "evaluated",
  fingerprint: "fingerprint",
  seed: "seed of each direction",
  cosine: "cosine of the directions",
  directions: "hash of the directions",
  config: "config",
  versions: "versions",
  git_revision: "git revision",
};

const $ = (id) => document.getElementById(id);

/** Make an element with properties and children; a child that is no element is a text. */
function element(name, properties = {}, ...children) {
  const found = Object.assign(document.createElement(name), properties);
  found.append(...children);
  return found;
}

/** Spell a metric's name and unit. */
function nameOf(metric) {
  const name = metric.name || metric.key;
  return metric.units ? `${name} (${metric.units})` : name;
}

function count(number, one, many = `${one}s`) {
  return number === 1 ? `1 ${one}` : `${number.toLocaleString("en")} ${many}`;
}

function pointText({ x, y, isCurve }, [ix, iy]) {
  const alpha = `α = ${numberText(x[ix])}`;
  return isCurve ? alpha : `${alpha}, β = ${numberText(y[iy])}`;
}

/** Say alpha, beta and every metric of a point, in lines. */
function everyMetric(landscape, at, separator = "\n") {
  const values = landscape.metrics.map((metric) => `${nameOf(metric)}: ${numberText(landscape.value(metric.key, at))}`);
  return [pointText(landscape, at), ...values].join(separator);
}

/** Say what a reader would otherwise have to guess of one metric: constant, missing, cut. */
function notesOf(view) {
  const { census, landscape, metric } = view;
  const name = nameOf(metric);
  const total = count(landscape.size, "point");
  if (census.finite === 0) return [`${name}: no finite value in ${total}`];
  const said = metric.note ? [`${name}: ${metric.note}`] : [];
  if (view.isFlat) said.push(`${name}: constant ${numberText(census.low)}`);
  const missing = landscape.size - census.finite;
  if (missing) {
    const kinds = [[census.nan, "NaN"], [census.up, "+∞"], [census.down, "−∞"]];
    const told = kinds.filter(([number]) => number).map(([number, kind]) => `${number.toLocaleString("en")} ${kind}`);
    said.push(`${name}: ${missing.toLocaleString("en")} of ${total} are holes: ${told.join(", ")}`);
  }
  if (view.log && census.notPositive) {
    said.push(`${name}: ${count(census.notPositive, "value is", "values are")} not positive: missing on the log scale`);
  }
  if (view.clipped) {
    const side = view.clipsBelow ? "below" : "above";
    said.push(`${name}: ${count(view.clipped, "point lies", "points lie")} ${side} the clip`);
  }
  if (landscape.hasCells && isRough(view)) said.push(`${name}: too rough for lines between the colours`);
  return said;
}

/** Say what was left out of the page, or rounded. */
function notesOnPage(landscape) {
  const { measured, evaluated } = landscape.told;
  const said = [...evaluated];
  const kept = [landscape.x.length, landscape.y.length].slice(0, measured.length);
  if (kept.join() !== measured.join()) {
    said.push(`${kept.join(" × ")} of the ${measured.join(" × ")} points measured are in this page; all of them are in the surface file`);
  }
  if (landscape.metrics.some((metric) => metric.single)) said.push("values are kept to 7 digits (float32) here");
  return said;
}

function fillList(list, texts) {
  list.replaceChildren(...texts.map((text) => element("li", {}, text)));
  list.hidden = texts.length === 0;
}

/** Fill the table of the marked point: alpha, beta, every metric. */
function fillPoint(table, landscape, at, chosen) {
  const rows = [["α", landscape.x[at[0]]]];
  if (!landscape.isCurve) rows.push(["β", landscape.y[at[1]]]);
  const metrics = landscape.metrics.map((metric) => [nameOf(metric), landscape.value(metric.key, at), metric.key]);
  table.replaceChildren(
    element("tbody", {}, ...[...rows, ...metrics].map(([name, value, key]) =>
      element("tr", { className: key !== undefined && key === chosen ? "chosen" : "" },
        element("th", { scope: "row" }, name),
        element("td", { className: "number" }, numberText(value))))),
  );
}

function fillLegend(view) {
  const { landscape, metric } = view;
  const parts = [];
  if (metric.best) {
    const [alpha, beta] = metric.best.point.map((step) => numberText(step, 4));
    parts.push(element("span", {}, element("b", {}, "☆ best "), `${numberText(metric.best.value, 5)} at (${alpha}, ${beta})`));
  }
  if (landscape.origin) parts.push(element("span", {}, element("b", {}, "+ origin "), "the trained weights"));
  parts.push(element("span", {}, element("b", {}, "○ marked point")));
  landscape.told.trajectories.forEach((way, number) => {
    if (!way.name) return;
    const line = element("b", {}, "━ ");
    line.style.color = wayLook(number).color;
    parts.push(element("span", {}, line, way.name));
  });
  $("legend").replaceChildren(...parts);
}

function fillVerdict(verdict) {
  $("verdict").hidden = !verdict;
  if (!verdict) return;
  $("checks").replaceChildren(
    ...verdict.checks.map((check) => {
      const paragraph = (name) => (check[name] ? [element("p", { className: name }, check[name])] : []);
      return element("li", {},
        element("span", { className: `state ${check.state}` }, SIGNS[check.state]),
        element("strong", {}, check.title),
        ...["found", "why", "do"].flatMap(paragraph));
    }),
  );
  const head = element("tr", {}, ...["number", "value", "definition", "source"].map((name) => element("th", { scope: "col" }, name)));
  const rows = verdict.numbers.map((number) => {
    const value = number.value === null ? "not known" : `${numberText(number.value)} ${number.units}`.trim();
    return element("tr", {},
      element("th", { scope: "row" }, number.name, ...(number.key ? [" ", element("small", {}, number.key)] : [])),
      element("td", {}, value),
      element("td", {}, number.definition),
      element("td", {}, number.source));
  });
  $("numbers").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
  $("numbers").hidden = rows.length === 0;
}

function fillProvenance(attributes) {
  $("attributes").replaceChildren(
    ...attributes.flatMap(([name, text]) => {
      const indented = prettyJson(text);
      const value = indented === null ? text : element("pre", {}, indented);
      return [element("dt", {}, TITLES[name] || name), element("dd", {}, value)];
    }),
  );
  $("provenance").hidden = attributes.length === 0;
}

/** Return a JSON object or list on lines of its own; null where a text is neither. */
function prettyJson(text) {
  if (!/^[[{]/.test(text)) return null;
  try {
    const found = JSON.parse(text);
    return JSON.stringify(found, null, 1).length > 60 ? JSON.stringify(found, null, 2) : null;
  } catch {
    return null;
  }
}

/** Return the points within the visible range as CSV: alpha, beta, every metric as measured. */
function csvOf(landscape, visible) {
  const inside = (steps, [low, high]) => steps.map((_, k) => k).filter((k) => low <= steps[k] && steps[k] <= high);
  const axes = landscape.isCurve ? ["alpha"] : ["alpha", "beta"];
  const lines = [[...axes, ...landscape.metrics.map((metric) => csvName(metric.key))].join(",")];
  const columns = landscape.metrics.map((metric) => [landscape.values.get(metric.key), metric.single ? 9 : 17]);
  const ny = landscape.y.length;
  for (const ix of inside(landscape.x, visible.x)) {
    for (const iy of landscape.isCurve ? [0] : inside(landscape.y, visible.y)) {
      const point = landscape.isCurve ? [landscape.x[ix]] : [landscape.x[ix], landscape.y[iy]];
      const values = columns.map(([values, digits]) => csvNumber(values[ix * ny + iy], digits));
      lines.push([...point, ...values].join(","));
    }
  }
  return `${lines.join("\r\n")}\r\n`;
}

/** Spell a value so that it reads back as it is; what is not finite as Python and R read it. */
function csvNumber(value, digits) {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return digits === 17 ? String(value) : String(Number(value.toPrecision(digits)));
}

/** Quote a name; one that a spreadsheet would take for a formula gets an apostrophe before it. */
function csvName(name) {
  const safe = /^[=+\-@\t\r]/.test(name) ? `'${name}` : name;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
