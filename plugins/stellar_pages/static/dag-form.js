// A form made from a DAG's params, as Airflow's API tells them, and what a person entered as the run's conf.
// It checks what a browser can check; what counts is Airflow's own answer, which `showError` puts to its field.
"use strict";
import { el } from "./base.js";

let forms = 0;

/** A field's kind, whether it may be empty, and its schema, from a param `{value, schema, description}`. */
export function kindOf(param) {
  const schema = param.schema ?? {}, types = [schema.type ?? guess(param.value)].flat();
  const nullable = types.includes("null") || (schema.type === undefined && param.value === null) || Boolean(schema.enum?.includes(null));
  const type = types.find((one) => one !== "null") ?? "string";
  if (schema.const !== undefined) return { kind: "const", nullable, schema };
  if (schema.enum) return { kind: "choice", nullable, schema };
  if (type === "array") return { kind: schema.examples || schema.items?.enum ? "choices" : "lines", nullable, schema };
  if (type === "boolean") return { kind: nullable ? "yesno" : "boolean", nullable, schema };
  if (type === "integer" || type === "number") return { kind: type, nullable, schema };
  if (type === "object") return { kind: "json", nullable, schema };
  if (["date", "date-time", "time"].includes(schema.format)) return { kind: schema.format, nullable, schema };
  return { kind: schema.format === "multiline" ? "text" : "string", nullable, schema };
}

const guess = (value) => (Array.isArray(value) ? "array" : value === null || value === undefined ? "string" : typeof value);

const title = (name, schema) => schema.title ?? name;
const shown = (value, schema) => schema.values_display?.[value] ?? String(value);

function control(name, id, value, { kind, nullable, schema }) {
  const common = { id, name };
  const option = (one, label, selected) => el("option", { value: JSON.stringify(one), selected }, label);
  if (kind === "boolean") return el("input", { ...common, type: "checkbox", checked: value === true });
  if (kind === "yesno") return el("select", common, option(null, "–", value === null), option(true, "yes", value === true), option(false, "no", value === false));
  if (kind === "choice") {
    const values = schema.enum.filter((one) => one !== null);
    return el("select", common, nullable ? option(null, "–", value === null) : null,
      values.map((one) => option(one, shown(one, schema), JSON.stringify(one) === JSON.stringify(value))));
  }
  if (kind === "choices") {
    const values = schema.items?.enum ?? schema.examples, chosen = new Set(value ?? []);
    return el("select", { ...common, multiple: true, size: String(Math.min(8, values.length)) },
      values.map((one) => option(one, shown(one, schema), chosen.has(one))));
  }
  if (kind === "integer" || kind === "number") {
    const shift = kind === "integer" ? 1 : 0;
    return el("input", { ...common, type: "number", step: kind === "integer" ? "1" : "any", value: value ?? "", required: !nullable,
      min: schema.minimum ?? (schema.exclusiveMinimum === undefined ? null : schema.exclusiveMinimum + shift),
      max: schema.maximum ?? (schema.exclusiveMaximum === undefined ? null : schema.exclusiveMaximum - shift) });
  }
  if (kind === "lines") return el("textarea", { ...common, rows: "3", class: "code" }, (value ?? []).join("\n"));
  if (kind === "json") return el("textarea", { ...common, rows: "4", class: "code" }, value === null || value === undefined ? "" : JSON.stringify(value, null, 1));
  if (kind === "text") return el("textarea", { ...common, rows: "4" }, value ?? "");
  const type = { date: "date", "date-time": "datetime-local", time: "time" }[kind] ?? "text";
  return el("input", { ...common, type, value: (kind === "date-time" ? value?.slice(0, 16) : value) ?? "", list: schema.examples ? `${id}-list` : null,
    required: kind !== "string" && !nullable, pattern: schema.pattern ?? null, minlength: schema.minLength || null, maxlength: schema.maxLength ?? null,
    step: type === "time" ? "1" : null });
}

/** What was entered, as JSON. Throws an Error that says what is no value. */
function read(input, { kind, nullable, schema }) {
  if (kind === "const") return schema.const;
  if (kind === "boolean") return input.checked;
  if (kind === "yesno" || kind === "choice") return input.value === "" ? null : JSON.parse(input.value);
  if (kind === "choices") {
    const values = [...input.selectedOptions].map((one) => JSON.parse(one.value));
    return values.length || !nullable ? values : null;
  }
  if (input.validity?.badInput) throw new Error("not a number");
  const text = input.value;
  if (kind === "lines") {
    const lines = text.split("\n").map((line) => line.trim()).filter(Boolean), type = [schema.items?.type ?? "string"].flat();
    const numeric = type.includes("number") || type.includes("integer");
    if (numeric && lines.some((line) => !Number.isFinite(Number(line)))) throw new Error("one number per line");
    return lines.length || !nullable ? (numeric ? lines.map(Number) : lines) : null;
  }
  if (text.trim() === "" && (nullable || kind !== "string")) return null;
  if (kind === "integer" || kind === "number") return Number(text);
  if (kind === "json") {
    try { return JSON.parse(text); } catch (error) { throw new Error(`no JSON: ${error.message}`); }
  }
  return kind === "date-time" ? `${text}${text.length === 16 ? ":00" : ""}Z` : text;
}

function limits(schema) {
  const said = [];
  if (schema.minimum !== undefined) said.push(`at least ${schema.minimum}`);
  if (schema.exclusiveMinimum !== undefined) said.push(`more than ${schema.exclusiveMinimum}`);
  if (schema.maximum !== undefined) said.push(`at most ${schema.maximum}`);
  if (schema.exclusiveMaximum !== undefined) said.push(`less than ${schema.exclusiveMaximum}`);
  if (schema.format === "date-time") said.push("UTC");
  return said.join(", ");
}

/**
 * The form of a DAG's params (`params` of `GET api/v2/dags/{id}/details`); `values` replace defaults.
 *
 * Returns `{element, conf(), set(name, value), has(name), showError(detail)}`. `conf` gives the run's conf, or null when a
 * field is wrong (and says so there); `showError` is true when an answer of Airflow's names a field and was shown at it.
 */
export function dagForm(params, { values = {} } = {}) {
  const prefix = `dag-form-${(forms += 1)}`, fields = new Map(), sections = new Map();
  for (const [name, param] of Object.entries(params ?? {})) {
    const about = kindOf(param), id = `${prefix}-${name}`, { schema } = about;
    const input = about.kind === "const" ? null : control(name, id, values[name] ?? param.value ?? null, about);
    const fault = el("span", { id: `${id}-fault`, class: "fault", hidden: true });
    const hint = [param.description ?? schema.description, limits(schema)].filter(Boolean).join(" · ");
    input?.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
    input?.addEventListener("input", () => mark(fields.get(name), null));
    fields.set(name, { input, fault, about, param });
    if (!input) continue;
    const label = el("label", { for: id, class: about.kind === "boolean" ? "check" : null }, el("b", {}, title(name, schema)), input,
      schema.examples && about.kind === "string" ? el("datalist", { id: `${id}-list` }, schema.examples.map((one) => el("option", { value: one }, shown(one, schema)))) : null,
      hint ? el("small", { id: `${id}-hint`, class: "faint" }, hint) : null, fault);
    const section = schema.section ?? "";
    if (!sections.has(section)) sections.set(section, el(section ? "fieldset" : "div", { class: "dag-fields" }, section ? el("legend", {}, section) : null));
    sections.get(section).append(label);
  }
  const element = el("div", { class: "dag-form" }, ...sections.values());

  function mark(field, text) {
    if (!field?.input) return;
    field.fault.textContent = text ?? "";
    field.fault.hidden = !text;
    if (text) field.input.setAttribute("aria-invalid", "true"); else field.input.removeAttribute("aria-invalid");
  }

  return {
    element,
    has: (name) => fields.has(name),
    set(name, value) {
      const field = fields.get(name);
      if (!field?.input) return;
      const fresh = control(name, field.input.id, value, field.about);
      if (field.about.kind === "boolean") field.input.checked = fresh.checked; else field.input.value = fresh.value;
      mark(field, null);
    },
    conf() {
      const found = {};
      let first = null;
      for (const [name, field] of fields) {
        try {
          found[name] = read(field.input, field.about);
          if (field.input && !field.input.checkValidity()) throw new Error(field.input.validationMessage);
          mark(field, null);
        } catch (error) {
          mark(field, error.message);
          first ??= field.input;
        }
      }
      first?.focus();
      return first ? null : found;
    },
    showError(detail) {
      const [, name, said] = /param '?"?(\w+)'?"?:?\s+([^\n]*)/.exec(detail) ?? [];
      if (!fields.get(name)?.input) return false;
      mark(fields.get(name), said);
      fields.get(name).input.focus();
      return true;
    },
  };
}
