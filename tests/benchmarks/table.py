"""Import, margins and cross-match of one sky: our commands and the peers, each in a process of its own."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from benchmarks import sky as skies
from benchmarks.measure import CommandFailedError, Measured, measure

ROOT = Path(__file__).resolve().parents[2]
STELLAR = Path(sys.executable).with_name("stellar")
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
PEERS_SCRIPT = Path(__file__).with_name("peers.py")
RADIUS_ARCSEC, MARGIN_ARCSEC = 1.0, 10.0
Say = Callable[[str], None]
Run = Callable[[bool], Measured]  # takes whether the memory is sampled


class Record(TypedDict):
    """What is kept of one command: seconds of whole processes, seconds by phase in each, peak bytes of one more run.

    `outcome` is what else the last run said of itself.
    """

    wall: list[float]
    phases: list[dict[str, float]]
    peak_bytes: int
    outcome: dict[str, Any]


def record(runs: list[Measured]) -> Record:
    """Record of some timed runs and a last one with the memory sampled."""
    *timed, sampled = runs
    said = [run.json() if run.output.strip().endswith("}") else {} for run in runs]
    return {
        "wall": [run.seconds for run in timed],
        "phases": [one["seconds"] for one in said[:-1] if one],
        "peak_bytes": sampled.peak_bytes,
        "outcome": {name: value for name, value in said[-1].items() if name in ("rows", "partitions", "path")},
    }


def until_unused(home: Path) -> None:
    """Wait until the last command's database has stopped, which the command itself does not wait for."""
    until = time.monotonic() + 30
    while (home / "run" / "postgres.json").exists() and time.monotonic() < until:
        time.sleep(0.05)


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run_peer(name: str, *arguments: str | Path, memory: bool) -> Measured:
    """One run of a peer that is a Python library."""
    return measure([PEERS_PYTHON, PEERS_SCRIPT, name, *arguments], memory=memory)


def run_stilts(data: Path, out: Path, *, memory: bool) -> Measured:
    """FITS to FITS, the nearest RIGHT row of each LEFT row."""
    left, right = skies.as_fits(data, "left"), skies.as_fits(data, "right")
    command = ["stilts", "tmatch2", f"in1={left}", f"in2={right}", "matcher=sky", f"params={RADIUS_ARCSEC}"]
    command += ["values1=ra dec", "values2=ra dec", "find=best1", "join=1and2", "progress=none"]
    return measure([*command, f"out={fresh(out) / 'matched.fits'}", "ofmt=fits-basic"], memory=memory)


def peers(sky: skies.Sky, data: Path, work: Path, say: Say) -> dict[str, Run]:
    """How each peer is run; STILTS only where it is installed."""

    def run(name: str, *arguments: str | Path) -> Run:
        return lambda memory: run_peer(name, *arguments, "--out", fresh(work / name), memory=memory)

    runs: dict[str, Run] = {
        "hats-import": run("hats-import", "--data", data),
        "lsdb": run("lsdb", "--catalogs", work / "hats-import"),
        "astropy": run("astropy", "--data", data),
        "scipy": run("scipy", "--data", data),
        "floor": run("floor", "--data", data, "--rows", str(sky.pairs)),
    }
    if shutil.which("stilts"):
        runs["stilts"] = lambda memory: run_stilts(data, work / "stilts", memory=memory)
    else:
        say("  stilts is not installed (Debian: apt-get install stilts), so it has no row")
    return runs


def ours(data: Path, work: Path) -> dict[str, Run]:
    """`stellar import` twice and `stellar crossmatch`, in a home that does not exist before the first."""
    home = work / "home"
    columns = ["--id", "id", "--ra", "ra", "--dec", "dec", "--margin", str(MARGIN_ARCSEC), "--json"]
    match = ["left", "right", "--radius", str(RADIUS_ARCSEC), "--name", "matched", "--json"]

    def run(*command: str | Path, first: bool = False) -> Run:
        def once(memory: bool) -> Measured:
            if first:
                until_unused(home)
                fresh(home)
            return measure([STELLAR, *command], {"STELLAR_HOME": str(home)}, memory=memory)

        return once

    left, right = (skies.files(data, side) for side in ("left", "right"))
    return {
        "stellar import left": run("import", *left, "--name", "left", *columns, first=True),
        "stellar import right": run("import", *right, "--name", "right", *columns),
        "stellar crossmatch": run("crossmatch", *match),
    }


def rounds(runs: Mapping[str, Run], repeats: Mapping[str, int], say: Say) -> dict[str, Record]:
    """Run each command as often as `repeats` says for the seconds, once a round, and in a last one for the memory.

    So all of them meet the same moods of a shared machine, whose speed changes by the minute.
    """
    found: dict[str, list[Measured]] = {name: [] for name in runs}
    last = max(repeats[name] for name in runs)
    for k in range(last + 1):
        for name in [name for name in found if k < repeats[name] or k == last]:
            try:
                found[name].append(runs[name](k == last))
            except CommandFailedError as error:  # a peer that cannot do this size: the others are measured
                if name in ("hats-import", "floor") or name.startswith("stellar "):  # save what all ratios need
                    raise
                say(f"  {name} failed, so it has no row: {error}")
                del found[name]
    records = {name: record(measured) for name, measured in found.items()}
    for name, one in records.items():
        say(line(name, one))
    return records


def line(name: str, one: Record) -> str:
    """One measurement, as the terminal shows it."""
    walls = " ".join(f"{wall:.2f}" for wall in one["wall"])
    phases = " ".join(f"{phase}={took:.2f}" for phase, took in (one["phases"][-1:] or [{}])[0].items())
    return f"  {name:20s} {walls} s  {one['peak_bytes'] / 2**20:,.0f} MiB  {phases}"
