// The panel of one node: all that the ledger knows of it, and what would follow from a change.
"use strict";
import { api, badge, count, el, message, number, table, told, when } from "./base.js";
import { nameOf, stateOf } from "./lineage-layout.js";

const TIMES = /_at$|^at$/;
const LONG = new Set(["params", "config", "query", "artifact_files", "filtered_by"]);
const LEFT_OUT = new Set(["key", "batch_id", "run_id", "description", "files_removed_at"]);
const QUESTIONS = {
  batch: (facts) => `SELECT * FROM ${facts.dataset} WHERE batch_id = '${facts.batch_id}' LIMIT 100`,
  snapshot: (facts) => `SELECT * FROM ${facts.dataset} LIMIT 100`,
};

/** Elements that fill the panel of a node; `on` holds what its buttons do. */
export async function factsOf(node, on) {
  const head = (title, state) => el("header", {}, el("h2", {}, title, " ", badge(state)), el("button", { type: "button", "aria-label": "Close the facts", onclick: on.close }, "×"));
  if (node.kind === "group") return [head(nameOf(node), stateOf(node)), ...groupOf(node, on)];
  if (node.kind === "star") return [head(node.id, "star"), ...starOf(node)];
  const known = await api(`lineage/node?${new URLSearchParams({ kind: node.kind, id: node.id })}`);
  const { facts } = known;
  return [
    head(nameOf(node), stateOf(node)),
    el("p", {}, el("code", {}, node.id), " ", el("button", { type: "button", onclick: () => copy(node.id) }, "Copy key")),
    facts.description ? el("p", {}, facts.description) : null,
    el("p", { class: "links" }, linksOf(node, facts, on)),
    el("p", { class: "bar" },
      node.kind === "run" ? null : el("button", { type: "button", class: "primary", onclick: (event) => rebuild(event.target, node, on) }, "What would be rebuilt if this changed"),
      el("button", { type: "button", onclick: on.toggle }, node.shut ? "Open beyond it" : "Shut beyond it")),
    el("div", { class: "outcome", "aria-live": "polite" }),
    known.gates ? section("Gate", gates(known.gates, facts.dataset)) : null,
    section("Facts", list(facts)),
    facts.query ? section("Query", el("pre", {}, facts.query)) : null,
    ...long(facts),
    known.columns?.length ? folded(`Columns and what they came from (${count(known.columns.length)})`, columns(known.columns)) : null,
    known.metrics?.length ? folded("Figures on the test part", table([{ key: "name" }, { key: "value", numeric: true, show: (v) => number(v) }, { key: "lower", numeric: true, show: (v) => number(v) }, { key: "upper", numeric: true, show: (v) => number(v) }, { key: "n", numeric: true, show: count }], known.metrics)) : null,
    known.promotions?.length ? folded("Promotions", table([{ key: "promoted_at", title: "when", show: when }, { key: "who" }, { key: "reason" }], known.promotions)) : null,
    known.partitions?.length ? folded(`Partitions and their keys (${count(facts.partitions)})`, partitions(known.partitions)) : null,
    eventsOf(node, facts),
  ].filter(Boolean);
}

const section = (title, ...content) => el("section", {}, el("h3", {}, title), content.flat());
const folded = (title, ...content) => el("details", {}, el("summary", {}, title), content);
const link = (href, text) => el("a", { href }, text);

/** A link to a page of Airflow's own: out of the frame that our pages lie in, which may not send its top away itself. */
function outside(href, text) {
  return el("a", { href, target: "_top", onclick: (event) => {
    if (window.parent === window) return;
    event.preventDefault();
    const theirs = window.parent.document.createElement("a");
    theirs.href = new URL(href, location.href).href;
    theirs.click();
  } }, text);
}

function linksOf(node, facts, on) {
  const run = facts.run_id ?? "";
  const [dag, ...rest] = run.split("/");
  return [
    el("button", { type: "button", class: "link", onclick: () => told(() => on.begin("", node.kind === "run" ? { run: node.id } : { ref: node.id })) }, "Graph of this alone"),
    facts.dataset ? link(`quality?dataset=${encodeURIComponent(facts.dataset)}`, "Quality") : null,
    facts.model ? link(`models?model=${encodeURIComponent(facts.model)}`, "Model") : null,
    facts.dataset && !facts.dataset.startsWith("raw.") ? link(`sky?dataset=${encodeURIComponent(facts.dataset)}`, "Sky") : null,
    QUESTIONS[node.kind] ? link(`catalogue?q=${encodeURIComponent(QUESTIONS[node.kind](facts))}`, "Ask the catalogue") : null,
    rest.length ? outside(`../../dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(rest.join("/"))}`, "Airflow's run") : null,
    run && node.kind !== "run" ? el("button", { type: "button", class: "link", onclick: () => told(() => on.begin("", { run })) }, "All of this run") : null,
  ];
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // framed pages may not write to the clipboard by that way
    const field = el("textarea", {}, text);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  message("The key is copied.", "good");
}

function list(facts) {
  const rows = Object.entries(facts).filter(([name, value]) => !LONG.has(name) && !LEFT_OUT.has(name) && value !== null && value !== "" && typeof value !== "object");
  return el("dl", {}, rows.flatMap(([name, value]) => [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, shown(name, value))]));
}

function shown(name, value) {
  if (TIMES.test(name)) return when(value);
  if (typeof value === "number" && !/number|version|seed/.test(name)) return Number.isInteger(value) ? count(value) : number(value);
  return /^[0-9a-f]{64}/.test(String(value)) ? el("code", {}, String(value)) : String(value);
}

function long(facts) {
  return ["params", "config", "filtered_by"].filter((name) => facts[name] && Object.keys(facts[name]).length)
    .map((name) => folded({ params: "Parameters", config: "Configuration", filtered_by: "Rows filtered, by rule" }[name], el("pre", {}, JSON.stringify(facts[name], null, 1))));
}

function gates(rows, dataset) {
  if (!rows.length) return el("p", { class: "empty" }, "No gate has looked at it yet.");
  const [newest] = rows;
  return el("p", {}, badge(newest.passed ? "passed" : "failed"), ` ${count(newest.expectations - newest.failed)} of ${count(newest.expectations)} expectations, ${count(newest.rows_checked)} rows, ${when(newest.checked_at)}. `,
    link(`quality?dataset=${encodeURIComponent(dataset)}&gate=${newest.id}`, "The gate's report"));
}

function columns(rows) {
  const by = d3.group(rows, (one) => one.column_name);
  return el("dl", {}, [...by].flatMap(([name, sources]) => [el("dt", {}, name), el("dd", {}, sources.map((one) => el("div", { title: one.transformation }, `${one.input_dataset}.${one.input_column}`, one.transformation ? el("small", { class: "faint" }, ` ${one.transformation}`) : null)))]));
}

const partitions = (rows) => table([{ key: "name" }, { key: "rows", numeric: true, show: count }, { key: "bytes", numeric: true, show: count }, { key: "key", show: (key) => el("code", {}, key) }], rows, { caption: rows.length === 500 ? "The first 500" : undefined });

function eventsOf(node, facts) {
  const box = folded("OpenLineage events");
  box.addEventListener("toggle", () => told(async () => {
    if (!box.open || box.dataset.asked) return;
    box.dataset.asked = "yes";
    const rows = await api(`lineage/events?${new URLSearchParams(node.kind === "snapshot" || node.kind === "version" ? { snapshot: node.id } : { run: facts.run_id ?? node.id })}`);
    box.append(rows.length ? el("div", {}, rows.map((one) => folded(`${when(one.event_time)} ${one.event_type} ${one.job}${one.sent_at ? ", sent" : one.attempts ? ", not sent yet" : ""}`, el("pre", {}, JSON.stringify(one.body, null, 1))))) : el("p", { class: "empty" }, "None was kept: it was made before events were, or by hand of an older version."));
  }));
  return box;
}

function starOf(node) {
  const { sources, scores } = node.star;
  return [
    el("p", { class: "links" }, link(`star?id=${encodeURIComponent(node.id)}`, "Page of the star")),
    section("Rows of surveys", sources.map((one) => el("div", {}, el("p", {}, el("b", {}, `${one.survey} ${one.survey_id}`), one.separation_arcsec ? ` at ${number(one.separation_arcsec, 3)}″` : ""),
      one.batch ? el("dl", {}, el("dt", {}, "fetched"), el("dd", {}, when(one.batch.fetched_at)), el("dt", {}, "from"), el("dd", {}, one.batch.service), el("dt", {}, "query"), el("dd", {}, el("code", {}, one.batch.query))) : null))),
    section("Scores", scores.length ? scores.map((one) => folded(one.dataset, el("dl", {}, Object.entries(one.row).filter(([, value]) => value !== null).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "number" ? number(value) : String(value))])))) : el("p", { class: "empty" }, "No model has scored it.")),
  ];
}

function groupOf(node, on) {
  const rows = [...node.members].sort((a, b) => a.unit.localeCompare(b.unit, "en", { numeric: true }));
  const first = rows.slice(0, 200);
  return [
    el("dl", {}, el("dt", {}, "dataset"), el("dd", {}, node.dataset), el("dt", {}, "survey"), el("dd", {}, node.survey), el("dt", {}, "rows"), el("dd", {}, count(node.rows)), el("dt", {}, "fetched"), el("dd", {}, `${when(node.from)} to ${when(node.fetched_at)}`)),
    el("p", {}, el("button", { type: "button", class: "primary", onclick: on.toggle }, "Open the group")),
    table([{ key: "unit", show: (_, one) => el("button", { type: "button", class: "link", onclick: () => told(async () => { on.goTo(one.id); }) }, one.unit) }, { key: "rows", numeric: true, show: count }], first, { caption: rows.length > 200 ? `The first 200 of ${count(rows.length)}; the search finds the others` : "Batches" }),
  ];
}

/** What a change of the node would make anew, as a list, and coloured in the graph. */
async function rebuild(button, node, on) {
  const box = button.closest(".facts").querySelector(".outcome");
  button.disabled = true;
  box.replaceChildren(el("p", { class: "faint" }, "Working it out …"));
  const asked = { kind: node.kind, id: node.id };
  const [plan, taint] = await Promise.all([
    told(() => api(`lineage/rebuilt?${new URLSearchParams(asked)}`)),
    node.kind === "batch" ? told(() => api(`lineage/tainted?batch=${node.id}`)) : null,
  ]);
  button.disabled = false;
  box.replaceChildren();
  if (taint) box.append(section("Whose scores it has a part in", tainted(taint)));
  if (!plan) return;
  on.mark(plan.nodes);
  box.append(section("What would be rebuilt", planned(plan)));
}

function tainted(taint) {
  return el("div", {}, el("p", {}, `${count(taint.rows)} rows came, ${count(taint.curated.reduce((sum, one) => sum + one.rows, 0))} were kept, of ${count(taint.objects)} objects.`),
    table([{ key: "dataset" }, { key: "rows", title: "scored rows", numeric: true, show: count }, { key: "of", title: "of", numeric: true, show: count }], taint.scores, { empty: "No current score rests on it." }));
}

function planned(plan) {
  if (plan.note) return el("p", {}, `Nothing: ${plan.note}.`);
  if (!plan.steps.length && !plan.models.length) return el("p", {}, "Nothing: no current dataset and no model was made from it.");
  const built = plan.steps.reduce((sum, one) => sum + one.anew, 0);
  return el("div", {}, el("p", {}, `At most ${count(built)} partitions of ${count(plan.steps.length)} datasets; models trained anew: ${count(plan.models.length)}. Where rows come out as before, the change stops.`),
    el("ol", { class: "rebuilt" },
      plan.steps.filter((one) => !["scores", "merge", "own"].includes(one.stage)).map(stepOf),
      plan.models.map((one) => el("li", {}, el("b", {}, `model ${one.model}`), ` trained anew: ${one.why}`)),
      plan.steps.filter((one) => ["scores", "merge", "own"].includes(one.stage)).map(stepOf)));
}

function stepOf(one) {
  const rest = one.anew - one.named.length;
  return el("li", {}, el("b", {}, one.dataset), ` ${one.snapshot ? `${count(one.anew)} of ${count(one.partitions)} partitions` : "whole (not built yet)"}: ${one.why}`,
    one.named.length ? folded("Partitions and their keys", table([{ key: "name" }, { key: "key", show: (key) => el("code", {}, key.slice(0, 16)) }], one.named, { caption: rest > 0 ? `and ${count(rest)} more` : undefined })) : null);
}
