// What was measured: values out of packed blocks, what is known of them, what is drawn of them.

/** Return the bytes of a block of the page: base64 of gzip. */
async function unpacked(id) {
  const element = document.getElementById(id);
  const text = atob(element.textContent);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) bytes[k] = text.charCodeAt(k);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** One run: values[ix * ny + iy] of every metric at steps x[ix], y[iy]. */
class Landscape {
  constructor(told) {
    this.told = told;
    this.name = told.name;
    this.isCurve = told.axes.length === 1;
    this.x = told.axes[0];
    this.y = this.isCurve ? [0] : told.axes[1]; // a curve has one column
    this.metrics = told.metrics;
    this.values = new Map();
  }

  /** Unpack every metric.  Numbers are little-endian, as on every machine that has a browser. */
  async load() {
    await Promise.all(
      this.metrics.map(async (metric) => {
        const bytes = await unpacked(metric.block);
        this.values.set(metric.key, metric.single ? new Float32Array(bytes) : new Float64Array(bytes));
      }),
    );
  }

  /** Whether there is something between the steps of both axes, which a map needs. */
  get hasCells() {
    return !this.isCurve && this.x.length > 1 && this.y.length > 1;
  }

  get size() {
    return this.x.length * this.y.length;
  }

  value(key, [ix, iy]) {
    return this.values.get(key)[ix * this.y.length + iy];
  }

  metric(key) {
    return this.metrics.find((metric) => metric.key === key);
  }

  /** Return the indices of the step nearest to a point (alpha, beta). */
  near([alpha, beta = 0]) {
    return [nearest(this.x, alpha), nearest(this.y, beta)];
  }

  /** Return the origin's indices; null where it lies beyond the grid or between two steps. */
  get origin() {
    const at = this.near([0, 0]);
    return this.x[at[0]] === 0 && this.y[at[1]] === 0 ? at : null;
  }

  /** Count what is not finite, not positive, and the range of the rest. */
  census(key) {
    const found = { nan: 0, up: 0, down: 0, finite: 0, notPositive: 0, low: Infinity, high: -Infinity, lowPositive: Infinity };
    for (const value of this.values.get(key)) {
      if (Number.isNaN(value)) found.nan += 1;
      else if (value === Infinity) found.up += 1;
      else if (value === -Infinity) found.down += 1;
      else {
        found.finite += 1;
        if (value < found.low) found.low = value;
        if (value > found.high) found.high = value;
        if (value <= 0) found.notPositive += 1;
        else if (value < found.lowPositive) found.lowPositive = value;
      }
    }
    return found;
  }
}

/** One metric of a landscape as it is drawn: log or not, clipped or not. */
class View {
  constructor(landscape, key, log, clip) {
    this.landscape = landscape;
    this.metric = landscape.metric(key);
    this.key = key;
    this.log = log;
    this.clip = clip;
    this.census = landscape.census(key);
    this.heights = Float64Array.from(landscape.values.get(key), (value) => this.height(value));
    this.bounds = this.boundsOf();
  }

  /** Return the height of a value; NaN where there is none. */
  height(value) {
    if (!Number.isFinite(value) || (this.log && value <= 0)) return NaN;
    return this.log ? Math.log10(value) : value;
  }

  /** Whether the clip cuts low values: of metrics that are to be high, the bad end is low. */
  get clipsBelow() {
    return this.metric.goal === "max";
  }

  get isEmpty() {
    return this.log ? !Number.isFinite(this.census.lowPositive) : this.census.finite === 0;
  }

  get isFlat() {
    const { low, high } = this.census;
    return high - low <= 1e-12 * Math.max(Math.abs(low), Math.abs(high));
  }

  /**
   * Return lowest and highest height without a clip, a little apart where they are equal: of all
   * moments of a training, so that one can be compared with the next.
   */
  get range() {
    if (this.isEmpty) return [0, 1];
    const ends = this.metric.shared ?? this.census;
    const low = this.height(this.log ? ends.lowPositive : ends.low);
    const high = this.height(ends.high);
    const room = 1e-12 * Math.max(Math.abs(low), Math.abs(high));
    return high - low > room ? [low, high] : [low - (0.05 * Math.abs(low) || 1), high + (0.05 * Math.abs(high) || 1)];
  }

  /** Return lowest and highest height with a colour of its own. */
  boundsOf() {
    const [low, high] = this.range;
    const clip = this.clip === null ? NaN : this.height(this.clip);
    if (!(low < clip && clip < high)) return [low, high]; // nothing to be cut, or all of it
    return this.clipsBelow ? [clip, high] : [low, clip];
  }

  /** Count the values beyond the clip. */
  get clipped() {
    const [low, high] = this.bounds;
    let count = 0;
    for (const height of this.heights) if (height < low || height > high) count += 1;
    return count;
  }

  /** Return what plotly.js wants, rows[iy][ix] of a height or null where missing: the one transposition. */
  rows(xs, ys, draw = (height) => height, heights = this.heights) {
    const ny = this.landscape.y.length;
    return ys.map((iy) =>
      xs.map((ix) => {
        const height = heights[ix * ny + iy];
        return Number.isNaN(height) ? null : draw(height);
      }),
    );
  }

  get hasHoles() {
    return this.heights.some(Number.isNaN);
  }

  /**
   * Return the heights with the holes filled, to be drawn under what covers them: those beside
   * known points by the mean of these, the rest by any height.  plotly.js would fill them itself,
   * to contour around them, and takes minutes for large ones.
   */
  filled() {
    const heights = this.heights.slice();
    let last = heights.find((height) => !Number.isNaN(height));
    for (let k = 0; k < heights.length; k += 1) {
      if (Number.isNaN(heights[k])) heights[k] = this.around(k) ?? last;
      last = heights[k];
    }
    return heights;
  }

  /** Return the mean of the known heights around a point, null where there is none. */
  around(k) {
    const [nx, ny] = [this.landscape.x.length, this.landscape.y.length];
    const [ix, iy] = [Math.floor(k / ny), k % ny];
    let [sum, known] = [0, 0];
    for (let i = Math.max(ix - 1, 0); i <= Math.min(ix + 1, nx - 1); i += 1) {
      for (let j = Math.max(iy - 1, 0); j <= Math.min(iy + 1, ny - 1); j += 1) {
        const height = this.heights[i * ny + j];
        if (!Number.isNaN(height)) {
          sum += height;
          known += 1;
        }
      }
    }
    return known ? sum / known : null;
  }

  /** Count how often levels are crossed from a point to the next: about the length of all lines. */
  crossings({ start, size }) {
    const ny = this.landscape.y.length;
    const band = (k) => Math.floor((this.heights[k] - start) / size);
    let found = 0;
    for (let k = 0; k < this.heights.length; k += 1) {
      const own = band(k);
      if (k % ny && band(k - 1) !== own) found += 1;
      if (k >= ny && band(k - ny) !== own) found += 1;
    }
    return found;
  }

  at([ix, iy]) {
    return this.heights[ix * this.landscape.y.length + iy];
  }

  /** Return heights along alpha (axis 0) or beta (axis 1) through a point, null where missing. */
  slice(axis, [ix, iy]) {
    const { x, y } = this.landscape;
    const found = axis === 0 ? x.map((_, k) => this.at([k, iy])) : y.map((_, k) => this.at([ix, k]));
    return found.map((height) => (Number.isNaN(height) ? null : height));
  }

  /** Return the height between grid points, bilinear; null beyond the grid and beside a hole. */
  between(alpha, beta) {
    const { x, y } = this.landscape;
    const [ix, u] = cell(x, alpha);
    const [iy, v] = cell(y, beta);
    if (ix === null || iy === null) return null;
    const corner = (i, j) => (i && u === 0) || (j && v === 0) ? 0 : this.at([ix + i, iy + j]);
    const [a, b, c, d] = [corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1)];
    const found = (1 - u) * (1 - v) * a + u * (1 - v) * b + (1 - u) * v * c + u * v * d;
    return Number.isNaN(found) ? null : found;
  }
}

/** Return the cell in which a coordinate lies, and how far in it: 0 to 1. */
function cell(steps, at) {
  const last = steps.length - 1;
  if (!(steps[0] <= at && at <= steps[last])) return [null, 0];
  let k = 0;
  while (k < last - 1 && steps[k + 1] <= at) k += 1;
  return last === 0 ? [0, 0] : [k, (at - steps[k]) / (steps[k + 1] - steps[k])];
}

/** Return at most so many indices, evenly spread, both ends included. */
function spread(count, most) {
  if (count <= most) return Array.from({ length: count }, (_, k) => k);
  return Array.from({ length: most }, (_, k) => Math.round((k * (count - 1)) / (most - 1)));
}
