// PageScript: the page's small tools: elements, numbers, fetching, and which view is shown.
//
// Elements are made by `h` and `s`, which set text and attributes and parse nothing. A view is a function that is asked
// for its content again and again; it is put into the page only if what the server said has changed, so that focus,
// selection and scroll position stay. A server that does not answer is asked less often, and the page says so.

enum PageScript {
  static let tools = #"""
    const main = document.getElementById("main");
    const put = (node, children) => {
      for (const child of children.flat(Infinity)) {
        if (child === null || child === undefined || child === false) continue;
        node.append(child instanceof Node ? child : String(child));
      }
      return node;
    };
    const dress = (node, attributes) => {
      for (const [name, value] of Object.entries(attributes || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
        else node.setAttribute(name, value === true ? "" : String(value));
      }
      return node;
    };
    const h = (name, attributes, ...children) => put(dress(document.createElement(name), attributes), children);
    const s = (name, attributes, ...children) =>
      put(dress(document.createElementNS("http://www.w3.org/2000/svg", name), attributes), children);

    const known = value => value !== null && value !== undefined && Number.isFinite(value);
    const dash = "–";
    const minus = text => text.replace("-", "−");
    const percent = (value, digits = 1) => known(value) ? minus((100 * value).toFixed(digits)) + "%" : dash;
    const grouped = value => known(value) ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",") : dash;
    const short = value => {
      if (!known(value)) return dash;
      if (value === 0) return "0";
      const size = Math.abs(value);
      if (size >= 1000) return minus((value < 0 ? "-" : "") + grouped(size));
      return minus(size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3))));
    };
    const span = seconds => {
      if (!known(seconds) || seconds < 0) return dash;
      if (seconds < 9.95) return seconds.toFixed(1) + " s";
      if (seconds < 99.5) return Math.round(seconds) + " s";
      const minutes = Math.round(seconds / 60);
      if (minutes < 60) return minutes + " min";
      if (minutes < 1440) return Math.floor(minutes / 60) + " h " + String(minutes % 60).padStart(2, "0") + " min";
      return Math.floor(minutes / 1440) + " d " + Math.floor(minutes % 1440 / 60) + " h";
    };
    const formats = { clock: new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" }),
      day: new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" }) };
    const clock = seconds => formats.clock.format(seconds * 1000);
    const day = seconds => formats.day.format(seconds * 1000);
    const plural = (count, noun) => grouped(count) + " " + noun + (count === 1 ? "" : "s");
    const verdict = right => right === true ? h("span", { class: "right", title: "right" }, " ✓")
      : right === false ? h("span", { class: "wrong", title: "wrong" }, " ✗") : null;
    // A number's key is "q:" and the number; people need only the number.
    const plain = label => label.replace(/^q:/, "");
    const answer = (label, right) => label === null ? h("span", { class: "quiet" }, "none")
      : [h("bdi", { title: label }, plain(label)), verdict(right)];

    let failures = 0;
    const problem = document.getElementById("problem");
    async function ask(path) {
      const response = await fetch(path, { signal: AbortSignal.timeout(10000), cache: "no-store" });
      if (response.status === 401) { location.reload(); throw new Error("a token is needed"); }
      if (!response.ok) throw new Error((await response.text()).trim() || "status " + response.status);
      return response.json();
    }

    """#

  static let start = #"""
    const routes = [
      [/^\/$/, "Run", overviewView], [/^\/fleet$/, "Fleet", fleetView], [/^\/prompts$/, "Prompts", promptsView],
      [/^\/prompt\/(\d+)$/, "Prompt", promptView], [/^\/steps$/, "Steps", stepsView],
      [/^\/step\/(\d+)$/, "Step", stepView], [/^\/events$/, "Events", eventsView],
      [/^\/settings$/, "Settings", settingsView],
    ];
    let turn = 0, timer = 0, latestRun = null;
    function place() {
      const [path, query] = (location.hash.slice(1) || "/").split("?");
      return { path, query: new URLSearchParams(query || "") };
    }
    const go = (path, values) => {
      const query = new URLSearchParams(Object.entries(values || {}).filter(pair => pair[1] !== null)).toString();
      location.hash = path + (query ? "?" + query : "");
    };
    function showState(run) {
      latestRun = run;
      const name = run.run.split("/").filter(Boolean).pop() || run.run;
      document.getElementById("run").textContent = name;
      document.getElementById("run").title = run.run;
      const state = document.getElementById("state");
      state.className = run.alive ? "live" : "";
      state.textContent = run.finished ? "finished" : run.alive ? "running" : "nobody runs it now";
      const share = run.steps ? Math.floor(100 * run.steps_done / run.steps) : 0;
      document.title = (run.finished ? "" : share + "% ") + name + " – ttrl";
    }
    async function show(isNew) {
      clearTimeout(timer);
      const mine = ++turn, { path, query } = place();
      const found = routes.map(([pattern, name, view]) => [path.match(pattern), name, view]).find(one => one[0]);
      for (const link of document.querySelectorAll("nav a")) {
        const target = link.getAttribute("href").slice(1);
        const isHere = target === "/" ? path === "/" : path.startsWith(target.replace(/s$/, ""));
        if (isHere) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
      }
      let pause = 1500;
      try {
        if (!found) throw new Error("there is no page " + path);
        const run = await ask("api/run");
        if (mine !== turn) return;
        showState(run);
        const view = await found[2](found[0].slice(1), query, run, isNew);
        if (mine !== turn) return;
        if (isNew) { main.replaceChildren(); scrollTo(0, 0); }
        // A view that has nothing new returns null and keeps what is there.
        if (view) main.replaceChildren(...[view].flat(Infinity).filter(Boolean));
        if (run.finished) pause = 10000;
        failures = 0;
        problem.hidden = true;
      } catch (error) {
        if (mine !== turn) return;
        failures += 1;
        problem.hidden = failures < 2 && !isNew;
        problem.textContent = error instanceof TypeError || error.name === "TimeoutError"
          ? "The page's server does not answer. It ends with ttrl train; \"ttrl page --run RUN\" shows the run again."
          : error.message;
        document.getElementById("state").className = "";
        pause = Math.min(30000, 1500 * 2 ** Math.min(failures, 5));
      }
      if (mine === turn) timer = setTimeout(() => show(false), document.hidden ? 15000 : pause);
    }
    // What a view showed last; new content only where it differs.
    let shown = "";
    const changed = (isNew, ...data) => {
      const text = JSON.stringify(data);
      // Who reads a value in a chart is not disturbed.
      if (!isNew && (text === shown || (!tip.hidden && Date.now() - pointedAt < 4000))) return false;
      shown = text;
      tip.hidden = true;
      return true;
    };
    addEventListener("hashchange", () => {
      if (location.hash === "#main") { main.focus(); return; }
      show(true);
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) show(false); });
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; shown = ""; show(false); } });
    document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); main.focus(); });
    show(true);

    """#
}
