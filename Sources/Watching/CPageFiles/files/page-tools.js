/* The page's small tools: elements, texts, and questions to the server. */
/* global dash, dress, grouped, h, known, minus, put */

const main = document.getElementById("main");

/* An SVG element. */
const s = (name, attributes, ...children) =>
  put(dress(document.createElementNS("http://www.w3.org/2000/svg", name), attributes), children);

const percent = (value, digits = 1) => (known(value) ? minus((100 * value).toFixed(digits)) + "%" : dash);
const plural = (count, noun) => grouped(count) + " " + noun + (count === 1 ? "" : "s");

/* A time span in its two largest units. */
const span = seconds => {
  if (!known(seconds) || seconds < 0) return dash;
  if (seconds < 9.95) return seconds.toFixed(1) + " s";
  if (seconds < 99.5) return Math.round(seconds) + " s";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return minutes + " min";
  if (minutes < 1440) return Math.floor(minutes / 60) + " h " + String(minutes % 60).padStart(2, "0") + " min";
  return Math.floor(minutes / 1440) + " d " + Math.floor((minutes % 1440) / 60) + " h";
};

/* Times of day and dates, in the order year, month, day. */
const clockFormat = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
const clock = seconds => clockFormat.format(seconds * 1000);
const day = seconds => dayFormat.format(seconds * 1000);

/* The key of a number is "q:" and the number; the reader needs only the number. */
const plain = label => label.replace(/^q:/, "");

/* A mark for right or wrong; nothing where that is not known. */
const verdict = right => {
  if (right === true) return h("span", { class: "is-right", title: "right" }, " ✓");
  return right === false ? h("span", { class: "is-wrong", title: "wrong" }, " ✗") : null;
};
const answer = (label, right) =>
  label === null
    ? h("span", { class: "quiet" }, "none")
    : [h("bdi", { title: label }, plain(label)), verdict(right)];

/* Cells of tables. */
const number = (...content) =>
  h("td", { class: "n" }, content.map(one => (typeof one === "number" ? grouped(one) : one)));
const badge = (text, kind = "") => h("span", { class: "badge " + kind }, text);

/* A table. Each head is [text] or [text, "n"] for a column of numbers. */
const table = (heads, rows, attributes) =>
  h("div", { class: "scroll" },
    h("table", attributes || {},
      h("thead", {}, h("tr", {}, heads.map(([text, kind]) => h("th", { class: kind || null, scope: "col" }, text)))),
      h("tbody", {}, rows)));

/* How a prompt is called: by its id, if it has one, and always by its index, from 0. */
const promptName = one =>
  [one.id ? [h("bdi", {}, one.id), " "] : null, h("span", { class: "quiet" }, "#" + one.prompt)];

/* Names with values. */
const pairs = list =>
  h("dl", { class: "pairs" }, list.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/* Asks the server for JSON. */
async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(10000), cache: "no-store" });
  if (response.status === 401) {
    location.reload();
    throw new Error("a token is needed");
  }
  if (!response.ok) {
    const error = new Error((await response.text()).trim() || "status " + response.status);
    error.isMissing = response.status === 404;
    throw error;
  }
  return response.json();
}
