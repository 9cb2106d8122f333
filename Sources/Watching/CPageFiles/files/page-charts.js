/* The page's charts. The server says what each chart shows (Charts.swift); here it is drawn, as wide as the window.
 *
 * The rules are those of the report (Chart.swift): every line has its label at its end and a dash of its own; axes
 * begin at 0; a gap in the data is a gap in the line; with many steps a moving mean is bold and every point is faint.
 * The label for screen readers says where each line begins and ends. */
/* global followPointer, grouped, h, known, s, short, span, written */

const outlines = {
  disc: (x, y) => `M${x - 3.5} ${y}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0`,
  ring: (x, y) => `M${x - 3.5} ${y}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0`,
  square: (x, y) => `M${x - 3} ${y - 3}h6v6h-6z`,
};
const isMarker = series => series.mark in outlines;
const markerStyle = series => (series.mark === "ring" ? "hollow" : "full");
const drawnPoints = series => series.points.filter(point => known(point[1]));

/* The figures of an answer { axis, steps, charts }. A series has points of its own, or one value for each step. */
function figures({ axis, steps, charts }) {
  return charts.map(chart => {
    const series = chart.series.map(one => ({
      ...one,
      points: one.points || one.values.map((value, index) => [steps[index], value]),
    }));
    return figure({ ...chart, axis, series });
  });
}

/* Title and legend above the drawing, which is made again when the width changes. */
function figure(chart) {
  const element = h("figure", { class: chart.wide ? "wide" : null },
    h("figcaption", {}, h("strong", {}, chart.title), chart.note), legend(chart));
  const draw = () => {
    const old = element.querySelector(".chart");
    const fresh = drawing(chart, element.clientWidth || 480, chart.wide ? 280 : 200);
    if (old) old.replaceWith(fresh);
    else element.append(fresh);
  };
  new ResizeObserver(draw).observe(element);
  draw();
  return element;
}

function legend({ series, reference }) {
  if (series.length < 2 && !reference) return null;
  const swatch = (ink, shape) => s("svg", { viewBox: "0 0 24 12", class: ink, "aria-hidden": "true" }, shape);
  const stroke = style => s("path", { class: style, d: "M1 6H23" });
  return h("ul", { class: "legend" },
    series.map(one => {
      const shape = isMarker(one)
        ? s("path", { class: markerStyle(one), d: outlines[one.mark](12, 6) })
        : stroke("line " + one.mark);
      return h("li", { class: one.ink }, swatch(one.ink, shape), one.name);
    }),
    reference ? h("li", {}, swatch(null, stroke("reference")), reference.name) : null);
}

/* Round numbers from at most `low` to at least `high`. */
function ticks(low, high, count) {
  const size = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(size));
  const step = ([1, 2, 2.5, 5, 10].find(one => size / power <= one * (1 + 1e-9)) || 10) * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

/* A mean over neighbouring points; null where there are too few points to need one. The window is Chart.swift's. */
function movingMean(series) {
  const values = drawnPoints(series);
  if (!series.noisy || values.length < 40) return null;
  const reach = Math.min(Math.max(1, Math.floor(values.length / 24)), 12);
  const means = new Map(values.map(([step], index) => {
    const part = values.slice(Math.max(0, index - reach), index + reach + 1);
    return [step, part.reduce((sum, one) => sum + one[1], 0) / part.length];
  }));
  return series.points.map(([step]) => [step, means.get(step) ?? null]);
}

/* A coordinate with one decimal. */
const at = value => Math.round(value * 10) / 10;

/* What is at the end of each line: its label and its last value. */
function endLabels({ series, reference, unit }, last) {
  const labels = series.map(one => {
    const [step, value] = drawnPoints({ points: movingMean(one) || one.points }).pop();
    return { ink: one.ink, text: `${one.label} ${written(value, unit)}`.trim(), step, value };
  });
  if (!reference) return labels;
  const text = `${reference.label} ${written(reference.value, unit)}`;
  return [...labels, { ink: "c5", text, step: last, value: reference.value }];
}

/* Where everything is, in the drawing's own units. */
function layout(chart, width, height) {
  const points = chart.series.flatMap(drawnPoints);
  const values = points.map(point => point[1]).concat(chart.reference ? [chart.reference.value] : []);
  const steps = points.map(point => point[0]);
  const first = Math.min(...steps), last = Math.max(first + 1, ...steps);
  const yTicks = ticks(Math.min(0, ...values), Math.max(chart.top, ...values), 4);
  const low = yTicks[0], high = yTicks[yTicks.length - 1];
  const labels = endLabels(chart, last);
  const tickText = value => short(value * chart.unit.scale) + chart.unit.tick_suffix;
  const left = 12 + 6.4 * Math.max(...yTicks.map(one => tickText(one).length));
  const right = Math.max(left + 80, width - 14 - 6.3 * Math.max(...labels.map(one => one.text.length)));
  const top = chart.unit.title ? 22 : 10, bottom = height - 34;
  return {
    width, height, first, last, left, right, top, bottom, yTicks, labels, tickText,
    xTicks: ticks(first, last, width > 600 ? 8 : 4)
      .filter(one => one >= first && one <= last && Number.isInteger(one)),
    x: step => at(left + ((step - first) / (last - first)) * (right - left)),
    y: value => at(bottom - ((value - low) / (high - low)) * (bottom - top)),
  };
}

function drawing(chart, width, height) {
  const plot = layout(chart, width, height);
  const cursor = s("path", { class: "cursor" });
  const svg = s("svg", {
    class: "chart", viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: "0",
    "aria-label": spoken(chart),
  },
    axes(chart, plot), chart.series.map(one => strokes(one, plot)), endTexts(plot), cursor);
  followPointer(svg, cursor, chart.series, { ...plot, unit: chart.unit });
  return svg;
}

/* The chart for a reader who cannot see it. */
function spoken({ title, series, unit }) {
  const ends = series.map(one => {
    const points = drawnPoints(one);
    return `${one.name}: from ${written(points[0][1], unit)} to ${written(points[points.length - 1][1], unit)}`;
  });
  return `${title}. ${ends.join("; ")}`;
}

function axes({ axis, unit, reference }, plot) {
  const { left, right, bottom, x, y } = plot;
  const across = value => `M${at(left)} ${y(value)}H${at(right)}`;
  const text = (x, y, anchor, content) => s("text", { x: at(x), y: at(y), "text-anchor": anchor }, content);
  return [
    s("path", { class: "rule", d: plot.yTicks.map(across).join("") }),
    plot.yTicks.map(one => text(left - 6, y(one) + 4, "end", plot.tickText(one))),
    plot.xTicks.map(one => text(x(one), bottom + 16, "middle", grouped(one))),
    text((left + right) / 2, plot.height - 4, "middle", axis),
    unit.title ? text(2, 10, "start", unit.title) : null,
    reference ? s("path", { class: "reference", d: across(reference.value) }) : null,
  ];
}

/* A polyline with gaps. A point between two gaps is a line of no length, which a round cap makes visible. */
function path(points, { x, y }) {
  let isPenDown = false;
  return points.map(([step, value]) => {
    const wasPenDown = isPenDown;
    isPenDown = known(value);
    if (!isPenDown) return "";
    return wasPenDown ? `L${x(step)} ${y(value)}` : `M${x(step)} ${y(value)}h.01`;
  }).join("");
}

function strokes(series, plot) {
  if (isMarker(series)) {
    const points = drawnPoints(series);
    const shapes = points.map(([step, value]) => outlines[series.mark](plot.x(step), plot.y(value)));
    return s("g", { class: series.ink },
      s("path", { class: "join", d: path(points, plot) }),
      s("path", { class: markerStyle(series), d: shapes.join("") }));
  }
  const mean = movingMean(series);
  return s("g", { class: series.ink },
    mean ? s("path", { class: "faint", d: path(series.points, plot) }) : null,
    s("path", { class: "line " + series.mark, d: path(mean || series.points, plot) }));
}

/* The labels of the lines, moved apart. They are right of the plot: inside it they would be on the lines. */
function endTexts({ labels, right, bottom, y }) {
  const placed = labels.map(one => ({ ...one, y: y(one.value) })).sort((a, b) => a.y - b.y);
  placed.forEach((one, index) => {
    if (index > 0) one.y = Math.max(one.y, placed[index - 1].y + 13);
  });
  const spill = placed.length ? Math.max(0, placed[placed.length - 1].y - bottom) : 0;
  return placed.map(one =>
    s("text", { class: "label " + one.ink, x: at(right + 8), y: at(one.y - spill + 4) }, one.text));
}

/* Where a step's time went: one bar, whose parts are in the order of the step. `longest` is the time of a whole width.
 *
 * parts: [{ figure, name, style }], times: seconds by the figure's name */
function timeBar(parts, times, longest) {
  const shown = parts.filter(part => times[part.figure] > 0);
  const text = part => `${part.name} ${span(times[part.figure])}`;
  let x = 0;
  return s("svg", { class: "time", viewBox: "0 0 200 14", role: "img", "aria-label": shown.map(text).join(", ") },
    shown.map(part => {
      const length = (200 * times[part.figure]) / longest;
      x += length;
      return s("rect", { class: part.style, x: (x - length).toFixed(1), width: length.toFixed(1), height: 14 },
        s("title", {}, text(part)));
    }));
}

/* The names of the parts that a bar can have. */
const partLegend = parts => h("ul", { class: "legend" }, parts.map(({ name, style }) =>
  h("li", {}, s("svg", { viewBox: "0 0 24 12" }, s("rect", { class: style, width: 24, height: 12 })), name)));

/* One bar for each visit of a prompt: above the line where the majority was right, below where it was wrong.
 *
 * bars: [[share of the responses that gave the label, right or wrong or null]] */
function strip(bars, width, height, attributes) {
  const isJudged = bars.some(bar => bar[1] !== null);
  const middle = isJudged ? height / 2 : height - 2;
  const room = middle - 3;
  const step = width / Math.max(bars.length, 12);
  return s("svg", { class: "strip", viewBox: `0 0 ${width} ${height}`, role: "img", ...attributes },
    s("path", { class: "rule", d: `M0 ${middle}H${width}` }),
    bars.map(([share, right], index) => {
      const length = (right === false ? 1 : -1) * share * room;
      return s("path", {
        class: "bar " + (right === true ? "up" : right === false ? "down" : "unknown"),
        "stroke-width": Math.max(1, step - 1.2).toFixed(1),
        d: `M${((index + 0.5) * step).toFixed(1)} ${middle}v${length.toFixed(1)}`,
      });
    }));
}
