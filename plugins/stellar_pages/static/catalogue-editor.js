// The editor: a textarea, its words coloured beneath it, and names completed in a listbox.
"use strict";
import { el } from "./base.js";
import { completions, words } from "./catalogue-words.js";

/** An editor. `names()` gives what can be completed (or null so far); `run` is called on Ctrl-Enter. */
export function editor({ value, names, run, changed }) {
  const area = el("textarea", { class: "code", id: "statement", rows: "8", spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off",
    role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "completions", "aria-label": "Question in SQL",
    "aria-describedby": "editor-help" });
  area.value = value;
  const colours = el("pre", { class: "colours", "aria-hidden": "true" });
  const list = el("ul", { id: "completions", role: "listbox", "aria-label": "Names", hidden: true });
  const box = el("div", { class: "editor" }, colours, area, list);
  let offer = null;
  let chosen = 0;
  let fault = null;

  function colour() {
    const parts = words(area.value).map((one) => (one.kind === "other" ? document.createTextNode(one.text) : el("span", { class: `sql-${one.kind}` }, one.text)));
    colours.replaceChildren(...parts, document.createTextNode("\n "));
    if (fault) colours.append(el("i", { class: "fault", style: `top: calc(${fault.line - 1} * var(--row) + .5rem)` }));
    follow();
  }
  function follow() {
    colours.scrollTop = area.scrollTop;
    colours.scrollLeft = area.scrollLeft;
  }
  function close() {
    offer = null;
    list.hidden = true;
    area.setAttribute("aria-expanded", "false");
    area.removeAttribute("aria-activedescendant");
  }
  function show(asked) {
    const known = names();
    const found = known && area.selectionStart === area.selectionEnd ? completions(area.value, area.selectionStart, known) : null;
    const written = found && found.to - found.from;
    if (!found || !found.options.length || (!asked && written < 2)) return close();
    offer = found;
    chosen = 0;
    list.replaceChildren(...found.options.map((one, number) => el("li", { role: "option", id: `option-${number}`, "aria-selected": String(number === 0),
      onmousedown: (event) => { event.preventDefault(); take(number); } },
    el("span", { class: `kind ${one.kind}`, "aria-hidden": "true" }, one.kind[0]), el("span", { class: "what" }, one.text), el("span", { class: "about" }, one.about))));
    list.hidden = false;
    place();
    area.setAttribute("aria-expanded", "true");
    area.setAttribute("aria-activedescendant", "option-0");
  }
  function place() {
    const before = area.value.slice(0, offer.from).split("\n");
    const style = getComputedStyle(area);
    const row = parseFloat(style.lineHeight);
    const ruler = document.createElement("canvas").getContext("2d");
    ruler.font = `${style.fontSize} ${style.fontFamily}`;
    const left = ruler.measureText(before.at(-1)).width + 8 - area.scrollLeft;
    list.style.top = `${before.length * row + 10 - area.scrollTop}px`;
    list.style.left = `${Math.max(0, Math.min(left, area.clientWidth - 240))}px`;
  }
  function choose(number) {
    list.children[chosen]?.setAttribute("aria-selected", "false");
    chosen = (number + offer.options.length) % offer.options.length;
    const now = list.children[chosen];
    now.setAttribute("aria-selected", "true");
    now.scrollIntoView({ block: "nearest" });
    area.setAttribute("aria-activedescendant", now.id);
  }
  function take(number) {
    const { from, to, options } = offer;
    area.setSelectionRange(from, to);
    // kept in the browser's own undo where it has such a command
    if (!document.execCommand?.("insertText", false, options[number].text)) area.setRangeText(options[number].text, from, to, "end");
    close();
    edited();
  }
  function edited() {
    fault = null;
    colour();
    changed(area.value);
  }

  area.addEventListener("input", () => { edited(); show(false); });
  area.addEventListener("scroll", () => { follow(); if (offer) place(); });
  area.addEventListener("blur", close);
  area.addEventListener("click", close);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); close(); run(); return; }
    if (event.key === " " && event.ctrlKey) { event.preventDefault(); show(true); return; }
    if (!offer) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) { event.preventDefault(); choose(chosen + step); }
    else if (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey)) { event.preventDefault(); take(chosen); }
    else if (event.key === "Escape") { event.preventDefault(); close(); }
    else if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) close();
  });
  colour();
  return {
    box,
    area,
    get value() { return area.value; },
    set value(text) { area.value = text; edited(); close(); },
    /** Mark a line (from 1) and put the cursor at its column; null marks none. */
    mark(where) {
      fault = where;
      colour();
      if (!where) return;
      const before = area.value.split("\n").slice(0, where.line - 1).reduce((sum, line) => sum + line.length + 1, 0);
      area.setSelectionRange(before + where.column - 1, before + where.column - 1);
    },
  };
}
