// Rows in quarantine, and what a person decides about them.
import { api, ask, badge, canAct, count, el, main, message, query, remember, table, told, when } from "./base.js";
import { trigger } from "./dag-runs.js";

const WHAT = {
  release: ["Release", "The reason is overruled for these rows, as they are: the next run of build_catalog takes them into the curated dataset. It builds the partitions that they touch again, and what follows from them. Their gate still has its say."],
  discard: ["Discard", "The rows were refused rightly. They stay where they are and no longer count as open."],
  reopen: ["Reopen", "The decision is taken back. Rows that were released go into quarantine again with the next run of build_catalog."],
};

const rowsOf = (n) => `${count(n)} row${n === 1 ? "" : "s"}`;

/** Columns: ids first, then those that a reason names (`ra, dec: position is missing`), then the others. */
export function blamedFirst(columns, rows) {
  const blamed = new Set(rows.flatMap((row) => row.reason.split(":")[0].split(", ")));
  const rank = (name) => (/(^|_)id$/.test(name) && !/solution|batch/.test(name) ? 0 : blamed.has(name) ? 1 : 2);
  return columns.toSorted((a, b) => rank(a) - rank(b));
}

/** Groups by dataset, reason and batch. */
export function quarantineTable(groups) {
  const open = groups.reduce((sum, one) => sum + one.open, 0);
  return el("div", {}, table([
    { key: "dataset", title: "Dataset", show: (name, row) => el("a", { href: `?${new URLSearchParams({ quarantine: name, reason: row.reason, batch: row.batch_id })}` }, name) },
    { key: "reason", title: "Reason", show: (reason) => el("span", { class: "wrap" }, reason) },
    { key: "survey", title: "Survey" },
    { key: "unit", title: "Unit" },
    { key: "batch_id", title: "Batch", show: (id) => el("a", { href: `lineage?ref=${id}` }, el("code", {}, id.slice(0, 12))) },
    { key: "rows", title: "Rows", numeric: true, show: count },
    { key: "open", title: "Open", numeric: true, show: count },
    { key: "released", title: "Released", numeric: true, show: count },
    { key: "discarded", title: "Discarded", numeric: true, show: count },
    { key: "kept", title: "Can be released", show: (kept) => (kept ? el("span", { class: "wrap faint" }, `no: ${kept}`) : "yes") },
  ], groups, { caption: `${rowsOf(open)} ${open === 1 ? "is" : "are"} open`, empty: "No row of a current dataset is in quarantine." }), el("p", {}, el("a", { href: "?quarantine=decisions" }, "All decisions")));
}

export async function showQuarantine(dataset) {
  main.querySelector("h1").textContent = dataset === "decisions" ? "Decisions about quarantined rows" : dataset;
  main.append(el("p", {}, el("a", { href: "quality#quarantine" }, "← Quality")));
  const body = el("div", {});
  main.append(body);
  if (dataset === "decisions") await drawDecisions(body);
  else await draw(body, dataset);
}

async function draw(body, dataset, offset = 0) {
  const asked = new URLSearchParams({ dataset, offset, limit: 100 });
  for (const name of ["reason", "batch", "state"]) if (query.get(name)) asked.set(name, query.get(name));
  const [found, groups] = await Promise.all([told(() => api(`quality/quarantine/rows?${asked}`)), told(() => api("quality/quarantine"))]);
  if (!found) return;
  const own = (groups ?? []).filter((one) => one.dataset === dataset);
  const again = () => draw(body, dataset, offset);
  const chosen = new Set();
  const pick = (label, name, values, most = 60) => el("label", {}, el("span", {}, label), el("select", { onchange: (event) => { remember({ [name]: event.target.value }); draw(body, dataset); } },
    el("option", { value: "" }, "all"), [...new Set(values)].map((value) => el("option", { value, selected: value === query.get(name) }, value.length > most ? `${value.slice(0, most)}…` : value))));
  const rows = found.rows;
  const kept = [...new Set(rows.map((row) => row.kept).filter(Boolean))];
  body.replaceChildren(...[
    el("div", { class: "bar" }, pick("Reason", "reason", own.map((one) => one.reason)), pick("Batch", "batch", own.map((one) => one.batch_id), 12), pick("State", "state", ["open", "released", "discarded"])),
    kept.length ? el("div", { class: "panel warning" }, el("strong", {}, "Some of these rows cannot be released: "), kept.join("; "), ". Mend them where they come from and sync again, or discard them.") : null,
    canAct && rows.length ? acts(dataset, found, chosen, again) : null,
    table([
      ...(canAct ? [{ key: "row_id", title: "", show: (id) => el("input", { type: "checkbox", "aria-label": `Row ${id.slice(0, 8)}`, onchange: (event) => { if (event.target.checked) chosen.add(id); else chosen.delete(id); } }) }] : []),
      { key: "state", title: "State", show: (state, row) => (row.decision && row.decision.decision !== "reopen" ? el("span", { title: `${row.decision.who}, ${when(row.decision.decided_at)}: ${row.decision.why}` }, badge(state)) : badge(state)) },
      { key: "reason", title: "Reason", show: (reason) => el("span", { class: "wrap" }, reason) },
      { key: "batch_id", title: "Batch", show: (id) => el("a", { href: `lineage?ref=${id}` }, el("code", {}, id.slice(0, 12))) },
      ...blamedFirst(found.columns, rows).map((name) => ({ key: "values", title: name, show: (values) => (values[name] === undefined ? "–" : String(values[name])) })),
    ], rows, { caption: `${rowsOf(found.total)}, ${count(offset + 1)} to ${count(offset + rows.length)} shown`, empty: "No such rows." }),
    el("div", { class: "bar" }, offset > 0 ? el("button", { type: "button", onclick: () => draw(body, dataset, Math.max(0, offset - 100)) }, "Before") : null, offset + rows.length < found.total ? el("button", { type: "button", onclick: () => draw(body, dataset, offset + 100) }, "After") : null),
    el("h2", {}, "Decisions"), await decisions(dataset, again),
  ].filter(Boolean));
}

/** Buttons that decide about the ticked rows, or about all that the filters of reason and batch leave. */
function acts(dataset, found, chosen, again) {
  const reason = query.get("reason");
  const button = (decision) => el("button", { type: "button", onclick: async () => {
    const rows = [...chosen];
    if (!rows.length && !reason) { message("Tick rows, or choose one reason to mean all of its rows.", "bad"); return; }
    const what = rows.length ? { rows } : { reason, batch: query.get("batch") || null };
    await decide(dataset, decision, what, rows.length ? rowsOf(rows.length) : `${found.total === 1 ? "the row" : `all ${count(found.total)} rows`} shown under "${reason}"`, again);
  } }, `${WHAT[decision][0]}…`);
  return el("div", { class: "bar" }, button("release"), button("discard"), button("reopen"), el("span", { class: "faint" }, "Tick rows, or filter by a reason to decide about all of it."));
}

async function decide(dataset, decision, what, which, again) {
  const [title, text] = WHAT[decision];
  const values = await ask(`${title} ${which}`, el("div", {}, el("p", {}, text), el("label", {}, el("span", {}, "Why"), el("textarea", { name: "why", required: true, rows: 3, maxlength: 2000 }))), { confirm: title });
  if (!values) return;
  const outcome = await told(() => api("quality/quarantine/decide", { body: { dataset, decision, why: values.why, ...what } }));
  if (!outcome) return;
  message(outcome.said, "good");
  await again();
  if (outcome.follows) {
    main.querySelector(".note")?.remove();
    main.children[1].after(el("div", { class: "panel note" }, el("p", {}, `${outcome.said}.`), el("button", { type: "button", class: "primary", onclick: (event) => trigger(outcome.follows, event.target) }, `Run ${outcome.follows} now`)));
  }
}

async function decisions(dataset, again) {
  const rows = (await told(() => api(`quality/quarantine/decisions${dataset ? `?dataset=${encodeURIComponent(dataset)}` : ""}`))) ?? [];
  return table([
    { key: "decided_at", title: "When", show: when },
    { key: "who", title: "Who" },
    { key: "decision", title: "Decision", show: (one) => badge({ release: "released", discard: "discarded", reopen: "reopened" }[one]) },
    ...(dataset ? [] : [{ key: "dataset", title: "Dataset", show: (name) => el("a", { href: `?quarantine=${name}` }, name) }]),
    { key: "source_id", title: "Id", show: (id) => id ?? "–" },
    { key: "row_id", title: "Row", show: (id, row) => el("code", { title: JSON.stringify(row.content, null, 1) }, id.slice(0, 12)) },
    { key: "reason", title: "Reason", show: (reason) => el("span", { class: "wrap" }, reason) },
    { key: "why", title: "Why", show: (why) => el("span", { class: "wrap" }, why) },
    ...(canAct ? [{ key: "decision", title: "", show: (one, row) => (one === "reopen" ? "" : el("button", { type: "button", onclick: () => decide(row.dataset, "reopen", { rows: [row.row_id] }, "one row", again) }, "Take back…")) }] : []),
  ], rows, { caption: "The last decision about each row and reason; earlier ones are kept in the ledger (quality.decision)", empty: "Nobody has decided about a row yet." });
}

async function drawDecisions(body) {
  body.replaceChildren(await decisions(null, () => drawDecisions(body)));
}
