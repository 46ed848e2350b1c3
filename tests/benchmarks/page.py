"""`docs/benchmarks.md` and the summary on the terminal, from the figures in `docs/benchmarks.json`."""

from collections.abc import Iterable
from statistics import median

NOT_WORK = {"start", "ledger", "workers"}  # our process start and ledger; the start of the peers' Dask workers
IMPORTS = ("stellar import left", "stellar import right")
CROSSMATCH = "stellar crossmatch"
MATCHERS = {
    "lsdb": "LSDB, 2 workers: open, cross-match, write",
    "stilts": "STILTS `tmatch2 find=best1`, FITS to FITS",
    "astropy": "astropy: read, `match_to_catalog_sky`, no write",
    "scipy": "scipy: k-d tree of unit vectors, 2 threads, no write",
    "floor": "pyarrow: read both and write as much as the result",
}
HEAD = """# Benchmarks

Written by `make bench` (`ops/bench.py`) from `docs/benchmarks.json`; a part measured again replaces its own figures.

- **Seconds** are wall time. *Whole process*: from its start to its exit; the input lies in the page cache. *Work*: the
  phases that the process timed itself, without the start of the interpreter and its imports, without our ledger (start
  of the embedded Postgres, migrations, stop) and without the start of the peers' Dask workers. *Start and ledger
  apart*: their whole process beside ours less our start and ledger, which the table shows. Medians where a command ran
  several times.
- **Memory** is the largest sum, over all processes that a command started (Dask workers, Postgres), of their
  proportional set size (PSS), sampled every 40 ms, in a run of its own, because the sampling costs time.
- Data are made with a fixed seed: id, ra, dec and four floats in Parquet; 60% of the RIGHT rows are LEFT rows scattered
  by 0.2 arcsec. STILTS reads the same rows as FITS. Peers run as they come, with 2 workers or threads.
- Ours: `stellar import` of each side with margins of 10 arcsec, then `stellar crossmatch LEFT RIGHT --radius 1`, three
  processes after one another in a home that did not exist before, so the first of them also makes the ledger.
"""


def work(record: dict) -> float:
    """Seconds of a command's own phases; of the whole process where it does not time itself."""
    if not record["phases"]:
        return median(record["wall"])
    return median(sum(took for name, took in run.items() if name not in NOT_WORK) for run in record["phases"])


def wall(record: dict) -> float:
    """Seconds of the whole process."""
    return median(record["wall"])


def apart(record: dict) -> float:
    """Seconds of the whole process without the start of the interpreter and without our ledger."""
    both = (run["start"] + run["ledger"] for run in record["phases"])
    return median(whole - less for whole, less in zip(record["wall"], both, strict=True))


def phase(record: dict, *names: str) -> float:
    """Seconds of some phases together."""
    return median(sum(run.get(name, 0.0) for name in names) for run in record["phases"])


def rows(header: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    header = list(header)
    text = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*text, *("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)])


def mib(*records: dict) -> str:
    """Largest peak of some commands."""
    return f"{max(record['peak_bytes'] for record in records) / 2**20:,.0f} MiB"


def ratios(part: dict) -> dict[str, float]:
    """How many times faster we are; keys are `what`."""
    ours, peers = part["ours"]["measured"], part["peers"]["measured"]
    imports = [ours[name] for name in IMPORTS]
    found = {
        "import, whole process": wall(peers["hats-import"]) / sum(map(wall, imports)),
        "import, work": work(peers["hats-import"]) / sum(map(work, imports)),
    }
    for peer in MATCHERS.keys() & peers.keys():
        found[f"{peer}, whole process"] = wall(peers[peer]) / wall(ours[CROSSMATCH])
        if peer == "stilts":  # it does not time itself, so its whole process stands beside ours without these
            found["stilts, start and ledger apart"] = wall(peers[peer]) / apart(ours[CROSSMATCH])
        found[f"{peer}, work"] = work(peers[peer]) / work(ours[CROSSMATCH])
    return found


def times(ratio: float) -> str:
    return f"{ratio:.1f} x"


def import_table(part: dict) -> str:
    """Imports and margins, each side's steps."""
    ours, hats = part["ours"]["measured"], part["peers"]["measured"]["hats-import"]
    left, right = (ours[name] for name in IMPORTS)
    ratio = ratios(part)
    return rows(
        ["import and 10 arcsec margins", "whole process", "work", "left", "right", "margins", "peak memory"],
        [
            [
                "hats-import, 2 workers (left first, right warm)",
                f"{wall(hats):.2f} s",
                f"{work(hats):.2f} s",
                f"{phase(hats, 'import_left'):.2f} s",
                f"{phase(hats, 'import_right'):.2f} s",
                f"{phase(hats, 'margin_left'):.2f} + {phase(hats, 'margin_right'):.2f} s",
                mib(hats),
            ],
            [
                "`stellar import`, two processes",
                f"{wall(left) + wall(right):.2f} s",
                f"{work(left) + work(right):.2f} s",
                f"{work(left):.2f} s",
                f"{work(right):.2f} s",
                "in these",
                mib(left, right),
            ],
            [
                "**times faster**",
                times(ratio["import, whole process"]),
                times(ratio["import, work"]),
                times(phase(hats, "import_left", "margin_left") / work(left)),
                times(phase(hats, "import_right", "margin_right") / work(right)),
                "",
                "",
            ],
        ],
    )


def crossmatch_table(part: dict) -> str:
    """Cross-match and write, beside the peers."""
    ours, peers = part["ours"]["measured"][CROSSMATCH], part["peers"]["measured"]
    ratio = ratios(part)
    lines = [["`stellar crossmatch`", f"{wall(ours):.2f} s", f"{work(ours):.2f} s", mib(ours), "1", "1"]]
    for peer, label in MATCHERS.items():
        if peer not in peers:
            lines.append([f"{label}: {'not installed, or it failed' if peer == 'stilts' else 'failed'}", *[""] * 5])
            continue
        one = peers[peer]
        whole, alone = ratio[f"{peer}, whole process"], ratio[f"{peer}, work"]
        lines.append([label, f"{wall(one):.2f} s", f"{work(one):.2f} s", mib(one), times(whole), times(alone)])
    header = ["cross-match within 1 arcsec", "whole process", "work", "peak memory", "whole: ours is faster by"]
    return rows([*header, "work: ours is faster by"], lines)


def phases_table(part: dict) -> str:
    """Where our seconds go."""
    ours = part["ours"]["measured"]
    names = list(dict.fromkeys(name for record in ours.values() for run in record["phases"] for name in run))
    order = ["start", "ledger", "open", "stage"]
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    lines = []
    for command, record in ours.items():
        exits = wall(record) - phase(record, *names)
        took = [f"{phase(record, name):.2f}" if any(name in run for run in record["phases"]) else "" for name in names]
        lines.append([f"`{command}`", *took, f"{exits:.2f}", f"{wall(record):.2f}"])
    return rows(["seconds of ours", *names, "exit and the rest", "whole process"], lines)


def pairs_table(part: dict) -> str:
    """Agreement of the matched pairs."""
    lines = [
        [
            f"ours and {peer}",
            *(f"{one[key]:,}" for key in ("ours", "theirs", "equal", "ties", "at_the_radius", "wrong")),
        ]
        for peer, one in part["pairs"].items()
    ]
    header = ["matched pairs", "ours", "theirs", "equal", "exact ties", "at exactly the radius", "different"]
    return rows(header, lines)


def side_by_side(part: dict) -> list[str]:
    """The section of a sky on which all were measured."""
    runs = "median of 3 runs" if part["repeats"] == 3 else "one run"
    floor = part["peers"]["measured"]["floor"]
    ours = part["ours"]["measured"]
    whole = sum(map(work, ours.values()))
    return [
        f"Ours measured {part['ours']['date']}, peers {part['peers']['date']}; {runs} each.",
        import_table(part),
        crossmatch_table(part),
        f"To the floor (read both, write as much as the result: {work(floor):.2f} s): cross-match and write"
        f" {work(ours[CROSSMATCH]) / work(floor):.1f} times it, the whole chain from files to result"
        f" {whole / work(floor):.1f} times.",
        phases_table(part),
        pairs_table(part),
    ]


def per_row(size: dict) -> float:
    """Microseconds of work per row of both sides, imports and cross-match together."""
    return 1e6 * sum(map(work, size["measured"].values())) / (size["left"] + size["right"])


def growth(part: dict) -> float:
    """The largest factor by which the time per row grows from one size to any larger one."""
    took = [per_row(size) for size in part["sizes"]]
    return max(later / took[k] for k in range(len(took)) for later in took[k:])


def peak_mib(part: dict) -> float:
    """Peak of all commands at all sizes."""
    return max(one["peak_bytes"] for size in part["sizes"] for one in size["measured"].values()) / 2**20


def scaling(part: dict) -> list[str]:
    """The section on sizes."""
    lines = []
    for size in part["sizes"]:
        ours = size["measured"]
        took = [f"{work(one):.2f} s" for one in ours.values()]
        peaks = [mib(one) for one in ours.values()]
        each = f"{per_row(size):.2f} µs"
        lines.append([f"{size['left'] // 10**6} M x {size['right'] / 1e6:g} M", *took, each, *peaks])
    header = ["rows", "import left", "import right", "cross-match", "work per row"]
    return [
        f"Measured {part['date']}; the whole sky, half as many RIGHT rows as LEFT rows. Seconds are of the work.",
        rows([*header, *(f"peak, {name}" for name in header[1:4])], lines),
    ]


def increment_share(part: dict) -> float:
    """Time after the change against the faster of the two full builds."""
    full = min(sum(part["seconds"][which].values()) for which in ("full", "full_of_changed"))
    return sum(part["seconds"]["increment"].values()) / full


def increment(part: dict) -> list[str]:
    """The section on a change of 1%."""
    labels = {
        "full": "full build",
        "increment": "after the change",
        "full_of_changed": "full build of the changed input, another home",
    }
    lines = [
        [
            label,
            *(f"{took:.2f} s" for took in part["seconds"][which].values()),
            f"{sum(part['seconds'][which].values()):.2f} s",
        ]
        for which, label in labels.items()
    ]
    cells = ", ".join(f"{name} {one['built']} of {one['partitions']}" for name, one in part["increment"].items())
    same = all(one["files"] and one["snapshot"] for one in part["same"].values())
    return [
        f"Measured {part['date']}. 20 M x 10 M rows in 100 files in the order of the sky; one LEFT file, 1% of the sky,"
        " is written anew with a tenth of its rows moved, a third with other values, 2% gone and 2% new. The calls"
        " `import_table` (left, right) and `crossmatch` are made again in the same process, "
        "whose older objects are kept from the garbage collector (`gc.freeze`) before each chain.",
        rows(["chain", "import left", "import right", "cross-match", "together"], lines),
        f"Partitions built: {cells}. Keys and the SHA-256 of every file, margins included, are"
        f" {'the same as' if same else '**not the same as**'} those of the full build of the changed input."
        f" The change took {increment_share(part):.1%} of the faster full build.",
    ]


def cones(part: dict) -> list[str]:
    """The section on cones."""
    labels = {
        "stellar": "`stellar.lake.search.cone`",
        "lsdb": "LSDB `cone_search(…).compute()`",
        "duckdb": "DuckDB, `where distance <= …` over all files",
    }
    lines = [
        [labels[name], tool["cones"], f"{tool['p50_ms']:,.1f} ms", f"{tool['p95_ms']:,.1f} ms"]
        for name, tool in part["tools"].items()
    ]
    again = part["again"]
    lines.insert(
        1, ["the same places again", part["tools"]["stellar"]["cones"], *(f"{again[key]:,.1f} ms" for key in again)]
    )
    return [
        f"Measured {part['date']}; 10 arcsec around random places near rows of the 20 M, in a process that has opened"
        f" the catalogue, all columns. All tools find the same number of rows ({part['rows_found']:,} in ours).",
        rows(["10 arcsec cones on 20 M rows", "cones", "median", "95th percentile"], lines),
    ]


def pages(part: dict) -> list[str]:
    """The section on the page Catalogue."""
    names = {"cone": "cone of 0.1 degrees", "id": "one id"}
    lines = [
        [names[kind], *(f"{part[kind][key]:,.0f} ms" for key in ("first_ms", "p50_ms", "p95_ms"))] for kind in names
    ]
    return [
        f"Measured {part['date']}; {part['rows']:,} rows, all columns, from the question to its answer, in a"
        f" process that was started before ({part['start_s']:.1f} s). The first questions for an id read the"
        " whole column, while the index of ids is made aside.",
        rows(["question", "first", "median of the others", "95th percentile"], lines),
    ]


LIGHTCURVE_TOOLS = {
    "astropy": "astropy `LombScargle(method='fast')` alone",
    "nifty-ls": "nifty-ls (finufft) alone",
    "light-curve": "light-curve: the same 20 statistics and its own coarser periodogram",
    "stellar": "ours: every feature and the period, without boxes",
    "stellar, both cores": "the same on both cores, in processes as a build runs",
    "stellar, two threads": "the same on two threads of one process",
    "stellar, with boxes": "with box least squares, one thread",
}


def faster(part: dict, name: str, than: str = "astropy") -> float:
    """Median over the rounds of how many times faster a tool is than another of the same round."""
    return median(theirs / ours for ours, theirs in zip(part["ms"][name], part["ms"][than], strict=True))


def lightcurves(part: dict) -> list[str]:
    """Features of light curves."""
    lines = [
        [
            label,
            f"{median(part['ms'][name]):.2f} ms",
            f"{min(part['ms'][name]):.2f} ms",
            times(faster(part, name)),
            f"{part['peak_bytes'][name] / 2**20:,.0f} MiB",
        ]
        for name, label in LIGHTCURVE_TOOLS.items()
    ]
    header = ["a curve", "median", "fastest round", "faster than astropy", "peak memory"]
    return [
        f"Measured {part['date']}; {part['curves']} curves from the ground with gaps of days and seasons, "
        f"{part['points']:,} points and {part['frequencies']:,} frequencies each; {len(part['ms']['astropy'])} rounds "
        "in which the tools take turns, one thread each unless said. Ratios are of the same round, the median of them.",
        rows(header, lines),
    ]


def spectra(part: dict) -> list[str]:
    """Spectra prepared, learned from and predicted."""
    lines = [[name, f"{median(rates):,.0f}"] for name, rates in part["per_second"].items()]
    return [
        f"Measured {part['date']}; {part['spectra']:,} simulated SDSS spectra of some 3,800 pixels, prepared on one "
        "thread; networks use two. What a network learns from is counted once an epoch. Peak memory of all in one "
        f"process: {part['peak_bytes'] / 2**20:,.0f} MiB.",
        rows(["work", "spectra a second"], lines),
    ]


def photometry(part: dict) -> list[str]:
    """Temperatures of eclipsing binaries."""
    ours, forest, speed = part["ours"], part["forest"], speeds(part)
    theirs = forest["figures"]
    pairs = (("mae", "mae_k"), ("rmse", "rmse_k"), ("r2", "r2"), ("within_10_percent", "within_10"), ("crps", "crps_k"),
             ("pit_mean", "pit_mean"), ("pit_std", "pit_std"))  # fmt: skip
    lines = [[own, f"{ours['figures'][own]:.4g}", f"{theirs[other]:.4g}"] for own, other in pairs]
    lines += [
        ["90% intervals cover", f"{ours['figures']['interval_coverage']:.1%}", ""],
        ["fit, seconds", f"{ours['seconds']['fit']:.0f}", f"{speed['forest fit']:,.0f}"],
        [
            "predict all rows, seconds",
            f"{median(ours['seconds']['file to file']):.1f}",
            f"{speed['forest predict']:,.0f}",
        ],
        ["model, MB", f"{ours['model_bytes'] / 1e6:.1f}", "1,200 to 2,100 (published)"],
    ]
    rising = sorted(ours["coverage"].items(), key=lambda one: float(one[0][1:].partition(",")[0]))
    bins = "; ".join(f"{name}: {value:.1%}" for name, value in rising)
    return [
        f"Measured {part['date']}; {ours['rows']:,} simulated eclipsing binaries ([what is simulated]"
        "(eclipsing_binaries.md)), tested on the fifth of those with a catalogue temperature that a hash of the id "
        f"picks: {forest['n_test']:,}, neither side having learned from them. Ours is `photometric-teff-eb` with Gaia, "
        "Pan-STARRS and 2MASS colours, parallax and E(B-V), from file to file, its fit with evaluation and report; the "
        "forest is the published recipe: scikit-learn, depth 20, six Gaia magnitudes and colours, two jobs, arrays in "
        f"memory. It was timed on {forest['trees']} trees, and its seconds are scaled to 300; its CRPS would be about "
        "3% smaller with as many.",
        rows(["", "ours", "forest"], lines),
        f"From file to file at {speed['of estimator']:.0%} of the speed of the model's own trees on an array in memory "
        f"(rounds taking turns); the whole command `stellar predict` took {ours['seconds']['predict']:.1f} s, "
        f"`stellar train` with the import of the file {ours['seconds']['train']:.0f} s.",
        f"Coverage of the 90% intervals by predicted temperature (K): {bins}.",
    ]


def speeds(part: dict) -> dict[str, float]:
    """Seconds of the forest at its published size, and our speed beside that of our own estimator."""
    ours, forest = part["ours"]["seconds"], part["forest"]
    scale = 300 / forest["trees"]
    return {
        "forest fit": forest["seconds"]["fit"] * scale,
        "forest predict": forest["seconds"]["predict"] * scale * part["ours"]["rows"] / forest["n_test"],
        "of estimator": median(a / b for a, b in zip(ours["array"], ours["file to file"], strict=True)),
    }


def photometry_asked(part: dict) -> list[str]:
    """What is asked of the temperatures."""
    own, forest, speed, seconds = (
        part["ours"]["figures"],
        part["forest"]["figures"],
        speeds(part),
        part["ours"]["seconds"],
    )
    mae, crps = own["mae"] / forest["mae_k"], own["crps"] / (0.97 * forest["crps_k"])
    worst = max((abs(value - 0.9) for value in part["ours"]["coverage"].values()), default=1.0)
    faster = {
        "training": (speed["forest fit"] / seconds["fit"], 10),
        "scoring": (speed["forest predict"] / median(seconds["file to file"]), 10),
    }
    return [
        _state(mae <= 0.97, f"temperatures: MAE {mae:.3f} of the forest's (at most 0.97)"),
        _state(crps <= 0.85, f"CRPS {crps:.3f} of the forest's, taken 3% smaller for its 300 trees (at most 0.85)"),
        _state(
            abs(own["pit_std"] - 0.289) <= 0.015 and abs(own["pit_mean"] - 0.5) <= 0.01,
            f"PIT {own['pit_mean']:.4f} +- {own['pit_std']:.4f} (0.50 +- 0.01, 0.289 +- 0.015)",
        ),
        _state(0.89 <= own["interval_coverage"] <= 0.91, f"coverage {own['interval_coverage']:.1%} (89 to 91%)"),
        _state(worst <= 0.05, f"coverage by predicted temperature within {worst:.1%} of 90% (5%)"),
        *(_state(value >= least, f"{name} {times(value)} the forest (at least {least})")
          for name, (value, least) in faster.items()),
        _state(part["ours"]["model_bytes"] <= 50e6, f"model {part['ours']['model_bytes'] / 1e6:.1f} MB (at most 50)"),
        _state(speed["of estimator"] >= 0.7, f"file to file at {speed['of estimator']:.0%} of the trees' speed (70%)"),
    ]  # fmt: skip


def _state(met: bool, text: str) -> str:
    return f"- {'met' if met else '**missed**'}: {text}"


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
                found.append(
                    _state(value >= least, f"{said} (at least {least})") if one == kind else f"- given: {said}"
                )
        for peer, one in part.get("pairs", {}).items():
            found.append(
                _state(not one["wrong"], f"{label}: the pairs are {peer}'s ({one['wrong']} differ without a tie)")
            )
    if part := figures.get("scaling"):
        found.append(
            _state(growth(part) < 1.3, f"time per row grows by {growth(part):.2f} times at most (less than 1.3)")
        )
        found.append(_state(peak_mib(part) < 2048, f"peak memory {peak_mib(part):,.0f} MiB (under 2,048)"))
    if part := figures.get("increment"):
        share = increment_share(part)
        found.append(_state(share < 0.04, f"a change to 1% takes {share:.1%} of a full build (under 4%)"))
        same = all(one["files"] and one["snapshot"] for one in part["same"].values())
        found.append(_state(same, "a change ends with the same keys and files as a full build"))
    if part := figures.get("lightcurves"):
        for name, least in (("stellar", 12), ("stellar, both cores", 20)):
            value = faster(part, name)
            threads = "on both cores" if "both" in name else "on one thread"
            found.append(
                _state(value >= least, f"light-curve features {threads}: {times(value)} astropy (at least {least})")
            )
    if (part := figures.get("photometry")) and {"ours", "forest"} <= part.keys():
        found += photometry_asked(part)
    if part := figures.get("cones"):
        slow = part["tools"]["stellar"]["p95_ms"]
        found.append(_state(slow < 30, f"10 arcsec cones on 20 M rows: 95th percentile {slow:.1f} ms (under 30)"))
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


SECTIONS = {
    "table": ("2 M x 1 M rows over 60 x 40 degrees: `python ops/bench.py table`", side_by_side),
    "big": ("20 M x 10 M rows over the whole sky: `python ops/bench.py big`", side_by_side),
    "scaling": ("From 1 M to 50 M rows: `python ops/bench.py scaling`", scaling),
    "increment": ("A change to 1% of 20 M rows: `python ops/bench.py increment`", increment),
    "cones": ("Cones: `python ops/bench.py cones`", cones),
    "lightcurves": ("Features of light curves: `python ops/bench.py lightcurves`", lightcurves),
    "spectra": ("Spectra: `python ops/bench.py spectra`", spectra),
    "photometry": ("Temperatures of eclipsing binaries: `python ops/bench.py photometry`", photometry),
    "pages": ("Questions of the page Catalogue: `python ops/bench.py pages`", pages),
}


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
