// Figures with their bootstrap intervals: as text, side by side, along slices, and as paired differences.
/* global d3 */
import { api, el, number, table, told } from "./base.js";

const IN_THE_TARGET_S = /^(baseline_)?(mae|rmse|bias|crps|median_ae|interval_median_width)$/;
const UNITS = { k: "K", dex: "dex", mag: "mag", d: "d", kms: "km/s", pc: "pc", mas: "mas" };

/** Unit of a figure of a model whose targets are `teff_k, logg_dex, …` (a figure without a target's name is of the first); "" without one. */
export function unitOf(name, target) {
  if (name.endsWith("subtype_mae")) return "subtypes";
  const targets = target.split(", ");
  const of = targets.find((one) => name.startsWith(`${one}_`)) ?? targets[0];
  return IN_THE_TARGET_S.test(name.replace(`${of}_`, "")) ? UNITS[of.split("_").at(-1)] ?? "" : "";
}

/** `mae 221.9 K [197, 247]`; name and unit where they are wanted. */
export function interval(figure, named = false, unit = "") {
  const bounds = figure.lower === null || figure.lower === undefined ? null : el("span", { class: "faint" }, ` [${number(figure.lower, 3)}, ${number(figure.upper, 3)}]`);
  return el("span", {}, named ? `${figure.name} ` : null, number(figure.value, 4), unit ? ` ${unit}` : null, bounds);
}

const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6", "--series-7", "--series-8"];
const colour = (i) => `var(${COLOURS[i % COLOURS.length]})`;

/** Points with intervals, one line each: `rows` are `{label, marks: [{value, lower, upper, series, title}]}`. */
export function forest(rows, { zero = null, axis = "", caption }) {
  const marks = rows.flatMap((row) => row.marks);
  const lineHeight = Math.max(1, ...rows.map((row) => row.marks.length)) * 14 + 10;
  const width = 640;
  const left = Math.min(190, 30 + 7 * Math.max(...rows.map((row) => row.label.length)));
  const height = rows.length * lineHeight + 44;
  const ends = marks.flatMap((mark) => [mark.lower ?? mark.value, mark.upper ?? mark.value]);
  if (zero !== null) ends.push(zero);
  const [low, high] = d3.extent(ends), room = low === high ? Math.abs(low) * 0.1 || 1 : 0; // one point has no extent of its own
  const x = d3.scaleLinear().domain([low - room, high + room]).nice().range([left, width - 20]);
  const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("class", "forest").attr("role", "img").attr("aria-label", caption).style("max-width", `${width}px`);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - 36})`).call(d3.axisBottom(x).ticks(6)).append("text").attr("x", width - 20).attr("y", 34).attr("text-anchor", "end").attr("fill", "currentColor").text(axis);
  if (zero !== null) svg.append("line").attr("class", "zero").attr("x1", x(zero)).attr("x2", x(zero)).attr("y1", 0).attr("y2", height - 36);
  rows.forEach((row, i) => {
    const top = i * lineHeight + 4;
    if (i % 2) svg.append("rect").attr("class", "stripe").attr("x", 0).attr("y", top).attr("width", width).attr("height", lineHeight);
    svg.append("text").attr("x", left - 10).attr("y", top + lineHeight / 2 + 4).attr("text-anchor", "end").attr("fill", "currentColor").text(row.label.length > 22 ? `${row.label.slice(0, 21)}…` : row.label).append("title").text(row.label);
    row.marks.forEach((mark, k) => {
      const y = top + 12 + k * 14;
      const group = svg.append("g").style("color", colour(mark.series));
      group.append("title").text(mark.title);
      if (mark.lower !== null && mark.lower !== undefined) group.append("line").attr("class", "bounds").attr("x1", x(mark.lower)).attr("x2", x(mark.upper)).attr("y1", y).attr("y2", y);
      group.append("circle").attr("cx", x(mark.value)).attr("cy", y).attr("r", 4.5);
    });
  });
  return el("figure", {}, svg.node(), el("figcaption", { class: "faint" }, caption));
}

const legend = (versions) => el("p", { class: "legend" }, versions.map((one, i) => el("span", {}, el("i", { style: `background:${colour(i)}` }), `${one.model}@${one.number} (${one.state})`)));
const title = (one, row) => `${one.model}@${one.number}, ${row.split}, ${row.slice}: ${row.name} ${number(row.value)}${row.lower === null ? "" : ` [${number(row.lower)}, ${number(row.upper)}]`}, n = ${row.n ?? "?"}`;
const select = (label, name, values, chosen, onchange) => el("label", {}, el("span", {}, label), el("select", { name, onchange: (event) => onchange(event.target.value) }, values.map((value) => el("option", { value, selected: value === chosen }, value))));
const MAIN = ["accuracy", "macro_f1", "mae", "rmse", "subtype_mae", "letter_accuracy", "roc_auc", "ece", "interval_coverage", "set_coverage"];

/** The section of figures of a model's chosen versions; it follows the boxes of the table of versions. */
export async function figures(model, shown, chosen) {
  const box = el("section", {}, el("h2", {}, "Figures"));
  const body = el("div", {});
  box.append(body);
  const known = new Map();
  const state = { split: "test", metric: shown.headline?.name, along: null, target: model.target };
  const draw = async (versions) => {
    for (const one of versions) if (!known.has(one.key)) known.set(one.key, (await told(() => api(`models/version?version=${one.key}`)))?.metrics ?? []);
    body.replaceChildren(...view(versions.slice(0, COLOURS.length), known, state, () => draw(versions)));
  };
  document.addEventListener("chosen", (event) => draw(event.detail));
  await draw(chosen);
  return box;
}

function view(versions, known, state, again) {
  if (!versions.length) return [el("p", { class: "empty" }, "Tick a version to see its figures.")];
  const rows = versions.flatMap((one, series) => known.get(one.key).map((row) => ({ ...row, one, series })));
  const splits = [...new Set(rows.map((row) => row.split))].sort((a, b) => (a !== "test") - (b !== "test") || a.localeCompare(b));
  if (!splits.includes(state.split)) state.split = splits[0];
  const whole = rows.filter((row) => row.split === state.split && row.slice === "all");
  const names = [...new Set(whole.map((row) => row.name))].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  return [
    versions.length > 1 ? legend(versions) : null,
    el("div", { class: "bar" }, select("Examples", "split", splits, state.split, (value) => { state.split = value; again(); })),
    el("div", { class: "grid figures" }, el("div", {}, table([
      { key: "name", title: "Figure", show: (name) => { const unit = unitOf(name, state.target); return unit ? `${name} [${unit}]` : name; } },
      { key: "of", title: "Interval", show: (of) => small(of.filter(Boolean)) },
      ...versions.map((one, i) => ({ key: "of", title: `@${one.number}`, show: (of) => (of[i] ? interval(of[i]) : "–") })),
    ], names.map((name) => ({ name, of: versions.map((_, i) => whole.find((row) => row.name === name && row.series === i)) })), { caption: `On the examples "${state.split}", all of them`, empty: "No figures." })),
    el("div", {}, slices(rows.filter((row) => row.split === state.split && row.slice !== "all"), state, again))),
    versions.length > 1 ? paired(versions) : null,
  ].filter(Boolean);
}

const rank = (name) => (MAIN.includes(name) ? MAIN.indexOf(name) : MAIN.length);

/** A line's worth of forest plot. */
function small(marks) {
  const bounded = marks.filter((mark) => mark.lower !== null);
  if (!bounded.length) return "";
  const [width, height] = [110, 6 + 9 * marks.length];
  const x = d3.scaleLinear().domain(d3.extent(marks.flatMap((mark) => [mark.lower ?? mark.value, mark.upper ?? mark.value]))).range([6, width - 6]);
  const svg = d3.create("svg").attr("width", width).attr("height", height).attr("class", "forest").attr("aria-hidden", "true");
  marks.forEach((mark, i) => {
    const y = 7 + i * 9;
    const group = svg.append("g").style("color", colour(mark.series));
    if (mark.lower !== null) group.append("line").attr("class", "bounds").attr("x1", x(mark.lower)).attr("x2", x(mark.upper)).attr("y1", y).attr("y2", y);
    group.append("circle").attr("cx", x(mark.value)).attr("cy", y).attr("r", 3);
  });
  return svg.node();
}

function slices(rows, state, again) {
  if (!rows.length) return [];
  const kindOf = (row) => row.slice.split("=")[0];
  const kinds = [...new Set(rows.map(kindOf))];
  if (!kinds.includes(state.along)) state.along = kindOf(rows.find((row) => row.name === state.metric) ?? rows[0]);
  const here = rows.filter((row) => kindOf(row) === state.along);
  const names = [...new Set(here.map((row) => row.name))].sort();
  const metric = names.includes(state.metric) ? state.metric : names[0];
  const found = here.filter((row) => row.name === metric && row.n !== 0);
  const empty = here.filter((row) => row.name === metric && row.n === 0).length;
  const groups = d3.group(found, (row) => row.slice);
  const lines = [...groups].sort(([a], [b]) => from(a) - from(b) || a.localeCompare(b, "en", { numeric: true })).map(([slice, marks]) => ({ label: `${slice.slice(slice.indexOf("=") + 1)} (${marks[0].n ?? "?"})`, marks: marks.map((row) => ({ ...row, title: title(row.one, row) })) }));
  return [
    el("h3", {}, "Along slices"),
    el("div", { class: "bar" },
      select("Slices by", "along", kinds, state.along, (value) => { state.along = value; again(); }),
      select("Figure", "metric", names, metric, (value) => { state.metric = value; again(); })),
    forest(lines, { axis: unitOf(metric, state.target) ? `${metric} [${unitOf(metric, state.target)}]` : metric, caption: `${metric} by ${state.along}, in brackets how many examples; lines are 95% bootstrap intervals, where there were enough${empty ? `. ${empty} slices without examples are left out` : ""}` }),
  ];
}

/** Where a slice such as `tmag=[12, 14)` begins; of one without numbers nothing tells its place but its name. */
export function from(slice) {
  const [, low] = /=\[(-?inf|-?[\d.]+),/.exec(slice) ?? [];
  return low === undefined ? 0 : low === "-inf" ? -Number.MAX_VALUE : Number(low);
}

/** Paired differences on shared test examples, asked for by hand since the bootstrap takes a while. */
function paired(versions) {
  const ordered = versions.toSorted((a, b) => (b.state === "current") - (a.state === "current"));
  const body = el("div", {});
  const run = async (event) => {
    event.target.disabled = true;
    const found = await told(() => api(`models/compare?${ordered.map((one) => `version=${one.key}`).join("&")}`));
    event.target.disabled = false;
    if (!found) return;
    const [first, ...others] = found;
    const rows = Object.keys(first.figures).map((name) => ({ name, of: found.map((one) => one.figures[name]), minus: others.map((one) => one.minus_first[name]) }));
    body.replaceChildren(
      el("p", {}, `${first.examples} test examples that all were tested on. Differences are from ${versionName(first)}; an interval that leaves out zero tells the two apart.`),
      table([
        { key: "name", title: "Figure" },
        ...found.map((one, i) => ({ key: "of", title: versionName(one), show: (of) => interval(of[i]) })),
        ...others.map((one, i) => ({ key: "minus", title: `${versionName(one)} − first`, show: (minus) => interval(minus[i]) })),
      ], rows, { caption: "95% bootstrap intervals over stars" }),
      ...rows.map((row) => forest(row.minus.map((mark, i) => ({ label: versionName(others[i]), marks: [{ ...mark, series: versions.indexOf(ordered[i + 1]), title: `${row.name}: ${number(mark.value)} [${number(mark.lower)}, ${number(mark.upper)}]` }] })), { zero: 0, axis: `difference of ${row.name}`, caption: `${row.name}: difference from ${versionName(first)}` })),
    );
  };
  return el("div", {}, el("h3", {}, "Paired comparison"), el("p", { class: "faint" }, "On the same stars: sharper than two intervals side by side. As stellar models compare."),
    el("button", { type: "button", onclick: run }, `Compare ${versions.length} versions`), body);
}

const versionName = (one) => one.version.replace(/ \(.*/, "");
