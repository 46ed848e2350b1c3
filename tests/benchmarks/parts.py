"""The parts of the benchmark; each returns what `docs/benchmarks.json` keeps of it."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import cones, density, pairs, photometry, quality, table
from benchmarks import sky as skies
from benchmarks.measure import CommandFailedError, measure

LINEAGE = (5_000, 200_000)  # batches behind the score; edges of other lineage in the same ledger
SCALING_MILLIONS = (1, 5, 20, 50)
OUR_REPEATS = 3
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Bench:
    """What every part is given.

    Attributes
    ----------
    folder : Path
        Made skies are kept here, and everything that is measured is written here.
    real : Path
        Folder of real survey files.
    docs : Path
        Where pages and figures go.
    say : callable
        Shows a line.
    ours, peers : bool
        Which side to measure; what was measured before is kept for the other.
    """

    folder: Path
    real: Path
    docs: Path
    say: table.Say
    ours: bool = True
    peers: bool = True


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def side_by_side(bench: Bench, sky: skies.Sky, former: dict, repeats: int) -> dict:
    """One sky, our commands and the peers, and whether the pairs agree.

    Ours run `OUR_REPEATS` times: they are short, so one mood of the machine is much of one run. The peers' `repeats`.
    """
    data, work = skies.make(sky, bench.folder), bench.folder / f"work-{sky.name}"
    bench.say(f"{sky.left:,} x {sky.right:,} rows: seconds of whole processes, memory, last run by phase")
    found = {"left": sky.left, "right": sky.right}
    peers = bench.peers or not former.get("peers")
    runs = table.peers(sky, data, work, bench.say) if peers else {}
    runs |= table.ours(data, work) if bench.ours else {}
    times = {name: OUR_REPEATS if name.startswith("stellar ") else repeats for name in runs}
    date, measured = _now(), table.rounds(runs, times, bench.say)
    mine = {name: one for name, one in measured.items() if name.startswith("stellar ")}
    theirs = {name: one for name, one in measured.items() if name not in mine}
    found["peers"] = {"date": date, "measured": theirs} if peers else former["peers"]
    if not bench.ours:
        return found | {name: former[name] for name in ("ours", "pairs") if name in former}
    found["ours"] = {"date": date, "measured": mine}
    matched = Path(found["ours"]["measured"]["stellar crossmatch"]["outcome"]["path"])
    checked = pairs.check(data, work, matched)
    found["pairs"] = former.get("pairs", {}) | checked
    for peer, difference in checked.items():
        bench.say(f"  pairs against {peer}: {difference}")
    table.until_unused(work / "home")
    shutil.rmtree(work / "home")
    if wrong := {peer: one for peer, one in checked.items() if one["wrong"]}:
        raise CommandFailedError(f"matched pairs differ where there is no tie: {wrong}")
    return found


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """An empty folder that is removed afterwards."""
    try:
        yield table.fresh(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def small(bench: Bench, former: dict) -> dict:
    """2 M x 1 M rows over 60 x 40 degrees."""
    return side_by_side(bench, skies.PATCH, former, repeats=3)


def big(bench: Bench, former: dict) -> dict:
    """20 M x 10 M rows over the whole sky."""
    return side_by_side(bench, skies.WHOLE, former, repeats=1)


def scaling(bench: Bench, former: dict) -> dict:
    """Our commands from 1 M to 50 M LEFT rows, half as many RIGHT rows, over the whole sky."""
    sizes = []
    for millions in SCALING_MILLIONS:
        sky = skies.growing(millions)
        bench.say(f"{sky.left:,} x {sky.right:,} rows")
        with workplace(bench.folder / f"work-{sky.name}") as work:
            data = skies.make(sky, bench.folder)
            runs = table.ours(data, work)
            measured = table.rounds(runs, dict.fromkeys(runs, 3 if millions < 20 else 1), bench.say)
            table.until_unused(work / "home")
        sizes.append({"left": sky.left, "right": sky.right, "measured": measured})
    return {"date": _now(), "sizes": sizes}


def increment(bench: Bench, former: dict) -> dict:
    """A change to 1% of 20 M rows."""
    data = skies.make(skies.ORDERED, bench.folder)
    with workplace(bench.folder / "work-increment") as work:
        found = measure([sys.executable, HERE / "increment.py", data, work]).json()
    bench.say(f"  seconds {found['seconds']}")
    for name, one in found["increment"].items():
        bench.say(f"  {name}: built {one['built']} of {one['partitions']} partitions; seconds {one['seconds']}")
    bench.say(f"  same as a full build of the changed input: {found['same']}")
    if not all(one["files"] and one["snapshot"] for one in found["same"].values()):
        raise CommandFailedError(f"the incremental build differs from the full one: {found['same']}")
    return {"date": _now()} | found


def cone_searches(bench: Bench, former: dict) -> dict:
    """Cones on the 20 M rows, as our import wrote them, with three tools."""
    data, tools = skies.make(skies.WHOLE, bench.folder), {}
    wanted = cones.positions_near(skies.files(data, "left"), cones.CONES, skies.SEED)
    with workplace(bench.folder / "work-cones") as work:
        columns = ["--id", "id", "--ra", "ra", "--dec", "dec"]
        command = [table.STELLAR, "import", *skies.files(data, "left"), "--name", "left", *columns, "--json"]
        snapshot = Path(measure(command, {"STELLAR_HOME": str(work / "home")}).json()["path"])
        for name, count in (("stellar", cones.CONES), ("lsdb", cones.PEER_CONES), ("duckdb", cones.PEER_CONES)):
            positions = work / f"{name}.json"
            positions.write_text(json.dumps(wanted[:count]))
            if name == "stellar":
                run = measure([sys.executable, HERE / "cones.py", snapshot, positions, str(cones.RADIUS_ARCSEC)])
            else:
                at = ["--catalogs", snapshot / "catalog", "--positions", positions]
                run = table.run_peer(f"{name}-cones", *at, "--radius", str(cones.RADIUS_ARCSEC), memory=False)
            tools[name] = run.json()
            bench.say(f"  {name:8s} {count} cones: {cones.spread(tools[name]['ms'])}")
    rows = [tool["rows"][: cones.PEER_CONES] for tool in tools.values()]
    if rows[0] != rows[1] or rows[0] != rows[2]:
        raise CommandFailedError(f"the cones hold different numbers of rows: {rows}")
    return {
        "date": _now(),
        "rows_found": sum(tools["stellar"]["rows"]),
        "tools": {name: {"cones": len(tool["ms"])} | cones.spread(tool["ms"]) for name, tool in tools.items()},
        "again": cones.spread(tools["stellar"]["again_ms"]),
    }


def densities(bench: Bench, former: dict) -> dict:
    """The map of the page Sky over 10 M rows of the whole sky, as our import wrote them."""
    data = skies.make(skies.growing(10), bench.folder)
    with workplace(bench.folder / "work-density") as work:
        env = {"STELLAR_HOME": str(work / "home")}
        columns = ["--id", "id", "--ra", "ra", "--dec", "dec"]
        measure([table.STELLAR, "import", *skies.files(data, "left"), "--name", "left", *columns, "--json"], env)
        found = measure([sys.executable, HERE / "density.py", density.DATASET], env).json()
    for name, took in found["ms"].items():
        bench.say(f"  {name:20s} {median(took):8.1f} ms (slowest {max(took):.1f})")
    return {"date": _now()} | found


def linear_quality(bench: Bench, former: dict) -> dict:
    """Completeness and purity on LINEAR's true pairs; writes its own page."""
    from stellar.flow.context import open_context
    from stellar.settings import load_settings

    linear, sdss = quality.linear(bench.real / "linear_targets.dat.gz")
    series = {}
    for name, right in (("alone", sdss), ("crowded", quality.with_field(sdss))):
        with (
            workplace(bench.folder / "work-quality") as home,
            open_context(settings=load_settings(home=home)) as ctx,
        ):
            series[name] = quality.measure_quality(ctx, linear, right)
    quality.plot(series["alone"], series["crowded"], bench.docs / "crossmatch_quality.svg")
    page = quality.page(series["alone"], series["crowded"], "crossmatch_quality.svg")
    (bench.docs / "crossmatch_quality.md").write_text(page)
    bench.say(quality.table(series["alone"]))
    return {}


def lightcurve_features(bench: Bench, former: dict) -> dict:
    """Features of light curves beside astropy, nifty-ls and light-curve, in one process and in turns."""
    command = [sys.executable, HERE / "lightcurves.py"]
    found = measure(command).json()
    peaks = {name: measure([*command, name], memory=True).peak_bytes for name in found["ms"]}
    for name, took in found["ms"].items():
        bench.say(f"  {name:20s} {median(took):7.2f} ms a curve, peak {peaks[name] / 2**20:,.0f} MiB")
    return {"date": _now(), "peak_bytes": peaks} | found


def spectra(bench: Bench, former: dict) -> dict:
    """Spectra prepared, learned from and predicted a second."""
    made = measure([sys.executable, HERE / "spectra.py"], memory=True)
    found = made.json()
    for name, rates in found["per_second"].items():
        bench.say(f"  {name:32s} {median(rates):10,.0f} a second")
    bench.say(f"  peak {made.peak_bytes / 2**20:,.0f} MiB")
    return {"date": _now(), "peak_bytes": made.peak_bytes} | found


def temperatures(bench: Bench, former: dict) -> dict:
    """Temperatures of eclipsing binaries, beside the stock forest."""
    folder = bench.folder / "photometry"
    found = photometry.run(folder, table.STELLAR, bench.say, former, ours=bench.ours, peers=bench.peers)
    return {"date": _now()} | found


def score_lineage(bench: Bench, former: dict) -> dict:
    """Ancestors of a score with thousands of batches behind it, beside networkx and a walk node by node."""
    found = measure([sys.executable, HERE / "lineage.py", *map(str, LINEAGE)]).json()
    for name, took in found["ms"].items():
        low, high = found["spread_ms"][name]
        bench.say(f"  {name:32s} {took:10,.2f} ms ({low:,.2f} to {high:,.2f})")
    return {"date": _now()} | found


def pages(bench: Bench, former: dict) -> dict:
    """Questions of the page Catalogue over 10 M scored rows."""
    found = measure([sys.executable, HERE / "pages.py", bench.folder / "pages"]).json()
    for kind in ("cone", "id"):
        one = found[kind]
        bench.say(
            f"  {kind:4s} first {one['first_ms']:.0f} ms, then {one['p50_ms']:.0f} ms, p95 {one['p95_ms']:.0f} ms"
        )
    return {"date": _now()} | found


PARTS: dict[str, Callable[[Bench, dict], dict]] = {
    "table": small,
    "big": big,
    "scaling": scaling,
    "increment": increment,
    "cones": cone_searches,
    "density": densities,
    "quality": linear_quality,
    "lightcurves": lightcurve_features,
    "spectra": spectra,
    "photometry": temperatures,
    "lineage": score_lineage,
    "pages": pages,
}
