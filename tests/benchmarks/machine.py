"""What the figures were measured on, and with which versions."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.table import PEERS_PYTHON

OURS = (
    "stellar-platform",
    "pyarrow",
    "numpy",
    "numba",
    "cdshealpix",
    "duckdb",
    "scipy",
    "astropy",
    "nifty-ls",
    "light-curve",
)
PEERS = ("hats-import", "lsdb", "hats", "dask", "astropy", "scipy", "pyarrow", "duckdb")
_ASK = "import sys; from importlib.metadata import version; print(*(version(name) for name in sys.argv[1:]))"


def processor() -> str:
    """The processor's name, as the kernel knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gib() -> float:
    """Memory of the machine."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def stilts_version() -> str:
    """As STILTS says it."""
    if not shutil.which("stilts"):
        return "not installed"
    said = subprocess.run(["stilts", "-version"], capture_output=True, text=True, check=True)
    return next(line.split("version", 1)[1].strip() for line in said.stdout.splitlines() if "STILTS version" in line)


def describe() -> dict:
    """The machine and the versions on both sides."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": memory_gib(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "ours": {name: _version(name) for name in OURS},
        "peers": dict(zip(PEERS, _peers(), strict=True)) | {"STILTS": stilts_version()},
    }


def _peers() -> list[str]:
    """Versions of the peers; not every part of the benchmark has one that is installed apart."""
    if not PEERS_PYTHON.exists():
        return ["-"] * len(PEERS)
    said = subprocess.run([PEERS_PYTHON, "-c", _ASK, *PEERS], capture_output=True, text=True, check=True)
    return said.stdout.split()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"
