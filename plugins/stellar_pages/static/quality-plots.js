// Gates as a strip of marks by dataset and time; an observed value over time.
/* global d3 */
import { el, number, when } from "./base.js";

/** A line per dataset, a mark per gate: filled and round when it passed, a cross when it failed. */
export function strip(rows) {
  if (!rows.length) return el("p", { class: "empty" }, "No gate has run yet.");
  const groups = d3.groups(rows, (row) => row.dataset).sort((a, b) => d3.ascending(order(a[0]), order(b[0])) || d3.ascending(a[0], b[0]));
  const [width, left, step] = [960, 220, 18];
  const height = groups.length * step + 34;
  const times = rows.map((row) => new Date(row.checked_at));
  const [first, last] = d3.extent(times);
  const x = d3.scaleUtc().domain(+first === +last ? [d3.utcHour.offset(first, -1), d3.utcHour.offset(last, 1)] : [first, last]).range([left + 10, width - 14]);
  const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("class", "strip");
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - 26})`).call(d3.axisBottom(x).ticks(6));
  groups.forEach(([dataset, members], i) => {
    const y = i * step + 12;
    svg.append("line").attr("class", "rule").attr("x1", left).attr("x2", width).attr("y1", y).attr("y2", y);
    svg.append("text").attr("x", left - 8).attr("y", y + 4).attr("text-anchor", "end").attr("fill", "currentColor").text(dataset);
    for (const row of members) {
      const link = svg.append("a").attr("href", `?gate=${row.id}`).attr("class", row.passed ? "passed" : "failed").attr("aria-label", `${dataset}, ${when(row.checked_at)}: ${row.passed ? "passed" : `${row.failed} failed`}`);
      link.append("path").attr("transform", `translate(${x(new Date(row.checked_at))},${y})`).attr("d", d3.symbol(row.passed ? d3.symbolCircle : d3.symbolTimes, row.passed ? 60 : 90)());
      link.append("title").text(`${dataset}\n${when(row.checked_at)}\n${row.passed ? "passed" : `${row.failed} of ${row.expectations} failed`}, ${row.rows_checked ?? "?"} rows\nsnapshot ${row.snapshot.slice(0, 16)}, ${row.state}`);
    }
  });
  return el("figure", {}, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Gates over time" }, svg.node()),
    el("figcaption", { class: "faint" }, "Every gate that ran, by dataset; a circle passed, a cross failed. Each is a link to its report."));
}

const LAYERS = ["raw", "curated", "features", "scores", "own"];
const order = (dataset) => { const at = LAYERS.indexOf(dataset.split(".")[0]); return at < 0 ? LAYERS.length : at; };

/** One expectation's observed value at each gate of its dataset. */
export function overTime(rows, title) {
  const [width, height, left] = [640, 200, 60];
  const times = rows.map((row) => new Date(row.checked_at));
  const [first, last] = d3.extent(times);
  const x = d3.scaleUtc().domain(+first === +last ? [d3.utcHour.offset(first, -1), d3.utcHour.offset(last, 1)] : [first, last]).range([left, width - 20]);
  let [low, high] = d3.extent(rows, (row) => row.value);
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const y = d3.scaleLinear().domain([low, high]).nice().range([height - 30, 14]);
  const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("class", "strip small").attr("role", "img").attr("aria-label", title);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - 26})`).call(d3.axisBottom(x).ticks(5));
  svg.append("g").attr("class", "axis").attr("transform", `translate(${left - 8},0)`).call(d3.axisLeft(y).ticks(5));
  svg.append("path").attr("class", "trend").attr("d", d3.line((row) => x(new Date(row.checked_at)), (row) => y(row.value))(rows));
  for (const row of rows) {
    const link = svg.append("a").attr("href", `?gate=${row.gate}`).attr("class", row.passed ? "passed" : "failed");
    link.append("path").attr("transform", `translate(${x(new Date(row.checked_at))},${y(row.value)})`).attr("d", d3.symbol(row.passed ? d3.symbolCircle : d3.symbolTimes, 70)());
    link.append("title").text(`${when(row.checked_at)}: ${number(row.value)}`);
  }
  return el("figure", {}, svg.node(), el("figcaption", { class: "faint" }, `${title}: ${rows[0]?.what ?? ""} at ${rows.length} gate${rows.length === 1 ? "" : "s"}`));
}
