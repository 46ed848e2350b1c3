"""`docs/benchmarks.md` and the summary on the terminal, from the figures in `docs/benchmarks.json`."""

from statistics import median

from benchmarks.figures import faster, state, times
from benchmarks.page_models import lightcurves, photometry, photometry_asked, spectra
from benchmarks.page_serving import density, lineage, pages
from benchmarks.page_tables import cones, growth, increment, increment_share, peak_mib, ratios, scaling, side_by_side

HEAD = """# Benchmarks

Written by `make bench` (`ops/bench.py`) from `docs/benchmarks.json`; a part measured again replaces its own figures.

- **Seconds** are wall time. *Whole process*: from its start to its exit; the input lies in the page cache. *Work*: the
  phases that the process timed itself, without the start of the interpreter and its imports, without our ledger (start
  of the embedded Postgres, migrations) and without the start of the peers' Dask workers. *Start and ledger apart*:
  their whole process beside ours less our start and ledger, which the table shows. Medians where a command ran several
  times; then all commands took turns, so that each met the same moments of the machine. A command leaves the stop of
  the Postgres that it started, some 0.05 s, to its keeper, and does not wait for it.
- **Memory** is the largest sum, over all processes that a command started (Dask workers, Postgres), of their
  proportional set size (PSS), sampled every 40 ms, in a run of its own, because the sampling costs time.
- Data are made with a fixed seed: id, ra, dec and four floats in Parquet; 60% of the RIGHT rows are LEFT rows scattered
  by 0.2 arcsec. STILTS reads the same rows as FITS. Peers run as they come, with 2 workers or threads.
- Ours: `stellar import` of each side with margins of 10 arcsec, then `stellar crossmatch LEFT RIGHT --radius 1`, three
  processes after one another in a home that did not exist before, so the first of them also makes the ledger.
"""
SECTIONS = {
    "table": ("2 M x 1 M rows over 60 x 40 degrees: `python ops/bench.py table`", side_by_side),
    "big": ("20 M x 10 M rows over the whole sky: `python ops/bench.py big`", side_by_side),
    "scaling": ("From 1 M to 50 M rows: `python ops/bench.py scaling`", scaling),
    "increment": ("A change to 1% of 20 M rows: `python ops/bench.py increment`", increment),
    "cones": ("Cones: `python ops/bench.py cones`", cones),
    "density": ("The map of 10 M rows: `python ops/bench.py density`", density),
    "lightcurves": ("Features of light curves: `python ops/bench.py lightcurves`", lightcurves),
    "spectra": ("Spectra: `python ops/bench.py spectra`", spectra),
    "lineage": ("Lineage of a score: `python ops/bench.py lineage`", lineage),
    "photometry": ("Temperatures of eclipsing binaries: `python ops/bench.py photometry`", photometry),
    "pages": ("Questions of the page Catalogue: `python ops/bench.py pages`", pages),
}


def requirements(figures: dict) -> list[str]:
    """What is asked of the figures and whether they meet it, as far as they have been measured."""
    found = []
    for name, label in (("table", "2 M x 1 M"), ("big", "20 M x 10 M")):
        part = figures.get(name, {})
        if not {"ours", "peers"} <= part.keys():
            continue
        ratio = ratios(part)
        # of the small sky the Dask peers' whole processes are given only: most of ours are start and ledger there
        asked = "work" if name == "table" else "whole process"
        for key, peer, least, kind in (
            ("import", "hats-import", 10, asked),
            ("lsdb", "LSDB", 10, asked),
            ("stilts", "STILTS", 5, "whole process"),
        ):
            for one in ("whole process", "start and ledger apart", "work"):
                if (value := ratio.get(f"{key}, {one}")) is None:
                    continue
                said = f"{label}, {one}: {times(value)} {peer}"
                found.append(state(value >= least, f"{said} (at least {least})") if one == kind else f"- given: {said}")
        for peer, one in part.get("pairs", {}).items():
            found.append(
                state(not one["wrong"], f"{label}: the pairs are {peer}'s ({one['wrong']} differ without a tie)")
            )
    if part := figures.get("scaling"):
        found.append(
            state(growth(part) < 1.3, f"time per row grows by {growth(part):.2f} times at most (less than 1.3)")
        )
        found.append(state(peak_mib(part) < 2048, f"peak memory {peak_mib(part):,.0f} MiB (under 2,048)"))
    if part := figures.get("increment"):
        share = increment_share(part)
        found.append(state(share < 0.04, f"a change to 1% takes {share:.1%} of a full build (under 4%)"))
        same = all(one["files"] and one["snapshot"] for one in part["same"].values())
        found.append(state(same, "a change ends with the same keys and files as a full build"))
    if part := figures.get("lightcurves"):
        for name, least in (("stellar", 12), ("stellar, both cores", 20)):
            value = faster(part, name)
            threads = "on both cores" if "both" in name else "on one thread"
            found.append(
                state(value >= least, f"light-curve features {threads}: {times(value)} astropy (at least {least})")
            )
    if (part := figures.get("photometry")) and {"ours", "forest"} <= part.keys():
        found += photometry_asked(part)
    if part := figures.get("cones"):
        slow = part["tools"]["stellar"]["p95_ms"]
        found.append(state(slow < 30, f"10 arcsec cones on 20 M rows: 95th percentile {slow:.1f} ms (under 30)"))
    if part := figures.get("density"):
        cells, counted, first = (median(part["ms"][name]) for name in ("cells", "counted before", "never counted"))
        text = f"map of 10 M rows: cells {cells:.0f} ms, density {counted:.0f} ms, {first:.0f} ms uncounted (under 1 s)"
        found.append(state(max(cells, counted, first) < 1000, text))
    if part := figures.get("lineage"):
        took, many = part["ms"]["page"] / 1e3, part["ancestors"]
        found.append(state(took < 1, f"lineage of a score with {many:,} ancestors: {took:.2f} s (under 1)"))
    if part := figures.get("pages"):
        for kind, said in (("cone", "cone"), ("id", "question for an id")):
            took = part[kind]["first_ms"]
            found.append(state(took < 300, f"first {said} over {part['rows']:,} rows: {took:.0f} ms (under 300)"))
    return found


def machines(figures: dict) -> list[str]:
    """What the parts were measured on; parts of one machine and the same versions share a line."""
    seen: dict[str, list[str]] = {}
    for name, part in figures.items():
        one = part["machine"]
        versions = "; ".join(
            f"{side} {', '.join(f'{package} {version}' for package, version in one[key].items())}"
            for side, key in (("ours:", "ours"), ("peers:", "peers"))
        )
        text = f"{one['processor']}, {one['cores']} cores, {one['memory_gib']} GiB; {one['system']}; {versions}"
        seen.setdefault(text, []).append(name)
    return [f"Measured on ({', '.join(names)}): {text}." for text, names in seen.items()]


def render(figures: dict) -> str:
    """The page."""
    blocks = [HEAD.strip(), *machines(figures)]
    if asked := requirements(figures):
        blocks += ["## What was asked", "\n".join(asked)]
    for name, (title, section) in SECTIONS.items():
        part = figures.get(name)
        if part and (name not in ("table", "big") or {"ours", "peers"} <= part.keys()):
            blocks += [f"## {title}", *section(part)]
    return "\n\n".join(blocks) + "\n"
