// The page Sky: a dataset's cells and density on the sphere, through time; what lies in a cell; a sync of a region.
"use strict";
import { api, badge, count, el, main, message, number, query, remember, table, told, when } from "./base.js";
import { areaDeg2, centre, positionToPixel } from "./healpix.js";
import { cellPanel, nameOf } from "./sky-cell.js";
import { levelsOf, SkyMap } from "./sky-map.js";
import { FRAMES, PROJECTIONS, toFrame } from "./sky-projections.js";
import { regionPanel, said, syncPanel } from "./sky-sync.js";

const LOOK_MS = 5000, COVERAGE_ORDER = 8, SHOWN_CELLS = 200, LEAST_PX = 1.7, MOST_GAINED = 5000;
// without their darkest ends, which a dark page would swallow
const PALETTES = { rows: (t) => d3.interpolateViridis(0.12 + 0.88 * t), mean: (t) => d3.interpolatePlasma(0.12 + 0.88 * t) };

document.head.append(el("link", { rel: "stylesheet", href: "../static/sky.css" }));

// -- what the page is made of ------------------------------------------------------------------------------------------

const select = (label, attributes = {}) => { const control = el("select", attributes); return [el("label", {}, el("span", {}, label), control), control]; };
const option = (value, text, selected = false) => el("option", { value, selected }, text);
const [surveyLabel, surveyOf] = select("Survey"), [layerLabel, layerOf] = select("Layer"), [datasetLabel, datasetOf] = select("Dataset");
const [snapshotLabel, snapshotOf] = select("Snapshot"), [showLabel, showOf] = select("Show"), [orderLabel, orderOf] = select("Pixels");
const [projectionLabel, projectionOf] = select("Projection"), [frameLabel, frameOf] = select("Frame"), [pickLabel, pickOf] = select("A click takes");
const time = el("input", { type: "range", min: "0", step: "1" }), timeSaid = el("span"), timeLabel = el("label", { class: "time" }, timeSaid, time);
const outlines = el("input", { type: "checkbox", checked: true });
const legend = el("div", { class: "legend" }), where = el("p", { class: "where" }), summary = el("p", { class: "faint" }), cellTable = el("div");
const live = el("p", { class: "faint", "aria-live": "polite" });

const state = { datasets: [], history: null, snapshot: null, coverage: null, density: null, follows: true, turn: 0 };
const cells = cellPanel();
const map = new SkyMap({
  pick: (cell, at) => choose(pickOf.value === "pixel" ? pixelAt(at) : cell),
  region: (region) => { drawing(false); regions.set(region); },
  rest: () => { clearTimeout(state.resting); state.resting = setTimeout(refine, 120); },
  hover: (at, cell) => { where.textContent = at ? [said(at), galactic(at), cell ? `cell ${nameOf(cell)}: ${count(cell.rows)} rows` : "no cell", valueAt(at)].filter(Boolean).join(" · ") : ""; },
});
const regions = regionPanel({
  draw: () => drawing(!map.drawing),
  changed: (region) => { map.setRegion(region); sync.useRegion(); },
  look: (region) => map.lookAt(region.ra, region.dec, region.radius),
  sql: (region) => datasetOf.value && `catalogue?q=${encodeURIComponent(`SELECT * FROM cone('${datasetOf.value}', ${region.ra}, ${region.dec}, ${region.radius})`)}`,
});
const sync = syncPanel({ region: () => regions.region(), cell: () => (map.selected ? nameOf(map.selected) : null), ran: () => look() });

const button = (text, label, onclick) => el("button", { type: "button", "aria-label": label, title: label, onclick }, text);
main.append(
  el("div", { class: "bar" }, surveyLabel, layerLabel, datasetLabel, snapshotLabel, timeLabel),
  el("div", { class: "bar" }, showLabel, orderLabel, projectionLabel, frameLabel, pickLabel, el("label", { class: "check" }, outlines, "cells")),
  el("div", { class: "sky-page" },
    el("div", {}, el("section", { class: "panel", "aria-label": "Map" }, map.element, where, live,
      el("div", { class: "bar" }, button("+", "Zoom in", () => map.zoomBy(1.6)), button("−", "Zoom out", () => map.zoomBy(1 / 1.6)), button("⌂", "Whole sky", () => map.reset()), legend),
      el("details", {}, el("summary", {}, "Keys"), el("p", { id: "sky-keys", class: "faint" },
        "On the map: arrow keys walk over the cells, Enter opens one, Shift and arrows move the map, + and − zoom, Home shows the whole sky, Escape stops drawing. A mouse drags, its wheel zooms; two fingers pinch."))),
      el("section", { "aria-label": "Cells" }, el("h2", {}, "Cells"), summary, cellTable)),
    el("div", { class: "sky-side" }, sync.runs, cells.element,
      el("section", { class: "panel", "aria-label": "Region" }, el("h2", {}, "Region"), regions.element, sync.element))),
  cells.rows);

// -- the picture -------------------------------------------------------------------------------------------------------

const galactic = (at) => { const [l, b] = toFrame("galactic", ...at); return `l ${number(l, 6)}° b ${number(b, 5)}°`; };
const unpacked = (text, Kind) => new Kind(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);

function pixelAt([ra, dec]) {
  const order = state.density?.order ?? 6;
  return { order, pixel: positionToPixel(order, ra, dec) };
}

function valueAt([ra, dec]) {
  const held = state.density;
  if (!held) return "";
  held.index ??= new Map(Array.from(held.pixels, (pixel, i) => [pixel, i]));
  const i = held.index.get(positionToPixel(held.order, ra, dec));
  if (i === undefined) return `pixel of order ${held.order}: nothing`;
  return held.column ? `${held.column} ${number(held.values[i], 5)} (mean of ${count(held.valid[i])})` : `pixel of order ${held.order}: ${count(held.values[i])} rows`;
}

function ramp(low, high, unit, palette, note) {
  const stops = d3.range(0, 1.01, 0.1).map((t) => palette(t)).join(", ");
  const key = (name, colour, much) => (much ? el("span", { class: `key ${name}`, style: `--key: var(${colour})` }, `${much} ${name}`) : null);
  const found = state.coverage, many = (change) => found.cells.filter((one) => one.change === change).length;
  legend.replaceChildren(...[el("span", {}, number(low, 4)), el("span", { class: "ramp", style: `background: linear-gradient(to right, ${stops})`, role: "img", "aria-label": `colours from ${low} to ${high} ${unit}` }),
    el("span", {}, `${number(high, 4)} ${unit}`), note ? el("span", { class: "faint" }, note) : null,
    ...(found?.against ? [key("new", "--sky-new", many("new")), key("changed", "--sky-changed", many("changed")), key("carried", "--sky-cell", many("carried")), key("gone", "--bad", found.gone.length)] : [])].filter(Boolean));
}

/** Values from low to high as 0 to 1, along their logarithm or as they are. */
function scaled(low, high, logarithmic) {
  if (!(high > low)) return () => 0.7;
  const f = logarithmic ? Math.log : (x) => x, [a, b] = [f(low), f(high)];
  return (value) => (f(value) - a) / (b - a);
}

function paintCoverage() {
  const { cells: all } = state.coverage, pixels = [], values = [], density = all.map((one) => one.rows / areaDeg2(one.order));
  all.forEach((one, i) => {
    if (one.order >= COVERAGE_ORDER) { pixels.push(Math.floor(one.pixel / 4 ** (one.order - COVERAGE_ORDER))); values.push(density[i]); return; }
    const times = 4 ** (COVERAGE_ORDER - one.order);
    for (let n = 0; n < times; n++) { pixels.push(one.pixel * times + n); values.push(density[i]); }
  });
  const [low, high] = [d3.min(density) ?? 0, d3.max(density) ?? 0];
  map.setPicture(COVERAGE_ORDER, levelsOf(COVERAGE_ORDER, pixels, values, scaled(low, high, true)), PALETTES.rows);
  ramp(low, high, "rows per deg²", PALETTES.rows, "of each file's cell");
}

function paintDensity() {
  const held = state.density, mean = Boolean(held.column), sorted = Float32Array.from(held.values).sort();
  const [low, high] = !sorted.length ? [0, 0] : mean ? [d3.quantileSorted(sorted, 0.02), d3.quantileSorted(sorted, 0.98)] : [sorted[0], sorted.at(-1)];
  const palette = mean ? PALETTES.mean : PALETTES.rows;
  map.setPicture(held.order, levelsOf(held.order, held.pixels, held.values, scaled(low, high, !mean)), palette);
  ramp(low, high, mean ? `${showOf.selectedOptions[0].dataset.unit} mean ${held.column}` : "rows per pixel", palette, `order ${held.order}, ${number(Math.sqrt(areaDeg2(held.order)) * 60, 3)}′`);
}

/** Order and place of the pixels that the map can show: about two dots of the screen wide, and only those in view when zoomed. */
function wanted() {
  const { ra, dec, reach, perDegree } = map.seen();
  const fine = [8, 7, 6, 5, 4, 3].find((order) => Math.sqrt(areaDeg2(order)) * perDegree >= LEAST_PX) ?? 3;
  const order = orderOf.value ? Number(orderOf.value) : fine;
  return { order, near: order >= 7 && reach < 60 ? { ra, dec, radius: Math.min(90, reach * 1.5), reach } : null };
}

function suffices(held, { order, near }) {
  if (held?.order !== order) return false;
  if (!held.near) return true;
  return near !== null && (d3.geoDistance([held.near.ra, held.near.dec], [near.ra, near.dec]) * 180) / Math.PI + near.reach <= held.near.radius;
}

/** The first picture of a snapshot or of what is shown of it: from the ledger at once, then from the rows. */
async function paint() {
  state.density = null;
  map.setGained(0, []);
  paintCoverage();
  await refine();
}

async function refine() {
  const show = showOf.value;
  if (!map.width || !state.coverage?.has_files || show === "cells") return;
  const want = wanted(), key = JSON.stringify([state.snapshot, show, want.order, want.near]);
  if (suffices(state.density, want) || state.asking === key) return;
  state.asking = key;
  const asked = new URLSearchParams({ snapshot: state.snapshot, order: want.order });
  if (show.startsWith("mean:")) asked.set("column", show.slice(5));
  for (const name of ["ra", "dec", "radius"]) if (want.near) asked.set(name, want.near[name]);
  map.element.setAttribute("aria-busy", "true");
  const found = await told(() => api(`sky/density?${asked}`));
  if (state.asking !== key) return;
  map.element.removeAttribute("aria-busy");
  if (!found) return; // what was wrong is told; the same is not asked again
  state.asking = null;
  if (found.snapshot !== state.snapshot || show !== showOf.value) return;
  state.density = { ...found, near: want.near, pixels: unpacked(found.pixels, Uint32Array), values: unpacked(found.values, Float32Array), valid: found.valid ? unpacked(found.valid, Uint32Array) : null };
  paintDensity();
  await markGained(asked);
}

/** Pixels that have more rows than in the former snapshot, which the cells of files are often too wide to show. */
async function markGained(asked) {
  const held = state.density, { against, cells: all } = state.coverage;
  map.setGained(0, []);
  if (!against || held.column || !all.some((one) => one.change !== "carried")) return;
  asked.set("snapshot", against);
  let before;
  try { before = await api(`sky/density?${asked}`); } catch { return; } // its files may be gone
  if (held !== state.density) return;
  const rows = unpacked(before.values, Float32Array), former = new Map(Array.from(unpacked(before.pixels, Uint32Array), (pixel, i) => [pixel, rows[i]]));
  const gained = Array.from(held.pixels).filter((pixel, i) => held.values[i] > (former.get(pixel) ?? 0));
  map.setGained(held.order, gained.slice(0, MOST_GAINED));
  if (gained.length) legend.append(el("span", { class: "key", style: "--key: var(--sky-new)" }, `${count(gained.length)} pixel${gained.length === 1 ? "" : "s"} gained rows`));
}

// -- datasets, snapshots, time -----------------------------------------------------------------------------------------

const isCurrent = () => state.history?.snapshots.some((one) => one.key === state.snapshot && one.state === "current");

function listDatasets(wanted) {
  const some = state.datasets.filter((one) => (!surveyOf.value || one.surveys.includes(surveyOf.value)) && (!layerOf.value || one.layer === layerOf.value));
  datasetOf.replaceChildren(...some.map((one) => option(one.name, `${one.name} (${one.snapshot ? count(one.rows) : "none current"})`)));
  datasetOf.value = some.some((one) => one.name === wanted) ? wanted : some[0]?.name ?? "";
}

function listSnapshots() {
  const { snapshots, promotions } = state.history;
  snapshotOf.replaceChildren(...snapshots.map((one) => option(one.key, `${one.key.slice(0, 10)} · ${one.state} · ${when(one.committed_at)}${one.files_removed_at ? " · files removed" : ""}`)));
  time.max = String(Math.max(0, promotions.length - 1));
  time.disabled = promotions.length < 2;
}

function showTime() {
  const { promotions } = state.history, at = promotions.findLastIndex((one) => one.to_snapshot === state.snapshot);
  timeSaid.textContent = !promotions.length ? "Never promoted" : at < 0 ? "Time: was never current" : `Time: promoted ${when(promotions[at].promoted_at)} (${at + 1} of ${promotions.length})`;
  if (at >= 0) { time.value = String(at); time.setAttribute("aria-valuetext", when(promotions[at].promoted_at)); time.title = `${promotions[at].who}: ${promotions[at].reason}`; }
}

async function open(dataset, snapshot) {
  const turn = (state.turn += 1);
  const history = await told(() => api(`sky/history?dataset=${encodeURIComponent(dataset)}`));
  if (turn !== state.turn || !history) return;
  state.history = history;
  listSnapshots();
  const chosen = history.snapshots.find((one) => snapshot && one.key.startsWith(snapshot)), now = history.snapshots.find((one) => one.state === "current");
  await show((chosen ?? now ?? history.snapshots[0]).key, { follows: !chosen || chosen === now });
}

/** `follows`: whether the next snapshot that becomes current is to replace it. */
async function show(key, { follows }) {
  const turn = (state.turn += 1);
  state.snapshot = key;
  snapshotOf.value = key;
  state.follows = follows;
  showTime();
  remember({ dataset: datasetOf.value, snapshot: state.follows ? null : key.slice(0, 16) });
  const coverage = await told(() => api(`sky/coverage?snapshot=${key}`));
  if (turn !== state.turn || !coverage) return;
  state.coverage = coverage;
  map.setCells(coverage.cells, coverage.gone);
  listCells();
  const wanted = query.get("show") ?? "rows";
  if (coverage.has_files) await listColumns(key);
  if (turn !== state.turn) return;
  showOf.value = [...showOf.options].some((one) => one.value === wanted) ? wanted : "rows";
  paint();
  const before = map.selected;
  map.select(before ? coverage.cells.find((one) => nameOf(one) === nameOf(before)) ?? null : null);
  if (map.selected) choose(map.selected); else if (query.get("cell")) choose(named(query.get("cell"))); else cells.clear();
}

async function listColumns(key) {
  const columns = (await told(() => api(`sky/columns?snapshot=${key}`))) ?? [];
  showOf.replaceChildren(option("rows", "rows per pixel"), option("cells", "rows per deg² of files"),
    ...columns.map((one) => el("option", { value: `mean:${one.name}`, title: one.description, dataset: { unit: one.unit } }, `mean ${one.name}`)));
}

function named(text) {
  const [order, pixel] = text.split("/").map(Number);
  if (!Number.isInteger(order) || !Number.isInteger(pixel) || order > 13 || pixel >= 12 * 4 ** order) return null;
  return state.coverage.cells.find((one) => one.order === order && one.pixel === pixel) ?? { order, pixel };
}

function choose(cell) {
  if (!cell) { live.textContent = "There is no cell there."; return; }
  map.select(cell);
  remember({ cell: nameOf(cell) });
  live.textContent = `Cell ${nameOf(cell)} at ${said(centre(cell.order, cell.pixel))}`;
  cells.show(state.snapshot, cell, isCurrent());
}

function listCells(all = false) {
  const found = state.coverage, rank = { new: 0, changed: 1, carried: 2, first: 3 };
  const sorted = [...found.cells].sort((a, b) => rank[a.change] - rank[b.change] || b.rows - a.rows);
  const states = found.against ? d3.rollups(found.cells, (some) => some.length, (one) => one.change).map(([change, n]) => `${count(n)} ${change}`).join(", ") : "its first snapshot";
  summary.replaceChildren(`${found.dataset} `, badge(found.state), ` ${found.snapshot.slice(0, 16)}: ${count(found.rows)} rows in ${count(found.cells.length)} cells (${states}`
    + `${found.gone.length ? `, ${count(found.gone.length)} gone` : ""}${found.against ? `, against ${found.against.slice(0, 10)}` : ""}).`, found.has_files ? "" : " Its files were removed to save space.");
  cellTable.replaceChildren(...[table([
    { key: "pixel", title: "Cell", show: (_, row) => el("button", { type: "button", class: "plain", onclick: () => { map.lookAt(...centre(row.order, row.pixel)); choose(row); } }, nameOf(row)) },
    { key: "change", title: "State", show: badge }, { key: "rows", title: "Rows", numeric: true, show: count }, { key: "bytes", title: "Bytes", numeric: true, show: count },
    { key: "made_at", title: "Made", show: when }, { key: "key", title: "Key", show: (key) => el("code", { title: key }, key.slice(0, 10)) }],
  all ? sorted : sorted.slice(0, SHOWN_CELLS), { caption: "Order/pixel, nested; new ones first", empty: "No rows." }),
  !all && sorted.length > SHOWN_CELLS ? el("button", { type: "button", onclick: () => listCells(true) }, `Show all ${count(sorted.length)}`) : null].filter(Boolean));
}

// -- what a person does ------------------------------------------------------------------------------------------------

function drawing(is) {
  map.drawing = is;
  map.element.classList.toggle("drawing", is);
  regions.drawing(is);
}

let looking = false;
/** Whether another snapshot became current; then it is shown, with its new cells marked. A first dataset is waited for, too. */
async function look() {
  if (looking || document.hidden || (datasetOf.value && !state.follows)) return;
  looking = true;
  try {
    const now = datasetOf.value ? (await api(`sky/now?dataset=${encodeURIComponent(datasetOf.value)}`)).snapshot : null;
    if (datasetOf.value ? now === state.snapshot || !now : !(await api("sky/datasets")).some((one) => one.snapshot)) return;
    await listAll(datasetOf.value || null);
    await open(datasetOf.value);
    const many = (change) => state.coverage.cells.filter((one) => one.change === change).length;
    message(state.coverage.against ? `${datasetOf.value} has a new snapshot: ${many("new")} new cells, ${many("changed")} changed.`
      : `${datasetOf.value} has its first snapshot: ${many("first")} cells.`, "good");
  } catch { /* the next look tells */ } finally { looking = false; }
}

surveyOf.addEventListener("change", () => { listDatasets(datasetOf.value); if (datasetOf.value) open(datasetOf.value); });
layerOf.addEventListener("change", () => { listDatasets(datasetOf.value); if (datasetOf.value) open(datasetOf.value); });
datasetOf.addEventListener("change", () => { remember({ cell: null }); map.select(null); open(datasetOf.value); });
const visit = (key) => show(key, { follows: state.history.snapshots.some((one) => one.key === key && one.state === "current") });
snapshotOf.addEventListener("change", () => visit(snapshotOf.value));
time.addEventListener("change", () => visit(state.history.promotions[Number(time.value)].to_snapshot));
showOf.addEventListener("change", () => { remember({ show: showOf.value === "rows" ? null : showOf.value }); paint(); });
orderOf.addEventListener("change", () => { remember({ order: orderOf.value }); paint(); });
projectionOf.addEventListener("change", () => { remember({ projection: projectionOf.value }); shape(); map.set({ projection: projectionOf.value }); });
frameOf.addEventListener("change", () => { remember({ frame: frameOf.value }); map.setFrame(frameOf.value); });
outlines.addEventListener("change", () => { map.outlines = outlines.checked; map.draw(); });

projectionOf.append(...Object.entries(PROJECTIONS).map(([name, one]) => option(name, one.title, name === query.get("projection"))));
frameOf.append(...Object.entries(FRAMES).map(([name, one]) => option(name, one.title, name === query.get("frame"))));
orderOf.append(option("", "by the zoom"), ...[3, 4, 5, 6, 7, 8].map((order) => option(order, `order ${order}, ${number(Math.sqrt(areaDeg2(order)), 2)}°`, String(order) === query.get("order"))));
pickOf.append(option("cell", "a file's cell"), option("pixel", "a pixel of the map"));
showOf.append(option("rows", "rows per pixel"), option("cells", "rows per deg² of files"));
const shape = () => map.element.classList.toggle("globe", projectionOf.value === "globe");
map.view.projection = projectionOf.value;
shape();
map.setFrame(frameOf.value);
map.reset();

sync.open();
/** The datasets that there are now, what is chosen of them kept. */
async function listAll(chosen) {
  const [survey, layer] = [surveyOf.value, layerOf.value];
  state.datasets = (await told(() => api("sky/datasets"))) ?? [];
  surveyOf.replaceChildren(option("", "any"), ...[...new Set(state.datasets.flatMap((one) => one.surveys))].sort().map((name) => option(name, name, name === survey)));
  layerOf.replaceChildren(option("", "any"), ...[...new Set(state.datasets.map((one) => one.layer))].map((name) => option(name, name, name === layer)));
  listDatasets(chosen ?? query.get("dataset") ?? ["scores.catalog", "curated.objects"].find((name) => state.datasets.some((one) => one.name === name)));
}

await listAll();
if (datasetOf.value) await open(datasetOf.value, query.get("snapshot"));
else summary.textContent = "No dataset lies on the sky yet: start a sync, or import a table with `stellar import`.";
setInterval(look, LOOK_MS);
