// The answer as a table: only the rows in sight are in the document, so that a thousand rows of many columns stay smooth.
"use strict";
import { el } from "./base.js";

const ROW = 29;
const BEYOND = 12;

// Digits that are shown: what a float holds, and of a double what a table is read for; places and times need all of theirs.
const digitsOf = (column) => (/float32|^float$/i.test(column.type ?? "") ? 7 : /^(deg|d)$/.test(column.unit ?? "") ? 12 : 8);

/** Text of a value, as it is shown; with `digits` digits. */
export function text(value, kind, digits = 12) {
  if (value === null) return "null";
  if (kind === "number" && typeof value === "number" && !Number.isInteger(value)) {
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(Math.min(7, digits - 1)).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(digits)));
  }
  return typeof value === "boolean" ? (value ? "true" : "false") : String(value);
}

/** Order of two values of a column; null comes last either way, NaN before it. */
export function order(a, b, kind, down) {
  const rank = (value) => (value === null ? 2 : value === "NaN" ? 1 : 0);
  if (rank(a) || rank(b)) return rank(a) - rank(b);
  let found;
  if (kind === "integer") { const [x, y] = [BigInt(a), BigInt(b)]; found = x < y ? -1 : x > y ? 1 : 0; }
  else if (kind === "number") found = Number(String(a).replace("inf", "Infinity")) - Number(String(b).replace("inf", "Infinity"));
  else found = String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
  return down ? -found : found;
}

/** A table of an answer; columns named in `ids` lead to the page of the star. */
export function results(answer, ids) {
  const { columns } = answer;
  if (columns.length === 2 && columns[0].name === "explain_key") {
    return el("pre", { class: "plan", tabindex: "0" }, answer.rows.map((row) => row[1]).join("\n"));
  }
  let rows = answer.rows;
  let sorted = { at: -1, down: false };
  const body = el("tbody");
  const heads = columns.map((column, at) => {
    const about = [column.type, column.unit && `unit ${column.unit}`, column.description, column.ucd].filter(Boolean).join("\n");
    return el("th", { scope: "col", title: about, "aria-sort": "none", class: numeric(column) ? "n" : null },
      el("button", { type: "button", class: "sort", onclick: () => sort(at) }, column.name, el("span", { class: "arrow", "aria-hidden": "true" })),
      el("small", {}, column.unit ?? ""));
  });
  const table = el("table", { class: "answer", "aria-rowcount": String(rows.length + 1) }, el("thead", {}, el("tr", { "aria-rowindex": "1" }, heads)), body);
  const view = el("div", { class: "scroll rows", tabindex: "0", role: "region", "aria-label": "Answer" }, table);
  let shown = [-1, -1];

  function sort(at) {
    const down = sorted.at === at ? !sorted.down : false;
    sorted = { at, down };
    rows = [...answer.rows].sort((a, b) => order(a[at], b[at], columns[at].kind, down));
    heads.forEach((head, number) => head.setAttribute("aria-sort", number !== at ? "none" : down ? "descending" : "ascending"));
    shown = [-1, -1];
    draw();
  }
  function draw() {
    const first = Math.max(0, Math.floor(view.scrollTop / ROW) - BEYOND);
    const last = Math.min(rows.length, Math.ceil((view.scrollTop + (view.clientHeight || 600)) / ROW) + BEYOND);
    if (first === shown[0] && last === shown[1]) return;
    shown = [first, last];
    const space = (count) => el("tr", { "aria-hidden": "true", class: "space" }, el("td", { colspan: String(columns.length), style: `height: ${count * ROW}px` }));
    body.replaceChildren(...(first ? [space(first)] : []), ...rows.slice(first, last).map((row, at) => line(row, first + at)), ...(last < rows.length ? [space(rows.length - last)] : []));
  }
  function line(row, number) {
    return el("tr", { "aria-rowindex": String(number + 2) }, row.map((value, at) => {
      const column = columns[at];
      const shownText = text(value, column.kind, digitsOf(column)), whole = text(value, column.kind);
      const link = value !== null && ids.has(column.name) ? el("a", { href: `star?id=${encodeURIComponent(value)}` }, shownText) : shownText;
      return el("td", { class: `${numeric(column) ? "n" : ""}${value === null ? " null" : ""}`, title: whole !== shownText || whole.length > 60 ? whole.slice(0, 2000) : null }, link);
    }));
  }
  // columns keep the widths that the first rows gave them
  view.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(view);
  draw();
  return view;
}

const numeric = (column) => column.kind === "number" || column.kind === "integer";
