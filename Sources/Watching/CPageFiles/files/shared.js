/* What the live page and the report have in common: elements, numbers as text, and the values under the pointer.
 *
 * This script comes first. Text is set, never parsed: nothing that a run contains becomes markup.
 * Not here: how the page draws a chart (page-charts.js); the report's charts are drawn already (ChartDrawing.swift). */
"use strict";

/* Appends children to a node. Lists are flattened; null, undefined and false are left out. */
const put = (node, children) => {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
};

/* Sets attributes. A name that begins with "on" is an event, and its value is the listener. */
const dress = (node, attributes) => {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  return node;
};

/* An HTML element. */
const h = (name, attributes, ...children) => put(dress(document.createElement(name), attributes), children);

/* Numbers as text: the same text as Figures.swift makes, with typographic signs. */
const known = value => value !== null && value !== undefined && Number.isFinite(value);
const dash = "–";
const minus = text => text.replace("-", "−");
const grouped = value => (known(value) ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",") : dash);

/* Three significant digits: "0.125", "1,240", "5e−7". */
const short = value => {
  if (!known(value)) return dash;
  if (value === 0) return "0";
  const [digits, exponent] = Math.abs(value).toExponential(2).split("e").map(Number);
  const sign = value < 0 ? "−" : "";
  if (exponent < -3 || exponent > 5) return sign + digits + minus("e" + exponent);
  return sign + (exponent >= 2 ? grouped(Math.abs(value)) : Number(Math.abs(value).toPrecision(3)));
};

/* A value of a chart, as the chart's unit says: { scale, decimals or null, suffix }. */
const written = (value, unit) => {
  const scaled = value * unit.scale;
  return (unit.decimals === null ? short(scaled) : minus(scaled.toFixed(unit.decimals))) + unit.suffix;
};

/* The box with the values at one step. */
const tip = h("div", { id: "tip", hidden: true });
document.body.append(tip);
let pointedAt = 0;

/* What was measured at a number of trained steps: the step that comes next, an evaluation, or both. */
const moment = (series, step) => {
  const isThere = one => one.points.some(point => point[0] === step && known(point[1]));
  const isMarker = one => ["disc", "ring", "square"].includes(one.mark);
  const names = [
    series.some(one => !isMarker(one) && isThere(one)) ? "step " + grouped(step) : null,
    series.some(one => isMarker(one) && isThere(one))
      ? step === 0 ? "before training" : `after ${grouped(step)} step${step === 1 ? "" : "s"}` : null,
  ];
  return names.filter(Boolean).join(", evaluation ");
};

/* Shows the values of a chart at the step under the pointer or the finger, or at the one chosen with the arrow keys.
 *
 * series: [{ name, ink, mark, points: [[step, value or null]] }]
 * plot: { unit, first, last, left, right, top, bottom, width }: first and last step, the plot's edges and the drawing's
 * width, in the drawing's own units. */
function followPointer(svg, cursor, series, plot) {
  const all = series.flatMap(one => one.points.filter(point => known(point[1])).map(point => point[0]));
  const steps = [...new Set(all)].sort((a, b) => a - b);
  if (!steps.length) return;
  let index = steps.length - 1;

  const hide = () => {
    tip.hidden = true;
    cursor.removeAttribute("d");
  };
  const row = (one, step) => {
    const found = one.points.find(point => point[0] === step);
    return found && known(found[1])
      ? [h("div", { class: one.ink }, h("span", {}, one.name), written(found[1], plot.unit))]
      : [];
  };
  const show = (step, y) => {
    pointedAt = Date.now();
    const box = svg.getBoundingClientRect();
    const x = plot.left + ((step - plot.first) / (plot.last - plot.first)) * (plot.right - plot.left);
    cursor.setAttribute("d", `M${x} ${plot.top}V${plot.bottom}`);
    tip.replaceChildren(h("div", {}, moment(series, step)), ...series.flatMap(one => row(one, step)));
    tip.hidden = false;
    const place = box.left + (x * box.width) / plot.width;
    const isNearEdge = place + tip.offsetWidth + 24 > document.documentElement.clientWidth;
    tip.style.left = Math.max(4, scrollX + (isNearEdge ? place - tip.offsetWidth - 12 : place + 12)) + "px";
    tip.style.top = scrollY + Math.max(4, y - tip.offsetHeight - 14) + "px";
  };
  const follow = event => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) * plot.width) / box.width;
    if (x < plot.left - 8 || x > plot.right + 8) return hide();
    const wanted = plot.first + ((x - plot.left) / (plot.right - plot.left)) * (plot.last - plot.first);
    const distance = place => Math.abs(steps[place] - wanted);
    index = steps.reduce((best, _, place) => (distance(place) < distance(best) ? place : best), 0);
    show(steps[index], event.clientY);
  };
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", event => {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -steps.length, End: steps.length };
    if (event.key === "Escape") hide();
    if (!moves[event.key]) return;
    event.preventDefault();
    index = Math.min(steps.length - 1, Math.max(0, index + moves[event.key]));
    show(steps[index], svg.getBoundingClientRect().top + 60);
  });
}
