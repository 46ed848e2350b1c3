// The page Star: everything that is known of one star, by any of its ids or by its position.
"use strict";
import { api, badge, el, main, message, number, query, remember, table, told, when } from "./base.js";
import { lightCurve, sed, spectrum } from "./star-plots.js";

document.head.append(el("link", { rel: "stylesheet", href: "../static/star.css" }));
const input = (name, value, attributes) => el("input", { name, value: value ?? "", ...attributes });
const MOST_SHOWN = 300;  // characters of a query
const byId = el("form", { class: "bar" }, el("label", {}, el("span", {}, "Id: ours, or any survey's own"), input("id", query.get("id"), { size: "26", required: true })), el("button", { type: "submit", class: "primary" }, "Show"));
const byPlace = el("form", { class: "bar" }, el("label", {}, el("span", {}, "RA [°]"), input("ra", query.get("ra"), { size: "9", inputmode: "decimal", required: true })), el("label", {}, el("span", {}, "Dec [°]"), input("dec", query.get("dec"), { size: "9", inputmode: "decimal", required: true })),
  el("label", {}, el("span", {}, "Radius [″]"), input("radius", query.get("radius") ?? "30", { size: "5", inputmode: "decimal" })), el("button", { type: "submit" }, "Look around"));
const where = el("div", { class: "star", "aria-live": "polite" });
main.append(el("div", { class: "bar asking" }, byId, byPlace), where);
byId.addEventListener("submit", (event) => { event.preventDefault(); told(() => show(byId.elements.id.value.trim())); });
byPlace.addEventListener("submit", (event) => { event.preventDefault(); told(look); });

const starLink = (id) => el("a", { href: `star?id=${encodeURIComponent(id)}` }, id);
const panel = (title, ...children) => el("section", { class: "panel", "aria-label": title }, el("h2", {}, title), children.flat(2));
const none = (text) => el("p", { class: "empty" }, text);
const redraws = [];
// pictures take the width of where they hang, and the colours of the theme
function picture(draw, className = "picture") {
  const into = el("div", { class: className });
  let width = 0;
  new ResizeObserver(([one]) => { if (Math.abs(one.contentRect.width - width) > 4) { width = one.contentRect.width; draw(into); } }).observe(into);
  redraws.push(() => into.isConnected && draw(into));
  return into;
}
new MutationObserver(() => redraws.forEach((one) => one())).observe(document.documentElement, { attributeFilter: ["data-theme"] });

async function look() {
  const { ra, dec, radius } = Object.fromEntries(new FormData(byPlace));
  remember({ id: null, ra, dec, radius });
  where.replaceChildren(none("Looking …"));
  let found;
  try {
    found = await api(`stars/near?ra=${encodeURIComponent(ra)}&dec=${encodeURIComponent(dec)}&radius_arcsec=${encodeURIComponent(radius || 30)}`);
  } catch (error) { where.replaceChildren(el("p", { class: "empty", role: "alert" }, error.message)); return; }
  if (found.length === 1) { await show(found[0].object_id); return; }
  where.replaceChildren(panel(`${found.length} stars within ${radius}″ of ${ra}, ${dec}`, neighbours(found)));
}

async function show(id) {
  remember({ id, ra: null, dec: null, radius: null });
  byId.elements.id.value = id;
  redraws.length = 0;
  where.replaceChildren(none("Looking …"));
  let one;
  try {
    one = await api(`stars/star?id=${encodeURIComponent(id)}`);
  } catch (error) { where.replaceChildren(el("p", { class: "empty", role: "alert" }, error.message)); return; }
  document.title = `${one.id} · Stellar Platform`;
  const spectra = el("div", {}, none("Looking …"));
  const curves = el("div", {}, none("Looking …"));
  const lineage = el("div", {}, none("Looking …"));
  where.replaceChildren(...[
    el("h2", { class: "name" }, one.id, one.object.class ? badge(one.object.class) : null),
    one.missing.length ? el("ul", { class: "missing" }, one.missing.map((text) => el("li", {}, text))) : null,
    position(one),
    el("div", { class: "grid" }, panel("Photometry", one.photometry.length ? [picture((into) => sed(into, one.photometry)), photometry(one.photometry)] : none("No photometry of this star."), derived(one.sed)),
      panel("Scores", scores(one.scores))),
    panel("Spectra", spectra), panel("Light curves", curves),
    el("div", { class: "grid" }, panel("Neighbours within 30″", one.neighbours.length ? neighbours(one.neighbours) : none(one.object.ra === undefined ? "No position, so no neighbours." : "None.")),
      panel("Where it came from", lineage, el("p", {}, el("a", { href: `lineage?star=${encodeURIComponent(one.id)}` }, "The whole lineage"))))].filter(Boolean));
  const fill = async (into, work) => { try { into.replaceChildren(...await work()); } catch (error) { into.replaceChildren(el("p", { class: "empty", role: "alert" }, error.message)); } };
  const mine = encodeURIComponent(one.id);
  await Promise.all([
    fill(spectra, async () => spectraOf(await api(`stars/spectra?id=${mine}`))),
    fill(curves, async () => curvesOf(await api(`stars/lightcurves?id=${mine}`))),
    fill(lineage, async () => lineageOf(await api(`stars/lineage?id=${mine}`)))]);
}

const pm = (value, error, digits = 6) => (value === null || value === undefined ? "–" : `${number(value, digits)}${error ? ` ± ${number(error, 2)}` : ""}`);

function position(one) {
  const { object } = one;
  const facts = object.ra === undefined ? [] : [["RA, Dec", `${object.ra.toFixed(6)}°, ${object.dec.toFixed(6)}° (epoch ${number(object.epoch_yr, 6)})`], ["Best survey", object.best_survey]];
  const known = new Map(one.astrometry.map((row) => [row.survey, row]));
  const rows = one.sources.map((source) => ({ ...known.get(source.survey), ...source }));
  const has = (key) => rows.some((row) => row[key] !== null && row[key] !== undefined);
  return panel("Ids, position and motion",
    facts.length ? el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])) : null,
    one.was.length ? el("p", {}, `Known before as ${one.was.join(", ")}.`) : null,
    table([{ key: "survey", title: "Survey" }, { key: "survey_id", title: "Its id", show: (id) => String(id) }, { key: "separation_arcsec", title: "off [″]", numeric: true, show: (value) => (value === null ? "–" : number(value, 3)) },
      has("parallax") && { key: "parallax", title: "Parallax [mas]", numeric: true, show: (value, row) => pm(value, row.parallax_error, 4) },
      has("pmra") && { key: "pmra", title: "µα* [mas/yr]", numeric: true, show: (value, row) => pm(value, row.pmra_error, 4) },
      has("pmdec") && { key: "pmdec", title: "µδ [mas/yr]", numeric: true, show: (value, row) => pm(value, row.pmdec_error, 4) },
      has("rv_kms") && { key: "rv_kms", title: "v [km/s]", numeric: true, show: (value) => number(value, 4) }].filter(Boolean), rows, { caption: "The surveys' rows of this star" }));
}

function scores(rows) {
  if (!rows.length) return none("No model scored this star.");
  return rows.map((row) => el("article", { class: "score" },
    el("h3", {}, el("a", { href: `models?name=${encodeURIComponent(row.model)}` }, row.model), " ", el("small", {}, row.number ? `version ${row.number}` : "", row.method ? ` · ${row.method}` : "", ` · ${String(row.version).slice(0, 12)}`), row.state && row.state !== "current" ? badge(row.state) : null),
    row.quantities.length ? el("dl", {}, row.quantities.flatMap((one) => [el("dt", {}, one.name), el("dd", {}, `${number(one.value)}${one.unit ? ` ${one.unit}` : ""} `, el("small", {}, one.lower === null ? "no interval" : `[${number(one.lower)}, ${number(one.upper)}]`))])) : null,
    row.classes.map((one) => el("div", {}, el("p", {}, `${one.name}: `, el("strong", {}, one.value ?? "–"), ` (${number((one.probability ?? 0) * 100, 3)}%)`, one.set.length > 1 ? ` · may as well be ${one.set.filter((name) => name !== one.value).join(", ")}` : ""),
      el("ul", { class: "bars" }, one.best.filter(([, share]) => share > 0.005).map(([name, share]) => el("li", {}, el("span", { class: "share", style: `width: ${Math.max(1, share * 100)}%`, "aria-hidden": "true" }), el("span", {}, `${name} ${number(share * 100, 3)}%`)))))),
    el("p", { class: "faint" }, row.novelty === null ? "" : `novelty ${number(row.novelty, 3)} `, row.is_out_of_range ? `· out of what it learned from${row.flags ? `: ${row.flags.split(";").join(", ")}` : ""}` : row.flags ? `· ${row.flags}` : "· inputs within what it learned from", ` · row ${row.of}`)));
}

function photometry(rows) {
  return el("details", {}, el("summary", {}, `${rows.length} measurements`), table([{ key: "survey", title: "Survey" }, { key: "name", title: "Band" }, { key: "wavelength_angstrom", title: "λ [Å]", numeric: true, show: (value) => (value ? Math.round(value) : "–") },
    { key: "mag", title: "mag", numeric: true, show: (value, row) => pm(value, row.mag_err, 5) }, { key: "system", title: "System" }, { key: "flux_jy", title: "Jy", numeric: true, show: (value) => number(value, 4) },
    { key: "is_clean", title: "", show: (value, row) => [row.is_saturated && "saturated", row.is_blended && "blended", row.is_preferred && "preferred", value === false && "not clean"].filter(Boolean).join(", ") || " " }], rows, { caption: "Photometry" }));
}

function derived(values) {
  if (!values.length) return null;
  return el("details", {}, el("summary", {}, `${values.length} colours and corrected quantities`), table([{ key: "name", title: "Name" }, { key: "value", title: "Value", numeric: true, show: (value) => (typeof value === "number" ? number(value) : String(value)) }, { key: "unit", title: "Unit", show: (unit) => unit ?? " " }, { key: "description", title: "", show: (text) => text ?? " " }], values, { caption: "features.sed" }));
}

function neighbours(rows) {
  return table([{ key: "object_id", title: "Star", show: starLink }, { key: "separation_arcsec", title: "[″]", numeric: true, show: (value) => number(value, 4) }, { key: "class", title: "Class", show: (value) => value ?? "–" },
    { key: "phot_g_mean_mag", title: "G", numeric: true, show: (value) => number(value, 4) }, { key: "psfmag_r", title: "r", numeric: true, show: (value) => number(value, 4) }, { key: "n_sources", title: "Surveys", numeric: true }], rows, { caption: "Nearest first", empty: "No star there." });
}

function spectraOf(found) {
  if (!found.length) return [none("No spectrum.")];
  return found.map((one) => el("div", {}, el("h3", {}, one.id, " ", el("small", {}, `${one.dataset} · S/N ${number(one.sn_median, 3)} · ${number((one.good_fraction ?? 0) * 100, 3)}% good${one.rv_km_s === null || one.rv_km_s === undefined ? "" : ` · v = ${pm(one.rv_km_s, one.rv_err_km_s, 4)} km/s`}${one.is_rest_frame === false ? " · not in the rest frame" : ""}`)),
    picture((into) => spectrum(into, one)), el("p", { class: "faint" }, "Grey: masked, or spoilt by air. Drag to move; Ctrl and the wheel, or + and − with the picture in focus, zoom; 0 or a double-click shows all.")));
}

function curvesOf(found) {
  if (!found.length) return [none("No light curve.")];
  return found.map((one) => {
    const best = one.periods[0]?.period_d ?? null;
    let period = best;
    const field = el("input", { type: "text", inputmode: "decimal", size: "12", value: best ? String(Number(best.toPrecision(9))) : "", "aria-label": "Period in days" });
    const slider = el("input", { type: "range", min: "-1000", max: "1000", value: "0", "aria-label": "Change of the period, up to 1%", disabled: !best });
    const folded = picture((into) => { if (period > 0) lightCurve(into, one, period); else into.replaceChildren(none("No period is known: write one above to fold.")); });
    const fold = (value) => { period = value; redraw(); };
    const redraw = () => { if (period > 0) lightCurve(folded, one, period); };
    field.addEventListener("change", () => {
      const value = Number(field.value);
      if (!(value > 0)) { message("The period is a number of days above 0.", "bad"); return; }
      slider.disabled = false; slider.value = "0"; slider.dataset.base = String(value); fold(value);
    });
    slider.dataset.base = String(best ?? "");
    slider.addEventListener("input", () => { const value = Number(slider.dataset.base) * (1 + Number(slider.value) / 1e5); field.value = String(Number(value.toPrecision(9))); fold(value); });
    const times = (factor, title) => el("button", { type: "button", onclick: () => { if (period > 0) { field.value = String(Number((period * factor).toPrecision(9))); field.dispatchEvent(new Event("change")); } } }, title);
    return el("div", {}, el("h3", {}, one.id, one.band ? ` ${one.band}` : "", " ", el("small", {}, `${one.dataset} · ${one.time_d.length.toLocaleString("en")}${one.of > one.time_d.length ? ` of ${one.of.toLocaleString("en")}` : ""} points`)),
      picture((into) => lightCurve(into, one, null)),
      el("div", { class: "bar" }, el("label", {}, el("span", {}, "Period [d]"), field), el("label", {}, el("span", {}, "± 1%"), slider), times(0.5, "÷ 2"), times(2, "× 2"),
        one.periods.map((known) => el("button", { type: "button", title: known.from, onclick: () => { field.value = String(Number(known.period_d.toPrecision(9))); field.dispatchEvent(new Event("change")); } }, `${pm(known.period_d, known.error_d, 7)} d (${known.from})`))),
      folded);
  });
}

// the query of a batch of light curves lists hundreds of files
const sentOf = (text) => text.length <= MOST_SHOWN ? el("code", {}, text) : el("details", {}, el("summary", {}, el("code", {}, `${text.slice(0, MOST_SHOWN)} …`)), el("code", {}, text));

function lineageOf(found) {
  if (!found.length) return [none("Nothing is known.")];
  return [el("ul", { class: "came" }, found.map((one) => el("li", {}, el("strong", {}, `${one.survey} ${one.survey_id}`), one.batch
    ? [el("div", {}, "batch ", el("a", { href: `lineage?ref=${one.batch}` }, one.batch.slice(0, 16)), `, fetched ${when(one.fetched_at)}${one.release ? `, release ${one.release}` : ""}`), el("div", { class: "faint" }, one.service ?? ""), sentOf(one.query ?? "")]
    : el("div", { class: "faint" }, "the row does not name its batch"))))];
}

if (query.get("id")) told(() => show(query.get("id")));
else if (query.get("ra")) told(look);
else where.replaceChildren(none("Give an id (our own, Gaia's, a spectrum's, a light curve's …), or a position to look around."));
