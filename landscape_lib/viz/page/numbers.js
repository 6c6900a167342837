// How numbers are spelled, and where levels and ticks lie.  A height is what is drawn: the value,
// or log10 of it on a log scale.

const MINUS = "\u2212";
const LEVELS = 12;

/** Spell a number with so many significant digits, and a power of ten where it is far from 1. */
function numberText(value, digits = 6) {
  if (value === null || Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : `${MINUS}∞`;
  const rounded = Number(value.toPrecision(digits));
  const size = Math.abs(rounded);
  const far = size !== 0 && (size >= 1e6 || size < 1e-4);
  const plain = far ? rounded.toExponential().replace("e+", "e") : String(rounded);
  return plain.replaceAll("-", MINUS);
}

/** Return the round number next to span / count, of 1, 2, 2.5, 5 times a power of ten. */
function niceStep(span, count) {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const choices = [1, 2, 2.5, 5, 10].map((mantissa) => mantissa * power);
  return choices.reduce((a, b) => (Math.abs(Math.log(b / raw)) < Math.abs(Math.log(a / raw)) ? b : a));
}

/** Return the multiples of a round step between two numbers, both ends included. */
function multiples(low, high, step) {
  const hair = 1e-9;
  const first = Math.ceil(low / step - hair);
  const last = Math.floor(high / step + hair);
  const found = [];
  for (let k = first; k <= last; k += 1) found.push(k * step);
  return found;
}

/** Return about twelve evenly spaced levels between two heights, as plotly.js wants them. */
function levelsBetween(low, high) {
  if (!(high > low)) return { start: low, end: low, size: 1 };
  const size = niceStep(high - low, LEVELS);
  const found = multiples(low, high, size);
  return { start: found[0], end: found[found.length - 1], size };
}

/** Return ticks between two heights: round values, where they lie, and how they are spelled. */
function ticksBetween(low, high, log, most = 7) {
  if (!(high > low)) return { heights: [low], texts: [numberText(log ? 10 ** low : low, 5)] };
  let heights = log ? logTicks(low, high, most) : multiples(low, high, niceStep(high - low, most));
  if (heights.length < 2 && log) {
    const [least, largest] = [10 ** low, 10 ** high]; // under a decade: round values of their own
    heights = multiples(least, largest, niceStep(largest - least, most)).map(Math.log10);
  }
  return { heights, texts: heights.map((height) => numberText(log ? 10 ** height : height, 5)) };
}

function logTicks(low, high, most) {
  const decades = multiples(low, high, 1);
  if (decades.length > most) return multiples(low, high, Math.ceil(decades.length / most));
  if (decades.length > 2) return decades;
  const found = [];
  for (let n = Math.floor(low); n <= Math.ceil(high); n += 1) {
    for (const mantissa of [1, 2, 5]) found.push(n + Math.log10(mantissa));
  }
  return found.filter((height) => low - 1e-9 <= height && height <= high + 1e-9);
}

/** Return the index of the step nearest to a coordinate. */
function nearest(steps, at) {
  let best = 0;
  steps.forEach((step, k) => {
    if (Math.abs(step - at) < Math.abs(steps[best] - at)) best = k;
  });
  return best;
}
