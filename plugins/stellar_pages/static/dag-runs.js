// A run of a DAG and the runs that its asset events start, followed until nothing moves any more.
"use strict";
import { airflow, badge, el, message, told, when } from "./base.js";

const EVERY_MS = 2500, QUIET_MS = 45_000;
const OVER = new Set(["success", "failed"]);
const segment = encodeURIComponent;

/** Start a run; the error of a refused one has Airflow's words and `status`. */
export const startRun = (dag, conf) => airflow(`dags/${segment(dag)}/dagRuns`, { body: { logical_date: null, conf } });

/** Start a run with a click; the button stays off once it started. */
export async function trigger(dag, button) {
  button.disabled = true;
  const run = await told(() => startRun(dag, {}));
  if (run) message(`${dag} is ${run.state}: ${run.dag_run_id}`, "good"); else button.disabled = false;
}

async function lookAt(run) {
  const base = `dags/${segment(run.dag)}/dagRuns/${segment(run.id)}`;
  const about = await airflow(base);
  Object.assign(run, { state: about.state, started: about.start_date, ended: about.end_date, note: about.note });
  const tasks = await airflow(`${base}/taskInstances?limit=500`);
  run.tasks = {};
  for (const one of tasks.task_instances) run.tasks[one.state ?? "waiting"] = (run.tasks[one.state ?? "waiting"] ?? 0) + 1;
  run.failures = tasks.task_instances.filter((one) => one.state === "failed").map((one) => one.task_id);
}

async function followersOf(run) {
  const asked = `assets/events?limit=200&source_dag_id=${segment(run.dag)}&source_run_id=${segment(run.id)}`;
  const events = (await airflow(asked)).asset_events;
  return events.flatMap((one) => one.created_dagruns.map((made) => ({ dag: made.dag_id, id: made.run_id, state: made.state })));
}

/** Runs that wait for their turn, or run, and may have come of ours: asset events tell a run only once it started. */
async function othersSince(runs) {
  const first = Math.min(...[...runs.values()].map((run) => Date.parse(run.started ?? new Date().toISOString())));
  const found = (await airflow("dags/~/dagRuns?state=queued&state=running&limit=50&order_by=-run_after")).dag_runs;
  return found.filter((one) => one.run_type === "asset_triggered" && Date.parse(one.run_after) >= first && !runs.has(`${one.dag_id}/${one.dag_run_id}`));
}

/**
 * Follow a run and what comes of it. `update(runs, moving)` is called after each look; `moving` is false at the end, when all
 * runs are over and no new one came for a while. Returns a function that stops it.
 */
export function follow(dag, id, update) {
  const runs = new Map([[`${dag}/${id}`, { dag, id, state: "queued", tasks: {} }]]);
  let stopped = false, quietSince = null;
  const look = async () => {
    if (stopped) return;
    let fault = null;
    for (const run of [...runs.values()]) {
      try {
        if (!OVER.has(run.state) || !run.settled) { await lookAt(run); run.settled = OVER.has(run.state); }
        for (const next of await followersOf(run)) if (!runs.has(`${next.dag}/${next.id}`)) runs.set(`${next.dag}/${next.id}`, { ...next, tasks: {} });
      } catch (error) { // a run that only just came may not be told yet; the next look asks again
        fault = error;
        if (error.status === 404 || error.status === 403) stopped = runs.size === 1;
      }
    }
    const over = [...runs.values()].every((run) => OVER.has(run.state));
    let others = [];
    try { if (over) others = await othersSince(runs); } catch (error) { fault = error; }
    quietSince = over && !fault && !others.length ? quietSince ?? Date.now() : null;
    const moving = !stopped && !(over && Date.now() - (quietSince ?? Date.now()) > QUIET_MS);
    update([...runs.values(), ...others.map((one) => ({ dag: one.dag_id, id: one.dag_run_id, state: one.state, tasks: {} }))], moving, fault);
    if (moving) setTimeout(look, EVERY_MS);
  };
  look();
  return () => { stopped = true; };
}

const seconds = (run) => {
  if (!run.started) return "";
  const took = Math.max(0, Math.round((Date.parse(run.ended ?? new Date().toISOString()) - Date.parse(run.started)) / 1000));
  return took < 120 ? `${took} s` : `${Math.floor(took / 60)} min ${took % 60} s`;
};
const framed = window.parent !== window; // Airflow's frame lets nothing out of itself

/** The runs as a list of steps. */
export function runList(runs) {
  return el("ol", { class: "runs" }, runs.map((run) => el("li", {},
    el("span", { class: "run-head" }, framed ? el("b", {}, run.dag) : el("a", { href: `../../dags/${segment(run.dag)}/runs/${segment(run.id)}` }, run.dag),
      badge(run.state ?? "queued"), el("span", { class: "faint" }, [when(run.started), seconds(run)].filter((one) => one && one !== "–").join(" · "))),
    el("span", { class: "faint" }, Object.entries(run.tasks).sort().map(([state, n]) => `${n} ${state}`).join(" · ")),
    run.failures?.length ? el("span", { class: "fault" }, `failed: ${[...new Set(run.failures)].join(", ")}; its log says why`) : null)));
}
