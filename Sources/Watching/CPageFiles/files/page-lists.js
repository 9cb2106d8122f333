/* The lists of the page: prompts, steps, workers, events, settings.
 *
 * Each view asks the server and returns what is to be shown, or null if nothing has changed. A list shows a limited
 * number of rows and has buttons for the others. */
/* global answer, ask, badge, changed, clock, dash, day, go, grouped, h, known, number, pairs, partLegend, percent,
   plural, short, promptName, span, strip, table, timeBar */

/* values: what else the request says. */
function pager(path, offset, limit, total, values) {
  if (total <= limit) return null;
  const move = to => go(path, { ...values, offset: Math.max(0, to) });
  const shown = `rows ${grouped(offset + 1)} to ${grouped(Math.min(total, offset + limit))} of ${grouped(total)}`;
  return h("div", { class: "bar-row small" },
    h("button", { disabled: offset <= 0, onclick: () => move(offset - limit) }, "← earlier"),
    h("span", { class: "quiet" }, shown),
    h("button", { disabled: offset + limit >= total, onclick: () => move(offset + limit) }, "later →"));
}

/* Buttons under a list whose newest row comes first. `earliest` is where the next page starts; null: nowhere. */
function backwards(path, before, earliest) {
  return h("div", { class: "bar-row small" },
    h("button", { disabled: earliest === null, onclick: () => go(path, { before: earliest }) }, "← earlier"),
    before ? h("button", { onclick: () => go(path) }, "newest") : null);
}

const pageBefore = (path, limit, before) =>
  ask(`${path}?limit=${limit}` + (before ? "&before=" + encodeURIComponent(before) : ""));

const eventTable = events =>
  table([["time"], ["event"], ["detail"]], events.map(event => h("tr", {},
    h("td", { class: "n", title: day(event.time) }, clock(event.time)),
    h("td", {}, event.kind), h("td", {}, event.detail))));

function workerState(one) {
  if (one.straggler) return badge("behind", "bad");
  const state = badge(one.connected ? "connected" : "left");
  if (!one.connected && one.left_because) state.title = one.left_because;
  return state;
}

async function fleetView(_, query, run, isNew) {
  const limit = 100, offset = Number(query.get("offset")) || 0;
  const data = await ask(`api/fleet?offset=${offset}&limit=${limit}`);
  const { now, ...rest } = data;
  if (!changed(isNew, rest, Math.floor(now / 2))) return null;
  const ago = seconds => (known(seconds) ? span(seconds) + " ago" : dash);
  const heads = [
    ["worker"], ["state"], ["holds", "n"], ["of"], ["tokens/s", "n"], ["tokens", "n"], ["responses", "n"],
    ["last message", "n"], ["last response", "n"], ["address"], ["arithmetic"],
  ];
  const rows = data.workers.map(one => h("tr", {},
    h("th", { scope: "row" }, one.name),
    h("td", {}, workerState(one)),
    number(known(one.slots) ? plural(one.slots, "slot") : dash),
    h("td", { class: "label", title: one.holding }, one.holding || dash),
    number(grouped(one.rate)), number(grouped(one.tokens)), number(grouped(one.trajectories)),
    number(ago(one.silence)),
    number(ago(known(one.delivered_at) ? Math.max(0, now - one.delivered_at) : null)),
    h("td", {}, one.address),
    h("td", { class: "label", title: one.arithmetic }, one.arithmetic)));
  return [
    h("h1", {}, "Fleet"),
    h("p", {},
      `${plural(data.connected, "worker")} connected, ${grouped(data.total)} known. `,
      data.alive ? "" : "No coordinator is running, so it is not known what the workers hold. ",
      data.counted ? "" : "The samples from before this page was opened are still being counted."),
    run.learner
      ? h("p", { class: "small quiet" },
        `${run.learner.name}: last message ${ago(run.learner.silence)}.`)
      : null,
    table(heads, rows),
    pager("/fleet", offset, limit, data.total),
  ];
}

/* Search, filter and order of the prompts. Each choice is part of the address, so that it can be kept and sent. */
const promptFilters = [
  ["all", "all prompts"], ["flipped", "whose label changed"], ["wrong", "whose label is wrong"],
  ["split", "on which less than half agree"], ["unvisited", "not sampled yet"],
];
const promptOrders = [["index", "in the order of the file"], ["flips", "most label flips first"],
  ["agreement", "least agreement first"]];

function promptTools(chosen) {
  const select = (name, options, label) =>
    h("select", { name, "aria-label": label, onchange: event => event.target.form.requestSubmit() },
      options.map(([value, text]) => h("option", { value, selected: chosen[name] === value }, text)));
  const submit = event => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    go("/prompts", Object.fromEntries(Object.entries(values).filter(([, value]) => value)));
  };
  return h("form", { class: "bar-row", role: "search", onsubmit: submit },
    h("input", { type: "search", name: "find", value: chosen.find, maxlength: 200,
      placeholder: "text or id", "aria-label": "find in questions and ids" }),
    select("show", promptFilters, "which prompts"), select("order", promptOrders, "order"), h("button", {}, "find"));
}

async function promptsView(_, query, run, isNew) {
  const limit = 100, offset = Number(query.get("offset")) || 0;
  const chosen = {
    find: query.get("find") || "", show: query.get("show") || "all", order: query.get("order") || "index",
  };
  const data = await ask(`api/prompts?${new URLSearchParams({ ...chosen, offset, limit })}`);
  if (!changed(isNew, data)) return null;
  const heads = [
    ["prompt"], ["question"], ["votes, visit by visit"], ["first label"], ["last label"], ["agreement", "n"],
    ["flips", "n"],
  ];
  const label = visit => h("td", { class: "label" }, visit ? answer(visit.label, visit.right) : dash);
  const rows = data.prompts.map(one => h("tr", {},
    h("td", { class: "name" }, promptName(one)),
    h("td", { class: "cut", title: one.question },
      h("a", { href: "#/prompt/" + one.prompt }, h("bdi", {}, one.question))),
    h("td", {}, strip(one.bars, 162, 30, { "aria-label": plural(one.visits, "visit") })),
    label(one.first), label(one.last),
    number(one.last ? percent(one.last.share, 0) : dash), number(one.flips)));
  return [
    h("h1", {}, "Prompts"),
    h("p", { class: "quiet" },
      "Each bar is one visit. Its height is the share of responses that gave the label. ",
      "Above the line: the label was right; below: wrong; grey: not known."),
    promptTools(chosen),
    data.total < data.all
      ? h("p", { class: "small" }, `${grouped(data.total)} of ${plural(data.all, "prompt")}`) : null,
    data.prompts.length ? table(heads, rows, { class: "middle" }) : h("p", {}, "No prompt is like this."),
    pager("/prompts", offset, limit, data.total, chosen),
  ];
}

async function stepsView(_, query, run, isNew) {
  const limit = 100, before = query.get("before");
  const data = await pageBefore("api/steps", limit, before);
  if (!changed(isNew, data)) return null;
  const heads = [
    ["step", "n"], ["pass@1", "n"], ["right labels", "n"], ["majority", "n"], ["entropy", "n"], ["no signal", "n"],
    ["no answer", "n"], ["tokens", "n"], ["time", "n"], ["where it went"],
  ];
  const longest = Math.max(...data.steps.map(one => one.step_seconds || 0));
  const rows = data.steps.map(one => h("tr", {},
    number(h("a", { href: "#/step/" + one.step }, grouped(one.step))),
    number(percent(one.ground_truth_ratio)), number(percent(one.label_accuracy)), number(percent(one.majority_ratio)),
    number(short(one.entropy)), number(percent(one.zero_advantage_ratio)), number(percent(one.no_answer_ratio)),
    number(grouped(one.sampled_tokens)),
    number(span(one.step_seconds ?? one.rollout_seconds + one.train_seconds)),
    h("td", {}, one.step_seconds > 0 ? timeBar(data.parts, one, longest) : dash)));
  const last = data.steps[data.steps.length - 1];
  return [
    h("h1", {}, "Steps"), longest > 0 ? partLegend(data.parts) : null, table(heads, rows),
    backwards("/steps", before, last && last.step > 0 ? last.step : null),
  ];
}

async function eventsView(_, query, run, isNew) {
  const limit = 200, before = query.get("before");
  const data = await pageBefore("api/events", limit, before);
  if (!changed(isNew, data)) return null;
  const last = data.events[data.events.length - 1];
  return [
    h("h1", {}, "Events"),
    data.events.length ? eventTable(data.events) : h("p", { class: "quiet" }, "Nothing has happened yet."),
    backwards("/events", before, data.events.length < limit ? null : last.number),
  ];
}

async function settingsView(_, query, run, isNew) {
  const data = await ask("api/settings");
  if (!changed(isNew, data)) return null;
  const list = object => pairs(Object.entries(object).map(([name, value]) => [name, value === "" ? dash : value]));
  const part = isChosen =>
    Object.fromEntries(Object.entries(data.settings).filter(([name]) => data.chosen.includes(name) === isChosen));
  const paths = [
    "api/run", "api/charts", "api/curves", "api/fleet", "api/prompts", "api/steps", "api/events", "metrics",
  ];
  return [
    h("h1", {}, "Settings"),
    data.chosen.length
      ? [h("h2", {}, "Different from their defaults"), list(part(true))]
      : h("p", {}, "All settings have their defaults."),
    h("h2", {}, "With their defaults"), list(part(false)),
    data.prompt
      ? [h("h2", {}, "A prompt as the model sees it"),
        h("p", {}, `Question ${data.prompt.id}, ${plural(data.prompt.tokens, "token")}; ${data.prompt.form}.`),
        h("pre", { class: "prompt" }, data.prompt.text)]
      : null,
    h("h2", {}, "The run"), list({ directory: run.run, ...data.facts, "ttrl (this page)": data.versions.ttrl }),
    h("p", { class: "small quiet" }, "The same data for programs: ",
      paths.flatMap((path, index) => [index ? ", " : "", h("a", { href: "/" + path }, "/" + path)]), "."),
  ];
}
