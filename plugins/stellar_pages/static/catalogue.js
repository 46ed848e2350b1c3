// The page Catalogue: a question in SQL, its answer as a table, as a plot and as a file.
"use strict";
import { api, count, el, main, message, query, remember, told } from "./base.js";
import { draw, guess } from "./catalogue-plots.js";
import { editor } from "./catalogue-editor.js";
import { results } from "./catalogue-results.js";
import { marked } from "./catalogue-words.js";

document.head.append(el("link", { rel: "stylesheet", href: "../static/catalogue.css" }));
const HISTORY = "stellar.questions";
const MOST_KEPT = 100;

let names = null;
let running = null;
let answer = null;
let limits = { rows: 1000, most_rows: 10000, time_s: 30, most_time_s: 300, file_rows: 1000000 };
const token = () => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), (one) => one.toString(16)).join("-");

const edit = editor({ value: query.get("q") ?? "", names: () => names, run: ask, changed: () => {} });
const go = el("button", { type: "button", class: "primary", onclick: ask }, "Run");
const halt = el("button", { type: "button", disabled: true, onclick: stop }, "Stop");
const rows = el("input", { type: "number", min: "1", max: "10000", step: "1", value: query.get("rows") ?? "1000", class: "small" });
const time = el("input", { type: "number", min: "1", max: "300", step: "1", value: query.get("time") ?? "30", class: "small" });
const examples = el("select", { onchange: () => { if (examples.value) edit.value = examples.value; examples.selectedIndex = 0; edit.area.focus(); } }, el("option", { value: "" }, "Questions to start from …"));
const past = el("select", { onchange: () => { if (past.value) edit.value = past.value; past.selectedIndex = 0; edit.area.focus(); } });
const status = el("p", { class: "status", role: "status", "aria-live": "polite" }, "Ctrl-Enter asks; Ctrl-Space completes names.");
const fault = el("pre", { class: "fault-text", role: "alert", hidden: true });
const shown = el("div", { class: "answer-of" });
const files = el("div", { class: "bar", hidden: true }, ["csv", "parquet", "votable"].map((form) => el("button", { type: "button", onclick: () => told(() => save(form)) }, { csv: "CSV", parquet: "Parquet", votable: "VOTable" }[form])));
const plots = plotting();

main.append(
  el("section", { "aria-label": "Question" }, el("div", { class: "bar" }, el("label", {}, el("span", {}, "Examples"), examples), el("label", {}, el("span", {}, "Asked before"), past)),
    edit.box, el("p", { id: "editor-help", class: "sr" }, "Ctrl and Space offers names; arrow keys choose, Tab takes, Escape closes. Ctrl and Enter runs the question."),
    el("div", { class: "bar" }, go, halt, el("label", {}, el("span", {}, "Rows at most"), rows), el("label", {}, el("span", {}, "Seconds at most"), time),
      el("button", { type: "button", onclick: () => told(link) }, "Copy link")), status, fault),
  el("section", { class: "answers", "aria-label": "Answer" }, el("div", {}, shown, files), plots.box));

function kept() {
  try { return JSON.parse(localStorage.getItem(HISTORY)) ?? []; } catch { return []; }
}
function keep(statement) {
  const list = [statement, ...kept().filter((one) => one !== statement)].slice(0, MOST_KEPT);
  try { localStorage.setItem(HISTORY, JSON.stringify(list)); } catch { /* no room, or not allowed: the question runs all the same */ }
  showPast(list);
}
function showPast(list) {
  past.replaceChildren(el("option", { value: "" }, list.length ? `${list.length} question${list.length === 1 ? "" : "s"} …` : "none yet"), ...list.map((one) => el("option", { value: one }, one.replace(/--[^\n]*\n/g, "").replace(/\s+/g, " ").slice(0, 90))));
}

async function ask() {
  if (running) return;
  const statement = edit.value;
  running = token();
  const mine = running;
  go.disabled = true;
  halt.disabled = false;
  fault.hidden = true;
  edit.mark(null);
  remember({ q: statement, rows: rows.value === "1000" ? null : rows.value, time: time.value === "30" ? null : time.value });
  keep(statement);
  const started = performance.now();
  const clock = setInterval(() => { status.textContent = `Running for ${((performance.now() - started) / 1000).toFixed(1)} s …`; }, 100);
  try {
    answer = await api("catalogue/query", { body: { statement, token: mine, rows: Number(rows.value), time_s: Number(time.value) } });
    answer.statement = statement;
    const whole = Math.round(performance.now() - started);
    const from = Object.entries(answer.snapshots).map(([name, key]) => `${name} ${key.slice(0, 12)}`).join(", ");
    status.textContent = `${answer.more ? "First " : ""}${count(answer.rows.length)} row${answer.rows.length === 1 ? "" : "s"}${answer.more ? "; there are more" : ""} · ${Math.round(answer.ms)} ms there, ${whole} ms in all${from ? ` · read: ${from}` : ""}`;
    const ids = new Set(["object_id", ...(names ? [...names.tables.values()].map((one) => one.id).filter((one) => one && /_id$|^obsid$/.test(one) && !/^(label|pair|association|signal)/.test(one)) : [])]);
    shown.replaceChildren(answer.rows.length ? results(answer, ids) : el("p", { class: "empty" }, "No rows."));
    files.hidden = answer.columns[0]?.name === "explain_key";
    plots.show();
  } catch (error) {
    status.textContent = error.message === "stopped" ? "Stopped." : "No answer.";
    if (error.message !== "stopped") {
      fault.textContent = error.message;
      fault.hidden = false;
      const where = marked(error.message, statement);
      if (where && edit.value === statement) edit.mark(where);
    }
  } finally {
    clearInterval(clock);
    running = null;
    go.disabled = false;
    halt.disabled = true;
  }
}

function stop() {
  if (running) told(() => api("catalogue/stop", { body: { token: running } }));
}
// a question that nobody waits for any more ends
addEventListener("pagehide", () => {
  if (running) fetch("../api/catalogue/stop", { method: "POST", keepalive: true, headers: { "Content-Type": "application/json", "X-Stellar-Action": "1" }, body: JSON.stringify({ token: running }) });
});

async function link() {
  remember({ q: edit.value });
  try {
    await navigator.clipboard.writeText(location.href);
    message("The link is in the clipboard.", "good");
  } catch {
    message("The address of this page holds the question: copy it from there.");
  }
}

async function save(form) {
  const name = token();
  status.textContent = "Making the file …";
  const got = await api("catalogue/download", { body: { statement: answer.statement, token: name, form } });
  const content = await got.blob();
  const made = await api(`catalogue/outcome?token=${name}`);
  const address = URL.createObjectURL(content);
  el("a", { href: address, download: `answer.${{ csv: "csv", parquet: "parquet", votable: "vot" }[form]}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  status.textContent = `${count(made.rows)} rows in the file, ${(content.size / 1e6).toFixed(1)} MB.`;
  if (made.more) message(`The file holds the first ${count(made.rows)} rows; there are more. \`stellar sql --parquet\` writes all.`);
}

function plotting() {
  const kinds = { sky: "Sky", hr: "Hertzsprung–Russell", scatter: "Scatter", histogram: "Histogram" };
  const plot = el("select", { onchange: () => { pick(); redraw(); } }, el("option", { value: "" }, "No plot"), Object.entries(kinds).map(([key, title]) => el("option", { value: key }, title)));
  const x = el("select", { onchange: redraw });
  const y = el("select", { onchange: redraw });
  const yLabel = el("label", {}, el("span", {}, "Up"), y);
  const xLabel = el("label", {}, el("span", {}, "Across"), x);
  const canvas = el("div", { class: "canvas" });
  const box = el("div", { class: "plotting", hidden: true }, el("div", { class: "bar" }, el("label", {}, el("span", {}, "Plot"), plot), xLabel, yLabel), canvas);
  plot.value = query.get("plot") ?? "";

  function pick() {
    const found = plot.value ? guess(answer.columns, plot.value) : {};
    x.value = found.x === null || found.x === undefined ? "" : String(found.x);
    y.value = found.y === null || found.y === undefined ? "" : String(found.y);
  }
  function redraw() {
    remember({ plot: plot.value });
    xLabel.hidden = !plot.value;
    yLabel.hidden = !plot.value || plot.value === "histogram";
    box.classList.toggle("drawn", Boolean(plot.value));
    if (!plot.value) { canvas.replaceChildren(); return; }
    draw(canvas, answer, { plot: plot.value, x: x.value === "" ? null : Number(x.value), y: y.value === "" ? null : Number(y.value) });
  }
  new MutationObserver(() => { if (answer && plot.value) redraw(); }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  let width = 0;
  new ResizeObserver(([one]) => { if (answer && plot.value && Math.abs(one.contentRect.width - width) > 4) { width = one.contentRect.width; redraw(); } }).observe(canvas);
  return {
    box,
    show() {
      box.hidden = !answer.rows.length || answer.columns[0]?.name === "explain_key";
      const options = () => answer.columns.map((one, at) => ({ one, at })).filter(({ one }) => one.kind === "number" || one.kind === "integer").map(({ one, at }) => el("option", { value: String(at) }, one.name));
      x.replaceChildren(el("option", { value: "" }, "–"), ...options());
      y.replaceChildren(el("option", { value: "" }, "–"), ...options());
      pick();
      redraw();
    },
  };
}

showPast(kept());
told(async () => {
  for (const one of await api("catalogue/examples")) examples.append(el("option", { value: one.statement, title: one.question }, one.question));
});
told(async () => {
  limits = await api("catalogue/limits");
  rows.max = String(limits.most_rows);
  time.max = String(limits.most_time_s);
});
told(async () => {
  const found = await api("catalogue/names");
  const tables = new Map(Object.entries(found.datasets).map(([name, about]) => [name, { ...about, sky: about.columns.some((one) => one.name === "_healpix_29") }]));
  for (const [name, columns] of Object.entries(found.ledger)) tables.set(`ledger.${name}`, { id: "", sky: false, columns: columns.map((one) => ({ name: one, type: "" })) });
  names = { tables, macros: found.macros, functions: found.functions };
  if (!edit.value) edit.value = found.start ?? "";
  for (const [dataset, why] of Object.entries(found.faults)) message(`${dataset} cannot be shown: ${why}`, "bad");
});
if (query.get("q")) ask();
