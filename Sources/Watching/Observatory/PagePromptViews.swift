// PagePromptViews: the pages of one prompt and of one step.
//
// A prompt's page shows its votes from visit to visit, where its label turned, and single responses: every token's
// background says how sure the policy was of it (the darker, the less), and the token under the pointer or the focus is
// told in words, with its probability. Below each response stands where it came from.

extension PageViews {
  static let prompt = #"""
    const heat = logprob => logprob > -0.36 ? null : logprob > -1.2 ? 1 : logprob > -2.3 ? 2 : 3;
    function response(one, data) {
      const told = h("p", { class: "small quiet", "aria-live": "polite" },
        "Point at a token, or tap it, for its probability.");
      const tokens = h("div", { class: "tokens", tabindex: "0", role: "group",
        "aria-label": "tokens; arrow keys move" },
        one.texts.map((text, index) => h("span", { "data-at": index, "data-heat": heat(one.logprobs[index]) },
          text === "\n" ? "⏎\n" : text)));
      let now = -1;
      const tell = index => {
        if (index === now || !(index >= 0 && index < one.texts.length)) return;
        if (tokens.children[now]) tokens.children[now].classList.remove("now");
        now = index;
        tokens.children[now].classList.add("now");
        const logprob = one.logprobs[now];
        told.textContent = `token ${now + 1} of ${one.tokens}: ${JSON.stringify(one.texts[now])}, id ${one.ids[now]}, `
          + `probability ${percent(Math.exp(logprob))}, log-probability ${minus(logprob.toFixed(4))}`;
      };
      const under = event => { const span = event.target.closest("[data-at]");
        if (span) tell(Number(span.dataset.at)); };
      tokens.addEventListener("pointerover", under);
      tokens.addEventListener("click", under);
      tokens.addEventListener("keydown", event => {
        const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (move) { event.preventDefault(); tell(Math.max(0, Math.min(one.texts.length - 1, now + move))); }
      });
      const cut = one.tokens > one.texts.length ? ` (the first ${grouped(one.texts.length)} are shown)` : "";
      return h("section", { class: "response" },
        h("p", {}, h("strong", {}, "sample " + one.sample), " answers ", one.answer === null
          ? h("span", { class: "quiet" }, "nothing that could be found") : h("bdi", {}, plain(one.answer)),
          one.counts ? null : h("span", { class: "badge" }, "not needed for the vote")),
        tokens, told,
        h("p", { class: "small quiet" },
          `${plural(one.tokens, "token")}${cut}, ended by `
          + (one.finish === "stop" ? "its end token" : "the length limit")
          + `, log-probability ${minus(one.logprob.toFixed(2))}, entropy ${short(one.entropy)} nats per token. `
          + `From policy ${one.policy}, `
          + `random stream (seed ${data.seed}, step ${data.step}, prompt ${data.prompt}, sample ${one.sample}), `
          + (one.worker === null ? "worker unknown" : `by ${one.worker}${one.address ? " at " + one.address : ""}`)
          + (known(one.lease) ? `, under lease ${one.lease}` : "") + "."));
    }
    // The responses of a step stay in place while the rest of the page follows the run.
    function responsesOf(prompt, steps, chosen) {
      const list = h("div", {}), more = h("button", {}, "more responses");
      const pick = h("select", { "aria-label": "step" }, steps.slice().reverse().map(step =>
        h("option", { value: step, selected: step === chosen }, "step " + (step + 1))));
      let from = 0;
      const load = async isFirst => {
        if (isFirst) { from = 0; list.replaceChildren(); }
        more.disabled = true;
        try {
          const data = await ask(`api/responses?prompt=${prompt}&step=${pick.value}&offset=${from}`);
          put(list, data.responses.map(one => response(one, data)));
          more.disabled = data.responses.length === 0;
          if (data.responses.length) from = data.responses[data.responses.length - 1].sample + 1;
          if (isFirst && !data.responses.length) put(list, [h("p", { class: "quiet" },
            "The ledger has no responses of this step.")]);
        } catch (error) { put(list, [h("p", { class: "warning" }, error.message)]); }
      };
      pick.addEventListener("change", () => load(true));
      more.addEventListener("click", () => load(false));
      load(true);
      return [h("h2", {}, "Responses"), h("div", { class: "bar-row" }, h("label", {}, "of ", pick)),
        h("p", { class: "small quiet" }, "The darker a token, the less likely it was."), list, h("p", {}, more)];
    }
    let kept = null;
    async function promptView([id], query, run, isNew) {
      const data = await ask("api/prompt?id=" + id);
      if (isNew) kept = null;
      if (!changed(isNew, data)) return null;
      const steps = data.votes.map(vote => vote.step);
      const wanted = query.has("step") ? Number(query.get("step")) : steps[steps.length - 1];
      if (!kept && steps.length) kept = responsesOf(data.prompt, steps, wanted);
      const bars = data.votes.map(vote => [vote.samples ? vote.votes / vote.samples : 0, vote.label_right]);
      const labels = [...new Set(data.votes.map(vote => vote.label))].filter(label => label !== null);
      const tally = labels.map(label => [label, data.votes.filter(vote => vote.label === label)])
        .sort((a, b) => b[1].length - a[1].length).slice(0, 12);
      return [h("h1", {}, "Prompt " + data.prompt, data.id && data.id !== String(data.prompt) ? h("span",
        { class: "quiet" }, " " + data.id) : null),
        h("pre", {}, data.question),
        h("p", { class: "quiet" }, data.answer === null ? "No answer is known." : ["Known answer: ", h("bdi", {},
          data.answer),
          "; figures only, no reward sees it."],
            ` ${plural(data.visits, "visit")}, ${plural(data.flips, "label flip")}.`),
        data.votes.length ? [h("h2", {}, "Votes over time"), h("p", { class: "small quiet" },
            "One bar per visit: the share of responses that gave the label; above the line if it was right, ",
            "below if wrong. ",
            "A diamond marks a visit at which the label was another than before."),
          votesChart(bars, data.votes),
          data.votes.length < 2 ? null : chart({ title: "Agreement and right responses",
            note: "Of the responses to this prompt, by step.",
            unit: "percent",
            series: [{ name: "gave the label", label: "label", ink: "c2", mark: "solid",
              points: data.votes.map(vote => [vote.step, vote.samples ? vote.votes / vote.samples : null]) },
              { name: "right", label: "right", ink: "c1", mark: "dashed", points: data.votes.map(vote => [vote.step,
                known(vote.right) && vote.samples ? vote.right / vote.samples : null]) }] }),
          h("div", { class: "grid" },
            h("div", {}, h("h2", {}, "Labels"), table([["label"], ["visits", "n"], ["first", "n"], ["last", "n"]],
              tally.map(([label, votes]) => h("tr", {}, h("td", { class: "label" }, answer(label,
                votes[0].label_right)),
                h("td", { class: "n" }, votes.length), h("td", { class: "n" }, "step " + (votes[0].step + 1)),
                h("td", { class: "n" }, "step " + (votes[votes.length - 1].step + 1)))))),
            data.turns.length ? h("div", {}, h("h2", {}, "Label flips"), table([["step", "n"], ["new label"]],
              data.turns.slice(0, 20).map(turn => h("tr", {}, h("td", { class: "n" }, h("a",
                { href: `#/prompt/${data.prompt}?step=${turn.step}` }, turn.step + 1)),
                h("td", { class: "label" }, h("bdi", {}, plain(turn.label))))))) : null), kept]
          : h("p", { class: "quiet" }, "It has not been visited yet.")];
    }
    function votesChart(bars, votes) {
      const width = Math.max(240, Math.min(1600, main.clientWidth || 900)), height = 110;
      const svg = strip(bars, width, height - 12, { class: "chart votes", viewBox: `0 -12 ${width} ${height}`, height,
        "aria-label": "votes over time, " + plural(votes.length, "visit") });
      const step = width / Math.max(bars.length, 12);
      votes.forEach((vote, index) => {
        const x = (index + .5) * step;
        if (vote.flip) put(svg, [s("path", { class: "flip", d: `M${x.toFixed(1)} -11l4 4l-4 4l-4 -4z` })]);
        put(svg, [s("rect", { x: (index * step).toFixed(1), y: -12, width: step.toFixed(1), height,
          fill: "transparent" },
          s("title", {}, `step ${vote.step + 1}: ${vote.label === null ? "no label" : plain(vote.label)}, `
            + `${vote.votes} of ${vote.samples}`
            + (known(vote.right) ? `, ${vote.right} right` : "") + (vote.tie ? ", a tie" : "") + (vote.zero_advantage
              ? ", nothing to learn" : "")))]);
      });
      return svg;
    }
    async function stepView([id], query, run, isNew) {
      const data = await ask("api/step?step=" + id);
      if (!changed(isNew, data)) return null;
      const step = Number(id), { prompts, prompt_count, kind, alarms, ...figures } = data;
      return [h("h1", {}, "Step " + (step + 1)), h("p", { class: "quiet" },
        `Policy ${step} sampled it, it made policy ${step + 1}. `,
          step > 0 ? h("a", { href: "#/step/" + (step - 1) }, "← step " + step) : null, " ",
          step < run.last_step ? h("a", { href: "#/step/" + (step + 1) }, `step ${step + 2} →`) : null),
        alarms && alarms.length ? h("p", { class: "warning" }, "Alarms: " + alarms.map(one => one.name).join(", "))
          : null,
        table([["#", "n"], ["label"], ["votes", "n"], ["right", "n"], ["answers", "n"], ["no answer", "n"],
          ["cut off", "n"], [""]],
          prompts.map(one => h("tr", {}, h("td", { class: "n" }, h("a",
            { href: `#/prompt/${one.prompt}?step=${step}` }, one.prompt)),
            h("td", { class: "label" }, answer(one.label, one.label_right ?? null)), h("td", { class: "n" },
              `${one.votes}/${one.samples}`),
            h("td", { class: "n" }, known(one.right) ? one.right : dash), h("td", { class: "n" }, one.answers),
            h("td", { class: "n" }, one.no_answer), h("td", { class: "n" }, one.truncated),
            h("td", {}, [one.flipped ? "flipped" : null, one.tie ? "tie" : null, one.zero_advantage ? "no signal"
              : null,
              one.abstained ? "abstained: " + one.abstained : null].filter(Boolean).map(text => [h("span",
                { class: "badge" }, text), " "]))))),
        prompt_count > prompts.length ? h("p", { class: "quiet" },
          `The other ${grouped(prompt_count - prompts.length)} are in metrics.jsonl.`) : null,
        h("h2", {}, "Figures"), h("dl", { class: "pairs" }, Object.entries(figures).map(([name, value]) => h("div",
          {}, h("dt", {}, name),
          h("dd", {}, value === null ? dash : typeof value === "number" ? (Number.isInteger(value) ? grouped(value)
            : short(value)) : value))))];
    }

    """#
}
