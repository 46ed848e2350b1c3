// The graph on a canvas: drawn where it is looked at, moved by mouse, touch and keys.
"use strict";
import { count } from "./base.js";
import { BOX, nameOf, stateOf } from "./lineage-layout.js";

const READABLE = 0.38; // below this scale boxes are drawn without words
const COLOURS = { current: "good", candidate: "warn", building: "warn", rejected: "bad", retired: "idle", active: "accent", star: "accent", run: "accent" };

/**
 * A canvas for places that `layout` gave. `chosen(place)` when a node is picked, `toggled(place)` when it is to open or shut.
 * Gives `{element, show(places, edges), select(id, {centre}), mark(ids), fit()}`.
 */
export function drawing({ chosen, toggled, label }) {
  const element = document.createElement("canvas");
  element.tabIndex = 0;
  element.setAttribute("role", "application");
  element.setAttribute("aria-label", label);
  const pen = element.getContext("2d");
  let places = [], edges = [], byId = new Map(), selected = null, marked = new Set();
  let view = d3.zoomIdentity, waiting = false, colours = {};

  const zoom = d3.zoom().scaleExtent([0.02, 2.5]).on("zoom", (event) => { view = event.transform; redraw(); });
  const surface = d3.select(element).call(zoom).on("dblclick.zoom", null);

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(["paper", "panel", "ink", "faint", "line", "accent", "good", "bad", "warn", "idle", "mark"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1, width = element.clientWidth, height = element.clientHeight;
    if (element.width !== Math.round(width * ratio) || element.height !== Math.round(height * ratio)) {
      element.width = Math.round(width * ratio);
      element.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, width, height);
    pen.translate(view.x, view.y);
    pen.scale(view.k, view.k);
    const [left, top] = view.invert([0, 0]), [right, bottom] = view.invert([width, height]);
    drawEdges(left, top, right, bottom);
    const words = view.k >= READABLE;
    for (const one of places) {
      if (one.x > right || one.x + BOX.width < left || one.y > bottom || one.y + BOX.height < top) continue;
      drawNode(one, words);
    }
  }

  function drawEdges(left, top, right, bottom) {
    const strong = [], half = BOX.height / 2;
    pen.lineWidth = Math.max(1, 0.6 / view.k);
    pen.strokeStyle = colours.line;
    pen.beginPath();
    for (const [c, p] of edges) {
      const a = places[p], b = places[c];
      if (a.x + BOX.width > right || b.x < left || Math.min(a.y, b.y) > bottom || Math.max(a.y, b.y) + BOX.height < top) continue;
      if (selected !== null && (places[c].node.id === selected || places[p].node.id === selected)) { strong.push([a, b]); continue; }
      curve(a, b, half);
    }
    pen.stroke();
    pen.lineWidth = Math.max(2, 1.2 / view.k);
    pen.strokeStyle = colours.accent;
    pen.beginPath();
    for (const [a, b] of strong) curve(a, b, half);
    pen.stroke();
  }

  function curve(a, b, half) {
    const from = a.x + BOX.width, reach = Math.max(BOX.gapX / 2, (b.x - from) / 2);
    pen.moveTo(from, a.y + half);
    pen.bezierCurveTo(from + reach, a.y + half, b.x - reach, b.y + half, b.x, b.y + half);
  }

  function drawNode({ node, x, y }, words) {
    const colour = colours[COLOURS[stateOf(node)] ?? "idle"], picked = node.id === selected;
    pen.fillStyle = marked.has(node.id) ? colours.mark : colours.panel;
    pen.strokeStyle = picked ? colours.accent : marked.has(node.id) ? colours.warn : colours.line;
    pen.lineWidth = picked ? 3 : marked.has(node.id) ? 2 : 1;
    pen.beginPath();
    pen.roundRect(x, y, BOX.width, BOX.height, node.kind === "batch" || node.kind === "group" ? 3 : 8);
    pen.fill();
    pen.stroke();
    if (node.kind === "group") { pen.strokeRect(x + 4, y - 4, BOX.width - 8, 4); }
    pen.fillStyle = colour;
    pen.fillRect(x + 1, y + 4, 5, BOX.height - 8);
    if (!words) return;
    pen.fillStyle = colours.ink;
    pen.font = `${node.kind === "version" ? "italic " : ""}600 13px system-ui, sans-serif`;
    pen.fillText(fitted(nameOf(node), BOX.width - 36), x + 13, y + 19);
    pen.fillStyle = colours.faint;
    pen.font = "12px system-ui, sans-serif";
    pen.fillText(fitted(saidOf(node), BOX.width - 36), x + 13, y + 36);
    if (node.gate === true || node.gate === false) {
      pen.fillStyle = node.gate ? colours.good : colours.bad;
      pen.font = "700 14px system-ui, sans-serif";
      pen.fillText(node.gate ? "✓" : "✗", x + BOX.width - 19, y + 19);
    }
    if (node.shut) { pen.fillStyle = colours.accent; pen.fillText("+", x + BOX.width - 18, y + 38); }
  }

  const widths = new Map();
  function fitted(text, width) {
    const known = `${pen.font} ${text}`;
    if (widths.has(known)) return widths.get(known);
    let short = text;
    if (pen.measureText(text).width > width) {
      let low = 0, high = text.length;
      while (low < high) { const k = (low + high + 1) >> 1; if (pen.measureText(`${text.slice(0, k)}…`).width <= width) low = k; else high = k - 1; }
      short = `${text.slice(0, low)}…`;
    }
    if (widths.size > 20000) widths.clear();
    widths.set(known, short);
    return short;
  }

  function placeAt(event) {
    const [x, y] = view.invert(d3.pointer(event, element));
    return places.find((one) => x >= one.x && x <= one.x + BOX.width && y >= one.y && y <= one.y + BOX.height);
  }

  element.addEventListener("click", (event) => { const one = placeAt(event); if (one) { select(one.node.id); chosen(one); } });
  element.addEventListener("dblclick", (event) => { const one = placeAt(event); if (one) toggled(one); });
  element.addEventListener("mousemove", (event) => {
    const one = placeAt(event);
    element.style.cursor = one ? "pointer" : "grab";
    element.title = one ? `${nameOf(one.node)}: ${saidOf(one.node)}` : "";
  });
  element.addEventListener("keydown", (event) => { if (keyed(event)) event.preventDefault(); });

  function keyed(event) {
    const at = byId.get(selected), pan = 80;
    if (event.shiftKey && event.key.startsWith("Arrow")) {
      const by = { ArrowLeft: [pan, 0], ArrowRight: [-pan, 0], ArrowUp: [0, pan], ArrowDown: [0, -pan] }[event.key];
      surface.call(zoom.translateBy, by[0] / view.k, by[1] / view.k);
    } else if (event.key === "+" || event.key === "=") surface.call(zoom.scaleBy, 1.3);
    else if (event.key === "-") surface.call(zoom.scaleBy, 1 / 1.3);
    else if (event.key === "0") fit();
    else if (event.key === "Enter" && at) chosen(at, { open: true });
    else if (event.key === " " && at) toggled(at);
    else if (event.key.startsWith("Arrow")) {
      const next = at ? neighbour(at, event.key) : places[0];
      if (next) { select(next.node.id, { centre: true }); chosen(next); }
    } else return false;
    return true;
  }

  function neighbour(at, key) {
    const nearest = (those) => those.sort((a, b) => Math.abs(a.y - at.y) - Math.abs(b.y - at.y))[0];
    if (key === "ArrowLeft") return nearest(at.parents.map((n) => places[n]));
    if (key === "ArrowRight") return nearest(at.children.map((n) => places[n]));
    const down = key === "ArrowDown";
    return nearest(places.filter((one) => one.layer === at.layer && (down ? one.y > at.y : one.y < at.y)));
  }

  function select(id, { centre = false } = {}) {
    selected = id;
    const at = byId.get(id);
    if (centre && at) {
      if (view.k < 0.7) surface.call(zoom.scaleTo, 0.75);
      // an end of the graph stands at the edge, so that what leads to it is seen
      const across = at.children.length ? (at.parents.length ? 0.5 : 0.2) : 0.8;
      surface.call(zoom.translateTo, at.x + BOX.width / 2, at.y + BOX.height / 2, [element.clientWidth * across, element.clientHeight / 2]);
    }
    redraw();
    return Boolean(at);
  }

  function fit() {
    if (!places.length) return;
    const xs = places.map((one) => one.x), ys = places.map((one) => one.y);
    const [left, right, top, bottom] = [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b)) + BOX.width, ys.reduce((a, b) => Math.min(a, b)), ys.reduce((a, b) => Math.max(a, b)) + BOX.height];
    const scale = Math.min(1, 0.95 * Math.min(element.clientWidth / (right - left), element.clientHeight / (bottom - top)));
    surface.call(zoom.transform, d3.zoomIdentity.translate(element.clientWidth / 2, element.clientHeight / 2).scale(scale).translate(-(left + right) / 2, -(top + bottom) / 2));
  }

  readColours();
  new MutationObserver(() => { readColours(); redraw(); }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  new ResizeObserver(redraw).observe(element);
  return {
    element, select, fit,
    show(those, theirs) { places = those; edges = theirs; byId = new Map(those.map((one) => [one.node.id, one])); redraw(); },
    mark(ids) { marked = new Set(ids); redraw(); },
  };
}

/** One line about a node, for its box and for the table. */
export function saidOf(node) {
  const rows = node.rows === null || node.rows === undefined ? "" : `${count(node.rows)} rows`;
  if (node.kind === "snapshot") return [node.state, rows, node.partitions > 1 ? `${count(node.partitions)} parts` : ""].filter(Boolean).join(" · ");
  if (node.kind === "version") return [node.state, node.architecture, rows && `from ${rows}`].filter(Boolean).join(" · ");
  if (node.kind === "batch") return [rows, node.dataset, node.superseded ? "superseded" : ""].filter(Boolean).join(" · ");
  if (node.kind === "group") return `${node.dataset} · ${rows}`;
  return node.kind;
}
