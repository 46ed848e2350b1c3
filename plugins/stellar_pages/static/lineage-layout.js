// From nodes and edges to places: what is shown, in which layer, in which order. No drawing here.
"use strict";

export const BOX = { width: 216, height: 46, gapX: 84, gapY: 12 };
const NAMES = new Intl.Collator("en", { numeric: true });
const MANY = 8; // batches of one dataset beyond this are one node until they are opened

/** Name that people know a node by. */
export function nameOf(node) {
  switch (node.kind) {
    case "snapshot": return node.dataset;
    case "version": return `${node.model} ${node.number}`;
    case "batch": return node.unit;
    case "group": return `${node.size.toLocaleString("en")} batches`;
    default: return node.id;
  }
}

/** State that colours a node. */
export function stateOf(node) {
  if (node.kind === "batch") return node.superseded ? "retired" : "active";
  if (node.kind === "group") return node.superseded ? "retired" : "active";
  return node.state ?? node.kind;
}

/**
 * What of a graph is shown.
 * `shut`: ids beyond which nothing is shown; `open`: groups of batches that are opened; `empty`: quarantines without rows too.
 */
export function visible(graph, { shut, open, empty }) {
  const { nodes } = graph;
  const hidden = nodes.map((node) => !empty && node.companion_of != null && !node.rows);
  const up = nodes.map(() => []), down = nodes.map(() => []);
  for (const [child, parent, role] of graph.edges) {
    if (hidden[child] || hidden[parent]) continue;
    up[child].push([parent, role]);
    down[parent].push([child, role]);
  }
  const roots = nodes.flatMap((node, n) => (graph.roots.includes(node.id) ? [n] : []));
  const seen = new Set();
  for (const next of [up, down]) {
    const done = new Set(roots), todo = [...roots];
    while (todo.length) {
      const at = todo.pop();
      seen.add(at);
      if (shut.has(nodes[at].id)) continue;
      for (const [other] of next[at]) if (!done.has(other)) { done.add(other); todo.push(other); }
    }
  }
  const shown = [...seen].filter((n) => !hidden[n] || graph.roots.includes(nodes[n].id)).sort((a, b) => a - b);
  return grouped(nodes, shown, up, open, graph.roots);
}

function grouped(nodes, shown, up, open, roots) {
  const sets = new Map();
  for (const n of shown) {
    const node = nodes[n];
    if (node.kind !== "batch" || roots.includes(node.id)) continue;
    const id = `batches of ${node.dataset}${node.superseded ? ", superseded" : ""}`;
    if (!sets.has(id)) sets.set(id, []);
    sets.get(id).push(n);
  }
  const list = [], place = new Map();
  const groupOf = new Map();
  for (const [id, members] of sets) {
    if (members.length <= MANY || open.has(id)) continue;
    const first = nodes[members[0]];
    const rows = members.reduce((sum, n) => sum + (nodes[n].rows ?? 0), 0);
    const times = members.map((n) => nodes[n].fetched_at).filter(Boolean).sort();
    list.push({ kind: "group", id, dataset: first.dataset, survey: first.survey, superseded: first.superseded, size: members.length, rows,
      from: times[0], fetched_at: times.at(-1), members: members.map((n) => nodes[n]) });
    for (const n of members) groupOf.set(n, list.length - 1);
  }
  for (const n of shown) if (!groupOf.has(n)) { place.set(n, list.length); list.push(nodes[n]); }
  const at = (n) => groupOf.get(n) ?? place.get(n);
  const edges = new Map();
  for (const n of shown) {
    for (const [parent, role] of up[n]) {
      const c = at(n), p = at(parent);
      if (c !== undefined && p !== undefined && c !== p && !edges.has(`${c} ${p}`)) edges.set(`${c} ${p}`, [c, p, role]);
    }
  }
  return { nodes: list, edges: [...edges.values()], groups: [...sets].filter(([, members]) => members.length > MANY).map(([id]) => id) };
}

/** Places of the nodes of a visible graph: `x, y, layer` each; layers by the longest way from a source, order by barycentres. */
export function layout({ nodes, edges }) {
  const parents = nodes.map(() => []), children = nodes.map(() => []);
  for (const [c, p] of edges) { parents[c].push(p); children[p].push(c); }
  const layer = layersOf(parents, children);
  const layers = [];
  for (const [n, l] of layer.entries()) (layers[l] ??= []).push(n);
  const names = nodes.map(key);
  for (const one of layers) one.sort((a, b) => NAMES.compare(names[a], names[b]));
  const order = new Float64Array(nodes.length);
  const number = (one) => one.forEach((n, k) => { order[n] = k - (one.length - 1) / 2; });
  layers.forEach(number);
  for (let sweep = 0; sweep < 8; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const one of forward ? layers : [...layers].reverse()) {
      const near = forward ? parents : children;
      const middle = new Map(one.map((n) => [n, near[n].length ? near[n].reduce((sum, m) => sum + order[m], 0) / near[n].length : order[n]]));
      one.sort((a, b) => middle.get(a) - middle.get(b) || order[a] - order[b]);
      number(one);
    }
  }
  const y = settled(layers, parents, children, nodes.length);
  return nodes.map((node, n) => ({ node, layer: layer[n], x: layer[n] * (BOX.width + BOX.gapX), y: y[n], parents: parents[n], children: children[n] }));
}

const key = (node) => `${node.kind === "version" ? "~" : ""}${node.dataset ?? node.model ?? node.id} ${node.unit ?? ""}`;

function layersOf(parents, children) {
  const left = parents.map((one) => one.length), layer = new Int32Array(parents.length);
  const todo = left.flatMap((n, k) => (n ? [] : [k]));
  for (let k = 0; k < todo.length; k += 1) {
    for (const child of children[todo[k]]) {
      layer[child] = Math.max(layer[child], layer[todo[k]] + 1);
      left[child] -= 1;
      if (!left[child]) todo.push(child);
    }
  }
  // a source stands just before the first that reads it, not at the far left
  for (const n of todo) if (!parents[n].length && children[n].length) layer[n] = Math.max(0, Math.min(...children[n].map((c) => layer[c])) - 1);
  const used = [...new Set(layer)].sort((a, b) => a - b);
  return Int32Array.from(layer, (l) => used.indexOf(l));
}

/** Heights: each node near the middle of its neighbours, none nearer to the next in its layer than a row. */
function settled(layers, parents, children, size) {
  const step = BOX.height + BOX.gapY, y = new Float64Array(size);
  for (const one of layers) one.forEach((n, k) => { y[n] = (k - (one.length - 1) / 2) * step; });
  for (let pass = 0; pass < 4; pass += 1) {
    for (const one of pass % 2 ? layers : [...layers].reverse()) {
      const near = pass % 2 ? parents : children;
      const wanted = one.map((n) => (near[n].length ? near[n].reduce((sum, m) => sum + y[m], 0) / near[n].length : y[n]));
      let last = -Infinity;
      const low = wanted.map((w) => { last = Math.max(w, last + step); return last; });
      last = Infinity;
      const high = [...wanted].reverse().map((w) => { last = Math.min(w, last - step); return last; }).reverse();
      one.forEach((n, k) => { y[n] = (low[k] + high[k]) / 2; });
    }
  }
  return y;
}
