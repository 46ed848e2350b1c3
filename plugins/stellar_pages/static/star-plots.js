// Pictures of one star: spectral energy distribution, spectrum with lines, light curve raw and folded.
"use strict";
import { el, number } from "./base.js";

// Vacuum wavelengths in Angstrom of stellar lines, SDSS line list (classic.sdss.org/dr7/algorithms/linestable.html) and, for Na D and Ca II, NIST ASD.
export const LINES = [["Ca K", 3934.8], ["Ca H", 3969.6], ["Hδ", 4102.9], ["G band", 4305.6], ["Hγ", 4341.7], ["He I", 4472.7], ["He II", 4687.0], ["Hβ", 4862.7], ["Mg b", 5176.6],
  ["Na D", 5894.6], ["Hα", 6564.6], ["TiO", 7056], ["Ca II", 8500.4], ["Ca II", 8544.4], ["Ca II", 8664.5]];
const MARGIN = { left: 62, right: 14, top: 22, bottom: 42 };
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function frame(into, height, says) {
  const width = Math.max(280, into.clientWidth || 600);
  const scale = window.devicePixelRatio || 1;
  const canvas = el("canvas", { width: String(width * scale), height: String(height * scale), style: `width: ${width}px; height: ${height}px`, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height).attr("role", "img").attr("aria-label", says);
  into.replaceChildren(el("div", { class: "layers" }, canvas, svg.node()));
  return { pen, svg, canvas, width, box: { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom } };
}

function axes(svg, x, y, box, xName, yName, xTicks, yTicks) {
  svg.selectAll(".axis").remove();
  const g = svg.append("g").attr("class", "axis");
  g.append("g").attr("transform", `translate(0,${box.bottom})`).call(xTicks ?? d3.axisBottom(x).ticks(Math.max(3, (box.right - box.left) / 90)));
  g.append("g").attr("transform", `translate(${box.left},0)`).call(yTicks ?? d3.axisLeft(y).ticks(5));
  g.append("text").attr("x", (box.left + box.right) / 2).attr("y", box.bottom + 34).attr("text-anchor", "middle").text(xName);
  g.append("text").attr("transform", `translate(13,${(box.top + box.bottom) / 2}) rotate(-90)`).attr("text-anchor", "middle").text(yName);
}

/** Flux density times nothing: log wavelength against log flux, one colour a survey. */
export function sed(into, rows) {
  const points = rows.filter((row) => row.wavelength_angstrom && row.flux_cgs > 0);
  if (!points.length) { into.replaceChildren(el("p", { class: "empty" }, "No fluxes: no band of this star has a magnitude that can be turned into one.")); return; }
  const { svg, box } = frame(into, 320, `Spectral energy distribution: ${points.length} bands`);
  const micron = (row) => row.wavelength_angstrom / 1e4;
  const surveys = [...new Set(points.map((row) => row.survey))];
  const colour = d3.scaleOrdinal(surveys, d3.schemeTableau10);
  const x = d3.scaleLog(padded(d3.extent(points, micron), 1.25), [box.left, box.right]);
  const lows = points.map((row) => Math.max(row.flux_cgs - (row.flux_cgs_err ?? 0), row.flux_cgs * 0.2));
  const highs = points.map((row) => row.flux_cgs + (row.flux_cgs_err ?? 0));
  const y = d3.scaleLog(padded([d3.min(lows), d3.max(highs)], 1.3), [box.bottom, box.top]);
  const ticks = [0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 20].filter((one) => one >= x.domain()[0] && one <= x.domain()[1]);
  axes(svg, x, y, box, "wavelength [µm]", "flux [erg/s/cm²/Å]", d3.axisBottom(x).tickValues(ticks).tickFormat(String), d3.axisLeft(y).ticks(4, ".0e"));
  const marks = svg.append("g").selectAll("g").data(points).join("g").attr("fill", (row) => colour(row.survey)).attr("stroke", (row) => colour(row.survey)).attr("opacity", (row) => (row.is_clean === false ? 0.45 : 1));
  marks.append("line").attr("x1", (row) => x(micron(row))).attr("x2", (row) => x(micron(row))).attr("y1", (row, at) => y(lows[at])).attr("y2", (row, at) => y(highs[at])).attr("stroke-width", 1.5);
  marks.append("circle").attr("cx", (row) => x(micron(row))).attr("cy", (row) => y(row.flux_cgs)).attr("r", (row) => (row.is_preferred ? 4.5 : 3));
  marks.append("title").text((row) => `${row.survey} ${row.name}: ${number(row.mag)} ± ${number(row.mag_err, 2)} mag (${row.system})\n${number(row.flux_cgs, 4)} erg/s/cm²/Å at ${Math.round(row.wavelength_angstrom)} Å${row.is_saturated ? "\nsaturated" : ""}${row.is_blended ? "\nblended" : ""}`);
  into.append(el("p", { class: "legend" }, surveys.map((one) => el("span", {}, el("i", { style: `background: ${colour(one)}`, "aria-hidden": "true" }), one))));
}

const padded = ([low, high], by) => [low / by, high * by];

/** A spectrum over its continuum with the usual lines; drag or scroll to zoom, double-click shows all again. */
export function spectrum(into, one) {
  const { pen, svg, canvas, box } = frame(into, 340, `Spectrum ${one.id} from ${Math.round(one.wavelength_angstrom[0])} to ${Math.round(one.wavelength_angstrom.at(-1))} Angstrom, with lines marked`);
  const wave = one.wavelength_angstrom;
  const known = one.flux.filter((value) => value !== null).sort(d3.ascending);
  if (!known.length) { into.replaceChildren(el("p", { class: "empty" }, "Every bin of this spectrum is masked.")); return; }
  const whole = d3.scaleLinear([wave[0], wave.at(-1)], [box.left, box.right]);
  let x = whole.copy();
  const y = d3.scaleLinear([Math.min(0, d3.quantileSorted(known, 0.002)), Math.max(1.25, d3.quantileSorted(known, 0.998) * 1.08)], [box.bottom, box.top]).nice();
  const lines = svg.append("g").attr("class", "lines");
  const clip = (value) => Math.max(box.left, Math.min(box.right, value));

  function draw() {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.save();
    pen.beginPath(); pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top); pen.clip();
    pen.fillStyle = css("--line");
    for (let at = 0; at < wave.length; at++) {
      if (one.flux[at] === null || one.sky[at]) { pen.globalAlpha = one.flux[at] === null ? 0.8 : 0.35; pen.fillRect(x(wave[at]) - 1, box.top, 2.2, box.bottom - box.top); }
    }
    pen.globalAlpha = 0.25;
    pen.fillStyle = css("--accent");
    for (let at = 0; at < wave.length; at++) {
      if (one.flux[at] !== null && one.error[at] !== null) { const half = Math.abs(y(0) - y(one.error[at])); pen.fillRect(x(wave[at]) - 0.7, y(one.flux[at]) - half, 1.4, 2 * half); }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = css("--accent");
    pen.lineWidth = 1.2;
    pen.beginPath();
    let on = false;
    for (let at = 0; at < wave.length; at++) {
      if (one.flux[at] === null) { on = false; continue; }
      if (on) pen.lineTo(x(wave[at]), y(one.flux[at])); else pen.moveTo(x(wave[at]), y(one.flux[at]));
      on = true;
    }
    pen.stroke();
    pen.restore();
    axes(svg, x, y, box, "wavelength, vacuum, rest frame [Å]", "flux / continuum");
    const [from, to] = x.domain();
    const there = LINES.filter(([, at]) => at > from && at < to);
    const ends = [-Infinity, -Infinity];  // where the last name of each of two rows ends
    const row = there.map(([name, at]) => {
      const free = ends.findIndex((end) => x(at) - name.length * 3.2 > end);
      const chosen = free < 0 ? 1 : free;
      ends[chosen] = x(at) + name.length * 3.2;
      return chosen;
    });
    lines.selectAll("g").data(there).join((enter) => { const g = enter.append("g"); g.append("line"); g.append("text").attr("text-anchor", "middle"); return g; })
      .each(function place([name, at], order) {
        const where = clip(x(at));
        d3.select(this).select("line").attr("x1", where).attr("x2", where).attr("y1", box.top).attr("y2", box.bottom);
        d3.select(this).select("text").attr("x", where).attr("y", row[order] ? 19 : 9).text(name);
      });
  }
  const zoom = d3.zoom().scaleExtent([1, 40]).translateExtent([[box.left, 0], [box.right, 1]]).extent([[box.left, 0], [box.right, 1]])
    .filter((event) => event.type !== "wheel" || event.ctrlKey || document.activeElement === svg.node())
    .on("zoom", ({ transform }) => { x = transform.rescaleX(whole); draw(); });
  svg.attr("tabindex", "0").call(zoom).on("dblclick.zoom", () => svg.call(zoom.transform, d3.zoomIdentity));
  svg.on("keydown", (event) => {
    const act = { "+": () => svg.call(zoom.scaleBy, 1.5), "-": () => svg.call(zoom.scaleBy, 1 / 1.5), ArrowLeft: () => svg.call(zoom.translateBy, 60, 0), ArrowRight: () => svg.call(zoom.translateBy, -60, 0), 0: () => svg.call(zoom.transform, d3.zoomIdentity) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  draw();
}

/** A light curve over time or, with a period (days), over two turns of phase. */
export function lightCurve(into, one, period) {
  const folded = period > 0;
  const { pen, svg, box } = frame(into, 260, `Light curve ${one.id} ${one.band}${folded ? `, folded with ${period} days` : ""}: ${one.time_d.length} points`);
  const start = one.time_d[0];
  const phase = (time) => (((time - start) / period) % 1 + 1) % 1;
  const sorted = [...one.value].sort(d3.ascending);
  const low = d3.quantileSorted(sorted, 0.001);
  const high = d3.quantileSorted(sorted, 0.999);
  const room = (high - low || 0.01) * 0.08;
  const values = [low - room, high + room];
  const x = d3.scaleLinear(folded ? [0, 2] : d3.extent(one.time_d), [box.left, box.right]);
  const y = d3.scaleLinear(one.kind === "mag" ? values.reverse() : values, [box.bottom, box.top]);
  axes(svg, x, y, box, folded ? `phase (period ${number(period, 7)} d)` : `time [d]${one.time_unit ? `, ${one.time_unit}` : ""}`, one.kind === "mag" ? `${one.band || ""} mag` : "flux / median");
  pen.beginPath(); pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top); pen.clip();
  pen.fillStyle = pen.strokeStyle = css("--accent");
  const few = one.time_d.length < 800;
  pen.globalAlpha = few ? 0.9 : one.time_d.length > 5000 ? 0.35 : 0.6;
  const size = few ? 2.2 : 1.1;
  for (let at = 0; at < one.time_d.length; at++) {
    const places = folded ? [phase(one.time_d[at]), phase(one.time_d[at]) + 1] : [one.time_d[at]];
    for (const place of places) {
      const [px, py] = [x(place), y(one.value[at])];
      if (few && one.error[at]) { const half = Math.abs(y(one.value[at] + one.error[at]) - py); pen.fillRect(px - 0.4, py - half, 0.8, 2 * half); }
      pen.beginPath(); pen.arc(px, py, size, 0, 2 * Math.PI); pen.fill();
    }
  }
}
