/* The first page of a run: how far it is, its newest figures, its charts, its result and its latest events. */
/* global ask, changed, dash, day, eventTable, figures, grouped, h, known, minus, number, percent, plural, short,
   span */

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
  /* Responses that were given have no votes. */
  const given = known(figure.loss) && !known(figure.majority_ratio);
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
    known(figure.perplexity) ? tile("perplexity", short(figure.perplexity), "of given responses") : null,
    ...given ? [tile("loss", short(figure.loss), "per trained token")] : [
      tile("majority ratio", percent(figure.majority_ratio), "responses that agree"),
      tile("entropy", short(figure.entropy), "nats per token"),
      tile("distinct labels", short(figure.distinct_label_ratio), "per question"),
      tile("no signal", percent(figure.zero_advantage_ratio), "zero-advantage groups"),
    ],
    known(run.sampling_rate)
      ? tile("sampling", grouped(run.sampling_rate), "tokens/s, now")
      : tile("sampling", grouped(lastRate), "tokens/s, last step"),
    tile("training", grouped(run.training_rate), "tokens/s, last step"),
    run.banner || run.finished ? null : tile("workers", grouped(run.workers_connected), joined(fleet)));
}

/* The result of a finished run in a few words: what was measured before and after. */
function resultTitle(run) {
  const { before, after } = run.ends.train || {};
  const visits = run.visits || {};
  const ends = [
    ["pass@1", valueAt(before, "pass@1"), valueAt(after, "pass@1")],
    ["majority ratio", valueAt(before, "majority ratio"), valueAt(after, "majority ratio")],
    ...["pass@1", "majority ratio"].map(name => [name, (visits.first || {})[name], (visits.last || {})[name]]),
  ];
  const end = ends.find(([, first, last]) => known(first) && known(last));
  return end ? `: ${end[0]} ${percent(end[1])} → ${percent(end[2])}` : "";
}

/* What happened to a run that ended before its end, why, and what to do. */
const bannerOf = ({ what, reason, next }, time) =>
  h("div", { class: "banner", role: "alert" },
    h("p", {}, h("strong", {}, what), known(time) ? h("span", { class: "quiet small" }, " " + day(time)) : null),
    reason ? h("pre", {}, reason) : null, h("p", {}, next));

function head(run) {
  const done = `${grouped(run.steps_done)} of ${plural(run.steps, "step")} done`;
  const title = run.finished ? "Finished" + resultTitle(run) : done;
  const parts = [
    run.finished ? plural(run.steps_done, "step") : null,
    known(run.seconds_left) ? span(run.seconds_left) + " left" : null,
    known(run.wall_seconds) ? span(run.wall_seconds) + (run.finished ? " in all" : " so far") : null,
    plural(run.tokens, "token") + " sampled" + (run.counted ? "" : " (still counting)"),
  ];
  const gap = run.figures.logprob_gap;
  const newest = run.alarms[run.alarms.length - 1];
  return [
    run.banner ? bannerOf(run.banner, run.ended_at) : null,
    run.problem ? h("p", { class: "warning" }, "The run cannot be read now, and is tried again: " + run.problem) : null,
    h("h1", {}, title),
    run.finished ? null : h("progress", { max: run.steps || 1, value: run.steps_done, "aria-label": "steps done" }),
    h("p", { class: "quiet small" }, parts.filter(Boolean).join(" · ")),
    run.finished || run.banner ? null : h("p", {}, "Waits for " + run.waits_for + "."),
    run.standbys.length ? h("p", {}, "Standby: " + run.standbys.join("; ") + ".") : null,
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

/* Names with a value at each end of the run, as a table. */
function endsTable(title, heads, rows) {
  const change = (before, after) => {
    if (!known(before) || !known(after)) return dash;
    const points = (100 * (after - before)).toFixed(1);
    return Number(points) === 0 ? "0.0" : (points > 0 ? "+" : "") + minus(points);
  };
  return h("div", { class: "scroll" },
    h("table", { class: "fit" },
      h("thead", {}, h("tr", {}, [title, ...heads, "change"].map((head, index) =>
        h("th", { class: index ? "n" : null, scope: "col" }, head)))),
      h("tbody", {}, rows.map(({ name, before, after, titles }) => h("tr", {},
        h("th", { scope: "row" }, name),
        h("td", { class: "n", title: titles && titles[0] }, percent(before)),
        h("td", { class: "n", title: titles && titles[1] }, percent(after)), number(change(before, after)))))));
}

/* Before and after, one table for each set of questions; without evaluations, the votes of training. */
function outcome(run) {
  const titles = { train: "Training questions", held_out: "Held-out questions", transfer: "Transfer questions" };
  const names = ["pass@1", "pass@64", "maj@16", "maj@64", "majority ratio"];
  const interval = (end, name) => {
    const ci95 = end && end.figures[name] && end.figures[name].ci95;
    return ci95 ? `95%: ${percent(ci95[0])} to ${percent(ci95[1])}` : null;
  };
  const tables = Object.entries(run.ends).map(([set, { before, after }]) => {
    const rows = names
      .map(name => ({
        name, before: valueAt(before, name), after: valueAt(after, name),
        titles: [interval(before, name), interval(after, name)],
      }))
      .filter(row => known(row.before) || known(row.after));
    const end = after ? "after " + plural(after.policy, "step") : "after";
    return endsTable(titles[set] || set, ["before", end], rows);
  });
  if (tables.length || !run.visits) return tables;
  const { first, last } = run.visits;
  const rows = Object.keys(first)
    .map(name => ({ name, before: first[name], after: last[name] }))
    .filter(row => known(row.before) || known(row.after));
  return [endsTable("Votes of training", ["first visit", "last visit"], rows)];
}

/* What the figures are compared with, and what is delivered. */
function outcomeNotes(run) {
  const sets = Object.values(run.ends);
  const { before, after: trained } = run.ends.train || {};
  const isKnown = run.ends.train
    ? known(valueAt(before, "pass@1")) || known(valueAt(trained, "pass@1"))
    : !run.visits || known(run.visits.last["pass@1"]);
  const after = valueAt(trained, "pass@1");
  const base = run.base_majority;
  const points = base && known(after) ? (100 * (after - base.value)).toFixed(1) : null;
  const place = Number(points) === 0
    ? "equal to it" : `${Math.abs(points).toFixed(1)} points ${points > 0 ? "above" : "below"} it`;
  const notes = [
    isKnown ? null : "No answers are known for the training questions: only agreement could be measured on them, "
      + "not whether responses are right.",
    base ? `The base model's majority vote, ${base.name}, is ${percent(base.value)}`
      + (points === null ? "." : `; pass@1 after training is ${place}.`) : null,
    sets.length || !run.visits
      ? null : "Each prompt's first and last visit, sampled as in training; there was no evaluation.",
    run.delivered ? `Delivered: policy ${grouped(run.delivered.policy)}, in ${run.delivered.directory}.` : null,
  ];
  return notes.filter(Boolean).map(note => h("p", { class: "small" }, note));
}

/* The stages of the course whose stage the run is. */
function courseTable(course) {
  if (!course) return null;
  const ends = (stage, name) => stage[name] && (known(stage[name].before) || known(stage[name].after))
    ? `${percent(stage[name].before)} → ${percent(stage[name].after)}` : dash;
  return [
    h("h2", {}, "Course"),
    h("div", { class: "scroll" },
      h("table", { class: "fit" },
        h("thead", {}, h("tr", {}, ["stage", "state", "steps", "pass@1", "majority ratio"].map((head, index) =>
          h("th", { class: index > 1 ? "n" : null, scope: "col" }, head)))),
        h("tbody", {}, course.stages.map(stage => h("tr", {},
          h("th", { scope: "row" }, stage.directory), h("td", {}, stage.state),
          number(`${grouped(stage.steps_done)} of ${grouped(stage.steps)}`),
          number(ends(stage, "pass@1")), number(ends(stage, "majority_ratio"))))))),
    course.stages.filter(stage => stage.skip_reason).map(stage =>
      h("p", { class: "small" }, `${stage.name} was skipped: ${stage.skip_reason}`)),
  ];
}

async function overviewView(_, query, run, isNew) {
  const data = await ask("api/charts");
  const { now, ...rest } = run;
  if (!changed(isNew, rest, data)) return null;
  const tables = outcome(run);
  const results = tables.length || run.delivered
    ? [h("h2", {}, "Before and after"), h("div", { class: "grid" }, tables), outcomeNotes(run)] : null;
  return [
    head(run),
    // A finished run's result comes first. While it goes on, the newest figures do.
    run.finished ? [results, h("h2", {}, "The last step")] : null,
    tiles(run), openRounds(run),
    data.note ? h("p", { class: "small quiet" }, data.note) : null,
    data.charts.length
      ? h("div", { class: "grid" }, figures(data)) : h("p", { class: "quiet" }, "No step is done yet."),
    run.finished ? null : results,
    courseTable(run.course),
    run.events.length
      ? [h("h2", {}, "Latest events"), eventTable(run.events.slice(0, 8)),
        h("p", { class: "small" }, h("a", { href: "#/events" }, "all events"))] : null,
  ];
}
