// The Markdown of model cards as elements: headings, paragraphs, lists, tables, code. Text is never taken for HTML.
import { el } from "./base.js";

/** Inline code, bold, emphasis and links; pictures of a card are in its report, so only their words are shown. */
function inline(text) {
  const parts = [];
  const found = /`([^`]+)`|\*\*([^*]+)\*\*|!\[([^\]]*)\]\([^)]*\)|\[([^\]]+)\]\(([^)\s]+)\)|\*([^*]+)\*/g;
  let last = 0;
  for (const match of text.matchAll(found)) {
    parts.push(text.slice(last, match.index));
    const [, code, bold, picture, words, , italic] = match;
    if (code !== undefined) parts.push(el("code", {}, code));
    else if (bold !== undefined) parts.push(el("strong", {}, bold));
    else if (picture !== undefined) parts.push(el("span", { class: "faint" }, `(picture in the report: ${picture || "figure"})`));
    else if (words !== undefined) parts.push(words);
    else parts.push(el("em", {}, italic));
    last = match.index + match[0].length;
  }
  return [...parts, text.slice(last)].filter((part) => part !== "");
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());

function table(lines) {
  const [head, , ...rows] = lines.map(cells);
  const titled = head.some((cell) => cell);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, el("table", {},
    titled ? el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, inline(cell))))) : null,
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", { class: "wrap" }, inline(cell))))))));
}

/** Elements of a text in Markdown. */
export function markdown(text) {
  const box = el("div", { class: "prose" });
  const lines = text.replace(/^---\n[\s\S]*?\n---\n/, "").split("\n");
  for (let i = 0; i < lines.length;) {
    const line = lines[i];
    const take = (matches) => { const start = i; while (i < lines.length && matches(lines[i])) i += 1; return lines.slice(start, i); };
    if (!line.trim()) i += 1;
    else if (line.startsWith("```")) {
      i += 1;
      box.append(el("pre", {}, take((one) => !one.startsWith("```")).join("\n")));
      i += 1;
    } else if (/^#{1,6} /.test(line)) {
      const level = Math.min(6, line.match(/^#+/)[0].length + 2);
      box.append(el(`h${level}`, {}, inline(line.replace(/^#+ /, ""))));
      i += 1;
    } else if (line.trim().startsWith("|")) box.append(table(take((one) => one.trim().startsWith("|"))));
    else if (/^\s*[-*] /.test(line)) box.append(el("ul", {}, take((one) => /^\s*[-*] /.test(one)).map((one) => el("li", {}, inline(one.replace(/^\s*[-*] /, ""))))));
    else box.append(el("p", {}, inline(take((one) => one.trim() && !/^(#{1,6} |```|\s*[-*] |\s*\|)/.test(one)).join(" "))));
  }
  return box;
}
