// ReportStyle: how the report looks, and the small script that shows values under the pointer.
//
// Colours come in two sets, one per scheme of the reader's system, and are chosen to stay apart for colour-blind eyes
// (blue, vermilion, bluish green, purple, after Okabe and Ito); the text colours have a contrast of at least 4.5 : 1
// with their background. No font is loaded and nothing is fetched: the page's own policy forbids it.

enum ReportStyle {
  static let css: Markup = """
    :root {
      color-scheme: light dark;
      --paper: #fdfdfc; --panel: #ffffff; --ink: #1d2129; --quiet: #5a6270; --rule: #e4e6ea; --edge: #d5d8de;
      --c1: #0067b1; --c2: #b8430b; --c3: #00755a; --c4: #85479f; --c5: #5a6270;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #14171c; --panel: #1a1e24; --ink: #e6e9ee; --quiet: #9da6b4; --rule: #2b313a; --edge: #363d48;
        --c1: #64b5ff; --c2: #ff9a5a; --c3: #45cfa4; --c4: #d2a2ee; --c5: #9da6b4;
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem; background: var(--paper); color: var(--ink);
      font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
      -webkit-text-size-adjust: 100%;
    }
    h1 { font-size: 1.5rem; line-height: 1.32; font-weight: 600; letter-spacing: -.01em; margin: .3rem 0 .8rem;
      max-width: 34em; text-wrap: balance; }
    h2 { font-size: 1.1rem; font-weight: 600; margin: 2.8rem 0 .3rem; }
    p { margin: .3rem 0 .9rem; max-width: 46em; }
    .eyebrow, .lead, .note, figcaption, .legend { color: var(--quiet); }
    .eyebrow { font-size: .85rem; margin: 0; }
    .note, figcaption { font-size: .86rem; line-height: 1.45; }
    .warning { border-left: 3px solid var(--c2); padding: .1rem 0 .1rem .8rem; }
    figure { margin: 1.4rem 0 0; min-width: 0; display: flex; flex-direction: column; }
    figcaption strong { color: var(--ink); font-weight: 600; font-size: .95rem; display: block; }
    .grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: .6rem 2.2rem; }
    .grid.three { grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); column-gap: 1.6rem; }
    .legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .3rem 0 .1rem; padding: 0; list-style: none;
      font-size: .82rem; }
    .legend li { display: flex; align-items: center; gap: .4rem; }
    .legend svg { width: 24px; height: 12px; flex: none; }
    .chart { display: block; width: 100%; height: auto; margin-top: auto; padding-top: .5rem; overflow: visible;
      touch-action: pan-y; }
    .chart.narrow { display: none; }
    .chart text { font-size: 11.5px; fill: var(--quiet); font-variant-numeric: tabular-nums; }
    .chart .label { font-weight: 500; fill: var(--c); paint-order: stroke; stroke: var(--paper); stroke-width: 5px;
      stroke-linejoin: round; }
    .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
    .c5 { --c: var(--c5); }
    path { fill: none; stroke-linecap: round; stroke-linejoin: round; }
    .rule { stroke: var(--rule); }
    .line { stroke: var(--c); stroke-width: 2; }
    .dashed { stroke-dasharray: 7 4; } .dotted { stroke-dasharray: .1 4.5; stroke-width: 2.4; }
    .faint { stroke: var(--c); opacity: .22; }
    .join { stroke: var(--c); opacity: .45; }
    .full { fill: var(--c); stroke: var(--paper); stroke-width: 1; }
    .hollow { fill: var(--paper); stroke: var(--c); stroke-width: 1.8; }
    .reference { stroke: var(--quiet); stroke-width: 1.3; stroke-dasharray: 2 4; }
    .leader { stroke: var(--edge); }
    .cursor { stroke: var(--quiet); opacity: .6; }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; font-size: .92rem; margin: .5rem 0; font-variant-numeric: tabular-nums; }
    th, td { text-align: left; padding: .34rem .9rem .34rem 0; border-bottom: 1px solid var(--rule);
      vertical-align: baseline; }
    th { font-weight: 500; color: var(--quiet); font-size: .84rem; }
    tbody th { color: inherit; font-size: inherit; font-weight: 400; }
    td.n, th.n { text-align: right; padding-left: .9rem; white-space: nowrap; }
    tr.key td, tr.key th { font-weight: 600; }
    .result { width: 100%; max-width: 34rem; }
    tbody th { white-space: nowrap; }
    caption { text-align: left; font-weight: 600; font-size: .95rem; padding: .4rem 0; }
    .prompts { width: 100%; }
    .prompts td, .prompts th { vertical-align: middle; }
    .prompts svg { display: block; width: 200px; height: 34px; }
    .prompts .question { max-width: 18rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .answer { display: inline-block; max-width: 9rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
      vertical-align: bottom; }
    .bar { stroke-width: 2.8; stroke-linecap: butt; } .bar.none { stroke-linecap: round; stroke: var(--quiet); }
    .up { stroke: var(--c1); } .down { stroke: var(--c2); } .unknown { stroke: var(--c5); }
    .is-right { color: var(--c1); } .is-wrong { color: var(--c2); }
    .settings { columns: 3 17rem; column-gap: 2.2rem; font-size: .88rem; margin: .6rem 0; }
    .settings div { display: flex; justify-content: space-between; gap: 1rem; border-bottom: 1px solid var(--rule);
      padding: .22rem 0; break-inside: avoid; }
    .settings dt { color: var(--quiet); white-space: nowrap; }
    .settings dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
    code { font: .86em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
    summary { cursor: pointer; color: var(--quiet); font-size: .9rem; margin-top: .5rem; }
    #tip { position: absolute; pointer-events: none; background: var(--panel); border: 1px solid var(--edge);
      border-radius: 6px; box-shadow: 0 2px 10px #0002; padding: .4rem .6rem; font-size: .8rem; line-height: 1.5;
      font-variant-numeric: tabular-nums; white-space: nowrap; }
    #tip div { display: flex; justify-content: space-between; gap: 1rem; }
    #tip span { color: var(--c); }
    @media (max-width: 40rem) {
      body { padding-top: 1.4rem; }
      h1 { font-size: 1.3rem; }
      .chart.narrow { display: block; }
      .chart.wide { display: none; }
      td, th { padding-right: .4rem; }
      td.n, th.n { padding-left: .3rem; }
      .chart.small text { font-size: 13.5px; }
      .prompts .question { max-width: 8rem; }
    }
    @media print { body { max-width: none; } figure, tr { break-inside: avoid; } #tip { display: none; } }
    """

  /// Shows the values nearest to the pointer. Text is set, never parsed.
  static let script: Markup = #"""
    "use strict";
    const tip = document.createElement("div");
    tip.id = "tip";
    tip.hidden = true;
    document.body.append(tip);
    const numbers = text => text ? text.split(" ").map(Number) : [];
    const shown = (value, unit) => unit === "percent" ? (100 * value).toFixed(1) + "%"
      : String(Number(value.toPrecision(3))) + (unit === "plain" ? "" : " " + unit);
    for (const chart of document.querySelectorAll("svg.chart")) {
      const [left, right, top, bottom] = numbers(chart.dataset.frame);
      const [first, last] = numbers(chart.dataset.steps);
      const series = [...chart.querySelectorAll(".series")].map(group => ({
        name: group.dataset.name, ink: group.classList[1],
        steps: numbers(group.dataset.x), values: numbers(group.dataset.v) }));
      const all = [...new Set(series.flatMap(one => one.steps))];
      const cursor = chart.querySelector(".cursor");
      const hide = () => { tip.hidden = true; cursor.removeAttribute("d"); };
      const show = event => {
        const box = chart.getBoundingClientRect();
        const scale = chart.viewBox.baseVal.width / box.width;
        const x = (event.clientX - box.left) * scale;
        if (!all.length || x < left - 8 || x > right + 8) return hide();
        const wanted = first + (x - left) / (right - left) * (last - first);
        const step = all.reduce((a, b) => Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a);
        const place = left + (step - first) / (last - first) * (right - left);
        cursor.setAttribute("d", `M${place} ${top}V${bottom}`);
        const title = document.createElement("div");
        title.textContent = `step ${step}`;
        tip.replaceChildren(title, ...series.flatMap(one => {
          const index = one.steps.indexOf(step);
          if (index < 0) return [];
          const row = document.createElement("div"), name = document.createElement("span");
          row.className = one.ink;
          name.textContent = one.name;
          row.append(name, shown(one.values[index], chart.dataset.unit));
          return [row];
        }));
        tip.hidden = false;
        const at = box.left + place / scale;
        const isLate = at + tip.offsetWidth + 24 > document.documentElement.clientWidth;
        tip.style.left = Math.max(4, scrollX + (isLate ? at - tip.offsetWidth - 12 : at + 12)) + "px";
        tip.style.top = scrollY + Math.max(4, event.clientY - tip.offsetHeight - 14) + "px";
      };
      chart.addEventListener("pointermove", show);
      chart.addEventListener("pointerdown", show);
      chart.addEventListener("pointerleave", hide);
    }
    """#
}
