"""Sections of the page on imports, cross-matches and cones."""

from benchmarks.figures import apart, mib, phase, rows, times, wall, work

IMPORTS = ("stellar import left", "stellar import right")
CROSSMATCH = "stellar crossmatch"
MATCHERS = {
    "lsdb": "LSDB, 2 workers: open, cross-match, write",
    "stilts": "STILTS `tmatch2 find=best1`, FITS to FITS",
    "astropy": "astropy: read, `match_to_catalog_sky`, no write",
    "scipy": "scipy: k-d tree of unit vectors, 2 threads, no write",
    "floor": "pyarrow: read both and write as much as the result",
}


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

    def runs(number: int) -> str:
        return "one run each" if number == 1 else f"median of {number} runs each"

    peers, mine = (max(len(one["wall"]) for one in part[side]["measured"].values()) for side in ("peers", "ours"))
    floor = part["peers"]["measured"]["floor"]
    ours = part["ours"]["measured"]
    whole = sum(map(work, ours.values()))
    return [
        f"Ours measured {part['ours']['date']} ({runs(mine)}), peers {part['peers']['date']} ({runs(peers)}).",
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
