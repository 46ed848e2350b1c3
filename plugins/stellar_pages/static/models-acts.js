// Promoting and rolling back: what is asked before, what is run after.
import { api, ask, el, told } from "./base.js";

/** Ask for a reason (and, over the policy, for a confirmation) and change the current version. */
export async function changeVersion(act, { model, current, version }, done) {
  let said = null;
  if (act === "promote") {
    said = (await told(() => api(`models/version?version=${version.key}`)))?.policy;
    if (!said) return;
  }
  const over = said && said.verdict !== "passed";
  const before = current ? `@${current.number} is current` : "no version is current";
  const title = act === "promote" ? `Promote ${model.name}@${version.number}` : `Roll back ${model.name}`;
  const values = await ask(title, el("div", {},
    el("p", {}, `Now ${before}. The change goes into the log with your name.`),
    over ? warning(said) : null,
    act === "rollback" ? el("label", {}, el("span", {}, "To"), el("select", { name: "to" }, el("option", { value: "" }, "the version before this one"),
      formerly(model, current).map((one) => el("option", { value: one.number }, `@${one.number} (${one.key.slice(0, 16)})`)))) : null,
    el("label", {}, el("span", {}, "Reason"), el("textarea", { name: "reason", required: true, rows: 3, maxlength: 2000 })),
  ), { confirm: act === "promote" ? (over ? "Promote over the policy" : "Promote") : "Roll back" });
  if (!values) return;
  const seen = { reason: values.reason, instead_of: current?.key ?? "" };
  const body = act === "promote" ? { ...seen, version: version.key, over_policy: values.over === "on" } : { ...seen, model: model.name, to: values.to || null };
  const outcome = await told(() => api(`models/${act}`, { body }));
  if (outcome) await done(outcome);
}

function warning(said) {
  const text = said.verdict === "refused" ? "Its policy refused this version:" : "No policy has judged this version.";
  return el("div", { class: "panel warning" }, el("strong", {}, text), el("ul", {}, said.reasons.map((one) => el("li", {}, one))),
    el("label", { class: "tick" }, el("input", { type: "checkbox", name: "over", required: true }), " Promote it over the policy all the same"));
}

const formerly = (model, current) => model.versions.filter((one) => one.key !== current?.key && model.history.some((line) => line.alias === "current" && line.to_version === one.key));
