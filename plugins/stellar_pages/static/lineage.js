// The page Lineage: from survey query to score, both ways.
import { api, badge, count, el, main, message, query, remember, table, told, when } from "./base.js";
import { drawing, saidOf } from "./lineage-canvas.js";
import { factsOf } from "./lineage-facts.js";
import { layout, nameOf, stateOf, visible } from "./lineage-layout.js";

document.head.append(el("link", { rel: "stylesheet", href: "../static/lineage.css" }));
const STARTS = ["ref", "star", "run"], ROWS = 300, NARROW = matchMedia("(max-width: 40rem)");
const shut = new Set(), open = new Set();
let graph = null, shown = null, places = [], rebuilt = null;

const search = el("input", { type: "search", size: 34, list: "starts", autocomplete: "off", placeholder: "dataset, model, key, star, run, text of a query" });
const starts = el("datalist", { id: "starts" });
const hits = el("ul", { class: "hits", hidden: true, "aria-label": "Found" });
const direction = el("select", {}, ["both", "up", "down"].map((one) => el("option", { value: one }, { both: "both ways", up: "what it came from", down: "what became of it" }[one])));
const training = el("input", { type: "checkbox", checked: true });
const empty = el("input", { type: "checkbox" });
const asTable = el("input", { type: "checkbox" });
const facts = el("section", { class: "panel facts", hidden: true, "aria-label": "Facts of the chosen node", tabindex: "-1" });
const about = el("p", { class: "faint", role: "status" });
const canvas = drawing({
  chosen: (place, how) => choose(place.node, how),
  toggled: toggle,
  label: "Graph of lineage. Arrow keys go from node to node, Enter shows its facts, Space opens or shuts it, plus and minus zoom, 0 shows all, shift with arrows moves. The table has the same nodes.",
});
const listed = el("div", { hidden: true });
const frame = el("div", { class: "lineage" }, el("div", {}, canvas.element, listed), facts);
const legend = el("p", { class: "legend" },
  [["good", "current"], ["warn", "candidate, building"], ["bad", "rejected"], ["idle", "retired, superseded"], ["accent", "batch of a survey"]].map(([colour, word]) => el("span", {}, el("i", { style: `background: var(--${colour})` }), word)),
  el("span", {}, "✓ gate passed, ✗ failed"), el("span", {}, "italic: a model"), el("span", {}, el("i", { style: "background: var(--mark); border: 1px solid var(--warn)" }), "would be rebuilt"));

main.append(
  el("form", { class: "bar", role: "search", onsubmit: (event) => { event.preventDefault(); told(() => begin(search.value.trim())); } },
    el("label", {}, el("span", {}, "Find or begin at"), search), starts,
    el("button", { type: "submit", class: "primary" }, "Show"),
    el("label", {}, el("span", {}, "Walk"), direction),
    el("label", {}, training, " through models"),
    el("label", {}, empty, " empty quarantines"),
    el("label", {}, asTable, " as a table"),
    el("button", { type: "button", onclick: () => canvas.fit() }, "Show all"),
    el("button", { type: "button", onclick: unfold }, "Open groups")),
  hits, about, legend, frame);

// ---- what is shown

async function load(start) {
  rebuilt = null;
  remember({ ...Object.fromEntries(STARTS.map((one) => [one, null])), ...start });
  const asked = new URLSearchParams({ ...start, direction: direction.value, training: training.checked });
  about.textContent = "Looking …";
  try {
    graph = await api(`lineage/graph?${asked}`);
  } catch (error) {
    about.textContent = "";
    throw error;
  }
  shut.clear();
  open.clear();
  arrange();
  canvas.fit();
  if (graph.warning) message(graph.warning);
  const root = graph.nodes.find((one) => graph.roots.includes(one.id));
  const wanted = graph.nodes.find((one) => one.id === query.get("node")) ?? root;
  for (const one of graph.nodes) if (one.kind === "star") one.star = graph.star;
  if (wanted) { await choose(wanted, { quiet: true }); goTo(wanted.id); }
}

function arrange() {
  shown = visible(graph, { shut, open, empty: empty.checked });
  places = layout(shown);
  for (const one of places) one.node.shut = shut.has(one.node.id);
  canvas.show(places, shown.edges);
  canvas.mark(rebuilt ?? []);
  const kinds = new Map();
  for (const one of graph.nodes) kinds.set(one.kind, (kinds.get(one.kind) ?? 0) + 1);
  const said = [["snapshot", "snapshots"], ["version", "model versions"], ["batch", "batches"]].map(([kind, word]) => `${count(kinds.get(kind) ?? 0)} ${word}`).join(", ");
  about.textContent = `${said}; ${count(graph.edges.length)} edges, ${count(places.length)} nodes drawn.`;
  tabulate();
}

function toggle(place) {
  const { node } = place;
  if (node.kind === "group") open.add(node.id);
  else if (node.kind === "batch" && shown.groups.includes(groupId(node))) open.delete(groupId(node));
  else if (shut.has(node.id)) shut.delete(node.id);
  else shut.add(node.id);
  arrange();
  canvas.select(node.id);
}

const groupId = (node) => `batches of ${node.dataset}${node.superseded ? ", superseded" : ""}`;

function unfold() {
  const all = shown.groups.every((one) => open.has(one));
  for (const one of shown.groups) if (all) open.delete(one); else open.add(one);
  arrange();
  canvas.fit();
}

function goTo(id) {
  const node = graph.nodes.find((one) => one.id === id);
  if (!node) return false;
  if (!places.some((one) => one.node.id === id)) {
    if (node.kind === "batch") open.add(groupId(node));
    else { shut.clear(); empty.checked = true; }
    arrange();
  }
  return canvas.select(id, { centre: true });
}

async function choose(node, { open: focus = false, quiet = false } = {}) {
  remember({ node: quiet ? query.get("node") : node.id });
  if (quiet && NARROW.matches) return;
  const panel = await told(() => factsOf(node, { toggle: () => toggle({ node }), begin, goTo, mark, close, inGraph: (id) => graph.nodes.some((one) => one.id === id) }));
  if (!panel) return;
  facts.replaceChildren(...panel);
  facts.hidden = false;
  frame.classList.add("facts-open");
  if (focus || NARROW.matches) facts.focus();
}

function close() {
  facts.hidden = true;
  frame.classList.remove("facts-open");
  canvas.element.focus();
}

function mark(ids) {
  rebuilt = ids;
  canvas.mark(ids);
  tabulate();
}

// ---- the same nodes as a table

let more = ROWS;
function tabulate() {
  listed.hidden = !asTable.checked;
  canvas.element.hidden = asTable.checked;
  canvas.element.style.display = asTable.checked ? "none" : "";
  if (!asTable.checked || !graph) return;
  const rank = new Map(places.map((one) => [one.node.id, one.layer]));
  const rows = places.map((one) => one.node).sort((a, b) => rank.get(a.id) - rank.get(b.id) || nameOf(a).localeCompare(nameOf(b)));
  const link = (node) => el("button", { type: "button", class: "link", onclick: () => (node.kind === "group" ? toggle({ node }) : choose(node, { open: true })) }, node.kind === "group" ? `${nameOf(node)} of ${node.dataset}` : nameOf(node));
  const from = new Map(places.map((one) => [one.node.id, one.parents.length])), into = new Map(places.map((one) => [one.node.id, one.children.length]));
  const columns = [
    { key: "kind" }, { key: "id", title: "node", show: (_, node) => link(node) },
    { key: "state", show: (_, node) => badge(stateOf(node)) },
    { key: "gate", show: (passed) => (passed === true ? badge("passed") : passed === false ? badge("failed") : "–") },
    { key: "rows", numeric: true, show: count },
    { key: "parents", title: "made from", numeric: true, show: (_, node) => count(from.get(node.id)) },
    { key: "children", title: "became", numeric: true, show: (_, node) => count(into.get(node.id)) },
    { key: "when", show: (_, node) => when(node.committed_at ?? node.created_at ?? node.fetched_at) },
    { key: "key", show: (_, node) => el("code", {}, node.kind === "group" ? "–" : node.id.slice(0, 16)) },
    ...(rebuilt ? [{ key: "rebuilt", title: "would be rebuilt", show: (_, node) => (rebuilt.includes(node.id) ? "yes" : "") }] : []),
  ];
  listed.replaceChildren(
    table(columns, rows.slice(0, more), { caption: `Nodes from the queries to the scores, ${count(Math.min(more, rows.length))} of ${count(rows.length)}` }),
    rows.length > more ? el("button", { type: "button", onclick: () => { more += ROWS; tabulate(); } }, "More") : "");
}

// ---- beginning and finding

async function begin(text, start) {
  hits.hidden = true;
  if (start) return load(start);
  if (!text) throw new Error("Name a dataset, model, key, star or run.");
  if (graph?.nodes.some((one) => one.id === text)) return goTo(text);
  if (names.runs.includes(text)) return load({ run: text });
  if (names.datasets.includes(text) || names.models.includes(text) || /^[0-9a-f]{8,64}$/.test(text)) return load({ ref: text });
  const found = await api(`lineage/search?q=${encodeURIComponent(text)}`).catch(() => []);
  if (found.length) return list(found, text);
  return load({ star: text });
}

function list(found, text) {
  const inGraph = new Set(graph?.nodes.map((one) => one.id));
  hits.replaceChildren(...found.map((one) => el("li", {}, el("button", { type: "button", onclick: () => told(async () => {
    hits.hidden = true;
    if (inGraph.has(one.id)) { goTo(one.id); await choose(graph.nodes.find((node) => node.id === one.id)); }
    else await load(one.kind === "run" ? { run: one.id } : { ref: one.id });
  }) }, `${one.kind} `, el("b", {}, one.name), one.state ? ` ${one.state}` : "", inGraph.has(one.id) ? " · in this graph" : "", el("small", {}, one.said ?? one.id)))),
  el("li", {}, el("button", { type: "button", onclick: () => told(() => load({ star: text })) }, "Look for a star of this id")));
  hits.hidden = false;
}

let waiting = null;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  const text = search.value.trim();
  if (text.length < 2 || names.datasets.includes(text) || names.models.includes(text)) { hits.hidden = true; return; }
  waiting = setTimeout(async () => {
    const found = await api(`lineage/search?limit=20&q=${encodeURIComponent(text)}`).catch(() => []);
    if (search.value.trim() === text && found.length) list(found, text); else hits.hidden = true;
  }, 300);
});
search.addEventListener("keydown", (event) => { if (event.key === "Escape") hits.hidden = true; if (event.key === "ArrowDown" && !hits.hidden) { hits.querySelector("button")?.focus(); event.preventDefault(); } });
hits.addEventListener("keydown", (event) => {
  const rows = [...hits.querySelectorAll("button")], at = rows.indexOf(document.activeElement);
  if (event.key === "ArrowDown") rows[at + 1]?.focus();
  else if (event.key === "ArrowUp") (rows[at - 1] ?? search).focus();
  else if (event.key === "Escape") { hits.hidden = true; search.focus(); }
  else return;
  event.preventDefault();
});
for (const one of [direction, training]) one.addEventListener("change", () => told(() => load(current())));
empty.addEventListener("change", () => { if (graph) arrange(); });
asTable.addEventListener("change", () => { if (graph) { tabulate(); if (!asTable.checked) canvas.fit(); } });

const current = () => Object.fromEntries(STARTS.filter((one) => query.get(one)).map((one) => [one, query.get(one)]));

asTable.checked = NARROW.matches;
const names = await told(() => api("lineage/names")) ?? { datasets: [], models: [], runs: [] };
starts.append(...[...names.datasets, ...names.models, ...names.runs].map((one) => el("option", { value: one })));
const asked = current();
if (Object.keys(asked).length) {
  search.value = Object.values(asked)[0];
  await told(() => load(Object.fromEntries([Object.entries(asked)[0]])));
} else {
  const first = names.datasets.includes("scores.catalog") ? "scores.catalog" : names.datasets.find((one) => one.startsWith("scores.")) ?? names.datasets.at(-1);
  if (first) { search.value = first; await told(() => load({ ref: first })); } else about.textContent = "Nothing was made yet: run a sync, then build the catalogue.";
}
