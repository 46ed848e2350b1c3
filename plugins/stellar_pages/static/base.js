// What every page's script uses: the API, elements, messages, numbers. No page builds HTML from text.
"use strict";

export const canAct = document.documentElement.dataset.canAct === "yes";
export const main = document.getElementById("main");

/** Ask the API; `body` makes it a POST. Throws an Error with the server's own words. */
export const api = (path, options) => request(`../api/${path}`, options);

/** Ask Airflow's own REST API, `airflow("dags/x/dagRuns", {body})`, as the user who is logged in; errors as with `api`. */
export const airflow = (path, options) => request(`../../api/v2/${path}`, options);

async function request(url, { body, method, signal } = {}) {
  const options = { method: method ?? (body === undefined ? "GET" : "POST"), signal, credentials: "same-origin", headers: {} };
  if (options.method !== "GET") options.headers["X-Stellar-Action"] = "1";
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(url, options);
  if (answer.ok) return answer.headers.get("content-type")?.includes("json") ? answer.json() : answer;
  let detail = answer.statusText;
  try {
    const said = (await answer.json()).detail;
    detail = typeof said === "string" ? said
      : Array.isArray(said) ? said.map((one) => `${one.loc?.slice(1).join(".")}: ${one.msg}`).join("; ") : JSON.stringify(said);
  } catch { /* no JSON: the status says it */ }
  const error = new Error(answer.status === 401 ? "You are logged out: log in to Airflow again." : detail);
  error.status = answer.status;
  throw error;
}

/** An element: `el("a", {href: "x", onclick: f}, "text", child, …)`; attributes that are null or false are left out. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Say something in the corner: "info", "good" or "bad". Bad news stay until they are closed. */
export function message(text, kind = "info") {
  const close = el("button", { type: "button", "aria-label": "Close", onclick: () => box.remove() }, "×");
  const box = el("div", { class: `message ${kind}` }, el("span", {}, text), close);
  document.getElementById("messages").append(box);
  if (kind !== "bad") setTimeout(() => box.remove(), 8000);
}

/** Run what a person started and tell what went wrong. */
export async function told(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") message(error.message, "bad");
    return undefined;
  }
}

export const count = (n) => (n === null || n === undefined ? "–" : Number(n).toLocaleString("en"));
export const when = (iso) => (iso ? iso.replace("T", " ").slice(0, 16) : "–");

/** Value with as many digits as its error, or five, deserve. */
export function number(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  return Number.isInteger(value) ? String(value) : Number(value).toPrecision(digits).replace(/(\.\d*?)0+(e|$)/, "$1$2").replace(/\.(e|$)/, "$1");
}

/** A table of rows (objects): columns are `{key, title, show?, numeric?}`; `show` gives text or an element. */
export function table(columns, rows, { caption, empty = "Nothing here." } = {}) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const head = el("tr", {}, columns.map((one) => el("th", { scope: "col", class: one.numeric ? "n" : null }, one.title ?? one.key)));
  const body = rows.map((row) => el("tr", {}, columns.map((one) => {
    const shown = one.show ? one.show(row[one.key], row) : row[one.key] ?? "–";
    return el("td", { class: one.numeric ? "n" : null }, shown instanceof Node ? shown : String(shown));
  })));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption ?? "Table" },
    el("table", {}, caption ? el("caption", {}, caption) : null, el("thead", {}, head), el("tbody", {}, body)));
}

/** A coloured word for a state: current, candidate, passed, failed, … */
export const badge = (word) => el("span", { class: `badge ${word}` }, word);

/** The page's own parameters, kept in its URL so that it can be sent to somebody. */
export const query = new URLSearchParams(location.search);
export function remember(values) {
  for (const [key, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") query.delete(key); else query.set(key, value);
  }
  history.replaceState(null, "", `${location.pathname}?${query}`);
}

/** A dialog with a form; resolves to its values as an object, or to null when it was closed. */
export function ask(title, fields, { confirm = "OK" } = {}) {
  return new Promise((resolve) => {
    const form = el("form", { method: "dialog" }, el("h2", {}, title), fields,
      el("menu", {}, el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), el("button", { type: "submit", class: "primary" }, confirm)));
    const dialog = el("dialog", {}, form);
    let values = null;
    form.addEventListener("submit", () => { values = Object.fromEntries(new FormData(form)); });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(values); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
