// PageViews: the overview and the lists of the page.
//
// Each view asks the server, and returns what is to be shown, or null if nothing has changed since. A list shows a
// bounded piece and leads to the others. Not here: one prompt and one step (PagePromptViews).

enum PageViews {
  static let overview = #"""
    const tile = (name, value, more) =>
      h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value, more ? h("small", {}, more) : null));
    function tiles(run) {
      const figure = run.figures, ends = run.ends.train || {};
      const before = ends.before && ends.before.figures["pass@1"], after = ends.after && ends.after.figures["pass@1"];
      const base = ends.before && (ends.before.figures["maj@64"] || ends.before.figures["maj@16"]);
      return h("dl", { class: "tiles" },
        known(figure.ground_truth_ratio) ? tile("pass@1", percent(figure.ground_truth_ratio),
          before && known(before.value) ? "base " + percent(before.value)
            + (after && known(after.value) ? ", after " + percent(after.value) : "") : null) : null,
        known(figure.label_accuracy) ? tile("right labels", percent(figure.label_accuracy),
          base && known(base.value) ? "base majority " + percent(base.value) : null) : null,
        tile("majority ratio", percent(figure.majority_ratio), "responses that agree"),
        tile("entropy", short(figure.entropy), "nats per token"),
        tile("distinct labels", known(figure.distinct_label_ratio) ? short(figure.distinct_label_ratio) : dash,
          "per question"),
        tile("no signal", percent(figure.zero_advantage_ratio), "nothing to learn from"),
        tile("sampling", known(run.sampling_rate) ? grouped(run.sampling_rate)
          : known(figure.sampled_tokens) && figure.rollout_seconds > 0
            ? grouped(figure.sampled_tokens / figure.rollout_seconds) : dash,
          known(run.sampling_rate) ? "tokens/s, lately" : "tokens/s, last step"),
        tile("training", grouped(run.training_rate), "tokens/s, last step"),
        tile("workers", grouped(run.workers_connected), [known(run.leases) ? plural(run.leases, "lease") : null,
          run.stragglers ? plural(run.stragglers, "straggler") : null].filter(Boolean).join(", ") || null));
    }
    function head(run) {
      const done = run.finished ? "Finished after " + plural(run.steps_done, "step")
        : `Step ${grouped(Math.min(run.steps_done + 1, run.steps))} of ${grouped(run.steps)}`;
      const parts = [known(run.seconds_left) && !run.finished ? span(run.seconds_left) + " left" : null,
        known(run.wall_seconds) ? span(run.wall_seconds) + (run.finished ? " in all" : " so far") : null,
        plural(run.tokens, "token") + " sampled" + (run.counted ? "" : " (still counting)")];
      return [h("h1", {}, done), h("progress", { max: run.steps || 1, value: run.steps_done,
        "aria-label": "steps done" }),
        h("p", { class: "quiet small" }, parts.filter(Boolean).join(" · ")),
        run.finished ? null : h("p", {}, "Waits for " + run.waits_for + "."),
        run.alarms_on.length ? h("p", { class: "warning" }, "Alarms: " + run.alarms_on.join(", ") + ". ",
          run.alarms.length ? run.alarms[run.alarms.length - 1].text : "") : null,
        known(run.figures.logprob_gap) && run.figures.logprob_gap !== 0 ? h("p", { class: "warning" },
          "Sampler and trainer do not agree: log-probabilities differ by " + short(run.figures.logprob_gap)) : null];
    }
    function rounds(run) {
      return run.open_rounds.slice(0, 4).map(round => h("div", { class: "bar-row small" },
        h("span", {}, round.round), h("span", { class: "quiet" },
          `${grouped(round.settled)} of ${grouped(round.slots)} slots`),
        h("progress", { max: round.slots || 1, value: round.settled, "aria-label": round.round })));
    }
    function curves(data) {
      const line = name => data.steps.map((step, index) => [step, (data.figures[name] || [])[index] ?? null]);
      const marks = (set, name) => data.evaluations.filter(one => one.set === set).map(one => [one.policy, one[name]]);
      const base = data.evaluations.find(one => one.policy === 0 && one.set === "train");
      const majority = base && (known(base["maj@64"]) ? base["maj@64"] : base["maj@16"]);
      const one = (name, label, ink, mark, points) => ({ name, label, ink, mark, points });
      const note = data.bin > 1 ? ` Each point is the mean of about ${data.bin} steps.` : "";
      return [
        chart({ title: "Accuracy", wide: true, height: 280, unit: "percent",
          note: "Points are evaluations; lines are what each step sampled to vote. Higher is better." + note,
          reference: known(majority) ? { value: majority, name: "the base model's own majority vote, "
            + percent(majority) } : null,
          series: [one("pass@1 while training", "training", "c1", "solid", line("ground_truth_ratio")),
            one("label accuracy while training", "labels", "c2", "dashed", line("label_accuracy")),
            one("pass@1, training questions", "pass@1", "c1", "disc", marks("train", "pass@1")),
            one("maj@16, training questions", "maj@16", "c2", "square", marks("train", "maj@16")),
            one("pass@1, held-out questions", "held out", "c3", "ring", marks("held_out", "pass@1"))] }),
        chart({ title: "Majority ratio",
          note: "Responses that agree with the label. Needs no answers; rises as the model grows certain.",
          unit: "percent", series: [one("majority ratio", "", "c2", "solid", line("majority_ratio"))] }),
        chart({ title: "Entropy",
          note: "How open the model still is, nats per token. Near 0 it says the same every time.",
          unit: "nats", top: .1, series: [one("entropy", "", "c4", "solid", line("entropy"))] }),
        chart({ title: "Rewards", note: "How often a reward is what the true answer would have given.", unit: "percent",
          series: [one("reward accuracy", "", "c3", "solid", line("reward_accuracy"))] }),
        chart({ title: "Labels",
          note: "Different labels per question: where it falls far, one answer takes over. Labels that changed.",
          unit: "plain", top: .1, series: [one("distinct labels", "distinct", "c2", "solid",
            line("distinct_label_ratio")),
            one("flips", "flips", "c5", "dotted", line("flip_ratio")),
            one("overturned", "overturned", "c4", "dashed", line("overturn_ratio"))] }),
        chart({ title: "Guards", note: "Responses without an answer or cut off; questions with nothing to learn from.",
          unit: "percent", top: .1, series: [one("no signal", "no signal", "c5", "dotted",
            line("zero_advantage_ratio")),
            one("no answer", "no answer", "c2", "solid", line("no_answer_ratio")),
            one("cut off", "cut off", "c1", "dashed", line("truncation_ratio"))] }),
        chart({ title: "Response length", note: "Tokens.", unit: "tokens", top: 8, series: [
          one("mean", "mean", "c1", "solid", line("response_length_mean")),
          one("longest", "longest", "c5", "dotted", line("response_length_max"))] }),
        chart({ title: "Time per step", note: "Sampling and training, one after the other.", unit: "seconds", top: 1e-3,
          series: [one("sampling", "sampling", "c1", "solid", line("rollout_seconds")),
            one("training", "training", "c2", "dashed", line("train_seconds"))] }),
        chart({ title: "Gradient norm", note: "Before clipping.", unit: "plain", top: 1e-6,
          series: [one("gradient norm", "", "c5", "solid", line("gradient_norm"))] }),
        chart({ title: "Learning rate", note: "Of each step.", unit: "plain", top: 1e-12,
          series: [one("learning rate", "", "c5", "solid", line("learning_rate"))] })].filter(Boolean);
    }
    function outcome(run) {
      const names = { train: "Training questions", held_out: "Held-out questions", transfer: "Transfer questions" };
      const value = (end, name) => end && (end.figures[name] ? end.figures[name].value : name === "majority ratio"
        ? end.majority_ratio : null);
      const range = (end, name) => end && end.figures[name] && end.figures[name].ci95
        ? `95%: ${percent(end.figures[name].ci95[0])} to ${percent(end.figures[name].ci95[1])}` : null;
      return Object.entries(run.ends).map(([set, ends]) => {
        const rows = ["pass@1", "pass@64", "maj@16", "maj@64", "majority ratio"]
          .filter(name => known(value(ends.before, name)) || known(value(ends.after, name)));
        return h("div", { class: "scroll" }, h("table", { class: "fit" }, h("thead", {}, h("tr", {},
          h("th", {}, names[set] || set), h("th", { class: "n" }, "policy 0"),
          h("th", { class: "n" }, ends.after ? "policy " + ends.after.policy : "after"), h("th", { class: "n" },
            "change"))),
          h("tbody", {}, rows.map(name => {
            const [before, after] = [value(ends.before, name), value(ends.after, name)];
            return h("tr", {}, h("th", { scope: "row" }, name),
              h("td", { class: "n", title: range(ends.before, name) }, percent(before)),
              h("td", { class: "n", title: range(ends.after, name) }, percent(after)),
              h("td", { class: "n" }, known(before) && known(after)
                ? (after >= before ? "+" : "") + minus((100 * (after - before)).toFixed(1)) : dash));
          }))));
      });
    }
    async function overviewView(_, query, run, isNew) {
      const data = await ask("api/curves");
      const { now, ...rest } = run;
      if (!changed(isNew, rest, data)) return null;
      const drawn = curves(data);
      const results = outcome(run);
      return [head(run), tiles(run), rounds(run),
        drawn.length ? h("div", { class: "grid" }, drawn) : h("p", { class: "quiet" }, "No step is done yet."),
        results.length ? [h("h2", {}, "Before and after"), h("div", { class: "grid" }, results)] : null,
        run.events.length ? [h("h2", {}, "Latest events"), eventTable(run.events.slice(0, 8)),
          h("p", { class: "small" }, h("a", { href: "#/events" }, "all events"))] : null];
    }

    """#

  static let lists = #"""
    function pager(path, offset, limit, total) {
      return h("div", { class: "bar-row small" },
        h("button", { disabled: offset <= 0, onclick: () => go(path, { offset: Math.max(0, offset - limit) }) },
          "← earlier"),
        h("span", { class: "quiet" }, total
          ? `${grouped(offset)} to ${grouped(Math.min(total, offset + limit) - 1)} of ${grouped(total)}` : "none"),
        h("button", { disabled: offset + limit >= total, onclick: () => go(path, { offset: offset + limit }) },
          "later →"));
    }
    const table = (heads, rows, more) => h("div", { class: "scroll" }, h("table", more || {},
      h("thead", {}, h("tr", {}, heads.map(([name, style]) => h("th", { class: style, scope: "col" }, name)))),
      h("tbody", {}, rows)));
    const eventTable = events => table([["time"], ["event"], ["what"]], events.map(event => h("tr", {},
      h("td", { class: "n", title: day(event.time) }, clock(event.time)), h("td", {}, event.kind), h("td", {},
        event.detail))));

    async function fleetView(_, query, run, isNew) {
      const limit = 100, offset = Number(query.get("offset")) || 0;
      const data = await ask(`api/fleet?offset=${offset}&limit=${limit}`);
      const { now, ...rest } = data;
      if (!changed(isNew, rest, Math.floor(now / 2))) return null;
      return [h("h1", {}, "Fleet"), h("p", {},
        `${plural(data.connected, "worker")} connected, ${grouped(data.total)} known. `,
          data.alive ? "What each holds is as of a moment ago."
            : "No coordinator is at work, so nobody says what they hold.",
          data.counted ? "" : " Still counting what was sampled before this page was opened."),
        run.learner ? h("p", { class: "small quiet" },
          `Learner ${run.learner.name}, heard ${span(run.learner.zeroAdvantage)} ago.`) : null,
        table([["worker"], ["state"], ["holds", "n"], ["of"], ["tokens/s", "n"], ["tokens", "n"], ["responses", "n"],
            ["heard", "n"], ["last response", "n"], ["address"], ["arithmetic"]],
          data.workers.map(one => h("tr", {}, h("th", { scope: "row" }, one.name),
            h("td", {}, one.straggler ? h("span", { class: "badge bad" }, "behind") : h("span", { class: "badge",
              title: one.connected ? null : one.left_because }, one.connected ? "connected" : "left")),
            h("td", { class: "n" }, known(one.slots) ? plural(one.slots, "slot") : dash),
            h("td", { class: "label", title: one.holding }, one.holding || dash),
            h("td", { class: "n" }, grouped(one.rate)), h("td", { class: "n" }, grouped(one.tokens)),
            h("td", { class: "n" }, grouped(one.trajectories)),
            h("td", { class: "n" }, known(one.zeroAdvantage) ? span(one.zeroAdvantage) + " ago" : dash),
            h("td", { class: "n" }, known(one.delivered_at) ? span(Math.max(0, now - one.delivered_at)) + " ago"
              : dash),
            h("td", {}, one.address), h("td", { class: "label", title: one.arithmetic }, one.arithmetic)))),
        data.total > limit ? pager("/fleet", offset, limit, data.total) : null];
    }
    async function promptsView(_, query, run, isNew) {
      const limit = 100, offset = Number(query.get("offset")) || 0;
      const data = await ask(`api/prompts?offset=${offset}&limit=${limit}`);
      if (!changed(isNew, data)) return null;
      return [h("h1", {}, "Prompts"), h("p", { class: "quiet" },
        "Each bar is one visit, its height the share of responses that agreed: ",
          "above the line where the majority was right, below where it was wrong, grey where nobody knows."),
        table([["#", "n"], ["question"], ["votes, visit by visit"], ["label first"], ["label last"], ["agreement",
          "n"], ["flips", "n"]],
          data.prompts.map(one => h("tr", {}, h("td", { class: "n" }, one.prompt),
            h("td", { class: "cut", title: one.question }, h("a", { href: "#/prompt/" + one.prompt }, h("bdi", {},
              one.question))),
            h("td", {}, strip(one.bars, 162, 30, { "aria-label": plural(one.visits, "visit") })),
            h("td", { class: "label" }, one.first ? answer(one.first.label, one.first.right) : dash),
            h("td", { class: "label" }, one.last ? answer(one.last.label, one.last.right) : dash),
            h("td", { class: "n" }, one.last ? percent(one.last.share, 0) : dash), h("td", { class: "n" },
              one.flips))), { class: "middle" }),
        data.total > limit ? pager("/prompts", offset, limit, data.total) : null];
    }
    async function stepsView(_, query, run, isNew) {
      const limit = 100, before = query.get("before");
      const data = await ask(`api/steps?limit=${limit}` + (before ? "&before=" + encodeURIComponent(before) : ""));
      if (!changed(isNew, data)) return null;
      const last = data.steps[data.steps.length - 1];
      return [h("h1", {}, "Steps"), table([["step", "n"], ["pass@1", "n"], ["labels right", "n"], ["majority", "n"],
          ["entropy", "n"], ["no signal", "n"], ["no answer", "n"], ["tokens", "n"], ["sampling", "n"], ["training",
            "n"]],
          data.steps.map(one => h("tr", {}, h("td", { class: "n" }, h("a", { href: "#/step/" + one.step }, one.step
            + 1)),
            [percent(one.ground_truth_ratio), percent(one.label_accuracy), percent(one.majority_ratio),
              short(one.entropy),
              percent(one.zero_advantage_ratio), percent(one.no_answer_ratio), grouped(one.sampled_tokens),
              span(one.rollout_seconds), span(one.train_seconds)].map(text => h("td", { class: "n" }, text))))),
        h("div", { class: "bar-row small" },
          h("button", { disabled: !last || last.step <= 0, onclick: () => go("/steps", { before: last.step }) },
            "← earlier"),
          before ? h("button", { onclick: () => go("/steps") }, "newest") : null)];
    }
    async function eventsView(_, query, run, isNew) {
      const limit = 200, before = query.get("before");
      const data = await ask(`api/events?limit=${limit}` + (before ? "&before=" + encodeURIComponent(before) : ""));
      if (!changed(isNew, data)) return null;
      const last = data.events[data.events.length - 1];
      return [h("h1", {}, "Events"), data.events.length ? eventTable(data.events) : h("p", { class: "quiet" },
        "Nothing has happened yet."),
        h("div", { class: "bar-row small" }, h("button", { disabled: data.events.length < limit,
          onclick: () => go("/events", { before: last.number }) }, "← earlier"),
          before ? h("button", { onclick: () => go("/events") }, "newest") : null)];
    }
    async function settingsView(_, query, run, isNew) {
      const data = await ask("api/settings");
      if (!changed(isNew, data)) return null;
      const pairs = object => h("dl", { class: "pairs" }, Object.entries(object).map(([name, value]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, value === "" ? dash : value))));
      return [h("h1", {}, "Settings"), pairs(data.settings), h("h2", {}, "The run"),
        pairs({ directory: run.run, ...data.facts, "ttrl (this page)": data.versions.ttrl }),
        h("p", { class: "small quiet" }, "The same for programs: ", ["api/run", "api/curves", "api/fleet",
          "api/prompts",
          "api/steps", "api/events", "metrics"].flatMap((path, index) =>
          [index ? ", " : "", h("a", { href: "/" + path }, "/" + path)]), ".")];
    }

    """#
}
