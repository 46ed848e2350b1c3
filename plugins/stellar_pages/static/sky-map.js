// The map of the sky: a picture of values per HEALPix pixel, with cells, graticule and galactic plane drawn over it.
"use strict";
import { el } from "./base.js";
import { boundary, centre, pixelsOf, positionToPixel, vectorToPixel } from "./healpix.js";
import { anglesOf, fromFrame, pictureVectors, PROJECTIONS, toFrame, viewMatrix } from "./sky-projections.js";

const STEPS = [60, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];
const MOST_ZOOM = 4000, CLICK_PX = 5, PICTURE_PIXELS = 500_000, DEG = 180 / Math.PI;

const pointsASide = (order) => Math.max(1, 16 >> order);
const ringOf = ({ order, pixel }) => boundary(order, pixel, pointsASide(order));
const wrapped = (lon) => ((lon % 360) + 360) % 360;

/** Levels 1 to 255 of values by pixel (0: nothing there), for a picture. */
export function levelsOf(order, pixels, values, scale) {
  const levels = new Uint8Array(pixelsOf(order));
  for (let i = 0; i < pixels.length; i++) {
    const value = scale(values[i]);
    levels[pixels[i]] = Number.isFinite(value) ? 1 + Math.round(254 * Math.max(0, Math.min(1, value))) : 0;
  }
  return levels;
}

export class SkyMap {
  /** `on`: pick(cell, position), region({ra, dec, radius}), hover(position, cell), rest() after a drawing that is not moving. */
  constructor(on) {
    this.on = on;
    this.view = { projection: "aitoff", frame: "equatorial", centre: [180, 0], zoom: 1 };
    this.cells = []; this.gone = []; this.levels = null; this.order = 0; this.selected = null; this.region = null; this.drawing = false; this.outlines = true;
    this.colours = new Uint32Array(256);
    this.canvas = el("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map of the sky", "aria-describedby": "sky-keys",
      "aria-label": "Map of the sky" });
    this.element = el("div", { class: "sky-map" }, this.canvas);
    this.picture = document.createElement("canvas");
    this.held = new Map();
    this.#listen();
    new ResizeObserver(() => this.resize()).observe(this.element);
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element, ratio = window.devicePixelRatio || 1;
    if (!width || !height) return;
    [this.width, this.height] = [width, height];
    this.canvas.width = width * ratio; this.canvas.height = height * ratio;
    this.canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  setCells(cells, gone) {
    this.cells = cells; this.gone = gone;
    this.byOrder = new Map();
    for (const cell of cells) {
      if (!this.byOrder.has(cell.order)) this.byOrder.set(cell.order, new Map());
      this.byOrder.get(cell.order).set(cell.pixel, cell);
    }
    const lines = (some) => ({ type: "MultiLineString", coordinates: some.map(ringOf) });
    this.lines = { carried: lines(cells.filter((one) => one.change === "carried" || one.change === "first")), changed: lines(cells.filter((one) => one.change === "changed")),
      new: lines(cells.filter((one) => one.change === "new")), gone: lines(gone) };
    this.draw();
  }

  /** Pixels to mark, beside the cells. */
  setGained(order, pixels) {
    if (!pixels.length && !this.gained) return;
    this.gained = pixels.length ? { type: "MultiLineString", coordinates: pixels.map((pixel) => ringOf({ order, pixel })) } : null;
    this.draw();
  }

  /** `palette`: 0 to 1 -> colour; `levels` as `levelsOf` gives them, or null. */
  setPicture(order, levels, palette) {
    this.order = order; this.levels = levels;
    for (let i = 1; i < 256; i++) {
      const { r, g, b } = d3.rgb(palette((i - 1) / 254));
      this.colours[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    this.draw();
  }

  set(values) { Object.assign(this.view, values); this.draw(); }
  setFrame(frame) {
    const at = fromFrame(this.view.frame, ...this.view.centre);
    this.set({ frame, centre: toFrame(frame, ...at) });
  }
  reset() { this.set({ centre: [this.view.frame === "galactic" ? 0 : 180, 0], zoom: 1 }); }
  select(cell) { this.selected = cell; this.draw(); }
  setRegion(region) { this.region = region; this.draw(); }
  lookAt(ra, dec, radius) {
    this.set({ centre: toFrame(this.view.frame, ra, dec), zoom: radius ? Math.max(1, Math.min(MOST_ZOOM, 55 / radius)) : this.view.zoom });
  }

  cellAt(ra, dec) {
    for (const [order, some] of this.byOrder ?? []) {
      const found = some.get(positionToPixel(order, ra, dec));
      if (found) return found;
    }
    return null;
  }

  scale() {
    const { size } = PROJECTIONS[this.view.projection];
    return 0.96 * this.view.zoom * Math.min(this.width / size[0], this.height / size[1]);
  }

  projection() {
    const made = PROJECTIONS[this.view.projection].make().scale(this.scale()).translate([this.width / 2, this.height / 2]).reflectX(true)
      .rotate(anglesOf(viewMatrix(this.view.frame, this.view.centre))).precision(0.6);
    if (this.view.zoom > 1.5) made.clipExtent([[-20, -20], [this.width + 20, this.height + 20]]);
    return made;
  }

  /** Position (RA, Dec) under a point of the map; null beside it. */
  at(x, y) {
    const k = this.scale(), { invert, holds } = PROJECTIONS[this.view.projection];
    const [u, v] = [(this.width / 2 - x) / k, (this.height / 2 - y) / k];
    if (!holds(u, v)) return null;
    const [lambda] = invert(u, v), found = this.projection().invert([x, y]);
    return Math.abs(lambda) <= Math.PI && found.every(Number.isFinite) ? [wrapped(found[0]), found[1]] : null;
  }

  draw(moving = false) {
    if (!this.width || this.waiting) { this.moving = this.moving && moving; return; }
    this.waiting = true; this.moving = moving;
    requestAnimationFrame(() => { this.waiting = false; this.#paint(this.moving); });
  }

  #paint(moving) {
    const context = this.canvas.getContext("2d"), style = getComputedStyle(this.element), colour = (name) => style.getPropertyValue(name).trim();
    const path = d3.geoPath(this.projection(), context);
    const stroke = (shape, paint, width = 1, dash = []) => {
      context.beginPath(); path(shape); context.strokeStyle = paint; context.lineWidth = width; context.setLineDash(dash); context.stroke(); context.setLineDash([]);
    };
    context.clearRect(0, 0, this.width, this.height);
    context.beginPath(); path({ type: "Sphere" }); context.fillStyle = colour("--sky"); context.fill();
    this.#paintPicture(context, moving);
    stroke(this.#graticule(), colour("--sky-line"), 0.7);
    stroke({ type: "Sphere" }, colour("--faint"), 1);
    stroke(this.#plane(), colour("--sky-plane"), 1.4, [7, 4]);
    if (this.lines && this.outlines) {
      stroke(this.lines.carried, colour("--sky-cell"), 0.8);
      stroke(this.lines.gone, colour("--bad"), 1.2, [3, 3]);
      stroke(this.lines.changed, colour("--sky-changed"), 1.8);
      stroke(this.lines.new, colour("--sky-new"), 1.8);
    }
    if (this.gained && !moving) stroke(this.gained, colour("--sky-new"), 1);
    if (this.selected) stroke({ type: "LineString", coordinates: ringOf(this.selected) }, colour("--ink"), 3.5);
    if (this.selected) stroke({ type: "LineString", coordinates: ringOf(this.selected) }, colour("--sky-selected"), 2);
    if (this.region?.radius > 0) {
      const circle = d3.geoCircle().center([this.region.ra, this.region.dec]).radius(this.region.radius).precision(2)();
      context.beginPath(); path(circle); context.fillStyle = colour("--sky-region"); context.fill();
      stroke(circle, colour("--accent"), 2);
    }
    this.#paintLabels(context, colour);
    if (!moving) this.on.rest();
  }

  /** What is seen: its centre (RA, Dec), how far it reaches from there (degrees), and pixels of the screen a degree. */
  seen() {
    const [ra, dec] = fromFrame(this.view.frame, ...this.view.centre);
    return { ra, dec, reach: this.#reach().reach, perDegree: this.scale() / DEG };
  }

  #paintPicture(context, moving) {
    if (!this.levels) return;
    const { projection, frame, centre: looked } = this.view, k = this.scale();
    const size = Math.max(1, Math.ceil(Math.sqrt((this.width * this.height) / PICTURE_PIXELS))) * (moving ? 3 : 1);
    const key = `${projection} ${this.width} ${this.height} ${k} ${size}`;
    if (!this.held.has(key)) {
      if (this.held.size > 1) this.held.clear(); // one for rest, one for motion
      this.held.set(key, pictureVectors(projection, this.width, this.height, k, size));
    }
    const { across, down, vectors } = this.held.get(key), [[a, b, c], [d, e, f], [g, h, i]] = viewMatrix(frame, looked);
    [this.picture.width, this.picture.height] = [across, down];
    const paper = this.picture.getContext("2d"), image = paper.createImageData(across, down), words = new Uint32Array(image.data.buffer);
    for (let n = 0, at = 0; n < words.length; n++, at += 3) {
      const x = vectors[at], y = vectors[at + 1], z = vectors[at + 2];
      if (x === x) words[n] = this.colours[this.levels[vectorToPixel(this.order, a * x + d * y + g * z, b * x + e * y + h * z, c * x + f * y + i * z)]];
    }
    paper.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = moving;
    context.drawImage(this.picture, 0, 0, across * size, down * size);
  }

  /** How far the view reaches from its centre, degrees, and the step of its lines. */
  #reach() {
    const reach = Math.min(180, (Math.hypot(this.width, this.height) / 2 / this.scale()) * DEG * 1.3);
    const room = (58 / this.scale()) * DEG; // degrees for a label
    return { reach, step: STEPS.findLast((one) => one >= room) ?? 60 };
  }

  #graticule() {
    const { reach, step } = this.#reach(), [lon, lat] = this.view.centre, lines = [];
    const low = Math.max(-90, lat - reach), high = Math.min(90, lat + reach);
    const wide = high > 85 || low < -85 ? 180 : Math.min(180, reach / Math.cos(Math.max(Math.abs(low), Math.abs(high)) / DEG));
    const fine = Math.max(step / 8, reach / 90), to = (l, b) => fromFrame(this.view.frame, l, b);
    const range = (from, until, by) => d3.range(Math.ceil(from / by - 1e-9), Math.floor(until / by + 1e-9) + 1).map((n) => n * by);
    for (const l of range(lon - wide, lon + wide, step)) lines.push([...d3.range(low, high, fine), high].map((b) => to(l, b)));
    for (const b of range(low, high, step)) if (Math.abs(b) < 90) lines.push([...d3.range(lon - wide, lon + wide, fine), lon + wide].map((l) => to(l, b)));
    return { type: "MultiLineString", coordinates: lines };
  }

  #plane() {
    return { type: "LineString", coordinates: d3.range(0, 361, 2).map((l) => fromFrame("galactic", l, 0)) };
  }

  #paintLabels(context, colour) {
    const { step } = this.#reach(), projection = this.projection(), { frame, centre: [lon, lat] } = this.view, digits = step < 1 ? (step < 0.1 ? 2 : 1) : 0;
    context.font = "11px system-ui, sans-serif"; context.textAlign = "center"; context.textBaseline = "middle"; context.lineJoin = "round";
    const write = (text, l, b, dx, dy) => {
      const at = projection(fromFrame(frame, l, b));
      if (!at || at[0] < 14 || at[0] > this.width - 14 || at[1] < 8 || at[1] > this.height - 8 || !this.#shows(l, b)) return;
      context.strokeStyle = colour("--paper"); context.lineWidth = 3; context.fillStyle = colour("--ink");
      context.strokeText(text, at[0] + dx, at[1] + dy); context.fillText(text, at[0] + dx, at[1] + dy);
    };
    const rowAt = Math.round(lat / step) * step, columnAt = Math.round(lon / step) * step, most = Math.min(12, Math.floor(180 / step));
    for (let n = -most; n <= most; n++) {
      if (n * step > -180 + 1e-6) write(`${wrapped(columnAt + n * step).toFixed(digits)}°`, columnAt + n * step, Math.max(-89.9, Math.min(89.9, rowAt)), 0, 8);
      const b = rowAt + n * step;
      if (n !== 0 && Math.abs(b) < 90) write(`${b > 0 ? "+" : ""}${b.toFixed(digits)}°`, columnAt, b, 4, 0);
    }
    const heart = projection(fromFrame("galactic", 0, 0));
    if (heart && this.#shows(...toFrame(frame, ...fromFrame("galactic", 0, 0)))) {
      context.fillStyle = colour("--sky-plane"); context.beginPath(); context.arc(heart[0], heart[1], 3.5, 0, 7); context.fill();
    }
  }

  /** Whether a position (of the frame) is on the near side of a globe. */
  #shows(lon, lat) {
    return this.view.projection !== "globe" || d3.geoDistance([lon, lat], this.view.centre) < Math.PI / 2 - 0.02;
  }

  #pan(dx, dy) {
    const [lon, lat] = this.view.centre, degrees = DEG / this.scale();
    this.view.centre = [wrapped(lon + (dx * degrees) / Math.max(0.15, Math.cos(lat / DEG))), Math.max(-90, Math.min(90, lat + dy * degrees))];
  }

  zoomBy(factor, x = this.width / 2, y = this.height / 2, moving = false) {
    const before = this.at(x, y), zoom = Math.max(1, Math.min(MOST_ZOOM, this.view.zoom * factor));
    this.view.zoom = zoom;
    const after = before && this.at(x, y);
    if (after) { // what was under the pointer stays there
      const [from, to] = [toFrame(this.view.frame, ...after), toFrame(this.view.frame, ...before)], [lon, lat] = this.view.centre;
      this.view.centre = [wrapped(lon + ((to[0] - from[0] + 540) % 360) - 180), Math.max(-90, Math.min(90, lat + to[1] - from[1]))];
    }
    this.draw(moving);
    clearTimeout(this.rest);
    if (moving) this.rest = setTimeout(() => this.draw(), 160);
  }

  #listen() {
    const canvas = this.canvas, pointers = new Map();
    let start = null, moved = false, spread = 0;
    const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      moved = false; start = this.at(...place(event)); spread = 0;
      if (this.drawing && start) this.region = { ra: start[0], dec: start[1], radius: 0 };
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = place(event), before = pointers.get(event.pointerId);
      if (!before) { const sky = this.at(...here); this.on.hover(sky, sky && this.cellAt(...sky)); return; }
      if (pointers.size === 2) { // pinch
        pointers.set(event.pointerId, here);
        const [[x1, y1], [x2, y2]] = [...pointers.values()], now = Math.hypot(x1 - x2, y1 - y2);
        if (spread) this.zoomBy(now / spread, (x1 + x2) / 2, (y1 + y2) / 2, true);
        spread = now; moved = true;
        return;
      }
      const [dx, dy] = [here[0] - before[0], here[1] - before[1]];
      if (!moved && Math.hypot(dx, dy) < CLICK_PX) return;
      moved = true;
      if (this.drawing && start) {
        const sky = this.at(...here);
        if (sky) this.region.radius = d3.geoDistance(start, sky) * DEG;
      } else { pointers.set(event.pointerId, here); this.#pan(dx, dy); }
      this.draw(true);
    });
    const end = (event) => {
      if (!pointers.delete(event.pointerId) || pointers.size) return;
      if (this.drawing && start && moved) { this.drawing = false; this.on.region(this.region); }
      else if (!moved && event.type === "pointerup" && start) this.on.pick(this.cellAt(...start), start);
      this.draw();
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => this.on.hover(null, null));
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoomBy(Math.exp(-event.deltaY / 400), ...place(event), true); }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }, step = steps[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (step && event.shiftKey) { this.#pan(-60 * step[0], -60 * step[1]); this.draw(); }
    else if (step) this.#walk(...step);
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.5);
    else if (event.key === "-") this.zoomBy(1 / 1.5);
    else if (event.key === "Home") this.reset();
    else if (event.key === "Escape") { this.drawing = false; this.draw(); }
    else if (event.key === "Enter" && this.selected) this.on.pick(this.selected, centre(this.selected.order, this.selected.pixel));
    else return;
    event.preventDefault();
  }

  /** To the nearest cell in a direction of the screen; sideways counts twice. */
  #walk(dx, dy) {
    if (!this.cells.length) return;
    const projection = this.projection(), middle = (cell) => centre(cell.order, cell.pixel);
    const from = this.selected ? projection(middle(this.selected)) : [this.width / 2, this.height / 2];
    let best = null, least = Infinity;
    for (const cell of this.cells) {
      const sky = middle(cell);
      if (cell === this.selected || !this.#shows(...toFrame(this.view.frame, ...sky))) continue;
      const at = projection(sky);
      if (!at) continue;
      const [x, y] = [at[0] - from[0], at[1] - from[1]], along = x * dx + y * dy, aside = Math.abs(x * dy - y * dx);
      const cost = this.selected ? along + 2 * aside : Math.hypot(x, y);
      if ((!this.selected || (along > 1 && aside <= 2 * along)) && cost < least) { best = cell; least = cost; }
    }
    if (!best) return;
    this.selected = best;
    const at = projection(middle(best));
    if (at[0] < 20 || at[0] > this.width - 20 || at[1] < 20 || at[1] > this.height - 20) this.view.centre = toFrame(this.view.frame, ...middle(best));
    this.on.hover(middle(best), best);
    this.draw();
  }
}
