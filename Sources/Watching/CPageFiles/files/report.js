/* The report's script: it shows the values under the pointer. Without it the report is complete.
 *
 * ChartDrawing.swift writes what a chart shows into the data attributes of its svg element. */
/* global followPointer */

const numbers = text => (text ? text.split(" ").map(Number) : []);

for (const svg of document.querySelectorAll("svg.chart")) {
  const [left, right, top, bottom] = numbers(svg.dataset.frame);
  const [first, last] = numbers(svg.dataset.steps);
  const { scale, decimals, suffix } = svg.dataset;
  const series = [...svg.querySelectorAll(".series")].map(group => {
    const values = numbers(group.dataset.v);
    const points = numbers(group.dataset.x).map((step, index) => [step, values[index]]);
    return { name: group.dataset.name, ink: group.classList[1], mark: group.dataset.mark, points };
  });
  followPointer(svg, svg.querySelector(".cursor"), series, {
    unit: { scale: Number(scale), decimals: decimals === "" ? null : Number(decimals), suffix },
    first, last, left, right, top, bottom,
    width: svg.viewBox.baseVal.width,
  });
}
