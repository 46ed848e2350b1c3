// SQL cut into words, for colours and for knowing what stands before the cursor. Pure: no document.
"use strict";

export const KEYWORDS = `SELECT FROM WHERE GROUP BY ORDER LIMIT OFFSET JOIN LEFT RIGHT FULL INNER CROSS ASOF USING ON AND OR NOT IN IS NULL AS WITH RECURSIVE
HAVING DISTINCT QUALIFY UNION ALL EXCEPT INTERSECT CASE WHEN THEN ELSE END BETWEEN LIKE ILIKE DESCRIBE SUMMARIZE SHOW TABLES EXPLAIN ANALYZE ASC DESC NULLS
FIRST LAST EXISTS FILTER OVER PARTITION SAMPLE UNNEST EXCLUDE REPLACE TRUE FALSE CAST PIVOT VALUES INTERVAL`.split(/\s+/);
const known = new Set(KEYWORDS);

const PARTS = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*(?:'|$))|("(?:[^"]|"")*(?:"|$))|(\d+(?:\.\d+)?(?:e[+-]?\d+)?)|([A-Za-z_][A-Za-z0-9_]*)|(\s+|.)/giy;

/** Words of a statement: `{kind, text, at}` with kinds comment, text, name, number, keyword, word, other. */
export function words(statement) {
  const found = [];
  PARTS.lastIndex = 0;
  for (let one = PARTS.exec(statement); one; one = PARTS.exec(statement)) {
    const kind = one[1] ? "comment" : one[2] ? "text" : one[3] ? "name" : one[4] ? "number" : one[5] ? (known.has(one[5].toUpperCase()) ? "keyword" : "word") : "other";
    found.push({ kind, text: one[0], at: one.index });
  }
  return found;
}

/** What is being written at a place: the word, the dotted names before it, and where it begins. */
export function writing(statement, place) {
  const before = statement.slice(0, place);
  const inside = words(before).at(-1);
  if (inside && (inside.kind === "comment" || (inside.kind === "text" && !/'$/.test(inside.text.slice(1))))) {
    // in a string, names of datasets are completed: cone('curated.…
    if (inside.kind === "comment" && !inside.text.endsWith("*/")) return null;
    const text = inside.text.slice(1);
    return { word: text, path: "", from: place - text.length, quoted: true };
  }
  const [, path, word] = /((?:[A-Za-z_]\w*\.)*)([A-Za-z_]\w*)?$/.exec(before);
  return { word: word ?? "", path: path.slice(0, -1), from: place - (word ?? "").length - path.length, quoted: false };
}

/** Datasets that a statement names, and the aliases that it gives them. */
export function sources(statement, names) {
  const bare = words(statement).filter((one) => one.kind !== "comment").map((one) => one.text).join("");
  const tables = new Map();
  const note = (name, alias) => {
    if (!names.tables.has(name)) return;
    tables.set(name.split(".").at(-1), name);
    if (alias && !known.has(alias.toUpperCase())) tables.set(alias, name);
  };
  for (const one of bare.matchAll(/\b([a-z_]\w*\.[a-z_]\w*)\b(?:\s+(?:as\s+)?([a-z_]\w*))?/gi)) note(one[1].toLowerCase(), one[2]);
  for (const one of bare.matchAll(/\(\s*'([a-z_]\w*\.[a-z_]\w*)'[^()]*\)(?:\s+(?:as\s+)?([a-z_]\w*))?/gi)) note(one[1].toLowerCase(), one[2]);
  return tables;
}

const REGIONS = { cone: "cone('curated.objects', ra, dec, radius_deg)", box: "box('…', ra_min, ra_max, dec_min, dec_max)", polygon: "polygon('…', [ra, …], [dec, …])", by_id: "by_id('…', ['id', …])" };

/** Names that fit what is being written, best first: `{text, kind, about}`; at most `most`. */
export function completions(statement, place, names, most = 60) {
  const at = writing(statement, place);
  if (!at) return null;
  const found = [];
  const want = at.word.toLowerCase();
  const add = (text, kind, about, rank) => {
    const low = text.toLowerCase();
    const where = low.indexOf(want);
    if (where < 0 || (low === want && !at.path)) return;
    found.push({ text, kind, about, rank: rank + (where === 0 ? 0 : /[._]/.test(low[where - 1] ?? "") ? 10 : 20) });
  };
  const there = sources(statement, names);
  if (at.quoted) {
    for (const [name, about] of names.tables) if (about.sky) add(name, "dataset", "", 0);
  } else if (at.path) {
    const table = names.tables.has(at.path) ? at.path : there.get(at.path);
    if (table) for (const column of names.tables.get(table).columns) add(`${at.path}.${column.name}`, "column", told(column), 0);
    for (const name of names.tables.keys()) if (name.startsWith(`${at.path}.`)) { if (name.slice(at.path.length + 1).includes(want)) found.push({ text: name, kind: "dataset", about: "", rank: 1 }); }
    for (const one of found) if (one.kind === "column" && !one.text.toLowerCase().includes(want)) one.rank = 99;
  } else {
    for (const table of new Set(there.values())) for (const column of names.tables.get(table).columns) add(column.name, "column", told(column), 0);
    for (const [name, about] of names.tables) add(name, name.startsWith("ledger.") ? "ledger" : "dataset", `${about.columns.length} columns`, 2);
    for (const name of names.macros) add(`${name}(`, "function", REGIONS[name] ?? "", 4);
    for (const word of KEYWORDS) add(word, "keyword", "", 3);
    if (want.length > 1) for (const name of names.functions) add(`${name}(`, "function", "", 6);
  }
  const seen = new Set();
  const best = found.filter((one) => one.rank < 99 && !seen.has(one.text) && seen.add(one.text)).sort((a, b) => a.rank - b.rank || a.text.length - b.text.length || a.text.localeCompare(b.text));
  return { from: at.path || at.quoted ? at.from : place - at.word.length, to: place, options: best.slice(0, most) };
}

const told = (column) => [column.type, column.unit, column.description].filter(Boolean).join(" · ");

/** Line and column (from 1) that a message of DuckDB marks, in the statement; null where it marks none. */
export function marked(text, statement) {
  const found = /LINE (\d+): (.*)\n( *)\^/.exec(text);
  if (!found) return null;
  const line = Number(found[1]);
  const shown = found[2];
  const inShown = found[3].length - `LINE ${line}: `.length;
  const whole = statement.split("\n")[line - 1] ?? "";
  const cut = shown.replace(/^\.\.\.|\.\.\.$/g, "");
  const start = Math.max(0, whole.indexOf(cut));
  return { line, column: start + inShown - (shown.startsWith("...") ? 3 : 0) + 1 };
}
