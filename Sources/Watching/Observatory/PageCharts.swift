// PageCharts: the page's curves, drawn in the browser as the report draws its own (Chart, ChartDrawing).
//
// Every line is labelled at its end and has a dash of its own; axes begin at 0; a gap in the data is a gap in the line;
// with many steps a moving mean is bold and every point faint. A chart can be read by a pointer, a finger or the arrow
// keys, and tells a screen reader where each line begins and ends.

enum PageCharts {
  static let script = #"""
    const tip = h("div", { id: "tip", hidden: true });
    document.body.append(tip);
    let pointedAt = 0;
    const nice = size => {
      const unit = 10 ** Math.floor(Math.log10(size));
      return ([1, 2, 2.5, 5, 10].find(one => size / unit <= one * (1 + 1e-9)) || 10) * unit;
    };
    function ticks(low, high, count) {
      const step = nice((high - low || 1) / count), first = Math.floor(low / step + 1e-9), list = [];
      for (let index = first; index <= Math.ceil(high / step - 1e-9); index += 1) list.push(index * step);
      return list;
    }
    const units = {
      percent: value => percent(value), share: value => percent(value, 0), nats: value => short(value),
      tokens: value => short(value), seconds: value => short(value) + " s", plain: value => short(value),
    };
    function mean(points) {
      const values = points.filter(point => known(point[1]));
      if (values.length < 40) return null;
      const reach = Math.min(Math.max(1, Math.floor(values.length / 24)), 12);
      return values.map((point, index) => {
        const part = values.slice(Math.max(0, index - reach), index + reach + 1);
        return [point[0], part.reduce((sum, one) => sum + one[1], 0) / part.length];
      });
    }
    const outlines = {
      disc: (x, y) => `M${x - 3.5} ${y}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0`,
      square: (x, y) => `M${x - 3} ${y - 3}h6v6h-6z`, ring: (x,
        y) => `M${x - 3.5} ${y}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0`,
    };
    const isMarker = series => ["disc", "square", "ring"].includes(series.mark);
    function swatch(series) {
      return s("svg", { viewBox: "0 0 24 12", class: series.ink, "aria-hidden": "true" }, isMarker(series)
        ? s("path", { class: series.mark === "ring" ? "hollow" : "full", d: outlines[series.mark](12, 6) })
        : s("path", { class: "line " + series.mark, d: "M1 6H23" }));
    }
    // series: { name, label, ink, mark, points: [[x, y or null]] }
    function chart({ title, note, unit = "share", series, top = 1, reference = null, wide = false, height = 200 }) {
      series = series.filter(one => one.points.some(point => known(point[1])));
      if (!series.length) return null;
      const figure = h("figure", { class: wide ? "wide" : null }, h("figcaption", {}, h("strong", {}, title), note),
        series.length > 1 || reference ? h("ul", { class: "legend" },
          series.map(one => h("li", { class: one.ink }, swatch(one), one.name)),
          reference ? h("li", {}, s("svg", { viewBox: "0 0 24 12" }, s("path", { class: "reference", d: "M1 6H23" })),
            reference.name) : null) : null);
      const draw = () => {
        const old = figure.querySelector(".chart");
        const fresh = drawing({ title, unit, series, top, reference, height, width: figure.clientWidth || 480 });
        if (old) old.replaceWith(fresh); else figure.append(fresh);
      };
      new ResizeObserver(draw).observe(figure);
      draw();
      return figure;
    }
    function drawing({ title, unit, series, top, reference, height, width }) {
      const all = series.flatMap(one => one.points).filter(point => known(point[1]));
      const values = all.map(point => point[1]).concat(reference ? [reference.value] : []);
      const yTicks = ticks(Math.min(0, ...values), Math.max(top, ...values), 4);
      const xs = all.map(point => point[0]), first = Math.min(...xs), last = Math.max(first + 1, ...xs);
      const [low, high] = [yTicks[0], yTicks[yTicks.length - 1]];
      const tick = units[unit === "percent" ? "share" : unit], told = units[unit === "share" ? "percent" : unit];
      const ends = series.map(one => {
        const bold = mean(one.points) || one.points, end = bold.filter(point => known(point[1])).pop();
        return { ink: one.ink, text: (one.label ? one.label + " " : "") + told(end[1]), value: end[1], x: end[0] };
      });
      const left = 12 + 6.4 * Math.max(...yTicks.map(one => tick(one).length));
      const right = Math.max(left + 80, width - 14 - 6.3 * Math.max(...ends.map(one => one.text.length)));
      const [upper, lower] = [10, height - 34];
      const px = value => left + (value - first) / (last - first) * (right - left);
      const py = value => lower - (value - low) / (high - low) * (lower - upper);
      const at = value => Math.round(value * 10) / 10;
      const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: "0",
        "aria-label": title + ". " + series.map((one, index) => {
          const begin = one.points.find(point => known(point[1]));
          return `${one.name}: from ${told(begin[1])} to ${told(ends[index].value)}`;
        }).join("; ") });
      put(svg, [s("path", { class: "axis", d: yTicks.map(one => `M${at(left)} ${at(py(one))}H${at(right)}`).join("") }),
        yTicks.map(one => s("text", { x: at(left - 6), y: at(py(one) + 4), "text-anchor": "end" }, tick(one))),
        ticks(first, last, width > 600 ? 8 : 4).filter(one => one >= first && one <= last && Number.isInteger(one))
          .map(one => s("text", { x: at(px(one)), y: lower + 16, "text-anchor": "middle" }, grouped(one))),
        s("text", { x: at((left + right) / 2), y: height - 4, "text-anchor": "middle" }, "steps trained"),
        reference ? s("path", { class: "reference", d: `M${at(left)} ${at(py(reference.value))}H${at(right)}` })
          : null]);
      const path = points => {
        let isOpen = false;
        return points.map(point => {
          if (!known(point[1])) { isOpen = false; return ""; }
          const text = (isOpen ? "L" : "M") + at(px(point[0])) + " " + at(py(point[1])) + (isOpen ? "" : "h.01");
          isOpen = true;
          return text;
        }).join("");
      };
      for (const one of series) {
        const bold = isMarker(one) ? null : mean(one.points);
        put(svg, [s("g", { class: one.ink }, isMarker(one)
          ? [s("path", { class: "faint", d: path(one.points) }),
            one.points.filter(point => known(point[1])).map(point => s("path", {
              class: one.mark === "ring" ? "hollow" : "full", d: outlines[one.mark](at(px(point[0])),
                at(py(point[1]))) }))]
          : [bold ? s("path", { class: "faint", d: path(one.points) }) : null,
            s("path", { class: "line " + one.mark, d: path(bold || one.points) })])]);
      }
      // Labels at the ends of lines, pushed apart.
      const labels = ends.map(one => ({ ...one, y: py(one.value) })).sort((a, b) => a.y - b.y);
      for (let index = 1; index < labels.length; index += 1) {
        labels[index].y = Math.max(labels[index].y, labels[index - 1].y + 13);
      }
      const spill = labels.length ? Math.max(0, labels[labels.length - 1].y - lower) : 0;
      put(svg, labels.map(one =>
        s("text", { class: "label " + one.ink, x: at(px(one.x) + 8), y: at(one.y - spill + 4) }, one.text)));
      const cursor = s("path", { class: "cursor" });
      svg.append(cursor);
      point(svg, cursor, { series, told, px, first, last, left, right, upper, lower, width });
      return svg;
    }
    function point(svg, cursor, plot) {
      const steps = [...new Set(plot.series.flatMap(one => one.points.map(point => point[0])))].sort((a, b) => a - b);
      let index = steps.length - 1;
      const hide = () => { tip.hidden = true; cursor.removeAttribute("d"); };
      const show = (step, y) => {
        pointedAt = Date.now();
        const box = svg.getBoundingClientRect(), scale = plot.width / box.width, x = plot.px(step);
        cursor.setAttribute("d", `M${x} ${plot.upper}V${plot.lower}`);
        tip.replaceChildren(h("div", {}, "step " + grouped(step)), ...plot.series.flatMap(one => {
          const found = one.points.find(point => point[0] === step);
          return found && known(found[1])
            ? [h("div", { class: one.ink }, h("span", {}, one.name), plot.told(found[1]))] : [];
        }));
        tip.hidden = false;
        const place = box.left + x / scale, isLate = place + tip.offsetWidth
          + 24 > document.documentElement.clientWidth;
        tip.style.left = Math.max(4, scrollX + (isLate ? place - tip.offsetWidth - 12 : place + 12)) + "px";
        tip.style.top = scrollY + Math.max(4, y - tip.offsetHeight - 14) + "px";
      };
      const follow = event => {
        const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) * plot.width / box.width;
        if (x < plot.left - 8 || x > plot.right + 8) return hide();
        const wanted = plot.first + (x - plot.left) / (plot.right - plot.left) * (plot.last - plot.first);
        index = steps.reduce((best, one, place) =>
          Math.abs(one - wanted) < Math.abs(steps[best] - wanted) ? place : best, 0);
        show(steps[index], event.clientY);
      };
      svg.addEventListener("pointermove", follow);
      svg.addEventListener("pointerdown", follow);
      svg.addEventListener("pointerleave", hide);
      svg.addEventListener("blur", hide);
      svg.addEventListener("keydown", event => {
        const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
        if (event.key === "Escape") hide();
        if (!move) return;
        event.preventDefault();
        index = Math.min(steps.length - 1, Math.max(0, index + move));
        show(steps[index], svg.getBoundingClientRect().top + 60);
      });
    }
    // One bar per visit: above the line where the majority was right, below where it was wrong.
    function strip(bars, width, height, extra) {
      const judged = bars.some(bar => bar[1] !== null), middle = judged ? height / 2 : height - 2, room = middle - 3;
      const step = width / Math.max(bars.length, 12);
      return s("svg", { class: "strip", viewBox: `0 0 ${width} ${height}`, role: "img", ...extra },
        s("path", { class: "axis", d: `M0 ${middle}H${width}` }),
        bars.map(([share, right], index) => s("path", {
          class: "bar " + (right === true ? "up" : right === false ? "down" : "unknown"),
          "stroke-width": Math.max(1, step - 1.2).toFixed(1),
          d: `M${((index + .5) * step).toFixed(1)} ${middle}`
            + `v${((right === false ? 1 : -1) * share * room).toFixed(1)}` })));
    }

    """#
}
