/* The pages of one prompt and of one step.
 *
 * A prompt's page shows its votes at every visit, where its label changed, and single responses. A token's background
 * shows its probability: the darker, the less likely. The token under the pointer or the focus is described in words.
 * Below each response is where it came from. */
/* global answer, ask, badge, changed, dash, figures, grouped, h, known, main, minus, number, pairs, partLegend,
   percent, plain, plural, promptName, put, s, short, span, strip, table, timeBar, verdict */

/* How dark a token is: 0.7, 0.3 and 0.1 are the probabilities between the shades. */
const heat = logprob => (logprob > -0.36 ? null : logprob > -1.2 ? 1 : logprob > -2.3 ? 2 : 3);

/* The tokens of a response, and the sentence that describes one of them. */
function tokenViews(one) {
  const description = h("p", { class: "small quiet", "aria-live": "polite" },
    "Point at a token, or tap it, to see its probability.");
  const tokens = h("div", { class: "tokens", tabindex: "0", role: "group", "aria-label": "tokens; arrow keys move" },
    one.texts.map((text, index) =>
      h("span", { "data-at": index, "data-heat": heat(one.logprobs[index]) }, text === "\n" ? "⏎\n" : text)));
  let current = -1;
  const describe = index => {
    if (index === current || !(index >= 0 && index < one.texts.length)) return;
    if (tokens.children[current]) tokens.children[current].classList.remove("now");
    current = index;
    tokens.children[current].classList.add("now");
    const logprob = one.logprobs[current];
    description.textContent =
      `token ${grouped(current + 1)} of ${grouped(one.tokens)}: ${JSON.stringify(one.texts[current])}, `
      + `id ${one.ids[current]}, `
      + `probability ${percent(Math.exp(logprob))}, log-probability ${minus(logprob.toFixed(4))}`;
  };
  const describeTarget = event => {
    const token = event.target.closest("[data-at]");
    if (token) describe(Number(token.dataset.at));
  };
  tokens.addEventListener("pointerover", describeTarget);
  tokens.addEventListener("click", describeTarget);
  tokens.addEventListener("keydown", event => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    describe(Math.max(0, Math.min(one.texts.length - 1, current + move)));
  });
  return [tokens, description];
}

/* Where a response came from. */
function origin(one, data) {
  const cut = one.tokens > one.texts.length ? ` (the first ${grouped(one.texts.length)} are shown)` : "";
  const end = one.finish === "stop" ? "its end token" : "the length limit";
  const worker = one.worker === null ? "worker unknown" : `by ${one.worker}${one.address ? " at " + one.address : ""}`;
  const lease = known(one.lease) ? `, under lease ${one.lease}` : "";
  return `${plural(one.tokens, "token")}${cut}, ended by ${end}, log-probability ${minus(one.logprob.toFixed(2))}, `
    + `entropy ${short(one.entropy)} nats per token. From policy ${one.policy}, random stream (seed ${data.seed}, `
    + `step ${grouped(data.step)}, prompt #${data.prompt}, sample ${one.sample}), ${worker}${lease}.`;
}

function response(one, data) {
  const stated = !one.readable
    ? h("span", { class: "quiet" }, "answer not known")
    : one.answer === null
      ? h("span", { class: "quiet" }, "states no answer") : ["answers ", h("bdi", {}, plain(one.answer))];
  const marks = [
    one.right === null ? null : badge(one.right ? "right" : "wrong", one.right ? "" : "bad"),
    known(one.reward) ? badge("reward " + short(one.reward)) : null,
    one.training ? badge(one.training, one.training === "trained on" ? "good" : "") : null,
  ];
  return h("section", { class: "response" },
    h("p", {}, h("strong", {}, "sample " + one.sample), " ", stated, verdict(one.right),
      marks.filter(Boolean).map(mark => [" ", mark])),
    tokenViews(one),
    h("p", { class: "small quiet" }, origin(one, data)));
}

/* The responses of one step. They stay in place while the rest of the page follows the run. */
function responsesOf(prompt, steps, chosen) {
  const list = h("div", {}), more = h("button", {}, "more responses");
  const options = steps.slice().reverse().map(step =>
    h("option", { value: step, selected: step === chosen }, "step " + grouped(step)));
  const pick = h("select", { "aria-label": "step" }, options);
  let from = 0;
  const load = async isFirst => {
    if (isFirst) {
      from = 0;
      list.replaceChildren();
    }
    more.disabled = true;
    try {
      const data = await ask(`api/responses?prompt=${prompt}&step=${pick.value}&offset=${from}`);
      if (isFirst && data.problem) put(list, [h("p", { class: "warning" }, data.problem + ".")]);
      put(list, data.responses.map(one => response(one, data)));
      more.disabled = data.responses.length === 0;
      if (data.responses.length) from = data.responses[data.responses.length - 1].sample + 1;
      else if (isFirst) put(list, [h("p", { class: "quiet" }, "The ledger has no responses of this step.")]);
    } catch (error) {
      put(list, [h("p", { class: "warning" }, error.message)]);
    }
  };
  pick.addEventListener("change", () => load(true));
  more.addEventListener("click", () => load(false));
  load(true);
  return [
    h("h2", {}, "Responses"), h("div", { class: "bar-row" }, h("label", {}, "of ", pick)),
    h("p", { class: "small quiet" }, "The darker a token, the less likely it was."), list, h("p", {}, more),
  ];
}

/* The votes of a prompt at every visit, with a diamond where the label changed. */
function votesChart(votes) {
  const width = Math.max(240, Math.min(1600, main.clientWidth || 900)), height = 110;
  const bars = votes.map(vote => [vote.samples ? vote.label_votes / vote.samples : 0, vote.label_right]);
  const svg = strip(bars, width, height - 12, {
    class: "chart votes", viewBox: `0 -12 ${width} ${height}`, height,
    "aria-label": "votes over time, " + plural(votes.length, "visit"),
  });
  const step = width / Math.max(votes.length, 12);
  votes.forEach((vote, index) => {
    const x = ((index + 0.5) * step).toFixed(1);
    const parts = [
      `step ${grouped(vote.step)}: ${vote.label === null ? "no label" : plain(vote.label)}`,
      `${grouped(vote.label_votes)} of ${grouped(vote.samples)}`,
      known(vote.right) ? `${grouped(vote.right)} right` : null,
      vote.tie ? "a tie" : null, vote.zero_advantage ? "no signal" : null,
    ];
    const box = { x: (index * step).toFixed(1), y: -12, width: step.toFixed(1), height, fill: "transparent" };
    put(svg, [
      vote.flip ? s("path", { class: "flip", d: `M${x} -11l4 4l-4 4l-4 -4z` }) : null,
      s("rect", box, s("title", {}, parts.filter(Boolean).join(", "))),
    ]);
  });
  return svg;
}

/* The labels of a prompt, the most frequent first, and the visits at which the label changed. */
function labelTables(data) {
  const labels = [...new Set(data.votes.map(vote => vote.label))].filter(label => label !== null);
  const visits = labels
    .map(label => data.votes.filter(vote => vote.label === label))
    .sort((a, b) => b.length - a.length)
    .slice(0, 12);
  const labelRows = visits.map(votes => h("tr", {},
    h("td", { class: "label" }, answer(votes[0].label, votes[0].label_right)),
    number(votes.length), number("step " + grouped(votes[0].step)),
    number("step " + grouped(votes[votes.length - 1].step))));
  const flipRows = data.turns.slice(0, 20).map(turn => h("tr", {},
    number(h("a", { href: `#/prompt/${data.prompt}?step=${turn.step}` }, grouped(turn.step))),
    h("td", { class: "label" }, h("bdi", {}, plain(turn.label)))));
  return h("div", { class: "grid" },
    h("div", {}, h("h2", {}, "Labels"), table([["label"], ["visits", "n"], ["first", "n"], ["last", "n"]], labelRows)),
    flipRows.length ? h("div", {}, h("h2", {}, "Label flips"), table([["step", "n"], ["new label"]], flipRows)) : null);
}

/* The responses that are on the page, so that they are not asked for again at every look. */
let shownResponses = null;

async function promptView([id], query, run, isNew) {
  const data = await ask("api/prompt?id=" + encodeURIComponent(decodeURIComponent(id)));
  if (isNew) shownResponses = null;
  if (!changed(isNew, data)) return null;
  const steps = data.votes.map(vote => vote.step);
  const wanted = query.has("step") ? Number(query.get("step")) : steps[steps.length - 1];
  if (!shownResponses && steps.length) shownResponses = responsesOf(data.prompt, steps, wanted);
  const knownAnswer = data.answer === null
    ? "No answer is known." : ["Known answer: ", h("bdi", {}, data.answer), "; only figures use it, no reward."];
  return [
    h("h1", {}, "Prompt ", promptName(data)),
    h("pre", {}, data.question),
    h("p", { class: "quiet" }, knownAnswer, ` ${plural(data.visits, "visit")}, ${plural(data.flips, "label flip")}.`),
    data.votes.length
      ? [
        h("h2", {}, "Votes over time"),
        h("p", { class: "small quiet" },
          "Each bar is one visit. Its height is the share of responses that gave the label. ",
          "Above the line: the label was right; below: wrong. A diamond: the label is not that of the visit before."),
        votesChart(data.votes), figures(data.charts), labelTables(data), shownResponses,
      ]
      : h("p", { class: "quiet" }, "No step has sampled this prompt yet."),
  ];
}

/* The time of a step, by part: of the whole run, and of each process. */
function timesOfStep(parts, step, processes) {
  const all = step.step_seconds;
  if (!(all > 0)) return null;
  const shown = parts.filter(part => [step, ...processes].some(one => one[part.figure] > 0));
  const row = (name, times) => h("tr", {},
    h("th", { scope: "row" }, name), h("td", {}, timeBar(parts, times, all)),
    shown.map(part => number(times[part.figure] > 0 ? span(times[part.figure]) : dash)));
  return [
    h("h2", {}, "Where its time went"),
    h("p", { class: "small quiet" }, `The step took ${span(all)}. A process waited while its bar shows nothing.`),
    partLegend(shown),
    table([[""], [""], ...shown.map(part => [part.name, "n"])],
      [row("step", step), ...processes.map(one => row(one.process, one))]),
  ];
}

async function stepView([id], query, run, isNew) {
  const data = await ask("api/step?step=" + encodeURIComponent(decodeURIComponent(id)));
  if (!changed(isNew, data)) return null;
  const step = Number(id);
  const { prompts, prompt_count, parts, processes, kind, step: own, alarms, ...rest } = data;
  const others = Object.entries(rest).filter(([name]) => !parts.some(part => part.figure === name));
  const text = value => {
    if (value === null) return dash;
    if (typeof value !== "number") return value;
    return Number.isInteger(value) ? grouped(value) : short(value);
  };
  const marks = one => [
    one.flipped ? "flipped" : null, one.tie ? "tie" : null, one.zero_advantage ? "no signal" : null,
    one.abstained ? "abstained: " + one.abstained : null,
  ];
  const heads = [
    ["prompt"], ["label"], ["votes", "n"], ["right", "n"], ["answers", "n"], ["no answer", "n"], ["cut off", "n"], [""],
  ];
  const rows = prompts.map(one => h("tr", {},
    h("td", { class: "name" }, h("a", { href: `#/prompt/${one.prompt}?step=${step}` }, promptName(one))),
    h("td", { class: "label" }, answer(one.label, one.label_right ?? null)),
    number(`${grouped(one.label_votes)} of ${grouped(one.samples)}`), number(known(one.right) ? one.right : dash),
    number(one.answers), number(one.no_answer), number(one.truncated),
    h("td", {}, marks(one).filter(Boolean).map(mark => [badge(mark), " "]))));
  return [
    h("h1", {}, "Step " + grouped(step)),
    h("p", { class: "quiet" },
      `Policy ${grouped(step - (data.policy_lag || 0))} sampled it; it made policy ${grouped(step + 1)}. `,
      step > 0 ? h("a", { href: "#/step/" + (step - 1) }, "← step " + grouped(step - 1)) : null, " ",
      step < run.last_step ? h("a", { href: "#/step/" + (step + 1) }, `step ${grouped(step + 1)} →`) : null),
    alarms && alarms.length
      ? h("p", { class: "warning" }, "Alarms: " + alarms.map(one => one.name).join(", ")) : null,
    table(heads, rows),
    prompt_count > prompts.length
      ? h("p", { class: "quiet" }, `The other ${grouped(prompt_count - prompts.length)} are in metrics.jsonl.`) : null,
    timesOfStep(parts, data, processes || []),
    h("h2", {}, "Figures"), pairs(others.map(([name, value]) => [name, text(value)])),
  ];
}
