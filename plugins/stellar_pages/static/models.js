// The page Models: all of them, or one of them with its versions.
import { api, badge, count, el, main, query, table, told, when } from "./base.js";
import { interval, unitOf } from "./models-figures.js";
import { showModel } from "./models-one.js";

async function showAll() {
  const models = await told(() => api("models/list"));
  if (!models) return;
  main.append(
    el("p", { class: "faint" }, "The figure of each model is the one that its promotion policy judges first, on its own test examples; in brackets the 95% bootstrap interval."),
    table([
      { key: "name", title: "Model", show: (name) => el("a", { href: `?model=${encodeURIComponent(name)}` }, name) },
      { key: "family", title: "Family" },
      { key: "target", title: "Predicts" },
      { key: "current", title: "Current", show: (one) => (one ? `@${one.number}` : "none") },
      { key: "current", title: "Figure", show: (one, row) => { const shown = one ?? row.newest; return shown?.headline ? interval(shown.headline, true, unitOf(shown.headline.name, row.target)) : "–"; } },
      { key: "current", title: "Trained", show: (one, row) => when((one ?? row.newest)?.trained_at) },
      { key: "current", title: "Learned from", numeric: true, show: (one, row) => count((one ?? row.newest)?.training_rows) },
      { key: "versions", title: "Versions", show: (states) => el("span", { class: "badges" }, Object.entries(states).map(([state, n]) => badgeOf(state, n))) },
    ], models, { caption: `${models.length} models`, empty: "No model is trained yet: the DAG train_models does it." }),
  );
}

function badgeOf(state, n) {
  const shown = badge(state);
  if (n > 1) shown.textContent = `${n} ${state}`;
  return shown;
}

async function start() {
  const version = query.get("version");
  if (version) {
    const one = await told(() => api(`models/version?version=${encodeURIComponent(version)}`));
    if (one) await showModel(one.model, one.key);
  } else if (query.get("model") ?? query.get("name")) await showModel(query.get("model") ?? query.get("name"));
  else await showAll();
}

const loading = el("p", { class: "faint", role: "status" }, "Loading…");
main.append(loading);
await start();
loading.remove();
