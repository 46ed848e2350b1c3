"""Import, margins and cross-match of one sky: our commands and the peers, each in a process of its own."""

import functools
import shutil
import sys
from collections.abc import Callable
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


def run_peers(sky: skies.Sky, data: Path, work: Path, repeats: int, say: Say) -> dict[str, Record]:
    """Every peer, `repeats` times for the seconds and once for the memory; STILTS only where it is installed."""

    def runner(name: str, *arguments: str | Path) -> Callable[..., Measured]:
        return lambda memory: run_peer(name, *arguments, "--out", fresh(work / name), memory=memory)

    runners: dict[str, Callable[..., Measured]] = {
        "hats-import": runner("hats-import", "--data", data),
        "lsdb": runner("lsdb", "--catalogs", work / "hats-import"),
        "astropy": runner("astropy", "--data", data),
        "scipy": runner("scipy", "--data", data),
        "floor": runner("floor", "--data", data, "--rows", str(sky.pairs)),
    }
    if shutil.which("stilts"):
        runners["stilts"] = functools.partial(run_stilts, data, work / "stilts")
    else:
        say("  stilts is not installed (Debian: apt-get install stilts), so it has no row")
    found = {}
    for name, run in runners.items():
        try:
            found[name] = record([run(memory=k == repeats) for k in range(repeats + 1)])
        except CommandFailedError as error:  # a peer that cannot do this size is no reason not to measure the others
            if name in ("hats-import", "floor"):  # save those that all ratios need
                raise
            say(f"  {name} failed, so it has no row: {error}")
            continue
        say(line(name, found[name]))
    return found


def run_ours(data: Path, work: Path, repeats: int, say: Say) -> dict[str, Record]:
    """`stellar import` twice and `stellar crossmatch`, in a home that does not exist before the first."""
    columns = ["--id", "id", "--ra", "ra", "--dec", "dec", "--margin", str(MARGIN_ARCSEC)]
    match = ["left", "right", "--radius", str(RADIUS_ARCSEC), "--name", "matched"]
    commands = {
        "import left": [STELLAR, "import", *skies.files(data, "left"), "--name", "left", *columns, "--json"],
        "import right": [STELLAR, "import", *skies.files(data, "right"), "--name", "right", *columns, "--json"],
        "crossmatch": [STELLAR, "crossmatch", *match, "--json"],
    }
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for k in range(repeats + 1):
        env = {"STELLAR_HOME": str(fresh(work / "home"))}
        for name, command in commands.items():
            runs[name].append(measure(command, env, memory=k == repeats))
    found = {f"stellar {name}": record(measured) for name, measured in runs.items()}
    for name, one in found.items():
        say(line(name, one))
    return found


def line(name: str, one: Record) -> str:
    """One measurement, as the terminal shows it."""
    walls = " ".join(f"{wall:.2f}" for wall in one["wall"])
    phases = " ".join(f"{phase}={took:.2f}" for phase, took in (one["phases"][-1:] or [{}])[0].items())
    return f"  {name:20s} {walls} s  {one['peak_bytes'] / 2**20:,.0f} MiB  {phases}"
