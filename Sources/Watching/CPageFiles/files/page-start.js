/* Which view is shown, and when it is asked for again. This script comes last.
 *
 * A view is a function that is called again and again. It returns null if what the server said has not changed; then
 * the page stays as it is, with its focus, selection and scroll position. A server that does not answer is asked less
 * and less often, and the page says so. */
/* global ask, eventsView, fleetView, h, main, overviewView, pointedAt, promptView, promptsView, settingsView, stepView,
   stepsView, tip */

const routes = [
  [/^\/$/, overviewView],
  [/^\/prompts$/, promptsView],
  [/^\/prompt\/(.+)$/, promptView],
  [/^\/steps$/, stepsView],
  [/^\/step\/(.+)$/, stepView],
  [/^\/fleet$/, fleetView],
  [/^\/events$/, eventsView],
  [/^\/settings$/, settingsView],
];

/* Milliseconds between two looks at the run: while it goes on, when it is finished, when the page is not visible. */
const pauses = { live: 1500, finished: 10000, hidden: 15000, longest: 30000 };

const state = document.getElementById("state");
const problem = document.getElementById("problem");
let turn = 0, timer = 0, failures = 0;

function place() {
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  return { path, query: new URLSearchParams(query || "") };
}

/* Goes to another view. */
function go(path, values) {
  const query = new URLSearchParams(values || {}).toString();
  location.hash = path + (query ? "?" + query : "");
}

function showState(run) {
  const name = run.run.split("/").filter(Boolean).pop() || run.run;
  const label = document.getElementById("run");
  label.textContent = name;
  label.title = run.run;
  state.className = run.state === "running" ? "live" : run.state === "failed" ? "bad" : "";
  state.textContent = run.state;
  const percentDone = run.steps ? Math.floor((100 * run.steps_done) / run.steps) : 0;
  document.title = (run.finished ? "" : percentDone + "% ") + name + " – ttrl";
}

/* Marks the entry of the menu that leads to this path, or to the list that it belongs to. */
function showPlace(path) {
  for (const link of document.querySelectorAll("nav a")) {
    const target = link.getAttribute("href").slice(1);
    const isHere = target === "/" ? path === "/" : path.startsWith(target.replace(/s$/, ""));
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showProblem(error, isNew) {
  failures += 1;
  // One failure is not worth a message while there is something to see.
  problem.hidden = failures < 2 && !isNew;
  problem.textContent =
    error instanceof TypeError || error.name === "TimeoutError"
      ? "The server of this page does not answer. It ends with ttrl train; \"ttrl page --run RUN\" starts it again."
      : error.message;
  state.className = "";
}

async function show(isNew) {
  clearTimeout(timer);
  turn += 1;
  const mine = turn;
  const { path, query } = place();
  showPlace(path);
  let pause = pauses.live;
  try {
    const [match, view] = routes.map(([pattern, view]) => [path.match(pattern), view]).find(one => one[0]) || [];
    if (!match) throw Object.assign(new Error("there is no page " + path), { isMissing: true });
    const run = await ask("api/run");
    if (mine !== turn) return;
    showState(run);
    const content = await view(match.slice(1), query, run, isNew);
    if (mine !== turn) return;
    if (content) main.replaceChildren(...[content].flat(Infinity).filter(Boolean));
    if (isNew) scrollTo(0, 0);
    if (run.finished) pause = pauses.finished;
    failures = 0;
    problem.hidden = true;
  } catch (error) {
    if (mine !== turn) return;
    if (error.isMissing) {
      problem.hidden = true;
      shown = "";
      main.replaceChildren(h("h1", {}, "Not there"), h("p", {}, error.message + "."));
    } else {
      showProblem(error, isNew);
    }
    pause = Math.min(pauses.longest, pauses.live * 2 ** Math.min(failures, 5));
  }
  timer = setTimeout(() => show(false), document.hidden ? pauses.hidden : pause);
}

/* Whether a view has something new to show. */
let shown = "";
function changed(isNew, ...data) {
  const text = JSON.stringify(data);
  const isTyping = main.contains(document.activeElement) && document.activeElement.matches("input, select");
  const isReading = isTyping || (!tip.hidden && Date.now() - pointedAt < 4000);
  if (!isNew && (text === shown || isReading)) return false;
  shown = text;
  tip.hidden = true;
  return true;
}

addEventListener("hashchange", () => {
  if (location.hash === "#main") main.focus();
  else show(true);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) show(false);
});
let lastWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === lastWidth) return;
  lastWidth = innerWidth;
  shown = "";
  show(false);
});
document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault();
  main.focus();
});
show(true);
