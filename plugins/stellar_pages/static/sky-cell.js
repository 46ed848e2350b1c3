// What lies in a cell: numbers, gates, files, the batches that brought its rows, and the first of them.
"use strict";
import { api, badge, count, el, number, table, told, when } from "./base.js";
import { areaDeg2, centre } from "./healpix.js";
import { toFrame } from "./sky-projections.js";

const short = (key) => el("code", { title: key }, key.slice(0, 12));
const kib = (bytes) => (bytes < 1 << 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`);
const degrees2 = (area) => (area < 100 ? number(area, 3) : count(Math.round(area)));
export const nameOf = ({ order, pixel }) => `${order}/${pixel}`;

/** The panel of a chosen cell. `show(snapshot, cell, isCurrent)` fills it; the last one asked for wins. */
export function cellPanel() {
  const element = el("section", { class: "panel", "aria-label": "Chosen cell" });
  const rows = el("section", { "aria-label": "Rows of the chosen cell" });
  let asked = 0;
  const clear = () => {
    asked += 1;
    element.replaceChildren(el("h2", {}, "Cell"), el("p", { class: "empty" }, "Choose a cell: click it on the map, or walk with the arrow keys and press Enter."));
    rows.replaceChildren();
  };
  clear();
  return {
    element, rows, clear,
    async show(snapshot, cell, isCurrent) {
      const turn = (asked += 1), [ra, dec] = centre(cell.order, cell.pixel), [l, b] = toFrame("galactic", ra, dec);
      const place = `snapshot=${snapshot}&order=${cell.order}&pixel=${cell.pixel}`;
      element.replaceChildren(el("h2", {}, `Cell ${nameOf(cell)}`), el("p", { class: "faint" }, "Reading…"));
      element.setAttribute("aria-busy", "true");
      const found = await told(() => api(`sky/cell?${place}`));
      if (turn !== asked) return;
      element.removeAttribute("aria-busy");
      if (!found) { clear(); return; }
      const batches = el("div", {}, el("p", { class: "faint" }, "Looking for the batches…"));
      const inFiles = found.files.reduce((sum, file) => sum + file.rows, 0);
      element.replaceChildren(
        el("h2", {}, `Cell ${nameOf(cell)} `, cell.change ? badge(cell.change) : null),
        el("p", {}, `Centre RA ${number(ra, 6)}° Dec ${number(dec, 5)}° (l ${number(l, 5)}° b ${number(b, 4)}°), ${degrees2(areaDeg2(cell.order))} deg², ${count(cell.rows ?? inFiles)} rows`
          + (cell.rows === undefined ? ` in its ${found.files.length === 1 ? "file" : `${found.files.length} files`}` : "")),
        el("p", { class: "bar" }, el("a", { href: `catalogue?q=${encodeURIComponent(found.sql)}` }, "Its rows in SQL"),
          el("a", { href: `lineage?ref=${encodeURIComponent(snapshot)}` }, "Lineage of the snapshot")),
        isCurrent ? "" : el("p", { class: "faint" }, "SQL asks the current snapshot, not the one shown here."),
        el("h3", {}, "Gate"),
        table([{ key: "checked_at", title: "Checked", show: when }, { key: "passed", title: "Gate", show: (passed) => badge(passed ? "passed" : "failed") },
          { key: "expectations", title: "Passed", numeric: true, show: (n, row) => `${count(n - row.failed)} of ${count(n)}` }, { key: "rows_checked", title: "Rows", numeric: true, show: count }],
        found.gates, { caption: "Gates of the snapshot", empty: "No gate was run on it." }),
        el("h3", {}, "Files"),
        table([{ key: "file", title: "File", show: (file) => el("code", { title: file }, file?.replace(/^(catalog\/)?(dataset\/)?/, "") ?? "no rows") }, { key: "rows", title: "Rows", numeric: true, show: count }, { key: "bytes", title: "Size", numeric: true, show: kib },
          { key: "made_at", title: "Made", show: when }, { key: "key", title: "Key", show: short }, { key: "file_sha256", title: "SHA-256", show: short }], found.files, { caption: "Below the snapshot's folder" }),
        el("h3", {}, "Batches that brought its rows"), batches);
      showRows(found, cell);
      const brought = await told(() => api(`sky/batches?${place}`));
      if (turn !== asked) return;
      batches.replaceChildren(brought ? batchTable(brought) : el("p", { class: "empty" }, "Not known."));
    },
  };

  function showRows(found, cell) {
    const columns = found.columns.map((one, i) => ({ key: i, title: one.unit ? `${one.name} (${one.unit})` : one.name,
      numeric: /int|float|double/.test(one.type), show: (value) => (value === null ? "–" : typeof value === "number" ? number(value, 9) : String(value)) }));
    rows.replaceChildren(el("h2", {}, `Rows of cell ${nameOf(cell)}`),
      found.has_files ? el("div", { class: "rows-shown" }, table(columns, found.rows, { caption: `First ${found.rows.length} along the sky`, empty: "No rows here." }))
        : el("p", { class: "empty" }, "The snapshot's files were removed to save space; its rows are gone."));
  }
}

function batchTable(brought) {
  return el("div", {},
    brought.direct || !brought.batches.length ? null : el("p", { class: "faint" }, "Its rows do not name their batch; these brought the curated rows in this cell from which it was made."),
    table([{ key: "rows", title: "Rows here", numeric: true, show: count }, { key: "dataset", title: "Dataset", show: (name, row) => el("span", { title: `through ${row.through}` }, name ?? row.through) },
      { key: "batch_id", title: "Batch and its query", show: (id, row) => el("div", {}, el("a", { href: `lineage?ref=${encodeURIComponent(id)}` }, short(id)), ` ${when(row.fetched_at)}`,
        el("details", {}, el("summary", {}, row.service ?? "query"), el("code", { class: "asked" }, row.query ?? "–"))) }], brought.batches, { empty: "None is known." }),
    brought.more ? el("p", { class: "faint" }, `and ${brought.more} more`) : null);
}
