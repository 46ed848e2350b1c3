// A region of the sky, and a sync of it: the form comes from the DAG, Airflow checks and runs it, the page follows.
"use strict";
import { airflow, canAct, el, message, number, query, remember, told } from "./base.js";
import { dagForm } from "./dag-form.js";
import { follow, runList, startRun } from "./dag-runs.js";

const REGION = ["ra", "dec", "radius"];

/** The panel of the region. `actions`: draw(), changed(region), look(region), sql(region) -> URL. */
export function regionPanel(actions) {
  const fields = {};
  const limits = { ra: ["RA, degrees", 0, 360], dec: ["Dec, degrees", -90, 90], radius: ["Radius, degrees", 0, 180] };
  let region = null;
  const changed = () => {
    const values = REGION.map((name) => (fields[name].value === "" ? NaN : Number(fields[name].value)));
    const whole = values.every(Number.isFinite) && REGION.every((name) => fields[name].checkValidity()) && values[2] > 0;
    region = whole ? { ra: values[0], dec: values[1], radius: values[2] } : null;
    show();
    actions.changed(region);
  };
  for (const name of REGION) {
    const [, min, max] = limits[name];
    fields[name] = el("input", { type: "number", step: "any", min: String(min), max: String(max), inputmode: "decimal", oninput: changed });
  }
  const draw = el("button", { type: "button", "aria-pressed": "false", onclick: () => actions.draw() }, "Draw on the map");
  const look = el("button", { type: "button", onclick: () => region && actions.look(region) }, "Look at it");
  const clear = el("button", { type: "button", onclick: () => panel.set(null) }, "Clear");
  const sql = el("a", { class: "faint" }, "Ask for its rows in SQL");
  const show = () => {
    look.disabled = clear.disabled = !region;
    const url = region && actions.sql(region);
    sql.hidden = !url;
    if (url) sql.setAttribute("href", url);
  };
  const panel = {
    element: el("div", {}, el("div", { class: "bar" }, REGION.map((name) => el("label", { class: "short" }, el("span", {}, limits[name][0]), fields[name]))),
      el("div", { class: "bar" }, draw, look, clear, sql)),
    drawing: (is) => { draw.setAttribute("aria-pressed", String(is)); draw.textContent = is ? "Drag a circle on the map…" : "Draw on the map"; },
    region: () => region,
    set(given) {
      for (const name of REGION) fields[name].value = given ? String(Number(given[name].toFixed(name === "radius" ? 3 : 4))) : "";
      changed();
    },
  };
  show();
  return panel;
}

/** The panel of the sync. `actions`: region() -> region or null, cell() -> "order/pixel" or null, ran() after each look. */
export function syncPanel(actions) {
  const chosen = el("select", { "aria-label": "What to sync" }), place = el("div"), runs = el("section", { class: "panel following", "aria-label": "Runs", "aria-live": "polite" });
  const start = el("button", { type: "submit", class: "primary" }, "Start the sync");
  const fill = el("button", { type: "button", onclick: () => { const cell = actions.cell(); if (cell && form?.has("cells")) { form.set("cells", [cell]); useCells(); } else message("Choose a cell on the map first."); } }, "Use the chosen cell");
  const fault = el("p", { class: "fault", role: "alert", hidden: true });
  const element = el("form", { novalidate: true }, el("label", {}, el("span", {}, "What to sync"), chosen), place, fault, el("div", { class: "bar" }, start, fill));
  const all = new Map();
  let form = null, stop = null;
  const useCells = () => { for (const name of ["ra_deg", "dec_deg", "radius_deg"]) form?.set(name, null); };
  const say = (text) => { fault.textContent = text ?? ""; fault.hidden = !text; };

  function useRegion() {
    const region = actions.region();
    if (!form || !region) return;
    form.set("ra_deg", region.ra); form.set("dec_deg", region.dec); form.set("radius_deg", region.radius); form.set("cells", null);
  }

  function choose() {
    say(null);
    const details = all.get(chosen.value);
    form = dagForm(details.params);
    place.replaceChildren(...[details.is_paused ? el("p", { class: "fault" }, "This DAG is paused: its run waits until somebody unpauses it.") : null, form.element].filter(Boolean));
    fill.hidden = !form.has("cells");
    useRegion();
  }

  function followRun(dag, id) {
    stop?.();
    remember({ dag, run: id });
    stop = follow(dag, id, (found, moving, error) => {
      runs.replaceChildren(el("h2", {}, moving ? "Running" : "Done"), runList(found),
        error ? el("p", { class: "faint" }, `Asking again: ${error.message}`) : "",
        el("button", { type: "button", onclick: () => { stop?.(); remember({ dag: null, run: null }); runs.replaceChildren(); } }, moving ? "Stop following" : "Close"));
      actions.ran(found, moving);
    });
  }

  chosen.addEventListener("change", choose);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    say(null);
    const conf = form?.conf();
    if (!conf) return;
    start.disabled = true;
    try {
      const run = await startRun(chosen.value, conf);
      message(`Started ${run.dag_id}${conf.dry_run ? " (dry run: the log of its task plan says what it would do)" : ""}.`, "good");
      followRun(run.dag_id, run.dag_run_id);
      runs.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (!form.showError(error.message)) say(error.message);
    } finally { start.disabled = false; }
  });

  return {
    element: canAct ? el("div", {}, el("h2", {}, "Sync it"), element) : el("p", { class: "faint" }, "You may look; starting a sync needs the right to trigger runs."),
    runs, useRegion,
    async open() {
      if (query.get("dag") && query.get("run")) followRun(query.get("dag"), query.get("run"));
      if (!canAct) return;
      const found = await told(() => airflow("dags?limit=100&tags=sync"));
      const dags = (found?.dags ?? []).filter((one) => !one.is_stale);
      if (!dags.length) { element.replaceChildren(el("p", { class: "empty" }, "No DAG that syncs.")); return; }
      const details = (await told(() => Promise.all(dags.map((one) => airflow(`dags/${encodeURIComponent(one.dag_id)}/details`))))) ?? [];
      details.sort((a, b) => Boolean(b.params?.ra_deg) - Boolean(a.params?.ra_deg)); // those that take a region come first
      for (const one of details) all.set(one.dag_id, one);
      chosen.append(...details.map((one) => el("option", { value: one.dag_id }, one.dag_display_name ?? one.dag_id)));
      if (all.has(query.get("dag"))) chosen.value = query.get("dag");
      if (details.length) choose();
    },
  };
}

/** Position as words. */
export const said = ([ra, dec]) => `RA ${number(ra, 7)}° Dec ${dec >= 0 ? "+" : ""}${number(dec, 6)}°`;
