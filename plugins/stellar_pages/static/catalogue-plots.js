// Quick plots of an answer: sky, Hertzsprung-Russell diagram, scatter and histogram. Points on canvas, axes with d3.
"use strict";
import { el } from "./base.js";

const NUMBERS = new Set(["number", "integer"]);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Mollweide's projection of longitude and latitude (radians): x, y with |x| <= 2 sqrt(2). */
export function mollweide(lambda, phi) {
  let theta = phi;
  if (Math.abs(Math.abs(phi) - Math.PI / 2) > 1e-9) {
    for (let step = 0; step < 30; step++) {
      const change = (2 * theta + Math.sin(2 * theta) - Math.PI * Math.sin(phi)) / (2 + 2 * Math.cos(2 * theta));
      theta -= change;
      if (Math.abs(change) < 1e-10) break;
    }
  }
  return [(2 * Math.SQRT2 / Math.PI) * lambda * Math.cos(theta), Math.SQRT2 * Math.sin(theta)];
}

/** Columns that a plot would take by their names: `{x, y}` as places, or null where there are none. */
export function guess(columns, plot) {
  const find = (...patterns) => {
    for (const pattern of patterns) {
      const at = columns.findIndex((one) => NUMBERS.has(one.kind) && pattern.test(one.name));
      if (at >= 0) return at;
    }
    return null;
  };
  const any = (skip) => columns.findIndex((one, at) => NUMBERS.has(one.kind) && at !== skip && !/(^|_)(id|healpix_29)$/.test(one.name));
  if (plot === "sky") return { x: find(/^ra$/i, /(^|_)ra(_|$)/i, /^(glon|l)$/i), y: find(/^dec$/i, /(^|_)dec(_|$)/i, /^(glat|b)$/i) };
  if (plot === "hr") {
    return { x: find(/^bp_rp(_0)?$/i, /bp_rp/i, /^g_r$/i, /teff/i, /^[a-z]_[a-z]$/i), y: find(/abs_mag/i, /lum/i, /^phot_g_mean_mag$|^g_mag$/i, /mag/i) };
  }
  const x = any(-1);
  return { x: x < 0 ? null : x, y: plot === "scatter" ? (any(x) < 0 ? null : any(x)) : null };
}

const value = (one) => (one === null || one === "NaN" || one === "inf" || one === "-inf" ? NaN : Number(one));

/** Draw a plot of an answer into an element. `choice` is `{plot, x, y}`, columns as places. */
export function draw(into, answer, choice) {
  const width = Math.max(280, into.clientWidth || 640);
  const { columns } = answer;
  if (choice.x === null || (choice.plot !== "histogram" && choice.y === null)) {
    into.replaceChildren(el("p", { class: "empty" }, "This needs columns with numbers: choose them above."));
    return;
  }
  const points = answer.rows.map((row) => [value(row[choice.x]), choice.plot === "histogram" ? 0 : value(row[choice.y])]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  if (!points.length) { into.replaceChildren(el("p", { class: "empty" }, "No row has numbers in these columns.")); return; }
  const name = (at) => `${columns[at].name}${columns[at].unit ? ` [${columns[at].unit}]` : ""}`;
  const says = `${choice.plot} of ${points.length.toLocaleString("en")} of ${answer.rows.length.toLocaleString("en")} rows`;
  if (choice.plot === "sky") sky(into, points, width, says);
  else if (choice.plot === "histogram") histogram(into, points.map((one) => one[0]), width, name(choice.x), says);
  else scatter(into, points, width, name(choice.x), name(choice.y), choice.plot === "hr", /teff/i.test(columns[choice.x].name), says);
}

function paper(into, width, height, says) {
  const scale = window.devicePixelRatio || 1;
  const canvas = el("canvas", { width: String(width * scale), height: String(height * scale), style: `width: ${width}px; height: ${height}px`, role: "img", "aria-label": says });
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height).attr("aria-hidden", "true");
  into.replaceChildren(el("figure", { class: "plot" }, el("div", { class: "layers" }, canvas, svg.node()), el("figcaption", {}, says.replace(/^hr /, "Hertzsprung–Russell diagram "))));
  return { pen, svg };
}

// Colours by BP - RP (mag), from hot and blue to cool and red: an impression of the stars, no photometry
const STAR_COLOURS = [[-0.4, "#7d9cf5"], [0, "#8fb0f7"], [0.4, "#b9c6e8"], [0.8, "#e8d48a"], [1.2, "#f2b455"], [1.8, "#ee8b3a"], [2.6, "#d95f2b"], [4, "#b23a1e"]];

/** `paint(n)`: the colour of the n-th place; all alike without it. */
function dots(pen, places, paint) {
  pen.fillStyle = css("--accent");
  pen.globalAlpha = places.length > 3000 ? 0.35 : 0.65;
  const size = places.length > 3000 ? 1.2 : places.length > 300 ? 1.8 : 2.8;
  for (const [n, [x, y]] of places.entries()) { if (paint) pen.fillStyle = paint(n); pen.beginPath(); pen.arc(x, y, size, 0, 2 * Math.PI); pen.fill(); }
}

function sky(into, points, width, says) {
  const height = Math.round(width / 2) + 10;
  const { pen, svg } = paper(into, width, height, `${says}; Mollweide, east to the left`);
  const projection = d3.geoProjection(mollweide).reflectX(true).fitExtent([[6, 6], [width - 6, height - 6]], { type: "Sphere" }).precision(0.3);
  const path = d3.geoPath(projection);
  svg.append("path").attr("d", path(d3.geoGraticule().step([30, 30])())).attr("class", "graticule");
  svg.append("path").attr("d", path({ type: "Sphere" })).attr("class", "outline");
  for (const ra of [60, 120, 180, 240, 300]) { const [x, y] = projection([ra, 0]); svg.append("text").attr("x", x + 3).attr("y", y - 3).text(`${ra}°`); }
  for (const dec of [-60, -30, 30, 60]) { const [x, y] = projection([0, dec]); svg.append("text").attr("x", x + 3).attr("y", y - 3).text(`${dec > 0 ? "+" : "−"}${Math.abs(dec)}°`); }
  dots(pen, points.filter(([, dec]) => Math.abs(dec) <= 90).map((one) => projection(one)));
}

function axes(svg, x, y, box, xName, yName) {
  svg.append("g").attr("transform", `translate(0,${box.bottom})`).call(d3.axisBottom(x).ticks(6));
  svg.append("g").attr("transform", `translate(${box.left},0)`).call(d3.axisLeft(y).ticks(6));
  svg.append("text").attr("x", (box.left + box.right) / 2).attr("y", box.bottom + 34).attr("text-anchor", "middle").text(xName);
  svg.append("text").attr("transform", `translate(14,${(box.top + box.bottom) / 2}) rotate(-90)`).attr("text-anchor", "middle").text(yName);
}

function scatter(into, points, width, xName, yName, hr, teff, says) {
  const height = Math.min(560, Math.max(320, Math.round(width * 0.6)));
  const box = { left: 62, right: width - 12, top: 10, bottom: height - 44 };
  const { pen, svg } = paper(into, width, height, says);
  const spread = (values) => { const [low, high] = d3.extent(values); const room = (high - low || 1) * 0.03; return [low - room, high + room]; };
  const xs = spread(points.map((one) => one[0]));
  const ys = spread(points.map((one) => one[1]));
  // hot stars stand on the left and bright ones at the top, whichever way their numbers run
  const x = d3.scaleLinear(hr && teff ? xs.reverse() : xs, [box.left, box.right]);
  const y = d3.scaleLinear(hr && /mag/i.test(yName) ? ys.reverse() : ys, [box.bottom, box.top]);
  axes(svg, x, y, box, xName, yName);
  const stars = d3.scaleLinear(STAR_COLOURS.map(([colour]) => colour), STAR_COLOURS.map(([, paint]) => paint)).clamp(true);
  dots(pen, points.map(([a, b]) => [x(a), y(b)]), hr && /^bp_rp/i.test(xName) ? (n) => stars(points[n][0]) : null);
}

function histogram(into, values, width, name, says) {
  const height = Math.min(420, Math.max(280, Math.round(width * 0.45)));
  const box = { left: 62, right: width - 12, top: 10, bottom: height - 44 };
  const { svg } = paper(into, width, height, says);
  const bins = d3.bin().thresholds(Math.min(80, Math.max(8, Math.ceil(2 * Math.cbrt(values.length)))))(values);
  const x = d3.scaleLinear([bins[0].x0, bins.at(-1).x1], [box.left, box.right]);
  const y = d3.scaleLinear([0, d3.max(bins, (one) => one.length)], [box.bottom, box.top]).nice();
  svg.selectAll("rect").data(bins).join("rect").attr("class", "bar").attr("x", (one) => x(one.x0) + 0.5).attr("width", (one) => Math.max(0.5, x(one.x1) - x(one.x0) - 1))
    .attr("y", (one) => y(one.length)).attr("height", (one) => box.bottom - y(one.length)).append("title").text((one) => `${one.x0} to ${one.x1}: ${one.length}`);
  axes(svg, x, y, box, name, "rows");
}
