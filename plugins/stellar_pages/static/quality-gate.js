// One gate's report: expectations, observed values, rows that failed, the Data Docs.
import { api, badge, count, el, main, number, table, told, when } from "./base.js";
import { overTime } from "./quality-plots.js";

const words = (name) => name.replace(/^expect_/, "").replaceAll("_", " ");
const limits = (kwargs) => Object.entries(kwargs).filter(([key, value]) => !["column", "column_list", "note"].includes(key) && value !== null)
  .map(([key, value]) => `${key.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");

function seen(observed) {
  if (!observed) return "–";
  if (observed.error) return observed.error;
  if ("value" in observed) return typeof observed.value === "number" ? number(observed.value) : String(JSON.stringify(observed.value)).slice(0, 120);
  if ("unexpected_count" in observed) return `${count(observed.unexpected_count)} of ${count(observed.element_count)} unexpected`;
  return Object.entries(observed).map(([key, value]) => `${key} ${JSON.stringify(value)}`).join(", ").slice(0, 120);
}

function failing(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return table(names.map((key) => ({ key, title: key, show: (value) => (value === null || value === undefined ? "–" : String(value)) })), rows, { caption: `A sample of ${rows.length} failing row${rows.length === 1 ? "" : "s"}` });
}

export async function showGate(reference) {
  const gate = await told(() => api(`quality/gate?gate=${encodeURIComponent(reference)}`));
  if (!gate) return;
  const failed = gate.expectations.filter((one) => !one.passed);
  main.querySelector("h1").textContent = `Gate of ${gate.dataset}`;
  const trend = el("div", {});
  const history = async (one) => {
    const asked = new URLSearchParams({ dataset: gate.dataset, expectation: one.expectation });
    if (one.column_name) asked.set("column", one.column_name);
    if (one.kwargs.note) asked.set("note", one.kwargs.note);
    const rows = await told(() => api(`quality/observed?${asked}`));
    if (!rows) return;
    trend.replaceChildren(overTime(rows, `${one.column_name ?? gate.dataset}: ${words(one.expectation)}`));
    trend.scrollIntoView({ block: "nearest" });
  };
  main.append(...[
    el("p", {}, el("a", { href: "quality" }, "← All gates")),
    el("p", {}, badge(gate.passed ? "passed" : "failed"), ` ${when(gate.checked_at)} · ${count(gate.rows_checked)} rows · snapshot `,
      el("a", { href: `lineage?ref=${gate.snapshot}` }, el("code", {}, gate.snapshot.slice(0, 16))), " ", badge(gate.state), gate.run_id ? el("span", { class: "faint" }, ` · ${gate.run_id}`) : null),
    gate.state_reason && gate.state_reason !== gate.run_id ? el("p", { class: "prose" }, gate.state_reason) : null,
    gate.evidence.follows ? el("p", {}, "It shares the verdict of ", el("a", { href: `?gate=${gate.evidence.follows}` }, gate.evidence.follows.slice(0, 16)), ", with which it was made.") : null,
    ...failed.map((one) => el("section", { class: "panel" },
      el("h3", {}, `${one.column_name ?? gate.dataset}: ${words(one.expectation)} `, badge("failed")),
      el("p", {}, [one.kwargs.note, limits(one.kwargs)].filter(Boolean).join(" · ")),
      el("p", {}, `Observed: ${seen(one.observed)}${one.failing === null ? "" : `; ${count(one.failing)} rows fail`}`),
      one.failing_rows.length ? failing(one.failing_rows) : null)),
    trend,
    table([
      { key: "column_name", title: "Column", show: (name) => name ?? "–" },
      { key: "expectation", title: "Expectation", show: (name, row) => el("span", { class: "wrap" }, row.kwargs.note ?? words(name)) },
      { key: "kwargs", title: "Limits", show: (kwargs) => el("span", { class: "wrap" }, limits(kwargs)) },
      { key: "passed", title: "Result", show: (passed) => badge(passed ? "passed" : "failed") },
      { key: "observed", title: "Observed", show: (observed) => el("span", { class: "wrap" }, seen(observed)) },
      { key: "failing", title: "Failing", numeric: true, show: count },
      { key: "number", title: "", show: (n, row) => el("button", { type: "button", onclick: () => history(row) }, "Over time") },
    ], gate.expectations, { caption: `${gate.expectations.length} expectations, ${failed.length} failed`, empty: "This gate has no expectations of its own." }),
    gate.data_docs ? docs(gate) : null,
  ].filter(Boolean));
}

/** The page that Great Expectations made, when it is asked for. */
function docs(gate) {
  const box = el("details", { class: "panel" }, el("summary", {}, "Data Docs"));
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) box.append(el("iframe", { class: "report", title: `Data Docs of ${gate.dataset}`, sandbox: "", src: `../api/quality/docs/${gate.data_docs.replace(/^data_docs\//, "").split("/").map(encodeURIComponent).join("/")}` }));
  });
  return box;
}
