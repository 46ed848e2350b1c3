// One model: versions, figures side by side, history, and what a person may do about it.
import { api, badge, canAct, count, el, main, message, query, remember, table, told, when } from "./base.js";
import { figures, interval, unitOf } from "./models-figures.js";
import { trigger } from "./dag-runs.js";
import { changeVersion } from "./models-acts.js";
import { markdown } from "./markdown.js";

const link = (version) => `?version=${version.key}`;
const short = (key) => key.slice(0, 16);

export async function showModel(name, chosen) {
  const model = await told(() => api(`models/model?name=${encodeURIComponent(name)}`));
  if (!model) return;
  const current = model.versions.find((one) => one.state === "current");
  const shown = model.versions.find((one) => one.key === chosen) ?? current ?? model.versions[0];
  main.querySelector("h1").textContent = name;
  document.title = `${name} · Stellar Platform`;
  const again = async (outcome) => {
    main.replaceChildren(el("h1", {}, name));
    await showModel(name, chosen ? outcome.key : undefined);
    follow(outcome);
  };
  main.append(...[
    el("p", {}, el("a", { href: "models" }, "← All models"), el("span", { class: "faint" }, ` ${model.family} · predicts ${model.target}`)),
    el("p", { class: "prose" }, model.description),
    el("div", { id: "follows" }),
    versionsTable(model, shown, current, again),
    canAct && current && model.versions.length > 1 ? el("div", { class: "bar" }, el("button", { type: "button", onclick: () => changeVersion("rollback", { model, current }, again) }, "Roll back…")) : null,
  ].filter(Boolean));
  const loading = main.querySelector(":scope > [role=status]");
  if (loading) main.append(loading); // below what is there already
  main.append(await figures(model, shown, checked(model, shown)));
  main.append(historyTable(model), await about(shown));
}

/** Versions whose boxes are ticked: from the URL, else the shown one and the current one. */
function checked(model, shown) {
  const wanted = (query.get("with") ?? "").split(",").filter(Boolean);
  return model.versions.filter((one) => one.key === shown.key || one.state === "current" || wanted.some((key) => one.key.startsWith(key)));
}

function versionsTable(model, shown, current, again) {
  const chosen = new Set(checked(model, shown).map((one) => one.key));
  const names = (key) => model.aliases.filter((one) => one.version === key && one.alias !== "current").map((one) => el("code", {}, `@${one.alias}`));
  return table([
    { key: "key", title: "Compare", show: (key, row) => el("input", { type: "checkbox", "aria-label": `Compare version ${row.number}`, checked: chosen.has(key), onchange: (event) => {
      if (event.target.checked) chosen.add(key); else chosen.delete(key);
      remember({ with: [...chosen].map(short).join(",") });
      document.dispatchEvent(new CustomEvent("chosen", { detail: model.versions.filter((one) => chosen.has(one.key)) }));
    } }) },
    { key: "number", title: "Version", show: (number, row) => el(row.key === shown.key ? "strong" : "span", {}, el("a", { href: link(row) }, `@${number}`), " ", names(row.key)) },
    { key: "state", title: "State", show: badge },
    { key: "headline", title: "Figure", show: (one) => (one ? interval(one, true, unitOf(one.name, model.target)) : "–") },
    { key: "trained_at", title: "Trained", show: when },
    { key: "training_rows", title: "Learned from", numeric: true, show: count },
    { key: "architecture", title: "Architecture" },
    { key: "key", title: "Key", show: (key) => el("code", {}, short(key)) },
    ...(canAct ? [{ key: "state", title: "", show: (state, row) => (state === "current" ? "" : el("button", { type: "button", onclick: () => changeVersion("promote", { model, current, version: row }, again) }, "Promote…")) }] : []),
  ], model.versions, { caption: `${model.versions.length} version${model.versions.length === 1 ? "" : "s"}` });
}

/** After a change: what follows, and the button that does it. */
function follow(outcome) {
  message(outcome.said, "good");
  if (!outcome.follows) return;
  const box = el("div", { class: "panel note" }, el("p", {}, `${outcome.said}. `),
    el("button", { type: "button", class: "primary", onclick: (event) => trigger(outcome.follows, event.target) }, `Run ${outcome.follows} now`));
  document.getElementById("follows").append(box);
}

function historyTable(model) {
  const rules = (evidence) => {
    const said = evidence.rules?.map((one) => `${one.passed ? "passed" : "failed"}: ${one.reason}`) ?? evidence.policy?.reasons ?? [];
    const kind = evidence.rollback ? "rolled back" : evidence.by_hand ? "by hand" : "by its policy";
    if (!said.length) return kind;
    return el("details", {}, el("summary", {}, kind), evidence.policy ? el("p", {}, `Its policy: ${evidence.policy.verdict}`) : null, el("ul", {}, said.map((one) => el("li", {}, one))));
  };
  const number = (n, key) => (key ? (n ? `@${n}` : short(key)) : "none");
  return el("section", {}, el("h2", {}, "Promotions"), table([
    { key: "promoted_at", title: "When", show: when },
    { key: "who", title: "Who" },
    { key: "alias", title: "Alias" },
    { key: "from_version", title: "From", show: (key, row) => number(row.from_number, key) },
    { key: "to_version", title: "To", show: (key, row) => number(row.to_number, key) },
    { key: "evidence", title: "Evidence", show: rules },
    { key: "reason", title: "Reason", show: (reason) => el("span", { class: "wrap" }, reason) },
  ], model.history, { caption: "The log can only grow", empty: "No version was ever promoted." }));
}

/** The version that is looked at: what the policy said, card, report, what it was made of, config. */
async function about(shown) {
  const [one, card] = await Promise.all([
    told(() => api(`models/version?version=${shown.key}`)),
    told(() => api(`models/card?version=${shown.key}`)),
  ]);
  if (!one) return el("p", { class: "empty" }, "This version cannot be read.");
  const lineage = (key, text) => el("a", { href: `lineage?ref=${key}` }, text);
  const part = (title, content, open = false) => el("details", { class: "panel", open }, el("summary", {}, title), content());
  const later = (title, build) => {
    const box = el("details", { class: "panel" }, el("summary", {}, title));
    box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) box.append(build()); });
    return box;
  };
  return el("section", {},
    el("h2", {}, `Version @${one.number} `, badge(one.state)),
    el("p", { class: "faint" }, `${one.key} · seed ${one.seed} · trained in ${Math.round(one.training_s ?? 0)} s · `, lineage(one.key, "where it came from")),
    el("div", { class: "stack" },
      part(`What its policy said: ${{ passed: "passed", refused: "refused", none: "nobody judged it" }[one.policy.verdict]}`,
        () => el("ul", {}, one.policy.reasons.map((reason) => el("li", {}, reason))), true),
      card?.report ? later("Report", () => el("iframe", { class: "report", title: `Report of ${one.model}@${one.number}`, src: `../api/models/report?version=${one.key}`, sandbox: "" })) : null,
      card?.markdown ? later("Model card", () => markdown(card.markdown)) : null,
      part("Made of", () => table([
        { key: "dataset", title: "Dataset" }, { key: "role", title: "As" },
        { key: "snapshot", title: "Snapshot", show: (key) => lineage(key, short(key)) },
        { key: "state", title: "State", show: badge }, { key: "rows", title: "Rows", numeric: true, show: count },
      ], one.sources, { empty: "No snapshot is on record: it came from another home." })),
      part("Scored with it", () => table([
        { key: "dataset", title: "Dataset" }, { key: "snapshot", title: "Snapshot", show: (key) => lineage(key, short(key)) },
        { key: "state", title: "State", show: badge }, { key: "rows", title: "Rows", numeric: true, show: count }, { key: "since", title: "Since", show: when },
      ], one.used_by, { empty: "Nothing was scored with it yet." })),
      later("Configuration", () => el("pre", {}, JSON.stringify(one.config, null, 1))),
    ));
}
