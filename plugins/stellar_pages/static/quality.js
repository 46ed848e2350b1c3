// The page Quality: what is fresh, what passed its gate, what is in quarantine, where rows went; or one gate, or one quarantine.
import { api, badge, count, el, main, number, query, remember, table, told, when } from "./base.js";
import { strip } from "./quality-plots.js";
import { showGate } from "./quality-gate.js";
import { quarantineTable, showQuarantine } from "./quality-quarantine.js";

const section = (title, ...content) => el("section", {}, el("h2", { id: title.toLowerCase().replace(/\W+/g, "-") }, title), content);

function freshness(rows) {
  return section("Fresh", table([
    { key: "name", title: "What", show: (name, row) => (row.kind === "sync" ? `sync of ${name}` : name) },
    { key: "state", title: "State", show: badge },
    { key: "at", title: "Last", show: when },
    { key: "hours", title: "Waits", numeric: true, show: (hours, row) => (hours === null ? "–" : `${number(hours, 3)} h${row.kind === "sync" ? " ago" : " behind"}`) },
    { key: "limit_hours", title: "At most", numeric: true, show: (hours) => `${hours} h` },
  ], rows, { caption: "A survey is synced every 8 days; scores follow within 24 hours of what they are made from" }));
}

function gates(every) {
  const run = query.get("run");
  const dataset = query.get("dataset");
  const rows = every.filter((row) => (!run || row.run_id === run) && (!dataset || row.dataset === dataset));
  const failed = rows.filter((row) => run || dataset || !row.passed);
  const shown = rows.filter((row) => !row.follows);
  const parts = [strip(shown)];
  if (failed.length) {
    parts.push(table([
      { key: "checked_at", title: "Checked", show: when },
      { key: "dataset", title: "Dataset", show: (name, row) => el("a", { href: `?gate=${row.id}` }, name) },
      { key: "passed", title: "Gate", show: (passed) => badge(passed ? "passed" : "failed") },
      { key: "failed", title: "Failed", numeric: true, show: (n, row) => `${n} of ${row.expectations}` },
      { key: "rows_checked", title: "Rows", numeric: true, show: count },
      { key: "state", title: "Snapshot", show: badge },
    ], failed, { caption: run || dataset ? `Gates of ${run ?? dataset}` : "Gates that failed" }));
  } else if (shown.length) parts.push(el("p", { class: "faint" }, `All of the newest ${shown.length} gates passed.`));
  return section("Gates", ...parts);
}

const PARTS = [["rows_out", "out"], ["merged", "merged"], ["filtered", "filtered"], ["quarantined", "quarantined"]];

function bar(row) {
  const rules = Object.entries(row.filtered_by).map(([rule, n]) => `${rule} ${count(n)}`).join(", ");
  const title = PARTS.map(([key, name]) => `${name} ${count(row[key])}`).join(", ") + (rules ? ` (filtered: ${rules})` : "");
  return el("span", { class: "account", title, role: "img", "aria-label": title }, row.rows_in
    ? PARTS.filter(([key]) => row[key]).map(([key, name]) => el("i", { class: name, style: `flex-grow:${row[key]}` })) : null);
}

function accounting(found) {
  const body = el("div", {});
  const draw = async () => {
    const got = await told(() => api(`quality/accounting?${asked()}`));
    if (got) body.replaceChildren(view(got));
  };
  const view = ({ rows, runs }) => el("div", {},
    el("div", { class: "bar" },
      el("label", {}, el("span", {}, "Run"), el("select", { onchange: (event) => { remember({ run: event.target.value }); draw(); } }, el("option", { value: "" }, "whatever is current"), runs.map((one) => el("option", { value: one, selected: one === query.get("run") }, one)))),
      el("label", { class: "tick" }, el("input", { type: "checkbox", checked: query.get("every") === "yes", onchange: (event) => { remember({ every: event.target.checked ? "yes" : null }); draw(); } }), "former snapshots too")),
    el("p", { class: "legend" }, PARTS.map(([, name]) => el("span", {}, el("i", { class: `account-${name}` }), name))),
    table([
      { key: "dataset", title: "Dataset", show: (name, row) => el("a", { href: `lineage?ref=${row.snapshot}` }, name) },
      { key: "state", title: "Snapshot", show: badge },
      { key: "rows_in", title: "Rows in", numeric: true, show: count },
      { key: "rows_in", title: "went", show: (n, row) => bar(row) },
      ...PARTS.map(([key, name]) => ({ key, title: name, numeric: true, show: count })),
      { key: "committed_at", title: "Committed", show: when },
      { key: "step", title: "Step" },
    ], rows, { caption: "Rows in = out + merged + filtered + quarantined; the database refuses what does not add up", empty: "No snapshot of this run." }));
  body.append(view(found));
  return section("Rows", body);
}

/** The snapshots whose rows are shown: of a run, of a dataset, or whatever is current. */
function asked() {
  const values = new URLSearchParams({ every: query.get("every") === "yes" });
  for (const name of ["run", "dataset"]) if (query.get(name)) values.set(name, query.get(name));
  return values;
}

async function overview() {
  const [fresh, reports, refused, account] = await Promise.all([
    told(() => api("quality/freshness")), told(() => api(`quality/gates?limit=1000${query.get("dataset") ? `&dataset=${encodeURIComponent(query.get("dataset"))}` : ""}`)),
    told(() => api("quality/quarantine")), told(() => api(`quality/accounting?${asked()}`)),
  ]);
  if (query.get("dataset") || query.get("run")) main.append(el("p", {}, el("a", { href: "quality" }, "← Everything"), ` ${query.get("dataset") ?? ""}`));
  main.append(...[
    fresh && refused && reports && account && !query.get("run") && !query.get("dataset") && glance(fresh, refused, reports, account),
    fresh && freshness(fresh), refused && section("Quarantine", quarantineTable(refused)),
    reports && gates(reports), account && accounting(account),
  ].filter(Boolean));
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

/** What matters first, in a line of tiles that lead to their sections. */
function glance(fresh, refused, reports, account) {
  const tile = (where, text, about, good) => el("a", { class: `tile ${good ? "good" : "bad"}`, href: `#${where}` }, el("strong", {}, text), el("span", {}, about));
  const shown = reports.filter((one) => !one.follows), open = refused.reduce((sum, one) => sum + one.open, 0);
  const late = fresh.filter((one) => one.state !== "fresh").length, failed = shown.filter((one) => !one.passed).length;
  const rows = account.rows.reduce((sum, one) => sum + one.rows_in, 0);
  return el("div", { class: "tiles" },
    tile("fresh", late ? `${late} late` : "All fresh", `${fresh.length} things are watched`, !late),
    tile("quarantine", open ? `${count(open)} open` : "None open", "rows in quarantine", !open),
    tile("gates", failed ? `${failed} failed` : `${shown.length} passed`, failed ? `of ${shown.length} gates` : "gates, none failed", !failed),
    tile("rows", count(rows), `rows in, all accounted for in ${account.rows.length} snapshots`, true));
}

const loading = el("p", { class: "faint", role: "status" }, "Loading…");
main.append(loading);
if (query.get("gate")) await showGate(query.get("gate"));
else if (query.get("quarantine")) await showQuarantine(query.get("quarantine"));
else await overview();
loading.remove();
