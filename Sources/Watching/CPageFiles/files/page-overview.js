/* The first page of a run: how far it is, its newest figures, its charts, its result and its latest events. */
/* global ask, changed, dash, eventTable, figures, grouped, h, known, minus, number, percent, plural, short, span */

const tile = (name, value, more) =>
  h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value, more ? h("small", {}, more) : null));

/* The value of a figure at one end of a run; null where it is not known. */
const valueAt = (end, name) => {
  if (!end) return null;
  if (name === "majority ratio") return end.majority_ratio;
  return end.figures[name] ? end.figures[name].value : null;
};

function tiles(run) {
  const figure = run.figures;
  const { before, after } = run.ends.train || {};
  const base = valueAt(before, "pass@1"), trained = valueAt(after, "pass@1");
  const majority = valueAt(before, "maj@64") ?? valueAt(before, "maj@16");
  const ends = [known(base) ? "base " + percent(base) : null, known(trained) ? "after " + percent(trained) : null];
  const lastRate = known(figure.sampled_tokens) && figure.rollout_seconds > 0
    ? figure.sampled_tokens / figure.rollout_seconds : null;
  const fleet = [
    known(run.leases) ? plural(run.leases, "lease") : null,
    run.stragglers ? plural(run.stragglers, "straggler") : null,
  ];
  const joined = parts => parts.filter(Boolean).join(", ");
  return h("dl", { class: "tiles" },
    known(figure.ground_truth_ratio)
      ? tile("pass@1", percent(figure.ground_truth_ratio), joined(ends)) : null,
    known(figure.label_accuracy)
      ? tile("right labels", percent(figure.label_accuracy),
        known(majority) ? "base majority " + percent(majority) : null) : null,
    tile("majority ratio", percent(figure.majority_ratio), "responses that agree"),
    tile("entropy", short(figure.entropy), "nats per token"),
    tile("distinct labels", short(figure.distinct_label_ratio), "per question"),
    tile("no signal", percent(figure.zero_advantage_ratio), "zero-advantage groups"),
    known(run.sampling_rate)
      ? tile("sampling", grouped(run.sampling_rate), "tokens/s, now")
      : tile("sampling", grouped(lastRate), "tokens/s, last step"),
    tile("training", grouped(run.training_rate), "tokens/s, last step"),
    tile("workers", grouped(run.workers_connected), joined(fleet)));
}

function head(run) {
  const title = run.finished
    ? "Finished after " + plural(run.steps_done, "step")
    : `Step ${grouped(Math.min(run.steps_done + 1, run.steps))} of ${grouped(run.steps)}`;
  const parts = [
    known(run.seconds_left) && !run.finished ? span(run.seconds_left) + " left" : null,
    known(run.wall_seconds) ? span(run.wall_seconds) + (run.finished ? " in all" : " so far") : null,
    plural(run.tokens, "token") + " sampled" + (run.counted ? "" : " (still counting)"),
  ];
  const gap = run.figures.logprob_gap;
  const newest = run.alarms[run.alarms.length - 1];
  return [
    h("h1", {}, title),
    h("progress", { max: run.steps || 1, value: run.steps_done, "aria-label": "steps done" }),
    h("p", { class: "quiet small" }, parts.filter(Boolean).join(" · ")),
    run.finished ? null : h("p", {}, "Waits for " + run.waits_for + "."),
    run.alarms_on.length
      ? h("p", { class: "warning" }, "Alarms: " + run.alarms_on.join(", ") + ". ", newest ? newest.text : "") : null,
    known(gap) && gap !== 0
      ? h("p", { class: "warning" },
        "Sampler and trainer do not agree: log-probabilities differ by up to " + short(gap) + ".") : null,
  ];
}

function openRounds(run) {
  return run.open_rounds.slice(0, 4).map(round =>
    h("div", { class: "bar-row small" },
      h("span", {}, round.round),
      h("span", { class: "quiet" }, `${grouped(round.settled)} of ${grouped(round.slots)} slots`),
      h("progress", { max: round.slots || 1, value: round.settled, "aria-label": round.round })));
}

/* Before and after, one table for each set of questions. */
function outcome(run) {
  const titles = { train: "Training questions", held_out: "Held-out questions", transfer: "Transfer questions" };
  const names = ["pass@1", "pass@64", "maj@16", "maj@64", "majority ratio"];
  const interval = (end, name) => {
    const ci95 = end && end.figures[name] && end.figures[name].ci95;
    return ci95 ? `95%: ${percent(ci95[0])} to ${percent(ci95[1])}` : null;
  };
  const cell = (end, name) => h("td", { class: "n", title: interval(end, name) }, percent(valueAt(end, name)));
  const change = (before, after) =>
    known(before) && known(after)
      ? (after >= before ? "+" : "") + minus((100 * (after - before)).toFixed(1)) : dash;
  return Object.entries(run.ends).map(([set, { before, after }]) => {
    const rows = names.filter(name => known(valueAt(before, name)) || known(valueAt(after, name)));
    return h("div", { class: "scroll" },
      h("table", { class: "fit" },
        h("thead", {}, h("tr", {},
          h("th", {}, titles[set] || set), h("th", { class: "n" }, "policy 0"),
          h("th", { class: "n" }, after ? "policy " + after.policy : "after"), h("th", { class: "n" }, "change"))),
        h("tbody", {}, rows.map(name => h("tr", {},
          h("th", { scope: "row" }, name), cell(before, name), cell(after, name),
          number(change(valueAt(before, name), valueAt(after, name))))))));
  });
}

async function overviewView(_, query, run, isNew) {
  const data = await ask("api/charts");
  const { now, ...rest } = run;
  if (!changed(isNew, rest, data)) return null;
  const results = outcome(run);
  return [
    head(run), tiles(run), openRounds(run),
    data.note ? h("p", { class: "small quiet" }, data.note) : null,
    data.charts.length
      ? h("div", { class: "grid" }, figures(data)) : h("p", { class: "quiet" }, "No step is done yet."),
    results.length ? [h("h2", {}, "Before and after"), h("div", { class: "grid" }, results)] : null,
    run.events.length
      ? [h("h2", {}, "Latest events"), eventTable(run.events.slice(0, 8)),
        h("p", { class: "small" }, h("a", { href: "#/events" }, "all events"))] : null,
  ];
}
